"""How well lines answer a query: words in context, who speaks, and what a text means.

One configuration for all corpora. The weights were chosen on half of each of LoCoMo (talks of friends),
BEAM-100K (chats with an assistant) and MemDaily (notes in Chinese): a value stays if it helps one and
harms none; where a comment names a corpus, it does nothing to the others. docs/explanation/search.md says what
each does (`benchmarks/memory.py --ablate`). Words weigh most, because a static vector of a whole line blurs
what a rare word says exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from letta_kernel.memory import question_type, roles, terms
from letta_kernel.memory.corpus import Corpus
from letta_kernel.memory.line_context import Rows
from letta_kernel.memory.vectors import alike
from letta_kernel.models.base import EmbedderKind

_SATURATION = 1.2  # k1 of BM25: how soon a repeated word stops to count (MemDaily: 0.8 costs 5)
SPEAKER = 0.4  # for a line said by someone the query names (LoCoMo)
_ROLE = (
    0.25  # against the other's lines, where a query asks for the user's or the assistant's (BEAM)
)
ASKS = 0.2  # against a line that only asks (LoCoMo, BEAM)
_ANSWERS = (
    0.3  # for a full match that has what is asked for, a time say; for others as they rank (both)
)
_SHORT = 15.0  # words; in a longer line it counts less that it only asks (BEAM)
_LITTLE = 30.0  # words; in a longer line it counts less what it offers (BEAM)
_ENOUGH = 120.0  # words whose mean vector is trusted as it is (BEAM: 60 and 240 do the same)
_TRUST = (0.3, 2.0)  # how little and how much others are (BEAM; takes 0.2 from LoCoMo)
_FULL = 1.6  # times the share of a line that has a word once: a full match
_LEADING = 60  # rows, best by their words, whose likeness is computed where that is costly
_MANY = 8  # if one row in so many has a word, it is weighed in all rows at once
_KEPT = 4_000_000  # shares of recent query words that are cached, counted in rows
_FEW_LINES = 4  # from which one learns what is usual
_FEW_WORDS = 16  # words kept at least


MEANING: dict[EmbedderKind, tuple[float, float]] = {
    "static": (0.03, 0.07),
    # On LoCoMo 26, BEAM 1 and MemDaily's conditional questions, any@10: 86.7 → 88.7, 87.5 → 100, 94 → 96.
    "small": (0.1, 0.2),
    "remote": (0.0, 0.12),  # not measured
}
"""What a standard deviation of likeness above the mean counts, by what made the vectors: for a line by itself,
and for a line in its context. A model's vectors count beside the static ones."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its words and its vector."""

    text: str
    words: list[str]  # stems
    vector: np.ndarray | None
    kind: EmbedderKind
    role: int
    wants: str  # the mark of the kind of thing it asks for
    unrelated: float | None  # see `query`


PARTS = ("words", "context", "meaning", "time", "speaker", "question")
"""What makes a line's rank: its own words; words and meaning of the lines around it; its own meaning; that it
has what is asked for, a time say; who says it; that it only asks, which counts against it."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One entry per row: ``rank`` orders them, ``relevance`` says from 0 to 1 how much they match.

    ``parts`` gives for some rows what each of `PARTS` adds to their rank, one row of numbers for each.
    """

    rank: np.ndarray
    relevance: np.ndarray
    parts: Callable[[np.ndarray], np.ndarray]


def query(
    text: str,
    vector: np.ndarray | None,
    kind: EmbedderKind = "static",
    unrelated: float | None = 0.0,
) -> Query:
    """Return *text* as a query.

    Parameters
    ----------
    vector
        Its unit vector, None if there is none to be had.
    kind
        What made it; static vectors know no word order, and few scripts.
    unrelated
        The similarity of texts that have nothing to do with each other; None if that is not known.
    """
    words = list(dict.fromkeys(terms.terms(text)))
    if kind == "static" and terms.unspaced(text):
        vector = None
    role, wants = roles.asked_for(text), question_type.asked_for(text)
    return Query(text, words, vector, kind, role, wants, unrelated)


