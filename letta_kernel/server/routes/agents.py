"""Agents: made, found, changed, deleted."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from letta_kernel.errors import NotFoundError
from letta_kernel.models import registry
from letta_kernel.records import REST
from letta_kernel.server.authorization import own_agent, shared, visible
from letta_kernel.server.deps import Page, Service
from letta_kernel.server.errors import FieldError
from letta_kernel.server.events.contents import ContentReader
from letta_kernel.server.events.requests import message_of
from letta_kernel.server.paging import Cursor, page
from letta_kernel.server.routes.conversations import compacted
from letta_kernel.server.schemas.agent_requests import AgentCreate, AgentUpdate
from letta_kernel.server.schemas.agents import AgentShape, Include, to_agent, to_shared
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.server.schemas.blocks import BLOCK_LIMIT, from_create
from letta_kernel.server.schemas.conversations import CompactionShape
from letta_kernel.server.schemas.requests import CompactIn, MessageIn
from letta_kernel.server.threads import ThreadRef
from letta_kernel.service import AgentService
from letta_kernel.stop_reasons import StopReason

router = APIRouter(tags=["agents"])

Includes = Annotated[
    list[Include] | None, Query(description="Only these relations; all if none are named.")
]


class ResetIn(Asked):
    """How the conversation is to begin anew."""

    add_default_initial_messages: bool | None = None


class Deleted(Shape):
    """It is gone."""

    message: str = Field(examples=["The agent was deleted."])


class ContextPartShape(Shape):
    """A part of what the model sees."""

    name: str
    tokens: int
    text: str


class ContextOverview(Shape):
    """What the model would see now."""

    model: str
    context_window_size_max: int
    context_window_size_current: int
    parts: list[ContextPartShape]


@router.get("/agents", operation_id="list_agents")
def list_agents(
    service: Service,
    cursor: Page,
    name: str | None = None,
    tags: Annotated[list[str] | None, Query()] = None,
    match_all_tags: bool = False,
    query_text: Annotated[str | None, Query(description="A part of the name.")] = None,
    identity_id: str | None = None,
    identifier_keys: Annotated[list[str] | None, Query()] = None,
    last_stop_reason: StopReason | None = None,
    created_by_id: str | None = None,
    project_id: str | None = None,
    template_id: str | None = None,
    base_template_id: str | None = None,
    include: Includes = None,
    show_hidden_agents: Annotated[
        bool, Query(description="Those too that are hidden, which is: set aside.")
    ] = False,
    ascending: Annotated[bool | None, Query(description="The older word for order.")] = None,
    order_by: Literal["created_at", "updated_at", "last_run_completion"] = "created_at",
    sort_by: Annotated[str | None, Query(description="The older word for order_by.")] = None,
) -> list[AgentShape]:
    """Return agents that are all of what is asked for."""
    if ascending is not None:
        cursor = Cursor(cursor.before, cursor.after, cursor.limit, "asc" if ascending else "desc")
    if template_id or base_template_id:
        return []  # there are no templates here
    found = service.agents.list(
        name=name,
        text=query_text,
        tags=tags,
        match="all" if match_all_tags else "any",
        identity_id=identity_id,
        identity_keys=identifier_keys,
        last_stop_reason=last_stop_reason,
        set_aside=show_hidden_agents,
        order_by="last_run_completion" if sort_by == "last_run_completion" else order_by,
        newest_first=cursor.newest_first,
    )
    found = visible(found)
    if created_by_id is not None:
        found = [state for state in found if state.created_by == created_by_id]
    others = [] if tags or identity_id or identifier_keys or last_stop_reason else shared()
    foreign = {
        one.state.id: one
        for one in others
        if name in (None, one.name, one.state.name)
        and (query_text or "").lower() in one.name.lower()
        and created_by_id in (None, one.state.created_by)
    }
    # Other people's stand behind one's own, in the same order.
    theirs = sorted(
        (one.state for one in foreign.values()),
        key=lambda state: (state.created_at, state.id),
        reverse=cursor.newest_first,
    )
    wanted = page([*found, *theirs], cursor)
    mine = {one.id for one in found}
    views = iter(service.agents.views([one for one in wanted if one.id in mine]))
    return [
        to_agent(next(views), include) if one.id in mine else to_shared(foreign[one.id])
        for one in wanted
    ]


@router.get("/agents/count", operation_id="count_agents")
def count_agents(service: Service) -> int:
    """Return how many agents there are."""
    return len(visible(service.agents.list())) + len(shared())


@router.post("/agents", operation_id="create_agent")
def create_agent(service: Service, asked: AgentCreate) -> AgentShape:
    """Make an agent: with the blocks that are asked for, and Letta's base tools unless told otherwise."""
    kept: dict[str, Any] = {"agent_type": asked.agent_type}
    style = asked.style()
    fields = asked.common(kept)
    if line := registry.missing(fields.get("model")):
        raise NotFoundError(line)
    name = asked.name if asked.name is not None else f"agent-{uuid.uuid4().hex[:8]}"
    folders = [service.folders.retrieve(ref).id for ref in asked.folders()]  # none is missing
    reader = ContentReader(service)
    first = [message_of(m, f"initial_message_sequence.{n}", reader) for n, m in _messages(asked)]
    state = service.agents.create(
        name,
        namesakes="keep",
        style=style,
        blocks=[from_create(block) for block in asked.memory_blocks or ()],
        own_blocks=False,
        block_limit=BLOCK_LIMIT,
        core_tools=asked.base_tools(),
        tool_refs=asked.tool_refs(),
        metadata={**(asked.metadata or {}), REST: kept},
        **fields,
    )
    for folder_id in folders:
        service.folders.attach(folder_id, agent=state.id)
    if first:
        service.messages.insert(state.id, first)
    if asked.enable_sleeptime and asked.agent_type != "sleeptime_agent":
        service.sleeptime.enable(state.id)
    return to_agent(service.agents.view(state.id))


