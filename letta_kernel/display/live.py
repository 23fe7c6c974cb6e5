"""The live view of one run in a notebook cell, replaced by the saved form when the run is over."""

from __future__ import annotations

import contextvars
import threading
import time
from types import TracebackType
from typing import Any

from letta_kernel.display.html import to_html
from letta_kernel.display.text import to_text
from letta_kernel.display.transcript import Transcript
from letta_kernel.ids import new_id
from letta_kernel.messages import Event

MIME = "application/vnd.letta.run.v1+json"
"""The MIME type of a transcript snapshot, for the JupyterLab extension."""

_FASTEST = 0.1  # seconds between two updates
_BYTES_PER_SECOND = 400_000  # updates get rarer as the transcript grows


def bundle(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return the saved form of a run: our own MIME type, HTML and text, and nothing else."""
    return {MIME: snapshot, "text/html": to_html(snapshot), "text/plain": to_text(snapshot)}


class LiveView:
    """Shows a run in the cell while it happens.

    Use it as a context manager, or call `close` in a ``finally``: that publishes the saved form under
    the same display id. In a terminal IPython the transcript is printed at the end; without any IPython
    nothing is shown and only `snapshot` is of use.

    Parameters
    ----------
    prompt
        What the person said.
    shell
        The IPython shell to show things in; None takes the running one, if any.
    """

    def __init__(self, prompt: str = "", *, shell: Any = None) -> None:
        self.transcript = Transcript(prompt)
        self.display_id = new_id("view")
        self._publisher = _publisher_of(shell)
        self._opened = False
        self._closed = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LiveView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def handle(self, event: Event) -> None:
        """Take one event of the run in and show it soon."""
        self.transcript.handle(event)
        if not self._opened:
            self._open()
        self._wake.set()

    def snapshot(self) -> dict[str, Any]:
        """Return what there is to see so far, as JSON-ready values."""
        return self.transcript.snapshot()

    def close(self) -> None:
        """Publish the saved form; may be called more than once."""
        if self._closed:
            return
        self._closed = True
        self.transcript.close()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2.0)
        if self._publisher is not None and self._opened:
            self._publisher.final(self.display_id, bundle(self.snapshot()))

    def _open(self) -> None:
        self._opened = True
        if self._publisher is not None and self._publisher.live:
            self._publisher.first(self.display_id, bundle(self.snapshot()))
            # The copied context carries which cell's output this is.
            context = contextvars.copy_context()
            self._thread = threading.Thread(
                target=context.run, args=(self._follow,), name="letta-live-view", daemon=True
            )
            self._thread.start()

    def _follow(self) -> None:
        pause = _FASTEST
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            if self._closed or self._publisher is None:
                return
            data = bundle(self.snapshot())
            self._publisher.update(self.display_id, data)
            pause = max(_FASTEST, len(data["text/html"]) / _BYTES_PER_SECOND)
            deadline = time.monotonic() + pause
            while not self._closed and time.monotonic() < deadline:
                time.sleep(min(0.05, pause))


class _Publisher:
    """Where display data goes: a notebook front end, or a terminal that only gets the last word."""

    def __init__(self, display_pub: Any, live: bool) -> None:
        self._pub = display_pub
        self.live = live

    def first(self, display_id: str, data: dict[str, Any]) -> None:
        self._pub.publish(data, metadata={}, transient={"display_id": display_id})

    def update(self, display_id: str, data: dict[str, Any]) -> None:
        self._pub.publish(data, metadata={}, transient={"display_id": display_id}, update=True)

    def final(self, display_id: str, data: dict[str, Any]) -> None:
        if self.live:
            self.update(display_id, data)
        else:
            print(data["text/plain"])


def _publisher_of(shell: Any) -> _Publisher | None:
    if shell is None:
        import sys

        if "IPython" not in sys.modules:
            return None
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
    if shell is None:
        return None
    return _Publisher(shell.display_pub, live=getattr(shell, "kernel", None) is not None)
