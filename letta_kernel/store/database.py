"""The only way to the project's DuckDB file: short transactions, shared with other processes.

A `Database` keeps one connection for a while and gives it up when it is idle or when another process asks.
`Database.run` is the only way in: it runs a function in one transaction and returns after the commit, or
raises and has changed nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

import duckdb

from letta_kernel import private, project, waiting
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import ConflictError, StoreBusyError, StoreError
from letta_kernel.hooks import users_code
from letta_kernel.store import automatic_backups, driver_errors, last_commit, purge_due, transaction
from letta_kernel.store.connection import LEASE, SharedConnection
from letta_kernel.store.driver_errors import Conflict
from letta_kernel.store.lock import identity
from letta_kernel.store.lock_wait import AnswerFromCopy, LockWait
from letta_kernel.store.snapshot import NoCopyError, Snapshot, state_of
from letta_kernel.store.transaction import OPENED, CommittedInterrupt, Tx

__all__ = ["CommittedInterrupt", "Database", "Tx"]

T = TypeVar("T")

_ATTEMPTS = 5  # of a transaction, when other writers change the same rows meanwhile
_STUCK = 1.0  # seconds for which it counts that nobody here could get the store

_LETS_GO = 0.25  # seconds that a cell waits for a transaction of another thread

_everyone: weakref.WeakSet[Database] = weakref.WeakSet()
_openings = itertools.count(1)


class Database:
    """The database of one project folder, safe to use from any thread and beside other processes.

    Parameters
    ----------
    home
        The project folder; made on first use.
    lease
        Seconds an idle connection is kept open; 0 closes it after every transaction.
    timeout
        Seconds that a request waits for the store before StoreBusyError tells it who has it; None as
        ``LETTA_STORE_WAIT`` has it.
    """

    def __init__(
        self, home: Path | str, lease: float = LEASE, *, timeout: float | None = None
    ) -> None:
        self.home = Path(home).expanduser().absolute()
        self.path = self.home / "letta.duckdb"
        self._log = f"{self.path}.wal"
        self.lease = lease
        self.timeout = timeout
        self._identity: tuple[int, int] | None = None
        self._unusable = False
        self._begin_in_this_process()
        _everyone.add(self)

    def _begin_in_this_process(self) -> None:
        self._mutex = threading.RLock()
        self._connection = SharedConnection(self.path, self.lease, self._mutex)
        self._snapshot = Snapshot(self.path, self._connection.lock)
        self._open_ended = False  # a transaction was begun and may not have been ended
        self._joining = False  # what runs inside the transaction, on its thread, joins it
        self._running: int | None = None  # the thread inside a transaction
        self._wanting: dict[int, bool] = {}  # threads that wait for their turn
        self._writes: Counter[str] = (
            Counter()
        )  # commits that touched a table; openings under OPENED
        # Since when nobody here can get the store, and when that was seen last.
        self._stuck: tuple[float, float] | None = None

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
        if self._running == threading.get_ident() and self._is_mine():
            if self._joining and self._connection.tx is not None:
                return work(self._connection.tx)
            raise StoreError("A transaction cannot begin inside another one of the same thread.")
        wait = self._wait(copy=True)
        try:
            return self._run(work, wait)
        except AnswerFromCopy:
            with contextlib.suppress(NoCopyError):
                found = self._snapshot.read(work)
                waiting.answered_from_copy()
                return found
            return self._run(work, wait)

    def _run(self, work: Callable[[Tx], T], wait: LockWait) -> T:
        thread = threading.get_ident()
        committed: list[T] = []
        try:
            try:
                self._wanting[thread] = True
                try:
                    while not self._mutex.acquire(timeout=wait.left(0.25)):
                        wait.passed(self.home, self._who)
                    self._wanting.pop(thread, None)
                    self._running = thread
                    self._repeat(work, committed, wait)
                finally:
                    if self._is_mine():
                        self._running = None
                        self._connection.used()
                return committed[0]
            finally:
                # In a block of its own: the mutex is given back wherever an interrupt struck before.
                if self._is_mine():
                    self._mutex.release()
                self._wanting.pop(thread, None)
                if self._wanting and committed:
                    time.sleep(
                        0.0002
                    )  # or this thread, in a loop, would always get the mutex again
        except KeyboardInterrupt:  # wherever it struck: what is committed is said to be
            if committed:
                raise CommittedInterrupt(committed[0]) from None
            raise

    def _is_mine(self) -> bool:
        """Whether this thread holds the mutex."""
        return bool(self._mutex._is_owned())  # type: ignore[attr-defined]

    def _who(self) -> str:
        """Describe what the store is kept by."""
        lock = self._connection.lock
        return "another request here" if lock.held else lock.holder()

    def _wait(self, copy: bool = False) -> LockWait:
        stuck = self._stuck
        since = stuck[0] if stuck is not None and time.monotonic() - stuck[1] < _STUCK else None
        return LockWait(self.timeout, since, copy)

    def run_joined(self, work: Callable[[Tx], T]) -> T:
        """Do what `run` does; what *work* runs in turn, on its thread, joins the transaction."""

        def joining(tx: Tx) -> T:
            self._joining = True
            try:
                return work(tx)
            finally:
                self._joining = False

        return self.run(joining)

    def exists(self) -> bool:
        """Whether there is anything yet: looking makes nothing.

        Raises
        ------
        StoreError
            It cannot be told.
        """
        return project.is_there(self.home)

    def changed(self) -> Hashable:
        """Return what differs once any process has written, at the cost of a look.

        It may differ for other reasons, too. Take it before reading: what is written meanwhile is seen then.

        Raises
        ------
        StoreError
            It cannot be told.
        """
        return state_of(self.path)  # each commit grows one of the files

    def close(self) -> None:
        """Close the connection and give up the lock. A later `run` opens it again."""
        with self._mutex:
            self._connection.close()
        self._snapshot.close()
        automatic_backups.daily(self.home)

    def hand_over(self, timeout: float = -1) -> None:
        """Let others have the store; a transaction of another thread is waited for *timeout* seconds."""
        if self._connection.open is not None and self._mutex.acquire(timeout=timeout):
            try:
                if self._running is None:
                    self._connection.close(whole=False)
            finally:
                self._mutex.release()

    def _repeat(self, work: Callable[[Tx], T], committed: list[T], wait: LockWait) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(0.002 * 2**attempt)
            with contextlib.suppress(Conflict):
                self._transact(self._ready(wait), work, committed)
                return
        raise ConflictError("Others keep changing the same thing: nothing was changed. Try again.")

    def _transact(
        self, connection: duckdb.DuckDBPyConnection, work: Callable[[Tx], T], committed: list[T]
    ) -> None:
        shared = self._connection
        shared.tx = tx = Tx(connection, self.path, self._writes, shared.refusal, shared.skew)
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
                        shared.close()  # what of it is on the disk is read anew
                        raise
                self._open_ended, tx.committed = False, True
                if tx.touched:
                    shared.record.commit()
                    self._writes.update(tx.touched)
                    private.tighten(self._log)  # the driver makes it anew at will
                committed.append(result)
        finally:
            tx.end()
            self._connection.tx = None
            if self._open_ended:
                self._undo(tx.failure)

    def _undo(self, failure: BaseException | None) -> None:
        with Uninterrupted():
            if failure is not None and driver_errors.breaks_connection(failure):
                self._connection.close()
            elif self._connection.open is not None:
                try:
                    self._connection.open.execute("ROLLBACK")
                except duckdb.TransactionException:
                    pass  # there was none: BEGIN itself had not been reached
                except (duckdb.Error, RuntimeError):
                    self._connection.close()
            self._open_ended = False

    def _ready(self, wait: LockWait | None = None) -> duckdb.DuckDBPyConnection:
        """Return the open connection, opening it if need be; the mutex is held."""
        wait = wait or self._wait()
        if self._unusable:
            raise StoreError(
                "This process was forked in the middle of a transaction and cannot use the store:"
                ' start processes with multiprocessing.get_context("spawn").'
            )
        if self._open_ended:
            self._undo(None)  # an interrupt struck between a transaction's failure and its undoing
        if self._connection.open is not None:
            if self._connection.lock.intact() and identity(self.path) == self._identity:
                return self._connection.open
            self._connection.close()  # somebody deleted, moved or replaced the files under us
        if self._identity is not None and identity(self.path) is None:
            self._identity = None
            last_commit.check(self.path)
            raise StoreError(
                f"{self.path} was deleted or moved while in use: put it back, or run this again"
                " to begin with an empty one."
            )
        driver_errors.check_folder(self.home)
        try:
            connection = self._connection.get(wait)
            self._stuck = None
            if (found := identity(self.path)) != self._identity and not self._connection.refusal:
                purge_due.opened(connection, self.home)
            self._identity = found
            self._writes[OPENED] = next(_openings)
            private.say(self.home)
        except (StoreBusyError, AnswerFromCopy):
            now, before = time.monotonic(), self._stuck
            first = before is None or wait.began > before[1] + _STUCK
            self._stuck = (wait.began if first or before is None else before[0], now)
            raise
        except (duckdb.Error, OSError, RuntimeError, MemoryError) as error:
            self._connection.close()
            raise driver_errors.explain(error, self.path) from error
        except BaseException:
            self._connection.close()
            raise
        self._snapshot.close()
        return connection

    def _forget(self, connected: bool) -> None:
        """In a forked child: begin afresh, or never again if the parent's connection came along."""
        held = self._connection
        if connected:
            if held.tx is not None:
                held.tx.end()
            if held.engine is not None:
                _keep_for_ever(held.engine)
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
            inside = database._running == thread and database._is_mine()
            if not inside and database._mutex.acquire(timeout=5):
                database._connection.close()
                database._snapshot.close()
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
                database._connection.close()
            finally:
                database._mutex.release()
        database._snapshot.close()
    transaction.forget_statements()  # the driver complains of what outlives it


def _let_go(cell: bool) -> None:
    """Before code of the user's runs: close what is open if it is a cell, else look again when to close it."""
    for database in list(_everyone):
        if cell:
            database.hand_over(_LETS_GO)
        else:
            database._connection.wake()


users_code.begins.append(_let_go)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
atexit.register(_close_all)
