"""How the magics speak: quiet lines, and errors of one line that still end the cell."""

from __future__ import annotations

import traceback
from typing import Any

from letta_kernel.display.tables import note
from letta_kernel.errors import Stopped

__all__ = ["AgentError", "Stopped", "details", "say", "show"]


class AgentError(Exception):
    """Ends a cell with one line; ``Run All`` stops here, and no traceback through us is shown.

    Parameters
    ----------
    text
        What went wrong and how to mend it.
    shown
        What the cell shows, if that is less than *text* because the rest is on screen already.
    """

    def __init__(self, text: str, shown: str = "") -> None:
        super().__init__(text)
        self._shown = shown or text

    def _render_traceback_(self) -> list[str]:
        return [f"\x1b[31m{self._shown}\x1b[0m"]


def say(shell: Any, text: str, level: str = "info") -> None:
    """Show one quiet line in the cell's output."""
    show(shell, note(text, level))


def show(shell: Any, thing: Any) -> None:
    """Show a panel or a plot in the cell's output: HTML in a notebook, text in a terminal."""
    bundle = thing._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, None)
    if getattr(shell, "kernel", None) is None:
        print(data["text/plain"])
    else:
        shell.display_pub.publish(data, metadata)


def details(error: BaseException) -> str:
    """Return the whole traceback of *error*, for those who ask for it."""
    return "".join(traceback.format_exception(error))
