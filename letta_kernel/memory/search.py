"""The search engine behind archival memory and recall: complete, hybrid, filtered before the limit."""

from __future__ import annotations

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
from letta_kernel.memory.vectors import Vectors
from letta_kernel.store import indexes, lines
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.indexes import Kind
from letta_kernel.store.lines import Line

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


class _Known:
    """What this process has in memory of one agent's lines."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.corpus = Corpus()
        self.kinship: Kinship | None = None
        self.seq = 0  # up to which the store has been read
        self.changes = -1  # the store's count of edits and deletes when it was last compared
        self.blind: list[str] = []  # lines whose vectors could not be had yet


class Engine:
    """Searches one kind of lines of every agent in one project with one embedder; thread-safe."""

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
        known = self._of(agent_id)
        with known.lock:
            self._refresh(agent_id, known)
            corpus = known.corpus
            if not len(corpus) or limit <= 0:
                return []
            vector = self.vectors.if_possible([text])
            asked = scoring.query(text, None if vector is None else vector[0])
            allowed = corpus.derived().alive[: len(corpus.lines)] > 0
            if allow != Filter():
                allowed &= np.array([allow.allows(line) for line in corpus.lines])
            if self.vectors.quick and known.kinship is None:
                known.kinship = Kinship(self.vectors.embedder.embed)
            if known.kinship is not None:
                known.kinship.learn(corpus.surfaces)
            scores = scoring.score(asked, corpus, allowed, known.kinship)
            return _best(corpus, scores, allowed, limit, offset)

    def forget(self, agent_id: str) -> None:
        """Drop what is kept in memory of an agent."""
        with self._lock:
            self._agents.pop(agent_id, None)

    def _of(self, agent_id: str) -> _Known:
        with self._lock:
            known = self._agents.pop(agent_id, None) or _Known()
            self._agents[agent_id] = known  # the newest stands last
            total = sum(len(other.corpus.lines) for other in self._agents.values())
            while total > _KEPT and len(self._agents) > 1:
                _, oldest = self._agents.popitem(last=False)
                total -= len(oldest.corpus.lines)
            return known

    def _refresh(self, agent_id: str, known: _Known) -> None:
        """Bring the lines in memory up to date with the store, other processes' writes included."""
        while True:
            changes, digests, new, last = self.database.run(
                lambda tx: self._read(tx, agent_id, known)
            )
            if digests is not None:
                self._correct(agent_id, known, digests)
                known.changes = changes
            self._add(known, new)
            if last == known.seq:
                break
            known.seq = last
        if known.blind:
            rows = [
                known.corpus.row_of[item] for item in known.blind if item in known.corpus.row_of
            ]
            found = self.vectors.if_possible([known.corpus.lines[row].text for row in rows])
            if found is not None:
                known.corpus.set_vectors(rows, found)
                known.blind = []

    def _read(
        self, tx: Tx, agent_id: str, known: _Known
    ) -> tuple[int, dict[str, str] | None, list[Line], int]:
        # Asking for the mark makes the store announce edits and deletes of this agent from now on.
        indexes.mark(tx, self._index.name(), agent_id, self.kind)
        changes = lines.changes(tx)
        digests = None
        if changes != known.changes:
            digests = lines.digests(tx, self.kind, agent_id) if known.seq else {}
        new, last = lines.after(tx, self.kind, agent_id, known.seq, _AT_ONCE)
        return changes, digests, new, last

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


def _best(
    corpus: Corpus, scores: scoring.Scores, allowed: np.ndarray, limit: int, offset: int
) -> list[Found]:
    rows = np.flatnonzero(allowed)
    order = rows[np.argsort(-scores.rank[rows], kind="stable")]
    return [
        Found(corpus.lines[row].id, float(scores.rank[row]), float(scores.relevance[row]))
        for row in order[offset : offset + limit]
    ]
