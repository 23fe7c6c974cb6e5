"""Several threads with one agent, each with a history of its own."""

from __future__ import annotations

from typing import Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, StreamingResponse

from letta_kernel.agent.window import Mode
from letta_kernel.server import remote, threads
from letta_kernel.server.authorization import need, need_owner, only_own, own_runs, whose
from letta_kernel.server.deps import Live, Page, Service
from letta_kernel.server.errors import FieldError, NothingThereError
from letta_kernel.server.events import requests, sse
from letta_kernel.server.events.runs import LiveRun
from letta_kernel.server.paging import MAX_LIMIT, Cursor, Order, bounded
from letta_kernel.server.schemas.conversations import (
    CompactionShape,
    CompactRequest,
    ConversationChange,
    ConversationIn,
    ConversationRequest,
    ConversationShape,
    ResumeRequest,
    changes_of,
    to_conversation,
)
from letta_kernel.server.schemas.history import View
from letta_kernel.server.schemas.messages import LettaMessage, LettaResponse, MessageType
from letta_kernel.server.schemas.runs import ASKED, told
from letta_kernel.server.threads import ThreadRef
from letta_kernel.service import AgentService
from letta_kernel.service.runs import GOING

router = APIRouter(tags=["conversations"])

AgentId = Annotated[
    str | None, Query(description="Whose, where the conversation is `default`: its own thread.")
]


@router.post("/conversations", operation_id="create_conversation")
def create(
    service: Service,
    agent_id: Annotated[str, Query(description="The agent to talk to.")],
    asked: ConversationIn | None = None,
) -> ConversationShape:
    """Begin a further thread with an agent, which shares its memory, tools and archive."""
    changes = changes_of(asked or ConversationIn(), {})
    if changes.get("model") or changes.get("settings"):
        need("write")
        need_owner("Choosing a model")
    made = service.conversations.create(whose(service, agent_id) or "", **changes)
    return to_conversation(made, threads.in_sight(service, ThreadRef(made.agent_id, made.id)))


