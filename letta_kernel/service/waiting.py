"""Waiting in line for an agent that runs in another process."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress

from letta_kernel.errors import AgentBusyError, LettaError
from letta_kernel.messages import Event, Notice, RunEnded, RunQueued, Usage
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Run
from letta_kernel.store import agents, queue
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lease import process_owner

_LOOK = 0.5  # seconds between two looks at the store
_SLICE = 0.1  # seconds of a pause that a stop button may have to wait

Tell = Callable[[Event], None]


class Place:
    """The place of one run in the line for its agent; *said* is what it is to say."""

    def __init__(self, database: Database, state: AgentState, run: Run, said: str) -> None:
        self._database = database
        self._state = state
        self._thread_id = state.thread_id
        self._run = run
        self._said = said
        self._owner = f"{process_owner()}/{run.id}"
        self._renewed = float("-inf")

    def wait(self, cancel: Cancel, tell: Tell) -> Generator[Event, None, bool]:
        """Yield who is waited for, until it is this run's turn; False if it was stopped before."""
        where = ""
        try:
            while (busy := self._look()) is not None:
                if busy.where != where:
                    where = busy.where
                    queued = self._queued(where)
                    tell(queued)
                    yield queued
                for _ in range(round(_LOOK / _SLICE)):
                    if cancel.wait(_SLICE):
                        for event in self._stopped(where):
                            tell(event)
                            yield event
                        return False
            return True
        except (KeyboardInterrupt, GeneratorExit):
            for event in self._stopped(where):
                tell(event)
            raise

    def leave(self) -> None:
        """Give the place up, if it is still taken."""
        with suppress(LettaError):  # the line forgets who does not come back
            self._database.run(lambda tx: queue.leave(tx, self._thread_id, self._owner))

    def _look(self) -> AgentBusyError | None:
        """Keep the place, and return who comes before this run."""
        renew = time.monotonic() - self._renewed > queue.RENEWED

        def work(tx: Tx) -> AgentBusyError | None:
            if renew:
                queue.stand(tx, self._thread_id, self._owner, self._run.notebook)
            try:
                agents.check_free(tx, self._thread_id, self._owner)
            except AgentBusyError as busy:
                return busy
            return None

        found = self._database.run(work)
        if renew:
            self._renewed = time.monotonic()
        return found

    def _queued(self, where: str) -> RunQueued:
        state = self._state
        text = f"{state.name} is busy in {where}; this goes on when it is free."
        if self._run.notebook and where == f"the notebook {self._run.notebook!r}":
            text = f"{state.name} is busy in another kernel of this notebook; this goes on when it is free."
        return RunQueued(
            run_id=self._run.id,
            agent_id=state.id,
            agent_name=state.name,
            said=self._said,
            where=where,
            text=text,
        )

    def _stopped(self, where: str) -> tuple[Notice, RunEnded]:
        ended = RunEnded(
            run_id=self._run.id,
            stop_reason="cancelled",
            steps=0,
            usage=Usage(),
            seconds=0.0,
            model=self._run.model,
        )
        return Notice(text=f"Stopped waiting for {where or 'its turn'}: nothing was sent."), ended
