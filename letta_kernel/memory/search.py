"""The search engine behind archival memory and recall: complete, hybrid, filtered before the limit."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from letta_kernel.memory import scoring
from letta_kernel.memory.corpus import Corpus
from letta_kernel.memory.index import Index
from letta_kernel.memory.kinship import Kinship
from letta_kernel.memory.shelf import FURTHEST, Shelf, candidates
from letta_kernel.memory.vectors import Vectors
from letta_kernel.store import indexes, lines
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.indexes import Kind, OutboxEntry
from letta_kernel.store.lines import Line
from letta_kernel.store.vectors import IndexBrokenError, condition

log = logging.getLogger(__name__)

Stamp = tuple[str, tuple[int, ...]] | None
_TABLES: dict[Kind, tuple[str, ...]] = {
    "passages": ("passages", "index_marks", "outbox", "counters"),
    "messages": ("messages", "index_marks", "outbox", "counters"),
}

LARGE = 4000
"""So many lines of an agent are scored one and all; reading them takes half a second, once."""
_WAITING = 500  # edits the index may be behind by
_AT_ONCE = 2000  # lines read in one transaction
_KEPT = 60_000  # lines of all agents together kept in memory


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines may be found; empty tags mean any. ``end`` is not part of the span."""

    tags: tuple[str, ...] = ()
    match: Literal["any", "all"] = "any"
    start: datetime | None = None
    end: datetime | None = None

    def allows(self, line: Line) -> bool:
        """Return whether *line* passes."""
        if self.start is not None and line.created_at < self.start:
            return False
        if self.end is not None and line.created_at >= self.end:
            return False
        if not self.tags:
            return True
        found = [tag in line.tags for tag in self.tags]
        return all(found) if self.match == "all" else any(found)


@dataclass(frozen=True, slots=True)
class Found:
    """A line that was found: ``score`` orders, ``relevance`` says from 0 to 1 how well it matches."""

    id: str
    score: float
    relevance: float


@dataclass(frozen=True, slots=True)
class _State:
    """What the store says about a large archive and its index."""

    mark: int
    entries: list[OutboxEntry]  # edits and deletes the index has not repeated
    new: list[Line]  # lines it does not have
    edited: list[Line]  # lines it has in an older form


