"""Records to rows and back: the only place that knows which columns hold JSON; and which agent has what."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel

from letta_kernel.errors import NotFoundError
from letta_kernel.ids import now, storable
from letta_kernel.store.database import Tx

R = TypeVar("R", bound=BaseModel)

_FEW = 5  # rows that are quicker as VALUES; more are passed as one array per column
_ROWS_AT_ONCE = 1000  # of one INSERT
_SEPARATOR = "\x1f"  # joins a row's list of texts where a column of lists is passed as an array


def dump(value: Any) -> str:
    """Return *value* as JSON text a database takes: no NUL, no NaN, unknown objects as their str."""
    if not value and isinstance(value, list | dict):
        return "[]" if isinstance(value, list) else "{}"
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:  # NaN or an infinity somewhere
        return json.dumps(_plain(value), ensure_ascii=False, default=str)
    if "\\u0000" in text:
        return json.dumps(_plain(value), ensure_ascii=False, default=str)
    return text


def load(text: str | None) -> Any:
    """Return what `dump` was given; None for a column without a value."""
    return None if text is None else json.loads(text)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class Table(Generic[R]):
    """The rows of one record class, one column per field of the same name.

    Parameters
    ----------
    name
        The table.
    record
        The pydantic class; rows read back are trusted and not validated again.
    json
        Fields kept as JSON text.
    parts
        For fields that hold a list of models, the class of these.
    """

    def __init__(
        self,
        name: str,
        record: type[R],
        *,
        json: Iterable[str] = (),
        parts: dict[str, type[BaseModel]] | None = None,
    ) -> None:
        self.name = name
        self.record = record
        self.fields = tuple(record.model_fields)
        self.columns = ", ".join(f'{name}."{field}"' for field in self.fields)
        self._json = frozenset(json)
        self._parts = parts or {}
        kinds = [_column_type(info.annotation) for info in record.model_fields.values()]
        self._lists = [place for place, kind in enumerate(kinds) if kind == "text[]"]
        given, kept = [], []
        for place, (field, kind) in enumerate(zip(self.fields, kinds, strict=True), start=1):
            passed = "text" if kind == "text[]" else kind
            given.append(f'unnest(${place}::{passed}[]) AS "{field}"')
            if field in self._json or field in self._parts:
                kept.append(f'CAST("{field}" AS json)')
            elif kind == "text[]":
                texts = f"string_to_array(NULLIF(\"{field}\", ''), chr({ord(_SEPARATOR)}))"
                kept.append(f"coalesce({texts}, ARRAY[]::text[])")
            else:
                kept.append(f'"{field}"')
        names = ", ".join(f'"{field}"' for field in self.fields)
        self._insert_arrays = (
            f"INSERT INTO {name} ({names}) SELECT {', '.join(kept)}"
            f" FROM (SELECT {', '.join(given)}) AS given"
        )

    def row(self, record: R) -> list[Any]:
        """Return the column values of *record*, in the order of `fields`."""
        values = []
        for field in self.fields:
            value = getattr(record, field)
            if field in self._parts:
                value = None if value is None else dump([part.model_dump() for part in value])
            elif field in self._json:
                value = dump(value)
            values.append(value)
        return values

    def as_stored(self, record: R) -> R:
        """Return *record* as it will be read back: text freed of what no database keeps."""
        return self.read([storable(value) for value in self.row(record)])

    def read(self, row: Sequence[Any]) -> R:
        """Return the record of a *row* selected with `columns`."""
        values: dict[str, Any] = {}
        for field, value in zip(self.fields, row, strict=False):
            if type(value) is datetime:
                value = utc(value)
            elif field in self._parts:
                part = self._parts[field]
                if value is not None:
                    value = (
                        [] if value == "[]" else [part.model_construct(**p) for p in load(value)]
                    )
            elif field in self._json:
                value = load(value)
            values[field] = value
        return self.record.model_construct(**values)

    def select(self, tx: Tx, tail: str, params: Sequence[Any] = ()) -> list[R]:
        """Return the records of ``SELECT columns FROM name`` + *tail*."""
        rows = tx.query(f"SELECT {self.columns} FROM {self.name} {tail}", params)
        return [self.read(row) for row in rows]

    def get(self, tx: Tx, record_id: str) -> R | None:
        """Return the record of this id, or None."""
        found = self.select(tx, "WHERE id = $1", (record_id,))
        return found[0] if found else None

    def get_many(self, tx: Tx, record_ids: Sequence[str]) -> list[R]:
        """Return the records of these ids that exist, in the order of *record_ids*."""
        found: list[Any] = self.select(tx, "WHERE id = ANY($1::text[])", (list(record_ids),))
        by_id: dict[str, R] = {record.id: record for record in found}
        return [by_id[one] for one in record_ids if one in by_id]

    def add(self, tx: Tx, record: R) -> R:
        """Insert one new record."""
        self.insert(tx, [record])
        return record

    def insert_stored(self, tx: Tx, records: Sequence[R]) -> list[R]:
        """Insert *records*; return them as `as_stored` does."""
        rows = [[storable(value) for value in self.row(record)] for record in records]
        self._insert_rows(tx, rows)
        return [self.read(row) for row in rows]

    def insert(self, tx: Tx, records: Sequence[R], **extra: Any) -> None:
        """Insert *records*; *extra* gives columns that are no fields, the same for all."""
        rows = [[*self.row(record), *extra.values()] for record in records]
        self._insert_rows(tx, rows, **extra)

    def _insert_rows(self, tx: Tx, rows: list[list[Any]], **extra: Any) -> None:
        columns = (*self.fields, *extra)
        at_once = _ROWS_AT_ONCE if len(rows) > _FEW and not extra and self._fits(rows) else _FEW
        for start in range(0, len(rows), at_once):
            batch = rows[start : start + at_once]
            if at_once == _FEW:
                self._insert_few(tx, columns, batch)
            else:
                tx.execute(self._insert_arrays, self._arrays(batch))

    def _insert_few(self, tx: Tx, columns: Sequence[str], rows: list[list[Any]]) -> None:
        # Each column takes time of its own to plan, so those without any value are left out.
        given = [
            place for place in range(len(columns)) if any(row[place] is not None for row in rows)
        ]
        sql = _insert(self.name, tuple(columns[place] for place in given), len(rows))
        tx.execute(sql, [row[place] for row in rows for place in given])

    def _fits(self, rows: list[list[Any]]) -> bool:
        # A list of one empty text, or texts with the separator in them, would not come back the same.
        return not any(
            row[column] == [""] or any(_SEPARATOR in text for text in row[column])
            for column in self._lists
            for row in rows
        )

    def _arrays(self, rows: list[list[Any]]) -> list[list[Any]]:
        arrays = [list(column) for column in zip(*rows, strict=True)]
        for column in self._lists:
            arrays[column] = [_SEPARATOR.join(texts) for texts in arrays[column]]
        return arrays

    def update(self, tx: Tx, record: R, *, keep: Iterable[str] = ()) -> bool:
        """Write all fields of *record* to its row, but for those in *keep*; False if it is gone."""
        values = dict(zip(self.fields, self.row(record), strict=True))
        identifier = values.pop("id")
        for field in keep:
            del values[field]
        sql = _update(self.name, tuple(values)) + " RETURNING id"
        return tx.one(sql, [identifier, *values.values()]) is not None

    def save(self, tx: Tx, record: R, what: str) -> R:
        """Write a changed record; its ``updated_at`` is set.

        Raises
        ------
        NotFoundError
            It has been deleted; *what* is the noun for it.
        """
        changed: Any = record
        changed.updated_at = now()
        if not self.update(tx, record, keep=("created_at", "created_by")):
            raise NotFoundError(f"The {what} {changed.name!r} has been deleted.")
        return record

    def change(self, tx: Tx, record: R, fields: Sequence[str]) -> None:
        """Write *fields* of *record*, whose row is known to be there: half the time of `update`."""
        values = dict(zip(self.fields, self.row(record), strict=True))
        params = [values["id"], *(values[field] for field in fields)]
        tx.execute(_update(self.name, tuple(fields)), params)


class Links:
    """Which agents have which of something: a table of pairs, in the order in which they were attached.

    Parameters
    ----------
    table, column
        The table and its column for what agents have; the other one is ``agent_id``.
    """

    def __init__(self, table: str, column: str) -> None:
        self._table, self._column = table, column

    def attach(self, tx: Tx, agent_id: str, other_id: str) -> None:
        """Let an agent have something, once; `NotFoundError` if there is no such agent."""
        if tx.one("SELECT 1 FROM agents WHERE id = $1", (agent_id,)) is None:
            raise NotFoundError(f"There is no agent {agent_id}.")
        tx.execute(
            f"INSERT INTO {self._table} (agent_id, {self._column}, position)"
            f" SELECT $1, $2, coalesce(max(position), 0) + 1"
            f" FROM {self._table} WHERE agent_id = $1 ON CONFLICT DO NOTHING",
            (agent_id, other_id),
        )

    def attach_first(self, tx: Tx, agent_id: str, other_ids: Sequence[str]) -> None:
        """Let an agent that was made in this transaction and has nothing yet have these, in this order."""
        if other_ids:
            sql = _insert(self._table, ("agent_id", self._column, "position"), len(other_ids))
            rows = [(agent_id, one, position) for position, one in enumerate(other_ids, start=1)]
            tx.execute(sql, [value for row in rows for value in row])

    def detach(self, tx: Tx, agent_id: str, other_id: str) -> bool:
        """Take something from an agent, which stays; False if the agent does not have it."""
        sql = f"DELETE FROM {self._table} WHERE agent_id = $1 AND {self._column} = $2 RETURNING agent_id"
        return tx.one(sql, (agent_id, other_id)) is not None

    def agents_with(self, tx: Tx, other_id: str) -> list[str]:
        """Return the ids of the agents that have something."""
        sql = f"SELECT agent_id FROM {self._table} WHERE {self._column} = $1 ORDER BY agent_id"
        return [str(row[0]) for row in tx.query(sql, (other_id,))]

    def of_agent(self, tx: Tx, agent_id: str) -> list[str]:
        """Return the ids of what an agent has, the first attached first."""
        sql = f"SELECT {self._column} FROM {self._table} WHERE agent_id = $1 ORDER BY position"
        return [str(row[0]) for row in tx.query(sql, (agent_id,))]


_COLUMN_TYPES: dict[Any, str] = {
    int: "bigint",
    float: "double precision",
    bool: "boolean",
    datetime: "timestamptz",
    list[str]: "text[]",
}


def _column_type(annotation: Any) -> str:
    for option in (annotation, *get_args(annotation)):  # X | None is a column of X
        if kind := _COLUMN_TYPES.get(option):
            return kind
    return "text"


@lru_cache(maxsize=512)
def _insert(table: str, columns: tuple[str, ...], rows: int) -> str:
    width = len(columns)
    places = ", ".join(
        "(" + ", ".join(f"${row * width + column + 1}" for column in range(width)) + ")"
        for row in range(rows)
    )
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES {places}"


@lru_cache(maxsize=64)
def _update(table: str, columns: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{column}" = ${i}' for i, column in enumerate(columns, start=2))
    return f"UPDATE {table} SET {changes} WHERE id = $1"


def utc(moment: datetime) -> datetime:
    """Return *moment* in plain UTC (the driver gives it another library's UTC)."""
    return moment.replace(tzinfo=UTC) if not moment.utcoffset() else moment.astimezone(UTC)


class Where:
    """The conditions of a query and their parameters, numbered as they come."""

    def __init__(self) -> None:
        self.params: list[Any] = []
        self._conditions: list[str] = []

    def add(self, condition: str, *values: Any) -> None:
        """Add a *condition* in which ``{}`` (or ``{0}``, …) stands for each of *values*."""
        self._conditions.append(condition.format(*[self.place(value) for value in values]))

    def beyond(self, table: str, key: str, sign: str, record_id: str) -> None:
        """Keep the rows before ("<") or after (">") that of *record_id*, ordered by *key* and id.

        Nothing is left if there is no such row.
        """
        anchor = f"(SELECT {key} FROM {table} WHERE id = {{0}})"
        self.add(f"({key} {sign} {anchor} OR ({key} = {anchor} AND id {sign} {{0}}))", record_id)

    def place(self, value: Any) -> str:
        """Take *value* as a parameter and return its ``$n``."""
        self.params.append(value)
        return f"${len(self.params)}"

    def __str__(self) -> str:
        return "WHERE " + " AND ".join(self._conditions) if self._conditions else ""
