"""What other processes tell of an agent, in the event log here: for as long as somebody here follows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from weakref import WeakKeyDictionary

import anyio.to_thread

from letta_kernel.errors import LettaError
from letta_kernel.server import remote
from letta_kernel.server.events.runs import Project, RunManager
from letta_kernel.service.runs import GOING

log = logging.getLogger("letta_kernel")

_LOOK = 0.5  # seconds between two looks at what goes on elsewhere


def of(project: Project) -> Mirrors:
    """Return the mirrors of a project that is served."""
    return _known.setdefault(project, Mirrors(project.live))


class Mirrors:
    """The agents of a project that somebody here follows; used in one event loop."""

    def __init__(self, live: RunManager) -> None:
        self._live = live
        self._followed: dict[str, tuple[int, asyncio.Task[None]]] = {}

    @contextmanager
    def follow(self, agent_id: str) -> Iterator[None]:
        """Have the runs of an agent that go on elsewhere in its event log here, while the block lasts."""
        known = self._followed.get(agent_id)
        # A task of its own: it goes on when the socket that began it has left, and is no one's request.
        count, task = known or (
            0,
            asyncio.create_task(self._look_after(agent_id), context=Context()),
        )
        self._followed[agent_id] = count + 1, task
        try:
            yield
        finally:
            count, task = self._followed.pop(agent_id)
            if count > 1:
                self._followed[agent_id] = count - 1, task
            else:
                task.cancel()

    async def _look_after(self, agent_id: str) -> None:
        service = self._live.service
        told: dict[str, asyncio.Task[None]] = {}
        stamp: object = None
        try:
            while True:
                with suppress(LettaError):  # a busy store: the next look will tell
                    now = await anyio.to_thread.run_sync(service.database.changed)
                    if now != stamp:
                        going = await anyio.to_thread.run_sync(self._elsewhere, agent_id)
                        stamp = now
                        for run_id in going:
                            if run_id not in told:
                                told[run_id] = asyncio.create_task(self._tell(agent_id, run_id))
                for run_id in [one for one, task in told.items() if task.done()]:
                    del told[run_id]
                await asyncio.sleep(_LOOK)
        finally:
            for task in told.values():
                task.cancel()

    def _elsewhere(self, agent_id: str) -> list[str]:
        service = self._live.service
        going = service.runs.list(agent_ids=[agent_id], statuses=GOING)
        return [
            run.id
            for run in reversed(going)
            if not service.runs.is_here(run.id) and service.events.run(run.id) is None
        ]

    async def _tell(self, agent_id: str, run_id: str) -> None:
        events = self._live.service.events
        whole = False
        try:
            run = await anyio.to_thread.run_sync(remote.find, self._live, run_id)
            if run is None:
                return
            async for event in run.events():
                if event is not None:
                    events.add(agent_id, run_id, event, ours=False)
            whole = True
        except LettaError as error:
            log.info("letta: %s of another process is not told: %s", run_id, error)
        finally:
            events.finish(run_id) if whole else events.drop(run_id)


_known: WeakKeyDictionary[Project, Mirrors] = WeakKeyDictionary()
