"""The queue for an agent that runs elsewhere: a run waits in it until it is its turn."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress

from letta_kernel import users
from letta_kernel.agent.agent import Live
from letta_kernel.errors import AgentBusyError, InvalidInputError, LettaError
from letta_kernel.messages import Event, Notice, RunEnded, RunQueued, Usage
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Run
from letta_kernel.service.asking import AskedBy
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store import agents, grants, lease
from letta_kernel.store.database import Database, Tx

_INTERVAL = 0.5  # seconds between two looks at the store
_SLICE = 0.1  # seconds of a pause that a stop button may have to wait


class QueuedRun:
    """A run that waits until its agent is free; *said* is the message it will begin with, *asked* for whom."""

    def __init__(
        self, database: Database, state: AgentState, run: Run, said: str, asked: AskedBy | None
    ) -> None:
        self._database = database
        self._state = state
        self._thread_id = state.thread_id
        self._run = run
        self._said = said
        self._asked = asked
        self._owner = f"{lease.process_owner()}/{run.id}"
        self._renewed = float("-inf")

    def wait(self, cancel: Cancel, tell: Live) -> Generator[Event, None, bool]:
        """Yield who is waited for, until it is this run's turn; False if it was stopped before."""
        where: str | None = None
        try:
            while (busy := self._look()) is not None:
                if busy.where != where:
                    where = busy.where
                    queued = self._queued(where)
                    tell(queued)
                    yield queued
                for _ in range(round(_INTERVAL / _SLICE)):
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

    def taken_back(self) -> str | None:
        """Return what keeps a guest from beginning, now that it is their turn; None: nothing does.

        They may have waited for hours, and what was granted to them be taken back.
        """
        guest = users.guest()
        if guest is None:
            return None
        user = users.current_user()
        found = self._database.run(lambda tx: grants.find(tx, guest.agent_id, user))
        if found is not None and not {"talk", "write"}.isdisjoint(found.rights):
            return None
        return f"What was granted to {user} was taken back while this waited: nothing was sent."

    def refused(self, why: str) -> RunEnded:
        """Return the end of a run that was not let begin."""
        return self._end("error", why)

    def leave(self) -> None:
        """Leave the queue, if the run is still in it."""
        with suppress(LettaError):  # the queue forgets who does not come back
            self._database.run(lambda tx: lease.leave(tx, self._thread_id, self._owner))

    def _look(self) -> AgentBusyError | None:
        """Renew the place in the queue; return who comes before this run."""
        renew = time.monotonic() - self._renewed > lease.RENEWED

        def work(tx: Tx) -> AgentBusyError | None:
            if renew:
                askers = self._asked.waiting if self._asked is not None else ()
                if askers and lease.waits_for(tx, self._thread_id, askers):
                    raise InvalidInputError(
                        f"{self._state.name} waits for your answer itself: answer with what you know."
                    )
                lease.stand(tx, self._thread_id, self._owner, self._run.notebook, askers)
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
        text = f"{state.name} is busy in {where or 'this program'}; this goes on when it is free."
        if self._run.notebook and where == f"the notebook {self._run.notebook!r}":
            text = f"{state.name} is busy in another kernel of this notebook; this goes on when it is free."
        return RunQueued(
            run_id=self._run.id,
            agent_id=state.id,
            agent_name=state.name,
            conversation=self._run.conversation_id,
            said=self._said,
            where=where,
            text=text,
        )

    def _stopped(self, where: str | None) -> tuple[Notice, RunEnded]:
        said = f"Stopped waiting for {where or 'its turn'}: nothing was sent."
        return Notice(text=said), self._end("cancelled")

    def _end(self, reason: StopReason, error: str | None = None) -> RunEnded:
        return RunEnded(
            run_id=self._run.id,
            stop_reason=reason,
            error=error,
            steps=0,
            usage=Usage(),
            seconds=0.0,
            model=self._run.model,
        )
