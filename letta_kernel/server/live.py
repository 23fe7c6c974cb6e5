"""Runs that go on in this server, each on a thread of its own, and any number of readers that follow them.

A run never waits for a reader: it writes its events down with a number and goes on. A reader that is late, slow
or comes back finds everything from the number it names; what no longer fits into memory is in a temporary file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import threading
import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from itertools import islice
from typing import IO, Any, Literal

import anyio.to_thread
from pydantic import TypeAdapter

from letta_kernel.errors import LettaError
from letta_kernel.messages import Event, RunEnded, RunStarted, worded
from letta_kernel.models.base import Cancel
from letta_kernel.server.errors import TooManyRunsError
from letta_kernel.server.words import WORDS
from letta_kernel.service import AgentService, Decision
from letta_kernel.tools.execute import ToolHost

log = logging.getLogger("letta_kernel")

KEPT_EVENTS = 1024
"""Events of a run held in memory; older ones are in its file."""

KEPT_RUNS = 64
"""Runs that have ended and can still be followed event by event."""

MAX_RUNS = 1000
"""Runs that may go on at the same time."""

_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])


class LiveRun:
    """One run: its events so far, whoever waits for more, and the switch that ends it.

    Attributes
    ----------
    id, agent_id : known as soon as `LiveRuns.start` has returned.
    ended : how the run ended, None while it goes on.
    extra : what the one who started it wants to remember with it.
    """

    def __init__(self, agent_ref: str) -> None:
        self.agent_ref = agent_ref
        self.id = ""
        self.agent_id = ""
        self.ended: RunEnded | None = None
        self.error: BaseException | None = None
        self.extra: dict[str, Any] = {}
        self.switch = Cancel()
        self.over = threading.Event()
        self._begun = threading.Event()
        self._lock = threading.Lock()
        self._tail: deque[Event] = deque()
        self._first = 1  # number of the first event in the tail
        self._chunks: list[tuple[int, int, int]] = []  # first number, place in the file, bytes
        self._file: IO[bytes] | None = None
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def last(self) -> int:
        """The number of the newest event; events count from 1."""
        with self._lock:
            return self._first + len(self._tail) - 1

    def cancel(self) -> None:
        """End the run; what it has done until now is kept."""
        self.switch.cancel()

    async def events(self, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """Yield the events that follow number *after*, first those there are, then those that come."""
        async with contextlib.aclosing(self.follow(after)) as found:
            async for item in found:
                if item is not None:
                    yield item

    async def follow(
        self, after: int = 0, idle: float | None = None
    ) -> AsyncGenerator[tuple[int, Event] | None, None]:
        """Do what `events` does, and yield None whenever nothing has come for *idle* seconds."""
        loop = asyncio.get_running_loop()
        bell = asyncio.Event()
        waiter = (loop, bell)
        with self._lock:
            self._waiting.add(waiter)
        try:
            while True:
                bell.clear()
                over = self.over.is_set()
                found = await self._from(after + 1)
                for event in found:
                    after += 1
                    yield after, event
                if not found:
                    if over:
                        return
                    try:
                        await asyncio.wait_for(bell.wait(), idle)
                    except TimeoutError:
                        yield None
        finally:
            with self._lock:
                self._waiting.discard(waiter)

    async def _from(self, number: int) -> list[Event]:
        with self._lock:
            if number >= self._first:
                return list(islice(self._tail, number - self._first, None))
        return await anyio.to_thread.run_sync(self._read_back, number)

    def _read_back(self, number: int) -> list[Event]:
        with self._lock:
            place = bisect_right(self._chunks, number, key=lambda chunk: chunk[0]) - 1
            first, offset, size = self._chunks[max(0, place)]
            if self._file is None:
                return []
            self._file.seek(offset)
            raw = self._file.read(size)
        return _EVENTS.validate_json(raw)[max(0, number - first) :]

    def _add(self, event: Event) -> None:
        event = worded(event, WORDS)
        with self._lock:
            self._tail.append(event)
            if len(self._tail) > KEPT_EVENTS:
                self._spill(KEPT_EVENTS // 2)
        if isinstance(event, RunEnded):
            self.ended = event
        self._ring()

    def _spill(self, count: int) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="letta-run-")  # noqa: SIM115 - lives as the run does
        raw = _EVENTS.dump_json([self._tail.popleft() for _ in range(count)])
        offset = self._file.seek(0, 2)
        self._file.write(raw)
        self._chunks.append((self._first, offset, len(raw)))
        self._first += count

    def _finish(self, error: BaseException | None) -> None:
        self.error = error
        self.over.set()
        self._begun.set()
        self._ring()

    def _ring(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for loop, bell in waiting:
            if not bell.is_set():
                with contextlib.suppress(RuntimeError):  # that loop has been closed
                    loop.call_soon_threadsafe(bell.set)

    def _close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


class LiveRuns:
    """All runs that this server has started and still remembers."""

    def __init__(self, service: AgentService, *, max_runs: int = MAX_RUNS) -> None:
        self.service = service
        self.max_runs = max_runs
        self._runs: OrderedDict[str, LiveRun] = OrderedDict()
        self._going = 0
        self._lock = threading.Lock()

    def get(self, run_id: str) -> LiveRun | None:
        """Return a run that goes on here or has ended not long ago."""
        with self._lock:
            return self._runs.get(run_id)

    def of_agent(self, agent_id: str) -> LiveRun | None:
        """Return the run of an agent that goes on here."""
        with self._lock:
            for run in reversed(self._runs.values()):
                if run.agent_id == agent_id and not run.over.is_set():
                    return run
        return None

    def start(
        self,
        agent_ref: str,
        message: str | Sequence[Decision],
        *,
        role: Literal["user", "event"] = "user",
        max_steps: int | None = None,
        model: str | None = None,
        host: ToolHost | None = None,
        **options: Any,
    ) -> LiveRun:
        """Begin a run on a thread of its own and return as soon as its message is committed.

        Parameters
        ----------
        message : a text to send, or decisions on the calls that wait for approval.
        options : more for `AgentService.send` or `AgentService.approve`.

        Raises
        ------
        LettaError
            Whatever kept the run from beginning: no such agent, busy, an empty message.
        TooManyRunsError
            ``max_runs`` runs are going on.
        """
        run = self._launch(agent_ref, message, role, max_steps, model, host, options)
        run._begun.wait()
        return self._begun(run)

    async def start_async(
        self, agent_ref: str, message: str | Sequence[Decision], **options: Any
    ) -> LiveRun:
        """Do what `start` does, without holding up the event loop."""
        return await anyio.to_thread.run_sync(lambda: self.start(agent_ref, message, **options))

    def close(self, seconds: float = 5.0) -> None:
        """End every run and wait for them, *seconds* at most."""
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.cancel()
        deadline = time.monotonic() + seconds
        for run in runs:
            run.over.wait(max(0.0, deadline - time.monotonic()))
            run._close()

    def _launch(
        self,
        agent_ref: str,
        message: str | Sequence[Decision],
        role: Literal["user", "event"],
        max_steps: int | None,
        model: str | None,
        host: ToolHost | None,
        options: dict[str, Any],
    ) -> LiveRun:
        with self._lock:
            if self._going >= self.max_runs:
                raise TooManyRunsError(
                    f"{self._going} runs are going on here, as many as may: try again later."
                )
            self._going += 1
        run = LiveRun(agent_ref)
        shared = {**options, "max_steps": max_steps, "model": model, "host": host}

        def told(event: Event) -> None:
            if isinstance(event, RunStarted):
                run.id, run.agent_id = event.run_id, event.agent_id
                self._remember(run)
            run._add(event)
            if isinstance(event, RunStarted):
                run._begun.set()

        def begin() -> Iterator[Event]:
            if isinstance(message, str):
                return self.service.send(
                    agent_ref, message, role=role, live=told, cancel=run.switch, **shared
                )
            return self.service.approve(agent_ref, message, live=told, cancel=run.switch, **shared)

        thread = threading.Thread(
            target=self._run, args=(run, begin), name=f"run {agent_ref}", daemon=True
        )
        thread.start()
        return run

    def _run(self, run: LiveRun, begin: Callable[[], Iterator[Event]]) -> None:
        error: BaseException | None = None
        try:
            for _ in begin():
                pass  # every event has come through `told` already
        except LettaError as problem:
            error = problem
        except BaseException as problem:
            log.exception("a run of %s failed", run.agent_ref)
            error = problem
        finally:
            with self._lock:
                self._going -= 1
            run._finish(error)

    def _remember(self, run: LiveRun) -> None:
        with self._lock:
            self._runs[run.id] = run
            over = [r for r in self._runs.values() if r.over.is_set()]
            for old in over[: max(0, len(over) - KEPT_RUNS)]:
                del self._runs[old.id]
                old._close()

    @staticmethod
    def _begun(run: LiveRun) -> LiveRun:
        if run.error is not None and not run.id:
            raise run.error
        return run
