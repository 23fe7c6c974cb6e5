"""The formulae of docs/explanation/memory.md, computed by hand, are what ranks passages."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from letta_kernel.memory import scoring, terms
from letta_kernel.memory.corpus import Corpus, words_of
from letta_kernel.store.indexes import Line

DAY = datetime(2026, 3, 3, 9, tzinfo=UTC)
TEXTS = [
    "The lamp of the lighthouse failed yesterday.",
    "A spare fuse lay in the red box.",
    "Mira: the fuse burnt through at seven!",
    "Where is the lamp?",
    "Fog, all day long, and a lamp that nobody sees.",
]
QUESTION = "When did Mira change the fuse of the lamp on 3 March?"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    lines = [
        Line(f"line-{i}", i + 1, text, DAY + timedelta(minutes=i), (), "log", i, "")
        for i, text in enumerate(TEXTS)
    ]
    made = Corpus()
    made.add(lines, _unit(np.random.default_rng(3).normal(size=(len(TEXTS), 8))))
    return made


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def test_what_the_page_says_is_what_is_computed(corpus: Corpus) -> None:
    vector = _unit(np.random.default_rng(4).normal(size=8))
    asked = scoring.query(QUESTION, vector)
    found = scoring.score(asked, corpus, np.ones(len(TEXTS), bool))
    number = len(TEXTS)
    stems = [words_of(text) for text in TEXTS]
    length = np.array([len(one) + 4 for one in stems], float)  # with the four words of its day
    weight = {0: 2.0, 1: 1.0, 2: 0.5, 3: 0.25}
    near = [
        [(m, weight[abs(m - at)]) for m in range(number) if abs(m - at) <= 3]
        for at in range(number)
    ]

    def times(word: str, at: int) -> float:
        norm = 0.5 + 0.5 * length / length.mean()
        lent = sum(w * stems[m].count(word) / norm[m] for m, w in near[at])
        return lent + (word in terms.date_terms(DAY))

    t = {q: np.array([times(q, at) for at in range(number)]) for q in asked.words}
    share = {q: t[q] / (t[q] + 1.2) for q in t}
    having = {q: np.count_nonzero(t[q]) for q in t}
    rarity = {q: math.log(1 + (number - n + 0.5) / (n + 0.5)) for q, n in having.items()}
    points = sum(rarity[q] * share[q] for q in t)

    own = corpus.derived().vectors
    around = _unit(np.array([sum(w * own[m] for m, w in one) for one in near]))
    added = [sum(w * len(stems[m]) for m, w in near[at]) + 4 for at in range(number)]
    trust = np.clip(np.sqrt(np.array(added) / 120), 0.3, 2)
    like, like_around = own @ vector, around @ vector
    meaning = trust * (
        0.03 * (like - like.mean()) / like.std()
        + 0.07 * (like_around - like_around.mean()) / like_around.std()
    )
    asks = np.array([text.endswith("?") for text in TEXTS])
    rank = points / points.max() + meaning - 0.2 * asks * np.minimum(1, 15 / length)
    rank += 0.4 * np.array([text.startswith("Mira:") for text in TEXTS])
    has_time = np.array(["?time" in one for one in stems])
    rank += 0.3 * has_time * np.minimum(1, 30 / length) * np.clip(rank, 0, 1)
    assert found.rank == pytest.approx(rank, abs=1e-4)

    rarest = math.log(1 + (number + 0.5) / 0.5)
    worth = {q: max(rarity[q] / rarest, 0 if q in terms.COMMON else 0.5) for q in t}
    covered = sum(worth[q] * np.minimum(1, 1.6 * share[q]) for q in t)
    by_words = np.minimum(1, covered / (sum(worth.values()) + 0.4))
    by_meaning = np.clip(like, 0, 1)  # of unrelated texts 0, by this embedder
    expected = by_words + by_meaning - by_words * by_meaning
    assert found.relevance == pytest.approx(expected, abs=1e-4)
    assert 0 < has_time.sum() < number
    assert max(rank) != min(rank)
