"""Runs that go on in this server, each on a thread of its own; what they tell is in the service's event log."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import copy_context
from typing import Any, Literal
from weakref import WeakValueDictionary

import anyio.to_thread

from letta_kernel.errors import ConflictError, LettaError
from letta_kernel.ids import new_id
from letta_kernel.messages import Event, GroupStarted, RunQueued, RunStarted, worded
from letta_kernel.models.base import Cancel
from letta_kernel.remedies import Words
from letta_kernel.server import authorization, logs
from letta_kernel.server.errors import DrainingError, TooManyRunsError
from letta_kernel.server.remedies import WORDS
from letta_kernel.server.run_watch import RunWatch
from letta_kernel.server.threads import talks_in
from letta_kernel.service import AgentService, Decision
from letta_kernel.service.event_log import Gap, RunLog
from letta_kernel.tools.execute import ToolHost
from letta_kernel.users import current_user

log = logging.getLogger("letta_kernel")

MAX_RUNS = 1000
"""Runs that may go on at the same time."""

KEPT_REQUESTS = 10_000
"""Requests whose runs are remembered, for clients that do not know if theirs arrived."""

WAIT = 5.0
"""Seconds that cancelling waits for a run to have ended."""


class LiveRun:
    """One run that was started here, and the switch that ends it.

    Attributes
    ----------
    id, agent_id, log : known as soon as `RunManager.start` has returned.
    over : set when nothing more will come.
    extra : what the one who started it wants to remember with it.
    """

    def __init__(self, agent_ref: str, words: Words = WORDS) -> None:
        self.agent_ref = agent_ref
        self._words = words
        self.id = ""
        self.agent_id = ""
        self.user = current_user()  # who began it
        self.log = RunLog()
        self.error: BaseException | None = None
        self.extra: dict[str, Any] = {}
        self.switch = Cancel()
        self.closing: Callable[[], None] = lambda: None  # gives back what it counted as
        self.over = threading.Event()
        self.begun = threading.Event()

    def cancel(self) -> None:
        """End the run; what it has done until now is kept."""
        self.switch.cancel()

    async def events(self, idle: float | None = None) -> AsyncGenerator[Event | None, None]:
        """Yield all that the run tells, from its first event to its last; None when *idle* seconds were quiet.

        Raises
        ------
        ConflictError
            It told so much that its oldest events are not kept any more.
        """
        async with aclosing(self.log.follow(idle=idle)) as found:
            async for one in found:
                if isinstance(one, Gap):
                    raise ConflictError(
                        "This run told more than is kept of it: its messages are in the history."
                    )
                yield None if one is None else worded(one.event, self._words)


class RunManager:
    """Starts runs, and remembers them for as long as the event log does.

    Parameters
    ----------
    service
        The project's agents.
    max_runs
        Runs that may go on at the same time.
    words
        What is said to do about errors: those of the door that clients come through.
    host_of
        Tells where the live functions of an agent (its id) are found; None: tools run from their stored source.
    first
        Called before a run begins.
    """

    def __init__(
        self,
        service: AgentService,
        *,
        max_runs: int = MAX_RUNS,
        words: Words = WORDS,
        host_of: Callable[[str], ToolHost] | None = None,
        first: Callable[[], None] = lambda: None,
    ) -> None:
        self.service = service
        self._first = first
        self.max_runs = max_runs
        self._words = words
        self._host_of = host_of
        self._runs: dict[str, LiveRun] = {}
        self._begun: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._going = 0
        self._draining = False
        self._lock = threading.Lock()

    def get(self, run_id: str) -> LiveRun | None:
        """Return a run that goes on here or has ended not long ago."""
        with self._lock:
            return self._runs.get(run_id)

    def end(self, run_ids: Sequence[str]) -> dict[str, str]:
        """End runs, wherever they go on, and wait for it, some seconds at most; return how each stands then.

        That is as `Runs.cancelled` says it.
        """
        found = self.service.runs.cancelled(run_ids, WAIT)
        for run_id in run_ids:
            if (run := self.get(run_id)) is not None and found[run_id] == "cancelled":
                run.over.wait(WAIT)  # so that the next message finds the agent free
        return found

    def begun_by(self, agent_id: str, request_id: str) -> str | None:
        """Return the run that a client's request of this id began already."""
        with self._lock:
            return self._begun.get((agent_id, current_user(), request_id))

    def note_request(self, agent_id: str, request_id: str, run_id: str) -> None:
        """Remember which run a client's request began."""
        with self._lock:
            self._begun[agent_id, current_user(), request_id] = run_id
            if len(self._begun) > KEPT_REQUESTS:
                self._begun.popitem(last=False)

    def start(
        self,
        agent_ref: str,
        message: str | Sequence[Decision],
        *,
        role: Literal["user", "event"] = "user",
        **options: Any,
    ) -> LiveRun:
        """Begin a run on a thread of its own and return as soon as its message is committed, or waits its turn.

        Parameters
        ----------
        message : a text to send, or decisions on the calls that wait for approval.
        options : more for `AgentService.runs.send` or `AgentService.runs.approve`.

        Raises
        ------
        LettaError
            Whatever kept the run from beginning: no such agent, busy, an empty message.
        TooManyRunsError, TokenBusyError, DrainingError
            ``max_runs`` runs are going on, or as many as the token of the request may have, or the server is
            about to end.
        """
        run = LiveRun(agent_ref, self._words)

        def begin(live: Callable[[Event], None]) -> Iterator[Event]:
            options["conversation"] = talks_in(self.service, agent_ref, options.get("conversation"))
            if self._host_of is not None:
                options["host"] = self._host_of(self.service.agents.retrieve(agent_ref).id)
            if isinstance(message, str):
                return self.service.runs.send(
                    agent_ref, message, role=role, live=live, cancel=run.switch, **options
                )
            return self.service.runs.approve(
                agent_ref, message, live=live, cancel=run.switch, **options
            )

        return self._start(run, begin)

    def start_group(
        self, group_ref: str, message: str | Sequence[Decision], **options: Any
    ) -> LiveRun:
        """Begin a turn of a group, as `start` begins a run: its id and log are the turn's.

        Parameters
        ----------
        options : more for `AgentService.groups.send` or `AgentService.groups.approve`.
        """
        run = LiveRun(group_ref, self._words)
        if (host_of := self._host_of) is not None:
            options["each"] = lambda agent_id: {"host": host_of(agent_id)}

        def begin(live: Callable[[Event], None]) -> Iterator[Event]:
            groups, switch = self.service.groups, run.switch
            if isinstance(message, str):
                return groups.send(group_ref, message, live=live, cancel=switch, **options)
            return groups.approve(group_ref, message, live=live, cancel=switch, **options)

        return self._start(run, begin)

    def _start(
        self, run: LiveRun, begin: Callable[[Callable[[Event], None]], Iterator[Event]]
    ) -> LiveRun:
        over = authorization.begin_run()
        with self._lock:
            if self._draining:
                over()
                raise DrainingError("This server is about to end: ask another, or again later.")
            if self._going >= self.max_runs:
                over()
                raise TooManyRunsError(
                    f"{self._going} runs are going on here, as many as may: try again later."
                )
            self._going += 1
        run.closing = over
        self._first()

        def told(event: Event) -> None:
            if run.begun.is_set():
                return
            if isinstance(event, RunStarted | RunQueued):
                run.id, run.agent_id = event.run_id, event.agent_id
            elif isinstance(event, GroupStarted):
                run.id, run.agent_id = event.run_id, event.group_id
            else:
                return
            run.log = self.service.events.run(run.id) or run.log
            self._remember(run)
            run.begun.set()

        request = copy_context()  # whose time limit is the run's, until it has begun
        threading.Thread(
            target=request.run,
            args=(self._run, run, lambda: begin(told)),
            name=f"run {run.agent_ref}",
            daemon=True,
        ).start()
        run.begun.wait()
        if run.error is not None and not run.id:
            raise run.error
        logs.note_run(run.id)
        return run

    async def start_async(
        self, agent_ref: str, message: str | Sequence[Decision], **options: Any
    ) -> LiveRun:
        """Do what `start` does, without holding up the event loop."""
        return await anyio.to_thread.run_sync(lambda: self.start(agent_ref, message, **options))

    def drain(self) -> None:
        """Begin no more runs: `DrainingError` from now on."""
        with self._lock:
            self._draining = True

    def wait(self, deadline: float, stop: Callable[[], bool]) -> None:
        """Wait until no run goes on, until *deadline* by the monotonic clock, or until *stop* says so."""
        while self._going and time.monotonic() < deadline and not stop():
            time.sleep(0.05)

    def close(self, seconds: float = 5.0, why: str = "") -> None:
        """End every run and wait for them, *seconds* at most.

        Parameters
        ----------
        why : as what the error of those is that have not ended; empty: they count as cancelled.
        """
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.switch.cancel(why)
        deadline = time.monotonic() + seconds
        for run in runs:
            run.over.wait(max(0.0, deadline - time.monotonic()))

    def _run(self, run: LiveRun, begin: Callable[[], Iterator[Event]]) -> None:
        try:
            for _ in begin():
                pass  # every event is in the log already
        except LettaError as problem:
            run.error = problem
        except BaseException as problem:
            log.exception("a run of %s failed", run.agent_ref)
            run.error = problem
        finally:
            with self._lock:
                self._going -= 1
            run.closing()
            run.over.set()
            run.begun.set()

    def _remember(self, run: LiveRun) -> None:
        with self._lock:
            self._runs[run.id] = run
            for old in [one for one in self._runs.values() if one.over.is_set()]:
                if self.service.events.run(old.id) is None:
                    del self._runs[old.id]


