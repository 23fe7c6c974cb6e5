"""Recall: the whole conversation, searched by words, meaning, role and time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

from letta_kernel import users
from letta_kernel.errors import InvalidInputError
from letta_kernel.memory import dates
from letta_kernel.memory.excerpts import BUDGET, RELEVANT, Place, fit
from letta_kernel.memory.filter import Filter
from letta_kernel.memory.search import Searched
from letta_kernel.messages import Message
from letta_kernel.models.embedding import Embedder
from letta_kernel.store import messages, said
from letta_kernel.store.database import Database, Tx

MOST_HITS = 1000
"""A search returns at most so many messages, however many are asked for."""
ROLES = ("user", "assistant", "system", "event", "summary")
"""Roles that can be found; tool results never are, nor are searches of the conversation."""
# A summary has the words of many messages, and would stand before each of them.
_SAID = tuple(role for role in ROLES if role != "summary")


@dataclass(frozen=True, slots=True)
class MessageHit:
    """A message a search found; ``score`` says from 0 to 1 how much of the query it answers."""

    message: Message
    score: float


class Recall(Searched):
    """The conversations of every agent of one project, with one embedder. Thread- and process-safe."""

    def __init__(self, database: Database, home: Path | str, embedder: Embedder) -> None:
        super().__init__(database, home, embedder, "messages")
        self._lock = threading.Lock()
        self._pieces: dict[str, said.Pieces] = {}
        self._stamp: tuple[int, ...] | None = None

    def pieces(self, agent_id: str) -> said.Pieces:
        """Return whose messages an agent finds, and which: its own, and those it inherits.

        For a guest who may not read them, the guest's own conversations alone.
        """

        def work(tx: Tx) -> said.Pieces:
            guest = users.guest()
            if guest is not None and not (guest.reads and guest.agent_id == agent_id):
                return said.of_guest(tx, agent_id, users.current_user())
            stamp = tx.stamp("agents", "conversations")
            with self._lock:
                if stamp is None or stamp != self._stamp:
                    self._pieces, self._stamp = {}, stamp
                kept = self._pieces.get(agent_id)
            if kept is None:
                kept = said.of_agent(tx, agent_id)
                with self._lock:
                    if stamp is not None and stamp == self._stamp:
                        self._pieces[agent_id] = kept
            return kept

        return self.database.run(work)

    def _owners(self, agent_id: str) -> list[str]:
        return [owner for owner, _ in self.pieces(agent_id)]

    def search(self, agent_id: str, query: str, **filters: Any) -> list[MessageHit]:
        """Do what `search_pieces` does with all that was said to an agent and by it."""
        return self.search_pieces(self.pieces(agent_id), query, **filters)

    def search_pieces(
        self,
        pieces: said.Pieces,
        query: str,
        *,
        roles: Sequence[str] | None = None,
        limit: int = 10,
        page: int = 0,
        start: dates.Moment = None,
        end: dates.Moment = None,
        timezone: str | tzinfo | None = None,
        as_of: dates.Moment = None,
    ) -> list[MessageHit]:
        """Return the messages that answer *query* best, best first; an empty query: the newest.

        Parameters
        ----------
        roles
            Only messages of these roles, which can be all of `ROLES`; if not given, all but summaries.
        limit, page
            How many at most, and which page of so many; the first page is 0.
        start, end
            Only messages from *start* on and up to *end*; a date without a time as *end* means that
            whole day. Moments without a zone are meant in *timezone* (default: this machine's).
        as_of
            Only what had been said then; a day is meant as its end, and one in the future refused.

        Raises
        ------
        InvalidInputError
            A date, zone or page that makes no sense.
        """
        if page < 0 or limit < 0:
            raise InvalidInputError("A page and a number of results cannot be negative.")
        first, last = dates.span(start, end, timezone)
        last = dates.earlier(last, dates.as_of(as_of, timezone))
        limit = min(limit, MOST_HITS)
        wanted = _SAID if roles is None else tuple(role for role in roles if role in ROLES)
        if not wanted:
            return []
        if not query.strip():
            found = self.database.run(
                lambda tx: messages.page(
                    tx,
                    pieces[0][0] if pieces else "",
                    pieces=pieces,
                    limit=limit * (page + 1),
                    roles=wanted,
                    start=first,
                    end=last,
                )
            )
            return [MessageHit(message, 0.0) for message in found[page * limit :]]
        allow = Filter(wanted, "any", first, last)
        hits = self._best_of(pieces, query, allow, limit, page)
        stored = self.database.run(lambda tx: messages.get_many(tx, [hit.id for hit in hits]))
        relevance = {hit.id: hit.relevance for hit in hits}
        return [MessageHit(message, relevance[message.id]) for message in stored]


def excerpts(
    query: str,
    hits: Sequence[MessageHit],
    budget_tokens: int = BUDGET,
    cost: Callable[[MessageHit], int] | None = None,
) -> list[MessageHit]:
    """Do with messages what `archival.excerpts` does with passages; neighbours stay messages of their own."""
    if not query.strip():
        return list(hits)
    relevant = [hit for hit in hits if hit.score >= RELEVANT]

    def with_text(hit: MessageHit, text: str) -> MessageHit:
        said = hit.message.model_copy(update={"content": text, "tool_calls": []})
        return MessageHit(said, hit.score)

    shown = None if cost is None else lambda hit, text, _: cost(with_text(hit, text))
    made = fit(query, relevant, _read, budget_tokens, shown)
    return [with_text(hit, text) for one in made for _, text, hit in one.parts]


def _read(hit: MessageHit) -> tuple[str, Place]:
    message = hit.message
    return message.said, Place(message.conversation_id or "", message.seq)
