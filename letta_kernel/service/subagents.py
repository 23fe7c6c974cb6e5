"""Subagents: copies of an agent that do one task for one of its calls (the tool ``spawn``).

A subagent is a fork that is in no list. Its run is asked for by the call, as another agent's would be
(`letta_kernel.service.asking`), so that it is seen inside it, ends with it and is found by it. The newest ones
of an agent stay, to be looked into.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from letta_kernel import settings
from letta_kernel.agent.settings import Budget
from letta_kernel.agent_messages import SPAWN
from letta_kernel.errors import InvalidInputError, LettaError, nearest
from letta_kernel.messages import Event, MemoryChanged, RunQueued, StepEnded, ToolStarted
from letta_kernel.records import FORK_OF, AgentState, WholeRun
from letta_kernel.service.agents import Agents
from letta_kernel.service.blocks import Blocks
from letta_kernel.service.core import Core
from letta_kernel.service.forks import Forks
from letta_kernel.service.talk import SUBAGENT, OnEvent
from letta_kernel.service.tools import Tools
from letta_kernel.store import runs
from letta_kernel.store.database import Tx
from letta_kernel.tools.output import OutputFunction

KEPT = 50  # of one agent; older ones are deleted when another is made
MOST_STEPS = 100
STEPS, SECONDS = 20, 300  # where the call says nothing, as its schema tells
MAX_TASK = 100_000  # characters
_MAX_NAME = 80  # characters of an agent's name that its subagents' have

NOTE = (
    "You are a subagent: a copy of the agent that asks, made for this task alone. Do it and answer; the answer"
    " is all that is read. Nobody can be asked, and what you write into memory stays with you."
)
"""What a subagent is told beside its task."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a subagent is made for, checked; None for *tools* or *blocks* is all of them."""

    text: str
    tools: tuple[str, ...] | None
    blocks: tuple[str, ...] | None
    max_steps: int
    seconds: float
    budget: Budget


def task_of(arguments: Mapping[str, Any], state: AgentState, left: Budget) -> Task:
    """Return the task that a call of *state* asks for, within what is *left* of its run's budget.

    Raises
    ------
    InvalidInputError
        A limit is none, or the task is empty or far too long.
    """
    text = str(arguments["task"])
    if not text.strip():
        raise InvalidInputError("The task is empty: say what is to be done.")
    if len(text) > MAX_TASK:
        raise InvalidInputError(f"A task may have {MAX_TASK:,} characters; this has {len(text):,}.")
    tools, blocks = arguments.get("tools"), arguments.get("blocks")
    steps, seconds = arguments.get("max_steps", STEPS), arguments.get("seconds", SECONDS)
    if not 1 <= steps <= MOST_STEPS:
        raise InvalidInputError(f"max_steps is a whole number from 1 to {MOST_STEPS}, not {steps}.")
    longest = settings.ASK_SECONDS()
    if not (math.isfinite(seconds) and seconds >= 1):
        raise InvalidInputError(f"seconds is a number from 1 to {longest:g}, not {seconds}.")
    cost = arguments.get("cost")
    if cost is not None and not (math.isfinite(cost) and cost > 0):
        raise InvalidInputError(f"cost is a number of US dollars above zero, not {cost}.")
    budget = replace(left, cost=cost) if left.cost is None else left.within(Budget(cost=cost))
    return Task(
        text,
        None if tools is None else tuple(dict.fromkeys(tools)),
        None if blocks is None else tuple(dict.fromkeys(blocks)),
        min(steps, state.max_steps),
        min(seconds, longest),
        budget,
    )


class Progress:
    """Tells in a line what a subagent does, and takes note of the memory it writes.

    Parameters
    ----------
    name : the subagent's.
    on_output, on_event : are told, as by any call that asks another agent.
    """

    def __init__(self, name: str, on_output: OutputFunction, on_event: OnEvent) -> None:
        self._name = name
        self._on_output = on_output
        self._on_event = on_event
        self._changed: list[str] = []

    def take(self, agent_id: str, event: Event) -> None:
        """Pass on what the subagent tells."""
        self._on_event(agent_id, event)
        match event:
            case RunQueued():
                said = "waits"
            case ToolStarted():
                said = f"calls {event.name}"
            case StepEnded():
                said = f"step {event.number} is done"
            case MemoryChanged() if event.label not in self._changed:
                self._changed.append(event.label)
                return
            case _:
                return
        self._on_output("progress", f"{self._name}: {said}")

    def whom(self, stream: str, text: str) -> None:
        """Pass over whom the call waits for: it is told what that one does."""

    def memory(self) -> dict[str, str]:
        """Return what the caller is told of the memory that was written; empty if none was."""
        if not self._changed:
            return {}
        labels = ", ".join(self._changed)
        return {"memory": f"It wrote {labels} in its own copy; your memory is as it was."}


class Subagents:
    """Makes the subagents of a project's agents, and knows them."""

    def __init__(self, core: Core, agents: Agents, blocks: Blocks, tools: Tools, forks: Forks):
        self._core = core
        self._agents = agents
        self._blocks = blocks
        self._tools = tools
        self._forks = forks

    def make(self, state: AgentState, number: int, task: Task) -> AgentState:
        """Return a copy of the agent *state* for a task, the subagent of that *number* in its run.

        Raises
        ------
        InvalidInputError
            It has no such tool or block. Nothing is made.
        """
        own = {tool.name: tool for tool in self._tools.list(state.id)}
        given = [name for name in own if name != SPAWN] if task.tools is None else task.tools
        for name in given:
            if name not in own:
                raise InvalidInputError(
                    f"You have no tool {name!r}.{nearest(name, [*own])} Yours are: {', '.join(own)}."
                )
        labels = [block.label for block in self._blocks.list(state.id)]
        for label in task.blocks or ():
            if label not in labels:
                raise InvalidInputError(
                    f"You have no memory block {label!r}.{nearest(label, labels)}"
                    f" Yours are: {', '.join(labels)}."
                )
        self._make_room(state.id)
        copy = self._forks.fork(state.id, f"{state.name[:_MAX_NAME]} › {number}", purpose=SUBAGENT)
        for block in self._blocks.list(copy.id):
            if task.blocks is not None and block.label not in task.blocks:
                self._blocks.delete(block.id)
        return self._agents.update(
            copy.id,
            namesakes="keep",
            metadata={**copy.metadata, FORK_OF: state.id},
            max_steps=task.max_steps,
            tool_refs=[own[name].id for name in given],
        )

    def of(self, ref: str) -> list[tuple[AgentState, WholeRun | None]]:
        """Return an agent's subagents that are kept, the newest first, each with its run if it has begun."""
        agent = self._agents.retrieve(ref)
        found = self._agents.hidden(SUBAGENT, agent.id)[::-1]

        def work(tx: Tx) -> list[tuple[AgentState, WholeRun | None]]:
            return [(one, next(iter(runs.whole(tx, one.id, 1)), None)) for one in found]

        return self._core.do(work)

    def _make_room(self, agent_id: str) -> None:
        """Delete the oldest where another one would be too many; not those that are at work."""
        for one in self._agents.hidden(SUBAGENT, agent_id)[: 1 - KEPT or None]:
            with suppress(LettaError):
                self._agents.delete(one.id)
