"""Archival memory: passages of any text, kept for good and found by words, meaning, tags and time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Literal

from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import new_id, now
from letta_kernel.memory import chunking, dates, terms
from letta_kernel.memory.excerpts import BUDGET, MOST, RELEVANT, Place, fit, tokens
from letta_kernel.memory.filter import Filter
from letta_kernel.memory.search import Searched, SearchHit
from letta_kernel.models.embedding import Embedder
from letta_kernel.records import TAG_LIMIT, Passage
from letta_kernel.store import passage_edits, passages, sights
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.sights import Sight
from letta_kernel.users import current_user

MOST_HITS = 1000
"""A search returns at most so many passages, however many are asked for."""
_LIKELY = 0.5  # the relevance from which on a passage may be replaced by a new one
_REPLACED = 3  # passages that a new one may replace, at most, are named
_KEPT = 1000  # passages found lately that are kept at hand
_DECISIVE = ("agents", "agent_archives", "passage_versions", "passage_marks")
"""Tables that decide what is in sight of an agent."""


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
        self._sights: dict[str, Sight] = {}
        self._sights_stamp: tuple[int, ...] | None = None
        self._superseded: dict[object, list[tuple[str, datetime]]] = {}
        self._superseded_stamp: tuple[int, ...] | None = None

    def insert(
        self,
        agent_id: str,
        content: str,
        tags: Sequence[str] = (),
        *,
        created_at: datetime | None = None,
        metadata: dict[str, Any] | None = None,
        actor: str | None = None,
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
            Whose id keeps it (whoever acts if not given), in which step, and by which tool or door.
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
                created_by=actor or current_user(),
                step_id=step_id,
                reason=reason,
            )
            for number, piece in enumerate(pieces)
        ]
        if not supersedes:
            return self.insert_many(made)

        def work(tx: Tx) -> list[Passage]:
            sight = sights.of_agent(tx, agent_id)
            there = [passages.of_content(tx, owner, one, sight, supersedes) for one in pieces]
            known = [one for one in there if one is not None]
            if len(known) == len(pieces):
                stored = passage_edits.tag(tx, known, tags, whose=sight)
            else:
                stored = passages.append(tx, made)
            passage_edits.supersede(tx, stored[0].id, supersedes, sight, "The agent")
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
        sight = self.sight(agent_id)
        found = self._found(sight, text, self._filter(sight), MOST, 0, _LIKELY)
        return [hit.passage for hit in found if hit.passage.content not in said][:_REPLACED]

    def search(self, agent_id: str, query: str, **filters: Any) -> list[Hit]:
        """Do what `search_sight` does with all that an agent finds: its own, and its archives'."""
        return self.search_sight(self.sight(agent_id), query, **filters)

    def search_owners(self, owners: Sequence[str], query: str, **filters: Any) -> list[Hit]:
        """Do what `search_sight` does with all passages of some owners."""
        return self.search_sight(Sight(tuple(owners)), query, **filters)

    def search_sight(
        self,
        sight: Sight,
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
        """Return the passages in sight that answer *query* best, best first.

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
        if not sight.pieces():
            return []
        if not query.strip():
            found = self.database.run(
                lambda tx: passages.page(
                    tx,
                    sight,
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
            allow = self._filter(sight, then, allow)
        return self._found(sight, query, allow, top_k, page)

    def _filter(
        self, sight: Sight, as_of: datetime | None = None, allow: Filter | None = None
    ) -> Filter:
        """Return *allow* (default: everything) without what others have replaced, by *as_of* if given."""
        found = self._replaced(sight)
        rows = sight.rows
        without = frozenset(rows.get(one, one) for one, at in found if as_of is None or at < as_of)
        return replace(allow or Filter(), without=without)

    def _replaced(self, sight: Sight) -> list[tuple[str, datetime]]:
        """Return which of the passages in sight others in it have replaced, and since when."""

        def work(tx: Tx) -> list[tuple[str, datetime]]:
            stamp, key = tx.stamp("passages"), sight.owners if sight.plain else sight
            with self._lock:
                if stamp is None or stamp != self._superseded_stamp:
                    self._superseded, self._superseded_stamp = {}, stamp
                known = self._superseded.get(key)
            if known is None:
                known = passages.superseded(tx, sight)
                with self._lock:
                    if stamp is not None and stamp == self._superseded_stamp:
                        self._superseded[key] = known
            return known

        return self.database.run(work)

    def _found(
        self,
        sight: Sight,
        query: str,
        allow: Filter,
        top_k: int,
        page: int,
        least: float = 0.0,
    ) -> list[Hit]:
        """Return a page of what answers *query* with a relevance of *least* or more."""
        found = self._ranked(sight, query, allow, top_k, page)
        return self._hits(sight, [hit for hit in found if hit.relevance >= least])

    def _ranked(
        self,
        sight: Sight,
        query: str,
        allow: Filter,
        top_k: int,
        page: int,
        explained: bool = False,
    ) -> list[SearchHit]:
        found = self._best_of(sight.pieces(), query, allow, top_k, page, explained)
        return [
            replace(hit, id=sight.names[hit.id]) if hit.id in sight.names else hit for hit in found
        ]

    def _hits(self, sight: Sight, found: Sequence[SearchHit]) -> list[Hit]:
        """Return what was *found* with the passages, as far as they are still there."""
        relevance = {hit.id: hit.relevance for hit in found}
        if not relevance:
            return []
        if not sight.plain:
            seen = self.database.run(lambda tx: sights.of_found(tx, sight, list(relevance)))
            return [Hit(passage, relevance[passage.id]) for passage in seen]
        stored = self.database.run(lambda tx: self._passages(tx, list(relevance)))
        if any(passage.superseded_by for passage in stored):
            replaced = {one for one, _ in self._replaced(sight)}
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
        sight = self.sight(agent_id)
        looked_at = self._ranked(sight, text, self._filter(sight), MOST, 0, True)
        good = [hit for hit in looked_at if hit.relevance >= RELEVANT]
        return excerpts(text, self._hits(sight, good), budget_tokens), looked_at

    def weighed(self, agent_id: str, query: str) -> list[tuple[Hit, SearchHit]]:
        """Return what a search of an agent looks at, best rank first, each with the parts of its rank."""
        sight = self.sight(agent_id)
        found = {
            hit.id: hit for hit in self._ranked(sight, query, self._filter(sight), MOST, 0, True)
        }
        hits = self._hits(sight, [*found.values()])
        return [(hit, found[hit.passage.id]) for hit in hits if hit.passage.id in found]

    def sight(self, agent_id: str) -> Sight:
        """Return what an agent finds: its own passages, those it inherits, and its archives'."""

        def work(tx: Tx) -> Sight:
            stamp = tx.stamp(*_DECISIVE)
            with self._lock:
                if stamp is None or stamp != self._sights_stamp:
                    self._sights, self._sights_stamp = {}, stamp
                kept = self._sights.get(agent_id)
            if kept is None:
                kept = sights.of_agent(tx, agent_id)
                with self._lock:
                    if stamp is not None and stamp == self._sights_stamp:
                        self._sights[agent_id] = kept
            return kept

        return self.database.run(work)

    def writes_to(self, agent_id: str) -> str:
        """Return the owner of what an agent keeps: its first archive, or the agent itself."""
        return next(iter(self.sight(agent_id).owners[1:]), agent_id)

    def delete(self, passage_id: str, agent_id: str | None = None) -> bool:
        """Delete a passage; False if there is none. What the agent inherited is gone for it alone."""

        def work(tx: Tx) -> bool:
            whose = () if agent_id is None else sights.of_agent(tx, agent_id)
            return passage_edits.delete(tx, passage_id, whose)

        gone = self.database.run(work)
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
            lambda tx: passage_edits.update(tx, passage_id, content=content, tags=tags)
        )
        if changed is not None:
            self._index.follow()
        return changed

    def _owners(self, agent_id: str) -> list[str]:
        return [owner for owner, _ in self.sight(agent_id).pieces()]

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
