"""Messages of all agents: listed, found, looked up."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from letta_kernel.memory.recall import MessageHit
from letta_kernel.server import threads
from letta_kernel.server.authorization import own_agent, whose
from letta_kernel.server.deps import Page, Service
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.server.schemas.history import View, to_messages
from letta_kernel.server.schemas.messages import LettaMessage, MessageType
from letta_kernel.server.schemas.passages import Moment

router = APIRouter(tags=["messages"])

_TYPES = {"user": "user_message", "assistant": "assistant_message"}


class MessageSearch(Asked):
    """What to look for in conversations, and whose; without an agent: everybody's."""

    query: Annotated[str, Field(max_length=100_000)]
    agent_id: str | None = None
    conversation_id: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    start_date: Moment | None = None
    end_date: Moment | None = None


class MessageFound(Shape):
    """A message that was found."""

    message_id: str
    message_type: Literal["user_message", "assistant_message", "system_message"]
    content: str
    created_at: datetime
    agent_id: str | None = None
    conversation_id: str | None = None


@router.get("/messages", operation_id="list_all_messages")
def list_messages(
    service: Service,
    cursor: Page,
    conversation_id: Annotated[str | None, Query(max_length=1000)] = None,
    include_return_message_types: Annotated[list[MessageType] | None, Query()] = None,
) -> list[LettaMessage]:
    """List messages of all agents, or of one conversation, by time."""
    view = View(types=include_return_message_types)
    return threads.history(service, cursor, view, agent=own_agent(), conversation=conversation_id)


@router.post("/messages/search", operation_id="search_all_messages")
def search_messages(service: Service, asked: MessageSearch) -> list[MessageFound]:
    """Search conversations by words and meaning together, whichever ``search_mode`` is asked for."""
    agent = whose(service, asked.agent_id)
    if own_agent() is not None and asked.conversation_id is not None:
        threads.place_of(service, asked.conversation_id, agent)
    hits = service.messages.search(
        asked.query,
        agent=agent,
        conversation=asked.conversation_id,
        limit=asked.limit,
        start=asked.start_date,
        end=asked.end_date,
        timezone="UTC",
    )
    if (
        asked.query.strip()
    ):  # of one agent they come as it would read them, which weighs more than the score
        hits.sort(key=lambda hit: -hit.score)
    return [_found(hit) for hit in hits]


@router.get("/messages/{message_id}", operation_id="retrieve_message")
def retrieve_message(service: Service, message_id: str) -> list[LettaMessage]:
    """Return one message: a thought, an answer and a call of one reply are several and share its id."""
    found = service.messages.with_pictures([threads.message(service, message_id)])
    return to_messages(found, View(), waiting=service.messages.held(found))


def _found(hit: MessageHit) -> MessageFound:
    message = hit.message
    kind: Any = _TYPES.get(message.role, "system_message")
    return MessageFound(
        message_id=message.id,
        message_type=kind,
        content=_text(hit),
        created_at=message.created_at,
        agent_id=message.agent_id,
        conversation_id=message.conversation_id,
    )


def _text(hit: MessageHit) -> str:
    if hit.message.content:
        return hit.message.content
    said = to_messages([hit.message], View(types=("assistant_message",)))
    return "\n".join(shape.content for shape in said)
