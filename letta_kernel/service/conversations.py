"""Conversations: several threads with one agent, over the same memory, tools and archive.

Every agent has a thread of its own, which is what answers where no conversation is named. A conversation has a
history, a context window and a lease of its own, so that it can be talked to while others go on; what the agent
remembers, it remembers in all of them, and a search of what was said covers them all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from letta_kernel.agent.settings import check_settings
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.messages import Message
from letta_kernel.records import Conversation, Inherited
from letta_kernel.service.core import Core
from letta_kernel.store import agents, conversations, messages
from letta_kernel.store.database import Tx
from letta_kernel.store.encryption import is_encrypted

CHANGEABLE = (
    "summary",
    "description",
    "model",
    "settings",
    "hidden",
    "archived",
    "last_message_at",
)
MAX_TEXT = 100_000  # characters of a summary or description


class Conversations:
    """The conversations of a project, each named by its id."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create(
        self,
        ref: str,
        *,
        summary: str | None = None,
        description: str | None = None,
        model: str | None = None,
        settings: dict[str, Any] | None = None,
        hidden: bool = False,
    ) -> Conversation:
        """Begin a further thread with an agent; *model* and *settings* win over the agent's in it."""
        checked = check_settings(settings or {})
        _check_texts(summary, description)

        def work(tx: Tx) -> Conversation:
            state = self._core.agent(tx, ref)
            made = Conversation(
                agent_id=state.id,
                summary=summary,
                description=description,
                model=model,
                settings=checked,
                hidden=hidden,
            )
            return conversations.add(tx, made)

        return self._core.do(work)

    def retrieve(self, conversation_id: str) -> Conversation:
        """Return the conversation of this id; `NotFoundError` if there is none."""
        return self._core.do(lambda tx: self._core.conversation(tx, conversation_id))

    def update(self, conversation_id: str, **changes: Any) -> Conversation:
        """Change summary, description, model, settings, hidden, archived or last_message_at.

        ``settings`` replace those it has.
        """
        for field in changes:
            if field not in CHANGEABLE:
                raise InvalidInputError(
                    f"{field!r} of a conversation cannot be changed; one of: {', '.join(CHANGEABLE)}."
                )
        if "settings" in changes:
            changes["settings"] = check_settings(changes["settings"] or {})
        _check_texts(changes.get("summary"), changes.get("description"))

        def work(tx: Tx) -> Conversation:
            found = self._core.conversation(tx, conversation_id)
            fresh = dict(changes)
            if "archived" in fresh:
                since: datetime = found.archived_at or now()
                fresh["archived_at"] = since if fresh.pop("archived") else None
            changed = Conversation.model_validate({**found.model_dump(), **fresh})
            return conversations.save(tx, changed)

        return self._core.do(work)

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation and its messages; what a fork shares stays for as long as the fork.

        Raises
        ------
        AgentBusyError
            A run of it is going on.
        """

        def work(tx: Tx) -> None:
            found = self._core.conversation(tx, conversation_id)
            agents.check_idle(tx, found.id)
            conversations.delete(tx, found)

        self._core.do(work)

    def fork(
        self,
        ref: str,
        conversation: str | None = None,
        *,
        message_id: str | None = None,
        hidden: bool = False,
    ) -> Conversation:
        """Begin a conversation that shares what is in sight of another thread, up to *message_id*.

        Parameters
        ----------
        conversation : the thread to fork; None for the agent's own.

        Raises
        ------
        NotFoundError
            The message is not in sight there.
        """

        def work(tx: Tx) -> Conversation:
            state = self._core.thread(tx, ref, conversation)
            seen = messages.window(tx, state.thread, state.window_start)
            if message_id is not None:
                seen = _until(seen, message_id)
            last = seen[-1].seq if seen else 0
            begin = max(state.window_start, getattr(state.thread, "first", 0))
            own = Inherited(thread=state.thread_id, first=begin, last=last)
            parts = [*state.thread.inherits, own]
            fork = Conversation(
                agent_id=state.id,
                hidden=hidden,
                inherits=[cut for part in parts if (cut := _clip(part, state.window_start, last))],
                window_start=state.window_start,
                summary_id=state.summary_id,
            )
            if isinstance(state.thread, Conversation):
                fork.model, fork.settings = state.thread.model, openable(state.thread.settings)
                fork.summary, fork.description = state.thread.summary, state.thread.description
            return conversations.add(tx, fork)

        return self._core.do(work)

    # Last, so that `list` in the annotations above is Python's.
    def list(self, agent: str | None = None, **wanted: Any) -> list[Conversation]:
        """Return conversations of one agent or all; *wanted* is as `store.conversations.list_all` takes it."""

        def work(tx: Tx) -> list[Conversation]:
            agent_id = None if agent is None else self._core.agent(tx, agent).id
            return conversations.list_all(tx, agent_id, **wanted)

        return self._core.do(work)


def openable(settings: dict[str, Any]) -> dict[str, Any]:
    """Return *settings* without secrets that could not be opened: in another row they never can be."""
    environment = settings.get("environment") or {}
    kept = {name: text for name, text in environment.items() if not is_encrypted(text)}
    return settings if kept == environment else {**settings, "environment": kept}


def _until(seen: list[Message], message_id: str) -> list[Message]:
    for number, message in enumerate(seen, start=1):
        if message.id == message_id:
            return seen[:number]
    raise NotFoundError(
        f"The message {message_id!r} is not in sight there, so it cannot be forked from."
    )


def _clip(part: Inherited, first: int, last: int) -> Inherited | None:
    """Return what *part* has from message *first* to *last*, None if that is nothing."""
    begin, end = max(part.first, first), min(part.last, last)
    return part.model_copy(update={"first": begin, "last": end}) if 0 < end >= begin else None


def _check_texts(*texts: str | None) -> None:
    for text in texts:
        if text is not None and len(text) > MAX_TEXT:
            raise InvalidInputError(
                f"The summary and description of a conversation have {MAX_TEXT:,} characters at most."
            )
