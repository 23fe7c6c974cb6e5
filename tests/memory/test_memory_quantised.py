"""Vectors in a quarter of their size: what is nearest, compared with the whole vectors."""

import numpy as np
import pytest

from letta_kernel.memory.vectors import QuantisedVectors


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def lines(number, width, seed=0):
    """Vectors in clusters about a common direction, as those of texts are."""
    random = np.random.default_rng(seed)
    topics = random.normal(size=(40, width))
    own = random.normal(size=(number, width))
    return unit(topics[random.integers(0, 40, number)] + 0.7 * own + 0.5)


def quantise(vectors):
    quantised = QuantisedVectors()
    for start in range(0, len(vectors), 1000):
        quantised.add(vectors[start : start + 1000])
    return quantised


@pytest.mark.parametrize("width", [256, 100])
def test_the_nearest_are_found_and_measured(width):
    vectors = lines(30_000, width)
    quantised = quantise(vectors)
    every = np.ones(len(vectors), dtype=bool)
    shares = []
    for query in lines(20, width, seed=0) + 0.01:
        query = unit(query)
        rows, similarity = quantised.nearest(query, every, 50)
        exact = vectors @ query
        assert np.abs(exact[rows] - similarity).max() < 0.01
        shares.append(len(set(rows) & set(np.argsort(-exact)[:50])) / 50)
        assert abs((quantised.at(quantised.some()) @ query).mean() - exact.mean()) < 0.05
    assert np.mean(shares) > 0.9


def test_only_what_is_allowed_is_found():
    vectors = lines(5000, 64)
    quantised = quantise(vectors)
    allowed = np.zeros(5000, dtype=bool)
    allowed[[3, 77, 4999]] = True
    rows, similarity = quantised.nearest(vectors[77], allowed, 50)
    assert sorted(rows) == [3, 77, 4999]
    assert similarity[list(rows).index(77)] == pytest.approx(1, abs=0.01)
    assert len(quantised.nearest(vectors[77], np.zeros(5000, dtype=bool), 50)[0]) == 0


def test_what_is_added_later_is_found_too():
    vectors = lines(300, 64)
    quantised = quantise(vectors[:200])
    assert quantised.nearest(vectors[250], np.ones(200, dtype=bool), 1)[0][0] != 250
    quantised.add(vectors[200:])
    assert len(quantised) == 300
    assert quantised.nearest(vectors[250], np.ones(300, dtype=bool), 1)[0][0] == 250


def test_a_vector_of_another_width_does_not_fit():
    quantised = quantise(lines(100, 64))
    assert quantised.fits(np.ones(64))
    assert not quantised.fits(np.ones(32))
    assert not QuantisedVectors().fits(np.ones(64))
