"""The LanceDB room: one rebuildable table of words and vectors per kind of line and embedder.

Everything here can be deleted at any time: DuckDB has the truth, and the index is filled again. A
*pointer* file names the table in use by a random *generation*, so that a table that was deleted or is
broken is never confused with its successor. Only one process at a time writes (`VectorTable.writing`);
any number search.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from letta_kernel import warm
from letta_kernel.store.indexes import Kind

_FRAGMENTS = 100  # pieces a table may be in before it is tidied up; each add makes one
_ANN_ROWS = 50_000  # from here on vectors get an index; below, comparing all is as quick
_UNINDEXED = (
    5_000  # rows an index may lack before it is brought up to date: they are compared one by one
)
_PROBES = 8  # parts of the vector index that are looked through, of about 300 at 100,000 rows
_LINE_COLUMNS = (
    "id",
    "seq",
    "created_at",
    "tags",
    "source",
    "position",
    "words",
    "speaker",
    "asks",
    "digest",
)
_KEEP_VERSIONS = timedelta(minutes=10)  # old versions go after so long: a search takes milliseconds


class IndexBrokenError(Exception):
    """The table cannot be read or written; searches do without it until it has been rebuilt."""


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
    """A line one of the table's indexes thinks of."""

    id: str
    seq: int
    likeness: float  # cosine to the vector that was asked for; 0 for a row found by words
    vector: np.ndarray | None  # if it was asked for


