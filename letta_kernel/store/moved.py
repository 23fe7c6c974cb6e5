"""What stands in a store of a move: that it is half a copy, which nobody may use, or that all has gone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from letta_kernel.errors import StoreError

BUSY, GONE = "LKM01", "LKM02"
"""What PostgreSQL calls the errors of who writes while a project is moved, and where it has moved from."""
KEY = "move"
"""The setting that holds the note; it is never copied."""


@dataclass(frozen=True, slots=True)
class Note:
    """What stands in a store that is being copied into, or that has been copied elsewhere.

    Attributes
    ----------
    role : "target" of a move that is not done, or "source" of one that is.
    id : of the move; both ends have the same.
    other : the other end, without a password.
    at : when the move began, or was done, in ISO 8601.
    rows, of : how many rows the target has so far, of how many.
    """

    role: Literal["target", "source"]
    id: str
    other: str
    at: str
    rows: int = 0
    of: int = 0

    def dump(self) -> str:
        """Return it as it is kept."""
        return json.dumps(asdict(self), ensure_ascii=False)


def read(text: str | None) -> Note | None:
    """Return the note that a setting holds; None if there is none."""
    return None if text is None else Note(**json.loads(text))


def keep(execute: Callable[[str, list[str]], object], note: Note | None) -> None:
    """Put the note into the settings of a store, or take it out; *execute* runs a statement there."""
    if note is None:
        execute("DELETE FROM settings WHERE key = $1", [KEY])
    else:
        execute(
            "INSERT INTO settings VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [KEY, note.dump()],
        )


def is_address(place: str) -> bool:
    """Whether a place is the address of a database, not a folder."""
    return "://" in place


def refusal(text: str | None, where: str) -> str | None:
    """Return why nothing may be written into a store, by the setting in it; None if nothing speaks against it.

    Raises
    ------
    StoreError
        It is half a copy: it may not be read either.
    """
    note = read(text)
    if note is not None and note.role == "target":
        raise StoreError(line(note, where), page="store-moved")
    return None if note is None else line(note, where)


def line(note: Note, where: str) -> str:
    """Return what is said of a store with a note in it."""
    if note.role == "target":
        return (
            f"{where} is a copy of {note.other} that is not done ({note.rows:,} of {note.of:,} rows):"
            f" {command(note.other, where)} goes on with it."
        )
    variable = "LETTA_STORE" if is_address(note.other) else "LETTA_HOME"
    return (
        f"The project in {where} moved to {note.other} on {note.at[:10]} and is only read here: set {variable}"
        " to that. letta-kernel move --back lets it be written here again."
    )


def command(source: str, target: str) -> str:
    """Return what is typed to move a project."""
    to = shlex.quote(target)
    if is_address(source):
        return f"LETTA_STORE={shlex.quote(source)} letta-kernel move --to {to}"
    return f"letta-kernel move --home {shlex.quote(source)} --to {to}"
