"""Large archives: LanceDB names candidates, and only they and their neighbours are scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from letta_kernel.memory import roles
from letta_kernel.memory.corpus import Corpus, coded, roles_of
from letta_kernel.memory.filter import Filter
from letta_kernel.memory.index import Index
from letta_kernel.memory.line_context import REACH
from letta_kernel.memory.model_vectors import give_vectors
from letta_kernel.memory.scoring import Background, Query, Scores, score
from letta_kernel.memory.vectors import Vectors
from letta_kernel.store import indexes
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.indexes import Kind, Line, OutboxEntry
from letta_kernel.store.vector_queries import Candidate
from letta_kernel.store.vectors import VectorTable

# How many candidates LanceDB's two indexes name, by words and by meaning, for so many hits.
_TIERS = ((20, 40, 20), (200, 400, 400), (1000, 2000, 2000))
FURTHEST = _TIERS[-1][0]
"""Hits beyond this number are not found through candidates."""
TABLES = ("index_marks", "outbox", "counters")
"""What a search depends on in the store, beside the lines' own table."""
_MOST_EDITS = 500  # by which the index may be behind
_SAMPLE = 3000  # lines from which one learns how rare words are
_PIECES = 6  # runs of neighbouring lines the sample is made of
_RUN = 100  # of each such run so many lines say what likeness is usual


@dataclass(frozen=True, slots=True)
class _Lag:
    """What the index has not repeated of the store: edits and deletes, and lines new or changed."""

    mark: int
    entries: list[OutboxEntry]
    new: list[Line]


