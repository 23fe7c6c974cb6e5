"""Arguments of calls: mended where there is no doubt, checked, converted; every bad field is told."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import inspect
import json
import pathlib
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from letta_kernel.records import Tool
from letta_kernel.tools.arguments import ToolArgumentError, check_call, parse_arguments, read_object
from letta_kernel.tools.live import bind
from letta_kernel.tools.schema import schema_from_source


class Pet(BaseModel):
    name: str
    age: int = 1


class Color(enum.Enum):
    RED = "red"


@dataclass
class Point:
    a: int
    b: int = 0


def everything(
    pet: Pet,
    day: dt.date,
    moment: dt.datetime | None = None,
    where: pathlib.Path = pathlib.Path("."),
    price: decimal.Decimal = decimal.Decimal(0),
    key: uuid.UUID | None = None,
    color: Color = Color.RED,
    point: Point | None = None,
    kind: Literal["a", "b"] = "a",
    numbers: set[int] = frozenset(),  # type: ignore[assignment]
    pair: tuple[int, str] = (0, ""),
    pets: list[Pet] = [],  # noqa: B006
    small: Annotated[int, Field(ge=0, le=9)] = 0,
    either: int | str = 0,
    anything: Any = None,
) -> None:
    """Do it.

    Args:
        pet: .
        day: .
        moment: .
        where: .
        price: .
        key: .
        color: .
        point: .
        kind: .
        numbers: .
        pair: .
        pets: .
        small: .
        either: .
        anything: .
    """


def tool_of(function: Any) -> Tool:
    return Tool(**schema_from_source(inspect.getsource(function), namespace=function.__globals__))


TOOL = tool_of(everything)
GOOD: dict[str, Any] = {
    "pet": {"name": "Rex"},
    "day": "2024-02-29",
    "moment": "2024-02-29T10:00:00+00:00",
    "where": "a/b",
    "price": "1.50",
    "key": "12345678-1234-5678-1234-567812345678",
    "color": "red",
    "point": {"a": 1},
    "kind": "b",
    "numbers": [1, 2, 2],
    "pair": [1, "x"],
    "pets": [{"name": "Tom", "age": "3"}],
    "small": 9,
    "either": "text",
    "anything": {"deep": [1, None]},
}


def test_everything_arrives_as_what_it_is() -> None:
    made = parse_arguments(TOOL, json.dumps(GOOD), everything)
    assert made == {
        "pet": Pet(name="Rex"),
        "day": dt.date(2024, 2, 29),
        "moment": dt.datetime(2024, 2, 29, 10, tzinfo=dt.UTC),
        "where": pathlib.Path("a/b"),
        "price": decimal.Decimal("1.50"),
        "key": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "color": Color.RED,
        "point": Point(1),
        "kind": "b",
        "numbers": {1, 2},
        "pair": (1, "x"),
        "pets": [Pet(name="Tom", age=3)],
        "small": 9,
        "either": "text",
        "anything": {"deep": [1, None]},
    }
    assert type(made["day"]) is dt.date


def test_without_the_function_they_stay_json_and_convert_where_it_runs() -> None:
    plain = parse_arguments(TOOL, json.dumps(GOOD))
    assert json.loads(json.dumps(plain)) == plain
    assert check_call("everything", everything, plain) == parse_arguments(
        TOOL, json.dumps(GOOD), everything
    )


@pytest.mark.parametrize("function", [everything, None], ids=["live", "schema"])
def test_every_bad_field_is_told_in_one_short_line(function: Any) -> None:
    bad = {
        "pet": {"age": "old"},
        "moment": "soon",
        "kind": "c",
        "pets": [{"name": "Tom"}, {"name": 1}],
        "small": 10,
        "pair": [1],
        "colour": "red",
    }
    with pytest.raises(ToolArgumentError) as caught:
        parse_arguments(TOOL, json.dumps(bad), function)
    text = str(caught.value)
    for piece in (
        "everything:",
        "'pet.name' is missing",
        "'pet.age'",
        '(got "old")',
        "'day' is missing",
        "'moment'",
        "'kind'",
        "'pets[1].name'",
        "'small'",
        "less than or equal to 9",
        "'pair",
        "'colour' is not one of its arguments (did you mean 'color'?)",
        "It takes: pet, day,",
    ):
        assert piece in text
    assert "'pets[0]" not in text
    assert "\n" not in text
    assert len(text) < 1_500


@pytest.mark.parametrize("function", [everything, None], ids=["live", "schema"])
def test_null_for_what_may_be_left_out_means_left_out(function: Any) -> None:
    raw = json.dumps({"pet": {"name": "Rex"}, "day": "2024-01-01", "small": None, "moment": None})
    made = parse_arguments(TOOL, raw, function)
    assert "small" not in made
    assert made.get("moment") is None


def named_as_pydantic_names(
    copy: str,
    json: int = 1,
    _under: int = 2,
    model_x: int = 3,
    p0: int = 4,
    agent: Pet | None = None,
) -> None:
    """Do it."""


def test_any_name_can_be_that_of_an_argument() -> None:
    tool = tool_of(named_as_pydantic_names)
    given = {"copy": "a", "json": "5", "_under": 6, "model_x": 7, "p0": 8}
    made = parse_arguments(tool, json.dumps(given), named_as_pydantic_names)
    assert made == {**given, "json": 5}
    with pytest.raises(ToolArgumentError, match="'p1' is not one of its arguments"):
        parse_arguments(tool, json.dumps({"copy": "a", "p1": 1}), named_as_pydantic_names)


class Book(BaseModel):
    title: str

    @field_validator("title")
    @classmethod
    def known(cls, title: str) -> str:
        return {"Emma": title}[title]


def test_a_check_of_the_authors_that_fails_itself_is_told_with_its_argument() -> None:
    def lend(to: str, book: Book) -> str:
        return to + book.title

    assert check_call("lend", lend, {"to": "Kim", "book": {"title": "Emma"}})["to"] == "Kim"
    with pytest.raises(ToolArgumentError, match=r"lend: 'book': KeyError: 'Ulysses'. It takes: to"):
        check_call("lend", lend, {"to": "Kim", "book": {"title": "Ulysses"}})


def optional_without_default(a: int | None, b: int = Field(3, description="B.")) -> int:
    """Do it.

    Args:
        a: A.
    """
    return (a or 0) + b


def test_optional_parameters_without_a_default_of_their_own_get_one() -> None:
    tool = tool_of(optional_without_default)
    made = parse_arguments(tool, "", optional_without_default)
    assert made == {"a": None, "b": 3}
    assert optional_without_default(**made) == 3


def test_positional_only_parameters_are_passed_by_place() -> None:
    def area(width: int, height: int = 2, /, *, scale: int = 1) -> int:
        return width * height * scale

    positional, named = bind(area, check_call("area", area, {"width": 3, "scale": 5}))
    assert area(*positional, **named) == 30


def test_quoted_annotations_are_looked_up_when_called() -> None:
    names: dict[str, Any] = {"BaseModel": BaseModel}
    exec('def f(x: "Later") -> None: ...\nclass Later(BaseModel):\n    n: int\n', names)
    assert check_call("f", names["f"], {"x": {"n": 1}})["x"] == names["Later"](n=1)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("", {}),
        ("  \n", {}),
        ("{}", {}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": 1}```', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('{"a": "x\ny"}', {"a": "x\ny"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('"\\"{}\\""', {}),
        ('[{"a": 1}]', {"a": 1}),
        ("[]", {}),
        ("null", {}),
        ('"null"', {}),
        ('""', {}),
        ('{"a": ",}"}', {"a": ",}"}),
        ('{"a": ",}",}', {"a": ",}"}),
        ('{"a": "\\ud800"}', {"a": "\ufffd"}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ('{"a": 1' + "0" * 200 + "}", {"a": 10**200}),
    ],
)
def test_mended_where_there_is_only_one_reading(raw: str, found: dict[str, Any]) -> None:
    assert read_object(raw) == found


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ('{"a": 1', "not valid JSON"),
        ('{"a": "cut o', "not valid JSON"),
        ('{"a": 1} {"a": 2}', "not valid JSON"),
        ('{"a": 1} and so on', "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5_000 + "}", "5,000 digits"),
        ('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}", "levels deep"),
        ("[" * 100_000, "levels deep"),
        ("[1]", "not a list"),
        ('[{"a": 1}, {"a": 2}]', "not a list"),
        ('"[1]"', "not a list"),
        ('"text"', "not a string"),
        ("3", "not a single value"),
    ],
)
def test_refused_where_there_is_doubt(raw: str, text: str) -> None:
    with pytest.raises(ToolArgumentError, match=text) as caught:
        parse_arguments(TOOL, raw)
    assert len(str(caught.value)) < 300


def test_many_brackets_inside_a_string_are_not_depth() -> None:
    assert read_object(json.dumps({"a": "[" * 500})) == {"a": "[" * 500}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"enum": [{"not": "hashable"}, "look"]},
        {"$ref": "#/$defs/nowhere"},
        {"type": "string", "pattern": "(?=look)"},
        {"anyOf": []},
        True,
        {"type": ["string", "null"]},
    ],
)
def test_schemas_from_elsewhere_never_break_a_call(schema: Any) -> None:
    tool = Tool(
        name="far", parameters={"type": "object", "properties": {"x": schema}, "required": ["x"]}
    )
    assert parse_arguments(tool, '{"x": "look"}') == {"x": "look"}


def test_a_recursive_schema_is_checked_inside() -> None:
    names: dict[str, Any] = {"BaseModel": BaseModel, "__name__": "recursive"}
    source = (
        "class Node(BaseModel):\n    value: int\n    kids: list['Node'] = []\n"
        'def f(x: Node) -> None:\n    """Do it.\n\n    Args:\n        x: X.\n    """\n'
    )
    exec(source, names)
    tool = Tool(**schema_from_source(source, namespace=names))
    good = {"x": {"value": 1, "kids": [{"value": 2}]}}
    assert parse_arguments(tool, json.dumps(good)) == good
    good["x"]["kids"][0]["value"] = "two"  # type: ignore[index]
    for function in (None, names["f"]):
        with pytest.raises(ToolArgumentError, match=r"'x.kids\[0\].value'"):
            parse_arguments(tool, json.dumps(good), function)
