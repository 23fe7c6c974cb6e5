"""Lines of text in memory, laid out so that a query is scored against all of them in a millisecond."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from letta_kernel.memory import terms
from letta_kernel.store.lines import Line

REACH = 3
"""How many lines to either side of a line belong to its context."""
WEIGHTS = (2.0, 1.0, 0.5, 0.25)
"""What a word counts for a line by its distance: in the line itself, one line away, and so on."""
_EPISODE = 3600.0  # seconds; a longer silence between two lines of a source ends their context
_FAR = 12  # positions; lines further apart than this are no neighbours (some were left out between)

Postings = dict[str, tuple["array[int]", "array[float]"]]


class Corpus:
    """Lines with their words, neighbours and vectors. Rows are numbered as they were added.

    Not safe to use from two threads at once.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.row_of: dict[str, int] = {}
        self.speakers: list[str] = []
        self.surfaces: dict[str, str] = {}  # each stem and a word that has it
        self._words: Postings = {}
        self._dates: Postings = {}
        self._lengths = array("f")
        self._date_lengths = array("f")
        self._asks = array("b")
        self._alive = array("b")
        self._created = array("d")
        self._vectors = np.zeros((0, 0), dtype=np.float32)
        self._derived: Derived | None = None

    def __len__(self) -> int:
        return len(self.row_of)

    def add(self, lines: Sequence[Line], vectors: np.ndarray | None) -> None:
        """Add *lines* with their unit *vectors*; a line whose id is there replaces the old one.

        Without vectors the lines are found by their words alone, until `set_vectors`.
        """
        base = len(self.lines)
        for line in lines:
            words = terms.words(line.text)
            for surface, stem in words:
                self.surfaces.setdefault(stem, surface)
            stems = [stem for _, stem in words]
            self.append(line, stems, terms.speaker(line.text), terms.asks(line.text))
        if vectors is not None:
            self.set_vectors(range(base, base + len(lines)), vectors)

    def append(
        self,
        line: Line,
        stems: list[str],
        speaker: str,
        asks: bool,
        wanted: frozenset[str] | None = None,
    ) -> None:
        """Add one line whose text has been looked at before; its vector is not known yet.

        Parameters
        ----------
        stems, speaker, asks
            What `terms` says of its text.
        wanted
            The only stems anybody will ask for; all of them if not given.
        """
        if line.id in self.row_of:
            self.remove([line.id])
        row = len(self.lines)
        length = len(stems)
        if wanted is not None:
            stems = [stem for stem in stems if stem in wanted]
        if wanted is None or not wanted.isdisjoint(terms.DATE_STEMS):
            dates = terms.date_terms(line.created_at)
            _post(self._dates, row, dates if wanted is None else [d for d in dates if d in wanted])
        if stems:
            _post(self._words, row, stems)
        self.lines.append(line)
        self.row_of[line.id] = row
        self.speakers.append(speaker)
        self._lengths.append(length)
        self._date_lengths.append(terms.DATE_LENGTH)
        self._asks.append(asks)
        self._created.append(line.created_at.timestamp())
        self._alive.append(1)
        self._derived = None

    def set_vectors(self, rows: Sequence[int], vectors: np.ndarray) -> None:
        """Give these rows their unit vectors."""
        needed = (len(self.lines), vectors.shape[1])
        have = self._vectors.shape
        if have[0] < needed[0] or have[1] != needed[1]:
            more = np.zeros((max(needed[0], 2 * have[0]), needed[1]), dtype=np.float32)
            if have[1] == needed[1]:
                more[: have[0]] = self._vectors
            self._vectors = more
        self._vectors[list(rows)] = vectors
        self._derived = None

    def living(self) -> Corpus:
        """Return a corpus of what is left, without the rows of lines that were removed."""
        fresh = Corpus()
        rows = list(self.row_of.values())
        vectors = self.derived().vectors
        fresh.add([self.lines[row] for row in rows], vectors[rows] if vectors.size else None)
        return fresh

    def remove(self, ids: Sequence[str]) -> None:
        """Take the lines of these ids out."""
        for item in ids:
            row = self.row_of.pop(item, None)
            if row is not None:
                self._alive[row] = 0
                self._derived = None

    def words(self, word: str) -> np.ndarray:
        """Return how often *word* stands in each row, its date's words included apart from context.

        Words of neighbouring rows count as `WEIGHTS` says; one more entry than rows.
        """
        derived = self.derived()
        total = np.zeros(len(self.lines) + 1, dtype=np.float32)
        if word in self._words:
            rows, counts = self._words[word]
            own = np.zeros_like(total)
            own[np.array(rows, dtype=np.int64)] = np.array(counts, dtype=np.float32)
            own *= derived.alive
            total += derived.in_context(own)
        if word in self._dates:
            rows, counts = self._dates[word]
            total[np.array(rows, dtype=np.int64)] += np.array(counts, dtype=np.float32)
        total *= derived.alive
        return total

    def derived(self) -> Derived:
        """Return the arrays that follow from all lines together, made anew after a change."""
        if self._derived is None:
            self._derived = self._derive()
        return self._derived

    def _derive(self) -> Derived:
        number = len(self.lines)
        alive = np.ones(number + 1, dtype=np.float32)
        alive[:number] = np.array(self._alive, dtype=np.float32)
        alive[number] = 0.0
        created = np.array(self._created)
        order, cut = self._order(alive, created)
        beside = _beside(order, cut, number)
        lengths = np.zeros(number + 1, dtype=np.float32)
        lengths[:number] = np.array(self._lengths, dtype=np.float32)
        asks = np.zeros(number + 1, dtype=np.float32)
        asks[:number] = np.array(self._asks, dtype=np.float32)
        derived = Derived(alive, beside, created, asks * alive, lengths)
        derived.lengths = derived.in_context(lengths * alive)
        derived.lengths[:number] += np.array(self._date_lengths, dtype=np.float32)
        living = max(1.0, float(alive.sum()))
        derived.mean_length = max(1.0, float((derived.lengths * alive).sum()) / living)
        if self._vectors.shape[0] < number:  # the last lines have none
            more = np.zeros((number, self._vectors.shape[1]), dtype=np.float32)
            more[: len(self._vectors)] = self._vectors
            self._vectors = more
        derived.vectors = self._vectors[:number]
        return derived

    def _order(self, alive: np.ndarray, created: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the living rows of all sources in reading order, and where a context ends."""
        sources: dict[str, int] = {}
        keys = [
            (sources.setdefault(line.source, len(sources)), line.position, line.seq, row)
            for row, line in enumerate(self.lines)
            if line.source is not None and alive[row]
        ]
        keys.sort()
        if not keys:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
        table = np.array(keys, dtype=np.int64)
        order = table[:, 3]
        steps = np.diff(table, axis=0)
        cut = (steps[:, 0] != 0) | (steps[:, 1] > _FAR)
        cut |= np.abs(np.diff(created[order])) > _EPISODE
        return order, cut


class Derived:
    """Arrays over the rows of a corpus, with one extra entry at the end that stands for "no row"."""

    vectors: np.ndarray
    mean_length: float

    def __init__(
        self,
        alive: np.ndarray,
        beside: list[np.ndarray],
        created: np.ndarray,
        asks: np.ndarray,
        lengths: np.ndarray,
    ) -> None:
        self.alive = alive
        self.beside = beside
        self.created = created
        self.asks = asks
        self.lengths = lengths
        self._around: np.ndarray | None = None

    def spread(self, own: np.ndarray) -> np.ndarray:
        """Return the weighted sum of *own* over each row and its neighbours; *own* ends with 0."""
        total = WEIGHTS[0] * own
        for distance in range(1, REACH + 1):
            before, after = self.beside[2 * distance - 2], self.beside[2 * distance - 1]
            total += WEIGHTS[distance] * (own[before] + own[after])
        return total

    def around(self) -> np.ndarray:
        """Return a unit vector of each row's context: what a short line means, its neighbours say."""
        if self._around is None:
            number, dimension = self.vectors.shape
            own = np.zeros((number + 1, dimension), dtype=np.float32)
            own[:number] = self.vectors * self.alive[:number, None]
            total = WEIGHTS[0] * own
            for distance in range(1, REACH + 1):
                for beside in self.beside[2 * distance - 2 : 2 * distance]:
                    total += WEIGHTS[distance] * own[beside]
            lengths = np.linalg.norm(total, axis=1, keepdims=True)
            self._around = (total / np.maximum(lengths, 1e-9))[:number]
        return self._around

    def in_context(self, own: np.ndarray) -> np.ndarray:
        """Return counts of words as `spread` does, where a question lends its words to the answer."""
        before = self.beside[0]
        return self.spread(own) + (WEIGHTS[0] - WEIGHTS[1]) * (own * self.asks)[before]


def _beside(order: np.ndarray, cut: np.ndarray, number: int) -> list[np.ndarray]:
    """Return for each distance the row before and the row after each row, *number* where none is."""
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


def _post(postings: Postings, row: int, words: list[str]) -> None:
    for word, times in Counter(words).items():
        entry = postings.get(word)
        if entry is None:
            entry = postings[word] = (array("i"), array("f"))
        entry[0].append(row)
        entry[1].append(times)