served: WeakValueDictionary[str, Project] = WeakValueDictionary()
"""The projects that this process serves, by the ids they have among the servers."""


class Project:
    """A project that is served, and the runs it has here.

    Attributes
    ----------
    server_id, address : what the project's other servers know this one by, and where they reach it.
    """

    def __init__(
        self, service: AgentService, host_of: Callable[[str], ToolHost] | None = None
    ) -> None:
        self.service = service
        self.server_id = new_id("server")
        self.address = ""
        self._announced = False
        service.sleeptime.watch()
        self.watch = RunWatch(service)
        self.live = RunManager(service, host_of=host_of, first=self.announce)
        service.deliveries.start()

    def reached_at(self, connection: Mapping[str, Any]) -> None:
        """Take note of where other servers reach this one: as it was told, else where a connection came to."""
        server = connection.get("server")
        if self.address or not server or not server[1]:
            return
        host = f"[{server[0]}]" if ":" in server[0] else server[0]
        said = connection["app"].state
        self.address = (said.address or f"http://{host}:{server[1]}") + said.prefix

    def announce(self) -> None:
        """Let the project's other servers know where this one is reached; what it carries out they can tell."""
        if self._announced or not self.address:
            return
        self._announced = True
        served[self.server_id] = self
        try:
            self.service.servers.announce(self.server_id, self.address)
        except LettaError as problem:  # a busy store: others read what they want to know in it
            log.info("letta: the server's address could not be written down: %s", problem)

    def close(self) -> None:
        """End the runs and let go of the store."""
        self.live.close()
        self.watch.close()
        self.service.close()
