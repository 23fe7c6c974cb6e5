"""An agent's past, by routes of our own: its timeline, what it was at a step, rewinds, forks, differences."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from letta_kernel.server.authorization import own_agent
from letta_kernel.server.deps import Service
from letta_kernel.server.routes.agents import agent_of
from letta_kernel.server.schemas.agents import AgentShape, to_agent
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.service.forks import Rewound

router = APIRouter(tags=["past"])


class TimedStepShape(Shape):
    """A step of a line: a point in time; ``edited`` is whether a person changed it by hand."""

    id: str
    number: int
    model: str
    tools: list[str]
    error: str | None
    edited: bool
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float | None
    created_at: datetime


class TimedRunShape(Shape):
    """A run of a line; ``said_to`` is the agent it was said to, where a fork inherits it."""

    id: str
    asked: str
    said_to: str
    status: str
    stop_reason: str | None
    error: str | None
    waits: bool
    created_at: datetime
    seconds: float | None
    cost: float | None
    prompt_tokens: int
    completion_tokens: int
    steps: list[TimedStepShape]


class BranchShape(Shape):
    """An end that the agent was rewound from, or a fork (``agent`` is its name), behind the run ``after``."""

    id: str
    after: str
    created_at: datetime
    reason: str
    agent: str
    purpose: str
    messages: int


class TimelineShape(Shape):
    """A page of an agent's line, the newest run first."""

    agent: str
    origin: str
    runs: list[TimedRunShape]
    branches: list[BranchShape]
    more: bool


class PointShape(Shape):
    """What an agent was at a step; ``known`` is false where settings and tools were not recorded yet."""

    agent_id: str
    step_id: str
    moment: datetime
    blocks: dict[str, str]
    tools: dict[str, str] = Field(description="Names, each with the source it had.")
    tool_rules: list[dict[str, Any]]
    settings: dict[str, Any]
    model: str | None
    archives: list[str]
    folders: list[str]
    message_ids: list[str] = Field(description="The newest ones, oldest first.")
    known: bool


class DifferenceShape(Shape):
    """How two points differ; pairs are of the first and of the second."""

    one: str
    other: str
    shared_messages: int
    said: tuple[list[str], list[str]]
    blocks: dict[str, tuple[str | None, str | None]]
    passages: tuple[list[str], list[str]]
    tools: dict[str, tuple[str | None, str | None]]
    fields: dict[str, tuple[Any, Any]]


class ForkIn(Asked):
    """What is to be forked, and where."""

    name: str | None = Field(None, description="A number behind the agent's name, if not given.")
    at: str | None = Field(None, description="A step, run (its end) or branch; now, if not given.")


class UndoIn(Asked):
    """How far it goes."""

    shared: bool = Field(False, description="Blocks that other agents have too, as well.")


class RewindIn(UndoIn):
    """Where to: one of the two."""

    to: str | None = Field(None, description="A step, run (its end) or branch.")
    steps: int | None = Field(None, ge=1, description="How many steps to take back.")


class RewoundShape(Shape):
    """What a rewind did. ``outside`` is what tools did that nothing takes back."""

    agent_id: str
    to: str
    branch_id: str | None
    run_ids: list[str]
    blocks: list[str]
    changed: list[str]
    left: list[str]
    outside: list[str]


@router.get("/agents/{agent_id}/timeline", operation_id="retrieve_timeline")
def retrieve_timeline(
    service: Service, agent_id: str, limit: int = 50, before: str | None = None
) -> TimelineShape:
    """Return the newest runs of an agent, or those before the run *before*, and what parts from them."""
    limit = min(max(limit, 1), 1000)
    found = service.timeline.of(agent_of(service, agent_id), limit=limit, before=before).data()
    if own_agent() is not None:  # who else there is, is none of its business
        found["origin"] = ""
        found["branches"] = [one for one in found["branches"] if not one["agent"]]
    for run in found["runs"]:
        said_to = run.pop("of")
        run["said_to"] = said_to if own_agent() is None else ""
    return TimelineShape.model_validate(found)


@router.get("/agents/{agent_id}/at/{step_id}", operation_id="retrieve_point")
def retrieve_point(service: Service, agent_id: str, step_id: str) -> PointShape:
    """Return what an agent was at the end of a step, to be looked at only."""
    own = agent_of(service, agent_id)
    then = service.timeline.at(own, step_id)
    return PointShape(
        agent_id=own,
        step_id=then.at,
        moment=then.moment,
        blocks=then.blocks,
        tools={tool.name: tool.source for tool in then.tools},
        tool_rules=[rule.model_dump() for rule in then.rules],
        settings=then.settings,
        model=then.model,
        archives=then.archives,
        folders=then.folders,
        message_ids=[message.id for message in then.messages],
        known=then.known,
    )


@router.get("/agents/{agent_id}/differences", operation_id="retrieve_differences")
def retrieve_differences(
    service: Service, agent_id: str, one: str, other: str = "now"
) -> DifferenceShape:
    """Compare two points: steps, runs or branches of this agent, names of agents, NAME@STEP, or now."""
    found = service.timeline.diff(one, other, agent=agent_of(service, agent_id))
    said = [[message.id for message in side] for side in found.said]
    return DifferenceShape(
        one=found.a,
        other=found.b,
        shared_messages=found.shared,
        said=(said[0], said[1]),
        blocks=found.blocks,
        passages=found.passages,
        tools=found.tools,
        fields=found.fields,
    )


@router.post("/agents/{agent_id}/fork", operation_id="fork_agent")
def fork_agent(service: Service, agent_id: str, asked: ForkIn | None = None) -> AgentShape:
    """Make an agent that is what this one was at a step, or is now; both go on by themselves."""
    name, at = (None, None) if asked is None else (asked.name, asked.at)
    made = service.forks.fork(agent_of(service, agent_id), name, at=at)
    return to_agent(service.agents.view(made.id))


@router.post("/agents/{agent_id}/rewind", operation_id="rewind_agent")
def rewind_agent(service: Service, agent_id: str, asked: RewindIn) -> RewoundShape:
    """Go back to a step, run or branch; the old end stays as a branch."""
    own = agent_of(service, agent_id)
    return _rewound(
        service.forks.rewind(
            own, asked.to, steps=asked.steps, shared=asked.shared, alone=own_agent() is not None
        )
    )


@router.post("/agents/{agent_id}/undo", operation_id="undo_run")
def undo_run(service: Service, agent_id: str, asked: UndoIn | None = None) -> RewoundShape:
    """Take back the last run."""
    shared = asked is not None and asked.shared
    own = agent_of(service, agent_id)
    return _rewound(service.forks.undo(own, shared=shared, alone=own_agent() is not None))


@router.post("/agents/{agent_id}/redo", operation_id="redo_run")
def redo_run(service: Service, agent_id: str, asked: UndoIn | None = None) -> RewoundShape:
    """Return to the end that the last undo or rewind left."""
    shared = asked is not None and asked.shared
    own = agent_of(service, agent_id)
    return _rewound(service.forks.redo(own, shared=shared, alone=own_agent() is not None))


def _rewound(done: Rewound) -> RewoundShape:
    return RewoundShape(
        agent_id=done.agent.id,
        to=done.to,
        branch_id=done.branch.id if done.branch is not None else None,
        run_ids=[run.id for run in done.runs],
        blocks=done.blocks,
        changed=done.changed,
        left=done.left,
        outside=[str(one) for one in done.outside],
    )
