"""Functions in the ways people write them for agents, as data: each must be a tool.

A form is ``(name, source, properties, required, arguments, result)``: of the schema's properties what counts
(their descriptions where there are any), and what a call with *arguments* must give as text.
"""

from __future__ import annotations

from typing import Any

Form = tuple[str, str, dict[str, Any], list[str], dict[str, Any], str]

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
BOOLEAN = {"type": "boolean"}


def described(schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {**schema, "description": text}


FORMS: list[Form] = [
    (
        "google style",
        '''
def f(city: str, days: int = 3) -> str:
    """Forecast the weather.

    Args:
        city (str): Which city.
        days (int, optional): How far.

    Returns:
        str: The forecast.
    """
    return f"{city} {days}"
''',
        {"city": described(STRING, "Which city."), "days": described(INTEGER, "How far.")},
        ["city"],
        {"city": "Oslo"},
        "Oslo 3",
    ),
    (
        "one line alone",
        'def f(a: int, b: int) -> int:\n    """Multiply two numbers."""\n    return a * b\n',
        {"a": INTEGER, "b": INTEGER},
        ["a", "b"],
        {"a": 6, "b": 7},
        "42",
    ),
    (
        "only one of two described",
        'def f(a: int, b: int):\n    """Add.\n\n    Args:\n        a: The first.\n    """\n    return a + b\n',
        {"a": described(INTEGER, "The first."), "b": INTEGER},
        ["a", "b"],
        {"a": 1, "b": 2},
        "3",
    ),
    (
        "numpy style, types in the docstring alone",
        '''
def f(city, days=None):
    """Forecast.

    Parameters
    ----------
    city : str
        Which city.
    days : int, optional
        How far.
    """
    return [city, days]
''',
        {"city": described(STRING, "Which city."), "days": described(INTEGER, "How far.")},
        ["city"],
        {"city": "Oslo", "days": 2},
        '["Oslo", 2]',
    ),
    (
        "sphinx style, types in the docstring alone",
        '''
def f(city, tags):
    """Forecast.

    :param city: Which city.
    :type city: str
    :param tags: Any words.
    :type tags: list[str]
    :return: The forecast.
    :rtype: str
    """
    return [city, *tags]
''',
        {
            "city": described(STRING, "Which city."),
            "tags": described({"type": "array", "items": STRING}, "Any words."),
        },
        ["city", "tags"],
        {"city": "Oslo", "tags": ["a"]},
        '["Oslo", "a"]',
    ),
    (
        "no hints at all",
        'def f(query, limit=5, c=1.5, flag=False, name="x"):\n    """Look."""\n'
        "    return [query, limit, c, flag, name]\n",
        {"query": {}, "limit": INTEGER, "c": NUMBER, "flag": BOOLEAN, "name": STRING},
        ["query"],
        {"query": "gulls", "c": 2},
        '["gulls", 5, 2.0, false, "x"]',
    ),
    (
        "defaults of many kinds, no hints",
        "import datetime\n"
        "def f(a=None, b=[1, 2], c={}, d=(1.5, 2.5), e=-1, g=datetime.date(2024, 1, 2), h=[]):\n"
        '    """Do."""\n    return [a, b, c, list(d), e, g, h]\n',
        {
            "a": {},
            "b": {"type": "array", "items": INTEGER},
            "c": {"type": "object", "additionalProperties": True},
            "d": {"type": "array", "items": NUMBER},
            "e": INTEGER,
            "h": {"type": "array", "items": {}},
        },
        [],
        {"a": "x"},
        '["x", [1, 2], {}, [1.5, 2.5], -1, "2024-01-02", []]',
    ),
    (
        "annotated with words",
        "from typing import Annotated\n"
        'def f(city: Annotated[str, "Which city."], unit: Annotated[str, "C or F."] = "C") -> str:\n'
        '    """Forecast."""\n    return city + unit\n',
        {"city": described(STRING, "Which city."), "unit": described(STRING, "C or F.")},
        ["city"],
        {"city": "Oslo"},
        "OsloC",
    ),
    (
        "annotated with a field",
        "from typing import Annotated\nfrom pydantic import Field\n"
        "def f(count: Annotated[int, Field(ge=1, le=9, description='How many.')]) -> int:\n"
        '    """Count."""\n    return count\n',
        {"count": described({"type": "integer", "minimum": 1, "maximum": 9}, "How many.")},
        ["count"],
        {"count": 9},
        "9",
    ),
    (
        "a field as the default",
        "from pydantic import Field\n"
        "def f(count: int = Field(2, description='How many.'), word: str = Field(...)):\n"
        '    """Count."""\n    return word * count\n',
        {"count": described(INTEGER, "How many."), "word": STRING},
        ["word"],
        {"word": "a"},
        "aa",
    ),
    (
        "literal",
        "from typing import Literal\n"
        'def f(unit: Literal["c", "f"] = "c"):\n    """Choose."""\n    return unit\n',
        {"unit": {"type": "string", "enum": ["c", "f"]}},
        [],
        {"unit": "f"},
        "f",
    ),
    (
        "optional of typing",
        "from typing import Optional, List\n"
        "def f(words: Optional[List[str]] = None, city: Optional[str] = None):\n"
        '    """Search."""\n    return [words, city]\n',
        {"words": {"type": "array", "items": STRING}, "city": STRING},
        [],
        {"words": ["a"]},
        '[["a"], null]',
    ),
    (
        "union",
        'def f(value: int | str, other: "float | None" = None):\n    """Take."""\n    return [value, other]\n',
        {"value": {"anyOf": [INTEGER, STRING]}, "other": NUMBER},
        ["value"],
        {"value": "a"},
        '["a", null]',
    ),
    (
        "bare dict and list",
        'def f(data: dict, rows: list = []) -> dict:\n    """Keep."""\n    return {**data, "rows": rows}\n',
        {
            "data": {"type": "object", "additionalProperties": True},
            "rows": {"type": "array", "items": {}},
        },
        ["data"],
        {"data": {"a": 1}},
        '{"a": 1, "rows": []}',
    ),
    (
        "dicts of lists",
        "from typing import Any, Dict, List\n"
        "def f(orders: List[Dict[str, Any]]) -> int:\n"
        '    """Sum the orders."""\n    return sum(one["n"] for one in orders)\n',
        {
            "orders": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": True},
            }
        },
        ["orders"],
        {"orders": [{"n": 1}, {"n": 2}]},
        "3",
    ),
    (
        "typed dict",
        "from typing import TypedDict\n\n"
        "class Guest(TypedDict):\n    name: str\n    age: int\n\n"
        'def f(guest: Guest):\n    """Greet."""\n    return guest["name"]\n',
        {
            "guest": {
                "type": "object",
                "properties": {"name": STRING, "age": INTEGER},
                "required": ["name", "age"],
            }
        },
        ["guest"],
        {"guest": {"name": "Ebba", "age": 3}},
        "Ebba",
    ),
    (
        "dataclass",
        "from dataclasses import dataclass\n\n"
        "@dataclass\nclass Point:\n    x: float\n    y: float = 0.0\n\n"
        'def f(point: Point):\n    """Measure."""\n    return point.x + point.y\n',
        {"point": {"type": "object"}},
        ["point"],
        {"point": {"x": 1.5}},
        "1.5",
    ),
    (
        "pydantic model with words of its own",
        "from pydantic import BaseModel, Field\n\n"
        'class Ask(BaseModel):\n    """What to search for."""\n    query: str = Field(description="Words.")\n\n'
        'def f(ask: Ask) -> str:\n    """Search."""\n    return ask.query\n',
        {
            "ask": {
                "type": "object",
                "properties": {"query": described(STRING, "Words.")},
                "required": ["query"],
                "description": "What to search for.",
            }
        },
        ["ask"],
        {"ask": {"query": "gulls"}},
        "gulls",
    ),
    (
        "enum, by hint and by default",
        "from enum import Enum\n\n"
        'class Unit(str, Enum):\n    C = "c"\n    F = "f"\n\n'
        'def f(a: Unit, b: Unit = Unit.F):\n    """Choose."""\n    return [a.value, b.value]\n',
        {
            "a": {"type": "string", "enum": ["c", "f"]},
            "b": {"type": "string", "enum": ["c", "f"]},
        },
        ["a"],
        {"a": "c"},
        '["c", "f"]',
    ),
    (
        "async",
        'import asyncio\nasync def f(url: str, timeout: float = 10.0) -> str:\n    """Fetch."""\n'
        "    await asyncio.sleep(0)\n    return url\n",
        {"url": STRING, "timeout": NUMBER},
        ["url"],
        {"url": "http://h"},
        "http://h",
    ),
    (
        "any number of arguments",
        'def f(*numbers: float) -> float:\n    """Add them."""\n    return sum(numbers)\n',
        {"numbers": {"type": "array", "items": NUMBER}},
        [],
        {"numbers": [1, 2.5]},
        "3.5",
    ),
    (
        "any keywords",
        'def f(table: str, **filters: str):\n    """Query.\n\n    Args:\n'
        '        **filters: By column.\n    """\n'
        "    return [table, filters]\n",
        {
            "table": STRING,
            "filters": described({"type": "object", "additionalProperties": STRING}, "By column."),
        },
        ["table"],
        {"table": "t", "filters": {"a": "b"}},
        '["t", {"a": "b"}]',
    ),
    (
        "all of them without hints",
        'def f(a, b=2, *args, c=3, **kwargs):\n    """Take all."""\n    return [a, b, args, c, kwargs]\n',
        {
            "a": {},
            "b": INTEGER,
            "args": {"type": "array", "items": {}},
            "c": INTEGER,
            "kwargs": {"type": "object", "additionalProperties": True},
        },
        ["a"],
        {"a": 1, "args": [5], "kwargs": {"z": 0}},
        '[1, 2, [5], 3, {"z": 0}]',
    ),
    (
        "nothing but arguments of any kind",
        'def f(*args, **kwargs):\n    """Take anything."""\n    return [args, kwargs]\n',
        {
            "args": {"type": "array", "items": {}},
            "kwargs": {"type": "object", "additionalProperties": True},
        },
        [],
        {"kwargs": {"a": 1}},
        '[[], {"a": 1}]',
    ),
    (
        "positional only and keyword only",
        'def f(a: int, b: int = 2, /, *, c: bool = True):\n    """Sort."""\n    return [a, b, c]\n',
        {"a": INTEGER, "b": INTEGER, "c": BOOLEAN},
        ["a"],
        {"a": 1, "c": False},
        "[1, 2, false]",
    ),
    ("no parameters", 'def f() -> str:\n    """Tell."""\n    return "now"\n', {}, [], {}, "now"),
    (
        "no docstring",
        "def f(x: int) -> int:\n    return x + 1\n",
        {"x": INTEGER},
        ["x"],
        {"x": 1},
        "2",
    ),
    (
        "a list of bullets",
        'def f(a: str, b: str = ""):\n    """Do.\n\n    Args:\n        - a: First.\n'
        '        - b: Second.\n    """\n'
        "    return a + b\n",
        {"a": described(STRING, "First."), "b": described(STRING, "Second.")},
        ["a"],
        {"a": "x"},
        "x",
    ),
    (
        "arguments nobody can parse",
        'def f(a: str):\n    """Do.\n\n    Args:\n        a: First\n        goes on\n    """\n    return a\n',
        {"a": STRING},
        ["a"],
        {"a": "x"},
        "x",
    ),
    (
        "what only code can give has a default",
        "from typing import Callable, Optional\n\nclass Client: pass\n\n"
        "def f(city: str, client: Optional[Client] = None, on_done: Callable[[], None] = print):\n"
        '    """Forecast."""\n    return [city, client]\n',
        {"city": STRING},
        ["city"],
        {"city": "Oslo"},
        '["Oslo", null]',
    ),
    (
        "a type of a library that is not here, with a default",
        'from __future__ import annotations\ndef f(city: str, frame: pd.DataFrame = None):\n    """See."""\n'
        "    return city\n",
        {"city": STRING},
        ["city"],
        {"city": "Oslo"},
        "Oslo",
    ),
    (
        "a constant as the default",
        'LIMIT = 5\ndef f(limit=LIMIT, size: int = LIMIT):\n    """List."""\n    return [limit, size]\n',
        {"limit": INTEGER, "size": INTEGER},
        [],
        {"size": 2},
        "[5, 2]",
    ),
    (
        "dates, paths and numbers of their own kinds",
        "import datetime\nfrom decimal import Decimal\nfrom pathlib import Path\nfrom uuid import UUID\n"
        "def f(day: datetime.date, file: Path = Path('.'), id: UUID | None = None):\n"
        '    """File."""\n    return [day, file]\n',
        {"day": {"type": "string", "format": "date"}},
        ["day"],
        {"day": "2024-01-02", "file": "a.txt"},
        '["2024-01-02", "a.txt"]',
    ),
    (
        "decorated, with the signature kept",
        "import functools\n\ndef logged(g):\n    @functools.wraps(g)\n    def inner(*args, **kwargs):\n"
        "        return g(*args, **kwargs)\n    return inner\n\n"
        '@logged\ndef f(a: int, b=1.5):\n    """Add."""\n    return a + b\n',
        {"a": INTEGER, "b": NUMBER},
        ["a"],
        {"a": 1},
        "2.5",
    ),
    (
        "decorated, with the signature hidden",
        "def logged(g):\n    def inner(*args, **kwargs):\n        return g(*args, **kwargs)\n"
        "    return inner\n\n"
        '@logged\ndef f(a: int, b=1.5):\n    """Add."""\n    return a + b\n',
        {"a": INTEGER, "b": NUMBER},
        ["a"],
        {"a": 1},
        "2.5",
    ),
    (
        "cached",
        "from functools import lru_cache\n\n@lru_cache(maxsize=8)\ndef f(n: int):\n"
        '    """Square."""\n    return n * n\n',
        {"n": INTEGER},
        ["n"],
        {"n": 4},
        "16",
    ),
    (
        "the agent's state beside its own",
        'def f(self, agent_state: "AgentState", key: str = "a"):\n    """Look up."""\n    return key\n'.replace(
            "self, ", ""
        ),
        {"key": STRING},
        [],
        {"key": "b"},
        "b",
    ),
    (
        "a generator",
        'def f(n: int = 3):\n    """Count."""\n    for one in range(n):\n        yield one\n',
        {"n": INTEGER},
        [],
        {},
        "[0, 1, 2]",
    ),
    (
        "a sentence with colons and lines after it",
        'def f(q: str) -> str:\n    """Search the web.\n\n    Usage notes:\n    - be brief\n\n'
        '    Input: a query.\n    """\n'
        "    return q\n",
        {"q": STRING},
        ["q"],
        {"q": "a"},
        "a",
    ),
    (
        "tuples",
        "from typing import Tuple\n"
        'def f(area: Tuple[float, float], names: tuple[str, ...] = ()):\n    """Look."""\n'
        "    return sum(area)\n",
        {"names": {"type": "array", "items": STRING}},
        ["area"],
        {"area": [1, 2.5]},
        "3.5",
    ),
    (
        "named and described by the decorator",
        "from letta_kernel import tool\n\n"
        '@tool(name="f", description="Add one.")\ndef g(x: int = 1):\n    return x + 1\n',
        {"x": INTEGER},
        [],
        {"x": 2},
        "3",
    ),
    (
        "a bare decorator and no docstring",
        "from letta_kernel import tool\n\n@tool\ndef f(x=0.5, y=True):\n    return [x, y]\n",
        {"x": NUMBER, "y": BOOLEAN},
        [],
        {"x": 1},
        "[1.0, true]",
    ),
    (
        "type variables and aliases",
        "from typing import Sequence, TypeVar\nT = TypeVar('T')\nWords = list[str]\n"
        'def f(words: Words, first: T = None, more: Sequence[int] = ()):\n    """Join."""\n'
        '    return "".join(words)\n',
        {"words": {"type": "array", "items": STRING}, "more": {"type": "array", "items": INTEGER}},
        ["words"],
        {"words": ["a", "b"]},
        "ab",
    ),
]
