"""Archival memory: passages of any text, kept for good and found by words, meaning, tags and time."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, Literal

from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import LOCAL_USER, new_id, now
from letta_kernel.memory import chunking, dates, terms
from letta_kernel.memory.excerpts import BUDGET, MOST, RELEVANT, Place, fit, tokens
from letta_kernel.memory.filter import Filter
from letta_kernel.memory.search import Searched, SearchHit
from letta_kernel.models.embedding import Embedder
from letta_kernel.records import TAG_LIMIT, Passage
from letta_kernel.store import archives, passages
from letta_kernel.store.database import Database, Tx

MOST_HITS = 1000
"""A search returns at most so many passages, however many are asked for."""
_LIKELY = 0.5  # the relevance from which on a passage may be replaced by a new one
_REPLACED = 3  # passages that a new one may replace, at most, are named
_KEPT = 1000  # passages found lately that are kept at hand


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage a search found; ``score`` says from 0 to 1 how much of the query it answers."""

    passage: Passage
    score: float
    ids: tuple[str, ...] = ()
    """Of all passages in an excerpt, in reading order."""


def check_tags(tags: Sequence[str]) -> None:
    """Raise `InvalidInputError` for a tag that says nothing, or that is too long."""
    for tag in tags:
        if not tag.strip():
            raise InvalidInputError("A tag cannot be empty.")
        if len(tag) > TAG_LIMIT:
            raise InvalidInputError(
                f"A tag has at most {TAG_LIMIT} characters; this has {len(tag):,}."
            )


