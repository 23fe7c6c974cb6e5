"""A project's rows in a DuckDB file: one connection, shared with other processes by handing the file over.

It is kept for a while and given up when it is idle or when another process asks.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

import duckdb

from letta_kernel import private, waiting
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import StoreBusyError, StoreError
from letta_kernel.store import (
    automatic_backups,
    driver,
    driver_errors,
    duck_transaction,
    last_commit,
    purge_due,
)
from letta_kernel.store.connection import SharedConnection
from letta_kernel.store.database_file import FILE
from letta_kernel.store.driver import Driver
from letta_kernel.store.duck_transaction import OPENED, DuckTx
from letta_kernel.store.lock import identity
from letta_kernel.store.lock_wait import AnswerFromCopy, LockWait
from letta_kernel.store.snapshot import NoCopyError, Snapshot
from letta_kernel.store.transaction import CommittedInterrupt, Tx

T = TypeVar("T")

_STUCK = 1.0  # seconds for which it counts that nobody here could get the store

_openings = itertools.count(1)


class DuckDriver(Driver):
    """The DuckDB file of one project folder.

    Parameters
    ----------
    home : the project folder; made on first use.
    lease : seconds an idle connection is kept open; 0 closes it after every transaction.
    timeout : seconds that a request waits for the store; None as ``LETTA_STORE_WAIT`` has it.
    """

    in_file = True

    def __init__(self, home: Path, lease: float, timeout: float | None) -> None:
        self._home = home
        self.path = home / FILE
        self._log = f"{self.path}.wal"
        self._lease = lease
        self._timeout = timeout
        self._identity: tuple[int, int] | None = None
        self._unusable = False
        self._begin_in_this_process()

    def _begin_in_this_process(self) -> None:
        self._mutex = threading.RLock()
        self.connection = SharedConnection(self.path, self._lease, self._mutex)
        self._snapshot = Snapshot(self.path, self.connection.lock)
        self._open_ended = False  # a transaction was begun and may not have been ended
        self._running: int | None = None  # the thread inside a transaction
        self._wanting: dict[int, bool] = {}  # threads that wait for their turn
        # Commits that touched a table; openings under OPENED.
        self._writes: Counter[str] = Counter()
        # Since when nobody here can get the store, and when that was seen last.
        self._stuck: tuple[float, float] | None = None

    @property
    def where(self) -> str:
        """Where the rows are, for messages."""
        return str(self._home)

    def exists(self) -> bool:
        """Whether the project is there."""
        # The record alone: there was one, and its store was lost.
        return self.path.exists() or last_commit.place(self.path).exists()

    def changed(self) -> Hashable:
        """Return what differs once any process has written: each commit grows one of the files."""
        found: list[tuple[int, int, int] | None] = []
        for path in (self.path, self._log):
            entry = None
            with contextlib.suppress(OSError):
                status = os.stat(path)
                entry = (status.st_mtime_ns, status.st_size, status.st_ino)
            found.append(entry)
        return tuple(found)

    def size(self) -> int:
        """Return how many bytes the file has; 0 if there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def inside(self) -> bool:
        """Whether this thread is in the middle of a transaction here."""
        return self._running == threading.get_ident() and self._is_mine()

    def joined(self) -> Tx | None:
        """Return the transaction that this thread joins."""
        tx = self.connection.tx
        return tx if tx is not None and tx.joining else None

    def run(self, work: Callable[[Tx], T], *, strict: bool) -> T:
        """Do what `Database.run` says; all transactions are strict here, for only one goes on at a time."""
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
                        wait.passed(self._home, self._who)
                    self._wanting.pop(thread, None)
                    self._running = thread
                    driver.repeat(lambda: self._attempt(work, committed, wait), wait.until)
                finally:
                    if self._is_mine():
                        self._running = None
                        self.connection.used()
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

    def _attempt(self, work: Callable[[Tx], T], committed: list[T], wait: LockWait) -> None:
        connection = self._ready(wait)
        wait.over()
        self._transact(connection, work, committed)

    def _is_mine(self) -> bool:
        """Whether this thread holds the mutex."""
        return bool(self._mutex._is_owned())  # type: ignore[attr-defined]

    def _who(self) -> str:
        """Describe what the store is kept by."""
        lock = self.connection.lock
        return "another request here" if lock.held else lock.holder()

    def _wait(self, copy: bool = False) -> LockWait:
        stuck = self._stuck
        since = stuck[0] if stuck is not None and time.monotonic() - stuck[1] < _STUCK else None
        return LockWait(self._timeout, since, copy)

    def close(self) -> None:
        """Close the connection and give up the lock. A later `run` opens it again."""
        with self._mutex:
            self.connection.close()
        self._snapshot.close()
        automatic_backups.daily(self._home)

    def hand_over(self, timeout: float = -1) -> None:
        """Let others have the store; a transaction of another thread is waited for *timeout* seconds."""
        if self.connection.open is not None and self._mutex.acquire(timeout=timeout):
            try:
                if self._running is None:
                    self.connection.close(whole=False)
            finally:
                self._mutex.release()

    def wake(self) -> None:
        """Look again how long what is open may stay."""
        self.connection.wake()

    def _transact(
        self, connection: duckdb.DuckDBPyConnection, work: Callable[[Tx], T], committed: list[T]
    ) -> None:
        shared = self.connection
        shared.tx = tx = DuckTx(connection, self.path, self._writes, shared.refusal, shared.skew)
        self._open_ended = True
        driver.perform(
            tx, work, committed, lambda: self._commit(tx), lambda: self._undo(tx.failure)
        )

    def _commit(self, tx: DuckTx) -> None:
        shared = self.connection
        try:
            tx.commit()
        except StoreError:
            shared.close()  # what of it is on the disk is read anew
            raise
        self._open_ended, shared.tx = False, None
        if tx.touched:
            shared.record.commit()
            self._writes.update(tx.touched)
            private.tighten(self._log)  # the driver makes it anew at will

    def _undo(self, failure: BaseException | None) -> None:
        self.connection.tx = None
        with Uninterrupted():
            if not self._open_ended:
                return
            if failure is not None and driver_errors.breaks_connection(failure):
                self.connection.close()
            elif self.connection.open is not None:
                try:
                    self.connection.open.execute("ROLLBACK")
                except duckdb.TransactionException:
                    pass  # there was none: BEGIN itself had not been reached
                except (duckdb.Error, RuntimeError):
                    self.connection.close()
            self._open_ended = False

    def _ready(self, wait: LockWait | None = None) -> duckdb.DuckDBPyConnection:
        """Return the open connection, opening it if need be; the mutex is held."""
        wait = wait or self._wait()
        if self._unusable:
            raise StoreError(
                "This process was forked in the middle of a transaction and cannot use the store:"
                ' start processes with multiprocessing.get_context("spawn").',
                page="forked-process",
            )
        if self._open_ended:
            self._undo(None)  # an interrupt struck between a transaction's failure and its undoing
        if self.connection.open is not None:
            if self.connection.lock.intact() and identity(self.path) == self._identity:
                return self.connection.open
            self.connection.close()  # somebody deleted, moved or replaced the files under us
        if self._identity is not None and identity(self.path) is None:
            self._identity = None
            last_commit.check(self.path)
            raise StoreError(
                f"{self.path} was deleted or moved while in use: put it back, or run this again"
                " to begin with an empty one."
            )
        driver_errors.check_folder(self._home)
        try:
            connection = self.connection.get(wait)
            self._stuck = None
            if (found := identity(self.path)) != self._identity and not self.connection.refusal:
                purge_due.opened(connection, self._home)
            self._identity = found
            self._writes[OPENED] = next(_openings)
            private.say(self._home)
        except (StoreBusyError, AnswerFromCopy):
            now, before = time.monotonic(), self._stuck
            first = before is None or wait.began > before[1] + _STUCK
            self._stuck = (wait.began if first or before is None else before[0], now)
            raise
        except (duckdb.Error, OSError, RuntimeError, MemoryError) as error:
            self.connection.close()
            raise driver_errors.explain(error, self.path) from error
        except BaseException:
            self.connection.close()
            raise
        self._snapshot.close()
        return connection

    def before_fork(self) -> bool:
        """Close what is open: a child would share its state and its file handles."""
        if self.inside() or not self._mutex.acquire(timeout=5):
            return False
        self.connection.close()
        self._snapshot.close()
        return True

    def after_fork_in_parent(self) -> None:
        """Go on after a fork for which this was made ready."""
        self._mutex.release()

    def after_fork_in_child(self, connected: bool) -> None:
        """Begin afresh, or never again if the parent's connection came along."""
        held = self.connection
        if connected:
            if held.tx is not None:
                held.tx.end()
            if held.engine is not None:
                keep_for_ever(held.engine)
        self._begin_in_this_process()
        self._unusable = connected

    def end(self) -> None:
        """Close everything as the process ends."""
        if self._mutex.acquire(timeout=5):
            try:
                self.connection.close()
            finally:
                self._mutex.release()
        self._snapshot.close()
        duck_transaction.forget_statements()  # the engine complains of what outlives it


def keep_for_ever(thing: object) -> None:
    """Never close *thing*: closing the parent's connection in a child would end it for the parent."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
