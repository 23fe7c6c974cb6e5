"""Search of thousands of lines that no index has yet: it scans them for the query's words.

Reading every word and vector of 30,000 lines takes seconds, and the index will have them soon. Here the
query's terms are counted exactly in all lines, so that rarity, neighbours and order are those of a full
search; other words are counted, and lines embedded, only of lines that lead and of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from letta_kernel.memory import scoring, terms
from letta_kernel.memory.corpus import Corpus, words_of
from letta_kernel.memory.filter import Filter
from letta_kernel.memory.line_context import LENGTH, Derived, neighbours
from letta_kernel.memory.vectors import Vectors, alike
from letta_kernel.store import indexes
from letta_kernel.store.database import Database
from letta_kernel.store.indexes import Kind

_AT_ONCE = 5000  # lines folded and scanned together
_BETWEEN = "\x1e"  # lines; no letter, so no word reaches across
_LEADING = 150  # lines that lead by their words and are looked at whole, at least
_TIMES = 4  # as many, for so many hits
_NEAR = 1000  # lines that may come to lead by who speaks
_RUNS, _RUN = 8, 40  # runs of neighbouring lines from which one learns what is usual
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x9FFF),
    (0xF900, 0xFAFF),
)


@dataclass(slots=True)
class _Lines:
    """What a scan knows of all lines; arrays have an entry per row, those of `Derived` one more."""

    seqs: np.ndarray
    texts: list[str]
    days: np.ndarray  # since 1970
    derived: Derived
    counts: dict[str, np.ndarray]  # how often each term stands in each line
    found: np.ndarray  # which may be found
    order: np.ndarray  # living rows in reading order

    @property
    def living(self) -> int:
        """How many lines there are."""
        return len(self.order)

    def around(self, rows: np.ndarray) -> np.ndarray:
        """Return *rows* and their neighbours."""
        near = np.unique(np.concatenate([rows, *(side[rows] for side in self.derived.neighbours)]))
        return near[near < len(self.texts)]

    def sample(self) -> np.ndarray:
        """Return rows as they come, in some runs of neighbours."""
        if self.living <= _RUNS * _RUN:
            return self.order
        starts = np.linspace(0, self.living - _RUN, _RUNS).astype(np.int64)
        return np.unique(self.order[(starts[:, None] + np.arange(_RUN)).ravel()])


def search(
    database: Database,
    kind: Kind,
    agent_id: str,
    asked: scoring.Query,
    vectors: Vectors,
    hits: int,
    allow: Filter,
) -> tuple[Corpus, scoring.Scores, np.ndarray]:
    """Return the lines that lead, scored, and which of these may be found: enough for so many *hits*.

    Parameters
    ----------
    vectors
        Quick ones; lines that only their meaning would find may be missing.

    Raises
    ------
    StoreError
        The project folder cannot be read.
    """
    columns = database.run(
        lambda tx: indexes.columns(
            tx, kind, agent_id, allow.tags, allow.match, sorted(allow.without), allow.scope
        )
    )
    lines = _scanned(kind, columns, asked.words)
    created = columns["created"]
    if allow.start is not None:
        lines.found &= created >= round(allow.start.timestamp() * 1e6)
    if allow.end is not None:
        lines.found &= created < round(allow.end.timestamp() * 1e6)
    background = _background(lines)
    leading = _leading(lines, asked, background, max(_LEADING, _TIMES * hits))
    wanted = lines.seqs[lines.around(leading)].tolist()
    corpus = Corpus(kind)
    row_of: dict[int, int] = {}
    stems = frozenset([*asked.words, asked.wants])
    for line in database.run(lambda tx: indexes.of_seqs(tx, kind, agent_id, wanted)):
        row_of[line.seq] = len(corpus.ids)
        text = line.text
        corpus.append(line, words_of(text), terms.speaker(text), terms.asks(text), stems)
    kept = [row for row in leading.tolist() if int(lines.seqs[row]) in row_of]
    rows = np.array([row_of[int(lines.seqs[row])] for row in kept], dtype=np.int64)
    near = _likeness(lines, np.array(kept, dtype=np.int64), rows, asked, vectors)
    allowed = np.zeros(len(corpus.ids), dtype=bool)
    allowed[rows] = True
    scores = scoring.score(asked, corpus, allowed, background, likeness=lambda _: near)
    return corpus, scores, allowed


def _scanned(kind: Kind, columns: dict[str, np.ndarray], words: Sequence[str]) -> _Lines:
    texts = columns["content"].tolist()
    if kind == "messages":
        calling = np.flatnonzero(columns["calls"] != "[]").tolist()
        for row in calling:
            texts[row] = indexes.said(texts[row], columns["calls"][row])
    number = len(texts)
    alive = np.ones(number + 1, dtype=np.float32)
    alive[-1] = 0.0
    if kind == "messages":
        alive[:number] = np.array([bool(text) for text in texts])
    created, seqs, positions = columns["created"], columns["seq"], columns["position"]
    sources = columns["source"]
    living = alive[:-1] > 0
    around = neighbours(sources, positions, seqs, created / 1e6, living & (sources >= 0))
    derived = Derived(alive, around, np.zeros(number + 1, dtype=np.float32))
    counts = {word: np.zeros(number, dtype=np.float32) for word in words}
    sizes = np.ones((number, 3), dtype=np.float32)
    for first in range(0, number, _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        whole, starts = _folded(texts[part])
        sizes[part, 1:] = _sizes(whole, starts)
        for word in words:
            at = np.searchsorted(starts, terms.places(whole, word), "right") - 1
            counts[word][part] = np.bincount(at, minlength=len(starts))
    order = np.lexsort((seqs, positions, sources))
    lines = _Lines(
        seqs,
        texts,
        created // 86_400_000_000,
        derived,
        counts,
        columns["found"].astype(bool) & living,
        order[living[order]],
    )
    _measure(lines, sizes)
    return lines


def _folded(texts: list[str]) -> tuple[str, np.ndarray]:
    """Return *texts* folded, in one, and where each begins."""
    texts = [text[: terms.MOST_CHARACTERS] for text in texts]
    whole = _BETWEEN.join(texts)
    if whole.count(_BETWEEN) != len(texts) - 1:
        whole = _BETWEEN.join([text.replace(_BETWEEN, " ") for text in texts])
    whole = terms.fold(whole) + _BETWEEN
    ends = np.flatnonzero(_codes(whole) == ord(_BETWEEN))
    return whole, np.concatenate([[0], ends[:-1] + 1])


def _codes(text: str) -> np.ndarray:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _sizes(whole: str, starts: np.ndarray) -> np.ndarray:
    """Return the spaces of each line, and its characters of scripts without spaces: about its length."""
    codes = _codes(whole)
    spaces = np.add.reduceat(codes == ord(" "), starts, dtype=np.float32)
    characters = np.zeros(len(starts), dtype=np.float32)
    if codes.dtype != np.uint8:
        at = np.flatnonzero(codes >= _UNSPACED[0][0])
        high = codes[at]
        inside = high >= 0x20000
        for first, last in _UNSPACED:
            inside |= (high >= first) & (high <= last)
        row = np.searchsorted(starts, at[inside], "right") - 1
        characters = np.bincount(row, minlength=len(starts)).astype(np.float32)
    return np.stack([spaces, characters], axis=1)


def _measure(lines: _Lines, sizes: np.ndarray) -> None:
    """Estimate how many words each line has, by those of a sample."""
    rows = lines.sample()
    exact = np.array([len(words_of(lines.texts[row])) for row in rows.tolist()], dtype=np.float32)
    lengths = np.zeros(len(sizes), dtype=np.float32)
    if len(rows):
        lengths = sizes @ np.linalg.lstsq(sizes[rows], exact, rcond=None)[0]
    alive = lines.derived.alive[:-1]
    own = np.maximum(lengths, 1.0) + np.float32(terms.DATE_LENGTH)
    lines.derived.own_lengths = own
    lines.derived.mean_length = max(1.0, float((own * alive).sum()) / max(1, lines.living))


def _background(lines: _Lines) -> scoring.Background:
    """Count the lines that have each word in their context, and put those counts into *lines*."""
    derived = lines.derived
    norm = 1.0 - LENGTH + LENGTH * derived.own_lengths / derived.mean_length
    having = {}
    for word, counts in lines.counts.items():
        total = np.zeros(len(derived.alive), dtype=np.float32)
        rows = np.flatnonzero(counts * derived.alive[:-1])
        derived.spread(total, rows, counts[rows] / norm[rows])
        if word in terms.DATE_STEMS:
            for day in np.unique(lines.days).tolist():
                if word in terms.date_terms(datetime.fromtimestamp(day * 86_400, UTC)):
                    total[:-1] += (lines.days == day) * derived.alive[:-1]
        lines.counts[word] = total[:-1]
        having[word] = int(np.count_nonzero(total[:-1]))
    return scoring.Background(Corpus(), lines.living, having, derived.mean_length)


def _leading(
    lines: _Lines, asked: scoring.Query, background: scoring.Background, number: int
) -> np.ndarray:
    """Return the rows that may be found and lead, some *number*, by their words and by who speaks."""
    points = np.zeros(len(lines.texts), dtype=np.float32)
    for word, times in lines.counts.items():
        points += scoring.points(times, background.having[word], background.living)
    near = scoring.best(points, lines.found, _NEAR)
    if len(near) <= number:
        return near
    texts = [lines.texts[row] for row in near.tolist()]
    rank = points[near] / max(1e-9, float(points[near].max()))
    rank -= scoring.ASKS * np.array([terms.asks(text) for text in texts])
    speakers = [terms.speaker(text) for text in texts]
    named = scoring.named(asked.text, list(set(filter(None, speakers))))
    rank += scoring.SPEAKER * np.array([who in named for who in speakers])
    leading: np.ndarray = near[np.argpartition(-rank, number - 1)[:number]]
    return leading


def _likeness(
    lines: _Lines, leading: np.ndarray, rows: np.ndarray, asked: scoring.Query, vectors: Vectors
) -> scoring.Likeness | None:
    """Return how alike the *leading* lines are, which are *rows* where they are scored."""
    sample = lines.sample()
    if asked.vector is None or not len(leading) or not len(sample):
        return None
    needed = lines.around(np.concatenate([leading, sample]))
    made = vectors.if_possible([lines.texts[row] for row in needed.tolist()])
    if made is None or made.shape[1] != len(asked.vector):
        return None
    made = np.concatenate([made, np.zeros((1, made.shape[1]), dtype=np.float32)])
    places = np.full(len(lines.derived.alive), len(needed))
    places[needed] = np.arange(len(needed))

    def at(rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = made[places[rows]]
        return found

    found, usual = (
        (alike(at(some), asked.vector), alike(lines.derived.context(some, at), asked.vector))
        for some in (leading, sample)
    )
    return scoring.Likeness(rows, *found, usual)
