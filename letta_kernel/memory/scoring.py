"""How well lines answer a query: words in context, who speaks, and what a text means.

The weights were chosen on dialogues (benchmarks/locomo.py); words weigh most, because a static vector
of a whole line blurs what a rare word says exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from letta_kernel.memory import question_type, terms
from letta_kernel.memory.corpus import Corpus, Rows
from letta_kernel.memory.vectors import alike

_LIKE = 0.35  # cosine, after centring, from which on two words count as kin
_MOST = 4  # kin of one word that are looked for


class RelatedWords:
    """The words of one corpus as vectors.

    Parameters
    ----------
    embed
        Turns words into unit vectors; it is asked for thousands at once, so it must be quick.
    """

    def __init__(self, embed: Callable[[list[str]], np.ndarray]) -> None:
        self._embed = embed
        self._stems: list[str] = []
        self._known: set[str] = set()
        self._vectors: list[np.ndarray] = []
        self._centred: np.ndarray | None = None
        self._mean: np.ndarray | None = None

    def learn(self, surfaces: Mapping[str, str]) -> None:
        """Take up the words (stem to a word that has it) that are not known yet."""
        if len(surfaces) == len(self._known):
            return
        new = [stem for stem in surfaces if stem not in self._known]
        self._stems += new
        self._known.update(new)
        self._vectors.append(self._embed([surfaces[stem] for stem in new]))
        self._vectors = [np.concatenate(self._vectors)]
        # All words share a direction that says nothing; without it likeness is told apart better.
        self._mean = self._vectors[0].mean(axis=0)
        self._centred = _unit(self._vectors[0] - self._mean)

    def of(self, words: Mapping[str, str]) -> dict[str, list[tuple[str, float]]]:
        """Return for each word (stem to surface) the stems most like it and how like, best first."""
        if self._centred is None or not words:
            return {}
        asked = _unit(self._embed(list(words.values())) - self._mean)
        found = {}
        for stem, vector in zip(words, asked, strict=True):
            row = alike(self._centred, vector)
            many = min(_MOST + 1, len(row))
            best = np.argpartition(-row, many - 1)[:many]
            kin = [(self._stems[i], float(row[i])) for i in best[np.argsort(-row[best])]]
            found[stem] = [(k, s) for k, s in kin if k != stem and s >= _LIKE][:_MOST]
        return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


_SATURATION = 1.2  # k1 of BM25: how soon a repeated word stops to count
_LENGTH = 0.3  # b of BM25: how much a long context is held against a line
_SPEAKER = 0.4  # for a line said by someone the query names
_ASKS = 0.2  # against a line that only asks
_ANSWERS = 0.3  # for a full match that has what is asked for (a time, say); for others as they rank
_KIN = 0.25  # what a word that means something alike counts, times how alike it is
_MEANING = 0.07  # per standard deviation of similarity above the mean, for static vectors
_MEANING_OF_MODELS = 0.12  # and for those of a language model, which deserve more trust
_AROUND = 3.0  # the weights of a line's context, of which seldom all are alike to a query
_FULL = 1.6  # times the share that a line gets which has a word once is a full match
_MANY = 8  # a word that one row in so many has is weighed in all of them
_KEPT, _FEW_WORDS = (
    4_000_000,
    16,
)  # rows' shares of words asked for lately that are kept; words at least
_PARTIAL = 0.3  # of all the query's words: what counts as a full match at the least


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its words and its vector."""

    text: str
    words: dict[str, str]  # each stem, and the word as it was written
    vector: np.ndarray | None
    meaning: float  # weight of a standard deviation of likeness
    wants: question_type.Kinds  # the kind of thing it asks for


@dataclass(frozen=True, slots=True)
class Scores:
    """One entry per row: ``rank`` orders them, ``relevance`` says from 0 to 1 how much they match."""

    rank: np.ndarray
    relevance: np.ndarray


def query(text: str, vector: np.ndarray | None, static: bool = True) -> Query:
    """Return *text* as a query.

    Parameters
    ----------
    vector
        Its unit vector, None if there is none to be had.
    static
        Whether vectors are mere means of words' vectors, which know no word order.
    """
    words = {stem: word for word, stem in terms.words(text)}
    meaning = _MEANING if static else _MEANING_OF_MODELS
    return Query(text, words, vector, meaning, question_type.asked_for(text))


