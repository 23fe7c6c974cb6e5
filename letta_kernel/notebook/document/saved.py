"""A notebook no front end of ours has open: its saved file, and what this kernel has run since.

The file is another program's to write. So changes are shown as proposed cells in the output, and the first of
them is offered as the next cell where the front end has that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from letta_kernel.notebook.document.cells import cell_of
from letta_kernel.notebook.document.protocol import (
    Author,
    Cell,
    Change,
    Contents,
    DocumentError,
    Undone,
)
from letta_kernel.notebook.executed import ExecutedCell, ExecutedCells

LARGEST = 100_000_000  # bytes of a file that is read


class SavedDocument:
    """The notebook as its file and the kernel know it (a `Document`).

    Parameters
    ----------
    path
        The notebook's file; None where nothing says which it is.
    executed
        What the kernel has run.
    propose
        Shows changes that cannot be made, as proposed cells.
    """

    writes = False

    def __init__(
        self,
        path: Path | None,
        executed: ExecutedCells,
        propose: Callable[[Sequence[Change], Contents], None],
    ) -> None:
        self._path = path
        self._executed = executed
        self._propose = propose

    def read(self) -> Contents:
        """Return the file's cells, newer where they have run since, then the other ones that ran."""
        saved: list[Cell] = []
        written = 0.0
        if self._path is not None and self._path.exists():
            saved, written = _read(self._path), self._path.stat().st_mtime
        places = {cell.source: cell.id for cell in saved}
        if len(places) < len(saved):  # a source that stands twice says nothing
            sources = [cell.source for cell in saved]
            places = {one: where for one, where in places.items() if sources.count(one) == 1}
        ran = {
            # Not every front end says which cell it sends.
            one.cell_id or places.get(one.source) or f"in-{one.serial}": one
            for one in self._executed.all()
        }
        cells = [_newer(cell, ran.pop(cell.id, None), written) for cell in saved]
        others = [_cell(name, one) for name, one in ran.items() if not one.ours]
        return Contents(self._path.name if self._path else "", None, [*cells, *others])

    def apply(self, changes: Sequence[Change], by: Author) -> Sequence[str]:
        """Show the changes as proposed cells."""
        self._propose(changes, self.read())
        return []

    def show_outputs(
        self, cell: str, outputs: Sequence[Mapping[str, Any]], execution_count: int | None
    ) -> bool:
        """Outputs are shown where the agent is talked to."""
        return False

    def undo(self, run: str, force: bool = False) -> Undone:
        """Nothing was changed in the file."""
        return Undone()


def _cell(name: str, ran: ExecutedCell) -> Cell:
    return Cell(name, "code", ran.source, ran.count, ran.outputs, ran.tags)


def _newer(saved: Cell, ran: ExecutedCell | None, written: float) -> Cell:
    """Return a cell of the file as it ran last, if the file was written before that."""
    if ran is None or (ran.source != saved.source and ran.began < written):
        return saved
    return replace(_cell(saved.id, ran), tags=[*saved.tags, *ran.tags])


def _read(path: Path) -> list[Cell]:
    """Return the cells of a notebook's file.

    Raises
    ------
    DocumentError
        It is no notebook, or far too large.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DocumentError(f"{path.name} is too large to be read.")
        cells = json.loads(path.read_text("utf-8"))["cells"]
        made = [cell_of(one) for one in cells if isinstance(one, dict)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise DocumentError(f"{path.name} cannot be read as a notebook: save it again.") from None
    taken: set[str] = set()
    for place, cell in enumerate(made):
        if not cell.id or cell.id in taken:  # older formats have no ids
            made[place] = replace(cell, id=f"cell-{place}")
        taken.add(made[place].id)
    return made
