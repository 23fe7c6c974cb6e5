"""A project moved to another folder, or between a folder and a database server."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

from letta_kernel.commands.door import YES, Answer, Rows, Terminal
from letta_kernel.commands.spec import command, option
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.service.moving import Moved

GROUP = "Keeping and sharing"


@command(None, "move", group=GROUP)
def move(
    door: Terminal,
    to: str | None = option(
        "Where it goes: another project folder, or postgresql://…", shown="FOLDER|URL"
    ),
    dry_run: bool = option("Only say what would be copied"),
    back: bool = option("Let a project that has moved be written again where it was"),
    yes: bool = YES,
) -> Answer:
    """Move the project with all it holds to another folder or to PostgreSQL, or back from there.

    All rows are copied and compared. Stopped, or killed, it goes on where it was when it is run again. The
    project here stays, and can only be read from then on.
    """
    if back == (to is not None):
        raise InvalidInputError("Say where to: --to FOLDER or --to postgresql://…, or --back.")
    if back:
        return _back(door, yes)
    return _move(door, to or "", dry_run)


def _move(door: Terminal, to: str, dry_run: bool) -> Answer:
    from letta_kernel.service.moving import Move

    move = Move(door.home, to)
    if dry_run:
        return _planned(move.plan())
    try:
        with door.progress() as draw:
            done = move.run(draw)
    except KeyboardInterrupt:
        door.say(
            f"Stopped. The project in {move.source} is as it was; letta-kernel move --to"
            f" {shlex.quote(to)} goes on."
        )
        raise
    return Answer(_said(done), _data(done), notes=_notes(done))


def _back(door: Terminal, yes: bool) -> Answer:
    from letta_kernel.service import moving

    question = f"Go on in {door.where}, without what was done where the project is now?"
    if not door.confirmed(question, yes):
        return Answer(notes=["Nothing was changed."], code=1)
    other = moving.back(door.home)
    return Answer(
        f"The project in {door.where} can be written again; that in {other} is another one now.",
        {"home": door.home, "other": other},
    )


def _planned(done: Moved) -> Answer:
    rows = [(one.name, one.rows) for one in done.tables if one.rows]
    said = f"{done.rows:,} rows would be copied from {done.source} to {done.target}, where {done.there} is."
    data = {**_data(done), "there": done.there}
    return Answer(
        data=data,
        rows=lambda: Rows(("table", "rows"), rows),
        notes=[said, *_notes(done)],
    )


def _said(done: Moved) -> str:
    from letta_kernel.service.moving import is_address

    told = f"Moved {done.rows:,} rows to {done.target} in {done.seconds:.0f} s; all were compared."
    if not done.tables:
        told = f"The project is in {done.target}; all had been copied and compared before."
    variable = "LETTA_STORE" if is_address(done.target) else "LETTA_HOME"
    return (
        f"{told} Set {variable} to that to go on there. The project in {done.source} is only read from now on;"
        " letta-kernel move --back changes that."
    )


def _notes(done: Moved) -> list[str]:
    notes = []
    if done.kept:
        notes.append(f"Still in its folder, which stays: {', '.join(done.kept)}.")
    if done.copied:
        notes.append(f"With it: {', '.join(done.copied)}.")
    if done.left:
        notes.append(f"Left where it was: {', '.join(done.left)}.")
    if known := [one for one in done.secrets if one]:
        notes.append(
            f"Its secrets open with the key in {' and '.join(known)}: elsewhere put it there, too."
        )
    if "" in done.secrets:
        notes.append("Secrets whose key is not here were copied as they are.")
    if cleaned := [f"{one.cleaned:,} of {one.name}" for one in done.tables if one.cleaned]:
        notes.append(f"Rows that lost characters no database keeps (NUL): {', '.join(cleaned)}.")
    notes.append(done.index)
    return notes


def _data(done: Moved) -> dict[str, object]:
    return {**asdict(done), "rows": done.rows}
