"""The live view of one run in a notebook cell, replaced by the saved form when the run is over."""

from __future__ import annotations

import contextvars
import json
import queue
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from letta_kernel.display.deltas import Deltas
from letta_kernel.display.html import to_html
from letta_kernel.display.text import to_text
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.widget import LiveWidget
from letta_kernel.ids import new_id
from letta_kernel.messages import Event, ToolCall

MIME = "application/vnd.letta.run.v1+json"
"""The MIME type of a transcript snapshot, for the JupyterLab extension."""

READY_SECONDS = 1.0
"""How long a front end may take to say that it shows the widget; the run does not wait for it."""

# Updates of the widget: quick at first, rarer in a long stream, since each costs some 800 bytes of
# envelope and the page lays the letters out over the time between two of them.
_PACE = ((25, 0.04), (60, 0.1), (120, 0.16))  # messages sent so far, seconds between two
_SLOWEST = 0.4
_PAUSE_IN_STREAM = 0.12  # no event for so long: what is there is sent at once
# Updates that resend the whole transcript, where there is no widget.
_WHOLE_SECONDS = 0.25
_BYTES_PER_SECOND = 200_000


def bundle(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return the saved form of a run: our own MIME type, HTML and text, and nothing else."""
    return {MIME: snapshot, "text/html": to_html(snapshot), "text/plain": to_text(snapshot)}


@dataclass(frozen=True)
class Choice:
    """A person's word on one call: ``arguments`` replaces the model's if they edited them."""

    call_id: str
    approve: bool
    reason: str = ""
    arguments: dict[str, Any] | None = None


class _FrontEnds:
    """What this kernel has learned about its front ends, over all its runs."""

    answered = False
    silent_runs = 0

    @classmethod
    def worth_a_widget(cls) -> bool:
        return cls.answered or cls.silent_runs < 3


class LiveView:
    """Shows a run in the cell while it happens.

    Use it as a context manager, or call `close` in a ``finally``: that publishes the saved form under
    the same display id. Where a front end answers, a widget gets small numbered changes; elsewhere the
    whole is sent again now and then. In a terminal IPython the transcript is printed at the end; without
    any IPython nothing is shown and only `snapshot` is of use.

    One thread of its own sends everything; `handle` never waits for it.

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
        self._context = contextvars.copy_context()  # carries which cell's output this is
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._opened_at: float | None = None
        self._ready = threading.Event()
        self._ask: dict[str, Any] | None = None
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._last_event = 0.0
        self._runner = threading.current_thread()

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
        """Take one event of the run in and show it soon; may be called from any thread."""
        self.transcript.handle(event)
        self._last_event = time.monotonic()
        if self._opened_at is None:
            self._open()
        self._wake.set()

    def snapshot(self) -> dict[str, Any]:
        """Return what there is to see so far, as JSON-ready values."""
        return self.transcript.snapshot()

    def ask_approval(self, calls: Sequence[ToolCall]) -> list[Choice] | None:
        """Ask for a word on each of *calls* by buttons, and wait for it; the stop button interrupts.

        Returns
        -------
        list of Choice, or None
            None where no front end answers, so that the caller has to ask in another way.
        """
        shown = [{"id": c.id, "name": c.name, "arguments": _indented(c.arguments)} for c in calls]
        answer = self._wait_for_answer({"kind": "approval", "calls": shown})
        return None if answer is None else _choices(calls, answer.get("decisions"))

    def ask(self, question: str) -> str | None:
        """Ask the person something and wait for the answer; None where no front end answers."""
        answer = self._wait_for_answer({"kind": "question", "text": question[:4_000]})
        return None if answer is None else str(answer.get("text") or "")

    def close(self) -> None:
        """Publish the saved form; may be called more than once."""
        if self._closed:
            return
        self.transcript.close()
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(10.0)
        elif self._publisher is not None and self._opened_at is not None:
            self._publisher.last_word(bundle(self.snapshot()))

    # What follows runs on the run's thread.

    def _open(self) -> None:
        self._opened_at = time.monotonic()
        if self._publisher is not None and self._publisher.live:
            self._thread = threading.Thread(
                target=self._context.run, args=(self._show,), name="letta-live-view", daemon=True
            )
            self._thread.start()

    def _wait_for_answer(self, ask: dict[str, Any]) -> dict[str, Any] | None:
        publisher = self._publisher
        if self._thread is None or self._opened_at is None or publisher is None:
            return None
        if not publisher.interactive or not _FrontEnds.worth_a_widget():
            return None
        while not self._ready.wait(0.05):
            if time.monotonic() > self._opened_at + READY_SECONDS or not self._thread.is_alive():
                return None
        while not self._answers.empty():  # of an earlier question
            self._answers.get_nowait()
        self._ask = {**ask, "id": new_id("ask")}
        self._wake.set()
        try:
            while True:
                try:
                    answer = self._answers.get(timeout=0.1)  # short: the stop button gets through
                except queue.Empty:
                    continue
                if isinstance(answer, dict):
                    return answer
        finally:
            self._ask = None
            self._wake.set()

    # What follows runs on the view's own thread.

    def _show(self) -> None:
        publisher = self._publisher
        assert publisher is not None
        widget = (
            self._make_widget() if publisher.interactive and _FrontEnds.worth_a_widget() else None
        )
        view = widget.bundle if widget is not None else {}
        try:
            publisher.first(self.display_id, {**view, **bundle(self.snapshot())})
            if publisher.interactive:
                self._stream(publisher, widget, view)
            else:  # nobody looks: the beginning and the end are enough
                while not self._closed:
                    self._wake.wait()
                    self._wake.clear()
        finally:
            publisher.update(self.display_id, bundle(self.snapshot()))
            if widget is not None:
                widget.close()

    def _make_widget(self) -> LiveWidget | None:
        try:
            return LiveWidget(self._receive)
        except Exception:  # no widgets here: the plain view does
            return None

    def _receive(self, content: dict[str, Any]) -> None:
        """Note what a front end said; called on the kernel's message thread."""
        self._inbox.put(content)
        self._wake.set()

    def _stream(
        self, publisher: _Publisher, widget: LiveWidget | None, view: dict[str, Any]
    ) -> None:
        deltas = Deltas()
        by_widget = widget is not None
        answered = False
        deadline = time.monotonic() + READY_SECONDS
        while not self._closed:
            waits = by_widget and not answered
            left = deadline - time.monotonic()
            self._wake.wait(max(left, 0.0) if waits else None)
            self._wake.clear()
            if widget is not None and self._read_inbox():
                answered = _FrontEnds.answered = True
                if not by_widget:  # it came late: show the widget again
                    by_widget = True
                    publisher.update(self.display_id, {**view, **bundle(self.snapshot())})
                change = deltas.changes(*self.transcript.follow(), self._ask)
                if change is not None:  # for the others, who would miss this number
                    widget.send(change)
                widget.send(deltas.whole())
                self._ready.set()
            if self._closed:
                return
            if by_widget and answered and widget is not None:
                pause = next((s for n, s in _PACE if deltas.number <= n), _SLOWEST)
                change = deltas.changes(*self.transcript.follow(), self._ask)
                if change is not None:
                    widget.send({**change, "ms": 0 if self._idle() else int(1000 * pause)})
            elif time.monotonic() >= deadline or not by_widget:
                if by_widget:
                    by_widget = False
                    _FrontEnds.silent_runs += not _FrontEnds.answered
                data = bundle(self.snapshot())
                publisher.update(self.display_id, data)
                pause = max(_WHOLE_SECONDS, len(data["text/html"]) / _BYTES_PER_SECOND)
            else:
                continue
            self._pause(pause)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._closed and self._inbox.empty() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.04))
            if self._wake.is_set() and self._idle():
                return

    def _idle(self) -> bool:
        return time.monotonic() - self._last_event > _PAUSE_IN_STREAM

    def _read_inbox(self) -> bool:
        """Take in what front ends said; True if one of them asks for the whole."""
        asks_for_all = False
        while not self._inbox.empty():
            content = self._inbox.get_nowait()
            kind, ask = content.get("kind"), self._ask
            if kind == "ready":
                asks_for_all = True
            elif kind == "answer" and ask is not None and content.get("ask") == ask["id"]:
                self._ask = None  # the first answer counts, in every front end
                self._answers.put(content)
            elif kind == "stop":
                self._interrupt()
        return asks_for_all

    def _interrupt(self) -> None:
        """Do what the stop button does, if the run is on the main thread and not over."""
        main = threading.main_thread()
        if self._closed or self._runner is not main or main.ident is None:
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main.ident, signal.SIGINT)  # wakes it from sleeps and socket reads
        else:
            import _thread

            _thread.interrupt_main()


