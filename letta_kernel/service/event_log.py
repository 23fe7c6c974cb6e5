"""The event log: what the runs of this process tell, numbered, for readers that come and go.

A run never waits for a reader: it writes its events down and goes on. A reader names the number of the newest
event it knows and gets what follows, first what there is, then what comes. Pieces of one text are kept
together, so that a reader that is behind can have them as one event. Nothing is stored: old runs are forgotten,
and a reader that asks for one of them is told of the gap.
"""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

from letta_kernel.ids import new_id
from letta_kernel.messages import (
    Event,
    MemoryChanged,
    Nested,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepEnded,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    ToolReturned,
)
from letta_kernel.users import current_user

_LONGEST = 50_000  # characters of one text that are kept, and so told, together
_EVENT, _PIECE = 600, 80  # bytes that an event, and a further piece of a text, take about

_TEXT: dict[type, str] = {
    TextDelta: "text",
    ReasoningDelta: "text",
    ToolCallDelta: "arguments",
    ToolProgress: "text",
}
"""Which field of an event is a piece of a text."""


KEPT_RUNS = 256
"""Runs of this process that have ended and can still be read."""

KEPT_BYTES = 32_000_000
"""About so much memory they may take together; the newest is kept however large it is."""

RUN_BYTES = 64_000_000
"""About so much memory a run that goes on may take; then its oldest events are forgotten."""

KEPT_AGENTS = 1000
"""Agents whose numbers go on though nothing of theirs is kept and nobody reads."""

_BATCH = 256  # events read at a time

Wake = Callable[[], None]
Listener = Callable[[str, str, Event], None]


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event; of several pieces told as one, *number* is the last piece's."""

    number: int
    run_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Gap:
    """The events after number *after* up to number *number* are not kept any more."""

    after: int
    number: int


class _Log:
    """What can be read and followed: events with numbers from 1 on."""

    def __init__(self, lock: threading.RLock | None = None) -> None:
        self.last = 0  # number of the newest event
        self.over = False  # will no more come?
        self._lock = lock or threading.RLock()
        self._waiting: set[Wake] = set()

    def read(
        self, after: int = 0, *, behind: int | None = None, most: int = _BATCH
    ) -> list[Numbered | Gap]:
        """Return what there is after number *after*, *most* events at once; empty if nothing is new.

        Parameters
        ----------
        behind : a reader that misses more events than this gets the pieces of a text as one event;
            None: every piece by itself.
        """
        found: list[Numbered | Gap] = []
        with self._lock:
            gathered = behind is not None and self.last - after > behind
            for first, one in islice(self._after(after, gathered), most):
                if first > after + 1:
                    found.append(Gap(after, first - 1))
                found.append(one)
                after = one.number
            if not found and after < self.last:
                found.append(Gap(after, self.last))
        return found

    async def follow(
        self, after: int = 0, *, idle: float | None = None, behind: int | None = None
    ) -> AsyncGenerator[Numbered | Gap | None, None]:
        """Yield what follows number *after* until the log is over; None when *idle* seconds were quiet."""
        fresh, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            if not fresh.is_set():
                with suppress(RuntimeError):  # that loop has been closed
                    loop.call_soon_threadsafe(fresh.set)

        with self._woken(wake):
            while True:
                fresh.clear()
                over = self.over
                found = self.read(after, behind=behind)
                for one in found:
                    yield one
                    after = one.number
                if not found and over:
                    return
                if not found:
                    try:
                        await asyncio.wait_for(fresh.wait(), idle)
                    except TimeoutError:
                        yield None

    def _after(self, after: int, gathered: bool) -> Iterator[tuple[int, Numbered]]:
        """Yield the events after a number, each with the number of its first piece."""
        raise NotImplementedError

    @contextmanager
    def _woken(self, wake: Wake) -> Iterator[None]:
        with self._lock:
            self._waiting.add(wake)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(wake)

    def _wake(self) -> None:
        for wake in tuple(self._waiting):  # each only sets an event
            wake()


