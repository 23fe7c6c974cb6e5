"""Threads of agents over HTTP: which one a path means, and a page of its history."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from letta_kernel.errors import LettaError, NotFoundError
from letta_kernel.messages import Message
from letta_kernel.server.authorization import guest, only_own, whose
from letta_kernel.server.errors import FieldError, ForbiddenError
from letta_kernel.server.paging import Cursor, bounded, may_be_gone, seek
from letta_kernel.server.schemas.history import View, first_id, to_messages
from letta_kernel.service import AgentService
from letta_kernel.users import current_user

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
        return own_thread(service, service.agents.retrieve(agent_id).id)
    if conversation_id.startswith("agent-") or "/" in conversation_id:
        whole = ThreadRef(service.agents.retrieve(whose(service, conversation_id) or "").id)
        return whole if only_own() is None else own_thread(service, whole.agent_id)
    found = service.conversations.retrieve(conversation_id)
    if only_own() not in (None, found.created_by):
        raise NotFoundError(f"There is no conversation {conversation_id!r:.200}.")
    if agent_id is not None and service.agents.retrieve(agent_id).id != found.agent_id:
        raise NotFoundError(f"The agent has no conversation {conversation_id!r}.")
    return ThreadRef(found.agent_id, found.id)


def own_thread(service: AgentService, agent_id: str) -> ThreadRef:
    """Return the thread in which whoever asks talks with an agent, if none is named: its own, or a guest's."""
    who = guest()
    if who is None or "write" in who.rights or (who.reads and "talk" not in who.rights):
        return ThreadRef(agent_id)
    return ThreadRef(agent_id, service.grants.conversation(agent_id, current_user()).id)


def talks_in(service: AgentService, agent_id: str, conversation: str | None) -> str | None:
    """Return the conversation that a message goes to: the one that is named, if whoever asks may talk there.

    Raises
    ------
    ForbiddenError
        It is somebody else's: a guest talks in conversations of their own, or with `write` in any.
    """
    if guest() is None:
        return conversation
    if conversation is None:
        return own_thread(service, agent_id).conversation
    who = guest()
    found = service.conversations.retrieve(conversation)
    if found.created_by != current_user() and (who is None or "write" not in who.rights):
        raise ForbiddenError("A guest talks in conversations of their own.")
    return conversation


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
        # Who may only talk reads nothing of the memory in it.
        hidden = only_own() is not None
        prompt = "" if hidden else service.runs.system_prompt(place.agent_id, place.conversation)
    except LettaError:  # a model that is not to be had now
        prompt = state.instructions
    return Message(
        id=first_id(place.thread_id),
        agent_id=state.id,
        role="system",
        content=prompt,
        created_at=state.created_at,
    )


def thread_with(service: AgentService, message_id: str) -> ThreadRef:
    """Return the thread of a message, or of what stands for its prompt; `NotFoundError` if there is none."""
    try:
        found = service.messages.retrieve(message_id)
        return ThreadRef(found.agent_id, found.conversation_id)
    except NotFoundError:
        return _thread_of_prompt(service, message_id)


def message(service: AgentService, message_id: str) -> Message:
    """Return one message, also what stands for a system prompt; `NotFoundError` if there is none."""
    try:
        return service.messages.retrieve(message_id)
    except NotFoundError:
        return _first(service, _thread_of_prompt(service, message_id))


def _thread_of_prompt(service: AgentService, message_id: str) -> ThreadRef:
    """Return the thread whose system prompt has this id: see `first_id`."""
    kind, _, rest = message_id.partition("-")
    if kind == "message" and may_be_gone(message_id):
        with suppress(NotFoundError):
            return ThreadRef(service.agents.retrieve(f"agent-{rest}").id)
        with suppress(NotFoundError):
            found = service.conversations.retrieve(f"conv-{rest}")
            return ThreadRef(found.agent_id, found.id)
    raise NotFoundError(f"There is no message {message_id!r}.")


def history(
    service: AgentService,
    cursor: Cursor,
    view: View,
    first: ThreadRef | None = None,
    **whose: Any,
) -> list[Any]:
    """Return a page of messages in the API's shapes, in the order asked for.

    A page counts messages of ours, each of which may be several of the API's. The marks behind runs that were
    stopped are not in it: Letta has none, and its clients take the last message for something that was said.

    Parameters
    ----------
    first : the thread whose system prompt is the oldest message; None: there is none.
    whose : agent, conversation, run_id, step_id, as `Messages.list` takes them.
    """
    oldest = first_id(whose.get("conversation") or whose.get("agent") or "")
    prompts: dict[str, datetime] = {}  # of other threads: they stand where their agents began

    def bound(message_id: str) -> None:
        if message_id != oldest:
            try:
                service.messages.retrieve(message_id)
            except NotFoundError:
                place = _thread_of_prompt(service, message_id)
                prompts[message_id] = service.agents.retrieve(place.agent_id).created_at

    def read(older: str | None, newer: str | None, newest_first: bool) -> list[Message]:
        if older == oldest:
            return []
        found = service.messages.list(
            limit=cursor.limit,
            before=None if older in prompts else older,
            after=None if newer == oldest or newer in prompts else newer,
            start=prompts.get(newer or ""),
            end=prompts.get(older or ""),
            newest_first=newest_first,
            marks=False,
            **whose,
        )
        if first is None or newer is not None or not view.wants("system_message"):
            return found
        if not newest_first:
            return [_first(service, first), *found[: cursor.limit - 1]]
        return [*found, _first(service, first)] if len(found) < cursor.limit else found

    cursor = bounded(cursor, bound)
    found = seek(cursor, read)
    oldest_first = found[::-1] if cursor.newest_first else found
    oldest_first = service.messages.with_pictures(oldest_first)
    shapes = to_messages(oldest_first, view, waiting=service.messages.held(oldest_first))
    return shapes[::-1] if cursor.newest_first and not cursor.by_time else shapes
