"""The one connection of a process to a project's file: opened under the lock, kept for a while, handed over.

It is closed when another process wants it and when its lease is over. A process at rest, which runs no code
of the user's, keeps it for long and is woken by whoever wants it; any other closes it soon, because a C call
or a debugger might keep all of its threads still.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import duckdb

from letta_kernel import private
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import ReadOnlyError
from letta_kernel.hooks import users_code
from letta_kernel.store import automatic_backups, filesystem, last_commit, opening
from letta_kernel.store.database_file import CONFIG
from letta_kernel.store.duck_transaction import DuckTx
from letta_kernel.store.lock import HomeLock, ReadersLock
from letta_kernel.store.lock_wait import LockWait

LEASE = 0.25
"""Seconds that an idle connection is kept open."""
AT_REST = 30.0
"""Seconds that a process at rest keeps it."""
GRACE = 0.005
"""Seconds without a transaction after which a process counts as idle and gives way at once."""
WORST_WAIT = 0.2
"""Seconds that those who wait may have to, all before them included: it sets how long one may go on. Handing
over costs some 10-40 ms, so nobody goes on for less than that takes, however many wait."""
_LONGEST_SLICE = 0.1  # seconds
_TIDY = 0.25  # seconds of rest after which the log becomes part of the file
_LOOK = 0.02  # seconds between looks at a transaction that goes on while others wait


class SharedConnection:
    """The connection, the lock it is open under, and the thread that lets go of them in time.

    Parameters
    ----------
    path : the database file.
    lease : seconds an idle connection is kept open; 0 closes it after every transaction.
    mutex : held by whoever uses it, in this process.
    """

    def __init__(self, path: Path, lease: float, mutex: threading.RLock) -> None:
        self._path = path
        self._lease = lease
        self._mutex = mutex
        self._log = path.with_name(path.name + ".wal")
        self.lock = self._home_lock = HomeLock(path.parent)
        self.refusal: str | None = None  # why nothing can be written, as long as it is open
        self.skew = 0.0  # seconds by which the store's clock is ahead
        self.record = last_commit.Recorder(path)
        self.engine: duckdb.DuckDBPyConnection | None = None  # kept while the file is closed
        self.open: duckdb.DuckDBPyConnection | None = None
        self.tx: DuckTx | None = None  # the one that goes on
        self._taken = self._last_used = 0.0
        self._cost = 0.03  # seconds that a hand-over takes, as measured lately
        self._tidy = False
        self._watcher: threading.Thread | None = None

    def get(self, wait: LockWait) -> duckdb.DuckDBPyConnection:
        """Open it, once nobody else has the file open.

        Raises
        ------
        ReadOnlyError
            It can only be read, and is not there.
        StoreBusyError, AnswerFromCopy
            As `LockWait.passed` has it.
        duckdb.Error, OSError
            What is wrong with the file or its folder.
        """
        self._start_watcher()
        home = self._path.parent
        refusal = filesystem.refusal(home)
        if refusal is None:
            private.folder(home)
            try:
                opened = self._open_to_write(wait)
                self.skew = filesystem.skew(home / "letta.lock")
                return opened
            except (duckdb.Error, OSError) as error:
                refusal = filesystem.lock_refusal(home, error)
                if refusal is None:
                    raise
                self.close()
        if not self._path.exists():
            raise ReadOnlyError(refusal)
        self.lock = ReadersLock(home)
        self.lock.acquire(wait)
        with Uninterrupted():
            self.open = opening.open_to_read(self._path, CONFIG, wait.left())
            self._opened()
        self.refusal, self.skew = refusal, 0.0
        return self.open

    def _open_to_write(self, wait: LockWait) -> duckdb.DuckDBPyConnection:
        if self.engine is None:  # before others have to wait for it
            self.engine = duckdb.connect(":memory:", config=CONFIG)
            self.engine.execute("SET TimeZone = 'UTC'")
        self.lock = self._home_lock
        self.lock.acquire(wait)
        with Uninterrupted():
            began = time.monotonic()
            self.refusal = opening.attach(self.engine, self._path, CONFIG, wait.left())
            self.open = self.engine
            self._opened()
            self._took(self._taken - began)
        return self.engine

    def _opened(self) -> None:
        self.record.begin()
        self._taken = self._last_used = time.monotonic()
        self._tidy = False

    def used(self) -> None:
        """Decide, at the end of a transaction, whether it stays open; the mutex is held."""
        self._last_used = time.monotonic()
        self._tidy = False
        if self.lock.held and (
            self.open is None or self._watcher is None or self._lease <= 0 or self._had_its_turn()
        ):
            self.close(whole=False)

    def close(self, *, whole: bool = True) -> None:
        """Close it and give up the lock; if not *whole*, keep the engine, which opens it soon again."""
        with Uninterrupted():
            began = time.monotonic()
            opened, self.open = self.open, None
            try:
                if opened is not None and opened is not self.engine:  # one to read
                    with contextlib.suppress(duckdb.Error, RuntimeError):
                        opened.close()
                elif opened is not None and not whole:
                    try:
                        opening.detach(opened)
                    except (duckdb.Error, RuntimeError):
                        whole = True
                if whole and self.engine is not None:
                    engine, self.engine = self.engine, None
                    with contextlib.suppress(duckdb.Error, RuntimeError):
                        engine.close()  # what was committed is in the log already
                if opened is not None:
                    self.record.end()
                    if not whole:
                        self._took(time.monotonic() - began)
            finally:
                with contextlib.suppress(OSError):
                    self.lock.release()

    def wake(self) -> None:
        """Let the watching thread look again at how long the connection may stay."""
        if self.open is not None:
            self.lock.signal.send()

    def _took(self, seconds: float) -> None:
        """Record how long half a hand-over took."""
        self._cost += 0.2 * (2 * seconds - self._cost)

    def _had_its_turn(self) -> bool:
        """Whether it is time to let in those who wait."""
        had = time.monotonic() - self._taken
        if had < self._cost or not (others := self.lock.wanted()):
            return False
        return had >= min(_LONGEST_SLICE, max(self._cost, WORST_WAIT / others - self._cost))

    def _start_watcher(self) -> None:
        # Start it before the lock is taken: then somebody gives the lock back wherever an interrupt strikes.
        if self._watcher is None:
            watcher = threading.Thread(target=self._watch, name="letta-lease", daemon=True)
            with contextlib.suppress(RuntimeError):  # no new threads while the interpreter ends
                watcher.start()
                self._watcher = watcher

    def _watch(self) -> None:
        """Close the connection when its lease is over or somebody else wants it."""
        pause = GRACE
        while True:
            self.lock.signal.wait(pause)
            if not self._mutex.acquire(blocking=False):
                wanted = bool(self.lock.wanted())
                tx = self.tx
                if wanted and tx is not None:
                    tx.give_way()
                pause = _LOOK if wanted else LEASE
                continue
            try:
                pause = self._look()
                if pause <= 0:
                    rests = self.open is not None and not self.lock.wanted()
                    self.close(whole=False)
                    self._watcher = None
                    break
            finally:
                self._mutex.release()
        if rests:
            automatic_backups.daily(self._path.parent)

    def _look(self) -> float:
        """Return the seconds until there is something to do; none if it is time to close."""
        if self.open is None:
            return 0.0
        idle = time.monotonic() - self._last_used
        if self.lock.wanted():
            return max(GRACE, self._cost / 4) - idle  # on a slow machine any pause is longer
        resting = self._lease > 0 and users_code.at_rest
        if not resting or idle >= _TIDY:
            if resting and not self._tidy:
                self._tidy = True
                self._take_in_log()
            return (max(self._lease, AT_REST) if resting else self._lease) - idle
        return _TIDY - idle

    def _take_in_log(self) -> None:
        """Make the log part of the file in a pause, so that no turn and no hand-over has to."""
        with contextlib.suppress(duckdb.Error, RuntimeError, OSError):
            if self.open is not None and self._log.stat().st_size:
                self.open.execute("CHECKPOINT")
                self.record.begin()
