"""The memory panel: an agent's blocks in a cell, live and to be edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from letta_kernel.display.block_panels import memory_panel
from letta_kernel.display.clean import one_line
from letta_kernel.display.live_panel import LivePanel
from letta_kernel.display.style import heading
from letta_kernel.display.tables import Panel, stack
from letta_kernel.ids import YOU
from letta_kernel.records import Block, BlockStanding


def static_panel(found: Sequence[Mapping[str, Any]], agent: str) -> Panel:
    """Return the saved form of *found*, the blocks of *agent* as the panel's calls describe them."""
    fields = Block.model_fields
    blocks = [Block.model_validate({k: b[k] for k in b if k in fields}) for b in found]
    tokens = {str(b["label"]): int(b.get("tokens") or 0) for b in found}
    standing = {
        str(b["id"]): BlockStanding(others=b["shared_with"], by=b["by"] or YOU, how=b["how"])
        for b in found
    }
    title = one_line(f"Memory of {agent}", 120)
    head = Panel(heading(title), title)
    panel = stack(head, memory_panel(blocks, tokens, standing))
    panel.mime = {"version": 1, "kind": "memory"}
    return panel


class MemoryPanel(LivePanel):
    """Shows and edits the blocks of one agent in the cell that made it."""

    kind: ClassVar[str] = "memory"
    methods: ClassVar[frozenset[str]] = frozenset(
        ["explain"]
        + [
            f"block.{name}"
            for name in ("write", "create", "detach", "undo", "redo", "versions", "origin")
        ]
    )

    def read(self) -> dict[str, Any]:
        """Return the blocks in their order."""
        return {"blocks": self.ask("blocks", {"agent": self.agent})}

    def saved(self, shown: dict[str, Any]) -> Panel:
        """Return the blocks as they are, with their tokens and who has them."""
        return static_panel(shown["blocks"], self.name)
