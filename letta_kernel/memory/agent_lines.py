"""What a process has in memory of an agent's lines, and how alike they are to a query."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from letta_kernel.memory import scoring
from letta_kernel.memory.candidate_search import CandidateSearch
from letta_kernel.memory.corpus import FORM, Corpus
from letta_kernel.memory.model_vectors import ModelVectors
from letta_kernel.memory.vectors import QuantisedVectors, alike
from letta_kernel.store.indexes import Kind, Line
from letta_kernel.store.scopes import Scope
from letta_kernel.store.vector_queries import Candidate

Stamp = tuple[str, tuple[int, ...]] | None
"""What tells that nobody has written to the store: the name of the index, and the state of the tables."""
ALIKE = 60  # lines LanceDB names as most alike in meaning
_SCOPES = 8  # of readers who see a part of the lines, kept at hand


class AgentLines:
    """What this process has in memory of one agent's lines."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.lock = threading.RLock()
        self.scans = 0  # searches in a row that left new lines unread
        self.begin()

    def begin(self) -> None:
        """Forget everything, and find out anew how many lines there are."""
        self.way: Literal["", "read", "loaded", "candidates", "scan"] = ""
        self.corpus = Corpus(self.kind)
        self.quantised: QuantisedVectors | None = None  # of the lines that were loaded
        # For a sample of lines: their vectors, alone and in their context.
        self.around: tuple[np.ndarray, np.ndarray] | None = None
        self.seq = 0  # the last line read from the store
        self.stamp: Stamp = None  # the state of the store then
        self.form = FORM  # the form of the words read from the index
        self.changes = -1  # the store's count of edits and deletes when it was last compared
        self.blind: list[Line] = []  # lines whose vectors could not be had yet
        self.by_model = ModelVectors()  # vectors of a model, where static ones come first
        self.behind = False  # some lines wait for the index to embed them
        self.candidates = CandidateSearch(self.kind)
        self._seen: OrderedDict[Scope, tuple[int, Corpus]] = OrderedDict()

    def seen(self, scope: Scope | None) -> Corpus:
        """Return the lines in memory as a reader sees them: all, or only those in *scope*."""
        if scope is None:
            return self.corpus
        kept = self._seen.pop(scope, None)
        if kept is None or kept[0] != self.corpus.version:
            kept = self.corpus.version, self.corpus.seen(scope)
        self._seen[scope] = kept
        while len(self._seen) > _SCOPES:
            self._seen.popitem(last=False)
        return kept[1]

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Forget everything if the block is interrupted or fails: a change may be half done."""
        try:
            yield
        except BaseException:
            self.begin()
            raise

    def near(
        self,
        quantised: QuantisedVectors,
        vector: np.ndarray,
        leading: np.ndarray,
        allowed: np.ndarray,
        corpus: Corpus,
    ) -> scoring.Likeness | None:
        """Return how alike to *vector* the *leading* rows of *corpus* are, and those that are most alike."""
        if not quantised.fits(vector):
            return None
        derived, first_late = corpus.derived(), len(quantised)

        def vectors(rows: np.ndarray) -> np.ndarray:
            found = quantised.at(np.minimum(rows, first_late - 1))
            late = np.flatnonzero(rows >= first_late)
            if len(late):
                found[late] = derived.vectors_at(rows[late], len(vector))
            return found

        nearest, _ = quantised.nearest(vector, allowed[:first_late], ALIKE)
        if self.around is None:
            some = quantised.some()
            self.around = quantised.at(some), derived.context(some, vectors)
        return self._likeness(np.concatenate([leading, nearest]), vector, vectors, corpus)

    def named(
        self, found: list[Candidate], vector: np.ndarray, corpus: Corpus
    ) -> scoring.Likeness | None:
        """Return how alike to *vector* the rows are that an index named; of others nothing is known."""
        row_of, derived = corpus.row_of, corpus.derived()
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

        return self._likeness(np.array(list(there)), vector, vectors, corpus)

    def _likeness(
        self,
        rows: np.ndarray,
        vector: np.ndarray,
        vectors: Callable[[np.ndarray], np.ndarray],
        corpus: Corpus,
    ) -> scoring.Likeness:
        """Return the likeness of these rows, of their neighbours and of those that are newer."""
        derived, around = corpus.derived(), self.around
        assert around is not None
        neighbours = [other[rows] for other in derived.neighbours[:2]]
        rows = np.unique(np.concatenate([rows, *neighbours, derived.vector_rows]))
        rows = rows[rows < len(corpus.ids)]
        return scoring.Likeness(
            rows,
            alike(vectors(rows), vector),
            alike(derived.context(rows, vectors), vector),
            (alike(around[0], vector), alike(around[1], vector)),
        )

    def size(self) -> int:
        """Return about how many lines' worth of memory this takes."""
        in_bytes = 0 if self.quantised is None else self.quantised.nbytes() // 500
        return len(self.corpus.ids) + in_bytes + len(self.candidates) // 5
