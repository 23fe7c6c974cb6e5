"""The rows of the views as Arrow tables, whatever engine the store is in.

The views' SQL is DuckDB's alone. Where the store is a file of DuckDB's it runs there. Of another engine the
columns it names are copied into a DuckDB in memory, in pieces, and it runs in that.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from letta_kernel.store.database_file import ALONE
from letta_kernel.store.transaction import Tx

if TYPE_CHECKING:
    import duckdb
    import pyarrow

_PIECE = 20_000  # rows
_numbers = itertools.count(1)  # of cursors: a server may keep what it knows of one by its name
_WORD = re.compile(r"\w+")
_TYPES = {"jsonb": "json", "bytea": "blob"}  # DuckDB's, where they are called otherwise
_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum
"""


def rows(tx: Tx, queries: Mapping[str, str]) -> dict[str, pyarrow.Table]:
    """Return the rows of each of *queries*, by name.

    pyarrow must have been imported (`lazy_import.load`).

    Parameters
    ----------
    tx : sees the store at one moment, for longer than other transactions.
    queries : in DuckDB's SQL over the store's tables.
    """
    if tx.in_file:
        return {name: tx.arrow(sql) for name, sql in queries.items()}
    import duckdb

    words = {word.lower() for sql in queries.values() for word in _WORD.findall(sql)}
    with closing(duckdb.connect(":memory:", config=ALONE)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table, columns in _tables(tx).items():
            if table in words:
                wanted = {name: kind for name, kind in columns.items() if name in words}
                _copy(tx, connection, table, wanted or columns)
        return {name: connection.sql(sql).to_arrow_table() for name, sql in queries.items()}


def _tables(tx: Tx) -> dict[str, dict[str, str]]:
    """Return the columns of each table, and their types as DuckDB calls them."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in tx.query(_COLUMNS):
        found.setdefault(table, {})[column] = _TYPES.get(kind, kind)
    return found


def _copy(
    tx: Tx, connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]
) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    kinds = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    connection.execute(f'CREATE TABLE "{table}" ({kinds})')
    cursor = f"piece_{next(_numbers)}"
    tx.execute(f'DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {names} FROM "{table}"')
    left: Any = _PIECE
    while left == _PIECE:
        piece = tx.arrow(f"FETCH {_PIECE} FROM {cursor}")
        left = piece.num_rows
        connection.register("_piece", piece)
        connection.execute(f'INSERT INTO "{table}" SELECT * FROM _piece')
        connection.unregister("_piece")
    tx.execute(f"CLOSE {cursor}")
