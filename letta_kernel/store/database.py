"""The only way to the project's DuckDB file: short transactions, shared with other processes.

A `Database` keeps one connection for a short while and gives it up when it is idle or when another
process asks. `Database.run` is the only way in: it runs a function in one transaction and returns
after the commit, or raises and has changed nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import re
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from letta_kernel import private
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import ConflictError, ReadOnlyError, StoreError
from letta_kernel.ids import now, storable
from letta_kernel.store import backups, last_commit, opening, place, problems
from letta_kernel.store.lock import HomeLock, ReadersLock, identity
from letta_kernel.store.problems import Conflict

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds to wait for another process before saying so."""
SLICE = 0.1
"""Seconds a busy process may keep the connection while another waits. Opening costs 20-45 ms, so
handing over after every single transaction would leave little time for work."""
GRACE = 0.005
"""Seconds without a transaction after which a process counts as idle and gives way at once."""
_TICK = 0.01  # seconds between the timer thread's looks; it lives only while a connection is open
_ATTEMPTS = 5  # of a transaction, when other writers change the same rows meanwhile
# Never fetch an extension from the network. One thread: these are a few rows at a time.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": 1,
}

_everyone: weakref.WeakSet[Database] = weakref.WeakSet()


OPENED = "(opened)"  # no table's name
_openings = itertools.count(1)
_WRITE = re.compile(r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+\"?(\w+)", re.IGNORECASE)


@lru_cache(maxsize=1024)
def _written(sql: str) -> str | None:
    found = _WRITE.match(sql)
    return found[1].lower() if found else None


_statements: dict[str, duckdb.Statement] = {}


def _parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement | str:
    """Return *sql* parsed, which takes a quarter of a small statement's time, once for all."""
    known = _statements.get(sql)
    if known is None:
        found = connection.extract_statements(sql)
        if len(found) != 1:
            return sql
        if len(_statements) >= 1024:
            _statements.clear()
        known = _statements[sql] = found[0]
    return known


class CommittedInterrupt(KeyboardInterrupt):
    """The stop button was pressed during a commit, which is done; ``result`` is its value."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Tx:
    """One transaction; valid only inside the function given to `Database.run`.

    Parameters are `$1`, `$2`, …; text in them is freed of NUL and lone surrogates.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        writes: Mapping[str, int],
        refusal: str | None = None,
        skew: float = 0.0,
    ) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = connection
        self._path = path
        self._writes = writes
        self._refusal = refusal
        self._skew = skew
        self.begun = False  # by the first statement: a transaction that needs none costs nothing
        self.touched: set[str] = set()
        self.failure: BaseException | None = None

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written here."""
        return self._refusal is not None

    def now(self) -> datetime:
        """Return the moment by the clock that all machines that share this store have in common."""
        return now() + timedelta(seconds=self._skew) if self._skew else now()

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run a statement whose rows, if any, do not matter."""
        self._run(sql, params)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows."""
        return self._run(sql, params, fetch=True)

    def one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Run a statement and return its first row, or None."""
        rows = self._run(sql, params, fetch=True)
        return rows[0] if rows else None

    def _run(self, sql: str, params: Sequence[Any], fetch: bool = False) -> list[tuple[Any, ...]]:
        if self._connection is None:
            raise StoreError("This transaction is over: use it only inside Database.run.")
        if (table := _written(sql)) is not None:
            if self._refusal is not None:
                raise ReadOnlyError(self._refusal)
            self.touched.add(table)
        try:
            if not self.begun:
                self.begun = True
                self._connection.execute(_parsed(self._connection, "BEGIN"))
            self._connection.execute(
                _parsed(self._connection, sql), [storable(value) for value in params]
            )
            return self._connection.fetchall() if fetch else []
        except (duckdb.Error, RuntimeError, OSError, MemoryError) as error:
            self.failure = error
            if problems.is_interrupt(error):
                raise KeyboardInterrupt from None
            raise problems.explain(error, self._path) from error
        except KeyboardInterrupt as error:
            self.failure = error
            raise

    def stamp(self, *tables: str) -> tuple[int, ...] | None:
        """Return what stays the same as long as nobody, in any process, has written to *tables*.

        What was read from them under the same stamp need not be read again. It costs no query: while the
        lock is held nobody else can write, and a connection opened anew has a new stamp. None where this
        transaction itself has written to one of them.
        """
        if self.touched.intersection(tables):
            return None
        return (self._writes[OPENED], *(self._writes[table] for table in tables))

    def end(self) -> None:
        """Make this transaction unusable, so that nobody keeps it."""
        self._connection = None