class Archive(Searched):
    """The archival memory of every agent of one project, with one embedder. Thread- and process-safe.

    Where a method takes *agent_id*, the id of a shared archive (`letta_kernel.store.archives`) does as well:
    then it is about that archive alone.
    """

    def __init__(self, database: Database, home: Path | str, embedder: Embedder) -> None:
        super().__init__(database, home, embedder, "passages")
        self._lock = threading.Lock()
        self._kept: dict[str, Passage] = {}
        self._kept_stamp: tuple[int, ...] | None = None
        self._attached: dict[str, list[str]] = {}
        self._attached_stamp: tuple[int, ...] | None = None
        self._superseded: dict[tuple[str, ...], list[tuple[str, datetime]]] = {}
        self._superseded_stamp: tuple[int, ...] | None = None

    def insert(
        self,
        agent_id: str,
        content: str,
        tags: Sequence[str] = (),
        *,
        created_at: datetime | None = None,
        metadata: dict[str, Any] | None = None,
        actor: str = LOCAL_USER,
        step_id: str | None = None,
        reason: str = "",
        supersedes: Sequence[str] = (),
    ) -> list[Passage]:
        """Keep a text of any size; return the passages it became, in order.

        It goes into the archive the agent was attached to first, or else among its own passages. Passages
        of one text have one source, and are read in their order.

        Parameters
        ----------
        tags
            Words to find it by, the same for all its passages.
        created_at
            When it was said or written; now, if not given.
        actor, step_id, reason
            Whose id keeps it, in which step, and by which tool or door.
        supersedes
            Ids of passages that the agent can find and this one replaces. Where the very text is kept
            already, the passage that is there replaces them, and gets the tags it lacks.

        Raises
        ------
        InvalidInputError
            There is no text, or a passage that cannot be superseded; nothing is kept then.
        NotFoundError
            The agent has no passage of such an id.
        """
        pieces = chunking.chunks(content)
        if not pieces:
            raise InvalidInputError("There is no text to keep in archival memory.")
        check_tags(tags)
        source = new_id("source") if len(pieces) > 1 else None
        moment = created_at or now()
        owner = self.writes_to(agent_id)
        made = [
            Passage(
                agent_id=owner,
                content=piece,
                tags=list(dict.fromkeys(tags)),
                source=source,
                position=number,
                metadata=metadata or {},
                created_at=moment,
                created_by=actor,
                step_id=step_id,
                reason=reason,
            )
            for number, piece in enumerate(pieces)
        ]
        if not supersedes:
            return self.insert_many(made)
        owners = self._owners(agent_id)

        def work(tx: Tx) -> list[Passage]:
            there = [passages.of_content(tx, owner, one, owners, supersedes) for one in pieces]
            known = [one for one in there if one is not None]
            whole = len(known) == len(pieces)
            stored = passages.tag(tx, known, tags) if whole else passages.append(tx, made)
            passages.supersede(tx, stored[0].id, supersedes, owners, "The agent")
            return stored

        stored = self.database.run(work)
        self._index.follow()
        return stored

    def insert_many(self, new: Sequence[Passage]) -> list[Passage]:
        """Keep passages as they are, all or none of them, and return them with their seq."""
        if not new:
            return []
        if any(not passage.content.strip() for passage in new):
            raise InvalidInputError("A passage without text cannot be kept in archival memory.")
        for one in new:
            check_tags(one.tags)
        stored = self.database.run(lambda tx: passages.append(tx, new))
        self._index.follow()
        return stored

    def replaced_by(self, agent_id: str, new: Sequence[Passage]) -> list[Passage]:
        """Return the passages an agent can find that *new* ones seem to replace, the likeliest first.

        One that says the very same is none of them.
        """
        said = {one.content for one in new}
        text = new[0].content[:500]
        owners = self._owners(agent_id)
        found = self._found(owners, text, self._filter(owners), MOST, 0, _LIKELY)
        return [hit.passage for hit in found if hit.passage.content not in said][:_REPLACED]

    def search(self, agent_id: str, query: str, **filters: Any) -> list[Hit]:
        """Do what `search_owners` does with an agent's own passages and those of its archives."""
        return self.search_owners(self._owners(agent_id), query, **filters)

    def search_owners(
        self,
        owners: Sequence[str],
        query: str,
        *,
        tags: Sequence[str] | None = None,
        match: Literal["any", "all"] = "any",
        top_k: int = 10,
        page: int = 0,
        start: dates.Moment = None,
        end: dates.Moment = None,
        timezone: str | tzinfo | None = None,
        as_of: dates.Moment = None,
        include_superseded: bool = False,
    ) -> list[Hit]:
        """Return the passages of agents and archives that answer *query* best, best first.

        An empty query returns the newest.

        Parameters
        ----------
        tags, match
            Only passages with any, or all, of these tags.
        top_k, page
            How many at most, and which page of so many; the first page is 0.
        start, end
            Only passages from *start* on and up to *end*; a date without a time as *end* means that
            whole day. Moments without a zone are meant in *timezone* (default: this machine's).
        as_of
            As it stood then: what was made later is not there, what was superseded later still stands. A
            date without a time is the end of that day.
        include_superseded
            Find what others have replaced, too.

        Raises
        ------
        InvalidInputError
            A date, zone, page or match that makes no sense.
        """
        if match not in ("any", "all"):
            raise InvalidInputError(f"Tags match 'any' or 'all', not {match!r}.")
        if page < 0 or top_k < 0:
            raise InvalidInputError("A page and a number of results cannot be negative.")
        first, last = dates.span(start, end, timezone)
        then = dates.as_of(as_of, timezone)
        last = dates.earlier(last, then)
        top_k = min(top_k, MOST_HITS)
        if not owners:
            return []
        if not query.strip():
            whose = owners[0] if len(owners) == 1 else owners
            found = self.database.run(
                lambda tx: passages.page(
                    tx,
                    whose,
                    limit=top_k * (page + 1),
                    tags=tags,
                    match=match,
                    start=first,
                    end=last,
                    superseded=None if include_superseded else False,
                    as_of=then,
                )
            )
            return [Hit(passage, 0.0) for passage in found[page * top_k :]]
        allow = Filter(tuple(tags or ()), match, first, last)
        if not include_superseded:
            allow = self._filter(owners, then, allow)
        return self._found(owners, query, allow, top_k, page)

    def _filter(
        self, owners: Sequence[str], as_of: datetime | None = None, allow: Filter | None = None
    ) -> Filter:
        """Return *allow* (default: everything) without what others have replaced, by *as_of* if given."""
        found = self._replaced(owners)
        without = frozenset(one for one, at in found if as_of is None or at < as_of)
        return replace(allow or Filter(), without=without)

    def _replaced(self, owners: Sequence[str]) -> list[tuple[str, datetime]]:
        """Return which of the owners' passages others of theirs have replaced, and since when."""

        def work(tx: Tx) -> list[tuple[str, datetime]]:
            stamp, key = tx.stamp("passages"), tuple(owners)
            with self._lock:
                if stamp is None or stamp != self._superseded_stamp:
                    self._superseded, self._superseded_stamp = {}, stamp
                known = self._superseded.get(key)
            if known is None:
                known = passages.superseded(tx, owners)
                with self._lock:
                    if stamp is not None and stamp == self._superseded_stamp:
                        self._superseded[key] = known
            return known

        return self.database.run(work)

    def _found(
        self,
        owners: Sequence[str],
        query: str,
        allow: Filter,
        top_k: int,
        page: int,
        least: float = 0.0,
    ) -> list[Hit]:
        """Return a page of what answers *query* with a relevance of *least* or more."""
        found = self._ranked(owners, query, allow, top_k, page)
        return self._hits(owners, [hit for hit in found if hit.relevance >= least])

    def _ranked(
        self,
        owners: Sequence[str],
        query: str,
        allow: Filter,
        top_k: int,
        page: int,
        explained: bool = False,
    ) -> list[SearchHit]:
        search = partial(self._engine.search, text=query, allow=allow, explained=explained)
        if len(owners) == 1:
            return search(owners[0], limit=top_k, offset=page * top_k)
        most = top_k * (page + 1)
        return _merged([search(one, limit=most) for one in owners], most)[page * top_k :]

    def _hits(self, owners: Sequence[str], found: Sequence[SearchHit]) -> list[Hit]:
        """Return what was *found* with the passages, as far as they are still there."""
        relevance = {hit.id: hit.relevance for hit in found}
        if not relevance:
            return []
        stored = self.database.run(lambda tx: self._passages(tx, list(relevance)))
        if any(passage.superseded_by for passage in stored):
            replaced = {one for one, _ in self._replaced(owners)}
            for passage in stored:
                if passage.id not in replaced:
                    passage.superseded_by = passage.superseded_at = None
        return [Hit(passage, relevance[passage.id]) for passage in stored]

    def relevant(self, agent_id: str, text: str, budget_tokens: int = 1000) -> list[Hit]:
        """Return what is worth showing beside a message, best first, within a budget of tokens.

        Only passages that match well are returned, so often none; in their form for readers (`excerpts`).
        """
        return self.considered(agent_id, text, budget_tokens)[0]

    def considered(
        self, agent_id: str, text: str, budget_tokens: int = 1000
    ) -> tuple[list[Hit], list[SearchHit]]:
        """Return what `relevant` does, and all that was looked at for it, best first, with its parts."""
        text = text[:2000]
        if all(stem in terms.COMMON for stem in terms.terms(text)):
            return [], []  # "thanks a lot", "go on": it asks for nothing
        owners = self._owners(agent_id)
        looked_at = self._ranked(owners, text, self._filter(owners), MOST, 0, True)
        good = [hit for hit in looked_at if hit.relevance >= RELEVANT]
        return excerpts(text, self._hits(owners, good), budget_tokens), looked_at

    def attached(self, agent_id: str) -> list[str]:
        """Return the ids of the archives an agent is attached to, the first attached first."""

        def work(tx: Tx) -> list[str]:
            stamp = tx.stamp("agent_archives")
            with self._lock:
                if stamp is None or stamp != self._attached_stamp:
                    self._attached, self._attached_stamp = {}, stamp
                kept = self._attached.get(agent_id)
            if kept is None:
                kept = archives.of_agent(tx, agent_id)
                with self._lock:
                    if stamp is not None and stamp == self._attached_stamp:
                        self._attached[agent_id] = kept
            return kept

        return self.database.run(work)

    def writes_to(self, agent_id: str) -> str:
        """Return the owner of what an agent keeps: its first archive, or the agent itself."""
        return next(iter(self.attached(agent_id)), agent_id)

    def delete(self, passage_id: str) -> bool:
        """Delete a passage; False if there is none."""
        gone = self.database.run(lambda tx: passages.delete(tx, passage_id))
        if gone:
            self._index.follow()
        return gone

    def update(
        self, passage_id: str, *, content: str | None = None, tags: Sequence[str] | None = None
    ) -> Passage | None:
        """Change a passage in what is given and return it; None if there is none."""
        if content is not None and not content.strip():
            raise InvalidInputError("A passage without text cannot be kept in archival memory.")
        check_tags(tags or ())
        changed = self.database.run(
            lambda tx: passages.update(tx, passage_id, content=content, tags=tags)
        )
        if changed is not None:
            self._index.follow()
        return changed

    def _owners(self, agent_id: str) -> list[str]:
        return [agent_id, *self.attached(agent_id)]

    def progress(self, agent_id: str) -> tuple[int, int]:
        """Return up to which passage the vector index has followed, and the newest one's number."""
        return self._index.progress(agent_id)

    def _passages(self, tx: Tx, ids: list[str]) -> list[Passage]:
        """Return the passages that still exist, without reading again what nobody has changed."""
        stamp = tx.stamp("passages")
        with self._lock:
            if stamp is None or stamp != self._kept_stamp or len(self._kept) > _KEPT:
                self._kept.clear()
                self._kept_stamp = stamp
            kept = dict(self._kept)
        wanted = [item for item in ids if item not in kept]
        missing = passages.get_many(tx, wanted) if wanted else []
        kept.update((passage.id, passage) for passage in missing)
        with self._lock:
            if stamp is not None and stamp == self._kept_stamp:
                self._kept.update((passage.id, passage) for passage in missing)
        return [kept[item].model_copy() for item in ids if item in kept]