@dataclass(frozen=True, slots=True)
class Background:
    """What is usual among all lines, when a corpus holds only a selection of them.

    Parameters
    ----------
    sample
        Some hundreds of lines or more, with their neighbours, as they come.
    living
        How many lines there are in all.
    having
        How many of them have a word in their context, where that is known exactly.
    mean_length
        Of all lines, in words; that of the sample if not given.
    """

    sample: Corpus
    living: int
    having: Mapping[str, int] = field(default_factory=dict)
    mean_length: float | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike to a query rows are in meaning, by themselves and in their context; 0 is not known."""

    rows: Rows
    own: np.ndarray
    around: np.ndarray
    usual: tuple[np.ndarray, np.ndarray]  # the same two of lines as they come


@dataclass(frozen=True, slots=True)
class ModelLikeness:
    """How alike rows are by a model's vectors, where others have only static ones."""

    kind: EmbedderKind
    rows: np.ndarray
    similarity: np.ndarray
    unrelated: float | None  # see `query`


def score(
    asked: Query,
    corpus: Corpus,
    allowed: np.ndarray,
    background: Background | None = None,
    likeness: Callable[[np.ndarray], Likeness | None] | None = None,
    by_model: ModelLikeness | None = None,
) -> Scores:
    """Score every row of *corpus*.

    Parameters
    ----------
    allowed
        Which rows may be found; only these set the scale.
    background
        Says how rare words and likeness are, if *corpus* cannot: it has all lines if not given.
    likeness
        Stands for vectors the corpus lacks: it is given the rows that lead by their words, and returns
        what is known of these and of the most alike ones.
    by_model
        Likeness by a model's vectors, of the rows that have them; it counts beside *likeness*.
    """
    derived = corpus.derived()
    words = _words(asked, corpus, background)
    top = float((words.points * allowed).max(initial=0.0))
    own_lengths = derived.own_lengths[:-1]
    rank = -ASKS * derived.asks[:-1] * np.minimum(1.0, _SHORT / own_lengths)
    parts = _Parts(asked, corpus, background, top)
    if top > 0:
        rank += words.points / top
    if likeness is None:
        near: Likeness | None = _likeness(asked, corpus, background)
    else:
        near = likeness(best(words.points, allowed, _LEADING))
    if near is not None:
        lengths = derived.lengths[:-1][near.rows]
        trust = np.clip(np.sqrt(lengths / _ENOUGH), *_TRUST) if asked.kind == "static" else 1.0
        rank[near.rows] += parts.meant(near.rows, trust, asked.kind, near)
    modelled = None if by_model is None else _in_context(by_model, corpus)
    if by_model is not None and modelled is not None:
        rank += parts.meant(modelled.rows, 1.0, by_model.kind, modelled)
    said_by = named(asked.text, corpus.speakers())
    if said_by:
        rank += parts.add("speaker", SPEAKER * corpus.said_by(said_by))
    if asked.role:
        # Only the other speaker's lines lose: whose the unattributed lines are is not known.
        rank += parts.add("speaker", -_ROLE * (corpus.roles() == 3 - asked.role))
    if asked.wants:
        most = question_type.MANY_NAMES if asked.wants == question_type.NAME else 1
        wanted = np.minimum(1.0, corpus.has(asked.wants) / most)
        wanted = wanted * np.minimum(1.0, _LITTLE / own_lengths)
        rank += parts.add("time", _ANSWERS * wanted * np.clip(rank, 0.0, 1.0))
    relevance = words.covered
    if near is not None:  # as if either could make it relevant
        covered, like = relevance[near.rows], _related(near, asked.unrelated)
        relevance[near.rows] = covered + like - covered * like
    if by_model is not None and modelled is not None:
        like = _related(modelled, by_model.unrelated)
        relevance += like - relevance * like
    return Scores(rank, relevance, parts.of)


def _related(near: Likeness, unrelated: float | None) -> np.ndarray:
    """Return from 0 to 1 how much more alike rows are to a query than unrelated texts."""
    if unrelated is None:
        # As far above the middle of all lines as the lower quarter is below it, for few are related.
        usual = near.usual[0][near.usual[0] != 0]
        low, middle = np.quantile(usual, (0.25, 0.5)) if len(usual) >= _FEW_LINES else (0.0, 0.0)
        unrelated = min(0.99, max(0.0, float(2 * middle - low)))
    found: np.ndarray = np.clip((near.own - unrelated) / (1.0 - unrelated), 0, 1)
    return found


