"""A cell that failed, told to an agent: its source, its traceback, the variables it names."""

from __future__ import annotations

import ast
import re

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.notebook.beside.cells import error_text
from letta_kernel.notebook.beside.look import Look
from letta_kernel.notebook.executed import ExecutedCells, shortened

_SOURCE, _TRACEBACK, _VARIABLE = 12_000, 8_000, 800  # characters
_MOST_NAMES = 20
_NAME = re.compile(r"[^\W\d]\w*")


def message(executed: ExecutedCells, look: Look, cell_id: str | None, wish: str) -> str:
    """Return a message about the cell that failed last, or the cell *cell_id*, and what is wished.

    Raises
    ------
    NotFoundError
        None failed.
    InvalidInputError
        The person keeps the cell to themselves.
    """
    ran = executed.last_error() if cell_id is None else executed.of(cell_id)
    cells, own = look.contents.cells, cell_id or (ran.cell_id if ran is not None else None)
    shown = next((one for one in cells if one.id == own), None) if own else None
    if own is None and ran is not None:  # not every front end says which cell it sends
        same = [one for one in cells if one.source == ran.source]
        shown = same[0] if len(same) == 1 else None
    if (ran is not None and ran.private) or (shown is not None and look.is_private(shown)):
        raise InvalidInputError("The cell that failed is private: no agent is shown it.")
    error = ran.error if ran is not None else None
    if error is None and shown is not None:  # it ran before the kernel was restarted
        error = next((dict(o) for o in shown.outputs if o.get("output_type") == "error"), None)
    if error is None:
        which = "No cell has failed" if cell_id is None else "This cell has not failed"
        raise NotFoundError(f"{which} since the kernel started.")
    (error,) = map(dict, look.public([error]))
    source = shown.source if shown is not None else ran.source if ran is not None else ""
    named = shown.id if shown is not None else own
    parts = [f"The cell {named} of this notebook failed." if named else "A cell failed."]
    parts.append(_fenced(shortened(source, _SOURCE), "python"))
    if ran is not None and ran.error is not None and ran.source.strip() != source.strip():
        parts.append("It was edited since; when it failed it read:")
        parts.append(_fenced(shortened(ran.source, _SOURCE), "python"))
    parts += ["It ended with:", _fenced(shortened(error_text(error), _TRACEBACK), "text")]
    if told := _variables(source, look):
        parts += ["Variables it names, as they are now:", _fenced("\n".join(told), "text")]
    return look.hide("\n\n".join(parts)) + f"\n\n{wish}"


def _variables(source: str, look: Look) -> list[str]:
    try:
        found = [one.id for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Name)]
    except (SyntaxError, ValueError, RecursionError):
        found = _NAME.findall(source)
    known = [name for name in dict.fromkeys(found) if name in look.variables]
    return [shortened(look.variable(name), _VARIABLE) for name in known[:_MOST_NAMES]]


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{text}\n{mark}"
