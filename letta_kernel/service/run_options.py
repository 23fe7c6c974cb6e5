"""How one run is carried out: what every way to send a message may say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from letta_kernel.agent.agent import Live
from letta_kernel.agent.beside import BesideSource
from letta_kernel.agent.settings import Budget
from letta_kernel.messages import Message
from letta_kernel.models.base import Cancel, ChatModel
from letta_kernel.records import Block, Tool
from letta_kernel.service.asking import AskedBy
from letta_kernel.service.debug import Debug
from letta_kernel.service.group_part import GroupPart
from letta_kernel.tools.answers import AnswerForm
from letta_kernel.tools.context import ToolContext
from letta_kernel.tools.execute import ToolHost
from letta_kernel.tools.skills import ClientSkill


@dataclass(frozen=True, slots=True)
class Asleep:
    """A run that tidies another agent's memory, which nobody is in front of.

    Attributes
    ----------
    tools : the names of all that may be called.
    stage : lets core tools reach that other agent's memory, whose blocks the model has in sight as they are.
    """

    tools: frozenset[str]
    stage: Callable[[ToolContext, Sequence[Block]], None]


class RunOptions(TypedDict, total=False):
    """How one run is carried out.

    Attributes
    ----------
    max_steps, model : for this run only.
    host : where functions of a notebook live; without one they run from source in the sandbox.
    live : is called with every event at once, also while a tool holds this thread.
    cancel : ends the run from another thread.
    client_tools : tools for this run alone, which whoever sends runs: their calls wait as for
        approval, and `Runs.approve` brings the results.
    turn_tools : tools for this run alone, which *host* has the functions of; the agent's own go before
        them.
    wait : while the agent runs in another process, wait for its end (`RunQueued`) instead of raising;
        "here": in this process, too.
    form : what the answer must be (`letta_kernel.tools.answers`); else what the agent's settings say.
    client_skills : skills on the machine of whoever sends, which the model reads by that one's own tools.
    beside : gives what a notebook places beside the message; nothing is placed there without it.
    following : messages that came with decisions, for the same turn: they stand behind the results.
    asked : the call of another agent that asked for it; then it waits for runs of this process, too.
    group : the turn of a group that it is.
    system : the system prompt for this run only, in place of the compiled one.
    asleep : it tidies another agent's memory.
    debug : who looks at it step by step, or at breakpoints; nobody without it.
    wrap_model : is given the model that is opened, and returns what is asked in its place.
    budget : what it may take, if that is less than the agent's own budget leaves.
    background : whoever sends does not wait for its end.
    """

    max_steps: int | None
    model: str | None
    host: ToolHost | None
    live: Live | None
    cancel: Cancel | None
    client_tools: Sequence[Tool]
    turn_tools: Sequence[Tool]
    wait: bool | Literal["here"]
    form: AnswerForm | None
    client_skills: Sequence[ClientSkill]
    beside: BesideSource | None
    following: Sequence[Message]
    asked: AskedBy | None
    group: GroupPart | None
    system: str
    asleep: Asleep | None
    debug: Debug | None
    wrap_model: Callable[[ChatModel], ChatModel] | None
    budget: Budget | None
    background: bool


def checked(options: RunOptions) -> RunOptions:
    """Return *options* if there are no others among them; `TypeError` as for any call."""
    for name in options.keys() - RunOptions.__annotations__.keys():
        raise TypeError(f"a run has no option {name!r}")
    return options


def with_lent(own: Sequence[Tool], lent: Sequence[Tool]) -> list[Tool]:
    """Return an agent's *own* tools and those *lent* for a turn; its own go before others of their names."""
    names = {tool.name for tool in own}
    return [*own, *(tool for tool in lent if tool.name not in names)]