def _meant(kind: EmbedderKind, near: Likeness) -> list[np.ndarray]:
    """Return what likeness adds to the rank of its rows: their own, and that of their context."""
    parts = zip(MEANING[kind], (near.own, near.around), near.usual, strict=True)
    return [
        # Where no vector is known yet, likeness says nothing for or against.
        np.where(found != 0, weight * _standard(found, usual), 0).astype(np.float32)
        for weight, found, usual in parts
    ]


class _Parts:
    """What was added to ranks, to be told apart for those few rows that somebody asks about."""

    def __init__(
        self, asked: Query, corpus: Corpus, background: Background | None, top: float
    ) -> None:
        self._asked, self._corpus, self._background = asked, corpus, background
        self._top = top
        self._added: list[tuple[str, Rows, np.ndarray]] = []

    def add(self, name: str, added: np.ndarray, rows: Rows = slice(None)) -> np.ndarray:
        """Note what is added to the ranks of *rows*, and return it."""
        self._added.append((name, rows, added))
        return added

    def meant(
        self, rows: Rows, trust: np.ndarray | float, kind: EmbedderKind, near: Likeness
    ) -> np.ndarray:
        """Note what likeness adds, and return it."""
        own, around = _meant(kind, near)
        self.add("meaning", trust * own, rows)
        self.add("context", trust * around, rows)
        summed: np.ndarray = trust * (own + around)
        return summed

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return what each of `PARTS` adds to the rank of these rows, one line of numbers for each row."""
        found = np.zeros((len(rows), len(PARTS)), dtype=np.float32)
        derived = self._corpus.derived()
        asking = ASKS * derived.asks[rows] * np.minimum(1.0, _SHORT / derived.own_lengths[rows])
        found[:, PARTS.index("question")] = -asking
        for name, some, added in self._added:
            found[:, PARTS.index(name)] += _at(some, added, rows)
        for word in self._asked.words if self._top > 0 else ():
            some, shares, rarity = _word(word, self._corpus, self._background)
            whole = rarity * _at(some, shares, rows, ascending=True) / self._top
            times = self._corpus.own_words(word, rows, self._mean_length)
            own = np.minimum(rarity * times / (times + _SATURATION) / self._top, whole)
            found[:, 0] += own
            found[:, 1] += whole - own
        return found

    @property
    def _mean_length(self) -> float | None:
        background = self._background
        if background is None:
            return None
        return background.mean_length or background.sample.derived().mean_length


def _at(some: Rows, values: np.ndarray, rows: np.ndarray, *, ascending: bool = False) -> np.ndarray:
    """Return which of *values*, those of *some* rows, *rows* have; 0 for others."""
    if isinstance(some, slice):
        return values[rows]
    if not len(some):
        return np.zeros(len(rows), dtype=np.float32)
    order = None if ascending else np.argsort(some)
    at = np.minimum(np.searchsorted(some, rows, sorter=order), len(some) - 1)
    at = at if order is None else order[at]
    found: np.ndarray = np.where(some[at] == rows, values[at], 0.0)
    return found


def _in_context(by_model: ModelLikeness, corpus: Corpus) -> Likeness | None:
    """Return the likeness of all rows; that of a context is the mean of its lines'."""
    derived = corpus.derived()
    own, known = np.zeros((2, len(corpus.ids) + 1), dtype=np.float32)
    own[by_model.rows], known[by_model.rows] = by_model.similarity, 1.0
    own, known = own * derived.alive, known * derived.alive
    if not known.any():
        return None
    around = derived.in_context(own) / np.maximum(derived.in_context(known), 1e-9)
    own, around = own[:-1], around[:-1]
    return Likeness(slice(None), own, around, (own[own != 0], around[around != 0]))


def best(values: np.ndarray, allowed: np.ndarray, number: int) -> np.ndarray:
    """Return the *allowed* rows of the highest *values*, some *number*, in no order."""
    top = float(values.max(initial=0.0))
    rows = np.flatnonzero(allowed & (values > 0.3 * top))  # few: partitioning all takes longer
    if len(rows) < number:
        rows = np.flatnonzero(allowed)
    if len(rows) > number:
        rows = rows[np.argpartition(-values[rows], number - 1)[:number]]
    return rows