class Database:
    """The database of one project folder, safe to use from any thread and beside other processes.

    Parameters
    ----------
    home
        The project folder; made on first use.
    lease
        Seconds an idle connection is kept open; 0 closes it after every transaction.
    patience
        Seconds to wait for other processes before raising StoreError.
    """

    def __init__(
        self, home: Path | str, lease: float = 0.25, *, patience: float = PATIENCE
    ) -> None:
        self.home = Path(home).expanduser().absolute()
        self.path = self.home / "letta.duckdb"
        self._log = f"{self.path}.wal"
        self.lease = lease
        self.patience = patience
        self._identity: tuple[int, int] | None = None
        self._unusable = False
        self._begin_in_this_process()
        _everyone.add(self)

    def _begin_in_this_process(self) -> None:
        self._mutex = threading.Lock()
        self._lock = self._home_lock = HomeLock(self.home)
        self._record = last_commit.Recorder(self.path)
        self._refusal: str | None = None  # why nothing can be written, as long as it is open
        self._skew = 0.0  # seconds by which the store's clock is ahead
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._tx: Tx | None = None
        self._open_ended = False  # a transaction was begun and may not have been ended
        self._joining = False  # what runs inside the transaction, on its thread, joins it
        self._running: int | None = None  # the thread inside a transaction
        self._wanting: dict[int, bool] = {}  # threads that wait for their turn
        self._writes: Counter[str] = (
            Counter()
        )  # commits that touched a table; openings under OPENED
        self._taken = self._last_used = 0.0
        self._watcher: threading.Thread | None = None

    def run(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in one transaction and return its result once that is committed.

        *work* may run more than once, if another writer changed the same rows meanwhile. It must be
        quick: no model call, no tool call, no network inside. Whatever it raises undoes everything.

        Raises
        ------
        StoreError
            The folder could not be opened, locked, read or written.
        ConflictError
            Other writers kept changing the same rows.
        CommittedInterrupt
            The stop button was pressed during the commit, which is done.
        """
        thread = threading.get_ident()
        if self._running == thread and self._mutex.locked():
            if self._joining and self._tx is not None:
                return work(self._tx)
            raise StoreError("A transaction cannot begin inside another one of the same thread.")
        committed: list[T] = []
        try:
            self._wanting[thread] = True
            with self._mutex:
                try:
                    self._wanting.pop(thread, None)
                    self._running = thread
                    self._repeat(work, committed)
                finally:
                    self._running = None
                    self._after()
            if self._wanting:
                time.sleep(0.0002)  # or this thread, in a loop, would always be first again
            return committed[0]
        except KeyboardInterrupt:
            if committed:
                raise CommittedInterrupt(committed[0]) from None
            raise
        finally:
            self._wanting.pop(thread, None)

    def run_joined(self, work: Callable[[Tx], T]) -> T:
        """Do what `run` does; what *work* runs in turn, on its thread, joins the transaction."""

        def joining(tx: Tx) -> T:
            self._joining = True
            try:
                return work(tx)
            finally:
                self._joining = False

        return self.run(joining)

    def close(self) -> None:
        """Close the connection and give up the lock. A later `run` opens it again."""
        with self._mutex:
            self._shut()
        backups.daily(self.home)

    def _repeat(self, work: Callable[[Tx], T], committed: list[T]) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(0.002 * 2**attempt)
            with contextlib.suppress(Conflict):
                self._transact(self._ready(), work, committed)
                return
        raise ConflictError("Others keep changing the same thing: nothing was changed. Try again.")

    def _transact(
        self, connection: duckdb.DuckDBPyConnection, work: Callable[[Tx], T], committed: list[T]
    ) -> None:
        self._tx = tx = Tx(connection, self.path, self._writes, self._refusal, self._skew)
        self._open_ended = True
        try:
            result = work(tx)
            if tx.failure is not None:  # DuckDB calls the COMMIT of a failed transaction a success
                line = str(tx.failure).partition("\n")[0]
                raise StoreError(
                    f"A statement failed in the transaction ({line}); nothing was saved."
                ) from tx.failure
            with Uninterrupted():
                if tx.begun:
                    try:
                        tx.execute("COMMIT")
                    except StoreError:
                        self._shut()  # what of it is on the disk is read anew
                        raise
                self._open_ended = False
                if tx.touched:
                    self._record.commit()
                    self._writes.update(tx.touched)
                    private.tighten(self._log)  # the driver makes it anew at will
                committed.append(result)
        finally:
            tx.end()
            if self._open_ended:
                self._undo(tx.failure)

    def _undo(self, failure: BaseException | None) -> None:
        with Uninterrupted():
            if failure is not None and problems.breaks_connection(failure):
                self._shut()
            elif self._connection is not None:
                try:
                    self._connection.execute("ROLLBACK")
                except duckdb.TransactionException:
                    pass  # there was none: BEGIN itself had not been reached
                except (duckdb.Error, RuntimeError):
                    self._shut()
            self._open_ended = False

    def _ready(self) -> duckdb.DuckDBPyConnection:
        """Return the open connection, opening it if need be; the mutex is held."""
        if self._unusable:
            raise StoreError(
                "This process was forked in the middle of a transaction and cannot use the store:"
                ' start processes with multiprocessing.get_context("spawn").'
            )
        if self._open_ended:
            self._undo(None)  # an interrupt struck between a transaction's failure and its undoing
        if self._connection is not None:
            if self._lock.intact() and identity(self.path) == self._identity:
                return self._connection
            self._shut()  # somebody deleted, moved or replaced the files under us
        if self._identity is not None and identity(self.path) is None:
            self._identity = None
            last_commit.check(self.path)
            raise StoreError(
                f"{self.path} was deleted or moved while in use: put it back, or run this again"
                " to begin with an empty one."
            )
        problems.check_folder(self.home)
        try:
            self._start_watcher()
            self._open()
            private.say(self.home)
        except (duckdb.Error, OSError, RuntimeError, MemoryError) as error:
            self._shut()
            raise problems.explain(error, self.path) from error
        except BaseException:
            self._shut()
            raise
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        """Take the lock and open the file: to write, or to read where it cannot be written or locked."""
        refusal = place.refusal(self.home)
        if refusal is None:
            private.folder(self.home)
            try:
                self._take(self._home_lock, opening.open_database)
                self._refusal, self._skew = None, place.skew(self.home / "letta.lock")
                return
            except (duckdb.Error, OSError) as error:
                refusal = place.lock_refusal(self.home, error)
                if refusal is None:
                    raise
                self._shut()
        if not self.path.exists():
            raise ReadOnlyError(refusal)
        self._take(ReadersLock(self.home), opening.open_to_read)
        self._refusal, self._skew = refusal, 0.0

    def _take(self, lock: HomeLock, connect: Callable[..., duckdb.DuckDBPyConnection]) -> None:
        self._lock = lock
        lock.acquire(self.patience)
        with Uninterrupted():
            self._taken = time.monotonic()
            self._connection = connect(self.path, _SETTINGS, self.patience)
            self._record.begin()
            self._identity = identity(self.path)
            self._writes[OPENED] = next(_openings)

    def _after(self) -> None:
        """Decide, at the end of a turn, whether the connection stays; the mutex is held."""
        self._last_used = time.monotonic()
        if self._lock.held and (
            self._connection is None
            or self._watcher is None
            or self.lease <= 0
            or (self._last_used - self._taken >= SLICE and self._lock.wanted())
        ):
            self._shut()

    def _start_watcher(self) -> None:
        # Before the lock is taken, so that wherever an interrupt strikes somebody will give it back.
        if self._watcher is None:
            watcher = threading.Thread(target=self._watch, name="letta-lease", daemon=True)
            with contextlib.suppress(RuntimeError):  # no new threads while the interpreter ends
                watcher.start()
                self._watcher = watcher

    def _watch(self) -> None:
        """Close the connection when its lease is over or somebody else wants it."""
        while True:
            time.sleep(_TICK)
            if not self._mutex.acquire(blocking=False):
                continue
            try:
                idle = time.monotonic() - self._last_used
                if (
                    self._connection is None
                    or idle >= self.lease
                    or (idle >= GRACE and self._lock.wanted())
                ):
                    rests = self._connection is not None and idle >= self.lease
                    self._shut()
                    self._watcher = None
                    break
            finally:
                self._mutex.release()
        if rests:
            backups.daily(self.home)

    def _shut(self) -> None:
        with Uninterrupted():
            connection, self._connection = self._connection, None
            try:
                if connection is not None:
                    with contextlib.suppress(duckdb.Error, RuntimeError):
                        connection.close()  # what was committed is in the log already
                        self._record.end()
            finally:
                with contextlib.suppress(OSError):
                    self._lock.release()

    def _forget(self, connected: bool) -> None:
        """In a forked child: begin afresh, or never again if the parent's connection came along."""
        if connected:
            if self._tx is not None:
                self._tx.end()
            if self._connection is not None:
                _keep_for_ever(self._connection)
        self._begin_in_this_process()
        self._unusable = connected


def _keep_for_ever(thing: object) -> None:
    # Closing the parent's connection in the child would write into the parent's file.
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_held_for_fork: dict[int, list[Database]] = {}  # by the thread that forks


def _before_fork() -> None:
    # A child that inherits an open database would share its state and its file handles: close first.
    thread = threading.get_ident()
    held = _held_for_fork[thread] = []
    with Uninterrupted():
        for database in list(_everyone):
            inside = database._running == thread and database._mutex.locked()
            if not inside and database._mutex.acquire(timeout=5):
                database._shut()
                held.append(database)


def _after_fork_in_parent() -> None:
    for database in _held_for_fork.pop(threading.get_ident(), []):
        database._mutex.release()


def _after_fork_in_child() -> None:
    closed = _held_for_fork.pop(threading.get_ident(), [])
    _held_for_fork.clear()
    for database in list(_everyone):
        database._forget(connected=database not in closed)


def _close_all() -> None:
    for database in list(_everyone):
        if database._mutex.acquire(timeout=5):
            try:
                database._shut()
            finally:
                database._mutex.release()
    _statements.clear()  # the driver complains of what outlives it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
atexit.register(_close_all)
