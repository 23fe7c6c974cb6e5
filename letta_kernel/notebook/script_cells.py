"""``%%script NAME``: a cell of moves for the scripted model, and IPython's cells of that name beside it."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from letta_kernel.commands.values import soon
from letta_kernel.errors import InvalidInputError
from letta_kernel.models.scripted import SCRIPTS, counted, script_names, scripted
from letta_kernel.models.scripted.moves import WHERE, WORDS

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

_FIRST_MOVE = re.compile(
    rf"(?:{'|'.join(WORDS)})\b[^\n:]*:|expect\s+(?:{'|'.join(WHERE)})\s", re.IGNORECASE
)
_VERBS = {"tools": ["include:", "lack:"]}
_MOVES = [*(f"{word}:" for word in WORDS if word != "expect"), "expect"]


def is_ours(line: str, cell: str) -> bool:
    """Tell whether a ``%%script`` cell holds moves; any other with a program's name is IPython's to run."""
    lines = (bare for one in cell.splitlines() if (bare := one.strip()) and bare[0] != "#")
    first = next(lines, "")
    if _FIRST_MOVE.match(first):
        return True
    words = line.split()
    return not words or not (words[0].startswith("-") or shutil.which(words[0]))


def run(line: str, cell: str) -> str:
    """Keep the script of a cell and return what to say about it.

    Raises
    ------
    InvalidInputError
        The name or a line is wrong; lines are counted as in the cell, whose first names the script.
    """
    words = line.split()
    if len(words) > 1:
        raise InvalidInputError(f"%%script takes one name, not {line.strip()[:60]!r}.")
    model = scripted(cell, *words, first_line=2)
    script = SCRIPTS.find(model.partition("/")[2])
    return f"{model} has {counted(script)} to give: %agent model {model}"


def complete(session: Session, before: str, in_first_line: bool) -> tuple[str, list[str] | None]:
    """Return the part of a word that ends *before*, and what may stand there; None where anything may."""
    fragment = re.search(r"[^\s:,]*$", before)
    begun = fragment[0] if fragment else ""
    done = before[: len(before) - len(begun)].split()
    offered = _offered(session, [word.rstrip(":") for word in done], in_first_line)
    if offered is None:
        return begun, None
    return begun, [word for word in offered if word.startswith(begun)]


def _offered(session: Session, done: list[str], in_first_line: bool) -> list[str] | None:
    if in_first_line:
        return script_names() if done == ["%%script"] else None
    match done:
        case []:
            return _MOVES
        case ["call"]:
            return _tools(session)
        case ["expect"]:
            return list(WHERE)
        case ["expect", where]:
            return _VERBS.get(where, ["contains:", "lacks:"])
        case ["expect", "tools", *_]:
            return _tools(session)
        case _:
            return None


def _tools(session: Session) -> list[str]:
    def found() -> list[str]:
        agent = session.current()
        return [tool.name for tool in session.service.tools.list(agent.id)] if agent else []

    return soon(session, found)
