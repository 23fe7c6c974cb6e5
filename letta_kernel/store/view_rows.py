"""The rows of the views as Arrow tables, whatever engine the store is in.

The views' SQL is DuckDB's alone. Where the store is a file of DuckDB's it runs there. Of another engine the
columns it names are copied into a DuckDB in memory, in pieces, and it runs in that: so many bytes at most, and
for so long.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from letta_kernel.errors import InvalidInputError
from letta_kernel.store.database_file import ALONE
from letta_kernel.store.transaction import Tx

if TYPE_CHECKING:
    import duckdb
    import pyarrow

READS = {
    table: columns.split()
    for table, columns in {
        "agent_blocks": "block_id",
        "agents": "id name description model embedding style tags created_at updated_at set_aside inherits"
        " first_seq first_passage purpose deleted_at",
        "archives": "id name deleted_at",
        "block_versions": "block_id version value actor step_id reason created_at",
        "blocks": "id label version",
        "branches": "id agent_id reason left_at run_id step_id created_at",
        "conversations": "id agent_id inherits deleted_at first_seq",
        "forgotten": "id",
        "messages": "id agent_id seq run_id step_id role content reasoning tool_calls tool_call_id name status"
        " interrupted created_at conversation_id asked sender_id group_id edits",
        "passage_versions": "id passage_id owner_id since until",
        "passages": "id agent_id seq content tags source position created_at step_id reason superseded_by",
        "runs": "id agent_id status stop_reason error model steps prompt_tokens completion_tokens cached_tokens"
        " reasoning_tokens cost first_token seconds created_at ended_at notebook conversation_id continues"
        " asked_by asked_call group_id",
        "steps": "id run_id agent_id number model stop_reason error prompt_tokens completion_tokens"
        " cached_tokens reasoning_tokens cost first_token seconds retrieved tool_stats created_at configuration"
        " request",
    }.items()
}
"""All that the views are made of: the columns of the store's tables that they name. No others are ever read."""
MOST_BYTES = 512_000_000
"""Bytes of rows that are copied at most."""
_ROWS, _MOST_ROWS = 500, 20_000  # of the first piece, and of any
_PIECE = 16_000_000  # bytes that a piece should have
_numbers = itertools.count(1)  # of cursors: a server may keep what it knows of one by its name
_WORD = re.compile(r"\w+")
_TYPES = {"jsonb": "json", "bytea": "blob"}  # DuckDB's, where they are called otherwise
_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum
"""


def rows(
    tx: Tx, queries: Mapping[str, str], *, seconds: float | None = None
) -> dict[str, pyarrow.Table]:
    """Return the rows of each of *queries*, by name.

    pyarrow must have been imported (`lazy_import.load`).

    Parameters
    ----------
    tx : sees the store at one moment, for longer than other transactions.
    queries : in DuckDB's SQL over the columns of `READS`.
    seconds : that copying takes at most, where the rows are copied.

    Raises
    ------
    InvalidInputError
        They are too many, or copying them took too long.
    """
    if tx.in_file:
        return {name: tx.arrow(sql) for name, sql in queries.items()}
    import duckdb

    words = {word.lower() for sql in queries.values() for word in _WORD.findall(sql)}
    copy = _Copy(seconds)
    with closing(duckdb.connect(":memory:", config=ALONE)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            for table, columns in _tables(tx).items():
                if table in words and table in READS:
                    read = {one: columns[one] for one in READS[table]}
                    wanted = {name: kind for name, kind in read.items() if name in words}
                    copy.table(tx, connection, table, wanted or read)
            return {name: connection.sql(sql).to_arrow_table() for name, sql in queries.items()}
        except duckdb.OutOfMemoryException:
            raise _too_much() from None


def _too_much() -> InvalidInputError:
    return InvalidInputError(
        f"The rows of these views are more than the {MOST_BYTES / 1e6:,.0f} MB that are copied for a query: ask"
        " views that hold less, or PostgreSQL itself."
    )


def _tables(tx: Tx) -> dict[str, dict[str, str]]:
    """Return the columns of each table, and their types as DuckDB calls them."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in tx.query(_COLUMNS):
        found.setdefault(table, {})[column] = _TYPES.get(kind, kind)
    return found


class _Copy:
    """One copy of some tables: how much of it there may be yet, and until when."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._until = None if seconds is None else time.monotonic() + seconds
        self._left = MOST_BYTES

    def table(
        self,
        tx: Tx,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        columns: Mapping[str, str],
    ) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        kinds = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f'CREATE TABLE "{table}" ({kinds})')
        cursor = f"piece_{next(_numbers)}"
        tx.execute(f'DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {names} FROM "{table}"')
        size = got = _ROWS
        while got == size:
            piece = tx.arrow(f"FETCH {size} FROM {cursor}")
            got = piece.num_rows
            self._left -= piece.nbytes
            self._check()
            connection.register("_piece", piece)
            connection.execute(f'INSERT INTO "{table}" SELECT * FROM _piece')
            connection.unregister("_piece")
            if got == size:  # texts may be a few bytes long, or a million
                size = got = min(_MOST_ROWS, max(1, _PIECE * got // max(piece.nbytes, 1)))
        tx.execute(f"CLOSE {cursor}")

    def _check(self) -> None:
        if self._left < 0:
            raise _too_much()
        if self._until is not None and time.monotonic() > self._until:
            raise took_too_long(self._seconds or 0)


def took_too_long(seconds: float) -> InvalidInputError:
    """Return the error of copying that took more than *seconds*."""
    return InvalidInputError(
        f"Reading the rows took more than {seconds:g} seconds and was given up: ask for less, or give it more."
    )
