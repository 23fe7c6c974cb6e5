"""How far long work has come: one display in the cell that is drawn again."""

from __future__ import annotations

import time
from typing import Any

from letta_kernel.display import panels, style
from letta_kernel.display.clean import esc
from letta_kernel.display.style import el, small
from letta_kernel.display.tables import Panel
from letta_kernel.ids import new_id

_PAUSE = 0.1  # seconds between two drawings


class Bar:
    """A progress bar in the running cell; in a terminal nothing is drawn."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._display = {"display_id": new_id("view")}
        self._drawn = 0.0  # time.monotonic()
        self._shown = False

    def draw(self, share: float, text: str) -> None:
        """Draw the bar at *share* (0 to 1) with *text* below it, if it was not drawn just now."""
        if time.monotonic() - self._drawn < _PAUSE or getattr(self._shell, "kernel", None) is None:
            return
        self._drawn = time.monotonic()
        line = el("div", small(esc(text)))
        self._publish(Panel(panels.bar([(share, style.VIOLET, text)]) + line, text))

    def end(self, said: str) -> str:
        """Take the bar away; return what there is to say."""
        if self._shown:
            self._publish(Panel("", ""))
        return said

    def _publish(self, panel: Panel) -> None:
        self._shell.display_pub.publish(
            panel._repr_mimebundle_(), transient=self._display, update=self._shown
        )
        self._shown = True
