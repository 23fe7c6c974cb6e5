"""Large archives: LanceDB names candidates, and only they and their neighbours are scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from letta_kernel.memory import roles
from letta_kernel.memory.corpus import REACH, Corpus, coded, roles_of
from letta_kernel.memory.scoring import Background, Query
from letta_kernel.store.indexes import Kind, Line
from letta_kernel.store.vector_queries import Candidate
from letta_kernel.store.vectors import VectorTable

# How many candidates LanceDB's two indexes name, by words and by meaning, for so many hits.
_TIERS = ((20, 40, 20), (200, 400, 400), (1000, 2000, 2000))
FURTHEST = _TIERS[-1][0]
"""Hits beyond this number are not found through candidates."""
_SAMPLE = 3000  # lines from which one learns how rare words are
_PIECES = 6  # runs of neighbouring lines the sample is made of
_RUN = 100  # of each such run so many lines say what likeness is usual


class CandidateSearch:
    """An agent's indexed lines without their vectors: about 200 bytes each, in Arrow's memory."""

    def __init__(self, kind: Kind = "passages") -> None:
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
        rows = self._beside([candidate.seq for candidate in found.values()])
        wanted = frozenset([*asked.words, asked.wants])
        self._put(corpus, rows, wanted, self._whose() if asked.role else None)
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

    def _whose(self) -> np.ndarray:
        """Return the roles of all rows: who speaks to whom, a selection does not say."""
        if self._roles is None:
            speaker_of, speakers = coded(self._table["speaker"])
            tags = self._table["tags"].to_pylist() if self._kind == "messages" else ()
            found = roles_of(speaker_of, speakers, tags, self._kind)
            named = np.array([*map(bool, speakers), False])[speaker_of]
            self._roles = roles.with_partners(found, named, self._codes + 1)
        return self._roles

    def _beside(self, seqs: Sequence[int]) -> np.ndarray:
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
        whose: np.ndarray | None = None,
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
            role = None if whose is None else int(whose[rows[number]])
            corpus.append(line, words.split(), speaker, asks, wanted, role)


def candidates(table: VectorTable, where: str, asked: Query, hits: int) -> list[Candidate]:
    """Return the lines LanceDB thinks of by words and by meaning, enough for so many *hits*."""
    by_words, by_meaning = next((w, m) for most, w, m in _TIERS if hits <= most)
    found = table.candidates(where, asked.words, by_words, asked.vector, by_meaning)()
    return list({candidate.id: candidate for candidate in found}.values())
