"""Figures that a tool drew are shown at its call, not below the run at the cell's end.

Only what IPython's inline backend would show is taken, made by its formatters and closed as it would close it.
"""

from __future__ import annotations

import sys
from typing import Any

from letta_kernel.messages import Event, ToolReturned, ToolStarted

_SHOWN = ("image/png", "image/svg+xml", "image/jpeg")


class Figures:
    """Looks after the figures of one run's tools; all events of the run pass through `at_its_call`.

    Parameters
    ----------
    shell
        The IPython shell whose cell the run is in.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._before: set[int] = set()  # figures that are not the tools'
        self._shown: list[dict[str, Any]] = []  # what ``plt.show()`` has published in this call
        self._listens = False

    def at_its_call(self, event: Event) -> Event:
        """Return *event*; a call that has returned shows the first figure it drew, if nothing else."""
        if isinstance(event, ToolStarted):
            self._before = set(_numbers())
            self._listen(True)
        elif isinstance(event, ToolReturned):
            self._listen(False)
            drawn = [*self._shown, *self._taken()]
            self._shown.clear()
            if event.display is None and drawn:
                event = event.model_copy(update={"display": drawn.pop(0)})
            elif drawn and "image" in str(list(event.display or ())):
                drawn.pop(0)  # the figure it returned
            for more in drawn:
                self._shell.display_pub.publish(more)
        return event

    def close(self) -> None:
        """Stop listening: the run is over."""
        self._listen(False)

    def _listen(self, on: bool) -> None:
        name = "register_hook" if on else "unregister_hook"
        change = getattr(self._shell.display_pub, name, None)
        if callable(change) and on != self._listens:
            self._listens = on
            change(self._hear)

    def _hear(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Keep a picture that is published, and nothing else."""
        content = message.get("content", {})
        data = content.get("data", {})
        fixed = message.get("msg_type") == "display_data" and not content.get("transient")
        if fixed and any(kind in data for kind in _SHOWN):
            self._shown.append(dict(data))
            return None
        return message

    def _taken(self) -> list[dict[str, Any]]:
        """Return the figures that pyplot has since the call began, and close them."""
        new = [number for number in _numbers() if number not in self._before]
        if not new or not _inline(self._shell):
            return []
        pyplot: Any = sys.modules["matplotlib.pyplot"]
        taken = []
        for number in new:
            figure = pyplot.figure(number)
            if figure.axes or figure.lines or figure.texts:
                data, _ = self._shell.display_formatter.format(figure)
                taken.append(data)
            pyplot.close(figure)
        return taken


def _numbers() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return list(pyplot.get_fignums()) if pyplot is not None else []


def _inline(shell: Any) -> bool:
    """Would IPython show and close the figures at the end of the cell?"""
    import matplotlib
    from matplotlib_inline.config import InlineBackend

    inline = "inline" in str(matplotlib.get_backend()).lower()
    return inline and bool(InlineBackend.instance(parent=shell).close_figures)
