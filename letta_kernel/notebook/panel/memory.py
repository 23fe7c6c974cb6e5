"""Archival memory and the conversation in the panel: paging, searching, keeping and forgetting."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from letta_kernel.messages import ANSWER_TOOL, Message
from letta_kernel.notebook.panel.registry import Limit, OfAgent, RequestContext, Text, Word, method
from letta_kernel.records import Passage
from letta_kernel.service.passages import for_person

Tag = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Query = Annotated[str, StringConstraints(max_length=10_000)]


class Passages(OfAgent):
    """A page of an archive: so many, older than the passage ``before``, with any of these tags."""

    limit: Limit = 50
    before: Word | None = None
    tags: list[Tag] | None = None


class Search(OfAgent):
    """Words to look for."""

    query: Query
    limit: Limit = 20


class NewPassage(OfAgent):
    """A text to keep."""

    text: Text
    tags: list[Tag] | None = None


class OnePassage(OfAgent):
    """A passage by its id."""

    id: Word


class Messages(OfAgent):
    """A page of the conversation: so many, older than the message of seq ``before``."""

    limit: Limit = 50
    before: int | None = Field(None, ge=0)
    roles: list[Literal["system", "user", "assistant", "tool", "summary", "event"]] | None = None


@method("passages", Passages)
def passages(context: RequestContext, asked: Passages) -> list[Passage]:
    """Return passages, newest first."""
    return context.service.passages.list(
        asked.agent, asked.limit, before=asked.before, tags=asked.tags or None
    )


@method("passages.search", Search)
def search_passages(context: RequestContext, asked: Search) -> list[dict[str, Any]]:
    """Return the passages that match best, each with its ``score`` from 0 to 1."""
    hits = context.service.passages.search(asked.query, agent=asked.agent, top_k=asked.limit)
    return [
        {**hit.passage.model_dump(mode="json"), "score": hit.score}
        for hit in for_person(asked.query, hits)
    ]


@method("passage.add", NewPassage)
def add_passage(context: RequestContext, asked: NewPassage) -> list[Passage]:
    """Keep a text; return the passages it became."""
    return context.service.passages.create(asked.text, asked.tags or (), agent=asked.agent)


@method("passage.delete", OnePassage)
def delete_passage(context: RequestContext, asked: OnePassage) -> None:
    """Forget a passage."""
    context.service.passages.delete(asked.id, agent=asked.agent)


@method("messages", Messages)
def messages(context: RequestContext, asked: Messages) -> list[Message]:
    """Return a page of the conversation, oldest first; the last is the newest before ``before``."""
    newest = context.service.messages.list(
        asked.agent, before=asked.before, limit=asked.limit, roles=asked.roles
    )
    return [_as_read(message) for message in newest[::-1]]


@method("messages.search", Search)
def search_messages(context: RequestContext, asked: Search) -> list[dict[str, Any]]:
    """Return the messages that match best, each with its ``score``."""
    hits = context.service.messages.search(asked.query, agent=asked.agent, limit=asked.limit)
    return [
        {**_as_read(hit.message).model_dump(mode="json"), "score": hit.score}
        for hit in for_person(asked.query, hits)
    ]


def _as_read(message: Message) -> Message:
    """Return a message in which an answer given by a call stands as its text."""
    others = [call for call in message.tool_calls if call.name != ANSWER_TOOL]
    if len(others) == len(message.tool_calls) or not message.said:
        return message
    return message.model_copy(update={"content": message.said, "tool_calls": others})
