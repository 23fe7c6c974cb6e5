"""One end of a move that is a DuckDB file in a project folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow

from letta_kernel import private
from letta_kernel.errors import NotFoundError, ReadOnlyError, StoreError
from letta_kernel.store import driver_errors, filesystem, last_commit, moved, opening
from letta_kernel.store.database_file import CONFIG, FILE, Settings
from letta_kernel.store.duck_transaction import DuckTx
from letta_kernel.store.lock import HomeLock
from letta_kernel.store.lock_wait import LockWait
from letta_kernel.store.move.end import End, Page, planned, single
from letta_kernel.store.move.shapes import Row, Shape
from letta_kernel.store.moved import Note
from letta_kernel.store.transaction import Tx

_SETTINGS: Settings = {**CONFIG, "memory_limit": "256MB"}
_CHUNK = 2048  # rows that DuckDB holds at once when it gives the rows of a statement bit by bit
_CHUNK_BYTES = 64 << 20  # that these may take
_ARROW = {
    "BIGINT": pyarrow.int64(),
    "INTEGER": pyarrow.int32(),
    "BOOLEAN": pyarrow.bool_(),
    "DOUBLE": pyarrow.float64(),
    "TIMESTAMP WITH TIME ZONE": pyarrow.timestamp("us", tz="UTC"),
    "BLOB": pyarrow.binary(),
    "VARCHAR[]": pyarrow.list_(pyarrow.string()),
}


class DuckEnd(End):
    """The store in the folder *home*."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / FILE
        self.shown = str(home)
        self._lock: HomeLock | None = None
        self._open: duckdb.DuckDBPyConnection | None = None
        self._plans: dict[str, tuple[list[Page], bool]] = {}

    def exists(self) -> bool:
        """Whether there is a file, or was one that was lost."""
        files = (self.path, last_commit.place(self.path), last_commit.log_of(self.path))
        return any(one.exists() for one in files)

    def open(self, said: str, *, make: bool) -> None:
        """Take the project's lock and open the file."""
        driver_errors.check_folder(self.home)
        if not make and not self.exists():
            raise NotFoundError(f"There is no project in {self.home}.")
        if (refusal := filesystem.refusal(self.home)) is not None:
            raise ReadOnlyError(refusal)
        try:
            private.folder(self.home)
            self._lock = HomeLock(self.home, said)
            self._lock.acquire(LockWait())
        except OSError as error:
            raise driver_errors.explain(error, self.path) from error
        with self._explained():
            self._open = opening.open_database(self.path, _SETTINGS, halfway=True)

    def close(self) -> None:
        """Close the file, its log taken in, and give the lock back."""
        opened, self._open = self._open, None
        try:
            if opened is not None:
                with contextlib.suppress(duckdb.Error, RuntimeError):
                    opened.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def note(self) -> Note | None:
        """Return what stands in it of a move."""
        rows = self._query("SELECT value FROM settings WHERE key = $1", [moved.KEY])
        return moved.read(rows[0][0] if rows else None)

    def put_note(self, note: Note | None) -> None:
        """Keep a note, or none; it is read by whoever opens the file."""
        with self._committed() as connection:
            moved.keep(connection.execute, note)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Tx]:
        """Give a transaction that is only read."""
        with self._explained(), contextlib.closing(self._connection.cursor()) as cursor:
            tx = DuckTx(cursor, self.path, None, "It is being moved.")
            try:
                yield tx
            finally:
                tx.end()
                with contextlib.suppress(duckdb.Error):
                    cursor.execute("ROLLBACK")

    def count(self, shape: Shape) -> int:
        """Return how many rows of a table are to be copied."""
        rows = self._query(f'SELECT count(*) FROM "{shape.name}" WHERE {shape.condition}')
        return int(rows[0][0])

    def pages(self, shape: Shape) -> Iterator[Sequence[Row]]:
        """Yield the rows of a table.

        DuckDB gives them as they are sorted, so many at once as it likes. Where those are large, each page is
        asked for by its keys: that reads the keys of the whole table for each.
        """
        plan, heavy = self._plan(shape)
        by = _by(shape)
        with self._explained(), contextlib.closing(self._connection.cursor()) as cursor:
            if not heavy:
                cursor.execute(
                    f'SELECT {shape.names} FROM "{shape.name}" WHERE {shape.condition} ORDER BY {by}'
                )
                for page in plan:
                    yield cursor.fetchmany(page.rows)
                return
            key = ", ".join(by.split(", "))
            last: Row | None = None
            width = len(by.split(", "))
            for page in plan:
                until = ", ".join(f"${n}" for n in range(1, width + 1))
                after = ", ".join(f"${n}" for n in range(width + 1, 2 * width + 1))
                bounds = f"row({key}) <= row({until})"
                if last is not None:
                    bounds += f" AND row({key}) > row({after})"
                yield cursor.execute(
                    f'SELECT {shape.names} FROM "{shape.name}" WHERE {shape.condition} AND {bounds}'
                    f" ORDER BY {by}",
                    [*page.last, *(last or ())],
                ).fetchall()
                last = page.last

    def _plan(self, shape: Shape) -> tuple[list[Page], bool]:
        """Return the pages of a table, and whether so many rows at once as DuckDB likes take too much."""
        if shape.name in self._plans:
            return self._plans[shape.name]
        count, size = self._query(
            f'SELECT count(*), coalesce(sum({_size(shape)}), 0) FROM "{shape.name}" WHERE {shape.condition}'
        )[0]
        if (one := single(count, size)) is not None:
            self._plans[shape.name] = one, False
            return self._plans[shape.name]
        most = [0, 0, 0]  # bytes of the last rows, by half chunks: any whole chunk is within three
        heaviest = 0

        def sizes() -> Iterator[tuple[Row, int]]:
            nonlocal heaviest, most
            by = _by(shape)
            with contextlib.closing(self._connection.cursor()) as cursor:
                cursor.execute(
                    f'SELECT {_size(shape)}, {by} FROM "{shape.name}" WHERE {shape.condition}'
                    f" ORDER BY {by}"
                )
                while rows := cursor.fetchmany(_CHUNK // 2):
                    most = [*most[1:], sum(row[0] for row in rows)]
                    heaviest = max(heaviest, sum(most))
                    yield from ((row[1:], row[0]) for row in rows)

        with self._explained():
            plan = planned(sizes())
        self._plans[shape.name] = plan, heaviest > _CHUNK_BYTES
        return self._plans[shape.name]

    def write(
        self, shape: Shape, rows: Sequence[Row], gone: Sequence[Row] = (), note: Note | None = None
    ) -> None:
        """Take out the rows with the keys *gone*, put in *rows*, keep *note*, and commit."""
        self._plans.pop(shape.name, None)
        if gone:  # by itself: DuckDB does not take the same key again within a transaction
            where = " AND ".join(f'"{name}" = ${n}' for n, name in enumerate(shape.key, start=1))
            with self._committed() as connection:
                for key in gone:
                    connection.execute(f'DELETE FROM "{shape.name}" WHERE {where}', list(key))
        with self._committed() as connection:
            if rows:
                batch = pyarrow.Table.from_arrays(
                    [
                        pyarrow.array(column, _ARROW.get(kind, pyarrow.string()))
                        for column, (_, kind) in zip(
                            zip(*rows, strict=True), shape.columns, strict=True
                        )
                    ],
                    names=[name for name, _ in shape.columns],
                )
                connection.register("moved_rows", batch)
                try:
                    connection.execute(
                        f'INSERT INTO "{shape.name}" ({shape.names}) SELECT {shape.names} FROM moved_rows'
                    )
                finally:
                    connection.unregister("moved_rows")
            if note is not None:
                moved.keep(connection.execute, note)

    def clear(self, shape: Shape) -> None:
        """Take out all rows of a table and commit."""
        self._plans.pop(shape.name, None)
        with self._committed() as connection:
            connection.execute(f'DELETE FROM "{shape.name}" WHERE {shape.condition}')

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._open is None:
            raise StoreError(f"{self.path} is not open.")
        return self._open

    def _query(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        with self._explained():
            return self._connection.execute(sql, list(params)).fetchall()

    @contextlib.contextmanager
    def _committed(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._connection
        with self._explained():
            connection.execute("BEGIN")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(duckdb.Error, RuntimeError):
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, RuntimeError, MemoryError) as error:
            if driver_errors.is_interrupt(error):
                raise KeyboardInterrupt from None
            raise driver_errors.explain(error, self.path) from error


def folder_of(path: str) -> Path:
    """Return the folder that is meant, wherever links lead."""
    return Path(os.path.realpath(Path(path).expanduser()))


def _by(shape: Shape) -> str:
    return ", ".join(f'"{name}"' for name in shape.key) or "rowid"


def _size(shape: Shape) -> str:
    """Return how many bytes a row takes, about, as an expression."""
    parts = ["64"]
    for name, kind in shape.columns:
        if kind == "BLOB":
            parts.append(f'coalesce(octet_length("{name}"), 0)')
        elif kind in ("VARCHAR", "JSON", "VARCHAR[]"):
            parts.append(f'coalesce(strlen("{name}"::varchar), 0)')
        else:
            parts.append("8")
    return " + ".join(parts)
