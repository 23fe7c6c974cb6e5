"""Which tables a project has, what is copied of them, and how a row is told from others, for any engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import duckdb

from letta_kernel.ids import storable
from letta_kernel.store import migrations, moved
from letta_kernel.store.database_file import CONFIG
from letta_kernel.store.pointer_rows import PLACE

Row = tuple[Any, ...]

NOT_COPIED = {
    "schema_version": "the tables of the new place say it themselves",
    "index_marks": "the search index is made anew from the rows",
    "outbox": "it holds what is still to be done to that index",
    "vector_tables": "it says where that index is",
    "claims": "nobody is at work while a project is moved",
    "servers": "they belong to where the project was",
}
"""Tables that stay, and why."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Shape:
    """One table: its columns with their types as DuckDB calls them, and the columns of its key.

    Without a key a row is known by all that it holds.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]

    @property
    def names(self) -> str:
        """Its columns, as they are listed in a statement."""
        return ", ".join(f'"{name}"' for name, _ in self.columns)

    @property
    def places(self) -> tuple[int, ...]:
        """Where the key stands in a row."""
        names = [name for name, _ in self.columns]
        return tuple(names.index(one) for one in self.key)

    @property
    def condition(self) -> str:
        """What leaves out rows that are never copied."""
        return f"key NOT IN ('{moved.KEY}', '{PLACE}')" if self.name == "settings" else "true"

    def key_of(self, row: Row) -> Row:
        """Return the key of a row."""
        return tuple(row[place] for place in self.places)


@cache
def shapes() -> tuple[Shape, ...]:
    """Return the tables that are copied, as the migrations of this version make them."""
    with closing(duckdb.connect(":memory:", config=CONFIG)) as connection:
        for sql in migrations.MIGRATIONS:
            if sql not in (migrations.SEAL, migrations.REWRITE):
                connection.execute(sql)
        columns: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
            " ORDER BY table_name, column_index"
        ).fetchall():
            columns.setdefault(table, []).append((column, kind))
        keys = dict(
            connection.execute(
                "SELECT table_name, constraint_column_names FROM duckdb_constraints()"
                " WHERE constraint_type = 'PRIMARY KEY'"
            ).fetchall()
        )
    return tuple(
        Shape(table, tuple(found), tuple(keys.get(table, ())))
        for table, found in columns.items()
        if table not in NOT_COPIED
    )


def kept(row: Row) -> Row:
    """Return a row as both engines keep it: text without NUL and halves of characters."""
    return tuple(storable(one) if isinstance(one, str | list) else one for one in row)


def digest(row: Row) -> bytes:
    """Return what tells a row from any other, whichever engine it came from."""
    told = repr([_plain(one) for one in row])
    return hashlib.blake2b(told.encode("utf-8", "backslashreplace"), digest_size=16).digest()


def _plain(value: Any) -> Any:
    """Return a value in a form that is the same for every driver."""
    if isinstance(value, datetime):
        return ("at", (value - _EPOCH) // _MICROSECOND)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


class Sum:
    """The digest of many rows, whatever their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._total = 0

    def add(self, one: bytes) -> None:
        """Add the digest of one more row."""
        self.rows += 1
        self._total = (self._total + int.from_bytes(one, "big")) % (1 << 128)

    @property
    def text(self) -> str:
        """Return it in hexadecimal digits."""
        return f"{self._total:032x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and (self.rows, self.text) == (other.rows, other.text)

    __hash__ = None  # type: ignore[assignment]


def side_by_side(
    shape: Shape, ours: Iterator[Row], theirs: Iterator[Row]
) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows of two places by their key: None where a place lacks it. Both come in the key's order."""
    here, there = next(ours, None), next(theirs, None)
    while here is not None or there is not None:
        if there is None or (here is not None and shape.key_of(here) < shape.key_of(there)):
            yield here, None
            here = next(ours, None)
        elif here is None or shape.key_of(there) < shape.key_of(here):
            yield None, there
            there = next(theirs, None)
        else:
            yield here, there
            here, there = next(ours, None), next(theirs, None)


def flat(pages: Iterator[Sequence[Row]]) -> Iterator[Row]:
    """Yield the rows of pages one by one, as both engines keep them."""
    for page in pages:
        for row in page:
            yield kept(row)
