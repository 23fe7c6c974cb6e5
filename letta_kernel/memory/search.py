"""The search engine behind archival memory and recall: complete, hybrid, filtered before the limit."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from letta_kernel.memory import scoring, unindexed
from letta_kernel.memory.agent_lines import ALIKE, AgentLines, Stamp
from letta_kernel.memory.candidate_search import FURTHEST, TABLES
from letta_kernel.memory.corpus import FORM, Corpus
from letta_kernel.memory.filter import Filter
from letta_kernel.memory.index import Index
from letta_kernel.memory.model_vectors import give_vectors
from letta_kernel.memory.vectors import QuantisedVectors, Vectors
from letta_kernel.models.embedding import OFFLINE, Embedder, embedder
from letta_kernel.store import indexes
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.indexes import Kind, Line
from letta_kernel.store.scopes import Scope
from letta_kernel.store.vectors import IndexAwayError, IndexBrokenError

log = logging.getLogger(__name__)

LARGE = 4000
"""So many lines of an agent are read from the store, embedded and scored one and all; beyond that
their words come from LanceDB's table, and its vectors as bytes say which are alike in meaning."""
HUGE = 200_000
"""Beyond so many lines LanceDB's indexes name candidates, and only these are scored."""
_EMBEDDED = 1000  # lines of a large archive that a search embeds itself at most: somebody waits
_QUANTISED = (
    64_000_000  # bytes of vectors up to which they stay in memory, instead of LanceDB's index
)
_MANY = 1000  # lines from which on loading them ahead of the first search pays
_USUAL = 600  # lines whose likeness to a query counts as usual
_UNREAD = 2000
"""If no index has more lines than that, a search scans them instead of reading all …"""
_SEARCHES = 20  # … but only so many times: if no index follows, all are read
_AT_ONCE = 2000  # lines read in one transaction
_KEPT = 300_000  # lines of all agents together kept in memory


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A line that was found: ``score`` orders, ``relevance`` says from 0 to 1 how well it matches.

    ``parts`` says what each of `scoring.PARTS` has added to the score.
    """

    id: str
    score: float
    relevance: float
    parts: tuple[float, ...] = ()


class Engine:
    """Searches the lines of one kind of all agents of a project, with one embedder; thread-safe."""

    def __init__(self, database: Database, vectors: Vectors, kind: Kind, index: Index) -> None:
        self.database = database
        self.vectors = vectors
        # Static vectors find lines that a model has not embedded yet.
        self._static = vectors if vectors.quick else Vectors(embedder(OFFLINE))
        self.kind: Kind = kind
        self._index = index
        self._agents: OrderedDict[str, AgentLines] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self,
        agent_id: str,
        text: str,
        allow: Filter,
        *,
        limit: int,
        offset: int = 0,
        explained: bool = False,
    ) -> list[SearchHit]:
        """Return what answers *text* best, best first; nothing that is stored is left out.

        With *explained* hits have their ``parts``.

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
                if known.way == "candidates" and near:
                    found = known.candidates.search(
                        self.database,
                        self._index,
                        self.vectors,
                        agent_id,
                        asked,
                        allow,
                        hits,
                        LARGE,
                    )
                    if found is not None:
                        return _best(*found, limit, offset, explained)
                    known.begin()
                    self._choose(agent_id, known, near)
                if known.way == "candidates":
                    known.begin()
                if known.way != "scan":
                    self._refresh(agent_id, known, near)
            except IndexBrokenError as error:
                self._do_without("Searching without the vector index for now", error)
                known.begin()
                self._refresh(agent_id, known, False)
            if known.way == "scan":
                found = self._scan(agent_id, known, asked, allow, hits)
                return _best(*found, limit, offset, explained)
            found = self._among_all(agent_id, known, asked, allow)
            return _best(*found, limit, offset, explained)

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
            if known.way not in ("candidates", "scan"):
                self._refresh(agent_id, known)
                known.corpus.derived()

    def _of(self, agent_id: str) -> AgentLines:
        with self._lock:
            known = self._agents.pop(agent_id, None)
            if known is None:
                known = AgentLines(self.kind)
            self._agents[agent_id] = known  # the newest stands last
            total = sum(other.size() for other in self._agents.values())
            while total > _KEPT and len(self._agents) > 1:
                _, oldest = self._agents.popitem(last=False)
                total -= oldest.size()
            return known

    def _choose(self, agent_id: str, known: AgentLines, scan: bool = True) -> None:
        """Decide by the number of lines how an agent is searched, and load what that needs.

        Parameters
        ----------
        scan
            Whether lines that no index has may be scanned instead of read.
        """
        newest, mark, there = self.database.run(
            lambda tx: (
                indexes.newest(tx, self.kind, agent_id),
                indexes.mark(tx, self._index.name(tx), agent_id, self.kind),
                self._index.table.name(tx) is not None,
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
        indexed = there and lacking <= LARGE
        if newest <= LARGE or not indexed or (known.behind and lacking > _EMBEDDED):
            known.way = "read" if known.way in ("", "scan") else known.way
            return
        known.begin()
        known.form = self._index.table.form()
        if newest > HUGE:
            known.way = "candidates"
            return
        table = self._index.table
        if newest * table.dimension() <= _QUANTISED:
            known.quantised = QuantisedVectors()
            known.corpus.load(table.lines_of(agent_id, 0, known.quantised.add))
        else:
            known.corpus.load(table.lines_of(agent_id, 0))
            some = table.vectors_of(agent_id, range(1, mark + 1, max(1, mark // _USUAL)))
            if some:
                known.around = (np.stack(list(some.values())),) * 2
        known.seq = mark
        known.way = "loaded"

    def _scan(
        self, agent_id: str, known: AgentLines, asked: scoring.Query, allow: Filter, hits: int
    ) -> tuple[Corpus, scoring.Scores, np.ndarray]:
        """Score what leads among all lines in the store, while the index is far behind."""
        known.scans += 1
        if not self.vectors.quick:
            asked = scoring.query(asked.text, self._static.question(asked.text))
        return unindexed.search(
            self.database, self.kind, agent_id, asked, self._static, hits, allow
        )

    # -- everything is scored --------------------------------------------------------------------------

    def _among_all(
        self, agent_id: str, known: AgentLines, asked: scoring.Query, allow: Filter
    ) -> tuple[Corpus, scoring.Scores, np.ndarray]:
        corpus = known.seen(allow.scope)
        allowed = corpus.matching(allow)
        if known.way == "loaded" or self.vectors.quick:
            near = self._near(agent_id, known, asked, allow, allowed, corpus)
            return corpus, scoring.score(asked, corpus, allowed, likeness=near), allowed
        by_model = known.by_model.likeness(asked)
        asked = scoring.query(asked.text, self._static.question(asked.text))
        return corpus, scoring.score(asked, corpus, allowed, by_model=by_model), allowed

    def _near(
        self,
        agent_id: str,
        known: AgentLines,
        asked: scoring.Query,
        allow: Filter,
        allowed: np.ndarray,
        corpus: Corpus,
    ) -> Callable[[np.ndarray], scoring.Likeness | None] | None:
        """Return a function that says which loaded lines are alike in meaning; LanceDB begins at once."""
        vector, quantised = asked.vector, known.quantised
        if known.way != "loaded" or vector is None:
            return None
        if quantised is not None:
            return lambda leading: known.near(quantised, vector, leading, allowed, corpus)
        where = allow.condition(agent_id)
        answer = self._index.table.candidates(where, (), 0, vector, ALIKE)

        def likeness(leading: np.ndarray) -> scoring.Likeness | None:
            try:
                return known.named(answer(), vector, corpus)
            except IndexBrokenError as error:
                self._do_without("Searching by words alone", error)
                return None

        return likeness

    def _do_without(self, what: str, error: IndexBrokenError) -> None:
        """Say that the index is not used for now, unless it was said when it went away, and have it mended."""
        level = logging.DEBUG if isinstance(error, IndexAwayError) else logging.WARNING
        log.log(level, "%s: %s", what, error)
        self._index.follow()

    def _refresh(self, agent_id: str, known: AgentLines, scan: bool = True) -> None:
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
        self._embed(agent_id, known)

    def _embed(self, agent_id: str, known: AgentLines) -> None:
        """Give lines the vectors that can be had at once; those of a model come in the background."""
        corpus, read = known.corpus, known.way == "read"
        if read or self.vectors.quick:
            found = self._static.at_hand([line.text for line in known.blind])
            known.blind = give_vectors(known.blind, corpus.row_of, found, corpus.set_vectors)
        if not self.vectors.quick:
            give = None if read else corpus.set_vectors
            known.by_model.update(
                self.vectors, self._index, agent_id, corpus.row_of, known.stamp, give
            )

    def _read(
        self, tx: Tx, agent_id: str, known: AgentLines
    ) -> tuple[int, dict[str, str] | None, list[Line], int, int, Stamp] | None:
        """Return what is new in the store; None if nobody has written to it since the last time."""
        stamp = tx.stamp(self.kind, *TABLES)
        name = self._index.name(tx)
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

    def _correct(self, agent_id: str, known: AgentLines, digests: dict[str, str]) -> None:
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

    def _add(self, known: AgentLines, new: list[Line]) -> None:
        if new:
            known.corpus.add(new, None)
            known.blind += new
            known.by_model.lacking += [] if self.vectors.quick else new


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

    def _best_of(
        self,
        pieces: Sequence[tuple[str, Scope | None]],
        query: str,
        allow: Filter,
        limit: int,
        page: int,
        explained: bool = False,
    ) -> list[SearchHit]:
        """Return a page of what answers *query* best among some owners' lines; *explained*: with its parts."""
        search = partial(self._engine.search, text=query, explained=explained)
        if len(pieces) == 1:
            owner, scope = pieces[0]
            only = allow if scope is None else replace(allow, scope=scope)
            return search(owner, allow=only, limit=limit, offset=page * limit)
        most = limit * (page + 1)
        each = [
            search(owner, allow=replace(allow, scope=scope), limit=most) for owner, scope in pieces
        ]
        return _merged(each, most)[page * limit :]

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
    corpus: Corpus,
    scores: scoring.Scores,
    allowed: np.ndarray,
    limit: int,
    offset: int,
    explained: bool,
) -> list[SearchHit]:
    last = offset + limit
    # Rows break ties between equal ranks, or pages would overlap.
    rank = scores.rank - 1e-10 * np.arange(len(scores.rank))
    rows = scoring.best(rank, allowed, last)
    order = rows[np.argsort(-rank[rows])][offset:last]
    parts = scores.parts(order).tolist() if explained else []
    return [
        SearchHit(
            corpus.ids[row],
            float(scores.rank[row]),
            float(scores.relevance[row]),
            tuple(parts[place]) if explained else (),
        )
        for place, row in enumerate(order)
    ]


def _merged(each: list[list[SearchHit]], most: int) -> list[SearchHit]:
    """Merge what was found in several owners' lines, the more relevant hit first.

    Within those of one owner the order stays, for ranks among different lines cannot be compared.
    """
    waiting = [deque(found) for found in each if found]
    merged: list[SearchHit] = []
    while waiting and len(merged) < most:
        best = max(waiting, key=lambda found: found[0].relevance)
        merged.append(best.popleft())
        waiting = [found for found in waiting if found]
    return merged
