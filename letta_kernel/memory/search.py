"""The search engine behind archival memory and recall: complete, hybrid, filtered before the limit."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from letta_kernel.memory import scoring, unindexed
from letta_kernel.memory.beside import Modelled, given
from letta_kernel.memory.candidate_search import FURTHEST, CandidateSearch, candidates
from letta_kernel.memory.corpus import FORM, Corpus
from letta_kernel.memory.index import Index
from letta_kernel.memory.vectors import QuantisedVectors, Vectors, alike
from letta_kernel.models.embedding import OFFLINE, Embedder, embedder
from letta_kernel.store import indexes
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.indexes import Kind, Line, OutboxEntry
from letta_kernel.store.vector_queries import Candidate, condition
from letta_kernel.store.vectors import IndexBrokenError

log = logging.getLogger(__name__)

Stamp = tuple[str, tuple[int, ...]] | None
_TABLES = ("index_marks", "outbox", "counters")  # that a search depends on, beside the lines' own

LARGE = 4000
"""So many lines of an agent are read from the store, embedded and scored one and all; beyond that
their words come from LanceDB's table, and a sketch of its vectors says which are alike in meaning."""
HUGE = 200_000
"""Beyond so many lines LanceDB's indexes name candidates, and only these are scored."""
_EMBEDDED = 1000  # lines of a large archive that a search embeds itself, at most: it is waited for
_SKETCHED = (
    64_000_000  # bytes of vectors up to which they stay in memory, instead of LanceDB's index
)
_ALIKE = 60  # lines LanceDB names as most alike in meaning
_MANY = 1000  # lines from which on loading them ahead of the first search pays
_USUAL = 600  # lines whose likeness to a query counts as usual
_UNREAD = 2000
"""Of more lines than that, which no index has, a search takes in only what it needs itself …"""
_SEARCHES = 20  # … so many times: where no index follows, all are read after all
_WAITING = 500  # edits the index may be behind by, for candidates
_AT_ONCE = 2000  # lines read in one transaction
_KEPT = 300_000  # lines of all agents together kept in memory


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines may be found; empty tags mean any. ``end`` is not part of it, ``without`` are left out."""

    tags: tuple[str, ...] = ()
    match: Literal["any", "all"] = "any"
    start: datetime | None = None
    end: datetime | None = None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A line that was found: ``score`` orders, ``relevance`` says from 0 to 1 how well it matches."""

    id: str
    score: float
    relevance: float


@dataclass(frozen=True, slots=True)
class _State:
    """What the store says about a huge archive and its index."""

    mark: int
    entries: list[OutboxEntry]  # edits and deletes the index has not repeated
    new: list[Line]  # lines it does not have, or has in an older form


