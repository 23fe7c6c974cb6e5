"""Sends a run to its front ends and hears what they say: one thread for one live view.

Where a front end shows the widget it gets the run's events, numbered (`letta_kernel.service.event_json`);
elsewhere the whole is published again now and then. At the end the saved form takes the place of either, and
only then the widget is closed.

Messages to the widget: ``events``, and ``ask`` (what the person is asked, or None). Messages from it:
``follow`` (what it has not seen; it shows the run then), ``shown`` (a question), ``answer``, ``stop``.
"""

from __future__ import annotations

import contextvars
import queue
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from letta_kernel.display.html import bundle
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.widget import LiveWidget
from letta_kernel.ids import new_id
from letta_kernel.remedies import PLAIN
from letta_kernel.service import event_json
from letta_kernel.service.event_log import RunLog

# Seconds a front end gets to say that it shows the widget. The run itself never waits for it.
_READY_FIRST = 2.5  # nothing is known yet: it may have to load the widget manager first
_READY_KNOWN = 4.0  # one has answered before in this kernel
_READY_SILENT = 1.0  # none has answered in earlier runs
_SEEN_SECONDS = 6.0  # for a page to say that it shows a question, before it is asked in another way
_SILENT_RUNS = 3  # so many runs without an answer: no more widgets in this kernel

# Messages to the widget: quick at first, rarer in a long stream, since each costs some 500 bytes of
# envelope and the page lays the letters out over the time between two of them.
_PACE = ((25, 0.04), (60, 0.1), (100, 0.16), (150, 0.4))  # messages so far, seconds between two
_SLOWEST = 0.8
_PAUSE_IN_STREAM = 0.12  # no event for so long: what is there is sent at once
# Updates that publish the whole, where there is no widget.
_WHOLE_SECONDS = 0.25
_BYTES_PER_SECOND = 200_000


class FrontEnds:
    """What this kernel has learned about its front ends, over all its runs."""

    answered = False
    silent_runs = 0

    @classmethod
    def worth_a_widget(cls) -> bool:
        """Is there a chance that one shows a widget?"""
        return cls.answered or cls.silent_runs < _SILENT_RUNS

    @classmethod
    def timeout(cls) -> float:
        """Return how many seconds to wait for one to say so."""
        if cls.answered:
            return _READY_KNOWN
        return _READY_SILENT if cls.silent_runs else _READY_FIRST


