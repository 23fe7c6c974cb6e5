"""A store with random rows in every table there is, whatever tables later versions add."""

from __future__ import annotations

import itertools
import json
import math
import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from letta_kernel.store import encryption
from letta_kernel.store.database_file import CONFIG, FILE
from letta_kernel.store.move.shapes import Shape, shapes
from letta_kernel.store.opening import open_database

SIGNS = [
    "a",
    "B",
    "z",
    " ",
    "é",
    "ß",
    "漢",
    "\uffff",
    "😀",
    "\n",
    "\t",
    "'",
    '"',
    "\\",
    "%",
    "\\N",
    "\r",
    "{",
    ",",
]
"""Some sort differently in UTF-16, by language and by byte, some have a meaning for COPY."""
FLOATS = [
    0.0,
    -0.0,
    0.1,
    1e-310,
    1.7976931348623157e308,
    2**53 + 0.0,
    math.pi,
    math.inf,
    -math.inf,
    math.nan,
]
MOMENTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1900, 2, 28, tzinfo=UTC),
    datetime(2199, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
]

NOBODY = (("leases", "owner"),)
"""Columns without a value: nobody is at work."""


def text(chance: random.Random, most: int = 12) -> str:
    return "".join(chance.choices(SIGNS, k=chance.randrange(most)))


def value(chance: random.Random, kind: str, number: int) -> Any:
    """A value of a column; some are such as engines differ in."""
    if kind == "JSON":
        thing = {
            text(chance): [chance.random(), None, True, text(chance)],
            "number": number,
            "b": {},
        }
        # Spaces and repeated names stay as they are.
        return chance.choice(
            [
                json.dumps(thing, ensure_ascii=False),
                '{"b" :  1,"a":2, "b":3}',
                "[]",
                "{}",
                '"x"',
                "1e400",
            ]
        )
    if kind == "VARCHAR[]":
        return [text(chance) for _ in range(chance.randrange(4))]
    if kind == "BLOB":
        return chance.randbytes(chance.randrange(40)) + b"\0\\x00'"
    return {
        "VARCHAR": lambda: text(chance),
        "BIGINT": lambda: chance.choice([number, -number, 2**63 - 1, -(2**63)]),
        "INTEGER": lambda: chance.choice([number, -number, 2**31 - 1]),
        "BOOLEAN": lambda: chance.random() < 0.5,
        "DOUBLE": lambda: chance.choice([*FLOATS, chance.gauss(0, 1e6)]),
        "TIMESTAMP WITH TIME ZONE": lambda: chance.choice(
            [*MOMENTS, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**14))]
        ),
    }[kind]()  # fmt: skip


def row(chance: random.Random, shape: Shape, number: int, required: Sequence[str]) -> list[Any]:
    """A row with a key of its own."""
    found = []
    for name, kind in shape.columns:
        if name in shape.key:
            found.append(f"{text(chance)}{number}" if kind == "VARCHAR" else number)
        elif (shape.name, name) in NOBODY:
            found.append(None)
        elif name in [one for one, _ in encryption.COLUMNS.get(shape.name, ())]:
            found.append('{"environment": {}, "temperature": "0.5"}')
        elif name not in required and chance.random() < 0.3:
            found.append(None)
        else:
            found.append(value(chance, kind, number))
    return found


def fill(home: Path, seed: int = 5, rows: int = 16) -> Path:
    """Make a store in *home* with so many random rows in every table, and return its file."""
    home.mkdir(parents=True, exist_ok=True)
    (home / FILE).write_bytes(_filled(seed, rows))
    return home / FILE


@lru_cache(maxsize=4)
def _filled(seed: int, rows: int) -> bytes:
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_database(Path(folder, FILE), CONFIG) as connection,
    ):
        found = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT is_nullable"
        ).fetchall()
        for shape in shapes():
            required = [column for table, column in found if table == shape.name]
            made = [row(chance, shape, n, required) for n in range(rows)]
            kinds = [kind for _, kind in shape.columns]
            number = itertools.count(1)
            places = ", ".join(
                "(" + ", ".join(f"${next(number)}::{kind}" for kind in kinds) + ")" for _ in made
            )
            connection.execute(
                f'INSERT INTO "{shape.name}" ({shape.names}) VALUES {places}',
                [one for values in made for one in values],
            )
            if not shape.key:  # then a row may be there twice
                connection.execute(
                    f'INSERT INTO "{shape.name}" SELECT * FROM "{shape.name}" LIMIT 2'
                )
        connection.close()
        return Path(folder, FILE).read_bytes()


def contents(path: Path) -> dict[str, list[str]]:
    """All rows of a file's tables, but for what is never copied; as text, in an order."""
    connection = duckdb.connect(path, read_only=True, config=CONFIG)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        return {
            shape.name: sorted(
                repr(one)
                for one in connection.execute(
                    f'SELECT {shape.names} FROM "{shape.name}" WHERE {shape.condition}'
                ).fetchall()
            )
            for shape in shapes()
        }
    finally:
        connection.close()