def _messages(asked: AgentCreate) -> list[tuple[int, MessageIn]]:
    return list(enumerate(asked.initial_message_sequence or ()))


@router.get("/agents/{agent_id}", operation_id="retrieve_agent")
def retrieve_agent(service: Service, agent_id: str, include: Includes = None) -> AgentShape:
    """Return an agent and what it has."""
    return to_agent(service.agents.view(agent_of(service, agent_id)), include)


@router.patch("/agents/{agent_id}", operation_id="update_agent")
def update_agent(service: Service, agent_id: str, asked: AgentUpdate) -> AgentShape:
    """Change an agent; what is not given stays."""
    state = service.agents.retrieve(agent_of(service, agent_id))
    _check_reach(service, state.id, asked)
    kept = dict(state.metadata.get(REST) or {})
    fields = asked.common(kept)
    if asked.name is not None:
        fields["name"] = asked.name
    if asked.tool_ids is not None:
        fields["tool_refs"] = asked.tool_ids
    given = asked.folder_ids is not None or asked.source_ids is not None
    folders = [service.folders.retrieve(ref).id for ref in asked.folders()]  # none is missing
    rest = asked.metadata
    if rest is None:
        rest = {key: value for key, value in state.metadata.items() if key != REST}
    fields["metadata"] = {**rest, REST: kept}
    # Whoever may change this one alone takes no name by which others are found.
    namesakes: Literal["keep", "shun"] = "keep" if own_agent() is None else "shun"
    service.agents.update(state.id, namesakes=namesakes, **fields)
    if given:
        for folder in service.folders.list(agent=state.id):
            if folder.id not in folders:
                service.folders.detach(folder.id, agent=state.id)
        for folder_id in folders:
            service.folders.attach(folder_id, agent=state.id)
    if asked.enable_sleeptime is False:
        service.sleeptime.disable(state.id)
    elif asked.enable_sleeptime and service.sleeptime.group_of(state.id) is None:
        service.sleeptime.enable(state.id)
    return to_agent(service.agents.view(state.id))


def _check_reach(service: AgentService, agent_id: str, asked: AgentUpdate) -> None:
    """With a token of one agent it can be given nothing that it has not got: that would be others'."""
    if own_agent() is None:
        return
    if asked.enable_sleeptime:
        raise FieldError("enable_sleeptime", "A token of one agent lets no other agent be made.")
    has = {
        "tool_ids": [one.id for one in service.tools.list(agent_id)],
        "block_ids": [one.id for one in service.blocks.list(agent_id)],
        "folder_ids": (folders := [one.id for one in service.folders.list(agent=agent_id)]),
        "source_ids": folders,
        "identity_ids": [],
    }
    for field, known in has.items():
        for ref in getattr(asked, field) or ():
            if ref not in known:
                raise FieldError(field, f"The agent has no {ref!r:.200}.")


@router.delete("/agents/{agent_id}", operation_id="delete_agent")
def delete_agent(service: Service, agent_id: str) -> Deleted:
    """Delete an agent with its conversation, archive and the blocks nobody else has."""
    service.agents.delete(agent_of(service, agent_id))
    return Deleted(message="The agent was deleted.")


@router.post("/agents/{agent_id}/recompile", operation_id="recompile_agent")
def recompile_agent(
    service: Service,
    agent_id: str,
    dry_run: bool = False,
    update_timestamp: bool = False,
) -> str:
    """Return the system prompt as the model sees it; it is always up to date here."""
    return service.runs.system_prompt(agent_of(service, agent_id))


@router.patch("/agents/{agent_id}/reset-messages", operation_id="reset_messages")
def reset_messages(service: Service, agent_id: str, asked: ResetIn | None = None) -> AgentShape:
    """Forget the conversation; memory blocks, archive and tools stay."""
    state = service.agents.reset(agent_of(service, agent_id))
    return to_agent(service.agents.view(state.id))


@router.post("/agents/{agent_id}/summarize", operation_id="summarize_agent")
def summarize_agent(
    service: Service, agent_id: str, asked: CompactIn | None = None
) -> CompactionShape:
    """Summarise the older part of the conversation now."""
    return compacted(
        service, ThreadRef(agent_of(service, agent_id)), asked.mode() if asked else None
    )


@router.get("/agents/{agent_id}/context", operation_id="retrieve_context")
def retrieve_context(service: Service, agent_id: str) -> ContextOverview:
    """Return what the model would see now, part by part, in tokens."""
    report = service.runs.context(agent_of(service, agent_id))
    return ContextOverview(
        model=report.model,
        context_window_size_max=report.window,
        context_window_size_current=sum(part.tokens for part in report.parts),
        parts=[ContextPartShape.of(part) for part in report.parts],
    )


def agent_of(service: AgentService, agent_id: str) -> str:
    """Return *agent_id* if there is such an agent: paths name agents by id, never by name."""
    if not agent_id.startswith("agent-"):
        raise NotFoundError(f"There is no agent {agent_id!r}.")
    return service.agents.retrieve(agent_id).id
