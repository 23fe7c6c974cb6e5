"""One rebuildable table of words and vectors per kind of line and embedder.

Everything here can be deleted at any time: DuckDB has the truth, and the index is filled again. A
*pointer* file names the table in use by a random *generation*, so that a table that was deleted or is
broken is never confused with its successor. Only one process at a time writes (`VectorTable.writing`);
any number search.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from letta_kernel import private
from letta_kernel.store.filesystem import refusal
from letta_kernel.store.indexes import Kind
from letta_kernel.store.lancedb_tables import (
    index_filters,
    index_vectors,
    index_words,
    lancedb,
    schema,
)
from letta_kernel.store.scopes import listed, quoted
from letta_kernel.store.vector_queries import (
    Candidate,
    IndexRow,
    ask,
    best_rows,
    candidates_in,
    matrix,
    wait,
)

_FRAGMENTS = 100  # pieces a table may be in before it is tidied up; each add makes one
_ANN_ROWS = 5_000  # from here on vectors get an index: comparing all takes over 5 ms then
_UNINDEXED = (
    5_000  # rows an index may lack before it is brought up to date: they are compared one by one
)
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

log = logging.getLogger(__name__)


class IndexBrokenError(Exception):
    """The table cannot be read or written; searches do without it until it has been rebuilt."""


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
        self._fresh = False  # files were made that the umask may have opened to others
        self._opened: tuple[str, Any] | None = None
        self._read: tuple[str, Any] | None = None

    @classmethod
    def found(cls, home: Path) -> list[VectorTable]:
        """Return the tables there are, whatever made them."""
        tables = []
        for pointer in sorted((home / "vectors").glob("*.json")):
            kind: Kind = "messages" if pointer.stem.startswith("messages") else "passages"
            table = cls(home, kind, "")
            table.stem, table._pointer = pointer.stem, pointer
            tables.append(table)
        if tables:
            lancedb()  # takes seconds: not while others wait for what is done with them
        return tables

    def name(self) -> str | None:
        """Return the table's name with its dimension and generation; None if there is no table."""
        try:
            pointer = self._read_pointer()
            name = f"{self.stem}-{int(pointer['dimension'])}-{pointer['generation']}"
        except (ValueError, KeyError, TypeError):
            return None
        return name if (self.folder / f"{name}.lance").is_dir() else None

    def dimension(self) -> int:
        """Return how many numbers a vector has; 0 if there is no table."""
        return int(self._read_pointer().get("dimension", 0))

    @contextlib.contextmanager
    def writing(self, timeout: float) -> Iterator[bool]:
        """Hold the right to write; yields False if another has it for *timeout* s, or nobody can."""
        if not self._writer.acquire(timeout=timeout):
            yield False
            return
        try:
            file = self.folder / f"{self.stem}.lock"
            lock = FileLock(file, mode=private.FILE, thread_local=False)
            try:
                if refusal(self.folder.parent) is not None:
                    yield False
                    return
                private.folder(self.folder)
                lock.acquire(timeout=timeout)
            except (Timeout, OSError) as error:
                if not isinstance(error, Timeout):  # else somebody else is at it
                    log.info("The vector index %s stays behind for now: %s", self.stem, error)
                yield False
                return
            try:
                yield True
            finally:
                if self._fresh:
                    # LanceDB makes the folder itself where a restore took it away meanwhile.
                    private.tighten_own(self.folder)
                    for made in self.folder.glob(f"{self.stem}*"):
                        private.tighten_all(made)
                    self._fresh = False
                lock.release()
        finally:
            self._writer.release()

    def form(self) -> int:
        """Return of which form the words in the table are; 0 before there were any."""
        form = self._read_pointer().get("form")
        return form if isinstance(form, int) else 0

    def create(self, dimension: int, form: int = 0) -> str:
        """Make an empty table of a new generation, drop the older ones, and return its name.

        The right to write must be held.
        """
        generation = uuid.uuid4().hex[:8]
        name = f"{self.stem}-{dimension}-{generation}"
        old = [path for path in self.folder.glob(f"{self.stem}-*.lance") if path.is_dir()]
        self._fresh = True
        with self._broken():
            table = self._connect().create_table(name, schema=schema(dimension))
            index_words(table)
        pointer = {"dimension": dimension, "generation": generation, "trained": 0, "form": form}
        self._write_pointer(pointer)
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
        self._fresh = True
        with self._broken():
            table = self._table()
            vectors = np.ascontiguousarray([row.vector for row in rows], dtype=np.float32)
            columns = {field: [getattr(row, field) for row in rows] for field in table.schema.names}
            columns["tags"] = [list(row.tags) for row in rows]
            columns["vector"] = pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel()), vectors.shape[1]
            )
            arrays = [pa.array(columns[field.name], field.type) for field in table.schema]
            table.add(pa.table(arrays, schema=table.schema))

    def remove(self, agent_id: str, ids: Sequence[str], before_stamp: int | None = None) -> None:
        """Delete an agent's rows of these ids, or only those with an older stamp. Write right as for `add`."""
        older = f" AND agent_id = {quoted(agent_id)}"  # a row of that id may be somebody else's now
        older += "" if before_stamp is None else f" AND stamp < {int(before_stamp)}"
        self._fresh = True
        with self._broken():
            table = self._table()
            for start in range(0, len(ids), 500):
                table.delete(f"id IN ({listed(ids[start : start + 500])}){older}")

    def write_anew(self, without: Sequence[str]) -> None:
        """Write the table without some ids, and remove every older version of it. Write right as for `add`."""
        self._fresh = True
        with self._broken():
            table = self._table()
            left = table.search().where(f"id NOT IN ({listed(without)})").limit(10_000_000)
            table.add(left.to_batches(), mode="overwrite")
            index_words(table)
            self._write_pointer(
                self._read_pointer() | {"trained": 0}
            )  # `tidy` makes the others again
            table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)

    def renew(self, change: Callable[[Any], Any], form: int) -> None:
        """Replace each Arrow batch of rows by what *change* makes of it, in one. Write right as for `add`."""
        import pyarrow as pa

        self._fresh = True
        with self._broken():
            table = self._table()
            found = table.search().limit(10_000_000).to_batches()
            changed = pa.RecordBatchReader.from_batches(table.schema, map(change, found))
            table.add(changed, mode="overwrite")
            index_words(table)
            self._write_pointer(self._read_pointer() | {"trained": 0, "form": form})

    def known_ids(self, agent_id: str, after_seq: int) -> set[str]:
        """Return the ids of an agent's rows after a seq: what was added before a crash."""
        where = f"agent_id = {quoted(agent_id)} AND seq > {int(after_seq)}"
        with self._broken():
            found = self._table().search().where(where).select(["id"]).limit(10_000_000).to_arrow()
            return set(found["id"].to_pylist())

    def count(self, agent_id: str | None = None) -> int:
        """Return how many rows there are, of an agent or in all."""
        with self._broken():
            where = None if agent_id is None else f"agent_id = {quoted(agent_id)}"
            return int(self._table().count_rows(where))

    def vectors_of(self, agent_id: str, seqs: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the vectors of an agent's rows of these seqs, by id."""
        if not seqs:
            return {}
        numbers = ", ".join(str(int(seq)) for seq in seqs)
        where = f"agent_id = {quoted(agent_id)} AND seq IN ({numbers})"
        with self._broken():
            query = self._table().search().where(where).select(["id", "vector"])
            found = query.limit(10_000_000).to_arrow()
            return dict(zip(found["id"].to_pylist(), matrix(found), strict=True))

    def vectors_by_id(self, ids: Sequence[str]) -> dict[tuple[str, str], np.ndarray]:
        """Return the vectors of rows by their id and digest, whosever they are."""
        if not ids:
            return {}
        with self._broken():
            query = self._table().search().where(f"id IN ({listed(ids)})")
            found = query.select(["id", "digest", "vector"]).limit(10_000_000).to_arrow()
            keys = zip(found["id"].to_pylist(), found["digest"].to_pylist(), strict=True)
            return dict(zip(keys, matrix(found), strict=True))

    def lines_of(
        self,
        agent_id: str,
        after_seq: int,
        vectors: Callable[[np.ndarray], None] | None = None,
    ) -> Any:
        """Return an agent's rows after a seq as an Arrow table of all but agents and vectors.

        *vectors*, if given, is called with those, some thousand rows at a time and in the same order.
        """
        import pyarrow as pa

        where = f"agent_id = {quoted(agent_id)} AND seq > {int(after_seq)}"
        columns = [*_LINE_COLUMNS, *(["vector"] if vectors is not None else [])]
        with self._broken():
            query = self._table().search().where(where).select(columns).limit(10_000_000)
            if vectors is None:
                return query.to_arrow()
            found = query.to_batches()
            parts = [found.schema.empty_table().select(_LINE_COLUMNS)]
            for batch in found:
                part = pa.Table.from_batches([batch])
                vectors(matrix(part))
                parts.append(part.select(_LINE_COLUMNS))
            return pa.concat_tables(parts)

    def candidates(
        self,
        where: str,
        words: Sequence[str],
        by_words: int,
        vector: np.ndarray | None,
        by_meaning: int,
        *,
        vectors: bool = True,
    ) -> Callable[[], list[Candidate]]:
        """Ask at once for the rows that best match any of *words*, then those like *vector*.

        Parameters
        ----------
        where
            A filter as `condition` makes it; it is applied before the limits.
        words
            Stems, matched by BM25.
        by_words, by_meaning
            How many rows of each kind at most.
        vector
            Of unit length; None if there is none to be had.
        vectors
            False: only their likeness is known; that takes less time.

        Returns
        -------
        Callable
            Waits for the answer.
        """
        with self._broken():
            asked = ask(self._named(where, words, by_words, vector, by_meaning, vectors))

        def answer() -> list[Candidate]:
            with self._broken():
                return [candidate for part in wait(asked) for candidate in candidates_in(part)]

        return answer

    def tidy(self) -> bool:
        """Merge small pieces and bring indexes up to date if it is time; True if that was done.

        Takes seconds on a large table; runs off anybody's path. Other processes may add meanwhile.
        """
        with self._broken():
            table = self._table()
            stats = table.stats()
            rows, pieces = stats["num_rows"], stats["fragment_stats"]["num_fragments"]
            have = {column for index in table.list_indices() for column in index.columns}
            pointer = self._read_pointer()
            # Its parts are laid out for the rows there were: with many more they become too large.
            wants_ann = rows >= max(_ANN_ROWS, 4 * int(pointer.get("trained", 0)))
            lacking = table.index_stats("words_idx")
            unindexed = lacking.num_unindexed_rows if lacking is not None else rows
            timely = pieces >= _FRAGMENTS or unindexed >= _UNINDEXED or wants_ann
            if not timely:
                return False
            self._fresh = True
            try:
                if rows >= 1000 and "agent_id" not in have:
                    index_filters(table)
                if wants_ann:
                    index_vectors(table)
                    self._write_pointer(pointer | {"trained": rows})
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)
            except Exception as error:
                if "conflict" not in str(error).lower():
                    raise
                return False  # somebody wrote meanwhile; the next time will do
            return True

    async def _named(self, *asked: Any) -> list[Any]:
        return await best_rows(await self._reading(), *asked)

    async def _reading(self) -> Any:
        name = self._known_name()
        if self._read is None or self._read[0] != name:
            connection = await lancedb().connect_async(
                str(self.folder), read_consistency_interval=timedelta(0)
            )
            self._read = (name, await connection.open_table(name))
        return self._read[1]

    def _known_name(self) -> str:
        name = self.name()
        if name is None:
            raise IndexBrokenError("there is no table")
        return name

    def _read_pointer(self) -> dict[str, Any]:
        try:
            found = json.loads(self._pointer.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_pointer(self, pointer: dict[str, Any]) -> None:
        unfinished = self._pointer.with_suffix(".new")
        private.write(unfinished, json.dumps(pointer))
        os.replace(unfinished, self._pointer)

    def _table(self) -> Any:
        name = self._known_name()
        with self._guard:
            if self._opened is None or self._opened[0] != name:
                self._opened = (name, self._connect().open_table(name))
            return self._opened[1]

    def _connect(self) -> Any:
        # Without an interval of zero a reader would not see what other processes add.
        return lancedb().connect(str(self.folder), read_consistency_interval=timedelta(0))

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


def discard_all(home: Path) -> None:
    """Remove the vector indexes, which are made anew from the store; what else lies in their folder stays."""
    folder = home / "vectors"
    for path in [*folder.glob("passages-*"), *folder.glob("messages-*")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
