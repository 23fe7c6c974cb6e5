"""A project's rows in PostgreSQL: a schema of its own, and a few connections that all threads share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from letta_kernel import settings
from letta_kernel.concurrency import Uninterrupted, obey_stop
from letta_kernel.errors import ConflictError, StoreBusyError, StoreError
from letta_kernel.store import driver, pg_connection, pg_errors
from letta_kernel.store.driver import Conflict, Driver
from letta_kernel.store.duck import keep_for_ever
from letta_kernel.store.lock_wait import LockWait
from letta_kernel.store.pg_address import address
from letta_kernel.store.pg_connection import Connection
from letta_kernel.store.pg_errors import ConnectionLost, UnreachableError
from letta_kernel.store.pg_transaction import Clock, PgTx, begins
from letta_kernel.store.transaction import CommittedInterrupt, Tx

T = TypeVar("T")

_RESTS = 30.0  # seconds that a connection is kept which nobody uses
_RESTARTS = 10.0  # seconds for which a server that was there is looked for again
_TRIES_IF_TAKEN = 5  # of a transaction that meets a unique value of another


class PgDriver(Driver):
    """One project in PostgreSQL.

    Parameters
    ----------
    url : as in ``LETTA_STORE``.
    home : the project folder.
    timeout : seconds that a request waits for a connection and for others; None as ``LETTA_STORE_WAIT`` has it.
    """

    def __init__(self, url: str, home: Path, timeout: float | None) -> None:
        self._address = address(url, home)
        self._timeout = timeout
        self._most = settings.STORE_CONNECTIONS()
        self._schema = self._address.project
        self._refusal: str | None = None  # why nothing can be written
        self._clock = Clock()
        self._begin_in_this_process()

    def _begin_in_this_process(self) -> None:
        self._free = threading.Condition()
        self._idle: list[tuple[Connection, float]] = []  # and since when, the newest last
        self._busy: dict[int, PgTx | None] = {}  # by thread
        self._closer: threading.Thread | None = None
        self._known = False  # it was reached

    def __repr__(self) -> str:
        return f"PgDriver({self._address!r})"

    @property
    def where(self) -> str:
        """Where the rows are, for messages."""
        return str(self._address)

    def exists(self) -> bool:
        """Whether the project is there."""
        return self._looked(lambda one: pg_connection.version(one, self._schema)) is not None

    def changed(self) -> Hashable:
        """Return what differs once anybody has written to this server."""
        return self._looked(
            lambda one: one.execute("SELECT pg_current_snapshot()::text").fetchone()
        )

    def inside(self) -> bool:
        """Whether this thread is in the middle of a transaction here."""
        return self._busy.get(threading.get_ident()) is not None

    def joined(self) -> Tx | None:
        """Return the transaction that this thread joins."""
        tx = self._busy.get(threading.get_ident())
        return tx if tx is not None and tx.joining else None

    def run(self, work: Callable[[Tx], T], *, strict: bool) -> T:
        """Do what `Database.run` says."""
        wait = LockWait(self._timeout)
        committed: list[T] = []
        met = _Met()

        def attempt() -> None:
            with met.forgiven(self, wait):
                self._transact(work, committed, strict, wait)

        try:
            driver.repeat(attempt, wait.until)
            return committed[0]
        except KeyboardInterrupt:  # wherever it struck: what is committed is said to be
            if committed:
                raise CommittedInterrupt(committed[0]) from None
            raise

    def _transact(
        self, work: Callable[[Tx], T], committed: list[T], strict: bool, wait: LockWait
    ) -> None:
        thread, free = threading.get_ident(), self._free
        connection: Connection | None = None
        reusable = False
        try:
            self._enter(thread, wait)
            connection = self._take()
            begin = begins(self._schema, strict and self._refusal is None, self._address.pooled)
            tx = PgTx(connection, begin, self.where, self._clock, self._refusal)
            self._busy[thread] = tx
            driver.perform(tx, work, committed, tx.commit, lambda: None)
            reusable = True
        except Exception:
            reusable = True  # after an interrupt nobody knows what the driver was at
            raise
        finally:
            if self._free is free:  # else this is a child that was forked in there
                with Uninterrupted():
                    if connection is not None:
                        self._give_back(connection, reusable)
                    self._leave(thread)

    def _enter(self, thread: int, wait: LockWait) -> None:
        """Wait until one of the connections may be used."""
        with self._free:
            while len(self._busy) >= self._most and thread not in self._busy:
                if time.monotonic() >= wait.until:
                    raise StoreBusyError(
                        f"All {self._most} connections to {self.where} have been in use for"
                        f" {time.monotonic() - wait.began:.0f} s: try again, or raise LETTA_STORE_CONNECTIONS."
                    )
                self._free.wait(wait.left(0.25))
                obey_stop()
            self._busy[thread] = None

    def _leave(self, thread: int) -> None:
        with self._free:
            self._busy.pop(thread, None)
            self._free.notify()

    def _take(self) -> Connection:
        with Uninterrupted(), self._free:
            while self._idle:
                connection, _ = self._idle.pop()
                if not connection.closed:
                    return connection
        connection = pg_connection.connect(self._address)
        try:
            with self._told():
                self._name_project(connection)
                refusal = pg_connection.bring_up_to_date(connection, self._address, self._schema)
                pg_connection.settle(connection, self._address)
        except BaseException:
            connection.close()
            raise
        self._refusal = refusal
        self._known = True
        return connection

    def _looked(self, look: Callable[[Connection], T]) -> T:
        """Return what *look* finds outside of transactions; no project is made for it."""
        with Uninterrupted(), self._free:
            idle = self._idle.pop()[0] if self._idle else None
        if idle is not None:
            try:
                return look(idle)
            except psycopg.Error:
                idle.close()  # its server was restarted, perhaps
            except KeyboardInterrupt:
                idle.close()
                raise
            finally:
                self._give_back(idle, True)
        connection = pg_connection.connect(self._address)
        try:
            with self._told():
                self._name_project(connection)
                found = look(connection)
                ready = pg_connection.is_up_to_date(connection, self._schema)
                if ready:
                    pg_connection.settle(connection, self._address)
        except BaseException:
            connection.close()
            raise
        if ready:
            self._give_back(connection, True)
        else:
            connection.close()
        return found

    def _name_project(self, connection: Connection) -> None:
        if not self._schema:
            row = connection.execute("SELECT current_user").fetchone()
            self._schema = str(row[0]) if row else ""

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            explained = pg_errors.explain(error, self.where)
            if isinstance(explained, ConnectionLost | Conflict):
                explained = UnreachableError(
                    f"The connection to {self.where} broke ({explained}): try again."
                )
            raise explained from error

    def _give_back(self, connection: Connection, reusable: bool) -> None:
        """Keep a connection for the next who needs one, if nothing is left on it."""
        try:
            status = connection.info.transaction_status
            if reusable and status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                connection.execute("ROLLBACK")
                status = connection.info.transaction_status
            if not reusable or status != TransactionStatus.IDLE:
                connection.close()  # the server undoes what was not committed
        except psycopg.Error:
            connection.close()
        if connection.closed:
            return
        with self._free:
            self._idle.append((connection, time.monotonic()))
            if self._closer is None:
                closer = threading.Thread(target=self._close_idle, name="letta-store", daemon=True)
                with contextlib.suppress(RuntimeError):  # no new threads while the interpreter ends
                    closer.start()
                    self._closer = closer

    def _close_idle(self) -> None:
        """Close connections that nobody has used for a while, until none is left."""
        while True:
            time.sleep(_RESTS / 4)
            old = []
            with self._free:
                while self._idle and time.monotonic() - self._idle[0][1] > _RESTS:
                    old.append(self._idle.pop(0)[0])
                left = bool(self._idle)
                if not left:
                    self._closer = None
            for connection in old:
                connection.close()
            if not left:
                return

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._free:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def before_fork(self) -> bool:
        """Hold what is shared, so that no thread is in the middle of it."""
        return self._free.acquire(timeout=5)

    def after_fork_in_parent(self) -> None:
        """Go on after a fork."""
        self._free.release()

    def after_fork_in_child(self, connected: bool) -> None:
        """Begin afresh; the parent's connections stay as they are."""
        keep_for_ever(self._idle)
        for tx in self._busy.values():
            if tx is not None:
                keep_for_ever(tx.connection)
                tx.end()
        self._begin_in_this_process()

    def end(self) -> None:
        """Close everything as the process ends."""
        self.close()


class _Met:
    """What one transaction has met so far that trying it again may mend."""

    def __init__(self) -> None:
        self._lost = self._taken = 0

    @contextlib.contextmanager
    def forgiven(self, store: PgDriver, wait: LockWait) -> Iterator[None]:
        """Turn what may be mended into a `Conflict`, as long as that makes sense."""
        try:
            yield
        except ConnectionLost as error:
            store.close()  # the server was restarted, perhaps: what is idle is lost, too
            self._lost += 1
            if self._lost > 1:
                raise StoreError(
                    f"The connection to {store.where} broke ({error}): nothing was saved. Try again."
                ) from error
            raise Conflict from error
        except UnreachableError as error:
            if not store._known or time.monotonic() > wait.began + _RESTARTS:
                raise
            raise Conflict from error  # it is being restarted, perhaps
        except ConflictError as error:
            # Another's value, perhaps, which this transaction could not see.
            if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise
            self._taken += 1
            if self._taken >= _TRIES_IF_TAKEN:
                raise
            raise Conflict from error
