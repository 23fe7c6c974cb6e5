"""How well lines answer a query: words in context, who speaks, and what a text means.

The weights were chosen on dialogues (benchmarks/locomo.py); words weigh most, because a static vector
of a whole line blurs what a rare word says exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from letta_kernel.memory import terms
from letta_kernel.memory.corpus import Corpus
from letta_kernel.memory.kinship import Kinship
from letta_kernel.memory.vectors import alike

_SATURATION = 1.2  # k1 of BM25: how soon a repeated word stops to count
_LENGTH = 0.3  # b of BM25: how much a long context is held against a line
_SPEAKER = 0.4  # for a line said by someone the query names
_ASKS = 0.2  # against a line that only asks
_KIN = 0.25  # what a word that means something alike counts, times how alike it is
_MEANING = 0.07  # per standard deviation of similarity above the mean, for static vectors
_MEANING_OF_MODELS = 0.12  # and for those of a language model, which deserve more trust
_PARTIAL = 0.3  # of all the query's words: what counts as a full match at the least


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its words and its vector."""

    text: str
    words: dict[str, str]  # each stem, and the word as it was written
    vector: np.ndarray | None
    meaning: float  # weight of a standard deviation of likeness


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
    return Query(text, words, vector, _MEANING if static else _MEANING_OF_MODELS)


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


def score(
    asked: Query,
    corpus: Corpus,
    allowed: np.ndarray,
    kinship: Kinship | None = None,
    background: Background | None = None,
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
    """
    derived = corpus.derived()
    number = len(corpus.lines)
    words, ideal = _words(asked, corpus, kinship, background)
    # A best row that has few of the words is no full match: then meaning decides more.
    top = max(float(words[allowed].max(initial=0.0)), _PARTIAL * ideal)
    similarity, around = _likeness(asked, corpus)
    rank = words / top if top > 0 else np.zeros(number, dtype=np.float32)
    usual = around if background is None else _likeness(asked, background.sample)[1]
    rank = rank + asked.meaning * _standard(around, usual[usual != 0])
    named = _named(asked.text, set(corpus.speakers))
    if named:
        rank += _SPEAKER * np.array([who in named for who in corpus.speakers], dtype=np.float32)
    rank -= _ASKS * derived.asks[:number]
    # Common words alone say little, however completely they match: hence the half rare word more.
    living = len(corpus) if background is None else background.living
    rarest = math.log(1.0 + (living + 0.5) / 0.5) * (_SATURATION + 1.0)
    covered = np.clip(words / (ideal + 0.5 * rarest), 0, 1)
    like = np.clip(similarity, 0, 1)
    relevance = covered + like - covered * like  # as if either could make it relevant
    return Scores(rank, relevance)


def _likeness(asked: Query, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Return how alike in meaning each row is, and its context; 0 where no vector is known."""
    derived = corpus.derived()
    if asked.vector is None or derived.vectors.shape[1] != len(asked.vector):
        nothing = np.zeros(len(corpus.lines), dtype=np.float32)
        return nothing, nothing
    return alike(derived.vectors, asked.vector), alike(derived.around(), asked.vector)


def _words(
    asked: Query, corpus: Corpus, kinship: Kinship | None, background: Background | None
) -> tuple[np.ndarray, float]:
    """Return BM25 over each row in its context, and what a row with every word would get."""
    number = len(corpus.lines)
    total = np.zeros(number + 1, dtype=np.float32)
    ideal = 0.0
    kin = kinship.of(asked.words) if kinship is not None else {}
    for word in asked.words:
        points, best = _word(word, corpus, background)
        ideal += best
        for other, likeness in kin.get(word, ()):
            points = np.maximum(points, _KIN * likeness * _word(other, corpus, background)[0])
        total += points
    return total[:number], ideal


def _word(word: str, corpus: Corpus, background: Background | None) -> tuple[np.ndarray, float]:
    """Return what *word* gives to each row, and what it gives at most."""
    derived = corpus.derived()
    times = corpus.words(word)
    having, living = float(np.count_nonzero(times)), len(corpus)
    mean_length = derived.mean_length
    if background is not None:
        sample = background.sample
        share = np.count_nonzero(sample.words(word)) / max(1, len(sample))
        living = background.living
        having = min(living, max(having, share * living))
        mean_length = sample.derived().mean_length
    rarity = math.log(1.0 + (living - having + 0.5) / (having + 0.5))
    norm = 1.0 - _LENGTH + _LENGTH * derived.lengths / mean_length
    most = rarity * (_SATURATION + 1.0)
    return most * times / (times + _SATURATION * norm), most


def _standard(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return *values* in standard deviations above the mean of what is usual."""
    if len(usual) < 2:
        return values
    return (values - usual.mean()) / max(float(usual.std()), 1e-6)


def _named(text: str, speakers: set[str]) -> set[str]:
    """Return the speakers all of whose names' words stand in *text*."""
    said = set(terms.names(text))
    return {who for who in speakers if who and said.issuperset(terms.names(who))}
