"""The memory panel: an agent's blocks in a cell, live and to be edited, by the thread of one panel.

What it asks goes through a function that is given to it, so that nothing here knows where blocks are
kept. The page gets all blocks whenever one has changed; the saved form, HTML and text, follows a moment behind,
so that the notebook's file always holds the blocks as they were last seen.

Messages to the page: ``blocks`` (agent, blocks) and ``reply`` (id, result or error), as at a desk.
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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from letta_kernel.display.block_panels import memory_panel
from letta_kernel.display.channel import FrontEnds
from letta_kernel.display.clean import one_line
from letta_kernel.display.style import heading
from letta_kernel.display.tables import PANEL_MIME, Panel, stack
from letta_kernel.display.widget import LiveWidget
from letta_kernel.errors import LettaError, NotFoundError
from letta_kernel.ids import YOU, new_id
from letta_kernel.records import Block, BlockStanding

Ask = Callable[[str, dict[str, Any]], Any]
"""Answers a method of the panel (``blocks``, ``block.write``, …) in JSON values; raises LettaError."""

_METHODS = tuple(
    f"block.{name}" for name in ("write", "create", "detach", "undo", "redo", "versions")
)
_READY_SECONDS = 20.0  # a page that has not said by then that it shows the panel does not
_POLL_SECONDS = 0.6  # between two looks at whether something was written, while somebody watches
_HERE_SECONDS = 25.0  # a page that shows the panel says so more often
_SAVE_SECONDS = 1.0  # the saved form follows this long after the last change
_MOST_PANELS = 8  # live at once in one kernel; the oldest is left in its saved form

_open: list[weakref.ref[MemoryPanel]] = []


def refresh_all() -> None:
    """Let every open panel look at its blocks now: something in this process has written one."""
    for panel in _living():
        panel.refresh()


def _living() -> list[MemoryPanel]:
    return [panel for one in _open if (panel := one()) is not None and panel.is_open]


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


class MemoryPanel:
    """Shows and edits the blocks of one agent in the cell that made it.

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

    def __init__(
        self, shell: Any, agent: str, name: str, ask: Ask, stamp: Callable[[], object]
    ) -> None:
        self._pub = shell.display_pub
        self._display = {"display_id": new_id("view")}
        self._agent, self._name = agent, name
        self._ask, self._stamp = ask, stamp
        self._seen: object = None
        self._blocks: dict[str, dict[str, Any]] = {}  # by id, in their order
        self._saved: dict[str, str] = {}
        self._unsaved_since: float | None = None
        self._ready = False
        self._here = time.monotonic()
        self._stale = False
        self._over = False
        self._wake = threading.Event()
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._widget: LiveWidget | None = None

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
                self._widget = LiveWidget(self._receive, "memory")
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
            name="letta-memory-panel",
            daemon=True,
        ).start()

    def refresh(self) -> None:
        """Say that a block may have changed."""
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
            self._send_blocks()
        elif kind == "request":
            reply = self._answer(content)
            self._look(now=True)
            self._widget.send({"type": "reply", "id": content.get("id"), **reply})

    def _send_blocks(self) -> None:
        assert self._widget is not None
        blocks = list(self._blocks.values())
        self._widget.send({"type": "blocks", "agent": self._name, "blocks": blocks})

    def _answer(self, content: dict[str, Any]) -> dict[str, Any]:
        method, given = str(content.get("method")), content.get("params")
        params = given if isinstance(given, dict) else {}
        try:
            if method not in _METHODS:
                raise NotFoundError(f"The memory panel has no {method!r}.")
            return {"result": self._ask(method, {**params, "agent": self._agent})}
        except LettaError as error:
            return {"error": {"kind": type(error).__name__, "message": str(error)}}
        except Exception as error:  # a page must get an answer whatever went wrong
            return {"error": {"kind": "Error", "message": f"{type(error).__name__}: {error}"}}

    def _look(self, *, now: bool = False) -> None:
        """Read the blocks again if anybody has written, and tell the page what is new."""
        stale, self._stale = self._stale or now, False
        stamp = self._stamp()
        if not stale and stamp == self._seen:
            return
        before = list(self._blocks.values())
        try:
            self._read()
        except NotFoundError:  # the agent is gone; what it knew stays to be seen
            self._over = True
            return
        except LettaError:  # somebody holds the store; the next look will tell
            self._seen = None
            return
        if before == list(self._blocks.values()):
            return
        self._unsaved_since = time.monotonic()
        if self._ready and self._widget is not None:
            self._send_blocks()

    def _read(self) -> None:
        self._seen = self._stamp()
        found = self._ask("blocks", {"agent": self._agent})
        self._blocks = {str(block["id"]): block for block in found}

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
        bundle = static_panel(list(self._blocks.values()), self._name)._repr_mimebundle_()
        return {PANEL_MIME: bundle.pop(PANEL_MIME), **bundle}
