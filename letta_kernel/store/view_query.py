"""One query of a person's over the views: it sees copies of their rows in memory, and nothing else.

The rows are read in one short transaction, as any read is. The query then runs in a database of its own: it can
neither change the store nor keep it from others, and what no view shows is not there to be read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.store import driver_errors
from letta_kernel.store.database_file import ALONE
from letta_kernel.store.views import VIEWS, View

if TYPE_CHECKING:
    import pandas

_ALLOWED = ("SELECT", "EXPLAIN", "MULTI")  # the last is what PIVOT comes to
_WORD = re.compile(r"\w+")
_COLUMN = re.compile(
    r'Referenced column "(?P<one>[^"]+)"|does not have a column named "(?P<two>[^"]+)"'
)
_TABLE = re.compile(r'(?:Table with name |Referenced table ")(?P<name>[^\s"!]+)')


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: the columns' names, its rows, and whether there were more of them."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    more: bool

    def frame(self) -> pandas.DataFrame:
        """Return it as a DataFrame; `ImportError` where pandas is missing."""
        import pandas

        return pandas.DataFrame.from_records(self.rows, columns=self.columns)


def answer(
    read: Callable[[list[View]], dict[str, Any]], sql: str, *, limit: int, seconds: float
) -> Answer:
    """Answer one query.

    Parameters
    ----------
    read : returns the rows of views as Arrow tables, by name.
    limit : rows to return at most; 0: all.
    seconds : after which the query is given up.

    Raises
    ------
    InvalidInputError
        It is none, or wrong, or took too long, or too much memory.
    """
    with closing(duckdb.connect(":memory:", config=ALONE)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        statement = _statement(connection, sql)
        words = {word.lower() for word in _WORD.findall(sql)}
        wanted = [one for one in VIEWS.values() if one.name in words] or [*VIEWS.values()]
        _take(connection, read(wanted))
        try:
            return _answered(connection, statement, limit, seconds)
        except duckdb.CatalogException as error:
            others = [one for one in VIEWS.values() if one not in wanted]
            if _named(error) not in {one.name for one in others}:
                raise _explained(error, wanted) from None
        except duckdb.Error as error:
            raise _explained(error, wanted) from None
        _take(connection, read(others))  # one whose name the text does not hold as it stands
        try:
            return _answered(connection, statement, limit, seconds)
        except duckdb.Error as error:
            raise _explained(error, [*VIEWS.values()]) from None


def _statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    try:
        found = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise InvalidInputError(f"The query failed: {_line(error)}") from None
    except TypeError:  # of a surrogate
        raise InvalidInputError("The query holds characters that are none.") from None
    if len(found) != 1:
        said = f"this has {len(found)}" if found else "there is none"
        raise InvalidInputError(f"One statement at a time; {said}.")
    if found[0].type.name not in _ALLOWED:
        kind = found[0].type.name.replace("_", " ")
        raise InvalidInputError(f"Only queries are answered here (SELECT …), no {kind}.")
    return found[0]


def _take(connection: duckdb.DuckDBPyConnection, rows: dict[str, Any]) -> None:
    for name, table in rows.items():
        connection.register("_rows", table)
        connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM _rows')
        connection.unregister("_rows")


def _answered(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, limit: int, seconds: float
) -> Answer:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    try:
        timer.start()
        connection.execute(statement)
        columns = [str(column[0]) for column in connection.description or ()]
        rows = connection.fetchmany(limit + 1) if limit else connection.fetchall()
    except duckdb.InterruptException:
        raise InvalidInputError(
            f"The query took more than {seconds:g} seconds and was given up: ask for less, or give it more."
        ) from None
    except (OverflowError, ValueError) as error:  # an interval, a moment that Python has none for
        raise InvalidInputError(
            f"A value is too large to be shown ({_line(error)}): turn it into text, CAST(… AS text)."
        ) from None
    except RuntimeError as error:
        if driver_errors.is_interrupt(error):
            raise KeyboardInterrupt from None
        raise InvalidInputError(f"The query failed: {_line(error)}") from None
    finally:
        timer.cancel()
        timer.join()  # or it might wake inside the driver while the process ends
    more = bool(limit) and len(rows) > limit
    return Answer(
        columns, [tuple(map(_plain, row)) for row in (rows[:limit] if more else rows)], more
    )


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _named(error: duckdb.Error) -> str:
    """Return the table that is not there, if that is what is wrong."""
    found = _TABLE.search(str(error))
    return found["name"].lower() if found else ""


def _explained(error: duckdb.Error, views: Sequence[View]) -> InvalidInputError:
    """Return in one line what is wrong, with the name that was meant."""
    if found := _COLUMN.search(str(error)):
        column = found["one"] or found["two"]
        near = nearest(column, [name for view in views for name in view.columns])
        where = views[0].name if len(views) == 1 else "these views"
        return InvalidInputError(f"There is no column {column!r} in {where}.{near}")
    if name := _named(error):
        near = nearest(name, [*VIEWS]) or f" There are: {', '.join(VIEWS)}."
        return InvalidInputError(f"There is no view {name!r}.{near}")
    return InvalidInputError(f"The query failed: {_line(error)}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).partition("\n")[0].split())