class CandidateSearch:
    """Searches one agent's lines among those that LanceDB names; not safe to use from two threads at once."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self._lines = _IndexedLines(kind)
        self._lag: _Lag | None = None
        self._stamp: object = None  # of the store when it was read
        self._waiting: set[int] = set()  # edits the index had not repeated when the lines were read

    def __len__(self) -> int:
        return len(self._lines)

    def search(
        self,
        database: Database,
        index: Index,
        vectors: Vectors,
        agent_id: str,
        asked: Query,
        allow: Filter,
        hits: int,
        most: int,
    ) -> tuple[Corpus, Scores, np.ndarray] | None:
        """Return the candidates, scored, and which of them may be found: enough for so many *hits*.

        None if the index is behind by more than *most* lines, or very many edits.

        Raises
        ------
        IndexBrokenError
            The index cannot be read.
        """
        table = index.table
        lag = self._lag = database.run(lambda tx: self._read_lag(tx, index, agent_id, most))
        if lag is None:
            return None
        waiting = {entry.id for entry in lag.entries}
        if not self._waiting <= waiting:  # the index has repeated edits: the lines here are stale
            self._lines = _IndexedLines(self.kind)
        self._waiting = waiting
        self._lines.follow(table, agent_id, lag.mark)
        named = _named(table, allow.condition(agent_id), asked, hits)
        replaced = {entry.item_id for entry in lag.entries if entry.item_id is not None}
        corpus = self._lines.selection(table, agent_id, named, lag.new, replaced, asked)
        found = vectors.at_hand([line.text for line in lag.new])
        give_vectors(lag.new, corpus.row_of, found, corpus.set_vectors)
        if allow.scope is not None:
            corpus = corpus.seen(allow.scope)
        allowed = corpus.matching(allow)
        background = self._lines.background(table, agent_id)
        return corpus, score(asked, corpus, allowed, background), allowed

    def _read_lag(self, tx: Tx, index: Index, agent_id: str, most: int) -> _Lag | None:
        name, tables = index.name(tx), tx.stamp(self.kind, *TABLES)
        stamp = None if tables is None else (name, tables)
        if self._lag is not None and stamp is not None and self._stamp == stamp:
            return self._lag
        mark = indexes.mark(tx, name, agent_id, self.kind)
        if index.table.name(tx) is None or mark + most < indexes.newest(tx, self.kind, agent_id):
            return None
        found = indexes.outbox(tx, name, _MOST_EDITS)
        entries = [entry for entry in found if entry.agent_id == agent_id]
        if len(found) == _MOST_EDITS or any(entry.item_id is None for entry in entries):
            return None
        new, _ = indexes.after(tx, self.kind, agent_id, mark, most)
        fresh = {line.id for line in new}
        ids = [e.item_id for e in entries if e.item_id is not None and e.item_id not in fresh]
        self._stamp = stamp
        return _Lag(mark, entries, [*new, *indexes.of_ids(tx, self.kind, agent_id, ids)])


class _IndexedLines:
    """An agent's indexed lines without their vectors: about 200 bytes each, in Arrow's memory."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self._table: Any = None
        self.seq = 0
        self._seq = self._positions = self._created = self._codes = np.empty(0, dtype=np.int64)
        self._sources: list[str] = []
        self._alone = np.empty(0, dtype=bool)
        self._order = np.empty(0, dtype=np.int64)
        self._place = np.empty(0, dtype=np.int64)
        self._rows_by_seq = np.empty(0, dtype=np.int64)
        self._seqs = np.empty(0, dtype=np.int64)
        self._roles: np.ndarray | None = None  # once somebody asks
        self._background: Background | None = None

    def __len__(self) -> int:
        return len(self._seqs)

    def follow(self, table: VectorTable, agent_id: str, mark: int) -> None:
        """Read the rows up to *mark* that have been indexed since."""
        if mark <= self.seq:
            return
        import pyarrow as pa

        new = table.lines_of(agent_id, self.seq)
        self.seq = mark
        if new.num_rows:
            parts = [new] if self._table is None else [self._table, new]
            self._table = pa.concat_tables(parts).combine_chunks()
            self._arrange()

    def background(self, table: VectorTable, agent_id: str) -> Background:
        """Return what is usual among these lines, learnt from a sample of them."""
        number = len(self)
        if self._background is None or number > 1.2 * self._background.living:
            width = max(1, min(_SAMPLE, number) // _PIECES)
            starts = np.linspace(0, max(0, number - width), _PIECES).astype(np.int64)
            places = np.concatenate([np.arange(start, start + width) for start in starts])
            rows = self._order[np.unique(places[places < number])]
            sample = Corpus(self._kind)
            self._put(sample, rows, None)
            some = [seq for at, seq in enumerate(self._seq[rows].tolist()) if at % width < _RUN]
            vectors = table.vectors_of(agent_id, some)
            known = [item for item in vectors if item in sample.row_of]
            if known:
                found = np.stack([vectors[item] for item in known])
                sample.set_vectors([sample.row_of[item] for item in known], found)
            self._background = Background(sample, number)
        return self._background

    def selection(
        self,
        table: VectorTable,
        agent_id: str,
        candidates: Iterable[Candidate],
        new: Sequence[Line],
        replaced: set[str],
        asked: Query,
    ) -> Corpus:
        """Return the candidates, their neighbours and the *new* lines as a corpus.

        Parameters
        ----------
        new
            Lines the index does not have yet, or has in an older form.
        replaced
            Ids of lines that were edited or deleted since they were indexed.
        """
        found = {
            candidate.id: candidate for candidate in candidates if candidate.id not in replaced
        }
        corpus = Corpus(self._kind)
        rows = self._with_neighbours([candidate.seq for candidate in found.values()])
        wanted = frozenset([*asked.words, asked.wants])
        self._put(corpus, rows, wanted, self._line_roles() if asked.role else None)
        corpus.remove(sorted(replaced))
        if asked.vector is not None:
            vectors = {i: c.vector for i, c in found.items() if c.vector is not None}
            ids = self._table["id"].take(rows).to_pylist()
            seqs = self._seq[rows].tolist()
            lacking = [seq for item, seq in zip(ids, seqs, strict=True) if item not in vectors]
            vectors |= table.vectors_of(agent_id, lacking)
            known = {corpus.row_of[i]: vectors[i] for i in vectors if i in corpus.row_of}
            if known:
                corpus.set_vectors(list(known), np.stack(list(known.values())))
        corpus.add(new, None)
        return corpus

    def _arrange(self) -> None:
        """Put the rows in reading order, source by source."""
        table = self._table
        seqs = self._seq = table["seq"].to_numpy()
        self._positions = table["position"].to_numpy()
        self._created = table["created_at"].cast("int64").to_numpy()
        codes, self._sources = coded(table["source"])
        self._codes = codes
        self._roles = None
        self._alone = codes < 0  # of no source, so without neighbours
        self._order = np.lexsort((seqs, self._positions, codes))
        self._place = np.empty(len(seqs), dtype=np.int64)
        self._place[self._order] = np.arange(len(seqs))
        self._rows_by_seq = np.argsort(seqs, kind="stable")
        self._seqs = seqs[self._rows_by_seq]

    def _line_roles(self) -> np.ndarray:
        """Return the roles of all rows: a selection alone does not tell who speaks to whom."""
        if self._roles is None:
            speaker_of, speakers = coded(self._table["speaker"])
            tags = self._table["tags"].to_pylist() if self._kind == "messages" else ()
            found = roles_of(speaker_of, speakers, tags, self._kind)
            named = np.array([*map(bool, speakers), False])[speaker_of]
            self._roles = roles.with_partners(found, named, self._codes + 1)
        return self._roles

    def _with_neighbours(self, seqs: Sequence[int]) -> np.ndarray:
        """Return the rows of these seqs and those within reach of them, in reading order."""
        at = np.searchsorted(self._seqs, np.array(seqs, dtype=np.int64))
        rows = self._rows_by_seq[at[at < len(self._seqs)]]
        reach = np.arange(-REACH, REACH + 1)
        around = self._place[rows][:, None] + np.where(
            self._alone[rows][:, None], 0, reach[None, :]
        )
        places = np.unique(around)
        return self._order[places[(places >= 0) & (places < len(self))]]

    def _put(
        self,
        corpus: Corpus,
        rows: np.ndarray,
        wanted: frozenset[str] | None,
        line_roles: np.ndarray | None = None,
    ) -> None:
        """Add rows to *corpus*, with only the *wanted* words, or all of them."""
        if not len(rows):
            return
        # Column by column: making Python objects of Arrow's values one by one takes most of the time.
        part = self._table.select(["id", "tags", "words", "speaker", "asks"]).take(rows)
        columns = [part.column(n).to_pylist() for n in range(part.num_columns)]
        seqs, positions = self._seq[rows].tolist(), self._positions[rows].tolist()
        created = (self._created[rows] / 1e6).tolist()
        sources = [None if code < 0 else self._sources[code] for code in self._codes[rows].tolist()]
        for number, (item, tags, words, speaker, asks) in enumerate(zip(*columns, strict=True)):
            line = Line(
                item,
                seqs[number],
                "",
                datetime.fromtimestamp(created[number], UTC),
                tuple(tags or ()),
                sources[number],
                positions[number],
                "",
            )
            role = None if line_roles is None else int(line_roles[rows[number]])
            corpus.append(line, words.split(), speaker, asks, wanted, role)


def _named(table: VectorTable, where: str, asked: Query, hits: int) -> list[Candidate]:
    """Return the lines LanceDB names by words and by meaning, enough for so many *hits*."""
    by_words, by_meaning = next((w, m) for most, w, m in _TIERS if hits <= most)
    found = table.candidates(where, asked.words, by_words, asked.vector, by_meaning)()
    return list({candidate.id: candidate for candidate in found}.values())
