"""What a core tool may reach: the memory and the files of one agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.memory import citations
from letta_kernel.memory.archival import Archive
from letta_kernel.memory.blocks import Change, CoreMemory, OutdatedError, quoted
from letta_kernel.memory.citations import Citations, Cited
from letta_kernel.memory.edits import EditError
from letta_kernel.memory.folders import AgentFiles
from letta_kernel.memory.recall import Recall
from letta_kernel.memory.staged import OthersRecall, StagedArchive
from letta_kernel.records import Block

UPDATED = "The core memory block has been edited."


@dataclass(slots=True)
class ToolContext:
    """What a core tool may reach: the memory of one agent, during one step.

    Attributes
    ----------
    seen : by a block's id the version that the model has in sight; None where no model calls.
    """

    agent_id: str
    step_id: str | None
    core: CoreMemory
    archive: Archive | StagedArchive
    recall: Recall | OthersRecall
    files: AgentFiles
    timezone: str = "UTC"
    cites: Citations = field(default_factory=Citations)
    on_change: Callable[[Change], None] = lambda change: None
    seen: dict[str, int] | None = None
    _told: dict[str, int] = field(
        default_factory=dict
    )  # what results say, which the next step sees

    def begin(self, step_id: str) -> None:
        """Take note that a step begins: the model has read what the results of the last one say."""
        if self.step_id is not None and self.seen is not None:
            for key, version in self._told.items():
                self.seen[key] = max(version, self.seen.get(key, 0))
            self._told.clear()
        self.step_id = step_id

    def see(self, asked: Mapping[str, int], prompt: Mapping[str, int]) -> None:
        """Say which versions of blocks the model saw as it asked for its calls, and sees in its *prompt*."""
        self.seen, self._told = {**asked}, {**prompt}

    def wrote(self, changes: Iterable[Change]) -> None:
        """Take note of committed *changes* by the agent: what it wrote upon what it saw, it knows."""
        seen = {} if self.seen is None else self.seen
        for change in changes:
            if seen.get(change.block.id, 0) == change.block.version - 1:
                seen[change.block.id] = change.block.version

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
        return self.core.database.run(lambda tx: citations.shown(tx, found, self.agent_id))

    def edit(
        self, label: str, change: Callable[[str], str], reason: str, *, whole: bool = False
    ) -> str:
        """Edit a block, tell the run, and return what the model is told; *whole* as for `CoreMemory.edit`."""
        try:
            done = self.core.edit(
                label,
                change,
                actor=self.agent_id,
                step_id=self.step_id,
                reason=reason,
                seen=self.seen,
                whole=whole,
            )
        except OutdatedError as error:
            self._tell(error.block)
            raise
        if done.block.value == done.before:
            return f"Nothing changed: the block already reads so.{self._meanwhile(done)}"
        self.on_change(done)
        size = f"{len(done.block.value):,} of {done.block.limit:,} characters."
        return f"{UPDATED} {label}: {size}{self._meanwhile(done)}"

    def _meanwhile(self, done: Change) -> str:
        """Return what else changed in a block that others have written since the model saw it."""
        if not done.others:
            return ""
        said = f" It was changed by {done.others}, too, since you last saw it."
        text = self._tell(done.block)
        return said if text is None else f"{said} {text}"

    def _tell(self, block: Block) -> str | None:
        """Return a block's text for a result, and note that the model sees it there."""
        if (text := quoted(block)) is not None:
            self._told[block.id] = block.version
        return text