class _Known:
    """What this process has in memory of one agent's lines."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.lock = threading.RLock()
        self.scans = 0  # searches in a row that did without what nobody had taken in
        self.begin()

    def begin(self) -> None:
        """Forget everything, and find out anew how many lines there are."""
        self.way: Literal["", "read", "loaded", "shelf", "scan"] = ""
        self.corpus = Corpus(self.kind)
        self.sketch: QuantisedVectors | None = None  # of the lines that were loaded
        # Of some lines as they come, the vectors by themselves and in their context.
        self.around: tuple[np.ndarray, np.ndarray] | None = None
        self.seq = 0  # up to which the store has been read
        self.stamp: Stamp = None  # of the store then
        self.form = FORM  # of the words that were read from the index
        self.changes = -1  # the store's count of edits and deletes when it was last compared
        self.blind: list[Line] = []  # lines whose vectors could not be had yet
        self.beside = Modelled()  # of a model, where static vectors come first
        self.behind = False  # there are lines whose vectors are left to the index
        self.shelf = CandidateSearch(self.kind)
        self.state: _State | None = None  # what was last read for the shelf
        self.waiting: set[int] = set()  # edits the index had not repeated when the shelf was read

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Begin anew after a stop, or a fault, that may have struck half-way through a change."""
        try:
            yield
        except BaseException:
            self.begin()
            raise

    def near(
        self,
        sketch: QuantisedVectors,
        vector: np.ndarray,
        leading: np.ndarray,
        allowed: np.ndarray,
    ) -> scoring.Likeness | None:
        """Return how alike to *vector* the *leading* rows are, and those that are most alike."""
        if not sketch.fits(vector):
            return None
        derived, first_late = self.corpus.derived(), len(sketch)

        def vectors(rows: np.ndarray) -> np.ndarray:
            found = sketch.at(np.minimum(rows, first_late - 1))
            late = np.flatnonzero(rows >= first_late)
            if len(late):
                found[late] = derived.vectors_at(rows[late], len(vector))
            return found

        nearest, _ = sketch.nearest(vector, allowed[:first_late], _ALIKE)
        if self.around is None:
            some = sketch.some()
            self.around = sketch.at(some), derived.context(some, vectors)
        return self._likeness(np.concatenate([leading, nearest]), vector, vectors)

    def named(self, found: list[Candidate], vector: np.ndarray) -> scoring.Likeness | None:
        """Return how alike to *vector* the rows are that an index named, nothing being known of others."""
        row_of, derived = self.corpus.row_of, self.corpus.derived()
        there = {row_of[c.id]: c.vector for c in found if c.id in row_of and c.vector is not None}
        if not there or self.around is None or self.around[0].shape[1] != len(vector):
            return None
        places = np.full(len(derived.alive), len(there))
        places[list(there)] = np.arange(len(there))
        named = np.stack([*there.values(), np.zeros_like(vector)])

        def vectors(rows: np.ndarray) -> np.ndarray:
            got = named[places[rows]]
            late = np.flatnonzero(places[rows] == len(there))
            got[late] = derived.vectors_at(rows[late], len(vector))
            return got

        return self._likeness(np.array(list(there)), vector, vectors)

    def _likeness(
        self, rows: np.ndarray, vector: np.ndarray, vectors: Callable[[np.ndarray], np.ndarray]
    ) -> scoring.Likeness:
        """Return the likeness of these rows, of those beside them and of those that are newer."""
        derived, around = self.corpus.derived(), self.around
        assert around is not None
        beside = [other[rows] for other in derived.beside[:2]]
        rows = np.unique(np.concatenate([rows, *beside, derived.vector_rows]))
        rows = rows[rows < len(self.corpus.ids)]
        return scoring.Likeness(
            rows,
            alike(vectors(rows), vector),
            alike(derived.context(rows, vectors), vector),
            (alike(around[0], vector), alike(around[1], vector)),
        )

    def size(self) -> int:
        """Return about how many lines' worth of memory this takes."""
        sketched = 0 if self.sketch is None else self.sketch.nbytes() // 500
        return len(self.corpus.ids) + sketched + len(self.shelf) // 5