def excerpts(
    query: str,
    hits: Sequence[Hit],
    budget_tokens: int = BUDGET,
    cost: Callable[[Hit], int] | None = None,
) -> list[Hit]:
    """Return *hits*, best first, as a reader gets them, in a budget of tokens.

    What is not relevant is left out, long passages are cut around what matched, and neighbours become one hit
    whose passage has the text of all. After a blank query everything stays as it is. *cost* is how many tokens
    a hit takes as it is shown.
    """
    if not query.strip():
        return list(hits)
    relevant = [hit for hit in hits if hit.score >= RELEVANT]

    def shown(hit: Hit, text: str, joined: list[int]) -> int:
        if joined:  # joined hits have a list of ids, a single one too
            ids = f'   "{hit.passage.id}",\n' * (1 + joined.count(1))
            return tokens(f'"joined": [{ids}] {json.dumps(text, ensure_ascii=False)}')
        assert cost is not None
        return cost(Hit(hit.passage.model_copy(update={"content": text}), hit.score, hit.ids))

    made = fit(query, relevant, _read, budget_tokens, None if cost is None else shown)
    return [
        Hit(
            one.best.passage.model_copy(update={"content": one.text}),
            one.best.score,
            tuple(hit.passage.id for _, _, hit in one.parts),
        )
        for one in made
    ]


def _read(hit: Hit) -> tuple[str, Place]:
    passage, source = hit.passage, hit.passage.source
    if source and passage.superseded_by:  # a superseded passage is never joined with one that holds
        source = f"{source} {passage.superseded_by}"
    return passage.content, Place(source, passage.position)


def _merged(each: list[list[SearchHit]], most: int) -> list[SearchHit]:
    """Merge what was found in several archives, the more relevant hit first.

    Within an archive the order stays, for ranks of different archives cannot be compared.
    """
    waiting = [deque(found) for found in each if found]
    merged: list[SearchHit] = []
    while waiting and len(merged) < most:
        best = max(waiting, key=lambda found: found[0].relevance)
        merged.append(best.popleft())
        waiting = [found for found in waiting if found]
    return merged
