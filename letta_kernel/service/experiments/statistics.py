"""Whether a difference is more than noise: bootstrap intervals, paired permutation tests, Holm's correction.

All of it goes by cases: the repeats of a case are averaged first, for they tell nothing of other cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any

RESAMPLES = 10_000
LEVEL = 0.95
"""Of intervals; a difference counts where its corrected p is below the rest to 1."""
FEW = 10
"""With fewer cases intervals are too narrow, as every bootstrap's."""
_EXACT = 14  # cases that differ, up to which all changes of sign are looked at
_AT_ONCE = 4_000_000  # numbers drawn at a time
_MOST_DRAWN, _FEWEST = 40_000_000, 1_000  # numbers in all, but so many resamples at least


def interval(
    values: Sequence[float],
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of *values* (percentiles), one value for each case.

    Where all values are the same, resampling says nothing: what else they might have been is taken from
    Wilson's interval for a thing that never came in so many cases. Fewer than two values give the *bounds*.
    """
    import numpy as np

    given = np.asarray(values, dtype=float)
    if len(given) < 2:
        return bounds
    if np.ptp(given) == 0:
        unseen = wilson(0, len(given), level=level)[1]
        return max(bounds[0], float(given[0]) - unseen), min(bounds[1], float(given[0]) + unseen)
    draw = np.random.default_rng(seed)
    means: list[Any] = []
    for rows in _portions(len(given)):
        places = draw.integers(0, len(given), (rows, len(given)))
        means.append(given[places].mean(axis=1))
    rest = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [rest, 1 - rest])
    return float(low), float(high)


def wilson(hits: int, number: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval of a share of *hits* in *number* (at least 1)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, square = hits / number, z * z / number
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / number + square / (4 * number))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired(differences: Sequence[float], *, seed: int = 0) -> float:
    """Return p of the paired permutation test: how often chance alone gives a mean as far from 0.

    Under chance each case's difference might as well have the other sign. With few cases that differ every
    choice of signs is counted, else as many as `RESAMPLES` are drawn. Without any p is 1.
    """
    import numpy as np

    given = np.asarray([one for one in differences if one], dtype=float)
    if not len(given):
        return 1.0
    seen = abs(given.sum()) - 1e-9
    if len(given) <= _EXACT:
        numbers = np.arange(2 ** len(given))[:, None] >> np.arange(len(given))
        sums = (1 - 2 * (numbers & 1)) @ given
        return float((np.abs(sums) >= seen).mean())
    draw = np.random.default_rng(seed)
    extreme = drawn = 0
    for rows in _portions(len(given)):
        signs = 1 - 2 * draw.integers(0, 2, (rows, len(given)))
        extreme += int((np.abs(signs @ given) >= seen).sum())
        drawn += rows
    return (extreme + 1) / (drawn + 1)


def _portions(cases: int) -> Iterator[int]:
    """Yield how many resamples to draw at a time: all of `RESAMPLES`, fewer of very many cases."""
    left = max(_FEWEST, min(RESAMPLES, _MOST_DRAWN // cases))
    while left > 0:
        rows = max(1, min(left, _AT_ONCE // cases))
        yield rows
        left -= rows


def holm(ps: Sequence[float]) -> list[float]:
    """Return *ps* of several tests corrected by Holm's method, in their order."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    corrected, highest = [1.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = highest
    return corrected


def needed(level: float = LEVEL) -> int:
    """Return how many cases have to differ, all in one direction, before one test can tell it from chance."""
    return math.ceil(1 - math.log2(1 - level))