@router.get("/conversations", operation_id="list_conversations")
def list_all(
    service: Service,
    agent_id: Annotated[str | None, Query(description="Only this agent's.")] = None,
    after: Annotated[str | None, Query(description="Only those after this one.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    order: Order = "desc",
    order_by: Literal["created_at", "last_run_completion", "last_message_at"] = "created_at",
    archive_status: Literal["unarchived", "archived", "all"] = "unarchived",
    summary_search: Annotated[
        str | None, Query(max_length=1000, description="Only those whose summary has this in it.")
    ] = None,
) -> list[ConversationShape]:
    """List conversations, hidden ones not."""
    after = bounded(Cursor(after=after), service.conversations.retrieve).after
    found = service.conversations.list(
        whose(service, agent_id),
        archived={"archived": True, "unarchived": False}.get(archive_status),
        text=summary_search,
        after=after,
        limit=limit,
        order_by=order_by,
        newest_first=order == "desc",
        created_by=only_own(),
    )
    return [to_conversation(one) for one in found]


@router.get("/conversations/{conversation_id}", operation_id="retrieve_conversation")
def retrieve(conversation_id: str, service: Service) -> ConversationShape:
    """Return a conversation with the ids of the messages in sight."""
    found = service.conversations.retrieve(conversation_id)
    return to_conversation(found, threads.in_sight(service, ThreadRef(found.agent_id, found.id)))


@router.patch("/conversations/{conversation_id}", operation_id="update_conversation")
def update(conversation_id: str, asked: ConversationChange, service: Service) -> ConversationShape:
    """Change what a conversation is called, archive it, or give it a model of its own."""
    changes = changes_of(asked, service.conversations.retrieve(conversation_id).settings)
    if "model" in changes or "settings" in changes:
        need_owner("Choosing a model")
    return to_conversation(service.conversations.update(conversation_id, **changes))


@router.delete("/conversations/{conversation_id}", operation_id="delete_conversation")
def delete(conversation_id: str, service: Service) -> None:
    """Delete a conversation and its messages; what a fork shares stays for as long as the fork."""
    service.conversations.delete(conversation_id)


@router.post("/conversations/{conversation_id}/fork", operation_id="fork_conversation")
def fork(
    conversation_id: str,
    service: Service,
    agent_id: AgentId = None,
    hidden: bool = False,
    message_id: Annotated[
        str | None, Query(description="The last message the fork shares; all in sight if left out.")
    ] = None,
) -> ConversationShape:
    """Begin a conversation that shares what is in sight of another."""
    place = threads.place_of(service, conversation_id, agent_id)
    made = service.conversations.fork(
        place.agent_id, place.conversation, message_id=message_id, hidden=hidden
    )
    return to_conversation(made, threads.in_sight(service, ThreadRef(made.agent_id, made.id)))


@router.post(
    "/conversations/{conversation_id}/cancel",
    operation_id="cancel_conversation",
    responses=ASKED,
)
def cancel(
    conversation_id: str, service: Service, live: Live, agent_id: AgentId = None
) -> JSONResponse:
    """End the runs of a conversation, wherever they go on, and what waits in it; see `cancel_messages`."""
    place = threads.place_of(service, conversation_id, agent_id)
    mine = own_runs()
    going = service.runs.list(
        thread_id=place.thread_id, statuses=GOING, created_by=mine, limit=MAX_LIMIT
    )
    waits = service.runs.waiting(place.agent_id, place.conversation)
    if waits is not None and mine not in (None, service.runs.retrieve(waits).created_by):
        waits = None
    return told(live.end([*(run.id for run in going), *([waits] if waits else [])]))


@router.post("/conversations/{conversation_id}/recompile", operation_id="recompile_conversation")
def recompile(
    conversation_id: str,
    service: Service,
    asked: CompactRequest | None = None,
    dry_run: bool = False,
    agent_id: AgentId = None,
) -> str:
    """Return the system prompt as it is now; it is compiled anew whenever memory has changed."""
    whose = agent_id or (asked.agent_id if asked else None)
    place = threads.place_of(service, conversation_id, whose)
    return service.runs.system_prompt(place.agent_id, place.conversation)


@router.post("/conversations/{conversation_id}/compact", operation_id="compact_conversation")
def compact(
    conversation_id: str, service: Service, asked: CompactRequest | None = None
) -> CompactionShape:
    """Summarise the older part of a conversation now."""
    place = threads.place_of(service, conversation_id, asked.agent_id if asked else None)
    return compacted(service, place, asked.mode() if asked else None)


def compacted(service: AgentService, place: ThreadRef, mode: Mode | None) -> CompactionShape:
    """Summarise the older part of a thread; of one that is too short the summary is empty.

    Raises
    ------
    NothingThereError
        It is a conversation that nothing was said in.
    """
    before = len(threads.in_sight(service, place))
    if place.conversation and before == 1:  # the system prompt
        raise NothingThereError("There are no messages to summarise yet.")
    summary = service.messages.compact(place.agent_id, place.conversation, mode)
    return CompactionShape(
        summary=summary.content if summary else "",
        num_messages_before=before,
        num_messages_after=len(threads.in_sight(service, place)),
    )


@router.get("/conversations/{conversation_id}/messages", operation_id="list_conversation_messages")
def list_messages(
    conversation_id: str,
    service: Service,
    page: Page,
    agent_id: AgentId = None,
    include_return_message_types: Annotated[
        list[MessageType] | None, Query(description="Only these.")
    ] = None,
) -> list[LettaMessage]:
    """List the messages of a conversation; a message of several parts comes as several."""
    place = threads.place_of(service, conversation_id, agent_id)
    view = View(types=include_return_message_types)
    return threads.thread(service, page, view, place)


@router.post(
    "/conversations/{conversation_id}/messages",
    operation_id="create_conversation_message",
    response_model=LettaResponse,
    responses=sse.RESPONSES,
)
async def create_message(
    conversation_id: str, asked: ConversationRequest, service: Service, live: Live
) -> LettaResponse | JSONResponse | StreamingResponse:
    """Send messages to a conversation, or words on calls that wait in it."""

    def begin() -> LiveRun:
        place = threads.place_of(service, conversation_id, asked.agent_id)
        return requests.begin(
            service,
            live,
            place.agent_id,
            asked,
            tokens=asked.streaming and asked.stream_tokens,
            background=asked.background,
            conversation=place.conversation,
        )

    run = await anyio.to_thread.run_sync(begin)
    return requests.as_stream(run, asked) if asked.streaming else await requests.respond(run)


@router.post(
    "/conversations/{conversation_id}/stream",
    operation_id="resume_conversation_stream",
    response_class=StreamingResponse,
    responses=sse.RESPONSES,
)
def resume(
    conversation_id: str, service: Service, live: Live, asked: ResumeRequest | None = None
) -> StreamingResponse:
    """Follow the newest run of a conversation, or the one of an otid, from a message's number on."""
    asked = asked or ResumeRequest()
    place = threads.place_of(service, conversation_id, asked.agent_id)
    run_id = asked.run_id
    if run_id is None and asked.otid is not None:
        run_id = requests.run_of(service, live, place.agent_id, asked.otid)
    run = _newest(service, live, place, run_id)
    return sse.stream(
        run, requests.stream_of(run), after=asked.starting_after, pings=bool(asked.include_pings)
    )


def _newest(service: AgentService, live: Live, place: ThreadRef, run_id: str | None) -> LiveRun:
    known = [one.id for one in service.runs.list(thread_id=place.thread_id, limit=MAX_LIMIT)]
    if run_id is not None and run_id not in known:
        raise FieldError("run_id", f"The conversation has no run {run_id[:100]!r}.")
    wanted = run_id or (known[0] if known else None)
    run = live.get(wanted) if wanted else None
    if run is not None and not (run_id or run.extra.get("background") or not run.over.is_set()):
        run = None
    elif run is None and wanted is not None:
        run = remote.find(live, wanted)
        record = service.runs.retrieve(wanted)
        # It ended, elsewhere or long ago: it is told from the history.
        if run is None and (run_id or record.background or record.ended_at is None):
            run = remote.RemoteRun(live, wanted, place.agent_id, None)
    if run is None:
        raise NothingThereError(
            "No active runs found for this conversation: name a run that has ended by its run_id."
        )
    return run