class VectorTable:
    """The table of one kind of lines and one embedder under ``<home>/vectors``."""

    def __init__(self, home: Path, kind: Kind, embedder: str) -> None:
        self.folder = home / "vectors"
        slug = re.sub(r"[^a-z0-9]+", "-", embedder.lower()).strip("-")[:40]
        mark = hashlib.sha256(embedder.encode()).hexdigest()[:6]  # two names may have one slug
        self.stem = f"{kind}-{slug}-{mark}"
        self._pointer = self.folder / f"{self.stem}.json"
        self._guard = threading.RLock()
        self._writer = threading.Lock()
        self._opened: tuple[str, Any] | None = None
        self._read: tuple[str, Any] | None = None

    def name(self) -> str | None:
        """Return the table's name with its dimension and generation; None if there is no table."""
        try:
            pointer = json.loads(self._pointer.read_text(encoding="utf-8"))
            name = f"{self.stem}-{int(pointer['dimension'])}-{pointer['generation']}"
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return name if (self.folder / f"{name}.lance").is_dir() else None

    @contextlib.contextmanager
    def writing(self, patience: float) -> Iterator[bool]:
        """Hold the right to write; yields False if another process or thread has it for *patience* s."""
        if not self._writer.acquire(timeout=patience):
            yield False
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f"{self.stem}.lock", thread_local=False)
            try:
                lock.acquire(timeout=patience)
            except Timeout:
                yield False
                return
            try:
                yield True
            finally:
                lock.release()
        finally:
            self._writer.release()

    def create(self, dimension: int) -> str:
        """Make an empty table of a new generation, drop the older ones, and return its name.

        The right to write must be held.
        """
        import pyarrow as pa

        schema = pa.schema(
            [
                ("id", pa.string()),
                ("agent_id", pa.string()),
                ("seq", pa.int64()),
                ("stamp", pa.int64()),
                ("created_at", pa.timestamp("us", "UTC")),
                ("tags", pa.list_(pa.string())),
                ("source", pa.string()),
                ("position", pa.int64()),
                ("words", pa.string()),
                ("speaker", pa.string()),
                ("asks", pa.bool_()),
                ("digest", pa.string()),
                ("vector", pa.list_(pa.float32(), dimension)),
            ]
        )
        generation = uuid.uuid4().hex[:8]
        name = f"{self.stem}-{dimension}-{generation}"
        old = [path for path in self.folder.glob(f"{self.stem}-*.lance") if path.is_dir()]
        with self._broken():
            table = self._connect().create_table(name, schema=schema)
            _index_words(table)
        draft = self._pointer.with_suffix(".new")
        draft.write_text(json.dumps({"dimension": dimension, "generation": generation}))
        os.replace(draft, self._pointer)
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return name

    def drop(self) -> None:
        """Give up the table in use, broken or not. The right to write must be held."""
        with contextlib.suppress(FileNotFoundError):
            self._pointer.unlink()
        with self._guard:
            self._opened = self._read = None
        for path in self.folder.glob(f"{self.stem}-*.lance"):
            shutil.rmtree(path, ignore_errors=True)

    def add(self, rows: Sequence[IndexRow]) -> None:
        """Append rows. The right to write must be held.

        Raises
        ------
        IndexBrokenError
            The table cannot be written.
        """
        import pyarrow as pa

        if not rows:
            return
        with self._broken():
            table = self._table()
            vectors = np.ascontiguousarray([row.vector for row in rows], dtype=np.float32)
            columns = {field: [getattr(row, field) for row in rows] for field in table.schema.names}
            columns["tags"] = [list(row.tags) for row in rows]
            columns["vector"] = pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel()), vectors.shape[1]
            )
            schema = table.schema
            table.add(pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema))

    def remove(self, ids: Sequence[str], before_stamp: int | None = None) -> None:
        """Delete the rows of these ids, or only those with an older stamp. Write right as for `add`."""
        older = "" if before_stamp is None else f" AND stamp < {int(before_stamp)}"
        with self._broken():
            table = self._table()
            for start in range(0, len(ids), 500):
                table.delete(f"id IN ({_list(ids[start : start + 500])}){older}")

    def remove_agent(self, agent_id: str, up_to: int) -> None:
        """Delete an agent's rows up to a seq. The right to write must be held, as for `add`."""
        with self._broken():
            self._table().delete(f"agent_id = {_quoted(agent_id)} AND seq <= {int(up_to)}")

    def known_ids(self, agent_id: str, after_seq: int) -> set[str]:
        """Return the ids of an agent's rows after a seq: what was added before a crash."""
        where = f"agent_id = {_quoted(agent_id)} AND seq > {int(after_seq)}"
        with self._broken():
            found = self._table().search().where(where).select(["id"]).limit(10_000_000).to_arrow()
            return set(found["id"].to_pylist())

    def count(self, agent_id: str | None = None) -> int:
        """Return how many rows there are, of an agent or in all."""
        with self._broken():
            where = None if agent_id is None else f"agent_id = {_quoted(agent_id)}"
            return int(self._table().count_rows(where))

    def vectors_of(self, agent_id: str, seqs: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the vectors of an agent's rows of these seqs, by id."""
        if not seqs:
            return {}
        numbers = ", ".join(str(int(seq)) for seq in seqs)
        where = f"agent_id = {_quoted(agent_id)} AND seq IN ({numbers})"
        with self._broken():
            query = self._table().search().where(where).select(["id", "vector"])
            found = query.limit(10_000_000).to_arrow()
            return dict(zip(found["id"].to_pylist(), _matrix(found), strict=True))

    def lines_of(self, agent_id: str, after_seq: int) -> Any:
        """Return an agent's rows after a seq as an Arrow table of all but agents and vectors."""
        where = f"agent_id = {_quoted(agent_id)} AND seq > {int(after_seq)}"
        with self._broken():
            query = self._table().search().where(where).select(list(_LINE_COLUMNS))
            return query.limit(10_000_000).to_arrow()

    def candidates(
        self,
        where: str,
        words: Sequence[str],
        by_words: int,
        vector: np.ndarray | None,
        by_meaning: int,
    ) -> list[Candidate]:
        """Return the rows that best match any of *words* (stems) by BM25, then those like *vector*.

        Parameters
        ----------
        where
            A filter as `condition` makes it; it is applied before the limits.
        by_words, by_meaning
            How many rows of each kind at most.
        vector
            Of unit length; None if there is none to be had.
        """
        return self.soon(where, words, by_words, vector, by_meaning, vectors=True)()

    def soon(
        self,
        where: str,
        words: Sequence[str],
        by_words: int,
        vector: np.ndarray | None,
        by_meaning: int,
        *,
        vectors: bool,
    ) -> Callable[[], list[Candidate]]:
        """Ask as `candidates` does, at once; return what waits for the answer.

        Without *vectors* only their likeness is known; that takes less time.
        """
        with self._broken():
            asked = _ask(self._candidates(where, words, by_words, vector, by_meaning, vectors))

        def answer() -> list[Candidate]:
            with self._broken():
                return [candidate for part in _wait(asked) for candidate in _read(part)]

        return answer

    def tidy(self, force: bool = False) -> bool:
        """Merge small pieces and bring indexes up to date if it is time; True if that was done.

        Takes seconds on a large table; runs off anybody's path. Other processes may add meanwhile.
        """
        with self._broken():
            table = self._table()
            stats = table.stats()
            rows, pieces = stats["num_rows"], stats["fragment_stats"]["num_fragments"]
            have = {column for index in table.list_indices() for column in index.columns}
            wants_ann = rows >= _ANN_ROWS and "vector" not in have
            lacking = table.index_stats("words_idx")
            unindexed = lacking.num_unindexed_rows if lacking is not None else rows
            timely = pieces >= _FRAGMENTS or unindexed >= _UNINDEXED or wants_ann
            if not (force or timely):
                return False
            try:
                index = warm.load("lancedb").index
                if rows >= 1000 and "agent_id" not in have:
                    table.create_index("agent_id", config=index.Bitmap())
                    table.create_index("created_at", config=index.BTree())
                    table.create_index("tags", config=index.LabelList())
                if wants_ann:
                    table.create_index("vector", config=index.IvfFlat(distance_type="cosine"))
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)
            except Exception as error:
                if "conflict" not in str(error).lower():
                    raise
                return False  # somebody wrote meanwhile; the next time will do
            return True

    async def _candidates(
        self,
        where: str,
        words: Sequence[str],
        by_words: int,
        vector: np.ndarray | None,
        by_meaning: int,
        vectors: bool,
    ) -> list[Any]:
        # LanceDB's asynchronous door: the other one asks for the schema again and again on the way.
        table = await self._reading()
        queries = []
        columns = ["id", "seq"] + ["vector"] * vectors  # and the score, or LanceDB prints a warning
        if words:
            text = warm.load("lancedb").query.MatchQuery(" ".join(words), "words")
            query = table.query().nearest_to_text(text).where(where).limit(by_words)
            queries.append(query.select([*columns, "_score"]).to_arrow())
        if vector is not None:
            query = table.query().nearest_to(vector).distance_type("cosine").nprobes(_PROBES)
            query = query.where(where).limit(by_meaning)
            queries.append(query.select([*columns, "_distance"]).to_arrow())
        return list(await asyncio.gather(*queries))

    async def _reading(self) -> Any:
        name = self._known_name()
        if self._read is None or self._read[0] != name:
            lancedb = warm.load("lancedb")
            connection = await lancedb.connect_async(
                str(self.folder), read_consistency_interval=timedelta(0)
            )
            self._read = (name, await connection.open_table(name))
        return self._read[1]

    def _known_name(self) -> str:
        name = self.name()
        if name is None:
            raise IndexBrokenError("there is no table")
        return name

    def _table(self) -> Any:
        name = self._known_name()
        with self._guard:
            if self._opened is None or self._opened[0] != name:
                self._opened = (name, self._connect().open_table(name))
            return self._opened[1]

    def _connect(self) -> Any:
        # Without an interval of zero a reader would not see what other processes add.
        lancedb = warm.load("lancedb")
        return lancedb.connect(str(self.folder), read_consistency_interval=timedelta(0))

    @contextlib.contextmanager
    def _broken(self) -> Iterator[None]:
        try:
            yield
        except (IndexBrokenError, KeyboardInterrupt):
            raise
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and others
            with self._guard:
                self._opened = self._read = None
            raise IndexBrokenError(" ".join(str(error).split())[:300]) from error


