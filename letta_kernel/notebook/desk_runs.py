"""Runs at the desk: talking, approving and stopping; what the model sees, what it all took."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import ToolCall
from letta_kernel.models.registry import available
from letta_kernel.notebook import run
from letta_kernel.notebook.desk_registry import Limit, OfAgent, Params, Room, Text, Word, method
from letta_kernel.notebook.floor import Question, check_calls
from letta_kernel.notebook.words import WORDS
from letta_kernel.records import Step, WholeRun
from letta_kernel.store import runs as run_rows

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session


class Said(OfAgent):
    """A message for an agent."""

    text: Annotated[Text, StringConstraints(min_length=1)]


class Verdict(Params):
    """A person's word on one call; ``arguments`` replaces the model's if they edited them."""

    call_id: Word
    approve: bool
    reason: str = Field("", max_length=2000)
    arguments: dict[str, Any] | None = None


class Decided(OfAgent):
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


@method("talk", Said)
def talk(room: Room, asked: Said) -> dict[str, str]:
    """Send a message to an agent; what happens is told as events. Returns a ticket."""
    session = _session(room)
    agent = room.service.agents.retrieve(asked.agent)
    if not asked.text.strip():
        raise InvalidInputError("There is nothing to send: the message is empty.")
    return session.floor.later(lambda: run.talk(session, agent.id, asked.text))


@method("pending", OfAgent)
def pending(room: Room, asked: OfAgent) -> list[ToolCall]:
    """Return the calls of an agent that wait for a person's word."""
    question = _question(room, room.service.agents.retrieve(asked.agent).id)
    return question.calls if question is not None else room.service.runs.pending(asked.agent)


@method("approve", Decided)
def approve(room: Room, asked: Decided) -> dict[str, str] | None:
    """Decide about calls that wait.

    A run that waits in a cell of this kernel goes on there, and the answer is None. One that stopped
    waiting goes on without a cell: then the answer is a ticket.
    """
    agent = room.service.agents.retrieve(asked.agent)
    decisions = [
        Decision(one.call_id, one.approve, one.reason, one.arguments) for one in asked.decisions
    ]
    question = _question(room, agent.id)
    if question is not None:
        question.decide(decisions)
        return None
    session = _session(room)
    waiting = room.service.runs.pending(agent.id)
    if not waiting:
        raise InvalidInputError(f"{agent.name} waits for no approval.")
    check_calls(waiting, decisions)
    return session.floor.later(lambda: run.resume(session, agent.id, decisions))


@method("job", Ticket)
def job(room: Room, asked: Ticket) -> Any:
    """Return what came of a ticket, once its code was executed."""
    return _session(room).floor.result(asked.ticket)


@method("cancel", OneRun)
def cancel(room: Room, asked: OneRun) -> bool:
    """Stop a run of this kernel; False if it is not running here."""
    return room.service.runs.cancel(asked.run)


@method("context", OfAgent)
def context(room: Room, asked: OfAgent) -> dict[str, Any]:
    """Return what the model would see now, part by part, in tokens."""
    return asdict(room.service.runs.context(asked.agent))


@method("runs", Runs)
def runs(room: Room, asked: Runs) -> list[WholeRun]:
    """Return runs, newest first; one that went on after an approval is one."""
    return room.service.runs.whole(asked.agent, asked.limit, asked.before)


@method("steps", OneRun, empty=[])
def steps(room: Room, asked: OneRun) -> list[Step]:
    """Return the steps of a run in order, with those after approvals."""
    return room.service.steps.of_run(asked.run, whole=True)


@method("cost", Cost, empty=asdict(run_rows.Cost(0, 0, 0, 0, 0, None)))
def cost(room: Room, asked: Cost) -> dict[str, Any]:
    """Add up what runs took; ``cost`` is in US dollars, None if no price is known."""
    since = _midnight() if asked.since == "today" else asked.since
    return asdict(room.service.runs.cost(asked.agent, since=since))


@method("models")
def models(room: Room, asked: Params) -> list[dict[str, Any]]:
    """Return what this machine can use, the chosen one first, then how to get the rest."""
    return [one.as_dict(WORDS) for one in available()]


def _midnight() -> datetime:
    return datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


def _session(room: Room) -> Session:
    if room.session is None:
        raise InvalidInputError("This needs the kernel of a notebook.")
    return room.session


def _question(room: Room, agent_id: str) -> Question | None:
    return room.session.floor.question(agent_id) if room.session is not None else None
