"""Panels in a cell that live: what they show is read again when somebody wrote, and is acted on by click.

What a panel asks goes through a function that is given to it, so that nothing here knows where things are
kept. The page gets all it shows whenever something of it has changed; the saved form, HTML and text, follows a
moment behind, so that the notebook's file always holds things as they were last seen.

Messages to the page: ``state`` (agent, and what the panel reads) and ``reply`` (id, result or error).
Messages from it: ``ready`` (it shows the panel; ``hosted``: and the saved form once the kernel is gone),
``here`` (somebody looks at it), ``request`` (id, method, params).
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from letta_kernel.display.channel import FrontEnds
from letta_kernel.display.tables import PANEL_MIME, Panel
from letta_kernel.display.widget import LiveWidget
from letta_kernel.errors import LettaError, NotFoundError
from letta_kernel.ids import new_id

Ask = Callable[[str, dict[str, Any]], Any]
"""Answers a method of the panel (``blocks``, ``block.write``, …) in JSON values; raises LettaError."""

_READY_SECONDS = 20.0  # a page that has not said by then that it shows the panel does not
_POLL_SECONDS = 0.6  # between two looks at whether something was written, while somebody watches
_HERE_SECONDS = 25.0  # a page that shows the panel says so more often
_SAVE_SECONDS = 1.0  # the saved form follows this long after the last change
_MOST_PANELS = 8  # live at once in one kernel; the oldest is left in its saved form

_open: list[weakref.ref[LivePanel]] = []


def refresh_all() -> None:
    """Let every open panel look now: something in this process has written."""
    for panel in _living():
        panel.refresh()


def _living() -> list[LivePanel]:
    return [panel for one in _open if (panel := one()) is not None and panel.is_open]


class LivePanel(ABC):
    """Shows something of one agent in the cell that made it, and lets a person act on it.

    Parameters
    ----------
    shell
        The IPython shell of a kernel.
    agent, name
        The agent's id and name.
    ask
        Answers the panel's methods.
    stamp
        Returns something cheap that differs once anybody, in any process, has written.
    """

    kind: ClassVar[str]
    """What the page draws (`LiveWidget`)."""
    methods: ClassVar[frozenset[str]]
    """What a page may ask."""

    def __init__(
        self, shell: Any, agent: str, name: str, ask: Ask, stamp: Callable[[], object]
    ) -> None:
        self._pub = shell.display_pub
        self._display = {"display_id": new_id("view")}
        self.agent, self.name, self.ask = agent, name, ask
        self._stamp = stamp
        self._seen: object = None
        self._shown: dict[str, Any] = {}
        self._saved: dict[str, str] = {}
        self._unsaved_since: float | None = None
        self._ready = False
        self._here = time.monotonic()
        self._stale = False
        self._over = False
        self._wake = threading.Event()
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._widget: LiveWidget | None = None

    @abstractmethod
    def read(self) -> dict[str, Any]:
        """Return what the page is sent, in JSON values."""

    @abstractmethod
    def saved(self, shown: dict[str, Any]) -> Panel:
        """Return the form that a notebook keeps of what `read` returned."""

    @property
    def is_open(self) -> bool:
        """Is there, or may there be, a page that shows it live?"""
        return self._widget is not None and not self._over

    def show(self) -> None:
        """Put the panel into the cell that runs now; what is wrong with the agent is raised here."""
        self._read()
        if FrontEnds.worth_a_widget():
            # No widgets here: the saved form is what there is to see.
            with contextlib.suppress(Exception):
                self._widget = LiveWidget(self._receive, self.kind)
        self._saved = self._bundle()
        view = self._widget.bundle if self._widget is not None else {}
        self._pub.publish({**view, **self._saved}, metadata={}, transient=self._display)
        if self._widget is None:
            return
        _open[:] = [weakref.ref(panel) for panel in _living()]
        for panel in _living()[: 1 - _MOST_PANELS]:
            panel.close()
        _open.append(weakref.ref(self))
        # The copied context carries which cell's output this is.
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._live,),
            name="letta-live-panel",
            daemon=True,
        ).start()

    def refresh(self) -> None:
        """Say that something may have changed."""
        self._stale = True
        self._wake.set()

    def close(self) -> None:
        """Leave the saved form in the panel's place, soon."""
        self._over = True
        self._wake.set()

    # What runs on the panel's own thread.

    def _live(self) -> None:
        assert self._widget is not None
        deadline = time.monotonic() + _READY_SECONDS
        try:
            while not self._over:
                self._wake.wait(self._pause())
                self._wake.clear()
                while not self._inbox.empty() and not self._over:
                    self._handle(self._inbox.get_nowait())
                if not self._ready and time.monotonic() > deadline:
                    return
                self._look()
                self._save()
        finally:
            self._over = True
            self._saved = self._bundle()
            self._pub.publish(self._saved, metadata={}, transient=self._display, update=True)
            self._widget.close()

    def _pause(self) -> float | None:
        """Return how long to wait for somebody to say something: for ever if nobody looks."""
        if self._unsaved_since is not None:
            return 0.1
        watched = time.monotonic() - self._here < _HERE_SECONDS
        return _POLL_SECONDS if watched or not self._ready else None

    def _receive(self, content: dict[str, Any]) -> None:
        """Note what a page said; called on the kernel's message thread."""
        self._inbox.put(content)
        self._wake.set()

    def _handle(self, content: dict[str, Any]) -> None:
        assert self._widget is not None
        kind = content.get("type")
        self._here = time.monotonic()
        if kind == "ready":
            if content.get("hosted") is False:
                # Nothing there would show the saved form once the kernel is gone.
                self._over = True
                return
            self._ready = FrontEnds.answered = True
            self._look()
            self._send()
        elif kind == "request":
            reply = self._answer(content)
            self._look(now=True)
            self._widget.send({"type": "reply", "id": content.get("id"), **reply})

    def _send(self) -> None:
        assert self._widget is not None
        self._widget.send({"type": "state", "agent": self.name, **self._shown})

    def _answer(self, content: dict[str, Any]) -> dict[str, Any]:
        method, given = str(content.get("method")), content.get("params")
        params = given if isinstance(given, dict) else {}
        try:
            if method not in self.methods:
                raise NotFoundError(f"This panel cannot be asked for {method!r}.")
            return {"result": self.ask(method, {**params, "agent": self.agent})}
        except LettaError as error:
            return {"error": {"kind": type(error).__name__, "message": str(error)}}
        except Exception as error:  # a page must get an answer whatever went wrong
            return {"error": {"kind": "Error", "message": f"{type(error).__name__}: {error}"}}

    def _look(self, *, now: bool = False) -> None:
        """Read again if anybody has written, and tell the page what is new."""
        stale, self._stale = self._stale or now, False
        before = self._shown
        try:
            if self._stamp() == self._seen and not stale:
                return
            self._read()
        except NotFoundError:  # the agent is gone; what it knew stays to be seen
            self._over = True
            return
        except LettaError:  # somebody holds the store; the next look will tell
            self._seen = None
            return
        if before == self._shown:
            return
        self._unsaved_since = time.monotonic()
        if self._ready and self._widget is not None:
            self._send()

    def _read(self) -> None:
        self._seen = self._stamp()
        self._shown = self.read()

    def _save(self) -> None:
        since = self._unsaved_since
        if since is None or time.monotonic() - since < _SAVE_SECONDS or self._widget is None:
            return
        self._unsaved_since = None
        saved = self._bundle()
        if saved != self._saved:
            self._saved = saved
            view = self._widget.bundle
            self._pub.publish({**view, **saved}, metadata={}, transient=self._display, update=True)

    def _bundle(self) -> dict[str, Any]:
        bundle = self.saved(self._shown)._repr_mimebundle_()
        return {PANEL_MIME: bundle.pop(PANEL_MIME), **bundle}
