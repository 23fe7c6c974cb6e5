"""How LanceDB is asked: rows, filters, and the event loop in which questions run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from letta_kernel.store.lancedb_tables import lancedb
from letta_kernel.store.scopes import Scope, listed, quoted

_PROBES = 8  # parts of the vector index that are looked through, of about 300 at 100,000 rows


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A line as the index keeps it. ``stamp`` tells a newer form of an edited line from an older."""

    id: str
    agent_id: str
    seq: int
    stamp: int
    created_at: datetime
    tags: tuple[str, ...]
    source: str | None
    position: int
    words: str  # stems with spaces between
    speaker: str
    asks: bool
    digest: str
    vector: np.ndarray


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that one of the table's indexes names."""

    id: str
    seq: int
    likeness: float  # cosine to the vector that was asked for; 0 for a row found by words
    vector: np.ndarray | None  # if it was asked for


def condition(
    agent_id: str,
    tags: Sequence[str] = (),
    match: str = "any",
    start: datetime | None = None,
    end: datetime | None = None,
    without: Collection[str] = (),
    scope: Scope | None = None,
) -> str:
    """Return a filter for searches; *start* is part of the span, *end* is not, nor are ids *without*.

    *scope* limits it to the rows that a reader sees.
    """
    parts = [f"agent_id = {quoted(agent_id)}"]
    if tags:
        parts.append(f"array_has_{'all' if match == 'all' else 'any'}(tags, [{listed(tags)}])")
    if start is not None:
        parts.append(f"created_at >= {_timestamp(start)}")
    if end is not None:
        parts.append(f"created_at < {_timestamp(end)}")
    if without:
        parts.append(f"id NOT IN ({listed(sorted(without))})")
    if scope is not None:
        parts.append(scope.rows())
        if scope.without:
            parts.append(f"id NOT IN ({listed(sorted(scope.without))})")
        if scope.only is not None:
            parts.append(f"id IN ({listed(sorted(scope.only))})" if scope.only else "false")
    return " AND ".join(parts)


def candidates_in(found: Any) -> list[Candidate]:
    """Return the rows of an answer as candidates."""
    ids, seqs = found["id"].to_pylist(), found["seq"].to_pylist()
    likeness = [0.0] * len(ids)
    if "_distance" in found.column_names:
        likeness = [1.0 - distance for distance in found["_distance"].to_pylist()]
    vectors = matrix(found) if "vector" in found.column_names else [None] * len(ids)
    return [Candidate(*row) for row in zip(ids, seqs, likeness, vectors, strict=True)]


async def best_rows(
    table: Any,
    where: str,
    words: Sequence[str],
    by_words: int,
    vector: np.ndarray | None,
    by_meaning: int,
    vectors: bool,
) -> list[Any]:
    """Return the answers of a table to a question, as `VectorReader.candidates` describes it."""
    # LanceDB's asynchronous interface: the other one asks for the schema again and again on the way.
    queries = []
    columns = ["id", "seq"] + ["vector"] * vectors  # and the score, or LanceDB prints a warning
    if words:
        text = lancedb().query.MatchQuery(" ".join(words), "words")
        query = table.query().nearest_to_text(text).where(where).limit(by_words)
        queries.append(query.select([*columns, "_score"]).to_arrow())
    if vector is not None:
        query = table.query().nearest_to(vector).distance_type("cosine").nprobes(_PROBES)
        query = query.where(where).limit(by_meaning)
        queries.append(query.select([*columns, "_distance"]).to_arrow())
    return list(await asyncio.gather(*queries))


_loop: asyncio.AbstractEventLoop | None = None
_loop_guard = threading.Lock()


def ask(question: Coroutine[Any, Any, Any]) -> Future[Any]:
    """Begin to run a coroutine in this module's own event loop."""
    global _loop
    with _loop_guard:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="vectors", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(question, _loop)


def matrix(found: Any) -> np.ndarray:
    """Return the vectors of an answer, one row each."""
    width = found.schema.field("vector").type.list_size
    flat = found["vector"].combine_chunks().flatten()
    return np.asarray(flat, dtype=np.float32).reshape(-1, width)


def _timestamp(moment: datetime) -> str:
    return f"timestamp '{moment:%Y-%m-%dT%H:%M:%S.%f}+00:00'"