class RunLog(_Log):
    """The events of one run; it can also stand alone, as the log of what one view shows.

    Attributes
    ----------
    running : whether it has begun and not ended. ``over`` says that nothing more will come.
    """

    def __init__(
        self, run_id: str = "", agent_id: str = "", lock: threading.RLock | None = None
    ) -> None:
        super().__init__(lock)
        self.run_id, self.agent_id = run_id, agent_id
        self.running = False
        self.bytes = 0  # that it takes, about
        self.placed = 0  # number of the newest event that its agent's log has
        self.user = ""  # who began it, if that was in this process
        self._kept: list[Kept] = []

    def add(self, event: Event) -> None:
        """Write an event down and wake the readers."""
        with self._lock:
            self.last += 1
            size = self._kept[-1].add(event) if self._kept else 0
            if not size:
                self._kept.append(kept := Kept(self.last, event))
                size = kept.bytes
            self.bytes += size
            if self.bytes > RUN_BYTES:
                self._forget()
            if isinstance(event, RunStarted):
                self.running = True
            elif isinstance(event, RunEnded):
                self.running = False
            self._wake()

    def finish(self) -> None:
        """Say that nothing more will come."""
        with self._lock:
            self.over, self.running = True, False
            self._wake()

    def _forget(self) -> None:
        """Let the oldest events go: a quarter of what there is, so that it is not done each time."""
        count = 0
        while self.bytes > RUN_BYTES * 3 // 4 and count < len(self._kept) - 1:
            self.bytes -= self._kept[count].bytes
            count += 1
        del self._kept[:count]

    def _after(self, after: int, gathered: bool) -> Iterator[tuple[int, Numbered]]:
        yield from self.between(after, self.last, gathered)

    def between(self, after: int, until: int, gathered: bool) -> Iterator[tuple[int, Numbered]]:
        """Yield the events after one number up to another, each with that of its first piece."""
        place = bisect_right(self._kept, after + 1, key=lambda kept: kept.first) - 1
        for kept in islice(self._kept, max(0, place), None):
            start = max(0, after + 1 - kept.first)
            end = min(kept.count, until + 1 - kept.first)
            step = max(1, end - start) if gathered else 1
            for at in range(start, end, step):
                number = kept.first + at
                event = kept.take(at, at + step)
                yield number, Numbered(number + step - 1, self.run_id, event)


@dataclass(slots=True)
class _Span:
    """Events of one run that follow one another in the agent's log."""

    first: int  # number of its first event among the agent's
    run: RunLog
    start: int  # number of that event in the run
    count: int


class AgentLog(_Log):
    """The events of all runs of one agent in this process, in the order they were told.

    Attributes
    ----------
    id : differs whenever the numbers begin anew.
    """

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(lock)
        self.id = new_id("feed")
        self._spans: list[_Span] = []

    @property
    def running(self) -> list[str]:
        """The ids of the runs that go on."""
        with self._lock:
            return sorted({span.run.run_id for span in self._spans if span.run.running})

    @property
    def idle(self) -> bool:
        """Is nothing kept of it and nobody reading?"""
        return not self._spans and not self._waiting

    def now(self) -> int:
        """Return the number after which the runs that go on have begun, or the newest."""
        with self._lock:
            going = (span.first - 1 for span in self._spans if span.run.running)
            return next(going, self.last)

    def add(self, run: RunLog) -> None:
        """Take in what is new of a run."""
        start, run.placed = run.placed + 1, run.last
        count = run.last + 1 - start
        span = self._spans[-1] if self._spans else None
        if span is not None and span.run is run:
            span.count += count
        else:
            self._spans.append(_Span(self.last + 1, run, start, count))
        self.last += count
        self._wake()

    def forget(self, run: RunLog) -> None:
        """Let a run go."""
        self._spans = [span for span in self._spans if span.run is not run]

    def _after(self, after: int, gathered: bool) -> Iterator[tuple[int, Numbered]]:
        place = bisect_right(self._spans, after + 1, key=lambda span: span.first) - 1
        for span in islice(self._spans, max(0, place), None):
            ahead = span.first - span.start  # of the run's own numbers
            begin = max(after - ahead, span.start - 1)
            for first, one in span.run.between(begin, span.start + span.count - 1, gathered):
                yield first + ahead, Numbered(one.number + ahead, one.run_id, one.event)