def _indented(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return arguments


def _choices(calls: Sequence[ToolCall], decisions: object) -> list[Choice]:
    """What was decided about each call; one that was not decided about is denied."""
    given: dict[str, dict[str, Any]] = {}
    if isinstance(decisions, list):
        given = {str(d.get("id")): d for d in decisions if isinstance(d, dict)}
    made = []
    for call in calls:
        said = given.get(call.id, {})
        arguments = said.get("arguments")
        made.append(
            Choice(
                call.id,
                approve=said.get("approve") is True,
                reason=str(said.get("reason") or "")[:2_000],
                arguments=arguments if isinstance(arguments, dict) else None,
            )
        )
    return made


class _Publisher:
    """Where display data goes: a notebook front end, or a terminal that only gets the last word."""

    def __init__(self, shell: Any) -> None:
        kernel = getattr(shell, "kernel", None)
        self._pub = shell.display_pub
        self.live = kernel is not None
        # A front end that takes no input is a program that runs the notebook from end to end.
        self.interactive = bool(getattr(kernel, "_allow_stdin", True))

    def first(self, display_id: str, data: dict[str, Any]) -> None:
        self._pub.publish(data, metadata={}, transient={"display_id": display_id})

    def update(self, display_id: str, data: dict[str, Any]) -> None:
        self._pub.publish(data, metadata={}, transient={"display_id": display_id}, update=True)

    def last_word(self, data: dict[str, Any]) -> None:
        print(data["text/plain"])


def _publisher_of(shell: Any) -> _Publisher | None:
    if shell is None:
        import sys

        if "IPython" not in sys.modules:
            return None
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
    return None if shell is None else _Publisher(shell)
