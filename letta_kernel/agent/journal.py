"""What a run writes, and when: its start, each step, its end, one transaction each.

The journal holds the agent's lease for the length of a run, so that two notebooks cannot step one agent at
the same time, and every commit checks that the lease is still ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import AgentBusyError, ConflictError
from letta_kernel.ids import now
from letta_kernel.messages import Message, Usage
from letta_kernel.records import AgentState, Run, Step
from letta_kernel.stop_reasons import StopReason, run_status
from letta_kernel.store import agents, conversations, messages, recovery, runs
from letta_kernel.store.agents import Head
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lease import process_owner

T = TypeVar("T")

LEASE_SECONDS = 60.0


class Journal:
    """The written record of one run of one agent, in its own thread or in a conversation."""

    def __init__(self, database: Database, state: AgentState, run: Run) -> None:
        self.database = database
        self.state = state
        self.run = run
        self._owner = f"{process_owner()}/{run.id}"
        self._fence = 0
        self._closed = threading.Event()

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
                lambda: recovery.recover(tx, state.id, self.run.conversation_id),
            )
            self._fence = head.fence
            found = read(tx, head)
            runs.start(tx, self.run, head.fence)
            if incoming and self.run.conversation_id is not None:
                conversations.touch(tx, self.run.conversation_id, self.run.created_at)
            return self._append(tx, incoming, head.seq), found

        opened: tuple[list[Message], T] | None = None
        try:
            with Uninterrupted():
                opened = self.database.run(work)
            threading.Thread(target=self._keep_lease, name="agent-lease", daemon=True).start()
        except BaseException:
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
    ) -> list[Message]:
        """Write a step's end with its messages and, if it is the last, the end of the run: one commit.

        *opened* says that the step itself was written before.
        """

        def work(tx: Tx) -> list[Message]:
            first = self._advance(tx, len(added), end, end == "requires_approval")
            written = self._append(tx, added, first)
            (runs.end_step if opened else runs.add_step)(tx, step)
            self._progress(tx, step.number, usage, end, error)
            return written

        with Uninterrupted():
            written = self.database.run(work)
            if end is not None:
                self._closed.set()
        return written

    def keep(
        self, step: Step, added: Sequence[Message], *, begun: Sequence[str], opened: bool
    ) -> list[Message]:
        """Write part of a step; the calls *begun* are about to have an effect outside the store."""
        return self.database.run(lambda tx: self._part(tx, step, added, begun, opened))

    def effect(
        self, step: Step, act: Callable[[], tuple[T, Sequence[Message]]], *, opened: bool
    ) -> tuple[T, list[Message]]:
        """Let *act* change the store, and write the messages it returns: one commit, or nothing."""

        def work(tx: Tx) -> tuple[T, list[Message]]:
            done, added = act()
            return done, self._part(tx, step, added, (), opened)

        return self.database.run_joined(work)

    def _part(
        self, tx: Tx, step: Step, added: Sequence[Message], begun: Sequence[str], opened: bool
    ) -> list[Message]:
        first = self._advance(tx, len(added), None, False, begun)
        if not opened:
            runs.add_step(tx, step)
        return self._append(tx, added, first)

    def compact(self, summary: Message) -> list[Message]:
        """Write a *summary* and where the window begins now (as the state says), in one commit."""

        def work(tx: Tx) -> list[Message]:
            first = self._advance(tx, 1, None)
            conversations.move_window(tx, self.state)
            return self._append(tx, [summary], first)

        with Uninterrupted():
            return self.database.run(work)

    def finish(self, steps: int, usage: Usage, reason: StopReason, error: str | None) -> None:
        """Write the end of a run that ends between steps; does nothing if it was written before."""
        if self._closed.is_set():
            return

        def work(tx: Tx) -> None:
            self._advance(tx, 0, reason)
            self._progress(tx, steps, usage, reason, error)

        with Uninterrupted():
            self.database.run(work)
            self._closed.set()

    def _append(self, tx: Tx, added: Sequence[Message], first: int) -> list[Message]:
        state, conversation_id = self.state, self.run.conversation_id
        # Whatever the thread, messages are numbered by the agent; the numbers of its own lease are these.
        own = first if conversation_id is None else None
        return messages.append(tx, state.id, added, own, conversation_id)

    def _advance(
        self,
        tx: Tx,
        count: int,
        end: StopReason | None,
        waiting: bool | None = None,
        begun: Sequence[str] = (),
    ) -> int:
        return agents.advance(
            tx,
            self.state.thread_id,
            self._fence,
            LEASE_SECONDS,
            count,
            end=end is not None,
            waiting=waiting,
            begun=begun,
        )

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

    def _keep_lease(self) -> None:
        # A tool may run for longer than the lease; only another machine would take the agent then.
        while not self._closed.wait(LEASE_SECONDS / 3):
            try:
                self.database.run(
                    lambda tx: agents.renew(
                        tx, self.state.thread_id, self._owner, self._fence, LEASE_SECONDS
                    )
                )
            except (ConflictError, AgentBusyError):
                return  # lost: the next commit of this run says so
