"""One rebuildable table of words and vectors per kind of line and embedder.

Everything here can be deleted at any time: the store has the truth, and the index is filled again. The table
is in a folder of the project or in an object storage (`index_storage`); a pointer says which generation of it
is in use (`pointers`). Only one process at a time writes (`VectorTable.writing`); any number search.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from letta_kernel.errors import HiddenLibraryError
from letta_kernel.store import index_storage
from letta_kernel.store.database import Database
from letta_kernel.store.index_storage import IndexAwayError, IndexBrokenError
from letta_kernel.store.indexes import Kind
from letta_kernel.store.lancedb_tables import (
    index_filters,
    index_vectors,
    index_words,
    lancedb,
    schema,
)
from letta_kernel.store.pointer_rows import RowKeeper, stems
from letta_kernel.store.pointers import FileKeeper, Keeper, Pointer
from letta_kernel.store.scopes import listed, quoted
from letta_kernel.store.transaction import Tx
from letta_kernel.store.vector_queries import (
    Candidate,
    IndexRow,
    ask,
    best_rows,
    candidates_in,
    matrix,
)

__all__ = ["IndexAwayError", "IndexBrokenError", "VectorTable", "discard_all"]

_FRAGMENTS = 100  # pieces a table may be in before it is tidied up; each add makes one
_FRAGMENTS_AWAY = 8  # the same where each piece costs a search some requests over the network
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

T = TypeVar("T")

_TABLE = re.compile(r"-\d+-[0-9a-f]+$")  # what its dimension and generation add to a stem


class VectorTable:
    """The table of one kind of lines and one embedder."""

    def __init__(self, keeper: Keeper) -> None:
        self.stem = keeper.stem
        self._keeper = keeper
        self._guard = threading.RLock()
        self._writer = threading.Lock()
        self._opened: tuple[str, Any] | None = None
        self._read: tuple[str, Any] | None = None

    @classmethod
    def of(cls, database: Database, home: Path, kind: Kind, embedder: str) -> VectorTable:
        """Return the table where ``LETTA_INDEX`` says, or in the project's folder.

        Raises
        ------
        InvalidInputError
            ``LETTA_INDEX`` names no place.
        """
        slug = re.sub(r"[^a-z0-9]+", "-", embedder.lower()).strip("-")[:40]
        storage = index_storage.remote(database.index)
        told = embedder
        if storage is None and not database.in_file:  # one folder may serve several stores
            told += f" {database.where}"
        mark = hashlib.sha256(told.encode()).hexdigest()[:6]  # two names may have one slug
        stem = f"{kind}-{slug}-{mark}"
        if storage is None:
            return cls(FileKeeper(index_storage.local(home), stem))
        return cls(RowKeeper(database.run, home, storage, stem))

    @classmethod
    def found(cls, database: Database, tx: Tx, *, write: bool = False) -> list[VectorTable]:
        """Return the tables that a project has, or had, of whatever embedder; *write*: to change them."""
        home = database.home
        local = index_storage.local(home)
        files = [*Path(local.root).glob("*.json"), *Path(local.root).glob("*.lance")]
        names = {_TABLE.sub("", one.stem) if one.suffix == ".lance" else one.stem for one in files}
        keepers: list[Keeper] = [FileKeeper(local, stem) for stem in sorted(names)]
        storage = index_storage.remote(database.index)
        if storage is not None:
            run = database.run if write else None
            keepers += [RowKeeper(run, home, storage, stem) for stem in stems(tx, home, storage)]
        for keeper in keepers:
            keeper.look(tx)
        return [cls(keeper) for keeper in keepers]

    @staticmethod
    def load(database: Database) -> None:
        """Load LanceDB, which takes seconds, if there may be tables."""
        local = Path(index_storage.local(database.home).root)
        if index_storage.remote(database.index) is not None or any(local.glob("*.json")):
            lancedb()

    def beside(self, other: VectorTable) -> bool:
        """Return whether it lies in the same folder or object storage as another."""
        return self._keeper.storage is other._keeper.storage

    def place(self) -> str:
        """Return where the table is."""
        return self._keeper.uri()

    def name(self, tx: Tx | None = None) -> str | None:
        """Return the table's name with its dimension and generation; None if there is no table.

        Inside a transaction *tx* must be given.
        """
        return self._named_by(self._keeper.look(tx))

    def _named_by(self, pointer: Pointer | None) -> str | None:
        return None if pointer is None else f"{self.stem}-{pointer.dimension}-{pointer.generation}"

    def dimension(self) -> int:
        """Return how many numbers a vector has; 0 if there is no table."""
        pointer = self._keeper.seen()
        return pointer.dimension if pointer is not None else 0

    @contextlib.contextmanager
    def writing(self, timeout: float) -> Iterator[bool]:
        """Hold the right to write; yields False if another has it for *timeout* s, or nobody can."""
        if not self._writer.acquire(timeout=timeout):
            yield False
            return
        try:
            with self._keeper.writing(timeout) as mine:
                yield mine
        finally:
            self._writer.release()

    def form(self) -> int:
        """Return of which form the words in the table are; 0 before there were any."""
        pointer = self._keeper.seen()
        return pointer.form if pointer is not None else 0

    def create(self, dimension: int, form: int = 0) -> str:
        """Make an empty table of a new generation, drop the older ones, and return its name.

        The right to write must be held.
        """
        pointer = Pointer.fresh(dimension, form)
        name = self._named_by(pointer)
        assert name is not None
        with self._changing():
            # Listed before: what another makes, if the right to write is lost meanwhile, is not among them.
            old = self._keeper.others(self._connect, self._is_ours)
            table = self._connect().create_table(name, schema=schema(dimension))
            index_words(table)
        try:
            self._keeper.publish(pointer)
        except IndexAwayError:
            self._keeper.remove(self._connect, [name])
            raise
        self._keeper.remove(self._connect, old)
        return name

    def drop(self) -> None:
        """Give up the table in use, broken or not. The right to write must be held."""
        with self._broken():
            self._keeper.changing()
            old = self._keeper.others(self._connect, self._is_ours)
        self._keeper.publish(None)
        with self._guard:
            self._opened = self._read = None
        self._keeper.remove(self._connect, old)

    def sweep(self) -> None:
        """Remove tables that nobody uses any more; write right as for `add`.

        Raises
        ------
        IndexAwayError
            Some cannot be removed.
        """
        with self._broken():
            if stays := self._sweep():
                raise IndexAwayError(f"{', '.join(stays)} cannot be removed")

    def _sweep(self) -> list[str]:
        """Remove tables that a writer left who was killed: of older generations, or never published."""
        known = self._named_by(self._keeper.seen())
        left = [one for one in self._keeper.others(self._connect, self._is_ours) if one != known]
        self._keeper.changing()  # what was listed before is nobody's, if the right is still held
        return self._keeper.remove(self._connect, left)

    def _is_ours(self, name: str) -> object:
        """Whether *name* is that of a table of this stem, of whatever generation."""
        return _TABLE.search(name) and _TABLE.sub("", name) == self.stem

    def confirm(self, tx: Tx) -> bool:
        """Return whether the right to write is still held, so that nobody else has written since it was got."""
        return self._keeper.confirm(tx)

    def reachable(self) -> bool:
        """Whether the place of the tables answers, so that an error is the table's own."""
        storage = self._keeper.storage
        return storage.options is None or storage.probe() is None

    def when_back(self, work: Callable[[], None]) -> None:
        """Have a method called once the place of the tables answers again, or may be tried again."""
        self._keeper.storage.when_back(work)

    def size(self) -> int:
        """Return how many bytes the rows take; 0 if there is no table."""
        if self._keeper.seen() is None:
            return 0
        return int(self._asked(lambda table: table.stats()["total_bytes"]))

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
        with self._changing():
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
        with self._changing():
            table = self._table()
            for start in range(0, len(ids), 500):
                table.delete(f"id IN ({listed(ids[start : start + 500])}){older}")

    def write_anew(self, without: Sequence[str]) -> None:
        """Write the table without some ids, and remove every older version of it. Write right as for `add`."""
        with self._changing():
            table = self._table()
            left = table.search().where(f"id NOT IN ({listed(without)})").limit(10_000_000)
            table.add(left.to_batches(), mode="overwrite")
            index_words(table)
            self._overwritten()  # `tidy` makes the others again
            table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
        self.sweep()

    def renew(self, change: Callable[[Any], Any], form: int) -> None:
        """Replace each Arrow batch of rows by what *change* makes of it, in one. Write right as for `add`."""
        import pyarrow as pa

        with self._changing():
            table = self._table()
            found = table.search().limit(10_000_000).to_batches()
            changed = pa.RecordBatchReader.from_batches(table.schema, map(change, found))
            table.add(changed, mode="overwrite")
            index_words(table)
            self._overwritten(form)

    def _overwritten(self, form: int | None = None) -> None:
        """Note that all rows were written anew; if others may have written meanwhile, nobody uses them."""
        pointer = self._keeper.seen()
        assert pointer is not None
        try:
            self._keeper.publish(
                replace(pointer, trained=0, form=pointer.form if form is None else form)
            )
        except IndexAwayError:
            self._keeper.spoil(pointer)
            raise

    def known_ids(self, agent_id: str, after_seq: int) -> set[str]:
        """Return the ids of an agent's rows after a seq: what was added before a crash."""
        where = f"agent_id = {quoted(agent_id)} AND seq > {int(after_seq)}"

        def ids(table: Any) -> set[str]:
            found = table.search().where(where).select(["id"]).limit(10_000_000).to_arrow()
            return set(found["id"].to_pylist())

        return self._asked(ids)

    def count(self, agent_id: str | None = None) -> int:
        """Return how many rows there are, of an agent or in all."""
        where = None if agent_id is None else f"agent_id = {quoted(agent_id)}"
        return int(self._asked(lambda table: table.count_rows(where)))

    def vectors_of(self, agent_id: str, seqs: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the vectors of an agent's rows of these seqs, by id."""
        if not seqs:
            return {}
        numbers = ", ".join(str(int(seq)) for seq in seqs)
        where = f"agent_id = {quoted(agent_id)} AND seq IN ({numbers})"

        def vectors(table: Any) -> dict[str, np.ndarray]:
            query = table.search().where(where).select(["id", "vector"])
            found = query.limit(10_000_000).to_arrow()
            return dict(zip(found["id"].to_pylist(), matrix(found), strict=True))

        return self._asked(vectors)

    def vectors_by_id(self, ids: Sequence[str]) -> dict[tuple[str, str], np.ndarray]:
        """Return the vectors of rows by their id and digest, whosever they are."""
        if not ids:
            return {}

        def vectors(table: Any) -> dict[tuple[str, str], np.ndarray]:
            query = table.search().where(f"id IN ({listed(ids)})")
            found = query.select(["id", "digest", "vector"]).limit(10_000_000).to_arrow()
            keys = zip(found["id"].to_pylist(), found["digest"].to_pylist(), strict=True)
            return dict(zip(keys, matrix(found), strict=True))

        return self._asked(vectors)

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

        def lines(table: Any) -> Any:
            query = table.search().where(where).select(columns).limit(10_000_000)
            if vectors is None:
                return query.to_arrow()
            found = query.to_batches()
            parts = [found.schema.empty_table().select(_LINE_COLUMNS)]
            for batch in found:
                part = pa.Table.from_batches([batch])
                vectors(matrix(part))
                parts.append(part.select(_LINE_COLUMNS))
            return pa.concat_tables(parts)

        return self._asked(lines)

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
                parts = self._keeper.storage.awaited(asked)
                return [candidate for part in parts for candidate in candidates_in(part)]

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
            pointer = self._keeper.seen()
            assert pointer is not None
            # Its parts are laid out for the rows there were: with many more they become too large.
            wants_ann = rows >= max(_ANN_ROWS, 4 * pointer.trained)
            lacking = table.index_stats("words_idx")
            unindexed = lacking.num_unindexed_rows if lacking is not None else rows
            most = _FRAGMENTS if self._keeper.storage.options is None else _FRAGMENTS_AWAY
            timely = pieces >= most or unindexed >= _UNINDEXED or wants_ann
            if not timely:
                return False
        with self._changing():
            try:
                if rows >= 1000 and "agent_id" not in have:
                    index_filters(table)
                if wants_ann:
                    index_vectors(table)
                    self._keeper.publish(replace(pointer, trained=rows))
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)
                self._sweep()
            except IndexAwayError:
                raise
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
                self._keeper.uri(), storage_options=self._keeper.storage.options
            )
            self._read = (name, await connection.open_table(name))
        else:
            # Once for a question, so that it sees what others add: with an interval each of its parts would.
            await self._read[1].checkout_latest()
        return self._read[1]

    def _known_name(self) -> str:
        name = self._named_by(self._keeper.seen())
        if name is None:
            raise IndexBrokenError("there is no table")
        return name

    def _asked(self, question: Callable[[Any], T]) -> T:
        """Return the table's answer to a question that may be large."""
        with self._broken():
            table = self._table()
            return self._keeper.storage.patiently(lambda: question(table), index_storage.LOAD)

    def _table(self) -> Any:
        name, storage = self._known_name(), self._keeper.storage
        with self._guard:
            if self._opened is None or self._opened[0] != name:
                self._opened = (
                    name,
                    storage.patiently(lambda: self._connect().open_table(name)),
                )
            else:
                storage.patiently(self._opened[1].checkout_latest)
            return self._opened[1]

    def _connect(self) -> Any:
        return lancedb().connect(self._keeper.uri(), storage_options=self._keeper.storage.options)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._broken(writing=True):
            self._keeper.changing()
            yield

    @contextlib.contextmanager
    def _broken(self, writing: bool = False) -> Iterator[None]:
        storage = self._keeper.storage
        storage.check(writing)
        try:
            yield
            storage.works(writing)
        except (IndexBrokenError, KeyboardInterrupt):
            raise
        except HiddenLibraryError as error:  # the index itself is well
            raise IndexBrokenError(str(error)) from error
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and others
            with self._guard:
                self._opened = self._read = None
            self._keeper.forget()
            failure = storage.failure(error, writing)
            # What an object storage answers may say whose key it was asked with.
            raise failure from (error if storage.options is None else None)


def discard_all(home: Path) -> None:
    """Remove the vector indexes of a project's folder, which are made anew from the store; others stay."""
    folder = Path(index_storage.local(home).root)
    for path in [*folder.glob("passages-*"), *folder.glob("messages-*")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
