"""The timeline in a cell, live: looked through, explained, rewound and forked by click."""

from __future__ import annotations

from typing import Any, ClassVar

from letta_kernel.display.live_panel import LivePanel
from letta_kernel.display.tables import Panel
from letta_kernel.display.timeline import timeline_panel


class TimelinePanel(LivePanel):
    """Shows the newest runs of one agent in the cell that made it; older ones come on demand."""

    kind: ClassVar[str] = "timeline"
    methods: ClassVar[frozenset[str]] = frozenset(
        ["timeline", "explain"]
        + [
            f"timeline.{name}"
            for name in ("at", "diff", "preview", "rewind", "undo", "redo", "fork")
        ]
    )

    def read(self) -> dict[str, Any]:
        """Return the newest page."""
        past: dict[str, Any] = self.ask("timeline", {"agent": self.agent})
        return past

    def saved(self, shown: dict[str, Any]) -> Panel:
        """Return the page as HTML and text."""
        return timeline_panel(shown, self.name)
