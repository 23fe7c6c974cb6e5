"""Talking with an agent: messages sent, streamed, listed; runs cancelled."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ConfigDict, Field

from letta_kernel.errors import NotFoundError
from letta_kernel.server import authorization, threads
from letta_kernel.server.deps import Live, PageByTime, Service
from letta_kernel.server.events import requests, sse
from letta_kernel.server.events.runs import LiveRun
from letta_kernel.server.handles import model_name
from letta_kernel.server.paging import MAX_LIMIT
from letta_kernel.server.routes.agents import agent_of
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.server.schemas.history import View, usage_of
from letta_kernel.server.schemas.messages import (
    LettaMessage,
    LettaResponse,
    MessageType,
    UsageStatistics,
)
from letta_kernel.server.schemas.model_settings import check_format
from letta_kernel.server.schemas.requests import MessageRequest, StreamedRequest
from letta_kernel.server.schemas.runs import ASKED, RunShape, to_run, told
from letta_kernel.service.runs import GOING

router = APIRouter(tags=["agents"])


class CancelIn(Asked):
    """Which runs to end; all of the agent's if none are named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    run_ids: list[str] | None = Field(None, max_length=1000)


class GenerateIn(Asked):
    """A prompt for an agent's model."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Name three sea birds."}]})

    prompt: str = Field(min_length=1)
    system_prompt: str | None = None
    override_model: str | None = Field(None, max_length=200)
    response_schema: dict[str, Any] | None = Field(
        None, description="The JSON schema of the answer."
    )


class GenerateResponse(Shape):
    """What the model says, which model, and what it took."""

    content: str
    model: str
    usage: UsageStatistics


@router.post("/agents/{agent_id}/generate", operation_id="generate")
def generate(service: Service, agent_id: str, asked: GenerateIn) -> GenerateResponse:
    """Let an agent's model answer a prompt: without the agent's memory and tools, kept nowhere."""
    model = model_name(asked.override_model, "override_model")
    if model is not None:
        authorization.need("write")
    form = None
    if asked.response_schema is not None:
        schema = {"name": "answer", "schema": asked.response_schema}
        wanted = {"type": "json_schema", "json_schema": schema}
        form = check_format(wanted, "response_schema")
    reply = service.runs.complete(
        agent_of(service, agent_id),
        asked.prompt,
        system=asked.system_prompt or "",
        model=model,
        form=form,
    )
    usage = usage_of(reply.usage, 1, None)
    return GenerateResponse(content=reply.text, model=reply.model, usage=usage)


@router.get("/agents/{agent_id}/messages", operation_id="list_messages")
def list_messages(
    service: Service,
    agent_id: str,
    cursor: PageByTime,
    conversation_id: Annotated[
        str | None, Query(description="One of the agent's conversations, not its own thread.")
    ] = None,
    include_return_message_types: Annotated[
        list[MessageType] | None, Query(description="Only these; all if none are named.")
    ] = None,
    use_assistant_message: bool = True,
    assistant_message_tool_name: str = "send_message",
    assistant_message_tool_kwarg: str = "message",
) -> list[LettaMessage]:
    """List the messages of an agent; one of several parts comes as several, and counts once."""
    place = threads.own_thread(service, agent_of(service, agent_id))
    if conversation_id is not None:
        place = threads.place_of(service, conversation_id, place.agent_id)
    view = View(
        types=include_return_message_types,
        speaking_tool=assistant_message_tool_name if use_assistant_message else None,
        speaking_argument=assistant_message_tool_kwarg,
    )
    return threads.thread(service, cursor, view, place)


@router.post(
    "/agents/{agent_id}/messages",
    operation_id="create_message",
    response_model=LettaResponse,
    responses=sse.RESPONSES,
)
async def create_message(
    service: Service, live: Live, agent_id: str, asked: StreamedRequest
) -> LettaResponse | JSONResponse | StreamingResponse:
    """Send messages, or words on calls that wait; answer with all the agent says and does."""
    tokens = asked.streaming and asked.stream_tokens
    run = await _begin(service, live, agent_id, asked, tokens, asked.background)
    return requests.as_stream(run, asked) if asked.streaming else await requests.respond(run)


@router.post(
    "/agents/{agent_id}/messages/stream",
    operation_id="create_message_stream",
    response_class=StreamingResponse,
    responses=sse.RESPONSES,
)
async def create_message_stream(
    service: Service, live: Live, agent_id: str, asked: StreamedRequest
) -> StreamingResponse:
    """Do the same, answered as a stream: each step as it ends or, with stream_tokens, each piece."""
    run = await _begin(service, live, agent_id, asked, asked.stream_tokens, asked.background)
    return requests.as_stream(run, asked)


@router.post("/agents/{agent_id}/messages/async", operation_id="create_message_async")
async def create_message_async(
    service: Service, live: Live, agent_id: str, asked: MessageRequest
) -> RunShape:
    """Send messages and return at once; the run can be followed, looked up or cancelled."""
    run = await _begin(service, live, agent_id, asked, False, True)
    return to_run(await anyio.to_thread.run_sync(service.runs.retrieve, run.id))


@router.post("/agents/{agent_id}/messages/cancel", operation_id="cancel_messages", responses=ASKED)
def cancel_messages(
    service: Service, live: Live, agent_id: str, asked: CancelIn | None = None
) -> JSONResponse:
    """End runs of an agent, wherever they go on: those named, or all, and what waits for a person's word.

    Per run: cancelled, or ended where it had come to its end before. One whose holder has not heard it yet is
    cancelling, with 202: it ends with its next step, or when the lease of a holder that is gone is over.
    """
    owner = agent_of(service, agent_id)
    mine = authorization.own_runs()
    wanted = list(dict.fromkeys((asked.run_ids if asked else None) or ()))
    for run_id in wanted:
        run = service.runs.retrieve(run_id)
        if run.agent_id != owner or mine not in (None, run.created_by):
            raise NotFoundError(f"The agent has no run {run_id!r:.200}.")
    if not wanted:
        going = service.runs.list(
            agent_ids=[owner], statuses=GOING, created_by=mine, limit=MAX_LIMIT
        )
        own = threads.own_thread(service, owner)
        wanted = [run.id for run in going]
        if (waits := service.runs.waiting(owner, own.conversation)) is not None:
            wanted.append(waits)
    return told(live.end(wanted))


async def _begin(
    service: Service,
    live: Live,
    agent_id: str,
    asked: MessageRequest,
    tokens: bool,
    background: bool,
) -> LiveRun:
    def begin() -> LiveRun:
        owner = agent_of(service, agent_id)
        return requests.begin(service, live, owner, asked, tokens=tokens, background=background)

    return await anyio.to_thread.run_sync(begin)
