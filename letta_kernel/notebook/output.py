"""Output of the magics: quiet lines, errors of one line that end the cell, progress bars."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from letta_kernel.display.progress import Bar
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


@contextmanager
def progress(
    shell: Any, stopped: str = "Stopped; the same line goes on where it was."
) -> Iterator[Callable[[float, str], None]]:
    """Give a function that draws a share (0 to 1) and a text; in a terminal nothing is drawn.

    Raises
    ------
    Stopped
        The stop button; *stopped* says what has become of the work.
    """
    bar = Bar(shell)
    try:
        yield bar.draw
    except KeyboardInterrupt:
        raise Stopped(stopped) from None
    finally:
        bar.close()