@dataclass(frozen=True, slots=True)
class Background:
    """What is usual among all lines, when a corpus holds only a selection of them.

    Parameters
    ----------
    sample
        Some hundreds of lines or more, with their neighbours, as they come.
    living
        How many lines there are in all.
    """

    sample: Corpus
    living: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike to a query some rows are in meaning, where the vectors of all rows are not at hand."""

    rows: np.ndarray
    similarity: np.ndarray
    usual: np.ndarray  # the similarity of lines as they come


def score(
    asked: Query,
    corpus: Corpus,
    allowed: np.ndarray,
    kinship: RelatedWords | None = None,
    background: Background | None = None,
    likeness: Callable[[], Likeness | None] | None = None,
) -> Scores:
    """Score every row of *corpus*.

    Parameters
    ----------
    allowed
        Which rows may be found; only these set the scale.
    kinship
        Knows which words mean something alike; without it only the words themselves count.
    background
        Says how rare words and likeness are, if *corpus* cannot: it has all lines if not given.
    likeness
        Waits for what stands for the vectors the corpus lacks; it is called once the words are done.
    """
    derived = corpus.derived()
    words = _words(asked, corpus, kinship, background)
    # A best row that has few of the words is no full match: then meaning decides more.
    top = max(float((words.points * allowed).max(initial=0.0)), _PARTIAL * words.most)
    spread = -_ASKS * derived.asks  # with an entry for "no row" at the end
    rank = spread[:-1]
    if top > 0:
        rank += words.points / top
    nearest = likeness() if likeness is not None else None
    if nearest is None:
        similarity, around = _likeness(asked, corpus)
        usual = around if background is None else _likeness(asked, background.sample)[1]
        # Where no vector is known yet, likeness says nothing for or against.
        rank += np.where(around != 0, asked.meaning * _standard(around, usual[usual != 0]), 0)
        rows: Rows = slice(None)
    else:
        rows = np.concatenate([derived.vector_rows, nearest.rows])
        similarity = np.concatenate([_own_likeness(asked, corpus), nearest.similarity])
        # What is not among the most alike counts as usual.
        standing = asked.meaning / _AROUND * _standard(similarity, nearest.usual)
        derived.spread(spread, rows, np.maximum(0.0, standing))
    named = _named(asked.text, corpus.speakers())
    if named:
        rank += _SPEAKER * corpus.said_by(named)
    if any(asked.wants):
        wanted = derived.offers @ np.array(asked.wants, dtype=np.float32)
        rank += _ANSWERS * wanted * np.clip(rank, 0.0, 1.0)
    relevance = words.covered
    covered, like = relevance[rows], np.clip(similarity, 0, 1)
    relevance[rows] = covered + like - covered * like  # as if either could make it relevant
    return Scores(rank, relevance)


def _likeness(asked: Query, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Return how alike in meaning each row is, and its context; 0 where no vector is known."""
    derived = corpus.derived()
    similarity = np.zeros(len(corpus.ids), dtype=np.float32)
    if asked.vector is None or derived.vectors.shape[1] != len(asked.vector):
        return similarity, similarity
    similarity[derived.vector_rows] = _own_likeness(asked, corpus)
    return similarity, alike(derived.around(), asked.vector)


def _own_likeness(asked: Query, corpus: Corpus) -> np.ndarray:
    derived = corpus.derived()
    if asked.vector is None or derived.vectors.shape[1] != len(asked.vector):
        return np.zeros(len(derived.vector_rows), dtype=np.float32)
    return alike(derived.vectors, asked.vector)


@dataclass(slots=True)
class _Words:
    """What a query's words give to each row."""

    points: np.ndarray  # BM25 over the row in its context
    most: float  # what a row with every word, often, would get
    covered: np.ndarray  # from 0 to 1, how much of what the query asks for the row has


def _words(
    asked: Query, corpus: Corpus, kinship: RelatedWords | None, background: Background | None
) -> _Words:
    number = len(corpus.ids)
    living = len(corpus) if background is None else background.living
    rarest = _rarity(0.0, living)
    found = _Words(np.zeros(number, np.float32), 0.0, np.zeros(number, np.float32))
    worth_of_all = 0.0
    kin = kinship.of(asked.words) if kinship is not None else {}
    for word in asked.words:
        rows, shares, rarity = _word(word, corpus, background)
        points = rarity * shares
        relatives = kin.get(word)
        if relatives:
            rows, shares, points = _with_kin(rows, shares, points, relatives, corpus, background)
        # Where all lines speak of one thing its name tells none from another, yet they are relevant.
        worth = max(rarity / rarest, 0.0 if word in terms.COMMON else 0.5)
        worth_of_all += worth
        found.points[rows] += points
        found.most += rarity
        found.covered[rows] += worth * np.minimum(1.0, _FULL * shares)
    # Common words alone say little, however completely they match.
    found.covered /= worth_of_all + 0.4
    return found


def _with_kin(
    rows: Rows,
    shares: np.ndarray,
    points: np.ndarray,
    relatives: list[tuple[str, float]],
    corpus: Corpus,
    background: Background | None,
) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Return rows, shares and points of a word where its kin count in its place if they count more."""
    all_shares = np.zeros(len(corpus.ids), np.float32)
    all_points = np.zeros(len(corpus.ids), np.float32)
    all_shares[rows], all_points[rows] = shares, points
    for other, likeness in relatives:
        places, its_shares, its_rarity = _word(other, corpus, background)
        worth = _KIN * likeness * its_shares
        all_points[places] = np.maximum(all_points[places], its_rarity * worth)
        all_shares[places] = np.maximum(all_shares[places], worth)
    rows = np.flatnonzero(all_shares != 0)
    return rows, all_shares[rows], all_points[rows]


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
    derived = corpus.derived()
    times = corpus.words(word)
    having_it = np.flatnonzero(times != 0)  # of truths, which is quicker than of numbers
    having, living = float(len(having_it)), len(corpus)
    mean_length = derived.mean_length
    if background is not None:
        sample = background.sample
        share = np.count_nonzero(sample.words(word)) / max(1, len(sample))
        living = background.living
        having = min(living, max(having, share * living))
        mean_length = sample.derived().mean_length
    # Going over all rows is quicker than picking many.
    rows: Rows = having_it if having * _MANY < len(times) else slice(0, len(corpus.ids))
    times = times[rows]
    norm = 1.0 - _LENGTH + _LENGTH * derived.lengths[rows] / mean_length
    return rows, times / (times + _SATURATION * norm), _rarity(having, living)


def _rarity(having: float, living: int) -> float:
    return math.log(1.0 + (living - having + 0.5) / (having + 0.5))


def _standard(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return *values* in standard deviations above the mean of what is usual."""
    if len(usual) < 2:
        return values
    return (values - usual.mean()) / max(float(usual.std()), 1e-6)


def _named(text: str, speakers: list[str]) -> list[str]:
    """Return the speakers all of whose names' words stand in *text*."""
    said = set(terms.names(text))
    return [who for who in speakers if said.issuperset(terms.names(who))]
