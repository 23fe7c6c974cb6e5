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

_SATURATION = 1.2  # k1 of BM25: how soon a repeated word stops to count
_LENGTH = 0.3  # b of BM25: how much a long context is held against a line
_SPEAKER = 0.4  # for a line said by someone the query names
_ASKS = 0.2  # against a line that only asks
_MEANING = 0.035  # per standard deviation of similarity above the mean


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its words and its vector."""

    text: str
    words: tuple[str, ...]
    vector: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Scores:
    """One entry per row: ``rank`` orders them, ``relevance`` says from 0 to 1 how much they match."""

    rank: np.ndarray
    relevance: np.ndarray


def query(text: str, vector: np.ndarray | None) -> Query:
    """Return *text* as a query; its *vector* is of unit length, None if there is none to be had."""
    return Query(text, tuple(dict.fromkeys(terms.terms(text))), vector)


def score(asked: Query, corpus: Corpus, allowed: np.ndarray) -> Scores:
    """Score every row of *corpus*; *allowed* says which rows may be found, and only these set scales."""
    derived = corpus.derived()
    number = len(corpus.lines)
    words, ideal = _words(asked, corpus)
    top = float(words[allowed].max(initial=0.0))
    similarity = np.zeros(number, dtype=np.float32)
    if asked.vector is not None and derived.vectors.shape[1] == len(asked.vector):
        similarity = derived.vectors @ asked.vector
    rank = words / top if top > 0 else np.zeros(number, dtype=np.float32)
    rank = rank + _MEANING * _standard(similarity, derived.alive[:number] > 0)
    named = _named(asked.text, set(corpus.speakers))
    if named:
        rank += _SPEAKER * np.array([who in named for who in corpus.speakers], dtype=np.float32)
    rank -= _ASKS * derived.asks
    covered = np.clip(words / ideal if ideal > 0 else 0.0 * words, 0, 1)
    like = np.clip(similarity, 0, 1)
    relevance = covered + like - covered * like  # as if either could make it relevant
    return Scores(rank, relevance)


def _words(asked: Query, corpus: Corpus) -> tuple[np.ndarray, float]:
    """Return BM25 over each row in its context, and what a row with every word would get."""
    derived = corpus.derived()
    number = len(corpus.lines)
    total = np.zeros(number + 1, dtype=np.float32)
    ideal = 0.0
    living = len(corpus)
    norm = 1.0 - _LENGTH + _LENGTH * derived.lengths / derived.mean_length
    for word in asked.words:
        times = corpus.words(word)
        having = int(np.count_nonzero(times))
        rarity = math.log(1.0 + (living - having + 0.5) / (having + 0.5))
        ideal += rarity * (_SATURATION + 1.0)
        if having:
            total += rarity * times * (_SATURATION + 1.0) / (times + _SATURATION * norm)
    return total[:number], ideal


def _standard(values: np.ndarray, living: np.ndarray) -> np.ndarray:
    known = values[living]
    if len(known) < 2:
        return values
    return (values - known.mean()) / max(float(known.std()), 1e-6)


def _named(text: str, speakers: set[str]) -> set[str]:
    """Return the speakers all of whose names' words stand in *text*."""
    said = set(terms.names(text))
    return {who for who in speakers if who and said.issuperset(terms.names(who))}
