"""A project's rows in PostgreSQL: a schema of its own, and a few connections that all threads share."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from letta_kernel import private, settings
from letta_kernel.concurrency import Uninterrupted, obey_stop
from letta_kernel.errors import ConflictError, ReadOnlyError, StoreBusyError, StoreError
from letta_kernel.store import driver, pg_connection, pg_copies, pg_errors, pg_reader, view_rows
from letta_kernel.store.driver import Conflict, Driver
from letta_kernel.store.duck import keep_for_ever
from letta_kernel.store.lock_wait import LockWait
from letta_kernel.store.pg_address import address
from letta_kernel.store.pg_connection import Connection
from letta_kernel.store.pg_errors import ConnectionLost, UnreachableError
from letta_kernel.store.pg_transaction import Clock, Level, PgTx, begins, ends
from letta_kernel.store.transaction import CommittedInterrupt, Tx

T = TypeVar("T")

_RESTS = 30.0  # seconds that a connection is kept which nobody uses
_VAIN = 0.5  # seconds after which a failed connection was worth waiting for
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
        self._home = home
        self._address = address(url, home)
        self._timeout = timeout
        self._most = settings.STORE_CONNECTIONS()
        self._schema = self._address.project
        self._clock = Clock()
        self._begin_in_this_process()

    def _begin_in_this_process(self) -> None:
        self._free = threading.Condition()
        self._idle: list[tuple[Connection, float]] = []  # and since when, the newest last
        self._busy: dict[int, PgTx | None] = {}  # by thread
        self._closer: threading.Thread | None = None
        self._ready: weakref.WeakSet[Connection] = weakref.WeakSet()  # whose project is up to date
        self._exists = False  # as far as known
        self._mended = False
        # Until when (`time.monotonic`) nobody tries to connect again, and what came of it.
        self._vain: tuple[float, StoreError] | None = None

    def __repr__(self) -> str:
        return f"PgDriver({self._address!r})"

    @property
    def where(self) -> str:
        """Where the rows are, for messages."""
        return str(self._address)

    @property
    def _wait(self) -> float:
        return settings.STORE_WAIT() if self._timeout is None else self._timeout

    @property
    def _limits(self) -> str:
        return pg_connection.limits("SET LOCAL", self._wait)

    def exists(self) -> bool:
        """Whether the project is there; once it is, nobody is asked again."""
        if not self._exists:
            self._exists = (
                self._looked(lambda one: pg_connection.version(one, self._schema)) is not None
            )
        return self._exists

    def changed(self) -> Hashable:
        """Return how many writes there have been; None while there is no project."""
        if not self.exists():
            return None
        return self._looked(lambda one: pg_connection.changes(one, self._schema))

    def tidy(self, tables: Sequence[str]) -> None:
        """Let the server overwrite what was deleted from *tables*; `StoreError` if it does not."""
        self._looked(lambda one: pg_connection.vacuum(one, self._address, self._schema, tables))

    def size(self) -> int:
        """Return how many bytes the tables take, with their indexes."""
        return self._looked(lambda one: pg_connection.size(one, self._schema))

    def view_refusal(self) -> str:
        """Return why no queries are answered for this role; empty where they are."""
        try:
            self._looked(self._reader)
        except UnreachableError:
            raise
        except StoreError as error:
            return error.text
        return ""

    def _reader(self, connection: Connection) -> str:
        return pg_reader.ready(connection, self._address, self._schema)

    def copying(self, target: str, source: str) -> tuple[str, str]:
        """Return the commands of PostgreSQL's that copy the project and put a copy back."""
        schema = self._schema or self._looked(lambda one: self._schema)  # the role's name
        given = self._address.conninfo
        return pg_copies.backup(given, schema, target), pg_copies.restore(given, schema, source)

    @property
    def reached(self) -> bool:
        """Whether it was there before."""
        return self._exists

    def inside(self) -> bool:
        """Whether this thread is in the middle of a transaction here."""
        return self._busy.get(threading.get_ident()) is not None

    def joined(self) -> Tx | None:
        """Return the transaction that this thread joins."""
        tx = self._busy.get(threading.get_ident())
        return tx if tx is not None and tx.joining else None

    def run(self, work: Callable[[Tx], T], *, strict: bool) -> T:
        """Do what `Database.run` says."""
        return self._run(work, Level.STRICT if strict else Level.LOOSE)

    def look(self, work: Callable[[Tx], T]) -> T:
        """Do what `Database.look` says."""
        return self._run(work, Level.LOOK)

    def view(self, work: Callable[[Tx], T], seconds: float) -> T:
        """Do what `Database.view` says."""
        reader = sql.Identifier(self._looked(self._reader)).as_string()
        limit = f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}"

        def as_reader(tx: Tx) -> T:
            tx.execute(f"SET LOCAL ROLE {reader}")  # until the transaction ends
            tx.execute(limit)
            return work(tx)

        try:
            return self.look(as_reader)
        except StoreError as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise view_rows.took_too_long(seconds) from None
            raise

    def _run(self, work: Callable[[Tx], T], level: Level) -> T:
        wait = LockWait(self._timeout)
        committed: list[T] = []
        met = _Met()

        def attempt() -> None:
            with met.forgiven(self, wait):
                self._transact(work, committed, level, wait)

        try:
            driver.repeat(attempt, wait.until)
            return committed[0]
        except KeyboardInterrupt:  # wherever it struck: what is committed is said to be
            if committed:
                raise CommittedInterrupt(committed[0]) from None
            raise

    def connections(self) -> tuple[int, int]:
        """Return how many connections are in use, and how many may be."""
        return len(self._busy), self._most

    def _transact(
        self, work: Callable[[Tx], T], committed: list[T], level: Level, wait: LockWait
    ) -> None:
        thread, free = threading.get_ident(), self._free
        connection: Connection | None = None
        reusable = False
        try:
            self._enter(thread, wait)
            connection = self._take()
            wait.over()
            refusal = self._make(connection)
            if level is Level.STRICT and refusal is not None:
                level = Level.LOOSE  # a server that only follows another knows no other
            begin = begins(self._schema, level, self._limits if self._address.pooled else "")
            end = ends(self._schema)
            tx = PgTx(connection, begin, end, self.where, self._clock, refusal)
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
        return self._connect()

    def _connect(self) -> Connection:
        connection = self._opened()
        try:
            with self._told():
                self._name_project(connection)
                pg_connection.settle(connection, self._address, self._wait)
        except BaseException:
            connection.close()
            raise
        return connection

    def _opened(self) -> Connection:
        """Return a new connection. A server that let us wait in vain is not waited for again at once."""
        if self._vain is not None and time.monotonic() < self._vain[0]:
            raise self._vain[1].with_traceback(None)
        began = time.monotonic()
        try:
            connection = pg_connection.connect(self._address, self._timeout)
        except StoreError as error:
            ended = time.monotonic()
            if ended - began > _VAIN:
                self._vain = 2 * ended - began, error
            raise
        self._vain = None
        return connection

    def _make(self, connection: Connection) -> str | None:
        """Make the project, or bring it up to date, before a connection is first used for a transaction.

        Return why nothing can be written, which may pass: it is looked again each time.
        """
        if connection in self._ready:
            return None
        with self._told(again=True):
            refusal = pg_connection.bring_up_to_date(
                connection, self._address, self._schema, known=self._exists
            )
        if refusal is None:
            self._ready.add(connection)
        if not self._mended:
            self._mended = True
            private.mend(self._home)  # keys and indexes still lie there
        self._exists = True
        return refusal

    def _looked(self, look: Callable[[Connection], T]) -> T:
        """Return what *look* finds outside of transactions; no project is made for it."""
        with Uninterrupted(), self._free:
            idle = self._idle.pop()[0] if self._idle else None
        if idle is not None:
            reusable = False
            try:
                found = look(idle)
                reusable = True
                return found
            except psycopg.Error as error:
                if not pg_errors.breaks_connection(error):
                    with self._told():
                        raise
                # Else its server was restarted, perhaps.
            finally:
                self._give_back(idle, reusable)
        connection = self._connect()
        reusable = False
        try:
            with self._told():
                found = look(connection)
            reusable = True
            return found
        finally:
            self._give_back(connection, reusable)

    def _name_project(self, connection: Connection) -> None:
        if not self._schema:
            row = connection.execute("SELECT current_user").fetchone()
            self._schema = str(row[0]) if row else ""

    @contextlib.contextmanager
    def _told(self, *, again: bool = False) -> Iterator[None]:
        """Raise errors that say what to do; *again*: of who meets others a `Conflict`, which is tried again."""
        try:
            yield
        except psycopg.Error as error:
            explained = pg_errors.explain(error, self.where)
            if isinstance(explained, Conflict) and not again:
                explained = explained.given_up()
            elif isinstance(explained, ConnectionLost):
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
        self._lost = self._taken = self._refused = 0

    @contextlib.contextmanager
    def forgiven(self, store: PgDriver, wait: LockWait) -> Iterator[None]:
        """Turn what may be mended into a `Conflict`, as long as that makes sense."""
        try:
            yield
        except ConnectionLost as error:
            store.close()  # the server was restarted, perhaps: what is idle is lost, too
            self._lost += 1
            told = StoreError(
                f"The connection to {store.where} broke ({error}): nothing was saved. Try again.",
                page="postgresql",
            )
            if self._lost > 1:
                raise told from error
            raise Conflict from told
        except UnreachableError as error:
            if not store.reached or time.monotonic() > wait.began + _RESTARTS:
                raise
            raise Conflict from error  # it is being restarted, perhaps
        except ReadOnlyError as error:
            if not pg_errors.takes_no_writes(error.__cause__):
                raise
            store.close()  # another has taken its place, perhaps, which a new connection finds
            self._refused += 1
            if self._refused > 1:
                raise
            raise Conflict from error
        except ConflictError as error:
            # Another's value, perhaps, which this transaction could not see.
            if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise
            self._taken += 1
            if self._taken >= _TRIES_IF_TAKEN:
                raise
            raise Conflict from error
