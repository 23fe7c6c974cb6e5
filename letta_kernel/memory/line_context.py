"""The context of lines: the neighbours of each, and how their words and vectors spread to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

REACH = 3
"""How many lines to either side of a line belong to its context."""
WEIGHTS = (2.0, 1.0, 0.5, 0.25)
"""What a word counts for a line by its distance: in the line itself, one line away, and so on. Chosen on
LoCoMo, where a line alone loses 10; BEAM loses 15, MemDaily gains 1."""
LENGTH = 0.5
"""How much a line's length is held against its words (b of BM25); chosen on MemDaily, 0.3 costs 7 there."""
_EPISODE = 3600.0  # seconds; a longer silence between two lines of a source ends their context
_FAR = 12  # positions; lines further apart than this are no neighbours (some were left out between)

Rows = np.ndarray | slice


class Derived:
    """Arrays over the rows of a corpus; most have one more entry at the end, for "no row"."""

    created: np.ndarray  # microseconds since 1970
    speakers: np.ndarray
    own_lengths: np.ndarray  # in words, the date's included
    lengths: np.ndarray  # with what the context adds
    mean_length: float  # of lines by themselves
    vector_rows: np.ndarray  # rows whose vectors are known
    vectors: np.ndarray

    def __init__(self, alive: np.ndarray, neighbours: list[np.ndarray], asks: np.ndarray) -> None:
        self.alive = alive
        self.neighbours = neighbours
        self.asks = asks
        # Of words asked for lately: the rows that have it, what each gets, and the word's rarity.
        self.weighed: OrderedDict[str, tuple[Rows, np.ndarray, float]] = OrderedDict()
        self._around: np.ndarray | None = None
        self.roles: np.ndarray | None = None  # once somebody asks
        # Of the tags asked for last: which rows have them. Most searches of a conversation ask the same.
        self.tagged: tuple[object, np.ndarray] = (None, alive)

    def spread(self, total: np.ndarray, rows: Rows, own: np.ndarray) -> None:
        """Add to *total* what *rows* have of their *own*, and what their neighbours get of it.

        Neighbours get as much as `WEIGHTS` says. Everything is done for *rows* alone: those without
        any cost nothing.
        """
        if not isinstance(rows, slice):
            rows = rows.astype(np.intp, copy=False)  # convert once, or each use below would
        total[rows] += WEIGHTS[0] * own
        for distance in range(1, REACH + 1):
            before, after = self.neighbours[2 * distance - 2 : 2 * distance]
            total[before[rows]] += WEIGHTS[distance] * own
            total[after[rows]] += WEIGHTS[distance] * own

    def in_context(self, own: np.ndarray) -> np.ndarray:
        """Return what each row has once *own*, one entry per row and a 0, is spread."""
        total = np.zeros(len(own), dtype=np.float32)
        rows = np.flatnonzero(own != 0)
        self.spread(total, rows, own[rows])
        total[-1] = 0.0  # what "no row" got
        return total

    def around(self) -> np.ndarray:
        """Return a unit vector of each row's context: neighbours tell what a short line means."""
        if self._around is None:
            rows = np.arange(len(self.alive))
            own = self.vectors_at(rows, self.vectors.shape[1])
            self._around = self.context(rows[:-1], lambda rows: own[rows])
        return self._around

    def vectors_at(self, rows: np.ndarray, dimension: int) -> np.ndarray:
        """Return the vectors of these rows, zeros where none is known."""
        found = np.zeros((len(rows), dimension), dtype=np.float32)
        if self.vectors.shape[1] == dimension:
            places = np.full(len(self.alive), -1)
            places[self.vector_rows] = np.arange(len(self.vector_rows))
            at = places[rows]
            found[at >= 0] = self.vectors[at[at >= 0]]
        return found

    def context(self, rows: np.ndarray, vectors: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return a unit vector of the context of each of *rows*; *vectors* returns those of some rows.

        It is asked about "no row" too, and what it returns of that does not count.
        """
        total = WEIGHTS[0] * self.alive[rows, None] * vectors(rows)
        for distance in range(1, REACH + 1):
            for side in self.neighbours[2 * distance - 2 : 2 * distance]:
                other = side[rows]
                total += WEIGHTS[distance] * self.alive[other, None] * vectors(other)
        lengths = np.linalg.norm(total, axis=1, keepdims=True)
        found: np.ndarray = total / np.maximum(lengths, 1e-9)
        return found


def neighbours(
    sources: np.ndarray,
    positions: np.ndarray,
    seqs: np.ndarray,
    created: np.ndarray,
    living: np.ndarray,
) -> list[np.ndarray]:
    """Return for each distance the row before and the row after each row, their number where none is.

    Parameters
    ----------
    created
        In seconds.
    living
        Which rows count.
    """
    number = len(sources)
    rows = np.flatnonzero(living)
    order = rows[np.lexsort((seqs[rows], positions[rows], sources[rows]))]
    cut = np.diff(sources[order]) != 0
    cut |= np.diff(positions[order]) > _FAR
    cut |= np.abs(np.diff(created[order])) > _EPISODE
    last = np.full(number + 1, number, dtype=np.int64)
    following = np.full(number + 1, number, dtype=np.int64)
    if len(order) > 1:
        ahead, behind = order[:-1][~cut], order[1:][~cut]
        following[ahead] = behind
        last[behind] = ahead
    found = []
    before, after = last, following
    for _ in range(REACH):
        found += [before, after]
        before, after = last[before], following[after]
    return found
