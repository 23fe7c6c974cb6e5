"""One rebuildable table of words and vectors per kind of line and embedder.

Everything here can be deleted at any time: the store has the truth, and the index is filled again. The table
is in a folder of the project or in an object storage (`index_storage`); a pointer says which generation of it
is in use (`pointers`). Only one process at a time writes (`VectorTable.writing`); any number search.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

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
from letta_kernel.store.vector_queries import IndexRow
from letta_kernel.store.vector_reader import VectorReader

__all__ = ["IndexAwayError", "IndexBrokenError", "VectorTable", "discard_all"]

_FRAGMENTS = 100  # pieces a table may be in before it is tidied up; each add makes one
_FRAGMENTS_AWAY = 8  # the same where each piece costs a search some requests over the network
_ANN_ROWS = 5_000  # from here on vectors get an index: comparing all takes over 5 ms then
_UNINDEXED = (
    5_000  # rows an index may lack before it is brought up to date: they are compared singly
)
_KEEP_VERSIONS = timedelta(minutes=10)  # old versions go after so long: a search takes milliseconds

_TABLE = re.compile(r"-\d+-[0-9a-f]+$")  # what its dimension and generation add to a stem


class VectorTable(VectorReader):
    """The table of one kind of lines and one embedder."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(keeper)
        self._writer = threading.Lock()

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

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._broken(writing=True):
            self._keeper.changing()
            yield


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
