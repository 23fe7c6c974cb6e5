"""Who asks, and what is shared with whom: an extension, not Letta's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from letta_kernel import users
from letta_kernel.errors import NotFoundError
from letta_kernel.records import Grant
from letta_kernel.server import authorization
from letta_kernel.server.deps import Service
from letta_kernel.server.directory import Directory
from letta_kernel.server.errors import ForbiddenError
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.service import AgentService
from letta_kernel.service.people import People

router = APIRouter(tags=["people"])

NOTICE = (
    "Whoever keeps or teaches this server sees how many runs you begin, and the tokens and dollars they take;"
    " what is said only where you let them read an agent."
)

Right = Literal["read", "talk", "write"]


class SharedShape(Shape):
    """An agent of another person's, as whoever asks may use it."""

    agent: str = Field(description="What to call it: `owner/name`.")
    agent_id: str
    rights: list[Right]
    tools: list[str] = Field(description="The owner's tools that run for you, too.")
    description: str | None = None
    model: str | None = Field(None, description="What answers, where its owner has chosen that.")


class Quota(Shape):
    """What a person may and has used today (UTC); null is not bounded."""

    tokens_a_day: int | None = None
    dollars_a_day: float | None = None
    runs_at_once: int | None = None
    tokens_used: int = 0
    dollars_used: float = 0.0
    runs_going: int = 0


class Me(Shape):
    """Who asks, and what they may."""

    user: str = Field(description="The person's name.")
    owner: bool = Field(description="Whether there is a project of their own here.")
    rights: Right
    teach: bool = Field(False, description="Whether this token tells what every person uses.")
    shared: list[SharedShape] = Field(description="What others have granted.")
    quota: Quota | None = Field(
        None, description="Where somebody bounds it, and at a server of many persons."
    )
    notice: str | None = Field(None, description="What to know before one works here.")
    new: bool = Field(False, description="Whether the notice is told for the first time.")


class GrantShape(Shape):
    """What somebody may with an agent of this project."""

    id: str
    agent_id: str
    agent: str = Field(description="Its name.")
    user: str
    rights: list[Right]
    tools: list[str]
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None


class GrantIn(Asked):
    """Who is to get what; what they had of that agent before is replaced, its tools if any are named."""

    agent_id: str = Field(description="The agent, by id or name.")
    user: str
    rights: Right | list[Right] = Field(min_length=1)
    tools: list[str] | None = Field(
        None, max_length=100, description="Tools of the agent that run for the guest, by name."
    )


@router.get("/me", operation_id="retrieve_me")
def retrieve_me() -> Me:
    """Say who asks, and which agents of other people they may use."""
    use = authorization.current_use()
    home = use is None or use.directory.home(use.token.user) is not None
    quota, new = _quota(use.token.user, use.directory) if use is not None else (None, False)
    return Me(
        user=users.current_user(),
        owner=home,
        rights="write" if use is None else use.token.rights,
        teach=use is None or use.token.teach,
        shared=[
            SharedShape(
                agent=one.name,
                agent_id=one.state.id,
                rights=[right for right in ("read", "talk", "write") if right in one.grant.rights],
                tools=one.grant.tools,
                description=one.state.description or None,
                model=one.state.model or None,
            )
            for one in authorization.shared()
        ],
        quota=quota,
        notice=NOTICE if quota is not None and use is not None and use.directory.people else None,
        new=new,
    )


def _quota(user: str | None, directory: Directory) -> tuple[Quota | None, bool]:
    people = directory.bounds
    if user is None or people is None:
        return None, False
    try:
        person = people.retrieve(user)
    except NotFoundError:  # a user of a hub who has started no server yet, or nobody bounds
        return None, False
    tokens, dollars, going = people.used(user)
    quota = Quota(
        tokens_a_day=person.tokens_a_day,
        dollars_a_day=person.dollars_a_day,
        runs_at_once=person.runs_at_once,
        tokens_used=tokens,
        dollars_used=round(dollars, 6),
        runs_going=going,
    )
    return quota, directory.people is not None and people.tell(user)


class UsageShape(Shape):
    """What somebody used on one day (UTC)."""

    person: str
    day: str
    runs: int
    tokens: int
    cost: float = Field(description="Dollars.")


@router.get("/people/usage", operation_id="list_usage")
def list_usage(
    request: Request,
    days: Annotated[int, Query(ge=1, le=3660, description="How many back, today included.")] = 30,
    person: Annotated[str | None, Query(description="Only of this person.")] = None,
) -> list[UsageShape]:
    """Say what each person used on each day, never what was said: for tokens that teach."""
    use = authorization.current_use()
    people: People | None = request.app.state.directory.people
    if people is None or (use is not None and not use.token.teach):
        raise ForbiddenError("This needs a token that teaches, at a server of many persons.")
    return [UsageShape.of(one) for one in people.figures(days, person)]


@router.get("/grants", operation_id="list_grants")
def list_grants(
    service: Service,
    agent_id: Annotated[str | None, Query(description="Only of this agent, by id or name.")] = None,
) -> list[GrantShape]:
    """List what others may with your agents, oldest first."""
    return [_shape(service, one) for one in service.grants.list(agent_id)]


@router.post("/grants", operation_id="create_grant")
def create_grant(request: Request, service: Service, asked: GrantIn) -> GrantShape:
    """Let another person use an agent of yours."""
    people: People | None = request.app.state.directory.people
    if people is not None and request.app.state.hub is None:  # a hub enters them as they come
        people.retrieve(asked.user)  # a slip of the pen would let in who is entered later
    rights = [asked.rights] if isinstance(asked.rights, str) else asked.rights
    made = service.grants.grant(asked.agent_id, asked.user, *rights, tools=asked.tools)
    request.app.state.directory.refresh()
    return _shape(service, made)


@router.delete("/grants", operation_id="delete_grant")
def delete_grant(
    request: Request,
    service: Service,
    agent_id: Annotated[str, Query(description="The agent, by id or name.")],
    user: Annotated[str, Query(description="Who is not to use it any more.")],
) -> GrantShape:
    """Take back what somebody may; what goes on with it ends within a second."""
    state = service.agents.retrieve(agent_id)
    gone = service.grants.revoke(state.id, user)
    request.app.state.directory.refresh()
    return _shape(service, gone)


def _shape(service: AgentService, grant: Grant) -> GrantShape:
    name = service.agents.retrieve(grant.agent_id).name
    return GrantShape.of(grant, agent=name, user=grant.guest)
