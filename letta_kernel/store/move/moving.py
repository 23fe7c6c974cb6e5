"""A whole project moved from one end to the other: prepared, copied, compared, and only then handed over.

While it goes on nobody else has the source, and the target is no project yet: whoever opens it is told so. It
may be cut off anywhere. What is in the target stays for the next try, and the source is as it was, until all
rows are there and have been compared; then the source is marked as moved, and after that the target is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.ids import new_id, now
from letta_kernel.store import agents, claims, lease, moved
from letta_kernel.store.move.copying import Copying, Progress, Table
from letta_kernel.store.move.end import End
from letta_kernel.store.move.shapes import Shape, shapes
from letta_kernel.store.moved import Note
from letta_kernel.store.transaction import Tx

_OWN = ("users", "settings", "counters")
"""Tables that have rows in a store without agents."""

Look = Callable[[Tx], None]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a move would do.

    Attributes
    ----------
    tables : their rows, by name.
    there : what is in the target: nothing, an empty store, or a part of this move.
    rows : how many of them are in the target already.
    """

    tables: dict[str, int]
    there: str
    rows: int


def plan(source: End, target: End, look: Look) -> Planned:
    """Look at both ends and say what a move would do; parameters and errors as `move`. Nothing is changed."""
    with ExitStack() as stack:
        found, begun = _begin(stack, source, target, look, make=False)
        counts = {shape.name: source.count(shape) for shape in found}
        there = "nothing" if not target.exists() else "an empty store"
        if begun is not None:
            there = "a part of it"
        return Planned(counts, there, begun.rows if begun is not None else 0)


def move(
    source: End,
    target: End,
    look: Look,
    tell: Progress,
    beside: Callable[[], None],
    last: Callable[[], None],
) -> dict[str, Table]:
    """Copy a project and hand it over; return what was copied, by table.

    Parameters
    ----------
    look : is given the source to read in, when it is known that it can be moved.
    tell : is told how far it has come.
    beside : copies what is not in the store, when all rows are there.
    last : takes away what may not be there when the target begins to be the project.

    Raises
    ------
    AgentBusyError
        A run goes on; it says who has it.
    InvalidInputError
        The target holds a project already, or part of another move.
    StoreError
        An end cannot be had, read or written, or the copy is not the same.
    """
    with ExitStack() as stack:
        found, begun = _begin(stack, source, target, look, make=True)
        at = now().isoformat(timespec="seconds")
        note = begun or Note("target", new_id("move"), source.shown, at)
        gone = source.note()
        copying = Copying(source, target, found, note, tell)
        if gone is None:
            target.put_note(note)
            copying.copy()
            copying.verify()
            beside()
        with Uninterrupted():
            if gone is None:
                at = now().isoformat(timespec="seconds")
                source.put_note(Note("source", note.id, target.shown, at))
            last()
            target.put_note(None)
        return copying.tables


def back(end: End) -> Note:
    """Let a project that has moved be written again where it was; return the note of that move.

    Raises
    ------
    InvalidInputError
        It has not moved.
    """
    with ExitStack() as stack:
        stack.callback(end.close)
        end.open("letta-kernel move --back", make=False)
        note = end.note()
        if note is None or note.role != "source":
            raise InvalidInputError(f"The project in {end.shown} has not moved.")
        end.put_note(None)
        return note


def _begin(
    stack: ExitStack, source: End, target: End, look: Look, *, make: bool
) -> tuple[Sequence[Shape], Note | None]:
    """Open both ends and see that a move can be; return the tables, and the note of one that has begun."""
    stack.callback(source.close)
    source.open(f"a move to {target.shown}", make=False)
    gone = source.note()
    if gone is not None:
        told = moved.refusal(gone.dump(), source.shown)
        if gone.other != target.shown:
            raise InvalidInputError(told or "")
    _check_free(source, look)
    there = make or target.exists()
    if there:
        stack.callback(target.close)
        target.open(f"a move from {source.shown}", make=make)
    begun = target.note() if there else None
    found = shapes()
    if gone is not None and (begun is None or begun.id != gone.id):
        raise InvalidInputError(told or "")
    if begun is not None and (begun.role, begun.other) != ("target", source.shown):
        if begun.role == "target":
            raise InvalidInputError(
                f"{target.shown} holds a part of {begun.other}: name another place, or remove it there."
            )
        raise InvalidInputError(
            f"{target.shown} holds a project that moved to {begun.other}: name another place, or take it away."
        )
    if there and begun is None:
        _check_empty(target, found)
    return found, begun


def _check_free(source: End, look: Look) -> None:
    """Refuse a project in which a run goes on, or whose secrets could be read by whoever has the target."""
    with source.reading() as tx:
        for held in lease.held(tx):
            agents.check_idle(tx, held.thread_id)
        claims.check_none(tx)
        unsealed = tx.one("SELECT 1 FROM settings WHERE key = 'unsealed'") is not None
    if unsealed:
        raise StoreError(
            "The secrets of this project are not encrypted yet, because their key could not be kept: set"
            " LETTA_SECRET_KEY to a long text that nobody guesses, then move.",
            page="secret-key",
        )
    with source.reading() as tx:
        look(tx)


def _check_empty(target: End, found: Sequence[Shape]) -> None:
    for shape in found:
        if shape.name not in _OWN and (rows := target.count(shape)):
            raise InvalidInputError(
                f"There is a project in {target.shown} already ({rows:,} rows in {shape.name}): name an empty"
                " place."
            )
