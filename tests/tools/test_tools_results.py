"""Results as the model and the person see them."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from letta_kernel.errors import ToolError
from letta_kernel.tools.results import checked_display, present, shorten


class Color(enum.Enum):
    RED = "red"


class Pet(BaseModel):
    name: str
    born: dt.date


@dataclasses.dataclass
class Point:
    a: int
    pet: Pet


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


Pair = namedtuple("Pair", "left right")
DAY = dt.date(2024, 1, 2)
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ("text", "text"),
        ("", ""),
        (3, "3"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (True, "True"),
        ([1, "é", None, True], '[1, "é", null, true]'),
        (
            {
                "a": {
                    1,
                },
                2: (3,),
            },
            '{"a": [1], "2": [3]}',
        ),
        (Pet(name="Rex", born=DAY), '{"name": "Rex", "born": "2024-01-02"}'),
        ([Pet(name="Rex", born=DAY)], '[{"name": "Rex", "born": "2024-01-02"}]'),
        (Point(1, Pet(name="R", born=DAY)), '{"a": 1, "pet": {"name": "R", "born": "2024-01-02"}}'),
        (Pair(1, DAY), '{"left": 1, "right": "2024-01-02"}'),
        (Color.RED, "red"),
        ({"c": Color.RED}, '{"c": "red"}'),
        (DAY, "2024-01-02"),
        (dt.timedelta(hours=1), "1:00:00"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (Path("a/b"), "a/b"),
        (b"abc", "<3 bytes, beginning with b'abc'>"),
        (ValueError("bad"), "ValueError: bad"),
        (ValueError(), "ValueError"),
        ([float("inf")], '["inf"]'),
        (LOOP, "[[...]]"),
        (Unshowable(), "<Unshowable object that cannot be shown: RuntimeError: no>"),
    ],
    ids=lambda one: one[:30] if isinstance(one, str) else type(one).__name__,
)
def test_text(value: Any, text: str) -> None:
    made = present(value)
    assert made.text == text
    assert made.display is None


@pytest.mark.parametrize("limit", [200, 1_000, 49_999])
def test_long_text_keeps_head_and_tail_and_says_the_count(limit: int) -> None:
    text = "".join(f"line {number}\n" for number in range(10_000))
    made = present(text, limit).text
    assert len(made) <= limit
    assert made.startswith("line 0\n")
    assert made.endswith("line 9999\n")
    assert f"{len(text):,} characters in all" in made


def test_text_at_its_limit_stays_whole() -> None:
    assert shorten("x" * 100, 100) == "x" * 100
    assert len(shorten("x" * 101, 100)) <= 100


def test_a_data_frame_is_a_compact_table_with_its_shape() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": range(10_000), "word": ["w" * 200] * 10_000})
    made = present(frame)
    lines = made.text.splitlines()
    assert lines[0] == "DataFrame with 10,000 rows × 2 columns:"
    assert lines[2].startswith("0 | 0 | www")
    assert lines[-1].startswith("9999 | 9999 | www")
    assert len(lines) < 30
    assert max(map(len, lines)) < 100
    assert made.display is not None
    assert "<table" in made.display["text/html"]


def test_a_wide_frame_a_series_and_a_frame_inside_a_dict() -> None:
    pandas = pytest.importorskip("pandas")
    wide = pandas.DataFrame({f"c{number}": [1] for number in range(100)})
    assert "1 row × 100 columns" in present(wide).text
    assert "the first 20 are shown" in present(wide).text
    assert "c99" not in present(wide).text
    assert present(pandas.Series([1.5, 2], name="size")).text.startswith(
        "Series of 2:\n | size\n0 | 1.5"
    )
    assert "DataFrame with 1 row" in present({"found": wide}).text


def test_arrow_tables_and_arrays() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    numpy = pytest.importorskip("numpy")
    table = present(pyarrow.table({"a": list(range(100))})).text
    assert table.startswith("Table with 100 rows × 1 column:\na\n0\n")
    assert table.endswith("\n99")
    assert present(numpy.arange(3)).text == "array of 3 int64:\n[0, 1, 2]"
    assert len(present(numpy.zeros((1_000, 1_000))).text) < 500
    assert (
        present({"mean": numpy.float64(0.5), "n": numpy.int64(3)}).text == '{"mean": 0.5, "n": 3}'
    )


def test_a_figure_is_shown_and_described() -> None:
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2], [3, 4], label="sales")
    axes.set_title("Growth")
    axes.set_xlabel("year")
    for value in (figure, axes):
        made = present(value)
        assert "'Growth'" in made.text
        assert "x: year" in made.text
        assert "lines: sales" in made.text
        assert base64.b64decode((made.display or {})["image/png"]).startswith(b"\x89PNG")


def test_an_image_is_shown_and_described() -> None:
    image = pytest.importorskip("PIL.Image").new("CMYK", (30, 20))
    made = present(image)
    assert made.text == "[image, 30×20 pixels, CMYK; shown to the user]"
    assert base64.b64decode((made.display or {})["image/png"]).startswith(b"\x89PNG")


def test_objects_that_display_themselves() -> None:
    class Html:
        def _repr_html_(self) -> str:
            return "<b>bold</b>"

        def __repr__(self) -> str:
            return "bold"

    class Png:
        def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
            return {"image/png": b"\x89PNG", "text/plain": "a picture"}

    assert present(Html()).text == "bold"
    assert present(Html()).display == {"text/html": "<b>bold</b>", "text/plain": "bold"}
    shown = present(Png()).display or {}
    assert shown["image/png"] == base64.b64encode(b"\x89PNG").decode()
    assert "shown to the user" in present(Png()).text


def test_what_untrusted_code_may_show() -> None:
    png = base64.b64encode(b"\x89PNG").decode()
    shown = {
        "image/png": png,
        "text/html": "<script>",
        "image/jpeg": "not base64!",
        "text/plain": "p",
    }
    assert checked_display(shown) == {"image/png": png, "text/plain": "p"}
    assert checked_display({"text/plain": "p"}) is None
    assert checked_display(None) is None
    with pytest.raises(ToolError):
        checked_display(["image/png"])