def condition(
    agent_id: str,
    tags: Sequence[str] = (),
    match: str = "any",
    start: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """Return a filter for searches; *start* is part of the span of time, *end* is not."""
    parts = [f"agent_id = {_quoted(agent_id)}"]
    if tags:
        parts.append(f"array_has_{'all' if match == 'all' else 'any'}(tags, [{_list(tags)}])")
    if start is not None:
        parts.append(f"created_at >= {_timestamp(start)}")
    if end is not None:
        parts.append(f"created_at < {_timestamp(end)}")
    return " AND ".join(parts)


def _read(found: Any) -> list[Candidate]:
    ids, seqs = found["id"].to_pylist(), found["seq"].to_pylist()
    likeness = [0.0] * len(ids)
    if "_distance" in found.column_names:
        likeness = [1.0 - distance for distance in found["_distance"].to_pylist()]
    vectors = _matrix(found) if "vector" in found.column_names else [None] * len(ids)
    return [Candidate(*row) for row in zip(ids, seqs, likeness, vectors, strict=True)]


_loop: asyncio.AbstractEventLoop | None = None
_loop_guard = threading.Lock()


def _ask(question: Coroutine[Any, Any, Any]) -> Future[Any]:
    """Begin to run a coroutine in this module's own event loop."""
    global _loop
    with _loop_guard:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="vectors", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(question, _loop)


def _wait(asked: Future[Any]) -> Any:
    """Wait, interruptibly, for an answer."""
    try:
        return asked.result()
    except KeyboardInterrupt:
        asked.cancel()
        raise


def _index_words(table: Any) -> None:
    # The words are stems already: nothing is to be folded, stemmed or left out again.
    config = warm.load("lancedb").index.FTS(
        base_tokenizer="whitespace",
        with_position=False,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
        max_token_length=None,
    )
    table.create_index("words", config=config)


def _matrix(found: Any) -> np.ndarray:
    width = found.schema.field("vector").type.list_size
    flat = found["vector"].combine_chunks().flatten()
    return np.asarray(flat, dtype=np.float32).reshape(-1, width)


def _timestamp(moment: datetime) -> str:
    return f"timestamp '{moment:%Y-%m-%dT%H:%M:%S.%f}+00:00'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _list(texts: Sequence[str]) -> str:
    return ", ".join(_quoted(text) for text in texts)