class _Known:
    """What this process has in memory of one agent's lines."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.corpus = Corpus()
        self.kinship: Kinship | None = None
        self.seq = 0  # up to which the store has been read
        self.stamp: Stamp = None  # of the store when the corpus was last brought up to date
        self.state: _State | None = None  # what was last read for the shelf
        self.state_stamp: Stamp = None  # and of the store then
        self.changes = -1  # the store's count of edits and deletes when it was last compared
        self.blind: list[str] = []  # lines whose vectors could not be had yet
        self.shelf: Shelf | None = None  # instead of the corpus, once there are many lines
        self.waiting: set[int] = set()  # edits the index had not repeated when the shelf was read

    def __len__(self) -> int:
        return len(self.corpus.lines) + (len(self.shelf) // 10 if self.shelf else 0)


class Engine:
    """Searches one kind of lines of every agent in one project with one embedder; thread-safe.

    Up to `LARGE` lines all of an agent's lines are in memory and scored. Beyond that LanceDB names
    candidates, and these, their neighbours and what LanceDB lacks are scored the same way.
    """

    def __init__(self, database: Database, vectors: Vectors, kind: Kind, index: Index) -> None:
        self.database = database
        self.vectors = vectors
        self.kind: Kind = kind
        self._index = index
        self._agents: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self, agent_id: str, text: str, allow: Filter, *, limit: int, offset: int = 0
    ) -> list[Found]:
        """Return what answers *text* best, best first; nothing that is stored is left out.

        Raises
        ------
        StoreError
            The project folder cannot be read.
        """
        if limit <= 0:
            return []
        vector = self.vectors.if_possible([text])
        asked = scoring.query(text, None if vector is None else vector[0], self.vectors.quick)
        known = self._of(agent_id)
        with known.lock:
            if not 0 < known.seq <= LARGE and offset + limit <= FURTHEST:
                try:
                    found = self._search_large(agent_id, known, asked, allow, offset + limit)
                    if found is not None:
                        return _best(*found, limit, offset)
                except IndexBrokenError as error:
                    log.warning("Searching without the vector index for now: %s", error)
                    self._index.follow()
            known.shelf = None
            self._refresh(agent_id, known)
            corpus = known.corpus
            if not len(corpus):
                return []
            if self.vectors.quick and len(corpus) <= LARGE:
                known.kinship = known.kinship or Kinship(self.vectors.embedder.embed)
                known.kinship.learn(corpus.surfaces)
            allowed = _allowed(corpus, allow)
            scores = scoring.score(asked, corpus, allowed, known.kinship)
            return _best(corpus, scores, allowed, limit, offset)

    def _search_large(
        self, agent_id: str, known: _Known, asked: scoring.Query, allow: Filter, hits: int
    ) -> tuple[Corpus, scoring.Scores, np.ndarray] | None:
        """Score a selection of many lines; None if there are not many, or the index is far behind."""
        table = self._index.table
        if table.name() is None:
            return None
        state = known.state = self.database.run(lambda tx: self._read_large(tx, agent_id, known))
        if state is None:
            return None
        waiting = {entry.id for entry in state.entries}
        if known.shelf is None or not known.waiting <= waiting:
            known.shelf = Shelf()  # what the index repeated meanwhile stands in the shelf as it was
            known.corpus, known.kinship, known.seq = Corpus(), None, 0
        known.waiting = waiting
        known.shelf.follow(table, agent_id, state.mark)
        where = condition(agent_id, allow.tags, allow.match, allow.start, allow.end)
        named = candidates(table, where, asked, hits)
        replaced = {entry.item_id for entry in state.entries if entry.item_id is not None}
        corpus = known.shelf.selection(named, [*state.new, *state.edited], replaced, asked)
        recent = [row for row, line in enumerate(corpus.lines) if line.text]
        found = self.vectors.if_possible([corpus.lines[row].text for row in recent])
        if found is not None and recent:
            corpus.set_vectors(recent, found)
        allowed = _allowed(corpus, allow)
        background = known.shelf.background(table, agent_id)
        return corpus, scoring.score(asked, corpus, allowed, None, background), allowed

    def _read_large(self, tx: Tx, agent_id: str, known: _Known) -> _State | None:
        stamp = tx.stamp(*_TABLES[self.kind])
        name = self._index.name()
        if known.state is not None and stamp is not None and known.state_stamp == (name, stamp):
            return known.state
        known.state_stamp = None
        newest = lines.newest(tx, self.kind, agent_id)
        if newest <= LARGE:
            return None
        mark = indexes.mark(tx, name, agent_id, self.kind)
        if newest - mark > LARGE:
            return None
        entries = [e for e in indexes.outbox(tx, name, _WAITING) if e.agent_id == agent_id]
        if len(entries) == _WAITING or any(entry.item_id is None for entry in entries):
            return None
        new, _ = lines.after(tx, self.kind, agent_id, mark, LARGE)
        ids = [entry.item_id for entry in entries if entry.item_id is not None]
        fresh = {line.id for line in new}
        edited = lines.of_ids(tx, self.kind, agent_id, [i for i in ids if i not in fresh])
        known.state_stamp = (name, stamp) if stamp is not None else None
        return _State(mark, entries, new, edited)

    def forget(self, agent_id: str) -> None:
        """Drop what is kept in memory of an agent."""
        with self._lock:
            self._agents.pop(agent_id, None)

    def _of(self, agent_id: str) -> _Known:
        with self._lock:
            known = self._agents.pop(agent_id, None) or _Known()
            self._agents[agent_id] = known  # the newest stands last
            total = sum(len(other) for other in self._agents.values())
            while total > _KEPT and len(self._agents) > 1:
                _, oldest = self._agents.popitem(last=False)
                total -= len(oldest)
            return known

    def _refresh(self, agent_id: str, known: _Known) -> None:
        """Bring the lines in memory up to date with the store, other processes' writes included."""
        while True:
            found = self.database.run(lambda tx: self._read(tx, agent_id, known))
            if found is None:
                break
            changes, digests, new, last, stamp = found
            if digests is not None:
                self._correct(agent_id, known, digests)
                known.changes = changes
            self._add(known, new)
            if last == known.seq:
                known.stamp = stamp
                break
            known.seq = last
        if known.blind:
            rows = [
                known.corpus.row_of[item] for item in known.blind if item in known.corpus.row_of
            ]
            vectors = self.vectors.if_possible([known.corpus.lines[row].text for row in rows])
            if vectors is not None:
                known.corpus.set_vectors(rows, vectors)
                known.blind = []

    def _read(
        self, tx: Tx, agent_id: str, known: _Known
    ) -> tuple[int, dict[str, str] | None, list[Line], int, Stamp] | None:
        """Return what is new in the store; None if nobody has written to it since the last time."""
        stamp = tx.stamp(*_TABLES[self.kind])
        name = self._index.name()
        if stamp is not None and known.stamp == (name, stamp):
            return None
        # Asking for the mark makes the store announce edits and deletes of this agent from now on.
        indexes.mark(tx, name, agent_id, self.kind)
        changes = lines.changes(tx)
        digests = None
        if changes != known.changes:
            digests = lines.digests(tx, self.kind, agent_id) if known.seq else {}
        new, last = lines.after(tx, self.kind, agent_id, known.seq, _AT_ONCE)
        return changes, digests, new, last, None if stamp is None else (name, stamp)

    def _correct(self, agent_id: str, known: _Known, digests: dict[str, str]) -> None:
        """Take out what was deleted, and read again what was edited, since the last comparison."""
        corpus = known.corpus
        corpus.remove([item for item in corpus.row_of if item not in digests])
        edited = [
            item
            for item, row in corpus.row_of.items()
            if lines.digest(self.kind, corpus.lines[row]) != digests[item]
        ]
        if edited:
            again = self.database.run(lambda tx: lines.of_ids(tx, self.kind, agent_id, edited))
            corpus.remove(edited)
            self._add(known, again)
        if len(corpus.lines) > 2 * len(corpus) + 100:
            known.corpus = corpus.living()

    def _add(self, known: _Known, new: list[Line]) -> None:
        if not new:
            return
        found = self.vectors.if_possible([line.text for line in new])
        known.corpus.add(new, found)
        if found is None:
            known.blind += [line.id for line in new]


def _allowed(corpus: Corpus, allow: Filter) -> np.ndarray:
    allowed = corpus.derived().alive[: len(corpus.lines)] > 0
    if allow != Filter():
        allowed &= np.array([allow.allows(line) for line in corpus.lines], dtype=bool)
    return allowed


def _best(
    corpus: Corpus, scores: scoring.Scores, allowed: np.ndarray, limit: int, offset: int
) -> list[Found]:
    rows = np.flatnonzero(allowed)
    order = rows[np.argsort(-scores.rank[rows], kind="stable")]
    return [
        Found(corpus.lines[row].id, float(scores.rank[row]), float(scores.relevance[row]))
        for row in order[offset : offset + limit]
    ]
