"""A project's rows in PostgreSQL: a schema of its own, and a few connections that all threads share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psycopg

from letta_kernel import settings
from letta_kernel.concurrency import Uninterrupted, obey_stop
from letta_kernel.errors import ConflictError, StoreBusyError, StoreError
from letta_kernel.store import driver, pg_connection, pg_errors
from letta_kernel.store.driver import Conflict, Driver
from letta_kernel.store.duck import keep_for_ever
from letta_kernel.store.lock_wait import LockWait
from letta_kernel.store.pg_address import address
from letta_kernel.store.pg_connection import Connection
from letta_kernel.store.pg_errors import ConnectionLost
from letta_kernel.store.transaction import CommittedInterrupt, Tx

if TYPE_CHECKING:
    import pyarrow

T = TypeVar("T")

_RESTS = 30.0  # seconds that a connection is kept which nobody uses
_CLOCK = 30.0  # seconds after which the server's clock is asked again


class PgTx(Tx):
    """One transaction in PostgreSQL."""

    def __init__(self, connection: Connection, owner: PgDriver, strict: bool) -> None:
        super().__init__()
        self._connection: Connection | None = connection
        self._owner = owner
        self._begin = "BEGIN ISOLATION LEVEL " + ("SERIALIZABLE" if strict else "READ COMMITTED")

    def now(self) -> datetime:
        """Return the moment by the server's clock."""
        return self._owner.clock.now(lambda: self._rows("SELECT clock_timestamp()", [])[0][0])

    def _run(self, sql: str, params: list[Any]) -> None:
        self._cursor(sql, params)

    def _rows(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        with self._watched():
            cursor = self._cursor(sql, params)
            return cursor.fetchall() if cursor.description is not None else [(cursor.rowcount,)]

    def _columns(self, sql: str, params: list[Any]) -> dict[str, np.ndarray]:
        with self._watched():
            cursor = self._cursor(sql, params)
            names = [column.name for column in cursor.description or ()]
            columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
        return {name: _array(column) for name, column in zip(names, columns, strict=True)}

    def _arrow(self, sql: str) -> pyarrow.Table:
        import pyarrow

        with self._watched():
            cursor = self._cursor(sql, [])
            names = [column.name for column in cursor.description or ()]
            kinds = [_ARROW.get(column.type_code, "string") for column in cursor.description or ()]
            columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
        kinds = [
            pyarrow.list_(pyarrow.string())
            if kind == "texts"
            else pyarrow.timestamp("us", "UTC")
            if kind == "moment"
            else pyarrow.type_for_alias(kind)
            for kind in kinds
        ]
        arrays = [pyarrow.array(one, kind) for one, kind in zip(columns, kinds, strict=True)]
        return pyarrow.Table.from_arrays(arrays, names=names)

    def _cursor(self, sql: str, params: list[Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        connection = self._connection
        assert connection is not None
        with self._watched():
            if not self.begun:
                self.begun = True
                connection.execute(self._begin)
            return connection.execute(sql, params or None)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, RuntimeError, OSError, MemoryError) as error:
            self.failure = error
            raise pg_errors.explain(error, self._owner.where) from error
        except KeyboardInterrupt as error:
            self.failure = error
            raise

    def commit(self) -> None:
        """Commit it; nothing where no statement was run.

        Raises
        ------
        StoreError
            The connection broke meanwhile: nobody knows whether it is committed.
        """
        if not self.begun or self._connection is None:
            return
        try:
            self._connection.execute("COMMIT")
        except psycopg.Error as error:
            self.failure = error
            explained = pg_errors.explain(error, self._owner.where)
            if isinstance(explained, ConnectionLost):
                raise StoreError(
                    f"The connection to {self._owner.where} broke while it saved: look whether what you did"
                    " is there before you do it again."
                ) from error
            raise explained from error

    def stamp(self, *tables: str) -> tuple[int, ...] | None:
        """Return None: others may write at any time."""
        return None

    @property
    def _over(self) -> bool:
        return self._connection is None

    def end(self) -> None:
        """Make this transaction unusable, so that nobody keeps it."""
        self._connection = None


_ARROW = {
    16: "bool", 17: "binary", 20: "int64", 21: "int64", 23: "int64", 700: "float64", 701: "float64",
    1700: "float64", 1184: "moment", 1009: "texts",
}  # fmt: skip
"""Arrow's types by PostgreSQL's; all others are text."""


def _array(values: tuple[Any, ...]) -> np.ndarray:
    if any(isinstance(value, str | list | datetime | bytes) or value is None for value in values):
        found = np.empty(len(values), dtype=object)
        found[:] = values
        return found
    return np.array(values)


class _Clock:
    """The server's clock, asked now and then."""

    def __init__(self) -> None:
        self._asked: tuple[datetime, float, float] | None = None

    def now(self, ask: Callable[[], datetime]) -> datetime:
        """Return the moment; *ask* returns it from the server."""
        steady, wall = time.monotonic(), time.time()
        if self._asked is not None:
            then, steady_then, wall_then = self._asked
            passed = steady - steady_then
            # They differ once somebody has set this machine's clock, or it has slept.
            if passed < _CLOCK and abs(wall - wall_then - passed) < 0.2:
                return then + timedelta(seconds=passed)
        found = ask()
        self._asked = found, time.monotonic(), time.time()
        return found


class PgDriver(Driver):
    """One project in PostgreSQL.

    Parameters
    ----------
    url : as in ``LETTA_STORE``.
    timeout : seconds that a request waits for a connection and for others; None as ``LETTA_STORE_WAIT`` has it.
    """

    def __init__(self, url: str, timeout: float | None) -> None:
        self._address = address(url)
        self._timeout = timeout
        self._most = settings.STORE_CONNECTIONS()
        self._schema = self._address.project
        self.clock = _Clock()
        self._begin_in_this_process()

    def _begin_in_this_process(self) -> None:
        self._free = threading.Condition()
        self._idle: list[tuple[Connection, float]] = []  # and since when, the newest last
        self._busy: dict[int, PgTx | None] = {}  # by thread
        self._closer: threading.Thread | None = None

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
        lost = 0

        def attempt() -> None:
            nonlocal lost
            try:
                self._transact(work, committed, strict, wait)
            except ConnectionLost as error:
                lost += 1  # the server was restarted, perhaps: the other idle ones are gone, too
                self.close()
                if lost > 1:
                    raise StoreError(
                        f"The connection to {self.where} broke ({error}): nothing was saved. Try again."
                    ) from error
                raise Conflict from error
            except ConflictError as error:
                if isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                    raise _Taken(error) from error
                raise

        try:
            _repeat(attempt, wait)
            return committed[0]
        except KeyboardInterrupt:  # wherever it struck: what is committed is said to be
            if committed:
                raise CommittedInterrupt(committed[0]) from None
            raise

    def _transact(
        self, work: Callable[[Tx], T], committed: list[T], strict: bool, wait: LockWait
    ) -> None:
        thread = threading.get_ident()
        connection: Connection | None = None
        tx: PgTx | None = None
        try:
            self._enter(thread, wait)
            connection = self._take()
            self._busy[thread] = tx = PgTx(connection, self, strict)
            driver.perform(tx, work, committed, tx.commit, lambda: None)
        finally:
            with Uninterrupted():
                if connection is not None:
                    self._give_back(connection, clean=tx is not None and tx.committed)
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
        return self._connect()

    def _connect(self) -> Connection:
        connection = pg_connection.connect(self._address)
        try:
            with self._told():
                self._name_project(connection)
                pg_connection.bring_up_to_date(connection, self._address, self._schema)
                pg_connection.settle(connection, self._schema)
        except BaseException:
            connection.close()
            raise
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
            finally:
                self._give_back(idle, clean=True)
        connection = pg_connection.connect(self._address)
        try:
            with self._told():
                self._name_project(connection)
                found = look(connection)
                ready = pg_connection.is_up_to_date(connection, self._schema)
                if ready:
                    pg_connection.settle(connection, self._schema)
        except BaseException:
            connection.close()
            raise
        if ready:
            self._give_back(connection, clean=True)
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
                explained = StoreError(f"The connection to {self.where} broke: {explained}")
            raise explained from error

    def _give_back(self, connection: Connection, *, clean: bool) -> None:
        """Keep a connection for the next who needs one, if nothing is left on it."""
        try:
            status = connection.info.transaction_status
            if not clean and status in (status.INTRANS, status.INERROR):
                connection.execute("ROLLBACK")
                status = connection.info.transaction_status
            if status != status.IDLE:
                connection.close()
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
                if not self._idle:
                    self._closer = None
            for connection in old:
                connection.close()
            if self._closer is None:
                return

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._free:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def before_fork(self) -> bool:
        """Hold what is shared: a child keeps none of it."""
        return self._free.acquire(timeout=5)

    def after_fork_in_parent(self) -> None:
        """Go on after a fork."""
        self._free.release()

    def after_fork_in_child(self, connected: bool) -> None:
        """Begin afresh; the parent's connections stay as they are."""
        keep_for_ever(self._idle)
        for tx in self._busy.values():
            if tx is not None:
                keep_for_ever(tx._connection)
                tx.end()
        self._begin_in_this_process()

    def end(self) -> None:
        """Close everything as the process ends."""
        self.close()


class _Taken(Exception):
    """A unique value was there already: another writer's, perhaps, that this transaction did not see."""

    def __init__(self, error: ConflictError) -> None:
        super().__init__()
        self.error = error


_TRIES_IF_TAKEN = 5


def _repeat(attempt: Callable[[], None], wait: LockWait) -> None:
    taken = 0

    def trying() -> None:
        nonlocal taken
        try:
            attempt()
        except _Taken as error:
            taken += 1
            if taken >= _TRIES_IF_TAKEN:
                raise error.error from error.error.__cause__
            raise Conflict from error

    driver.repeat(trying, wait.until)
