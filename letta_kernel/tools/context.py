"""What a core tool may reach: the memory and the files of one agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.memory import citations
from letta_kernel.memory.archival import Archive
from letta_kernel.memory.blocks import Change, CoreMemory
from letta_kernel.memory.citations import Citations, Cited
from letta_kernel.memory.edits import EditError
from letta_kernel.memory.folders import FileShelf
from letta_kernel.memory.recall import Recall

UPDATED = "The core memory block has been edited."


@dataclass(slots=True)
class ToolContext:
    """What a core tool may reach: the memory of one agent, during one step."""

    agent_id: str
    step_id: str | None
    core: CoreMemory
    archive: Archive
    recall: Recall
    files: FileShelf
    timezone: str = "UTC"
    cites: Citations = field(default_factory=Citations)
    on_change: Callable[[Change], None] = lambda change: None

    def keep(self, written: Mapping[str, tuple[str, str]], reason: str) -> list[Change]:
        """Write what a tool made of blocks, by label the text it read and the new one; return the changes.

        Raises
        ------
        LettaError
            One is read-only, too small for it, or was changed by somebody else meanwhile.
        """

        def over(label: str, before: str, after: str) -> Callable[[str], str]:
            def change(value: str) -> str:
                if value != before:
                    raise EditError(f"The block {label!r} was changed meanwhile: read it again.")
                if not isinstance(after, str):
                    raise EditError(f"The value of the block {label!r} has to be a text.")
                return after

            return change

        return [
            self.core.edit(
                label,
                over(label, before, after),
                actor=self.agent_id,
                step_id=self.step_id,
                reason=reason,
            )
            for label, (before, after) in written.items()
        ]

    def shown(self, found: Mapping[str, Cited]) -> list[dict[str, Any]]:
        """Return what people are shown of hits that may be cited, by their ids."""
        if not found:
            return []
        return self.core.database.run(lambda tx: citations.shown(tx, found))

    def edit(self, label: str, change: Callable[[str], str], reason: str) -> str:
        """Edit a block, tell the run, and return what the model is told."""
        done = self.core.edit(
            label, change, actor=self.agent_id, step_id=self.step_id, reason=reason
        )
        if done.block.value == done.before:
            return "Nothing changed: the block already reads so."
        self.on_change(done)
        return f"{UPDATED} {label}: {len(done.block.value):,} of {done.block.limit:,} characters."
