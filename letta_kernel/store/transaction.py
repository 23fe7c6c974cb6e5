"""One transaction: its statements, what they touched, and how a long read is made to give way."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from letta_kernel.errors import ReadOnlyError, StoreError
from letta_kernel.ids import now, storable
from letta_kernel.store import driver_errors

if TYPE_CHECKING:
    import pyarrow

OPENED = "(opened)"  # no table's name
READ_LIMIT = 20.0
"""Seconds that one read may take while others wait for the store."""
_WRITE = re.compile(r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+\"?(\w+)", re.IGNORECASE)
_READ = re.compile(r"\s*(?:SELECT|WITH|FROM)\b", re.IGNORECASE)


@lru_cache(maxsize=1024)
def _written(sql: str) -> str | None:
    found = _WRITE.match(sql)
    return found[1].lower() if found else None


@lru_cache(maxsize=1024)
def _is_read(sql: str) -> bool:
    return _READ.match(sql) is not None


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


def forget_statements() -> None:
    """Forget the parsed statements."""
    _statements.clear()


class CommittedInterrupt(KeyboardInterrupt):
    """The stop button was pressed during a commit, which is done; ``result`` is its value."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Tx:
    """One transaction; valid only inside the function given to `Database.run`.

    Parameters of statements are `$1`, `$2`, …; text in them is freed of NUL and lone surrogates.

    Parameters
    ----------
    path : the database file, for messages.
    writes : commits of this connection that touched a table; None where nothing is known of it, as in a copy.
    refusal : why nothing can be written; None where it can.
    skew : seconds by which the clock that all machines have in common is ahead.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        writes: Mapping[str, int] | None,
        refusal: str | None = None,
        skew: float = 0.0,
    ) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = connection
        self._path = path
        self._writes = writes
        self._refusal = refusal
        self._skew = skew
        self.begun = False  # by the first statement: a transaction that needs none costs nothing
        self.committed = False
        self.touched: set[str] = set()
        self.failure: BaseException | None = None
        self._reading: float | None = None  # when the statement began, if it is a read
        self._given_up = False
        self._at_statement = threading.Lock()

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
        found: list[tuple[Any, ...]] = self._run(sql, params, duckdb.DuckDBPyConnection.fetchall)
        return found

    def columns(self, sql: str, params: Sequence[Any] = ()) -> dict[str, np.ndarray]:
        """Run a statement and return its columns by name, several times as quickly as its rows."""
        found: dict[str, np.ndarray] = self._run(sql, params, duckdb.DuckDBPyConnection.fetchnumpy)
        return found

    def arrow(self, sql: str) -> pyarrow.Table:
        """Run a statement without parameters and return its rows as an Arrow table: many of them quickly.

        pyarrow must have been imported, or an interrupt might leave half of it.
        """
        found: pyarrow.Table = self._run(sql, (), as_arrow=True)
        return found

    def one(
        self, sql: str, params: Sequence[Any] = (), *, within: str | None = None
    ) -> tuple[Any, ...] | None:
        """Run a statement and return its first row, or None.

        For `stamp` it has written to *within*: what another than who asks for that stamp knows of.
        """
        rows = self._run(sql, params, duckdb.DuckDBPyConnection.fetchall, within)
        return rows[0] if rows else None

    def _run(
        self,
        sql: str,
        params: Sequence[Any],
        fetch: Callable[[duckdb.DuckDBPyConnection], Any] | None = None,
        within: str | None = None,
        as_arrow: bool = False,
    ) -> Any:
        if self._connection is None:
            raise StoreError("This transaction is over: use it only inside Database.run.")
        if (table := _written(sql)) is not None:
            if self._refusal is not None:
                raise ReadOnlyError(self._refusal)
            self.touched.add(within or table)
        try:
            if not self.begun:
                self.begun = True
                self._connection.execute(_parsed(self._connection, "BEGIN"))
            if _is_read(sql):
                self._reading = time.monotonic()
            if as_arrow:
                return self._connection.sql(sql).to_arrow_table()
            given = [storable(v) if isinstance(v, str | list) else v for v in params]
            self._connection.execute(_parsed(self._connection, sql), given)
            return fetch(self._connection) if fetch is not None else []
        except (duckdb.Error, RuntimeError, OSError, MemoryError) as error:
            self.failure = error
            if driver_errors.is_interrupt(error):
                if self._given_up:
                    raise self._too_long() from None
                raise KeyboardInterrupt from None
            raise driver_errors.explain(error, self._path) from error
        except KeyboardInterrupt as error:
            self.failure = error
            raise
        finally:
            with self._at_statement:
                self._reading = None

    def give_way(self) -> None:
        """End a read that has taken too long, from another thread: others wait."""
        with self._at_statement:  # no other statement can begin, least of all a commit
            began, connection = self._reading, self._connection
            late = began is not None and time.monotonic() - began > READ_LIMIT
            if late and connection is not None:
                self._given_up = True
                connection.interrupt()

    @staticmethod
    def _too_long() -> StoreError:
        return StoreError(
            f"Reading took more than {READ_LIMIT:g} s while others waited for the store, and was given up:"
            " ask for less at once."
        )

    def stamp(self, *tables: str) -> tuple[int, ...] | None:
        """Return what stays the same as long as nobody, in any process, has written to *tables*.

        What was read from them under the same stamp need not be read again. It costs no query: while the
        lock is held nobody else can write, and a connection opened anew has a new stamp. None where this
        transaction itself has written to one of them, and in a copy.
        """
        if self._writes is None or self.touched.intersection(tables):
            return None
        return (self._writes[OPENED], *(self._writes[table] for table in tables))

    def end(self) -> None:
        """Make this transaction unusable, so that nobody keeps it."""
        self._connection = None
