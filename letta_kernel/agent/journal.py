"""What a run writes, and when: its start, each step, its end, one transaction each.

The journal holds the agent's lease for the length of a run, so that two notebooks cannot step one agent at
the same time, and every commit checks that the lease is still ours.

A step without calls is one commit, at its end. One with calls is written when they are about to have an
effect: the message that asks for them goes first, marked as begun; what changes our own store is committed
together with its result; other results follow as they come, the last of them with the step's end.

All writes but those of `Journal.effect` are not strict (`Database.run`): they begin by changing the row of
the lease, by its fence, so that nobody else writes to the agent's history until they are committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from letta_kernel.agent.keeper import LEASE_SECONDS, keeper
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import ConflictError, LettaError, StoreError
from letta_kernel.ids import now
from letta_kernel.messages import Message, Usage
from letta_kernel.records import AgentState, Run, Step
from letta_kernel.stop_reasons import StopReason, meaning, run_status
from letta_kernel.store import (
    agents,
    conversations,
    counters,
    lease,
    messages,
    pictures,
    request_parts,
    runs,
)
from letta_kernel.store.agents import Head
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lease import process_owner
from letta_kernel.store.request_parts import Part

T = TypeVar("T")

log = logging.getLogger(__name__)

_MARKS = {"failed": lease.FAILED_UNANSWERED, "cancelled": lease.STOPPED_UNANSWERED}


class Journal:
    """The written record of one run of one agent, in its own thread or in a conversation.

    *lost* is called, perhaps from another thread, when somebody else has the agent, or wants the run to end.
    """

    def __init__(
        self,
        database: Database,
        state: AgentState,
        run: Run,
        lost: Callable[[], object] = lambda: None,
    ) -> None:
        self.database = database
        self.state = state
        self.run = run
        self._lost = lost
        self.name, self.work_id = state.thread_id, run.id
        self._stop = False  # somebody wants an end
        self._owner = f"{process_owner()}/{run.id}"
        self._fence = 0
        self._may_hold = False
        self._closed = False  # the end of the run is written
        self.configuration: str | None = None  # the id of what the run runs with
        self._passages: tuple[tuple[int, ...] | None, int] = (None, 0)  # by stamp

    def open(
        self, incoming: Sequence[Message], read: Callable[[Tx, Head], T]
    ) -> tuple[list[Message], T]:
        """Take the agent's lease, write the run and its *incoming* messages, and *read*: one commit.

        *read* is called before anything is written, with the head of the history; what it raises undoes
        it all. Returns the messages with their seq, and what *read* returned.

        Raises
        ------
        AgentBusyError
            Another run of this agent is going on.
        """
        state = self.state

        def work(tx: Tx) -> tuple[list[Message], T]:
            head = agents.begin(
                tx,
                state.thread_id,
                self._owner,
                LEASE_SECONDS,
                len(incoming),
                lambda: lease.recover(tx, state.id, self.run.conversation_id),
            )
            self._fence = head.fence
            found = read(tx, head)
            runs.start(tx, self.run, head.fence)
            if incoming and self.run.conversation_id is not None:
                conversations.touch(tx, self.run.conversation_id, self.run.created_at)
            return self._append(tx, incoming, head.seq), found

        opened: tuple[list[Message], T] | None = None
        self._may_hold = True
        try:
            with Uninterrupted(waits=True):
                opened = self.database.run(work, strict=False)
            keeper.keep(self)
        except BaseException as error:
            if isinstance(error, LettaError) and not isinstance(error, StoreError):
                self._may_hold = False  # refused; of a commit that failed one cannot be sure
            if opened is not None:  # stopped just as it was written: nobody else would end the run
                self.finish(0, Usage(), "cancelled", None)
            raise
        return opened

    def commit_step(
        self,
        step: Step,
        added: Sequence[Message],
        *,
        usage: Usage,
        end: StopReason | None = None,
        error: str | None = None,
        opened: bool = False,
        parts: Sequence[Part] = (),
    ) -> list[Message]:
        """Write a step's end with its messages and, if it is the last, the end of the run: one commit.

        *opened* says that the step itself was written before; *parts* are what its request names.
        """

        def work(tx: Tx) -> list[Message]:
            first = self._advance(tx, len(added), end, end == "requires_approval")
            written = self._append(tx, added, first)
            step.passages = self._newest_passage(tx)
            runs.end_step(tx, step) if opened else self._add(tx, step, parts)
            self._progress(tx, step.number, usage, end, error)
            return [*written, *self._marked(tx, end)]

        with Uninterrupted():
            written = self.database.run(work, strict=False)
            request_parts.kept(self.database, step.agent_id, parts)
            if end is not None:
                self._end()
        self._heed()
        return written

    def keep(
        self,
        step: Step,
        added: Sequence[Message],
        *,
        begun: Sequence[str],
        opened: bool,
        parts: Sequence[Part] = (),
    ) -> list[Message]:
        """Write part of a step; the calls *begun* are about to have an effect outside the store."""
        written = self.database.run(
            lambda tx: self._begin(tx, step, added, begun, None if opened else parts),
            strict=False,
        )
        request_parts.kept(self.database, step.agent_id, parts)
        self._heed()
        return written

    def effect(
        self,
        step: Step,
        act: Callable[[], tuple[T, Sequence[Message]]],
        *,
        opened: bool,
        parts: Sequence[Part] = (),
    ) -> tuple[T, list[Message]]:
        """Let *act* change the store, and write the messages it returns: one commit, or nothing."""

        def work(tx: Tx) -> tuple[T, list[Message]]:
            done, added = act()
            return done, self._begin(tx, step, added, (), None if opened else parts)

        done = self.database.run_joined(work)
        request_parts.kept(self.database, step.agent_id, parts)
        self._heed()
        return done

    def know_passages(self, tx: Tx, newest: int) -> None:
        """Take the number of the agent's newest passage, which was read in *tx*."""
        self._passages = tx.stamp("counters"), newest

    def _newest_passage(self, tx: Tx) -> int:
        """Return the number of the agent's newest passage; no query while nobody has numbered anything."""
        stamp, newest = tx.stamp("counters"), self._passages[1]
        if stamp is None or stamp != self._passages[0]:
            newest = counters.last(tx, self.state.id, "passages")
            self._passages = stamp, newest
        return newest

    def _begin(
        self,
        tx: Tx,
        step: Step,
        added: Sequence[Message],
        begun: Sequence[str],
        parts: Sequence[Part] | None,
    ) -> list[Message]:
        """Write messages, and the step itself where *parts* of its request are given."""
        first = self._advance(tx, len(added), None, False, begun)
        if parts is not None:
            self._add(tx, step, parts)
        return self._append(tx, added, first)

    def _add(self, tx: Tx, step: Step, parts: Sequence[Part]) -> None:
        """Write a step, and what of its request this process has not written yet."""
        runs.add_step(tx, step)
        request_parts.keep(tx, self.database, step.agent_id, parts)

    def pictures(self, wanted: Sequence[str]) -> dict[str, str]:
        """Return the pictures of these ids as data URLs, by id."""
        return self.database.run(lambda tx: pictures.urls(tx, wanted))

    def compact(self, summary: Message) -> list[Message]:
        """Write a *summary* and where the window begins now (as the state says), in one commit."""

        def work(tx: Tx) -> list[Message]:
            first = self._advance(tx, 1, None)
            conversations.move_window(tx, self.state)
            return self._append(tx, [summary], first)

        with Uninterrupted():
            written = self.database.run(work, strict=False)
        self._heed()
        return written

    def finish(
        self, steps: int, usage: Usage, reason: StopReason, error: str | None
    ) -> list[Message]:
        """Write the end of a run that ends between steps, and return the messages that took.

        Does nothing if it was written before.
        """
        if self._closed:
            return []

        def work(tx: Tx) -> list[Message]:
            self._advance(tx, 0, reason)
            self._progress(tx, steps, usage, reason, error)
            return self._marked(tx, reason)

        with Uninterrupted():
            written = self.database.run(work, strict=False)
            self._end()
        return written

    def _end(self) -> None:
        self._closed = True
        keeper.drop(self)

    def let_go(self) -> None:
        """Hold the agent no longer, also where its end could not be written: whoever reads next sees that."""
        keeper.drop(self)
        if self._may_hold and not self._closed:
            lease.ended.add(self._owner)

    def _marked(self, tx: Tx, end: StopReason | None) -> list[Message]:
        """Mark what a run leaves unanswered that failed or was stopped."""
        text = None if end is None else _MARKS.get(meaning(end))
        if text is None:
            return []
        run = self.run
        return lease.mark_unanswered(tx, self.state.id, run.conversation_id, run.id, text)

    def _append(self, tx: Tx, added: Sequence[Message], first: int) -> list[Message]:
        state, conversation_id = self.state, self.run.conversation_id
        # Whatever the thread, messages are numbered by the agent; the numbers of its own lease are these.
        own = first if conversation_id is None else None
        return messages.append(
            tx, state.id, added, own, conversation_id, group_id=self.run.group_id
        )

    def _advance(
        self,
        tx: Tx,
        count: int,
        end: StopReason | None,
        waiting: bool | None = None,
        begun: Sequence[str] = (),
    ) -> int:
        advanced = agents.advance(
            tx,
            self.state.thread_id,
            self._fence,
            LEASE_SECONDS,
            count,
            end=end is not None,
            waiting=waiting,
            begun=begun,
        )
        self._stop = self._stop or advanced.stop
        return advanced.seq

    def _heed(self) -> None:
        """End the run if somebody asked for that; not inside a transaction, for ending it may take one."""
        if self._stop:
            self._lost()

    def _progress(
        self, tx: Tx, steps: int, usage: Usage, end: StopReason | None, error: str | None
    ) -> None:
        if end is None:
            return
        run = self.run
        run.steps = steps
        run.prompt_tokens = usage.prompt_tokens
        run.completion_tokens = usage.completion_tokens
        run.cached_tokens = usage.cached_tokens
        run.reasoning_tokens = usage.reasoning_tokens
        run.cost = usage.cost
        run.stop_reason = end
        run.error = error
        run.status = run_status(end)
        run.ended_at = now()
        run.seconds = (run.ended_at - run.created_at).total_seconds()
        runs.finish(tx, run)

    def renew(self) -> None:
        """Prolong the lease of a run that goes on."""
        thread_id = self.state.thread_id
        try:
            self.database.run(
                lambda tx: agents.renew(tx, thread_id, self._owner, self._fence, LEASE_SECONDS),
                strict=False,
            )
        except ConflictError:
            if keeper.drop(self):
                self._lost()  # nothing of this run is written any more
        except LettaError as error:  # the disk may be full only now, or somebody have the store
            log.info("The lease of %s could not be renewed: %s", self.state.id, error)

    def stop(self) -> None:
        """End the run: somebody in another process asked for that."""
        self._lost()


def passing(point: str) -> None:
    """Do nothing, at each point at which a step is written: tests put in its place what ends the process."""
