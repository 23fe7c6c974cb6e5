"""What a document is asked for, and what it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from letta_kernel.errors import LettaError

Kind = Literal["code", "markdown", "raw"]
TEXT = 20_000
"""Characters of one output's text that are kept."""


class DocumentError(LettaError):
    """The notebook could not be read or changed; nothing was changed unless the text says so."""

    page = "notebook-page"


class ChangedError(DocumentError):
    """A cell is not any more what the change was made for; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it is now, unsaved edits included where a front end has it open.

    ``outputs`` are nbformat's, with shortened texts.
    """

    id: str
    kind: Kind
    source: str
    execution_count: int | None = None
    outputs: Sequence[Mapping[str, Any]] = ()
    tags: Sequence[str] = ()
    state: Literal["idle", "queued", "running"] = "idle"

    @property
    def private(self) -> bool:
        """Whether the person wants no agent to see it."""
        return "private" in self.tags


@dataclass(frozen=True, slots=True)
class Contents:
    """A document's cells; *active* is the id of the one that is selected."""

    path: str = ""
    active: str | None = None
    cells: Sequence[Cell] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One change: what ``op`` needs of the rest.

    ``after`` is a cell's id, None for the top; ``before`` the source that the cell must have now.
    """

    op: Literal["insert", "edit", "delete", "move"]
    cell: str | None = None
    after: str | None = None
    kind: Kind = "code"
    source: str = ""
    before: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what a front end is told."""
        parts: dict[str, dict[str, Any]] = {
            "insert": {"after": self.after, "kind": self.kind, "source": self.source},
            "edit": {"cell": self.cell, "before": self.before, "source": self.source},
            "delete": {"cell": self.cell, "before": self.before},
            "move": {"cell": self.cell, "after": self.after},
        }
        return {"op": self.op, **parts[self.op]}


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes cells: the agent, and the run it does so in."""

    run: str = ""
    agent: str = ""
    agent_name: str = ""


@dataclass(frozen=True, slots=True)
class Undone:
    """Cells that were put back, and those left alone because somebody has changed them since."""

    undone: Sequence[str] = ()
    changed: Sequence[str] = field(default_factory=tuple)


class Document(Protocol):
    """The notebook of this kernel."""

    writes: bool
    """Whether `apply` changes cells; if not, it shows them as proposals."""

    def read(self) -> Contents:
        """Return its cells.

        Raises
        ------
        DocumentError
            It cannot be read.
        """

    def apply(self, changes: Sequence[Change], by: Author) -> Sequence[str]:
        """Make all of *changes*, in one step of the notebook's own undo, or none.

        Returns the ids of the cells they are about.

        Raises
        ------
        ChangedError, DocumentError
            They cannot be made.
        """

    def show_outputs(
        self, cell: str, outputs: Sequence[Mapping[str, Any]], execution_count: int | None
    ) -> bool:
        """Show what a cell has put out that the kernel ran itself; False where it cannot be shown there."""

    def undo(self, run: str, force: bool = False) -> Undone:
        """Take back what was changed in a run; with *force* also where it was changed since."""
