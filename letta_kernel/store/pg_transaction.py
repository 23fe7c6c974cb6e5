"""One transaction in PostgreSQL."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
from psycopg import sql

from letta_kernel.errors import StoreError
from letta_kernel.store import pg_errors
from letta_kernel.store.pg_connection import CHANGES, Connection, check_version
from letta_kernel.store.transaction import Tx

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

_NOT_COUNTED = (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege)
"""What can only come from behind a commit that was good."""
_CLOCK = 30.0  # seconds after which the server's clock is asked again


class Level(StrEnum):
    """How transactions see one another's writes."""

    STRICT = "SERIALIZABLE"
    LOOSE = "READ COMMITTED"
    LOOK = "REPEATABLE READ READ ONLY"


@lru_cache(maxsize=256)
def begins(schema: str, level: Level, limited: str = "") -> str:
    """Return what begins a transaction; its last answer is the version of the project's tables.

    A newer program may bring them up to date while this one has its connections. The search path is set for the
    transaction alone, and where a pooler is between the limits that are set by *limited*, too: the next one
    may get another connection, and another program this one.
    """
    name = sql.Identifier(schema).as_string()
    texts = [
        f"BEGIN ISOLATION LEVEL {level}",
        f"SET LOCAL search_path = {name}",
        "SET LOCAL TimeZone = 'UTC'",
        *([limited] if limited else []),
        "SELECT version FROM schema_version",
    ]
    return "; ".join(texts)


@lru_cache(maxsize=256)
def ends(schema: str) -> str:
    """Return what commits a transaction that has written.

    It counts the commit for those who look whether anything has changed: by a sequence, for no commit waits for
    another's number and none fails for it. With 8 writers a row that all count in made 800 commits fail 1,929
    times, this not once. It is moved behind the commit, so whoever sees the new number sees what was written;
    and in one message, so a client that is killed has sent both or neither.
    """
    counter = sql.Literal(sql.Identifier(schema, CHANGES).as_string()).as_string()
    return f"COMMIT; SELECT nextval({counter})"


class PgTx(Tx):
    """One transaction in PostgreSQL.

    Parameters
    ----------
    begin, end : the statements that begin it (`begins`), and end it where it has written (`ends`).
    where : of the project, for messages.
    clock : the server's.
    refusal : why nothing can be written; None where it can.
    """

    def __init__(
        self,
        connection: Connection,
        begin: str,
        end: str,
        where: str,
        clock: Clock,
        refusal: str | None,
    ) -> None:
        super().__init__(refusal)
        self._connection: Connection | None = connection
        self._where = where
        self._clock = clock
        self._begin, self._end = begin, end

    def now(self) -> datetime:
        """Return the moment by the server's clock."""
        return self._clock.now(lambda: self._rows("SELECT clock_timestamp()", [])[0][0])

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
                begun = connection.execute(self._begin)
                while begun.nextset():
                    pass
                row = begun.fetchone()
                check_version(int(row[0]) if row else None, self._where)
            return connection.execute(sql, [uniform(one) for one in params] if params else None)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, RuntimeError, OSError, MemoryError) as error:
            self.failure = error
            raise pg_errors.explain(error, self._where) from error
        except KeyboardInterrupt as error:
            self.failure = error
            raise

    def commit(self) -> None:
        """Commit it; nothing where no statement was run.

        Raises
        ------
        StoreError
            Something happened meanwhile: nobody knows whether it is committed.
        """
        if not self.begun:
            return
        if self._connection is None:
            raise StoreError(
                "This process was forked inside a transaction, which its parent goes on with:"
                ' start processes with multiprocessing.get_context("spawn").',
                page="forked-process",
            )
        try:
            self._connection.execute(self._end if self.touched else "COMMIT", prepare=False)
        except _NOT_COUNTED:
            log.warning("A change in %s was saved and not counted", self._where)
        except psycopg.Error as error:
            self.failure = error
            if self.touched and not pg_errors.is_undone(error):
                raise StoreError(
                    f"{self._where} broke off while it saved ({pg_errors.line_of(error)}): look whether what"
                    " you did is there before you do it again.",
                    page="postgresql",
                ) from error
            raise pg_errors.explain(error, self._where) from error

    def stamp(self, *tables: str) -> tuple[int, ...] | None:
        """Return None: others may write at any time."""
        return None

    @property
    def connection(self) -> Connection | None:
        """What it goes on over; None once it is over."""
        return self._connection

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


def uniform(value: Any) -> Any:
    """Return a parameter; the numbers of a list as floats if some are, for a list is of one type."""
    if isinstance(value, list) and len({type(one) for one in value if one is not None}) > 1:
        return [float(one) if isinstance(one, int) else one for one in value]
    return value


def _array(values: tuple[Any, ...]) -> np.ndarray:
    if any(isinstance(value, str | list | datetime | bytes) or value is None for value in values):
        found = np.empty(len(values), dtype=object)
        found[:] = values
        return found
    return np.array(values)


class Clock:
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
