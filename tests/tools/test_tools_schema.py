"""Schemas from source: every case of schema_cases, from the text, from a namespace, and strictly."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import schema_cases as cases

from letta_kernel.errors import ToolError
from letta_kernel.tools.schema import schema_from_source
from letta_kernel.tools.source import schema_here


def whole(expected: dict[str, Any]) -> dict[str, Any]:
    """Return the whole schema a case expects."""
    parameters = {
        key: expected[key] for key in ("properties", "required", "$defs") if key in expected
    }
    return {
        "name": expected.get("name", "f"),
        "description": expected.get("description", "Do it."),
        "parameters": {"type": "object", **parameters},
    }


def run(source: str) -> dict[str, Any]:
    """Run *source* as a module, as a cell would, and return its names."""
    module = ModuleType("tools_schema_source")
    sys.modules[module.__name__] = module
    exec(compile(source, "<cell>", "exec"), module.__dict__)
    return module.__dict__


def named(rows: list[Any]) -> Any:
    return pytest.mark.parametrize(
        ("source", "expected"), [row[1:] for row in rows], ids=[r[0] for r in rows]
    )


def test_there_are_at_least_sixty_cases() -> None:
    assert len(cases.PLAIN) + len(cases.SHAPES) + len(cases.CLASSES) >= 60


@named(cases.PLAIN + cases.SHAPES)
def test_text_alone_is_enough_for_plain_types(source: str, expected: dict[str, Any]) -> None:
    assert schema_here(source, None, None) == whole(expected)


@named([case for case in cases.PLAIN if "not imported" not in case[0]])
def test_a_namespace_gives_the_same(source: str, expected: dict[str, Any]) -> None:
    import typing

    names = {**vars(typing), **_imports()}
    assert schema_from_source(source, namespace=names) == whole(expected)


def _imports() -> dict[str, Any]:
    return run(
        "import datetime\nimport datetime as dt\nimport typing\nfrom datetime import date, timedelta\n"
        "from pathlib import Path\nfrom uuid import UUID\nfrom pydantic import Field\n"
    )


@named(cases.CLASSES)
def test_own_classes_in_a_namespace(source: str, expected: dict[str, Any]) -> None:
    assert schema_from_source(source, namespace=run(source)) == whole(expected)


@named(cases.CLASSES)
def test_own_classes_in_a_bare_namespace_with_quoted_annotations(
    source: str, expected: dict[str, Any]
) -> None:
    names: dict[str, Any] = {}  # no module behind it, as after a plain exec
    exec(f"from __future__ import annotations\n{source}", names)
    assert schema_from_source(source, namespace=names) == whole(expected)


@named(cases.CLASSES)
def test_own_classes_of_foreign_source(source: str, expected: dict[str, Any]) -> None:
    assert schema_from_source(source) == whole(expected)


def test_foreign_source_never_runs_in_this_process() -> None:
    source = """
import os, sys
from pydantic import BaseModel, Field

class Spy(BaseModel):
    a: int = Field(description=str(os.getpid()))

sys.modules["was_here"] = sys

def f(x: Spy):
    \"\"\"Do it.

    Args:
        x: The x.
    \"\"\"