def _likeness(asked: Query, corpus: Corpus, background: Background | None) -> Likeness | None:
    """Return how alike every row is, by the vectors the corpus has."""
    found = _by_vectors(asked, corpus)
    if found is None:
        return None
    usual = found if background is None else _by_vectors(asked, background.sample)
    if usual is None:
        return None
    own, around = usual
    return Likeness(slice(None), *found, (own[own != 0], around[around != 0]))


def _by_vectors(asked: Query, corpus: Corpus) -> tuple[np.ndarray, np.ndarray] | None:
    derived = corpus.derived()
    if asked.vector is None or derived.vectors.shape[1] != len(asked.vector):
        return None
    own = np.zeros(len(corpus.ids), dtype=np.float32)
    own[derived.vector_rows] = alike(derived.vectors, asked.vector)
    return own, alike(derived.around(), asked.vector)


@dataclass(slots=True)
class _Words:
    """What a query's words give to each row."""

    points: np.ndarray  # BM25 over the row in its context
    covered: np.ndarray  # from 0 to 1, how much of what the query asks for the row has


def _words(asked: Query, corpus: Corpus, background: Background | None) -> _Words:
    number = len(corpus.ids)
    living = len(corpus) if background is None else background.living
    rarest = _rarity(0.0, living)
    found = _Words(np.zeros(number, np.float32), np.zeros(number, np.float32))
    worth_of_all = 0.0
    for word in asked.words:
        rows, shares, rarity = _word(word, corpus, background)
        points = rarity * shares
        worth = terms.telling(word, rarity / rarest)
        worth_of_all += worth
        found.points[rows] += points
        found.covered[rows] += worth * np.minimum(1.0, _FULL * shares)
    # In a script without spaces a query has many pairs of characters, and one apt one is enough.
    enough = 1.0 if terms.unspaced(asked.text) else worth_of_all
    # Common words alone say little, however completely they match.
    found.covered /= min(worth_of_all, enough) + 0.4
    np.minimum(found.covered, 1.0, out=found.covered)
    return found


def _word(
    word: str, corpus: Corpus, background: Background | None
) -> tuple[Rows, np.ndarray, float]:
    """Return the rows that have a word, how much of its worth each gets, below 1, and how rare it is."""
    if background is not None:
        return _new_word(word, corpus, background)
    kept = corpus.derived().weighed
    if word in kept:
        kept.move_to_end(word)
    else:
        kept[word] = _new_word(word, corpus, None)
        while len(kept) > max(_FEW_WORDS, _KEPT // (len(corpus.ids) + 1)):
            kept.popitem(last=False)
    return kept[word]


def _new_word(
    word: str, corpus: Corpus, background: Background | None
) -> tuple[Rows, np.ndarray, float]:
    mean_length = None
    if background is not None:
        mean_length = background.mean_length or background.sample.derived().mean_length
    times = corpus.words(word, mean_length)
    having_it = np.flatnonzero(times != 0)  # of truths, which is quicker than of numbers
    having, living = float(len(having_it)), len(corpus)
    if background is not None:
        living = background.living
        if word in background.having:
            having = float(background.having[word])
        else:
            sample = background.sample
            share = np.count_nonzero(sample.words(word)) / max(1, len(sample))
            having = min(living, max(having, share * living))
    # Going over all rows is quicker than picking many.
    rows: Rows = having_it if having * _MANY < len(times) else slice(0, len(corpus.ids))
    times = times[rows]
    return rows, times / (times + _SATURATION), _rarity(having, living)


def points(times: np.ndarray, having: int, living: int) -> np.ndarray:
    """Return a word's points for lines that have it *times* times; *having* of the *living* lines have it."""
    found: np.ndarray = _rarity(having, living) * times / (times + _SATURATION)
    return found


def _rarity(having: float, living: int) -> float:
    return math.log(1.0 + (living - having + 0.5) / (having + 0.5))


def _standard(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return *values* in standard deviations above the mean of what is usual."""
    if len(usual) < 2:
        return values
    return (values - usual.mean()) / max(float(usual.std()), 1e-6)


def named(text: str, speakers: list[str]) -> list[str]:
    """Return the speakers all of whose names' words stand in *text*."""
    said = set(terms.names(text))
    return [who for who in speakers if said.issuperset(terms.names(who))]
