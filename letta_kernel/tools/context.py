"""What a core tool may reach: the memory and the files of one agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from letta_kernel.memory.archival import Archive
from letta_kernel.memory.blocks import Change, CoreMemory
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
    on_change: Callable[[Change], None] = lambda change: None

    def edit(self, label: str, change: Callable[[str], str], reason: str) -> str:
        """Edit a block, tell the run, and return what the model is told."""
        done = self.core.edit(
            label, change, actor=self.agent_id, step_id=self.step_id, reason=reason
        )
        if done.block.value == done.before:
            return "Nothing changed: the block already reads so."
        self.on_change(done)
        return f"{UPDATED} {label}: {len(done.block.value):,} of {done.block.limit:,} characters."
