"""What the vector index costs in an object storage beside a folder: requests counted, times in pairs.

The storage is moto's server in this process, on loopback: its requests count, its times say little. Usage::

    python benchmarks/index_storage.py [ADDS]
"""

from __future__ import annotations

import datetime as dt
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from object_storage import ObjectStorage, environment

from letta_kernel.store.database import Database
from letta_kernel.store.vector_queries import IndexRow, condition
from letta_kernel.store.vectors import VectorTable

WORDS = ("boat", "island", "weather", "ferry", "harbour", "cat", "dog", "tea")
SEARCHES = 20
PIECE = 50  # rows added at once

Measured = tuple[float, Counter[str]]


def main(adds: int) -> None:
    """Print a table: the median milliseconds of each step in both places, and requests of the second."""
    storage = ObjectStorage()
    with tempfile.TemporaryDirectory() as folder:
        tables = []
        for place in ("folder", "bucket"):
            if place == "bucket":
                os.environ |= environment(storage.endpoint, storage.bucket())
            database = Database(Path(folder) / place)
            database.run(lambda tx: None)
            tables.append(VectorTable.of(database, database.home, "passages", "wordllama"))
        steps = [_steps(table, storage.asked, adds) for table in tables]
        print(f"| {adds * PIECE} rows, 256 numbers each | folder, ms | bucket, ms | requests |")
        print("|---|---|---|---|")
        for name, here in steps[0].items():
            away = steps[1][name]
            counted = ", ".join(f"{n / len(away):.1f} {m}" for m, n in _sum(away).most_common())
            print(f"| {name} | {_median(here):.0f} | {_median(away):.0f} | {counted} |")
    storage.stop()


def _steps(table: VectorTable, asked: Counter[str], adds: int) -> dict[str, list[Measured]]:
    random = np.random.default_rng(0)
    found: dict[str, list[Measured]] = {}

    def step(name: str, work: Callable[[], object]) -> None:
        asked.clear()
        began = time.perf_counter()
        work()
        found.setdefault(name, []).append((1000 * (time.perf_counter() - began), Counter(asked)))

    def search() -> None:
        words = list(random.choice(WORDS, 2, replace=False))
        table.candidates(condition("a"), words, 20, _vector(random), 20)()

    with table.writing(5):
        step("make the table", lambda: table.create(256))
        for n in range(adds):
            rows = _rows(random, n * PIECE)
            step(f"add {PIECE} rows", lambda rows=rows: table.add(rows))  # type: ignore[misc]
    search()
    for _ in range(SEARCHES):
        step(f"search {adds} pieces", search)
    with table.writing(5):
        step("tidy up", table._table().optimize)
    search()
    for _ in range(SEARCHES):
        step("search after tidying up", search)
    step("read the lines", lambda: table.lines_of("a", 0))
    return found


def _rows(random: np.random.Generator, first: int) -> list[IndexRow]:
    now = dt.datetime.now(dt.UTC)
    texts = [" ".join(random.choice(WORDS, 6)) for _ in range(PIECE)]
    return [
        IndexRow(f"p-{n}", "a", n, 0, now, ("t",), None, n, text, "", False, "", _vector(random))
        for n, text in enumerate(texts, first + 1)
    ]


def _vector(random: np.random.Generator) -> np.ndarray:
    made = random.normal(size=256).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made))


def _median(measured: list[Measured]) -> float:
    return statistics.median(seconds for seconds, _ in measured)


def _sum(measured: list[Measured]) -> Counter[str]:
    return sum((counted for _, counted in measured), Counter())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
