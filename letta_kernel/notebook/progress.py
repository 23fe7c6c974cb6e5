"""How far long work has come: one display in the cell that is drawn again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from letta_kernel.display import panels, style
from letta_kernel.display.clean import esc
from letta_kernel.display.style import el, small
from letta_kernel.display.tables import Panel
from letta_kernel.errors import Stopped
from letta_kernel.ids import new_id

_PAUSE = 0.1  # seconds between two drawings


@contextmanager
def progress(shell: Any) -> Iterator[Callable[[float, str], None]]:
    """Give a function that draws a share (0 to 1) and a text; in a terminal nothing is drawn.

    Raises
    ------
    Stopped
        The stop button, for work that goes on where it was when it is asked for again.
    """
    display = {"display_id": new_id("view")}
    drawn = 0.0  # time.monotonic(), of the last drawing
    kernel = getattr(shell, "kernel", None) is not None

    def publish(panel: Panel, update: bool) -> None:
        shell.display_pub.publish(panel._repr_mimebundle_(), transient=display, update=update)

    def draw(share: float, text: str) -> None:
        nonlocal drawn
        if not kernel or time.monotonic() - drawn < _PAUSE:
            return
        line = el("div", small(esc(text)))
        publish(Panel(panels.bar([(share, style.VIOLET, text)]) + line, text), drawn > 0)
        drawn = time.monotonic()

    try:
        yield draw
    except KeyboardInterrupt:
        raise Stopped("Stopped; the same line goes on where it was.") from None
    finally:
        if drawn:
            publish(Panel("", ""), update=True)
