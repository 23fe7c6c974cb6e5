"""Runs in the panel: talking, approving and stopping; what the model sees, what it all took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from letta_kernel.agent.decisions import Decision, Scope
from letta_kernel.display.explanation import explanation_panel
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import ToolCall
from letta_kernel.models.registry import available
from letta_kernel.notebook.approvals import Question, check_calls
from letta_kernel.notebook.panel.registry import (
    Background,
    Limit,
    OfAgent,
    Params,
    RequestContext,
    Text,
    Word,
    method,
)
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.pictures.picture import MOST, check, from_data_url
from letta_kernel.records import Step, WholeRun

_NO_COST = {
    **dict.fromkeys(("runs", "steps", "prompt_tokens", "completion_tokens", "cached_tokens"), 0),
    "cost": None,
}


class Plot(OfAgent):
    """Which plot; of retrieval, what is searched for, and of the last so many runs or passages."""

    what: Literal["tokens", "memory", "cost", "context", "retrieval", "branches"]
    query: Annotated[str, StringConstraints(max_length=10_000)] = ""
    limit: Limit | None = None


class OneStep(OfAgent):
    """A step, or a run for its last one, by its id or how that begins; the last step if none is named."""

    at: Word | None = None


class OfThread(OfAgent):
    """A request about one conversation of an agent, by its id; None is the agent's own thread."""

    conversation: Word | None = None


class Talk(OfThread):
    """A message for an agent; ``images`` are data URLs of those that go with it."""

    text: Annotated[Text, StringConstraints(min_length=1)]
    images: list[str] = Field([], max_length=MOST)


class Verdict(Params):
    """A person's word on one call; ``arguments`` and ``scope`` are as in `Decision`."""

    call_id: Word
    approve: bool
    reason: str = Field("", max_length=2000)
    arguments: dict[str, Any] | None = None
    scope: Scope = ""


class Decided(OfThread):
    """What was decided about the calls an agent waits with; the others count as denied."""

    decisions: Annotated[list[Verdict], Field(min_length=1, max_length=100)]


class Ticket(Params):
    """Work that the front end has put on the main thread."""

    ticket: Word


class Runs(OfAgent):
    """A page of runs: so many, older than the run ``before``."""

    limit: Limit = 50
    before: Word | None = None


class OneRun(Params):
    """A run by its id."""

    run: Word


class Cost(Params):
    """Which runs to add up: since today's midnight or a moment, of one agent or all."""

    since: Literal["today"] | Annotated[AwareDatetime, Field(strict=False)] | None = None
    agent: Word | None = None


@method("talk", Talk)
def talk(context: RequestContext, asked: Talk) -> dict[str, str]:
    """Send a message to an agent; what happens is told as events.

    Returns a ticket or, in a server, the run, which goes on by itself.
    """
    agent = context.service.agents.retrieve(asked.agent)
    if not asked.text.strip():
        raise InvalidInputError("There is nothing to send: the message is empty.")
    pictures = [from_data_url(url) for url in asked.images]
    check(pictures)
    if context.background is not None:
        more = {"pictures": pictures}
        return _begin(context.background, agent.id, asked.text, asked.conversation, **more)
    kernel = context.here()
    return kernel.main_thread.submit(
        lambda: kernel.talk(agent.id, asked.text, pictures, asked.conversation)
    )


@method("pending", OfThread)
def pending(context: RequestContext, asked: OfThread) -> list[ToolCall]:
    """Return the calls of an agent that wait for a person's word."""
    agent = context.service.agents.retrieve(asked.agent)
    question = _question(context, agent.id, asked)
    if question is not None:
        return question.calls
    waiting = context.service.runs.pending(agent.id, asked.conversation)
    if context.kernel is None:
        return waiting
    # Those of notebook tools that never ask only wait for the others.
    free = {one.name for one in context.kernel.lent(agent) if not one.requires_approval}
    return [call for call in waiting if call.name not in free] or waiting


