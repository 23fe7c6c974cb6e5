"""Read the last committed state from a copy of the files, while another process keeps the store.

DuckDB lets nobody read a file that another process has open for writing. Its bytes can be copied though, and
a copy is what a kill -9 of that process would leave, which DuckDB opens: every commit is in it, nothing else.
That holds where nobody writes while they are copied. So they are copied only when they have not changed for a
while, and the copy counts only if they are unchanged after it too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb

from letta_kernel.errors import ReadOnlyError, StoreError
from letta_kernel.store import migrations, opening
from letta_kernel.store.database_file import CONFIG
from letta_kernel.store.duck_transaction import DuckTx
from letta_kernel.store.lock import HomeLock
from letta_kernel.store.transaction import Tx

T = TypeVar("T")

MOST_BYTES = 2_000_000_000
"""Of a store that is copied."""
_STILL = 0.5  # seconds for which the files must not have changed

State = tuple[tuple[int, int, int] | None, ...]


class NoCopyError(Exception):
    """No copy can answer: somebody writes, or the question writes itself."""


class Snapshot:
    """A copy of a project's store, made for a reader and kept until the store itself is available again."""

    def __init__(self, path: Path, lock: HomeLock) -> None:
        self._path = path
        self._lock = lock
        self._mutex = threading.Lock()
        self._of: State = ()
        self._copy: duckdb.DuckDBPyConnection | None = None

    def read(self, work: Callable[[Tx], T]) -> T:
        """Return what *work* finds in the copy.

        Raises
        ------
        NoCopyError
            It writes, or there can be no copy now.
        """
        with self._mutex:
            connection = self._current()
            tx = DuckTx(connection, self._path, None, "A copy is only read.")
            try:
                result = work(tx)
            except Exception as error:
                if tx.failure is None and not isinstance(error, ReadOnlyError):
                    raise
                raise NoCopyError from error
            finally:
                tx.end()
                with contextlib.suppress(duckdb.Error, RuntimeError):
                    connection.execute("ROLLBACK")
            if tx.failure is not None:
                raise NoCopyError
            return result

    def close(self) -> None:
        """Let go of the copy: the store itself is there."""
        if self._copy is not None:
            with self._mutex:
                self._forget()

    def _current(self) -> duckdb.DuckDBPyConnection:
        if self._copy is not None and state_of(self._path) == self._of:
            return self._copy
        self._forget()
        with copied(self._path, self._lock) as (copy, state):
            try:
                self._copy = duckdb.connect(copy, read_only=True, config=CONFIG)
                self._copy.execute("SET TimeZone = 'UTC'")
                version = self._copy.execute("SELECT version FROM schema_version").fetchone()
                opening.moved_away(self._copy, self._path)
            except (duckdb.Error, RuntimeError, StoreError):
                version = None
            if self._copy is None or version != (len(migrations.MIGRATIONS),):
                self._forget()
                raise NoCopyError
            self._of = state
        return self._copy

    def _forget(self) -> None:
        connection, self._copy = self._copy, None
        if connection is not None:
            with contextlib.suppress(duckdb.Error, RuntimeError):
                connection.close()


@contextlib.contextmanager
def copied(path: Path, lock: HomeLock) -> Iterator[tuple[Path, State]]:
    """Give the path of a copy of the store as it was committed last, and what state of the files it is of.

    Raises
    ------
    NoCopyError
        None can be had.
    """
    # Closing a file that this very process has open for writing would drop the lock it holds on it.
    if os.name != "posix" or not lock.held_elsewhere():
        raise NoCopyError
    before = state_of(path)
    known = [one for one in before if one is not None]
    newest = max((one[2] for one in known), default=0) / 1e9
    if before[0] is None or not 0 < newest < time.time() - _STILL:
        raise NoCopyError
    if sum(one[1] for one in known) > MOST_BYTES:
        raise NoCopyError
    try:
        with tempfile.TemporaryDirectory(
            prefix="letta-kernel-", ignore_cleanup_errors=True
        ) as folder:
            for file, state in zip(_files(path), before, strict=True):
                if state is not None:
                    shutil.copyfile(file, Path(folder, file.name))
            if state_of(path) != before:
                raise NoCopyError
            yield Path(folder, path.name), before
    except OSError as error:
        raise NoCopyError from error


def state_of(path: Path) -> State:
    """Return what tells that the database file or its log has changed."""
    found: list[tuple[int, int, int] | None] = []
    for file in _files(path):
        try:
            status = os.stat(file)
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _files(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(path.name + ".wal")
