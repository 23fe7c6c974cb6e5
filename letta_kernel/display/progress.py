"""A bar in a cell that says how far work has come, and is gone when the work is over."""

from __future__ import annotations

import time
from typing import Any

from letta_kernel.display import style
from letta_kernel.display.clean import esc
from letta_kernel.display.style import el, small
from letta_kernel.display.tables import Panel
from letta_kernel.ids import new_id

_PAUSE = 0.1  # seconds between two drawings


class Bar:
    """Draws a share and a text into the cell of *shell*; in a terminal nothing is drawn."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel = getattr(shell, "kernel", None) is not None
        self._display = {"display_id": new_id("view")}
        self._drawn = 0.0  # time.monotonic(), of the last drawing

    def draw(self, share: float, text: str) -> None:
        """Draw a share (0 to 1) and a text, at most ten times a second."""
        if not self._kernel or time.monotonic() - self._drawn < _PAUSE:
            return
        line = el("div", small(esc(text)))
        self._publish(Panel(style.bar([(share, style.VIOLET, text)]) + line, text), self._drawn > 0)
        self._drawn = time.monotonic()

    def close(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._publish(Panel("", ""), update=True)

    def _publish(self, panel: Panel, update: bool) -> None:
        data = panel._repr_mimebundle_()
        self._shell.display_pub.publish(data, transient=self._display, update=update)
