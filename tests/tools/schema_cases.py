"""Sources and the schemas they must give, as data.

Each case is ``(name, source, expected)``; *expected* holds ``properties`` and ``required`` of the parameters
and, where they matter, ``name``, ``description`` and ``$defs`` (else the function is ``f`` and says "Do it.").
"""

from __future__ import annotations

from typing import Any

Case = tuple[str, str, dict[str, Any]]


def one(annotation: str, before: str = "") -> str:
    """Return a source whose function has one parameter ``x`` of *annotation*."""
    return f'{before}\ndef f(x: {annotation}):\n    """Do it.\n\n    Args:\n        x: The x.\n    """\n'


def x(schema: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """Return what is expected of such a source."""
    return {
        "properties": {"x": {**schema, "description": "The x."}},
        "required": ["x"] if required else [],
    }


STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
NULL = {"type": "null"}


def array(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


# Types that the text alone tells; no import is needed for those a notebook has imported elsewhere.
PLAIN: list[Case] = [
    ("str", one("str"), x(STRING)),
    ("int", one("int"), x(INTEGER)),
    ("float", one("float"), x(NUMBER)),
    ("bool", one("bool"), x({"type": "boolean"})),
    ("bytes", one("bytes"), x({"type": "string", "format": "binary"})),
    ("none", one("None"), x(NULL)),
    ("any", one("Any", "from typing import Any"), x({})),
    ("list", one("list"), x(array({}))),
    ("list of str", one("list[str]"), x(array(STRING))),
    ("typing List", one("List[int]", "from typing import List"), x(array(INTEGER))),
    ("list of lists", one("list[list[float]]"), x(array(array(NUMBER)))),
    ("dict", one("dict"), x({"type": "object", "additionalProperties": True})),
    ("dict of int", one("dict[str, int]"), x({"type": "object", "additionalProperties": INTEGER})),
    ("dict of any", one("dict[str, Any]"), x({"type": "object", "additionalProperties": True})),
    (
        "typing Dict of lists",
        one("typing.Dict[str, typing.List[str]]", "import typing"),
        x({"type": "object", "additionalProperties": array(STRING)}),
    ),
    (
        "tuple of fixed length",
        one("tuple[int, str]"),
        x({"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2}),
    ),
    ("tuple of any length", one("tuple[int, ...]"), x(array(INTEGER))),
    ("set", one("set[str]"), x(array(STRING, uniqueItems=True))),
    ("frozenset", one("frozenset[int]"), x(array(INTEGER, uniqueItems=True))),
    ("sequence", one("Sequence[int]", "from collections.abc import Sequence"), x(array(INTEGER))),
    (
        "mapping",
        one("Mapping[str, float]", "from collections.abc import Mapping"),
        x({"type": "object", "additionalProperties": NUMBER}),
    ),
    ("literal", one('Literal["a", "b"]'), x({"type": "string", "enum": ["a", "b"]})),
    ("literal of one", one('Literal["a"]'), x({"type": "string", "const": "a"})),
    ("literal of numbers", one("Literal[1, -2]"), x({"type": "integer", "enum": [1, -2]})),
    (
        "literal that looks like a type",
        one('Literal["int"]'),
        x({"type": "string", "const": "int"}),
    ),
    ("optional", one("Optional[int]", "from typing import Optional"), x(INTEGER, False)),
    ("or None", one("int | None"), x(INTEGER, False)),
    ("None or", one("None | str"), x(STRING, False)),
    ("optional list", one("Optional[list[str]]"), x(array(STRING), False)),
    (
        "optional literal",
        one('Literal["a", "b"] | None'),
        x({"type": "string", "enum": ["a", "b"]}, False),
    ),
    ("union", one("int | str"), x({"anyOf": [INTEGER, STRING]})),
    ("typing Union", one("Union[int, str]"), x({"anyOf": [INTEGER, STRING]})),
    ("union with None", one("int | str | None"), x({"anyOf": [INTEGER, STRING]}, False)),
    (
        "list of optional keeps null inside",
        one("list[int | None]"),
        x(array({"anyOf": [INTEGER, NULL]})),
    ),
    ("date", one("date", "from datetime import date"), x({"type": "string", "format": "date"})),
    (
        "datetime by module",
        one("datetime.datetime", "import datetime"),
        x({"type": "string", "format": "date-time"}),
    ),
    ("datetime not imported", one("datetime.date"), x({"type": "string", "format": "date"})),
    (
        "datetime by alias",
        one("dt.time", "import datetime as dt"),
        x({"type": "string", "format": "time"}),
    ),
    ("timedelta", one("timedelta"), x({"type": "string", "format": "duration"})),
    ("path", one("Path", "from pathlib import Path"), x({"type": "string", "format": "path"})),
    ("uuid", one("UUID", "from uuid import UUID"), x({"type": "string", "format": "uuid"})),
    ("quoted", one('"int"'), x(INTEGER)),
    ("quoted inside", one('list["str | None"]'), x(array({"anyOf": [STRING, NULL]}))),
    ("quoted optional", one('"Optional[int]"'), x(INTEGER, False)),
    (
        "future annotations",
        one("list[int] | None", "from __future__ import annotations"),
        x(array(INTEGER), False),
    ),
    ("alias", one("Vector", "Vector = list[float]"), x(array(NUMBER))),
    (
        "alias of an alias",
        one("Matrix", "Row = list[float]\nMatrix = list[Row]"),
        x(array(array(NUMBER))),
    ),
    ("optional alias", one("Name", "Name = Optional[str]"), x(STRING, False)),
    (
        "new type",
        one("UserId", 'from typing import NewType\nUserId = NewType("UserId", int)'),
        x(INTEGER),
    ),
    (
        "annotated with bounds",
        one("Annotated[int, Field(ge=1, le=10)]", "from pydantic import Field"),
        x({"type": "integer", "minimum": 1, "maximum": 10}),
    ),
    (
        "annotated with a pattern and length",
        one('Annotated[str, Field(pattern="^a", max_length=3)]', "from pydantic import Field"),
        x({"type": "string", "pattern": "^a", "maxLength": 3}),
    ),
    (
        "optional annotated",
        one("Annotated[int, Field(gt=0)] | None", "from pydantic import Field"),
        x({"type": "integer", "exclusiveMinimum": 0}, False),
    ),
    (
        "imported under type checking",
        one(
            "Sequence[str]",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from collections.abc import Sequence",
        ),
        x(array(STRING)),
    ),
    ("default makes optional", one("int = 3"), x(INTEGER, False)),
    ("default None without optional", one("int = None"), x(INTEGER, False)),
    ("optional with default", one("Optional[str] = 'a'"), x(STRING, False)),
]

# What the signature and the docstring say.
SHAPES: list[Case] = [
    (
        "no parameters",
        'def f():\n    """Do it."""\n',
        {"properties": {}, "required": []},
    ),
    (
        "positional-only and keyword-only",
        '''
def f(a: int, /, b: int, *, c: int, d: int = 1):
    """Do it.

    Args:
        a: First.
        b: Second.
        c: Third.
        d: Fourth.
    """
''',
        {
            "properties": {
                "a": {"type": "integer", "description": "First."},
                "b": {"type": "integer", "description": "Second."},
                "c": {"type": "integer", "description": "Third."},
                "d": {"type": "integer", "description": "Fourth."},
            },
            "required": ["a", "b", "c"],
        },
    ),
    (
        "agent_state and self are ours",
        one("int").replace("(x", '(self, agent_state: "AgentState", x'),
        x(INTEGER),
    ),
    ("async", "async " + one("int").lstrip(), x(INTEGER)),
    (
        "decorated",
        one("int", "import functools\n\n@functools.cache\n@some.thing(1)"),
        x(INTEGER),
    ),
    (
        "named by the decorator",
        one(
            "int", 'from letta_kernel import tool\n\n@tool(name="renamed", requires_approval=True)'
        ),
        {**x(INTEGER), "name": "renamed"},
    ),
    (
        "described by the decorator",
        one("int", 'from letta_kernel import tool\n\n@tool(description="Other words.")'),
        {**x(INTEGER), "description": "Other words."},
    ),
    (
        "the last top-level function, not a nested one",
        '''
def g():
    """No."""

def f():
    """Do it."""
    def inner(y: str):
        """Neither.

        Args:
            y: Y.
        """
    return inner

class C:
    def method(self):
        """Nor this."""
''',
        {"properties": {}, "required": []},
    ),
    (
        "overloaded: the implementation counts",
        '''
from typing import overload

@overload
def f(x: int) -> int: ...
@overload
def f(x: str) -> str: ...
def f(x: int | str) -> int | str:
    """Do it.

    Args:
        x: The x.
    """
    return x
''',
        x({"anyOf": [INTEGER, STRING]}),
    ),
    (
        "field as default",
        '''
from pydantic import Field

def f(a: int = Field(3, ge=1, description="How many."), b: str = Field(description="Which.")):
    """Do it."""
''',
        {
            "properties": {
                "a": {"type": "integer", "minimum": 1, "description": "How many."},
                "b": {"type": "string", "description": "Which."},
            },
            "required": ["b"],
        },
    ),
    (
        "descriptions in annotations, the docstring first",
        '''
from typing import Annotated
from pydantic import Field

def f(a: Annotated[int, Field(description="From the field.")], b: Annotated[str, "From a string."],
      c: Annotated[str, Field(description="Not this.")]):
    """Do it.

    Args:
        c: From the docstring.
    """
''',
        {
            "properties": {
                "a": {"type": "integer", "description": "From the field."},
                "b": {"type": "string", "description": "From a string."},
                "c": {"type": "string", "description": "From the docstring."},
            },
            "required": ["a", "b", "c"],
        },
    ),
    (
        "summary, body, examples, line breaks",
        '''
def f(x: int):
    """Do it.


    The body has
    two lines,

        and an indented one.

    Args:
        x (int, optional): First line,
            second line

            - a point
              that goes on

    Returns:
        int: nothing.

    Raises:
        ValueError: never.

    Examples:
        >>> f(1)
        2
    """
''',
        {
            "description": "Do it.\n\nThe body has\ntwo lines,\n\n    and an indented one.\n\n"
            "Examples:\n    >>> f(1)\n    2",
            "properties": {
                "x": {
                    "type": "integer",
                    "description": "First line,\nsecond line\n\n- a point\n  that goes on",
                }
            },
            "required": ["x"],
        },
    ),
    (
        "numpy style",
        '''
def f(a: int, b: str, c: str = ""):
    """Do it.

    More words.

    Parameters
    ----------
    a : int
        The first
        number.
    b, c : str
        Some text.

    Returns
    -------
    int
        Nothing.

    Examples
    --------
    >>> f(1, "")
    """
''',
        {
            "description": 'Do it.\n\nMore words.\n\nExamples:\n>>> f(1, "")',
            "properties": {
                "a": {"type": "integer", "description": "The first\nnumber."},
                "b": {"type": "string", "description": "Some text."},
                "c": {"type": "string", "description": "Some text."},
            },
            "required": ["a", "b"],
        },
    ),
    (
        "reST style",
        '''
def f(a: int, b: str):
    """Do it.

    :param a: The first
        number.
    :param str b: Some text.
    :return: Nothing.
    :raises ValueError: never
    """
''',
        {
            "properties": {
                "a": {"type": "integer", "description": "The first\nnumber."},
                "b": {"type": "string", "description": "Some text."},
            },
            "required": ["a", "b"],
        },
    ),
]

_MODEL = """
from pydantic import BaseModel, Field

class Address(BaseModel):
    \"\"\"Where someone lives.\"\"\"
    street: str = Field(description="With number.")
    title: str = "Home"
    country: str | None = None
"""
_ADDRESS = {
    "type": "object",
    "description": "Where someone lives.",
    "properties": {
        "street": {"type": "string", "description": "With number."},
        "title": {"type": "string", "default": "Home"},
        "country": {"type": "string"},
    },
    "required": ["street"],
}

# The source's own classes: looked up in a namespace, or evaluated in the sandbox.
CLASSES: list[Case] = [
    ("model", one("Address", _MODEL), x(_ADDRESS)),
    ("list of models", one("list[Address]", _MODEL), x(array(_ADDRESS))),
    ("optional model", one("Address | None", _MODEL), x(_ADDRESS, False)),
    (
        "dict of models",
        one("dict[str, Address]", _MODEL),
        x({"type": "object", "additionalProperties": _ADDRESS}),
    ),
    (
        "model in a model, quoted",
        one("'Person'", _MODEL + "\nclass Person(BaseModel):\n    homes: list[Address]\n"),
        x({"type": "object", "properties": {"homes": array(_ADDRESS)}, "required": ["homes"]}),
    ),
    (
        "recursive model keeps its definition",
        one(
            "Node",
            'from pydantic import BaseModel\n\nclass Node(BaseModel):\n    kids: list["Node"] = []\n',
        ),
        {
            **x({"$ref": "#/$defs/Node"}),
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {"kids": array({"$ref": "#/$defs/Node"}, default=[])},
                    "required": [],
                }
            },
        },
    ),
    (
        "enum",
        one(
            "Color",
            'from enum import Enum\n\nclass Color(Enum):\n    RED = "red"\n    BLUE = "blue"\n',
        ),
        x({"type": "string", "enum": ["red", "blue"]}),
    ),
    (
        "dataclass",
        one(
            "Point",
            "from dataclasses import dataclass\n\n@dataclass\nclass Point:\n    a: int\n    b: int = 0\n",
        ),
        x(
            {
                "type": "object",
                "properties": {"a": INTEGER, "b": {"type": "integer", "default": 0}},
                "required": ["a"],
            }
        ),
    ),
    (
        "typed dict",
        one(
            "Movie",
            "from typing import NotRequired, TypedDict\n\n"
            "class Movie(TypedDict):\n    name: str\n    year: NotRequired[int]\n",
        ),
        x(
            {
                "type": "object",
                "properties": {"name": STRING, "year": INTEGER},
                "required": ["name"],
            }
        ),
    ),
    (
        "named tuple",
        one(
            "Pair",
            "from typing import NamedTuple\n\nclass Pair(NamedTuple):\n    a: int\n    b: str\n",
        ),
        x({"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2}),
    ),
    (
        "alias of an own class",
        one("Homes", _MODEL + "\nHomes = list[Address]\n"),
        x(array(_ADDRESS)),
    ),
]

# Sources that cannot be a tool: every one of these pieces must be in the error's one line.
ERRORS: list[tuple[str, str, list[str]]] = [
    ("unknown name", one("Nowhere"), ["'x'", "'Nowhere'", "import or define"]),
    ("not describable", one("Callable[[int], str]"), ["'x'", "JSON"]),
    ("not a type", one('"int["'), ["'x'", "no type"]),
    ("bad Python", "def f(:\n", ["line 1", "not valid Python"]),
    ("no function", "x = 1\n", ["no top-level function"]),
    ("bad name", 'def café():\n    """Do it."""', ["café", "name="]),
    (
        "unknown option",
        '@tool(aproval=True)\ndef f():\n    """Do it."""',
        ["aproval", "requires_approval"],
    ),
    (
        "unreadable option",
        '@tool(time_limit=LIMIT)\ndef f():\n    """Do it."""',
        ["time_limit", "LIMIT"],
    ),
]