class Engine:
    """Searches one kind of lines of every agent in one project with one embedder; thread-safe."""

    def __init__(self, database: Database, vectors: Vectors, kind: Kind, index: Index) -> None:
        self.database = database
        self.vectors = vectors
        # What lines are found by while a model has not embedded them, and beside it.
        self._static = vectors if vectors.quick else Vectors(embedder(OFFLINE))
        self.kind: Kind = kind
        self._index = index
        self._agents: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self, agent_id: str, text: str, allow: Filter, *, limit: int, offset: int = 0
    ) -> list[SearchHit]:
        """Return what answers *text* best, best first; nothing that is stored is left out.

        Raises
        ------
        StoreError
            The project folder cannot be read.
        """
        if limit <= 0:
            return []
        vectors = self.vectors
        asked = scoring.query(text, vectors.question(text), vectors.kind, vectors.unrelated)
        known = self._of(agent_id)
        with known.lock, known.whole():
            hits = offset + limit
            near = hits <= FURTHEST
            try:
                if known.form != FORM and self._index.table.form() == FORM:
                    known.begin()
                grown = known.way == "read" and known.seq > 2 * LARGE
                if known.way in ("", "scan") or grown or known.behind:
                    self._choose(agent_id, known, near)
                if known.way == "shelf" and near:
                    found = self._among_candidates(agent_id, known, asked, allow, hits)
                    if found is not None:
                        return _best(*found, limit, offset)
                    known.begin()
                    self._choose(agent_id, known, near)
                if known.way == "shelf":
                    known.begin()
                if known.way != "scan":
                    self._refresh(agent_id, known, near)
            except IndexBrokenError as error:
                log.warning("Searching without the vector index for now: %s", error)
                self._index.follow()
                known.begin()
                self._refresh(agent_id, known, False)
            if known.way == "scan":
                return _best(*self._scan(agent_id, known, asked, allow, hits), limit, offset)
            return _best(*self._among_all(agent_id, known, asked, allow), limit, offset)

    def prepare(self, agent_id: str) -> None:
        """Load what the first search of an agent needs, if there is so much that it takes a while."""
        number = self.database.run(lambda tx: indexes.newest(tx, self.kind, agent_id))
        if number < (_MANY if self.vectors.quick else 1):
            return
        self._index.follow()  # another embedder may be new to what is there
        known = self._of(agent_id)
        with known.lock, known.whole():
            if not known.way:
                self._choose(agent_id, known)
            if known.way not in ("shelf", "scan"):
                self._refresh(agent_id, known)
                known.corpus.derived()

    def _of(self, agent_id: str) -> _Known:
        with self._lock:
            known = self._agents.pop(agent_id, None)
            if known is None:
                known = _Known(self.kind)
            self._agents[agent_id] = known  # the newest stands last
            total = sum(other.size() for other in self._agents.values())
            while total > _KEPT and len(self._agents) > 1:
                _, oldest = self._agents.popitem(last=False)
                total -= oldest.size()
            return known

    def _choose(self, agent_id: str, known: _Known, scan: bool = True) -> None:
        """Decide by the number of lines how an agent is searched, and load what that needs.

        Parameters
        ----------
        scan
            Whether what nobody has taken in may stay so.
        """
        name = self._index.name()
        newest, mark = self.database.run(
            lambda tx: (
                indexes.newest(tx, self.kind, agent_id),
                indexes.mark(tx, name, agent_id, self.kind),
            )
        )
        lacking = newest - mark
        unread = newest - max(mark, known.seq)
        if scan and newest > LARGE and unread > _UNREAD and known.scans < _SEARCHES:
            known.begin()
            known.way = "scan"
            self._index.follow()
            return
        known.scans = 0 if unread <= _UNREAD else known.scans
        indexed = self._index.table.name() is not None and lacking <= LARGE
        if newest <= LARGE or not indexed or (known.behind and lacking > _EMBEDDED):
            known.way = "read" if known.way in ("", "scan") else known.way
            return
        known.begin()
        known.form = self._index.table.form()
        if newest > HUGE:
            known.way = "shelf"
            return
        table = self._index.table
        if newest * table.dimension() <= _SKETCHED:
            known.sketch = QuantisedVectors()
            known.corpus.load(table.lines_of(agent_id, 0, known.sketch.add))
        else:
            known.corpus.load(table.lines_of(agent_id, 0))
            some = table.vectors_of(agent_id, range(1, mark + 1, max(1, mark // _USUAL)))
            if some:
                known.around = (np.stack(list(some.values())),) * 2
        known.seq = mark
        known.way = "loaded"

    def _scan(
        self, agent_id: str, known: _Known, asked: scoring.Query, allow: Filter, hits: int
    ) -> tuple[Corpus, scoring.Scores, np.ndarray]:
        """Score what leads among all lines in the store, while the index is far behind."""
        known.scans += 1
        if not self.vectors.quick:
            asked = scoring.query(asked.text, self._static.question(asked.text))
        return unindexed.search(
            self.database,
            self.kind,
            agent_id,
            asked,
            self._static,
            hits,
            tags=allow.tags,
            match=allow.match,
            start=allow.start,
            end=allow.end,
            without=sorted(allow.without),
        )

    # -- everything is scored --------------------------------------------------------------------------

    def _among_all(
        self, agent_id: str, known: _Known, asked: scoring.Query, allow: Filter
    ) -> tuple[Corpus, scoring.Scores, np.ndarray]:
        corpus = known.corpus
        allowed = corpus.matching(allow.tags, allow.match, allow.start, allow.end, allow.without)
        if known.way == "loaded" or self.vectors.quick:
            near = self._near(agent_id, known, asked, allow, allowed)
            return corpus, scoring.score(asked, corpus, allowed, likeness=near), allowed
        beside = known.beside.said(asked)
        asked = scoring.query(asked.text, self._static.question(asked.text))
        return corpus, scoring.score(asked, corpus, allowed, beside=beside), allowed

    def _near(
        self,
        agent_id: str,
        known: _Known,
        asked: scoring.Query,
        allow: Filter,
        allowed: np.ndarray,
    ) -> Callable[[np.ndarray], scoring.Likeness | None] | None:
        """Return what says which loaded lines are alike in meaning; LanceDB begins with it at once."""
        vector, sketch = asked.vector, known.sketch
        if known.way != "loaded" or vector is None:
            return None
        if sketch is not None:
            return lambda leading: known.near(sketch, vector, leading, allowed)
        where = condition(agent_id, allow.tags, allow.match, allow.start, allow.end, allow.without)
        answer = self._index.table.candidates(where, (), 0, vector, _ALIKE)

        def likeness(leading: np.ndarray) -> scoring.Likeness | None:
            try:
                return known.named(answer(), vector)
            except IndexBrokenError as error:
                log.warning("Searching by words alone: %s", error)
                self._index.follow()
                return None

        return likeness

    def _refresh(self, agent_id: str, known: _Known, scan: bool = True) -> None:
        """Bring the lines in memory up to date with the store, other processes' writes included.

        If very many are new, and *scan* is true, it leaves them to scans and the index instead.
        """
        room = LARGE  # how many lines may be embedded here
        while True:
            found = self.database.run(lambda tx: self._read(tx, agent_id, known))
            if found is None:
                break
            changes, digests, new, last, newest, stamp = found
            many = newest > LARGE and newest - known.seq > _UNREAD
            if scan and many and known.scans < _SEARCHES:
                self._choose(agent_id, known)
                if known.way == "scan":
                    return
                scan = False
                continue
            if digests is not None:
                self._correct(agent_id, known, digests)
                known.changes = changes
            if newest > LARGE:
                room = min(room, _EMBEDDED)
            self._add(known, new[:room])
            if new[room:]:
                known.corpus.add(new[room:], None)
                known.behind = True
            room -= len(new[:room])
            if last == known.seq:
                known.stamp = stamp
                break
            known.seq = last
        self._see(agent_id, known)

    def _see(self, agent_id: str, known: _Known) -> None:
        """Give lines the vectors that can be had at once; those of a model come in the background."""
        corpus, read = known.corpus, known.way == "read"
        if read or self.vectors.quick:
            found = self._static.at_hand([line.text for line in known.blind])
            known.blind = given(known.blind, corpus.row_of, found, corpus.set_vectors)
        if not self.vectors.quick:
            give = None if read else corpus.set_vectors
            known.beside.see(self.vectors, self._index, agent_id, corpus.row_of, known.stamp, give)

    def _read(
        self, tx: Tx, agent_id: str, known: _Known
    ) -> tuple[int, dict[str, str] | None, list[Line], int, int, Stamp] | None:
        """Return what is new in the store; None if nobody has written to it since the last time."""
        stamp = tx.stamp(self.kind, *_TABLES)
        name = self._index.name()
        if stamp is not None and known.stamp == (name, stamp):
            return None
        # Asking for the mark makes the store announce edits and deletes of this agent from now on.
        indexes.mark(tx, name, agent_id, self.kind)
        changes = indexes.changes(tx)
        digests = None
        if changes != known.changes:
            digests = indexes.digests(tx, self.kind, agent_id) if known.seq else {}
        new, last = indexes.after(tx, self.kind, agent_id, known.seq, _AT_ONCE)
        whole = last - known.seq < _AT_ONCE
        newest = last if whole else indexes.newest(tx, self.kind, agent_id)
        return changes, digests, new, last, newest, None if stamp is None else (name, stamp)

    def _correct(self, agent_id: str, known: _Known, digests: dict[str, str]) -> None:
        """Take out what was deleted, and read again what was edited, since the last comparison."""
        corpus = known.corpus
        corpus.remove([item for item in corpus.row_of if item not in digests])
        edited = [i for i, row in corpus.row_of.items() if corpus.digests[row] != digests[i]]
        if self.kind == "passages":  # messages never come back, and some of them are no lines
            edited += [item for item in digests if item not in corpus.row_of]
        if edited:
            again = self.database.run(lambda tx: indexes.of_ids(tx, self.kind, agent_id, edited))
            corpus.remove(edited)
            self._add(known, [line for line in again if line.seq <= known.seq])

    def _add(self, known: _Known, new: list[Line]) -> None:
        if new:
            known.corpus.add(new, None)
            known.blind += new
            known.beside.lacking += [] if self.vectors.quick else new

    # -- candidates are scored -------------------------------------------------------------------------

    def _among_candidates(
        self, agent_id: str, known: _Known, asked: scoring.Query, allow: Filter, hits: int
    ) -> tuple[Corpus, scoring.Scores, np.ndarray] | None:
        """Score what LanceDB names; None if the index is far behind."""
        table = self._index.table
        state = known.state = self.database.run(lambda tx: self._read_state(tx, agent_id, known))
        if state is None:
            return None
        waiting = {entry.id for entry in state.entries}
        if not known.waiting <= waiting:
            known.shelf = CandidateSearch(
                self.kind
            )  # what the index repeated meanwhile stands in it as it was
        known.waiting = waiting
        known.shelf.follow(table, agent_id, state.mark)
        where = condition(agent_id, allow.tags, allow.match, allow.start, allow.end, allow.without)
        named = candidates(table, where, asked, hits)
        replaced = {entry.item_id for entry in state.entries if entry.item_id is not None}
        corpus = known.shelf.selection(table, agent_id, named, state.new, replaced, asked)
        found = self.vectors.at_hand([line.text for line in state.new])
        given(state.new, corpus.row_of, found, corpus.set_vectors)
        allowed = corpus.matching(allow.tags, allow.match, allow.start, allow.end, allow.without)
        background = known.shelf.background(table, agent_id)
        return corpus, scoring.score(asked, corpus, allowed, background), allowed

    def _read_state(self, tx: Tx, agent_id: str, known: _Known) -> _State | None:
        stamp = tx.stamp(self.kind, *_TABLES)
        name = self._index.name()
        if known.state is not None and stamp is not None and known.stamp == (name, stamp):
            return known.state
        mark = indexes.mark(tx, name, agent_id, self.kind)
        if self._index.table.name() is None or mark + LARGE < indexes.newest(
            tx, self.kind, agent_id
        ):
            return None
        found = indexes.outbox(tx, name, _WAITING)
        entries = [entry for entry in found if entry.agent_id == agent_id]
        if len(found) == _WAITING or any(entry.item_id is None for entry in entries):
            return None
        new, _ = indexes.after(tx, self.kind, agent_id, mark, LARGE)
        fresh = {line.id for line in new}
        ids = [e.item_id for e in entries if e.item_id is not None and e.item_id not in fresh]
        known.stamp = (name, stamp) if stamp is not None else None
        return _State(mark, entries, [*new, *indexes.of_ids(tx, self.kind, agent_id, ids)])


class Searched:
    """What agents keep of one *kind*, found by one embedder, with an index that follows the store."""

    def __init__(
        self, database: Database, home: Path | str, embedder: Embedder, kind: Kind
    ) -> None:
        self.database = database
        self.embedder_name = embedder.name
        vectors = Vectors(embedder)
        self._index = Index(database, Path(home), vectors, kind)
        self._engine = Engine(database, vectors, kind, self._index)

    def _owners(self, agent_id: str) -> list[str]:
        """Return whose lines an agent finds."""
        return [agent_id]

    def prepare(self, agent_id: str) -> None:
        """Load in the background what the first search of an agent needs; returns at once."""

        def work() -> None:
            for owner in self._owners(agent_id):
                self._engine.prepare(owner)

        self._index.also(work)

    def follow(self) -> None:
        """Let the vector index follow the store in the background; returns at once."""
        self._index.follow()

    def catch_up(self) -> int:
        """Bring the vector index up to date now; return how much was indexed."""
        return self._index.catch_up()

    def close(self) -> None:
        """End the background work after the batch it is at."""
        self._index.close()


def _best(
    corpus: Corpus, scores: scoring.Scores, allowed: np.ndarray, limit: int, offset: int
) -> list[SearchHit]:
    last = offset + limit
    # Equal ranks are told apart by the row, or pages would overlap.
    rank = scores.rank - 1e-10 * np.arange(len(scores.rank))
    rows = scoring.best(rank, allowed, last)
    order = rows[np.argsort(-rank[rows])]
    return [
        SearchHit(corpus.ids[row], float(scores.rank[row]), float(scores.relevance[row]))
        for row in order[offset:last]
    ]
