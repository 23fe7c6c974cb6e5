"""What happens to an agent, numbered, for readers that come and go: all runs of this process.

A run never waits for a reader. Old pieces of answers are forgotten first, for the step's end says all of it
again; a reader that was away for longer than the rest is kept is told of the gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from letta_kernel.ids import new_id
from letta_kernel.messages import (
    Event,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StreamReset,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    worded,
)
from letta_kernel.server.words import WORDS
from letta_kernel.service import AgentService

KEPT = 4096
"""Events of an agent that are kept for readers who come back."""

KEPT_REQUESTS = 256
"""Requests of an agent whose answers are kept, for clients that do not know if theirs arrived."""

KEPT_FEEDS = 200
"""Agents whose events are kept though nobody reads them."""

KEPT_UNREAD = 256
"""Events that are kept of each of them, without the pieces, when nothing goes on."""

_PIECES = (ReasoningDelta, TextDelta, ToolCallDelta, ToolProgress, StreamReset)


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event with its number among the agent's."""

    seq: int
    run_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Gap:
    """The events after number *after* up to number *until* are not kept any more."""

    after: int
    until: int


class Feed:
    """One agent's events; ``id`` changes when the numbers begin anew."""

    def __init__(self) -> None:
        self.id = new_id("feed")
        self.last = 0  # number of the newest event
        self.running: set[str] = set()
        self.readers = 0
        self._kept: list[Numbered] = []
        self._lost = 0  # everything up to this number may be missing
        self._answers: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def add(self, run_id: str, event: Event) -> None:
        """Take in an event and wake the readers."""
        event = worded(event, WORDS)
        with self._lock:
            self.last += 1
            self._kept.append(Numbered(self.last, run_id, event))
            if len(self._kept) > KEPT:
                self._forget()
            if isinstance(event, RunStarted):
                self.running.add(run_id)
            elif isinstance(event, RunEnded):
                self.running.discard(run_id)
                if not self.readers and not self.running:
                    self._rest()
            waiting = list(self._waiting)
        for loop, bell in waiting:
            with contextlib.suppress(RuntimeError):  # that loop has been closed
                loop.call_soon_threadsafe(bell.set)

    def now(self) -> int:
        """Return the number after which the runs that go on have begun, or the newest."""
        with self._lock:
            for one in self._kept:
                if isinstance(one.event, RunStarted) and one.run_id in self.running:
                    return one.seq - 1
            return self.last

    async def follow(self, after: int) -> AsyncGenerator[Numbered | Gap, None]:
        """Yield what follows number *after*, first what there is, then what comes."""
        bell = asyncio.Event()
        waiter = (asyncio.get_running_loop(), bell)
        with self._lock:
            self._waiting.add(waiter)
            self.readers += 1
        try:
            while True:
                bell.clear()
                with self._lock:
                    lost = self._lost
                    begin = bisect_right(self._kept, after, key=lambda one: one.seq)
                    found = self._kept[begin : begin + 256]
                if after < lost:
                    yield Gap(after, lost)
                    after = lost
                for one in found:
                    yield one
                    after = one.seq
                if not found:
                    await bell.wait()
        finally:
            with self._lock:
                self._waiting.discard(waiter)
                self.readers -= 1

    def answered(self, request_id: str) -> str | None:
        """Return the run that a request of this id began already."""
        with self._lock:
            return self._answers.get(request_id)

    def answer(self, request_id: str, run_id: str) -> None:
        """Remember which run a request began."""
        with self._lock:
            self._answers[request_id] = run_id
            while len(self._answers) > KEPT_REQUESTS:
                self._answers.popitem(last=False)

    def _rest(self) -> None:
        whole = [one for one in self._kept if not isinstance(one.event, _PIECES)]
        if len(whole) > KEPT_UNREAD:
            self._lost = whole[-KEPT_UNREAD - 1].seq
        self._kept = whole[-KEPT_UNREAD:]

    def _forget(self) -> None:
        half = len(self._kept) // 2
        whole = [one for one in self._kept[:half] if not isinstance(one.event, _PIECES)]
        if len(whole) > half // 2:
            self._lost = whole[half // 4].seq
            del whole[: half // 4 + 1]
        self._kept[:half] = whole


class Feeds:
    """The feeds of all agents of *service*; follows its runs until `close`."""

    def __init__(self, service: AgentService) -> None:
        self._service = service
        self._feeds: OrderedDict[str, Feed] = OrderedDict()
        self._lock = threading.Lock()
        service.events.listeners.append(self._tell)

    def of(self, agent_id: str) -> Feed:
        """Return the feed of an agent, and keep it as long as there is room."""
        with self._lock:
            feed = self._feeds.get(agent_id)
            if feed is None:
                feed = self._feeds[agent_id] = Feed()
            self._feeds.move_to_end(agent_id)
            if len(self._feeds) > KEPT_FEEDS:
                idle = [k for k, f in self._feeds.items() if not f.readers and not f.running]
                for key in idle[: len(self._feeds) - KEPT_FEEDS]:
                    if key != agent_id:
                        del self._feeds[key]
            return feed

    def close(self) -> None:
        """Follow no longer."""
        with contextlib.suppress(ValueError):
            self._service.events.listeners.remove(self._tell)

    def _tell(self, agent_id: str, run_id: str, event: Event) -> None:
        self.of(agent_id).add(run_id, event)
