"""How many connections and cores persons need, by how often they come and how long a turn takes: a simulation.

Used by `many_users.py`. Assumed: persons come at random moments (Poisson); whoever comes says `TURNS` things,
thinks `THINKS` seconds before the next (exponential), and waits for the model, whose answers take so many
seconds on average (exponential). Nobody leaves, nobody fails.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator

TURNS = 10
THINKS = 45.0  # seconds
STAYS_OPEN = 30.0
"""Seconds that `serve --people` keeps the project of a person who asks for nothing (`server.people.IDLE`)."""
LOOKS = 5.0  # seconds between two looks for those
ALWAYS = 64  # projects that stay open whether or not anybody asks for them
HOURS = 2


def open_projects(per_second: float, model: float, persons: int, seed: int = 1) -> dict[str, float]:
    """Return how many projects of *persons* are open at a time, with so many turns a second.

    Parameters
    ----------
    per_second : turns of all persons together.
    model : seconds that an answer takes on average.

    Returns
    -------
    The mean, the 99th percentile and the most, of samples a second after the first half an hour.
    """
    counts = sorted(_sampled(per_second, model, persons, random.Random(seed)))
    return {
        "mean": round(sum(counts) / len(counts), 1),
        "p99": counts[len(counts) * 99 // 100],
        "most": counts[-1],
    }


def _sampled(per_second: float, model: float, persons: int, dice: random.Random) -> Iterator[int]:
    ends_at = 3600.0 * HOURS
    changes: list[tuple[float, int, int]] = []  # when, +1 or -1, of whom
    moment = 0.0
    while (moment := moment + dice.expovariate(per_second / TURNS)) < ends_at:
        person, at = dice.randrange(persons), moment
        for turn in range(TURNS):
            ended = at + dice.expovariate(1 / model)
            kept = STAYS_OPEN + dice.random() * LOOKS
            heapq.heappush(changes, (at, 1, person))
            heapq.heappush(changes, (ended + kept, -1, person))
            at = ended + (dice.expovariate(1 / THINKS) if turn < TURNS - 1 else 0.0)
    open_now: dict[int, int] = {}
    sample = 1800.0
    while changes and sample < ends_at:
        when, change, person = heapq.heappop(changes)
        while sample < min(when, ends_at):
            yield max(len(open_now), min(ALWAYS, persons))
            sample += 1.0
        open_now[person] = open_now.get(person, 0) + change
        if not open_now[person]:
            del open_now[person]


def closed(clients: int, busy: float, rests: float) -> float:
    """Return the turns a second of a closed network: mean value analysis of one station and a delay.

    Parameters
    ----------
    clients : each begins a turn when its last has ended.
    busy : seconds of a turn for which it needs what only one can have at a time: the interpreter.
    rests : all other seconds of it.
    """
    waiting, turns = 0.0, 0.0
    for number in range(1, clients + 1):
        stays = busy * (1 + waiting)
        turns = number / (rests + stays)
        waiting = turns * stays
    return turns


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return a and b of a + b·x by least squares of relative errors: no point counts more for being large."""
    weights = [1 / max(y, 1e-9) ** 2 for _, y in points]
    total = sum(weights)
    middle = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    height = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    spread = sum(w * (x - middle) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    slope = (
        sum(w * (x - middle) * (y - height) for w, (x, y) in zip(weights, points, strict=True))
        / spread
        if spread
        else 0.0
    )
    return height - slope * middle, slope
