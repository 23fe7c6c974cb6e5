"""Agents that ask each other: what the tools of `letta_kernel.tools.builtin.TOGETHER` do.

The run of the agent that is asked goes on in the process of the one that asks, on its thread, and ends with
it: the stop button reaches it, and nobody waits for a process that is gone. The store knows each such run by
the call that asked for it, so that a call asks an agent once. A message without an answer is posted in the
store before its tool returns; `letta_kernel.service.deliveries` lets its reader work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from letta_kernel import parallel, settings
from letta_kernel.agent.settings import Budget
from letta_kernel.agent_messages import (
    NOTIFY,
    SENT,
    SPAWN,
    WAIT,
    as_text,
    from_agent,
)
from letta_kernel.errors import ConflictError, InvalidInputError, LettaError
from letta_kernel.messages import Event, Message, Usage
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Run, Tool
from letta_kernel.service.core import Core
from letta_kernel.service.subagents import NOTE, Progress, Subagents, task_of
from letta_kernel.service.talk import Heard, OnEvent, Reply, Talk
from letta_kernel.store import agents, lease, runs
from letta_kernel.store.database import Tx
from letta_kernel.tools.execute import ToolHost
from letta_kernel.tools.outcome import Outcome, interrupted
from letta_kernel.tools.output import OutputFunction

_MOST_POSTED = 100  # messages that may wait for one agent
_ENDING = 5.0  # seconds that runs which are stopped have to write their end
MAX_MESSAGE = 1_000_000  # characters


@dataclass(frozen=True, slots=True)
class AskedBy:
    """What asked for a run: a call of another agent's run.

    Attributes
    ----------
    line : the agents that wait for one another, the first one first: id and name; empty if nobody waits.
    deadline : when the answer comes too late, on the clock of `time.monotonic`.
    budget : what the run may take.
    posted : the id of the posted message it begins with.
    note : what the agent is told beside the message, for this run alone.
    """

    run_id: str
    call_id: str
    line: tuple[tuple[str, str], ...] = ()
    deadline: float | None = None
    budget: Budget | None = None
    posted: str = ""
    note: str = ""

    def check(self, tx: Tx, state: AgentState) -> None:
        """Make sure, as the run of *state* is written, that it has not been asked for before.

        Raises
        ------
        ConflictError
            It has, perhaps by another process.
        """
        if self.posted and not lease.message_begun(tx, state.thread_id, self.posted):
            raise ConflictError(f"{state.name} has read this message already.")
        if any(one.agent_id == state.id for one in runs.asked_for(tx, self.run_id, self.call_id)):
            raise ConflictError(f"{state.name} was asked by this call already.")

    @property
    def waiting(self) -> list[str]:
        """The ids of the agents that wait."""
        return [agent_id for agent_id, _ in self.line]


_TRIED = ("compare", "eval")
"""Purposes of forks that must leave no trace in other agents."""


class Start(Protocol):
    """Whoever lets an agent answer a message."""

    def __call__(
        self,
        state: AgentState,
        message: Message,
        asked: AskedBy,
        *,
        host: ToolHost | None,
        live: Callable[[Event], None],
        cancel: Cancel,
    ) -> Iterator[Event]:
        """Yield what happens until the run has ended."""
        ...


class Asking:
    """Lets other agents work for one run (a `letta_kernel.tools.execute.Asker`).

    Parameters
    ----------
    state, run, asked : who asks, in which run, and what asked for that.
    start : lets another agent answer.
    host : where functions of a notebook live.
    posted : is called when a message was posted; returns whether this process delivers it.
    subagents : makes copies of the agent that do one task.

    Attributes
    ----------
    left : returns what is left of the run's budget.
    sharing : how many calls go on at the same time, which share that.
    """

    def __init__(
        self,
        core: Core,
        state: AgentState,
        run: Run,
        asked: AskedBy | None,
        start: Start,
        host: ToolHost | None,
        posted: Callable[[], bool],
        subagents: Subagents,
    ) -> None:
        self._core = core
        self._state = state
        self._run = run
        self._start = start
        self._host = host
        self._posted = posted
        self._subagents = subagents
        self._lock = threading.Lock()
        self._spawned = 0
        self.sharing = 1
        before = asked.line if asked is not None else ()
        self._line = (*before, (state.id, state.name))
        self._deadline = asked.deadline if asked is not None else None
        self.left: Callable[[], Budget] = Budget

    def ask(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        call_id: str,
        on_output: OutputFunction,
        on_event: OnEvent,
        cancel: Cancel,
    ) -> Outcome:
        """Do what *tool* does; what goes wrong is told the model in one line."""
        try:
            if tool.name == SPAWN:
                told = partial(Progress, on_output=on_output, on_event=on_event)
                return self._spawn(arguments, call_id, told, cancel, tool.return_limit)
            message = self._checked(str(arguments["message"]))
            self._check_not_tried()
            if tool.name == NOTIFY:
                return self._notify(str(arguments["other_agent_id"]), message, call_id)
            talk = Talk(message, call_id, on_output, on_event, cancel, self._until())
            if tool.name == WAIT:
                other = self._find(str(arguments["other_agent_id"]))
                return self._wait(other, talk, tool.return_limit)
            return self._broadcast(
                arguments["match_all"] or [], arguments["match_some"] or [], talk, tool.return_limit
            )
        except LettaError as error:
            return Outcome("error", error.text, error=error.text)

    def _check_not_tried(self) -> None:
        """Refuse for a fork that is only tried, and whoever works for one: others would remember it."""

        def work(tx: Tx) -> bool:
            found = [agents.get(tx, agent_id) for agent_id, _ in self._line]
            return any(one is not None and one.purpose in _TRIED for one in found)

        if self._core.do(work):
            raise InvalidInputError("This is a trial: no message is sent to other agents.")

    # -- the tools -----------------------------------------------------------------------------------

    def _wait(self, other: AgentState, talk: Talk, limit: int) -> Outcome:
        answer = self._talk(other, talk, self.left(), _host_for(self._host, other.id))
        if talk.cancel.cancelled:
            return _with(interrupted(), answer.usage)
        if answer.problem and not answer.said:
            return Outcome("error", answer.problem, error=answer.problem, usage=answer.usage)
        return Outcome("ok", as_text(answer.shown(limit)), usage=answer.usage)

    def _broadcast(
        self, match_all: Sequence[str], match_some: Sequence[str], talk: Talk, limit: int
    ) -> Outcome:
        others = self._core.do(lambda tx: self._matching(tx, match_all, match_some))
        if not others:
            return Outcome("ok", "[]")
        share = _part(self.left(), len(others))
        # Functions of a notebook are for its main thread: they run from source.
        replies = self._at_once(others, lambda one: self._talk(one, talk, share, None), talk)
        usage = sum((one.usage for one in replies), Usage())
        if talk.cancel.cancelled:
            return _with(interrupted(), usage)
        each = max(1000, limit // len(others))
        return Outcome("ok", as_text([one.shown(each) for one in replies]), usage=usage)

    def _notify(self, ref: str, message: str, call_id: str) -> Outcome:
        other = self._find(ref)
        text = from_agent(self._state.id, self._state.name, message, answered=False)
        entry = {
            "id": f"{self._run.id}/{call_id}",
            "text": text,
            "name": self._state.name,
            "sender_id": self._state.id,
            "asked_by": self._run.id,
            "asked_call": call_id,
        }

        def work(tx: Tx) -> None:
            self._check_depth(tx)
            if runs.asked_for(tx, self._run.id, call_id):
                return
            if len(lease.posted_messages(tx, other.id)) >= _MOST_POSTED:
                raise InvalidInputError(
                    f"{other.name} has {_MOST_POSTED} messages that it has not read yet: send it no more now."
                )
            lease.post_message(tx, other.id, entry)

        self._core.do(work)
        note = None
        if not self._posted():
            note = f"{other.name} reads it when a kernel or server of this project runs."
        return Outcome("ok", SENT, note=note)

    def _spawn(
        self,
        arguments: Mapping[str, Any],
        call_id: str,
        progress: Callable[[str], Progress],
        cancel: Cancel,
        limit: int,
    ) -> Outcome:
        task = task_of(arguments, self._state, _part(self.left(), self.sharing))
        self._core.do(self._check_depth)
        if (spent := task.budget.used_up(Usage())) is not None:
            raise InvalidInputError(f"{spent.text} Do it yourself, or answer with what you know.")
        with self._lock:
            self._spawned += 1
            number = self._spawned
        if number > (most := settings.ASK_MOST()):
            raise InvalidInputError(
                f"This run has made {most} subagents, as many as it may: do the rest yourself."
            )
        copy = self._subagents.make(self._state, number, task)
        told = progress(copy.name)
        until = min(self._until(), time.monotonic() + task.seconds)
        talk = Talk(task.text, call_id, told.whom, told.take, cancel, until)
        # A notebook's functions are for its main thread: elsewhere they run from source.
        here = threading.current_thread() is threading.main_thread()
        host = _host_for(self._host, self._state.id) if here else None
        answer = self._talk(copy, talk, task.budget, host, NOTE)
        if cancel.cancelled:
            return _with(interrupted(), answer.usage)
        if answer.problem and not answer.said:
            return Outcome("error", answer.problem, error=answer.problem, usage=answer.usage)
        shown = {**answer.shown(limit), **told.memory()}
        return Outcome("ok", as_text(shown), usage=answer.usage)

    # -- whom --------------------------------------------------------------------------------------------

    def _checked(self, message: str) -> str:
        if not message.strip():
            raise InvalidInputError("The message is empty: say what the other agent is to do.")
        if len(message) > MAX_MESSAGE:
            raise InvalidInputError(
                f"A message may have {MAX_MESSAGE:,} characters; this has {len(message):,}."
            )
        return message

    def _find(self, ref: str) -> AgentState:
        other = self._core.find_agent(ref.strip())
        if other.id == self._state.id:
            raise InvalidInputError("That is you: answer yourself, or name another agent.")
        return other

    def _matching(
        self, tx: Tx, match_all: Sequence[str], match_some: Sequence[str]
    ) -> list[AgentState]:
        if not match_all and not match_some:
            raise InvalidInputError("Name at least one tag in match_all or match_some.")
        found = agents.list_all(
            tx, tags=match_all or match_some, match="all" if match_all else "any"
        )
        others = [
            one
            for one in found
            if one.id != self._state.id and (not match_some or set(match_some) & set(one.tags))
        ]
        most = settings.ASK_MOST()
        if len(others) > most:
            raise InvalidInputError(
                f"{len(others)} agents have these tags; a message may go to {most} at once: name more tags."
            )
        return others

    def _check_line(self, other: AgentState) -> None:
        """Refuse to wait for somebody who waits for us."""
        ids = [agent_id for agent_id, _ in self._line]
        if other.id in ids:
            names = " → ".join(name for _, name in self._line[ids.index(other.id) :])
            raise InvalidInputError(
                f"{other.name} waits for an answer already ({names}): answer with what you know, or ask"
                " somebody else."
            )

    def _check_depth(self, tx: Tx) -> None:
        most = settings.ASK_DEPTH()
        if runs.depth(tx, self._run.id, most) + 1 >= most:
            raise InvalidInputError(
                f"This has gone through {most} agents, as many as may ask one another in a row: do it"
                " yourself, or answer with what you know."
            )

    def _until(self) -> float:
        mine = time.monotonic() + settings.ASK_SECONDS()
        return mine if self._deadline is None else min(mine, self._deadline)

    # -- talking with one --------------------------------------------------------------------------------

    def _talk(
        self,
        other: AgentState,
        talk: Talk,
        budget: Budget,
        host: ToolHost | None,
        note: str = "",
    ) -> Reply:
        """Let *other* answer, and return what it said or what kept it from that."""
        found = Reply(other)
        heard = Heard(found, talk)
        switch, late = Cancel(), threading.Event()
        talk.cancel.on_cancel(switch.cancel)

        def too_late() -> None:
            late.set()
            switch.cancel()

        timer = threading.Timer(max(0.0, talk.until - time.monotonic()), too_late)
        timer.daemon = True
        text = from_agent(self._state.id, self._state.name, talk.message, answered=True)
        message = Message(
            agent_id=other.id,
            role="user",
            content=text,
            name=self._state.name,
            sender_id=self._state.id,
        )
        try:
            self._check_line(other)
            self._core.do(self._check_depth)
            if (spent := budget.used_up(Usage())) is not None:
                raise InvalidInputError(f"{spent.text} Answer with what you know.")
            timer.start()
            asked = AskedBy(self._run.id, talk.call_id, self._line, talk.until, budget, note=note)
            events = self._start(other, message, asked, host=host, live=heard.live, cancel=switch)
            with closing(events):  # type: ignore[type-var]
                for event in events:
                    heard.take(event)
            found.problem = heard.problem(late.is_set())
        except LettaError as error:
            found.problem = error.text
        finally:
            timer.cancel()
        return found

    def _at_once(
        self, others: Sequence[AgentState], one: Callable[[AgentState], Reply], talk: Talk
    ) -> list[Reply]:
        """Return what *one* returns for each, some at the same time, in their order."""
        return parallel.at_once(
            [partial(one, other) for other in others],
            settings.ASK_AT_ONCE(),
            "asked",
            stop=talk.cancel.cancel,
            ending=_ENDING,
        )


def _host_for(host: ToolHost | None, agent_id: str) -> ToolHost | None:
    """Return where the functions of another agent live: in the same notebook, if there is one."""
    of = getattr(host, "of", None)
    return of(agent_id) if of is not None else host


def _part(budget: Budget, count: int) -> Budget:
    """Return an equal part of *budget* for each of so many."""
    return replace(
        budget,
        cost=None if budget.cost is None else budget.cost / count,
        tokens=None if budget.tokens is None else budget.tokens // count,
    )


def _with(outcome: Outcome, usage: Usage) -> Outcome:
    outcome.usage = usage
    return outcome
