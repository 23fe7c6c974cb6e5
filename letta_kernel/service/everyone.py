"""What is asked of all agents together: their messages, and the tags they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.errors import NotFoundError
from letta_kernel.memory.recall import MOST_HITS, MessageHit
from letta_kernel.messages import Message
from letta_kernel.records import AgentState
from letta_kernel.service.memory import Memory
from letta_kernel.store import agents, conversations, messages
from letta_kernel.store.database import Tx

OWN = "default"
"""The name of an agent's own thread among its conversations."""


class Everyone(Memory):
    """The part of the service that looks across agents."""

    def message(self, message_id: str) -> Message:
        """Return one message, whosever it is; `NotFoundError` if there is none."""
        found = self.do(lambda tx: messages.get(tx, message_id))
        if found is None:
            raise NotFoundError(f"There is no message {message_id!r}.")
        return found

    def all_messages(
        self, *, conversation: str | None = None, limit: int = 50, **filters: Any
    ) -> list[Message]:
        """Return messages of all agents, or of one conversation, by time.

        Filters are before, after (ids of messages), roles, newest_first, start, end.
        """

        def work(tx: Tx) -> list[Message]:
            if conversation is None:
                return messages.page(tx, None, limit=limit, **filters)
            thread = conversations.get(tx, conversation)
            if thread is None:
                raise NotFoundError(f"There is no conversation {conversation!r}.")
            return messages.page(tx, thread.agent_id, limit=limit, thread=thread, **filters)

        return self.do(work)

    def search_all_messages(
        self,
        query: str,
        *,
        agent: str | None = None,
        conversation: str | None = None,
        limit: int = 50,
        **filters: Any,
    ) -> list[MessageHit]:
        """Search the history of one agent, or of all, best first.

        Parameters
        ----------
        conversation : only messages of this one; `OWN` for those of no other conversation.
        filters : roles, start, end, timezone.
        """

        def work(tx: Tx) -> list[AgentState]:
            if conversation is not None and conversation != OWN:
                thread = conversations.get(tx, conversation)
                if thread is None:
                    raise NotFoundError(f"There is no conversation {conversation!r}.")
                return [self._agent(tx, thread.agent_id)]
            return [self._agent(tx, agent)] if agent is not None else agents.list_all(tx)

        found: list[MessageHit] = []
        most = limit if conversation is None else MOST_HITS
        for state in self.do(work):
            recall = self._memory_of(state)[1]
            hits = recall.search(state.id, query, limit=most, **filters)
            if conversation is not None:
                wanted = None if conversation == OWN else conversation
                hits = [hit for hit in hits if hit.message.conversation_id == wanted]
            found += hits[:limit]
        if query.strip():
            found.sort(key=lambda hit: -hit.score)  # stable: an agent's own order stays
        else:
            found.sort(key=lambda hit: hit.message.created_at, reverse=True)
        return found[:limit]

    def tags(self, *, text: str | None = None) -> list[str]:
        """Return the tags of all agents in the order of the alphabet, those that contain *text*."""

        def work(tx: Tx) -> Sequence[tuple[Any, ...]]:
            return tx.query(
                "SELECT DISTINCT tag FROM (SELECT unnest(tags) AS tag FROM agents) t"
                " WHERE $1::text IS NULL OR position($1 IN lower(tag)) > 0 ORDER BY tag",
                (text.lower() if text else None,),
            )

        return [str(row[0]) for row in self.do(work)]
