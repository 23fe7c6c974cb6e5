"""Text and JSON on their way into columns."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest

from letta_kernel.ids import storable
from letta_kernel.store.mapping import Where, dump, load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\0b", "ab"),
        ("\ud800", ""),
        ("x\udc00y", "xy"),
        ("\ud83d\ude00", "😀"),  # a pair in halves
        ("ü 漢 😀", "ü 漢 😀"),
        ("", ""),
    ],
)
def test_storable(text: str, expected: str) -> None:
    assert storable(text) == expected


def test_cleaning_reaches_into_lists_only() -> None:
    assert storable(["a\0", 1, None]) == ["a", 1, None]
    assert storable(b"a\0") == b"a\0"
    assert storable(3.5) == 3.5


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": [1, 2.5, None, True, 'ü\n"']}, [{"b": {}}], {"back": "\\u0000 as text"}],
)
def test_json_comes_back(value: object) -> None:
    assert load(dump(value)) == value


def test_json_without_what_databases_refuse() -> None:
    text = dump(
        {"a\0": "b\0", "n": math.nan, "i": [math.inf], "d": datetime(2024, 1, 1, tzinfo=UTC)}
    )
    assert json.loads(text) == {"a": "b", "n": None, "i": [None], "d": "2024-01-01 00:00:00+00:00"}
    assert load(None) is None


def test_conditions_number_their_parameters() -> None:
    where = Where()
    assert str(where) == ""
    where.add("a = {}", 1)
    where.add("b IN ({0}, {1}, {0})", 2, 3)
    assert str(where) == "WHERE a = $1 AND b IN ($2, $3, $2)"
    assert where.place(4) == "$4"
    assert where.params == [1, 2, 3, 4]
