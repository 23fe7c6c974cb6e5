"""Groups of agents: made, changed, talked to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

from letta_kernel.errors import InvalidInputError
from letta_kernel.server.authorization import whose
from letta_kernel.server.deps import Live, Page, Service
from letta_kernel.server.events import groups, requests, sse
from letta_kernel.server.events.groups import GroupStream
from letta_kernel.server.events.runs import WAIT, LiveRun
from letta_kernel.server.paging import page_of
from letta_kernel.server.schemas.groups import (
    GroupCreate,
    GroupShape,
    GroupUpdate,
    ManagerName,
    to_group,
)
from letta_kernel.server.schemas.history import View, to_messages
from letta_kernel.server.schemas.messages import LettaMessage, LettaResponse
from letta_kernel.server.schemas.requests import MessageRequest, StreamedRequest
from letta_kernel.service import AgentService

router = APIRouter(tags=["groups"])


@router.get("/groups", operation_id="list_groups")
def list_groups(
    service: Service,
    cursor: Page,
    manager_type: ManagerName | None = None,
    show_hidden_groups: Annotated[bool, Query(description="Those too that are hidden.")] = False,
    project_id: str | None = None,
    order_by: Literal["created_at"] = "created_at",
) -> list[GroupShape]:
    """List groups."""
    found = service.groups.list(manager_type=manager_type, hidden=show_hidden_groups)
    return [to_group(one) for one in page_of(found, cursor)]


@router.get("/groups/count", operation_id="count_groups")
def count_groups(service: Service) -> int:
    """Count the groups."""
    return len(service.groups.list(hidden=True))


@router.post("/groups", operation_id="create_group")
def create_group(service: Service, asked: GroupCreate) -> GroupShape:
    """Make a group of agents."""
    fields = asked.config.fields()
    made = service.groups.create(
        asked.agent_ids,
        name=asked.name,
        description=asked.description,
        manager_type=asked.config.manager_type,
        manager=fields.pop("manager_agent_id", None),
        shared_block_ids=asked.shared_block_ids,
        hidden=bool(asked.hidden),
        **fields,
    )
    return to_group(made)


@router.get("/groups/{group_id}", operation_id="retrieve_group")
def retrieve_group(service: Service, group_id: str) -> GroupShape:
    """Return one group."""
    return to_group(service.groups.retrieve(group_id))


@router.patch("/groups/{group_id}", operation_id="modify_group")
def modify_group(service: Service, group_id: str, asked: GroupUpdate) -> GroupShape:
    """Change a group in what is given; the kind of its manager stays."""
    fields: dict[str, Any] = {}
    if asked.manager_config is not None:
        kind = service.groups.retrieve(group_id).manager_type
        if asked.manager_config.manager_type != kind:
            raise InvalidInputError(f"The group's manager is {kind}: make another group instead.")
        fields = asked.manager_config.fields()
    for field in ("agent_ids", "description", "name", "hidden", "shared_block_ids"):
        if (value := getattr(asked, field)) is not None:
            fields[field] = value
    manager = fields.pop("manager_agent_id", None)
    return to_group(service.groups.update(group_id, manager=manager, **fields))


@router.delete("/groups/{group_id}", operation_id="delete_group")
def delete_group(service: Service, group_id: str) -> None:
    """Delete a group; its agents stay, with what they heard in it."""
    service.groups.delete(group_id)


@router.get("/groups/{group_id}/messages", operation_id="list_group_messages")
def list_messages(
    service: Service,
    group_id: str,
    cursor: Page,
    use_assistant_message: bool = True,
    assistant_message_tool_name: str = "send_message",
    assistant_message_tool_kwarg: str = "message",
) -> list[LettaMessage]:
    """List what was said in a group, each thing once, with the name of the agent that said it."""
    view = View(
        speaking_tool=assistant_message_tool_name if use_assistant_message else None,
        speaking_argument=assistant_message_tool_kwarg,
    )
    ids = page_of(service.groups.message_ids(group_id), cursor, key=str)
    found = service.groups.messages(ids[::-1] if cursor.newest_first else ids)
    found = service.messages.with_pictures(found)
    shapes = to_messages(found, view, waiting=service.messages.held(found))
    spoke = {one.id: one.agent_id for one in found if one.role != "user"}
    names = {one.id: one.name for one in service.groups.members(group_id)}
    for shape in shapes:
        if agent_id := spoke.get(shape.id):
            shape.sender_id, shape.name = agent_id, shape.name or names.get(agent_id)
    return shapes[::-1] if cursor.newest_first else shapes


@router.post(
    "/groups/{group_id}/messages",
    operation_id="send_group_message",
    response_model=LettaResponse,
    responses=sse.RESPONSES,
)
async def create_message(
    service: Service, live: Live, group_id: str, asked: StreamedRequest
) -> LettaResponse | JSONResponse | StreamingResponse:
    """Say something to a group, or words on calls that wait; answer with all that is said then."""
    run = await _begin(service, live, group_id, asked)
    return _stream(run, asked) if asked.streaming else await groups.respond(run, asked)


@router.post(
    "/groups/{group_id}/messages/stream",
    operation_id="send_group_message_streaming",
    response_class=StreamingResponse,
    responses=sse.RESPONSES,
)
async def create_message_stream(
    service: Service, live: Live, group_id: str, asked: StreamedRequest
) -> StreamingResponse:
    """Do the same, answered as a stream: each step as it ends or, with stream_tokens, each piece."""
    return _stream(await _begin(service, live, group_id, asked), asked)


@router.post("/groups/{group_id}/cancel", operation_id="cancel_group")
def cancel(service: Service, group_id: str, response: Response) -> dict[str, bool]:
    """End the turn of a group, with all its runs, wherever it goes on; false if none does, or it had ended.

    With 202 whoever carries it out has been told, and has not ended it yet.
    """
    found = service.groups.cancel(group_id, WAIT)
    response.status_code = 202 if found == "cancelling" else 200
    return {"cancelled": found == "cancelled"}


@router.patch("/groups/{group_id}/reset-messages", operation_id="reset_group_messages")
def reset_messages(service: Service, group_id: str) -> None:
    """Let a group begin anew: what was said in it goes, from its agents' histories too."""
    service.groups.reset(group_id)


@router.get("/agents/{agent_id}/groups", operation_id="list_groups_for_agent")
def list_groups_of_agent(
    service: Service,
    agent_id: str,
    cursor: Page,
    manager_type: ManagerName | None = None,
    order_by: Literal["created_at"] = "created_at",
) -> list[GroupShape]:
    """List the groups an agent is in, as a member or their manager."""
    found = service.groups.list(
        agent=whose(service, agent_id), manager_type=manager_type, hidden=True
    )
    return [to_group(one) for one in page_of(found, cursor)]


async def _begin(
    service: AgentService, live: Live, group_id: str, asked: MessageRequest
) -> LiveRun:
    return await anyio.to_thread.run_sync(groups.begin, service, live, group_id, asked)


def _stream(run: LiveRun, asked: StreamedRequest) -> StreamingResponse:
    stream = GroupStream(requests.view_of(asked), tokens=asked.stream_tokens)
    return sse.stream(run, stream, pings=asked.include_pings)
