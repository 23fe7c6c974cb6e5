"""The notebook while a message is sent: its cells without the private ones, its variables, its secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.errors import LettaError
from letta_kernel.models.masking import is_secret_name, masked
from letta_kernel.notebook.beside import files, variables
from letta_kernel.notebook.beside.cells import CellText, fitting
from letta_kernel.notebook.beside.mentions import Mention, visible
from letta_kernel.notebook.document import Cell, Contents, Document
from letta_kernel.notebook.executed import ExecutedCell, ExecutedCells, is_ours, shortened
from letta_kernel.records import Beside

_SHORTEST_SECRET = 8  # characters


@dataclass(slots=True)
class Seen:
    """What an agent has been told of a notebook: up to which cell that ran, and every cell's source then."""

    serial: int = 0
    sources: dict[str, str] = field(default_factory=dict)


class Look:
    """What can be told of a notebook; nothing it returns is of a cell that is tagged ``private``."""

    def __init__(self, shell: Any, executed: ExecutedCells, document: Document) -> None:
        self.variables = visible(shell)
        self._executed = executed
        self._secrets = _secrets(self.variables)
        self._contents = Contents()
        self.unread: LettaError | None = None  # why the document could not be read
        try:
            self._contents = document.read()
        except LettaError as error:
            self.unread = error
        ran = executed.all()
        private = [one for one in self._contents.cells if one.private]
        self._private = {one.id for one in private}
        sources = [one.source for one in private] + [one.source for one in ran if one.private]
        self._private_sources = [source.strip() for source in sources if source.strip()]
        self._private_counts = {one.count for one in ran if self._is_private(one)}
        self._ran = [one for one in ran if not one.ours and not self._is_private(one)]

    def hide(self, text: str) -> str:
        """Return *text* without secrets."""
        return masked(text, self._secrets)

    @property
    def contents(self) -> Contents:
        """The document, private cells included."""
        return self._contents

    def is_private(self, cell: Cell) -> bool:
        """Return whether a cell of the document is not to be told of."""
        return cell.private or cell.source.strip() in self._private_sources

    def told(self, place: int, cell: Cell, outputs: bool = True) -> CellText:
        """Return a cell of the document by its place; of a private one only that it is there."""
        if self.is_private(cell):
            return CellText("", cell.id, None, cell.kind, "private, not shown", place=place)
        made = self._of(cell)
        made.place = place
        if not outputs:
            made.outputs = ()
        return made

    def variable(self, name: str) -> str:
        """Return what a variable is, as text without secrets."""
        note, text = variables.summary(name, self.variables[name], self._is_private_source)
        return self.hide(f"{name}: {note}\n{text}" if note not in text else f"{name}: {text}")

    def _is_private(self, cell: ExecutedCell) -> bool:
        return (
            cell.private
            or cell.cell_id in self._private
            or cell.source.strip() in self._private_sources
        )

    # -- cells ---------------------------------------------------------------------------------------

    def seen(self) -> Seen:
        """Return what an agent knows after it has been told everything."""
        sources = {one.id: one.source for one in self._contents.cells if one.id}
        return Seen(self._executed.newest, sources)

    def whole(self) -> list[CellText]:
        """Return every cell: of the document, or else of what ran."""
        shown = [self._of(one) for one in self._contents.cells if _worth(one)]
        return shown or self._latest(self._ran)

    def since(self, told: Seen) -> list[CellText]:
        """Return the cells that were edited or ran since, in that order."""
        ran = self._latest([one for one in self._ran if one.serial > told.serial])
        by_id = {one.id: one for one in ran if one.id}
        edited = []
        for cell in filter(_worth, self._contents.cells):
            run, before = by_id.get(cell.id), told.sources.get(cell.id)
            if run is None and before is not None and before != cell.source:
                edited.append(CellText(cell.source, cell.id, None, cell.kind, "edited"))
            elif run is not None and run.source.strip() != shortened(cell.source).strip():
                run.source, run.state = cell.source, f"{run.state}, edited since"
        return [*edited, *ran]

    def _of(self, cell: Cell) -> CellText:
        state = cell.state if cell.state != "idle" else ""
        outputs = self.public(cell.outputs)
        return CellText(
            cell.source, cell.id, cell.execution_count, cell.kind, state, outputs=outputs
        )

    def _latest(self, ran: Sequence[ExecutedCell]) -> list[CellText]:
        """Return how each cell ran last, in that order, and how often it did."""
        found: dict[str, CellText] = {}
        for one in ran:
            key = one.cell_id or one.source
            before = found.pop(key, None)
            found[key] = CellText(
                one.source,
                one.cell_id or "",
                one.count,
                state=one.state,
                ran=before.ran + 1 if before else 1,
                outputs=self.public(one.outputs),
            )
        return list(found.values())

    def public(self, outputs: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return *outputs* whose tracebacks show no lines of private cells."""
        marks = [f"In[{n}]" for n in self._private_counts] + [
            f"In [{n}]" for n in self._private_counts
        ]
        made = []
        for one in outputs:
            frames = one.get("traceback")
            if marks and isinstance(frames, list):
                kept = [
                    "(in a private cell)" if any(mark in str(frame) for mark in marks) else frame
                    for frame in frames
                ]
                one = {**one, "traceback": kept}
            made.append(one)
        return made

    # -- names ---------------------------------------------------------------------------------------

    def named(self, one: Mention, budget: int, count: Callable[[str], int]) -> Beside | None:
        """Return what a name stands for, of about *budget* tokens; None where it stands for nothing."""
        name = f"@{one.name}"
        if one.kind == "variable":
            value = self.variables[one.name]
            note, text = variables.summary(one.name, value, self._is_private_source)
            return Beside(kind="variable", name=name, text=self.hide(text), note=note)
        if one.path is not None:
            about = files.summary(one.path, budget, count, self.hide)
            if about is None:
                return None
            kind, note, text = about
            return Beside(kind=kind, name=name, text=self.hide(text), note=note)
        cell = self._cell(one)
        if cell is None:
            return None
        text = fitting([cell], budget, count, self.hide) or "It is too long to be shown here."
        failed = one.name.startswith("error")
        error = next((o for o in cell.outputs if failed and o.get("output_type") == "error"), {})
        place = f"cell {cell.count}" if cell.count is not None else "cell"
        note = str(error.get("ename") or place)
        return Beside(kind="error" if failed else "cell", name=name, text=text, note=note)

    def outputs(self, one: Mention) -> Sequence[Mapping[str, Any]]:
        """Return the outputs of the cell that a name stands for; none of a private one."""
        cell = self._cell(one) if one.kind == "cell" else None
        return cell.outputs if cell is not None else ()

    def _is_private_source(self, source: str) -> bool:
        part = source.strip()
        return any(part in whole for whole in self._private_sources)

    def _cell(self, one: Mention) -> CellText | None:
        # What a name means depends on whether a cell runs: then that cell is the place, else the one with the
        # cursor.
        latest = self._latest(self._ran)
        if one.which:
            return self._which(one.which, latest)
        if one.name == "error":
            return next((cell for cell in reversed(latest) if cell.failed), None)
        cells = [cell for cell in self._contents.cells if cell.source.strip()]
        running = self._executed.running
        at = running.cell_id if running is not None else self._contents.active
        place = next((n for n, cell in enumerate(cells) if at and cell.id == at), None)
        if place is not None and one.name == "above":
            above = cells[place - 1] if place else None
            return self._of(above) if above is not None and _worth(above) else None
        if place is not None and running is None and _worth(cells[place]):
            return self._of(cells[place])
        return latest[-1] if latest else None

    def _which(self, which: str, latest: Sequence[CellText]) -> CellText | None:
        found = next((o for o in reversed(latest) if which in (o.id, str(o.count))), None)
        if found is not None:
            return found
        cells = filter(_worth, self._contents.cells)
        saved = next((o for o in cells if which in (o.id, str(o.execution_count))), None)
        return self._of(saved) if saved is not None else None


def hidden_in(shell: Any) -> Callable[[str], str]:
    """Return what takes secrets out of a text, those in *shell*'s variables too."""
    secrets = _secrets(visible(shell))
    return lambda text: masked(text, secrets)


def _worth(cell: Cell) -> bool:
    """Return whether an agent is told of a cell: not if it is empty, private or only speaks to agents."""
    return bool(cell.source.strip()) and not cell.private and not is_ours(cell.source)


def _secrets(names: Mapping[str, Any]) -> list[str]:
    """Return the values of variables whose names say that they are secret."""
    return [
        value
        for name, value in names.items()
        if type(value) is str and len(value) >= _SHORTEST_SECRET and is_secret_name(name)
    ]
