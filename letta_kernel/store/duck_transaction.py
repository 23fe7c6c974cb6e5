"""One transaction on a DuckDB file, and how a long read of it is made to give way."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from letta_kernel.errors import StoreError
from letta_kernel.ids import now
from letta_kernel.store import driver_errors, transaction
from letta_kernel.store.transaction import Tx

if TYPE_CHECKING:
    import pyarrow

OPENED = "(opened)"  # no table's name
_READ = re.compile(r"\s*(?:SELECT|WITH|FROM)\b", re.IGNORECASE)


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


class DuckTx(Tx):
    """One transaction on a DuckDB file.

    Parameters
    ----------
    path : the database file, for messages.
    writes : commits of this connection that touched a table; None where nothing is known of it, as in a copy.
    refusal : why nothing can be written; None where it can.
    skew : seconds by which the clock that all machines have in common is ahead.
    """

    in_file = True

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        writes: Mapping[str, int] | None,
        refusal: str | None = None,
        skew: float = 0.0,
    ) -> None:
        super().__init__(refusal)
        self._connection: duckdb.DuckDBPyConnection | None = connection
        self._path = path
        self._writes = writes
        self._skew = skew
        self._reading: float | None = None  # when the statement began, if it is a read
        self._given_up = False
        self._at_statement = threading.Lock()

    def now(self) -> datetime:
        """Return the moment by the clock that all machines that share this store have in common."""
        return now() + timedelta(seconds=self._skew) if self._skew else now()

    def commit(self) -> None:
        """Commit it; nothing where no statement was run."""
        if self.begun:
            self._run("COMMIT", [])

    def _run(self, sql: str, params: list[Any]) -> None:
        self._done(sql, params)

    def _rows(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._done(sql, params, duckdb.DuckDBPyConnection.fetchall)
        return found

    def _columns(self, sql: str, params: list[Any]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = self._done(sql, params, duckdb.DuckDBPyConnection.fetchnumpy)
        return found

    def _arrow(self, sql: str) -> pyarrow.Table:
        found: pyarrow.Table = self._done(sql, [], as_arrow=True)
        return found

    def _done(
        self,
        sql: str,
        params: list[Any],
        fetch: Callable[[duckdb.DuckDBPyConnection], Any] | None = None,
        as_arrow: bool = False,
    ) -> Any:
        connection = self._connection
        assert connection is not None
        try:
            if not self.begun:
                self.begun = True
                connection.execute(_parsed(connection, "BEGIN"))
            if _is_read(sql):
                self._reading = time.monotonic()
            if as_arrow:
                return connection.sql(sql).to_arrow_table()
            connection.execute(_parsed(connection, sql), params)
            return fetch(connection) if fetch is not None else []
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
            late = began is not None and time.monotonic() - began > transaction.READ_LIMIT
            if late and connection is not None:
                self._given_up = True
                connection.interrupt()

    @staticmethod
    def _too_long() -> StoreError:
        return StoreError(
            f"Reading took more than {transaction.READ_LIMIT:g} s while others waited for the store, and was"
            " given up: ask for less at once."
        )

    def stamp(self, *tables: str) -> tuple[int, ...] | None:
        """Return what stays the same as long as nobody, in any process, has written to *tables*.

        It costs no query: while the lock is held nobody else can write, and a connection opened anew has a
        new stamp. None where this transaction itself has written to one of them, and in a copy.
        """
        if self._writes is None or self.touched.intersection(tables):
            return None
        return (self._writes[OPENED], *(self._writes[table] for table in tables))

    @property
    def _over(self) -> bool:
        return self._connection is None

    def end(self) -> None:
        """Make this transaction unusable, so that nobody keeps it."""
        self._connection = None