"""
    import os

    [told] = schema_from_source(source)["parameters"]["properties"]["x"]["properties"].values()
    assert told["type"] == "integer"
    assert int(told["description"]) != os.getpid()
    assert "was_here" not in sys.modules


def test_plain_types_of_foreign_source_run_nowhere(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    source = f"open({str(marker)!r}, 'w').close()\n" + cases.one("list[int]")
    schema_from_source(source)
    assert not marker.exists()


@pytest.mark.parametrize(
    "lines",
    [
        "from typing import NewType\ndef f(x: NewType('X', HARM)): ...",
        "from typing import NewType as Plain\ndef f(x: Plain('X', list[HARM])): ...",
        "from typing import NewType\nX = NewType('X', tp=HARM)\ndef f(x: X): ...",
        "from pydantic import conlist as some\ndef f(x: some(HARM)): ...",
        "from pydantic import conset\ndef f(x: conset(item_type=HARM) | None = None): ...",
        "from typing import List as Literal\ndef f(x: Literal[HARM]): ...",
        "from typing import Dict as Annotated\ndef f(x: Annotated[str, HARM]): ...",
        "Many = list[HARM]\ndef f(x: Many): ...",
        "def f(x: HARM, y: 'list[HARM]' = None): ...",
        "def f(x: list[(lambda: HARM)()]): ...",
        "def f(x=HARM, y=[HARM]): ...",
        "import typing\ndef f(x: typing.sys.modules['os'].system('true')): ...",
    ],
)
def test_annotations_of_foreign_source_run_nothing_here(lines: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    harm = f'open({str(marker)!r}, "w").close()'
    for written in (harm, repr(harm), repr(f"().__class__ or {harm}")):
        with contextlib.suppress(ToolError):
            schema_here(lines.replace("HARM", written), "f", None)
        assert not marker.exists(), written


def test_foreign_source_that_cannot_run_is_one_line() -> None:
    source = cases.one("Thing", "from no_such_package_anywhere import Thing")
    with pytest.raises(ToolError, match="no_such_package_anywhere") as caught:
        schema_from_source(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "pieces"), [row[1:] for row in cases.ERRORS], ids=[row[0] for row in cases.ERRORS]
)
def test_errors_name_the_parameter_and_the_cure(source: str, pieces: list[str]) -> None:
    with pytest.raises(ToolError) as caught:
        schema_from_source(source)
    text = str(caught.value)
    assert [piece for piece in pieces if piece not in text] == []
    assert "\n" not in text


def test_name_chooses_the_function() -> None:
    source = 'def first():\n    """One."""\n\ndef second():\n    """Two."""\n'
    assert schema_from_source(source)["description"] == "Two."
    assert schema_from_source(source, "first")["description"] == "One."
    with pytest.raises(ToolError, match=r"'frist'.*Did you mean 'first'"):
        schema_from_source(source, "frist")


METHODS = '''
class Shop:
    def price(self, item: str) -> float:
        """Tell the price.

        Args:
            item: What.
        """

    @classmethod
    def made(cls, year: int) -> "Shop":
        """Make one.

        Args:
            year: When.
        """

    @staticmethod
    def greet(name: str) -> str:
        """Greet.

        Args:
            name: Whom.
        """
'''


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Shop.price", ["item"]),
        ("price", ["item"]),
        ("Shop.made", ["year"]),
        ("Shop.greet", ["name"]),
    ],
)
def test_methods(name: str, fields: list[str]) -> None:
    schema = schema_from_source(METHODS, name)
    assert schema["name"] == name.rpartition(".")[2]
    assert schema["parameters"]["required"] == fields


# -- the strict form -----------------------------------------------------------------------------------


def strict(source: str, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
    return schema_from_source(source, namespace=namespace, strict=True)


def test_strict_requires_everything_and_lets_the_optional_be_null() -> None:
    source = '''
def f(a: int, b: int = 2, c: str | None = None, d: Literal["x", "y"] = "x"):
    """Do it.

    Args:
        a: A.
        b: B.
        c: C.
        d: D.
    """
'''
    assert strict(source) == {
        "name": "f",
        "description": "Do it.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "A."},
                "b": {"type": ["integer", "null"], "description": "B."},
                "c": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "C."},
                "d": {
                    "anyOf": [{"type": "string", "enum": ["x", "y"]}, {"type": "null"}],
                    "description": "D.",
                },
            },
            "required": ["a", "b", "c", "d"],
            "additionalProperties": False,
        },
    }


def test_strict_closes_models_all_the_way_down() -> None:
    source = cases.CLASSES[0][1]
    schema = strict(source, run(source))["parameters"]["properties"]["x"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["street", "title", "country"]
    assert schema["properties"]["title"] == {"type": "string"}
    assert schema["properties"]["country"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}


@pytest.mark.parametrize(
    "annotation",
    [
        "dict",
        "dict[str, int]",
        "Any",
        "list",
        "tuple[int, str]",
        "list[dict[str, str]]",
        "list[Any] | int",
    ],
)
def test_strict_refuses_what_is_open_and_names_it(annotation: str) -> None:
    with pytest.raises(ToolError, match=r"parameter 'x'.*no strict form.*leave strict out"):
        strict(cases.one(annotation))


def test_a_field_called_title_is_kept() -> None:
    source = cases.one(
        "Book",
        'from pydantic import BaseModel, Field\n\nclass Book(BaseModel):\n    title: str = Field(title="T")\n',
    )
    schema = schema_from_source(source, namespace=run(source))["parameters"]["properties"]["x"]
    assert schema == {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "description": "The x.",
    }


def test_two_classes_of_one_name_are_told_apart() -> None:
    first = run(
        "from pydantic import BaseModel\nclass A(BaseModel):\n    kids: list['A'] = []\n    a: int\n"
    )["A"]
    second = run(
        "from pydantic import BaseModel\nclass A(BaseModel):\n    kids: list['A'] = []\n    b: int\n"
    )["A"]
    source = 'def f(p: First, q: Second):\n    """Do it.\n\n    Args:\n        p: P.\n        q: Q.\n    """'
    parameters = schema_from_source(source, namespace={"First": first, "Second": second})[
        "parameters"
    ]
    references = [parameters["properties"][name]["$ref"].rpartition("/")[2] for name in ("p", "q")]
    fields = [sorted(parameters["$defs"][name]["properties"]) for name in references]
    assert fields == [["a", "kids"], ["b", "kids"]]
