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
from letta_kernel.records import AgentState, Conversation, Inherited, Run, ThreadState
from letta_kernel.service.base import ServiceBase
from letta_kernel.store import agents, conversations, messages, runs
from letta_kernel.store.database import Tx

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


class Conversations(ServiceBase):
    """The part of the service that deals with conversations."""

    def create_conversation(
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
            state = self._agent(tx, ref)
            made = Conversation(
                agent_id=state.id,
                summary=summary,
                description=description,
                model=model,
                settings=checked,
                hidden=hidden,
            )
            return conversations.add(tx, made)

        return self.do(work)

    def conversation(self, conversation_id: str) -> Conversation:
        """Return the conversation of this id; `NotFoundError` if there is none."""
        return self.do(lambda tx: _found(tx, conversation_id))

    def conversations(self, ref: str | None = None, **wanted: Any) -> list[Conversation]:
        """Return conversations of one agent or all; *wanted* is as `store.conversations.list_all` takes it."""

        def work(tx: Tx) -> list[Conversation]:
            agent_id = None if ref is None else self._agent(tx, ref).id
            return conversations.list_all(tx, agent_id, **wanted)

        return self.do(work)

    def update_conversation(self, conversation_id: str, **changes: Any) -> Conversation:
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
            found = _found(tx, conversation_id)
            fresh = dict(changes)
            if "archived" in fresh:
                since: datetime = found.archived_at or now()
                fresh["archived_at"] = since if fresh.pop("archived") else None
            changed = Conversation.model_validate({**found.model_dump(), **fresh})
            return conversations.save(tx, changed)

        return self.do(work)

    def delete_conversation(self, conversation_id: str) -> None:
        """Delete a conversation and its messages; what a fork shares stays for as long as the fork.

        Raises
        ------
        AgentBusyError
            A run of it is going on.
        """

        def work(tx: Tx) -> None:
            found = _found(tx, conversation_id)
            agents.check_idle(tx, found.id)
            conversations.delete(tx, found)

        self.do(work)

    def fork_conversation(
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
            state = self._thread(tx, ref, conversation)
            seen = messages.window(tx, state.id, state.window_start, state.thread)
            if message_id is not None:
                seen = _until(seen, message_id)
            last = seen[-1].seq if seen else 0
            parts = [Inherited(thread=state.thread_id, first=state.window_start, last=last)]
            if state.thread != "own":
                parts = [*state.thread.inherits, *parts]
            fork = Conversation(
                agent_id=state.id,
                hidden=hidden,
                inherits=[cut for part in parts if (cut := _clip(part, state.window_start, last))],
                window_start=state.window_start,
                summary_id=state.summary_id,
            )
            if state.thread != "own":
                fork.model, fork.settings = state.thread.model, state.thread.settings
                fork.summary, fork.description = state.thread.summary, state.thread.description
            return conversations.add(tx, fork)

        return self.do(work)

    def in_sight(self, ref: str, conversation: str | None = None) -> list[Message]:
        """Return what the context window of a thread holds: the summary, then the messages."""

        def work(tx: Tx) -> list[Message]:
            state = self._thread(tx, ref, conversation)
            seen = messages.window(tx, state.id, state.window_start, state.thread)
            head = messages.get_many(tx, [state.summary_id]) if state.summary_id else []
            return [*head, *(message for message in seen if message.role != "summary")]

        return self.do(work)

    def thread_runs(self, ref: str, conversation: str | None = None) -> list[Run]:
        """Return the newest runs of a thread, newest first."""

        def work(tx: Tx) -> list[Run]:
            state = self._thread(tx, ref, conversation)
            found = runs.page(tx, state.id, limit=1000, conversation_id=conversation)
            return [run for run in found if run.conversation_id == conversation]

        return self.do(work)

    def running(self, ref: str, conversation: str | None = None) -> list[str]:
        """Return the ids of the runs that go on in a thread, newest first."""
        found = self.thread_runs(ref, conversation)
        return [run.id for run in found if run.status in ("created", "running")]

    def _thread(self, tx: Tx, ref: str, conversation: str | None) -> AgentState:
        """Return an agent as it is in a conversation, or in its own thread."""
        state = self._agent(tx, ref)
        if conversation is None:
            return state
        found = _found(tx, conversation)
        if found.agent_id != state.id:
            raise NotFoundError(f"{state.name} has no conversation {conversation!r}.")
        return ThreadState.of(state, found)


def _found(tx: Tx, conversation_id: str) -> Conversation:
    found = conversations.get(tx, conversation_id)
    if found is None:
        raise NotFoundError(f"There is no conversation {conversation_id!r}.")
    return found


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
    return Inherited(thread=part.thread, first=begin, last=end) if 0 < end >= begin else None


def _check_texts(*texts: str | None) -> None:
    for text in texts:
        if text is not None and len(text) > MAX_TEXT:
            raise InvalidInputError(
                f"The summary and description of a conversation have {MAX_TEXT:,} characters at most."
            )