class Channel:
    """The thread that shows one transcript in the cell that made it, until `finish`.

    Parameters
    ----------
    display_pub
        IPython's display publisher.
    transcript, log
        What to show; both may grow at any time, and `wake` says that they have.
    """

    def __init__(self, display_pub: Any, transcript: Transcript, log: RunLog) -> None:
        self._pub = display_pub
        self._display = {"display_id": new_id("view")}
        self._transcript = transcript
        self._log = log
        self._told = 0  # the number of the last event that front ends were told
        self._messages = 0
        self._widget: LiveWidget | None = None
        self._view: dict[str, Any] = {}  # the MIME type that shows the widget
        self._by_widget = False  # is the widget what is on screen?
        self._ready = False  # has a front end said so?
        self._settled = threading.Event()  # is it known whether one will?
        self._over = False
        self._wake = threading.Event()
        self._last_wake = 0.0
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._asked: dict[str, Any] | None = None
        self._asked_there: dict[str, Any] | None = None  # what front ends know to be asked
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._heard = threading.Event()  # has a page said anything about what is asked?
        self._runner = threading.current_thread()
        # The copied context carries which cell's output this is.
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._show,),
            name="letta-live-view",
            daemon=True,
        )
        self._thread.start()

    # What the run's thread calls.

    def wake(self) -> None:
        """Say that the transcript has grown."""
        self._last_wake = time.monotonic()
        self._wake.set()

    def ask(
        self,
        question: dict[str, Any],
        over: Callable[[], bool] = lambda: False,
        alone: Callable[[], None] | None = None,
    ) -> dict[str, Any] | None:
        """Show *question* and wait for the answer, interruptibly.

        None when *over* says that there is nothing to answer any more; and where no front end answers, or
        cannot because its clicks are held back until the cell is over, unless there is *alone*. That is called
        then, once, and the question stays: it is answered elsewhere, or by a page that comes late.
        """
        while not self._settled.wait(0.05):
            if not self._thread.is_alive() or over():
                return None
        if not self._ready:
            if alone is None:
                return None
            alone()
        waits = not self._ready  # however long it takes
        while not self._answers.empty():  # of an earlier question
            self._answers.get_nowait()
        self._asked = {**question, "id": new_id("ask")}
        self._heard.clear()
        deadline = time.monotonic() + _SEEN_SECONDS
        self.wake()
        try:
            while True:
                try:
                    return self._answers.get(timeout=0.1)  # short: the stop button gets through
                except queue.Empty:
                    if over():
                        return None
                    if waits or self._heard.is_set() or time.monotonic() < deadline:
                        continue
                    if alone is None:
                        return None
                    alone()
                    waits = True
        finally:
            self._asked = None
            self.wake()

    def finish(self) -> None:
        """Publish the saved form and close the widget; returns when that is done."""
        self._over = True
        self._wake.set()
        self._thread.join(10.0)

    # What runs on the view's own thread.

    def _show(self) -> None:
        try:
            if FrontEnds.worth_a_widget():
                self._open_widget()
            self._pub.publish({**self._view, **self._saved()}, metadata={}, transient=self._display)
            self._stream()
        finally:
            self._settled.set()
            if self._ready:
                self._send_news()  # how it ended, so that nothing changes when the saved form comes
            self._publish(self._saved())
            if self._widget is not None:
                self._widget.close()

    def _open_widget(self) -> None:
        try:
            self._widget = LiveWidget(self._receive)
        except Exception:  # no widgets here: publishing the whole does
            return
        self._view = self._widget.bundle
        self._by_widget = True

    def _receive(self, content: dict[str, Any]) -> None:
        """Note what a front end said; called on the kernel's message thread."""
        self._inbox.put(content)
        self._wake.set()

    def _saved(self) -> dict[str, Any]:
        return bundle(self._transcript.snapshot())

    def _publish(self, data: dict[str, Any]) -> None:
        self._pub.publish(data, metadata={}, transient=self._display, update=True)

    def _stream(self) -> None:
        deadline = time.monotonic() + FrontEnds.timeout()
        while not self._over:
            waits = self._by_widget and not self._ready
            self._wake.wait(max(deadline - time.monotonic(), 0.0) if waits else None)
            self._wake.clear()
            self._read_inbox()
            if self._over:
                return
            if self._by_widget and not self._ready and time.monotonic() >= deadline:
                self._by_widget = False
                FrontEnds.silent_runs += 1
            if not self._by_widget:
                self._settled.set()
                data = self._saved()
                self._publish(data)
                self._pause(max(_WHOLE_SECONDS, len(data["text/html"]) / _BYTES_PER_SECOND))
            elif self._ready:
                self._pause(self._send_news())

    def _send_news(self) -> float:
        """Tell the widget what is new; return how long to wait before the next time."""
        assert self._widget is not None
        pause = next((s for sent, s in _PACE if self._messages <= sent), _SLOWEST)
        for message in event_json.messages(self._log, self._told, PLAIN):
            self._told = message["until"]
            self._messages += 1
            self._widget.send(message)
        if self._asked is not self._asked_there:
            self._asked_there = self._asked
            self._widget.send({"type": "ask", "ask": self._asked})
        return pause

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._over and self._inbox.empty() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.04))
            if self._by_widget and self._wake.is_set() and self._idle():
                return

    def _idle(self) -> bool:
        return time.monotonic() - self._last_wake > _PAUSE_IN_STREAM

    def _read_inbox(self) -> None:
        while not self._inbox.empty():
            content = self._inbox.get_nowait()
            kind, asked = content.get("type"), self._asked
            if asked is not None and content.get("ask") == asked["id"]:
                self._heard.set()
            if kind == "follow":
                self._catch_up(content.get("after"))
            elif kind == "answer" and asked is not None and content.get("ask") == asked["id"]:
                self._asked = None  # the first answer counts, in every front end
                self._answers.put(content)
            elif kind == "stop":
                self._interrupt()

    def _catch_up(self, after: object) -> None:
        """A front end shows the widget, or has missed something: it gets what it has not seen."""
        assert self._widget is not None
        if not self._by_widget:  # it came late: show the widget again
            self._by_widget = True
            self._publish({**self._view, **self._saved()})
        self._send_news()  # for the others, who count on the next number
        seen = max(after, 0) if isinstance(after, int) else 0
        for message in event_json.messages(self._log, seen, PLAIN):
            if message["after"] >= self._told:
                break
            self._widget.send(message)
        if not self._told:
            self._widget.send(
                {"type": "events", "run_id": "", "after": 0, "until": 0, "events": []}
            )
        self._widget.send({"type": "ask", "ask": self._asked})
        self._ready = FrontEnds.answered = True
        self._settled.set()

    def _interrupt(self) -> None:
        """Do what the stop button does, if the run is on the main thread and not over."""
        main = threading.main_thread()
        if self._over or self._runner is not main or main.ident is None:
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main.ident, signal.SIGINT)  # wakes it from sleeps and socket reads
        else:
            import _thread

            _thread.interrupt_main()
