"""Events that step an agent later, or again and again: on the main thread, between cells.

A timer lives as long as its kernel. Its runs are shown under the cell that set it.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from letta_kernel.display import words
from letta_kernel.display.clean import one_line
from letta_kernel.display.tables import note, when
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.ids import new_id
from letta_kernel.notebook import run
from letta_kernel.notebook.output import AgentError, details, say, show
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.records import AgentState

_AGAIN = 0.2  # seconds until it is looked again whether the cell that is running has ended
_LONGEST = 366 * 86_400.0  # seconds
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)[a-z]*\s*", re.IGNORECASE)


def seconds_of(text: str) -> float:
    """Return a length of time such as ``90s``, ``10m``, ``1h30m`` or ``2d`` in seconds.

    Raises
    ------
    InvalidInputError
        It is none, or less than a second, or more than a year.
    """
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        raise InvalidInputError(f"{text!r} is no length of time; write 90s, 10m, 1h30m or 2d.")
    total = sum(float(number) * _UNITS[unit.lower()] for number, unit in parts)
    if not 1 <= total <= _LONGEST:
        raise InvalidInputError("A timer takes from one second to a year.")
    return total


@dataclass(slots=True, eq=False)
class Timer:
    """An event that is to come; ``every`` is in seconds, None for one that comes once."""

    agent_id: str
    agent_name: str
    text: str
    due: datetime
    every: float | None
    parent: Any  # the message of the cell that set it
    display_id: str
    fired: int = 0

    @property
    def status(self) -> str:
        """How it stands, in a sentence."""
        often = f", every {words.seconds(self.every)}" if self.every is not None else ""
        so_far = f"; {words.count(self.fired, 'time')} so far" if self.fired else ""
        return (
            f"{self.agent_name}: event at {self.due.astimezone():%H:%M:%S}{often}{so_far}: "
            f"{one_line(self.text, 200)}"
        )

    def is_set_anew(self, agent_id: str, text: str, every: float | None, parent: Any) -> bool:
        """Whether a timer that is set now stands for this one: the same event, or its cell ran again."""
        if (agent_id, text, every) == (self.agent_id, self.text, self.every):
            return every is not None or _request(parent) != _request(self.parent)
        cell = _cell(parent)
        return (
            bool(cell) and cell == _cell(self.parent) and _request(parent) != _request(self.parent)
        )


def _cell(parent: Any) -> str:
    return str(((parent or {}).get("metadata") or {}).get("cellId") or "")


def _request(parent: Any) -> str:
    return str(((parent or {}).get("header") or {}).get("msg_id") or "")


class TimerContext(run.RunContext, Protocol):
    """What timers ask of the notebook they are set in."""

    last_error: str


class Timers:
    """The timers of one notebook."""

    def __init__(self, session: TimerContext) -> None:
        self._session = session
        self._timers: list[Timer] = []
        self._in_cell = True  # a timer is set from a cell
        self._loop: Any = None  # what calls on the main thread between cells

    @property
    def waiting(self) -> list[Timer]:
        """The timers that will still come, in the order of their next time."""
        return sorted(self._timers, key=lambda timer: timer.due)

    def add(self, agent: AgentState, text: str, seconds: float, every: float | None) -> Timer:
        """Send *agent* an event in so many *seconds*, and then *every* so many."""
        shell = self._session.shell
        if self._loop is None:
            shell.events.register("pre_execute", self._begin)
            shell.events.register("post_execute", self._end)
            kernel = getattr(shell, "kernel", None)
            self._loop = _TerminalLoop(shell) if kernel is None else kernel.io_loop
        parent = shell.get_parent() if hasattr(shell, "get_parent") else None
        for old in [one for one in self._timers if one.is_set_anew(agent.id, text, every, parent)]:
            self._timers.remove(old)
            self._show(old, f"{old.agent_name}: the timer was set anew.")
        timer = Timer(
            agent.id,
            agent.name,
            text,
            _now() + timedelta(seconds=seconds),
            every,
            parent,
            new_id("view"),
        )
        self._timers.append(timer)
        self._show(timer, timer.status, update=False)
        self._later(timer, seconds)
        return timer

    def stop(self, agent_id: str | None = None) -> int:
        """Stop the timers of an agent, or all; return how many there were."""
        gone = [one for one in self._timers if agent_id in (None, one.agent_id)]
        for timer in gone:
            self._timers.remove(timer)
            self._show(timer, f"{timer.agent_name}: the timer was stopped.")
        return len(gone)

    def _later(self, timer: Timer, seconds: float) -> None:
        self._loop.call_later(seconds, self._fire, timer)

    def _begin(self) -> None:
        self._in_cell = True

    def _end(self) -> None:
        self._in_cell = False

    def _fire(self, timer: Timer) -> None:
        if timer not in self._timers:
            return
        if self._in_cell:  # one that awaits something lets the loop go on
            self._later(timer, _AGAIN)
            return
        began = time.monotonic()
        with _under_cell(self._session.shell, timer.parent), _stoppable():
            alive = self._run(timer)
        timer.fired += 1
        if timer not in self._timers:  # the run itself stopped it
            return
        if timer.every is None or not alive:
            self._timers.remove(timer)
            self._show(timer, f"{timer.agent_name}: event of {when(_now())}.")
            return
        left = max(timer.every - (time.monotonic() - began), 0.0)
        timer.due = _now() + timedelta(seconds=left)
        self._show(timer, timer.status)
        self._later(timer, left)

    def _run(self, timer: Timer) -> bool:
        """Run the agent; whatever goes wrong is one line under the cell. False: no use to go on."""
        session = self._session
        try:
            run.send(session, timer.agent_id, timer.text, role="event", ask_person=False)
        except LettaError as error:
            say(session.shell, error.told(WORDS), "warning")
            return not isinstance(error, NotFoundError)
        except AgentError as error:
            say(session.shell, str(error), "warning")
        except KeyboardInterrupt:
            say(session.shell, "Stopped; %agent event --stop ends the timer.", "warning")
        except Exception as error:  # there is no cell that could fail
            session.last_error = details(error)
            say(session.shell, f"{type(error).__name__}. %agent traceback shows where.", "error")
        return True

    def _show(self, timer: Timer, text: str, update: bool = True) -> None:
        shell = self._session.shell
        if getattr(shell, "kernel", None) is None:
            if not update:
                show(shell, note(text))
            return
        with _under_cell(shell, timer.parent):
            shell.display_pub.publish(
                note(text)._repr_mimebundle_(),
                transient={"display_id": timer.display_id},
                update=update,
            )


class _TerminalLoop:
    """Calls on the main thread of a terminal: while it waits for input, else after the next cell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._due: deque[Callable[[], None]] = deque()
        shell.events.register("post_execute", self._call)

    def call_later(self, seconds: float, function: Callable[..., None], *given: Any) -> None:
        """Call *function* on the main thread once so many *seconds* have gone by."""
        ring = threading.Timer(seconds, self._ring, (partial(function, *given),))
        ring.daemon = True
        ring.start()

    def _ring(self, call: Callable[[], None]) -> None:
        self._due.append(call)
        app = getattr(getattr(self._shell, "pt_app", None), "app", None)
        loop = app.loop if app is not None and app.is_running else None
        if loop is not None:
            loop.call_soon_threadsafe(self._above_the_prompt)

    def _above_the_prompt(self) -> None:
        from prompt_toolkit.application import run_in_terminal

        run_in_terminal(self._call)

    def _call(self) -> None:
        while self._due:
            self._due.popleft()()


def _now() -> datetime:
    return datetime.now().astimezone()


@contextmanager
def _under_cell(shell: Any, parent: Any) -> Iterator[None]:
    """Let output appear under the cell whose message is *parent*."""
    before = shell.get_parent() if parent is not None else None
    if parent is not None:
        shell.set_parent(parent)
    try:
        yield
    finally:
        if before is not None:
            shell.set_parent(before)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let the stop button through, which between cells is not listened to."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
