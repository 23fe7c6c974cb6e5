"""A cell that failed, told to an agent: its source, its traceback, the variables it names."""

from __future__ import annotations

import ast
import re
from typing import Any

from letta_kernel.display.clean import clean_text
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.notebook.document.cells import joined
from letta_kernel.notebook.document.protocol import Contents
from letta_kernel.notebook.document.turn import described
from letta_kernel.notebook.executed import ExecutedCell, ExecutedCells
from letta_kernel.tools.results import shorten

_SOURCE, _TRACEBACK = 12_000, 8_000  # characters
_MOST_NAMES = 20
_NAME = re.compile(r"[^\W\d]\w*")


def message(
    executed: ExecutedCells,
    contents: Contents,
    names: dict[str, Any],
    cell_id: str | None,
    wish: str,
) -> str:
    """Return what is said of the cell that failed last, or how that of *cell_id* did, and what is wished.

    Raises
    ------
    NotFoundError
        None failed.
    InvalidInputError
        The person keeps the cell to themselves.
    """
    ran = executed.last_error() if cell_id is None else executed.of(cell_id)
    shown = next((one for one in contents.cells if one.id == (cell_id or _id(ran))), None)
    if shown is None and ran is not None and ran.cell_id is None:  # not every front end says which
        same = [one for one in contents.cells if one.source == ran.source]
        shown = same[0] if len(same) == 1 else None
    if (ran is not None and ran.private) or (shown is not None and shown.private):
        raise InvalidInputError("The cell that failed is private: no agent is shown it.")
    error = ran.error if ran is not None else None
    if error is None and shown is not None:  # it ran before the kernel was restarted
        error = next((dict(o) for o in shown.outputs if o.get("output_type") == "error"), None)
    source = shown.source if shown is not None else ran.source if ran is not None else ""
    if error is None:
        which = "No cell has failed" if cell_id is None else "This cell has not failed"
        raise NotFoundError(f"{which} since the kernel started.")
    named = shown.id if shown is not None else cell_id or _id(ran)
    where = f"The cell {named}" if named else "A cell"
    parts = [f"{where} of this notebook failed.", _fenced(shorten(source, _SOURCE), "python")]
    if ran is not None and ran.source != source and ran.error is not None:
        parts.append("It was edited since; when it failed it read:")
        parts.append(_fenced(shorten(ran.source, _SOURCE), "python"))
    traceback = clean_text(joined("\n".join(map(str, error.get("traceback") or ()))))
    traceback = traceback or f"{error.get('ename')}: {error.get('evalue')}"
    parts += ["It ended with:", _fenced(shorten(traceback, _TRACEBACK), "text")]
    if told := _variables(source, names):
        parts += ["Variables it names, as they are now:", _fenced("\n".join(told), "text")]
    return "\n\n".join([*parts, wish])


def _id(ran: ExecutedCell | None) -> str | None:
    return ran.cell_id if ran is not None else None


def _variables(source: str, names: dict[str, Any]) -> list[str]:
    try:
        found = [one.id for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Name)]
    except (SyntaxError, ValueError, RecursionError):
        found = _NAME.findall(source)
    known = [name for name in dict.fromkeys(found) if name in names and not name.startswith("_")]
    return [f"{name}: {described(names[name])}" for name in known[:_MOST_NAMES]]


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{text}\n{mark}"
