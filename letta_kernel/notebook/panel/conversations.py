"""The conversations of an agent in the panel: made, renamed, forked, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook.panel.registry import OfAgent, Params, RequestContext, Word, method
from letta_kernel.records import Conversation

Title = Annotated[str, StringConstraints(max_length=500)]


class NewConversation(OfAgent):
    """A conversation to begin."""

    title: Title = ""


class Fork(NewConversation):
    """A conversation to begin with what another one (None: the agent's own thread) holds.

    With ``before``, a message's id, that ends before this message, which can then be said otherwise.
    """

    conversation: Word | None = None
    before: Word | None = None


class OneConversation(Params):
    """A conversation by its id."""

    conversation: Word


class Renamed(OneConversation):
    """What a conversation is to be called."""

    title: Title


@method("conversations", OfAgent)
def conversations(context: RequestContext, asked: OfAgent) -> list[dict[str, Any]]:
    """Return an agent's conversations beside its own thread, the one last talked in first."""
    found = context.service.conversations.list(asked.agent, order_by="last_message_at")
    return [_shown(one) for one in found]


@method("conversation.create", NewConversation)
def create(context: RequestContext, asked: NewConversation) -> dict[str, Any]:
    """Begin a conversation with an agent, which shares its memory."""
    made = context.service.conversations.create(asked.agent, summary=asked.title or None)
    return _shown(made)


@method("conversation.rename", Renamed)
def rename(context: RequestContext, asked: Renamed) -> dict[str, Any]:
    """Call a conversation otherwise."""
    changed = context.service.conversations.update(
        asked.conversation, summary=asked.title.strip() or None
    )
    return _shown(changed)


@method("conversation.fork", Fork)
def fork(context: RequestContext, asked: Fork) -> dict[str, Any]:
    """Begin a conversation that shares what is in sight of another; that one stays as it is."""
    service, last = context.service, None
    if asked.before is not None:
        message = service.messages.retrieve(asked.before)
        if message.agent_id != service.agents.retrieve(asked.agent).id:
            raise InvalidInputError("The message is another agent's.")
        earlier = service.messages.list(
            asked.agent, asked.conversation, before=message.seq, limit=1
        )
        if not earlier:
            return create(context, asked)
        last = earlier[0].id
    made = service.conversations.fork(asked.agent, asked.conversation, message_id=last)
    if asked.title:
        made = service.conversations.update(made.id, summary=asked.title)
    return _shown(made)


@method("conversation.delete", OneConversation)
def delete(context: RequestContext, asked: OneConversation) -> None:
    """Delete a conversation and its messages; what a fork shares stays for as long as the fork."""
    context.service.conversations.delete(asked.conversation)


def _shown(one: Conversation) -> dict[str, Any]:
    return {
        "id": one.id,
        "title": one.summary or "",
        "created_at": one.created_at,
        "last_message_at": one.last_message_at,
    }
