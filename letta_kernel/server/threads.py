"""Threads of agents over HTTP: which one a path means, and a page of its history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from letta_kernel.errors import LettaError, NotFoundError
from letta_kernel.messages import Message
from letta_kernel.server.access import whose
from letta_kernel.server.errors import FieldError
from letta_kernel.server.paging import Cursor, may_be_gone, seek
from letta_kernel.server.schemas.messages import View, first_id, to_messages
from letta_kernel.service import AgentService

DEFAULT = "default"
"""What stands for an agent's own thread where a conversation's id is asked for."""


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """A thread: the agent's id, and the conversation's or None for the agent's own."""

    agent_id: str
    conversation: str | None = None

    @property
    def thread_id(self) -> str:
        """The thread's id, as runs name it."""
        return self.conversation or self.agent_id


def place_of(service: AgentService, conversation_id: str, agent_id: str | None = None) -> ThreadRef:
    """Return the thread that a path means.

    Parameters
    ----------
    conversation_id : a conversation's id, an agent's (its own thread), or ``default`` with *agent_id*.
    """
    agent_id = whose(service, agent_id)
    if conversation_id == DEFAULT:
        if agent_id is None:
            raise FieldError("agent_id", "Say whose default conversation: agent_id.", where="query")
        return ThreadRef(service.agents.retrieve(agent_id).id)
    if conversation_id.startswith("agent-"):
        return ThreadRef(service.agents.retrieve(whose(service, conversation_id) or "").id)
    found = service.conversations.retrieve(conversation_id)
    if agent_id is not None and service.agents.retrieve(agent_id).id != found.agent_id:
        raise NotFoundError(f"The agent has no conversation {conversation_id!r}.")
    return ThreadRef(found.agent_id, found.id)


def in_sight(service: AgentService, place: ThreadRef) -> list[str]:
    """Return the ids of the messages that a thread has in sight, its system prompt before them."""
    seen = service.messages.in_context(place.agent_id, place.conversation)
    return [first_id(place.thread_id), *(message.id for message in seen)]


def thread(service: AgentService, cursor: Cursor, view: View, place: ThreadRef) -> list[Any]:
    """Return a page of a thread, as `history` does, with its system prompt as the oldest message."""
    whose = {"agent": place.agent_id, "conversation": place.conversation}
    return history(service, cursor, view, first=place, **whose)


def _first(service: AgentService, place: ThreadRef) -> Message:
    """Return the system prompt of a thread as a message."""
    state = service.agents.retrieve(place.agent_id)
    try:
        prompt = service.runs.system_prompt(place.agent_id, place.conversation)
    except LettaError:  # a model that is not to be had now
        prompt = state.instructions
    return Message(
        id=first_id(place.thread_id),
        agent_id=state.id,
        role="system",
        content=prompt,
        created_at=state.created_at,
    )


def _gone(service: AgentService, cursor: Cursor, first: str) -> bool:
    """Return whether the message that bounds a page is not there any more."""
    bound = cursor.after or cursor.before
    if bound is None or bound == first or not may_be_gone(bound):
        return False
    try:
        service.messages.retrieve(bound)
    except NotFoundError:
        return True
    return False


def history(
    service: AgentService,
    cursor: Cursor,
    view: View,
    first: ThreadRef | None = None,
    **whose: Any,
) -> list[Any]:
    """Return a page of messages in the API's shapes, in the order asked for.

    A page counts messages of ours, each of which may be several of the API's.

    Parameters
    ----------
    first : the thread whose system prompt is the oldest message; None: there is none.
    whose : agent, conversation, run_id, step_id, as `Messages.list` takes them.
    """
    oldest = first_id(first.thread_id) if first is not None else ""

    def read(older: str | None, newer: str | None, newest_first: bool) -> list[Message]:
        if older == oldest:
            return []
        bound = None if newer == oldest else newer
        found = service.messages.list(
            limit=cursor.limit, before=older, after=bound, newest_first=newest_first, **whose
        )
        if first is None or newer is not None or not view.wants("system_message"):
            return found
        if not newest_first:
            return [_first(service, first), *found[: cursor.limit - 1]]
        return [*found, _first(service, first)] if len(found) < cursor.limit else found

    if _gone(service, cursor, oldest):  # what is gone bounds nothing
        cursor = replace(cursor, before=None, after=None)
    found = seek(cursor, read)
    oldest_first = found[::-1] if cursor.newest_first else found
    oldest_first = service.messages.with_pictures(oldest_first)
    shapes = to_messages(oldest_first, view, waiting=service.messages.held(oldest_first))
    return shapes[::-1] if cursor.newest_first else shapes