@method("approve", Decided)
def approve(context: RequestContext, asked: Decided) -> dict[str, str] | None:
    """Decide about calls that wait.

    A run that waits in a cell of this kernel goes on there, and the answer is None. One that stopped
    waiting goes on without a cell: then the answer is a ticket or, in a server, the run.
    """
    agent = context.service.agents.retrieve(asked.agent)
    decisions = [
        Decision(one.call_id, one.approve, one.reason, one.arguments, scope=one.scope)
        for one in asked.decisions
    ]
    question = _question(context, agent.id, asked)
    if question is not None:
        question.decide(decisions)
        return None
    waiting = context.service.runs.pending(agent.id, asked.conversation)
    if not waiting:
        raise InvalidInputError(f"{agent.name} waits for no approval.")
    check_calls(waiting, decisions)
    if context.background is not None:
        return _begin(context.background, agent.id, decisions, asked.conversation)
    kernel = context.here()
    return kernel.main_thread.submit(lambda: kernel.resume(agent.id, decisions, asked.conversation))


@method("job", Ticket)
def job(context: RequestContext, asked: Ticket) -> Any:
    """Return what came of a ticket, once its code was executed."""
    return context.here().main_thread.result(asked.ticket)


@method("cancel", OneRun)
def cancel(context: RequestContext, asked: OneRun) -> bool:
    """Stop a run, wherever it goes on; False if it is over."""
    return context.shared.stop(asked.run) or context.service.runs.cancel(asked.run)


@method("context", OfAgent)
def context(context: RequestContext, asked: OfAgent) -> dict[str, Any]:
    """Return what the model would see now, part by part, in tokens."""
    kernel, agent = context.kernel, context.service.agents.retrieve(asked.agent)
    report = context.service.runs.context(
        agent.id,
        notebook=context.notebook,
        beside=kernel.beside_of() if kernel is not None else None,
        turn_tools=kernel.lent(agent) if kernel is not None else (),
    )
    return asdict(report)


class Begun(Params):
    """How a name in a message begins, with or without its @."""

    prefix: Annotated[str, StringConstraints(max_length=500)] = ""


@method("mentions", Begun, empty=[])
def mentions(context: RequestContext, asked: Begun) -> list[dict[str, str]]:
    """Return the names that a message may hold: ``name`` with its @, ``kind``, ``about``."""
    return context.here().names(asked.prefix)


@method("runs", Runs)
def runs(context: RequestContext, asked: Runs) -> list[WholeRun]:
    """Return runs, newest first; one that went on after an approval is one."""
    return context.service.runs.whole(asked.agent, asked.limit, asked.before)


@method("steps", OneRun, empty=[])
def steps(context: RequestContext, asked: OneRun) -> list[Step]:
    """Return the steps of a run in order, with those after approvals."""
    return context.service.steps.of_run(asked.run, whole=True)


@method("cost", Cost, empty=_NO_COST)
def cost(context: RequestContext, asked: Cost) -> dict[str, Any]:
    """Add up what runs took; ``cost`` is in US dollars, None if no price is known."""
    since = _midnight() if asked.since == "today" else asked.since
    return asdict(context.service.runs.cost(asked.agent, since=since))


@method("models")
def models(context: RequestContext, asked: Params) -> list[dict[str, Any]]:
    """Return what this machine can use, the chosen one first, then how to get the rest."""
    return [one.as_dict(WORDS) for one in available()]


def _midnight() -> datetime:
    return datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


def _begin(
    background: Background,
    agent_id: str,
    message: str | Sequence[Decision],
    conversation: str | None,
    **more: Any,
) -> dict[str, str]:
    run = background.start(agent_id, message, conversation=conversation, wait=True, **more)
    return {"run": run.id}


def _question(context: RequestContext, agent_id: str, asked: OfThread) -> Question | None:
    """Return what a cell of this kernel waits with, which is in the agent's own thread."""
    if context.kernel is None or asked.conversation is not None:
        return None
    return context.kernel.approvals.question(agent_id)


@method("explain", OneStep)
def explain(context: RequestContext, asked: OneStep) -> dict[str, str]:
    """Return a step, explained, as HTML."""
    told = context.service.explain.step(asked.at, agent=asked.agent)
    return {"html": explanation_panel(told).html}


@method("plot", Plot)
def plot(context: RequestContext, asked: Plot) -> dict[str, Any]:
    """Return the figures of a plot (`letta_kernel.service.plots.Chart`)."""
    plots = context.service.plots
    return plots.of(asked.agent, asked.what, limit=asked.limit, query=asked.query).data()