class EventLog:
    """The logs of all runs of one process in one project, and of the agents they belong to.

    Attributes
    ----------
    listeners : are told of every event at once, by the run's own thread: agent id, run id, event. They have to
        be quick and may not fail.
    """

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self._runs: OrderedDict[str, RunLog] = OrderedDict()
        self._over: OrderedDict[str, RunLog] = OrderedDict()  # of these, what has ended
        self._bytes = 0  # that they take
        self._agents: OrderedDict[str, AgentLog] = OrderedDict()
        self._lock = threading.RLock()

    def add(self, agent_id: str, run_id: str, event: Event, *, ours: bool = True) -> None:
        """Write down an event of a run and wake those who follow the run or its agent.

        Of a run that is not *ours*, but another process's, listeners are not told.
        """
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                run = self._runs[run_id] = RunLog(run_id, agent_id, self._lock)
                run.user = current_user() if ours else ""
            run.add(event)
            self.agent(agent_id).add(run)
        for listener in tuple(self.listeners) if ours else ():
            listener(agent_id, run_id, event)

    def finish(self, run_id: str) -> None:
        """Say that nothing more will come of a run; old runs are forgotten then."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:  # it could not begin
                return
            if not run.over:
                self._over[run_id] = run
                self._bytes += run.bytes
            run.finish()
            while len(self._over) > KEPT_RUNS or (self._bytes > KEPT_BYTES and len(self._over) > 1):
                old_id, old = self._over.popitem(last=False)
                self._bytes -= old.bytes
                del self._runs[old_id]
                self.agent(old.agent_id).forget(old)

    def drop(self, run_id: str) -> None:
        """Forget a run of another process, of which no more is heard here."""
        with self._lock:
            run = self._runs.pop(run_id, None)
            if run is not None:
                run.finish()
                self.agent(run.agent_id).forget(run)

    def run(self, run_id: str) -> RunLog | None:
        """Return the log of a run that goes on in this process or has ended not long ago."""
        return self._runs.get(run_id)

    def runs(self) -> list[RunLog]:
        """Return the logs of all runs that are kept, oldest first."""
        with self._lock:
            return list(self._runs.values())

    def agent(self, agent_id: str) -> AgentLog:
        """Return the log of an agent; of one that has told nothing yet it is empty."""
        with self._lock:
            found = self._agents.get(agent_id)
            if found is None:
                if len(self._agents) >= KEPT_AGENTS:
                    idle = (key for key, log in self._agents.items() if log.idle)
                    self._agents.pop(next(idle, ""), None)
                found = self._agents[agent_id] = AgentLog(self._lock)
            self._agents.move_to_end(agent_id)
            return found


class Kept:
    """An event, or the pieces of one text; *first* is the number of the first of them."""

    __slots__ = ("bytes", "event", "first", "length", "parts")

    def __init__(self, first: int, event: Event) -> None:
        self.first = first
        self.event = event
        self.parts: list[str] = []
        told = _inner(event)
        if name := _TEXT.get(type(told)):
            self.parts.append(getattr(told, name))
        self.length = sum(map(len, self.parts))
        self.bytes = _EVENT + (self.length if self.parts else _large(event))

    @property
    def count(self) -> int:
        """How many events these are."""
        return len(self.parts) or 1

    def add(self, event: Event) -> int:
        """Take in the next event if it is a piece of this text; return the bytes that takes, 0 if it is not."""
        if self.length >= _LONGEST or not _goes_on(self.event, event):
            return 0
        told = _inner(event)
        text: str = getattr(told, _TEXT[type(told)])
        self.parts.append(text)
        self.length += len(text)
        self.bytes += _PIECE + len(text)
        return _PIECE + len(text)

    def take(self, start: int, end: int) -> Event:
        """Return the pieces from *start* up to *end*, as one event."""
        if not self.parts or (start == 0 and end == 1):
            return self.event
        # What a tool reports of its progress replaces what it said before; all else goes on.
        told = _inner(self.event)
        replaces = isinstance(told, ToolProgress) and told.stream == "progress"
        text = self.parts[end - 1] if replaces else "".join(self.parts[start:end])
        changes = {_TEXT[type(told)]: text}
        if start and isinstance(told, ToolCallDelta):
            changes.update(id="", name="")  # which its first piece says
        return _around(self.event, told.model_copy(update=changes))


def _inner(event: Event) -> Event:
    """Return what is told, however deep in runs that others have asked for."""
    while isinstance(event, Nested):
        event = event.event
    return event


def _around(outer: Event, inner: Event) -> Event:
    """Return *inner* in the runs that *outer* is in."""
    if not isinstance(outer, Nested):
        return inner
    return outer.model_copy(update={"event": _around(outer.event, inner)})


def _goes_on(one: Event, other: Event) -> bool:
    """Return whether *other* is a piece of the same text as *one*."""
    if isinstance(one, Nested) and isinstance(other, Nested):
        same = (one.call_id, one.agent_id) == (other.call_id, other.agent_id)
        return same and _goes_on(one.event, other.event)
    if isinstance(one, ToolCallDelta) and isinstance(other, ToolCallDelta):
        return one.index == other.index and not (other.id or other.name)
    if isinstance(one, ToolProgress) and isinstance(other, ToolProgress):
        return (one.call_id, one.stream) == (other.call_id, other.stream)
    return isinstance(one, TextDelta | ReasoningDelta) and type(one) is type(other)


def _large(event: Event) -> int:
    """Return how many characters there are in what may be large of an event."""
    texts: list[str] = []
    event = _inner(event)
    if isinstance(event, ToolReturned):
        texts = [event.text, str(event.display or ""), event.traceback or ""]
    elif isinstance(event, MemoryChanged):
        texts = [event.before, event.after]
    elif isinstance(event, StepEnded):
        for message in event.messages:
            texts += [message.content, message.reasoning]
            texts += [call.arguments for call in message.tool_calls]
    return sum(map(len, texts))
