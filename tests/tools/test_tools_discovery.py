"""Tools found in notebook cells: what counts, what stays out, and source that runs on its own."""

from __future__ import annotations

import inspect
import json
import sys
from types import ModuleType
from typing import Any

import pytest

from letta_kernel import tool
from letta_kernel.errors import ToolError
from letta_kernel.tools.cells import python_of
from letta_kernel.tools.discovery import definitions, discover, found_in
from letta_kernel.tools.options import ToolOptions, live_options

DOC = '    """Do it."""\n'


def names(cell: str, namespace: dict[str, Any] | None = None) -> list[str]:
    return [one.tool_name for one in discover(cell, namespace).found]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("def f():\n" + DOC, ["f"]),
        ("async def f():\n" + DOC, ["f"]),
        ("def f():\n" + DOC + "def g():\n" + DOC, ["f", "g"]),
        ("def f(): pass", []),
        ("@tool\ndef f(): pass", ["f"]),
        ("@letta_kernel.tool(time_limit=2)\ndef _f(): pass", ["_f"]),
        ("@tool\ndef f(): pass  # no tool", []),
        ("def _f():\n" + DOC, []),
        ("def f():  # no tool\n" + DOC, []),
        ("# no tool\ndef f():\n" + DOC, []),
        ("@cache  # no tool\ndef f():\n" + DOC, []),
        ("# no tool\n@cache\ndef f():\n" + DOC, []),
        ("x = 1  # no tool\ndef f():\n" + DOC, ["f"]),
        ("def f(\n    agent_state: int,  # no tool\n):\n" + DOC, []),
        ("def f():\n" + DOC + "    # no tool\n", ["f"]),
        ("class C:\n    def f(self):\n        'Do it.'\n", []),
        ("if True:\n    def f():\n        'Do it.'\n", []),
        ("def f():\n" + DOC + "def f():\n    pass\n", []),
        ("def f():\n" + DOC + "del f\n", []),
        ("del f\ndef f():\n" + DOC, ["f"]),
        ("%%time\ndef f():\n" + DOC, ["f"]),
        ("\n%%capture out --no-stderr\ndef f():\n" + DOC, ["f"]),
        ("%%time\n%%capture\ndef f():\n" + DOC, ["f"]),
        ("%%agent\ndef f():\n" + DOC, []),
        ("%%bash\ndef f():\n" + DOC, []),
        ("%%writefile a.py\ndef f():\n" + DOC, []),
        (
            "%matplotlib inline\n!pip list\nf?\n?f\nout = !ls -l\nx = %time 1\ndef f():\n" + DOC,
            ["f"],
        ),
        ("def f():\n" + DOC + "    !ls\n    %time x\n", ["f"]),
        ("!pip install \\\n  numpy\ndef f():\n" + DOC, ["f"]),
        ('TEXT = """\n!this stays\n%and this\n"""\n%time 1\ndef f():\n' + DOC, ["f"]),
        ("x = 5 % 3\ny = a != b\ndef f():\n" + DOC, ["f"]),
        ("def f(:\n" + DOC, []),
        ("", []),
        ("   \n\n", []),
        ("%time", []),
        ("await thing()\ndef f():\n" + DOC, ["f"]),
    ],
)
def test_what_counts(cell: str, found: list[str]) -> None:
    assert names(cell) == found


def test_line_numbers_and_strings_survive_cleaning() -> None:
    cell = '%time 1\nTEXT = """\n!stays\n"""\n!gone\nlast = 1\n'
    assert python_of(cell) == 'pass\nTEXT = """\n!stays\n"""\npass\nlast = 1\n'


def test_a_faulty_function_is_skipped_with_its_reason_and_others_are_found() -> None:
    result = discover("def bad(x: Nowhere):\n" + DOC + "def good():\n" + DOC, None)
    assert [one.name for one in result.found] == ["good"]
    (skipped,) = result.skipped
    assert skipped.name == "bad"
    assert skipped.reason.startswith("parameter 'x': the name 'Nowhere' is not known")
    assert "\n" not in skipped.reason
    assert result.functions == ["bad", "good"]


def test_options_are_read_from_the_source() -> None:
    cell = (
        '@letta_kernel.tool(name="other", requires_approval=True, runs_in="sandbox", parallel_safe=True,\n'
        '    return_limit=10, time_limit=2.5, dependencies=["numpy>=1"], tags=["a"])\n'
        "def f():\n" + DOC
    )
    (found,) = discover(cell, None).found
    assert (found.name, found.tool_name, found.schema["name"]) == ("f", "other", "other")
    assert found.options == ToolOptions(
        name="other",
        requires_approval=True,
        runs_in="sandbox",
        parallel_safe=True,
        return_limit=10,
        time_limit=2.5,
        dependencies=("numpy>=1",),
        tags=("a",),
    )


def test_a_live_decorator_may_compute_its_options() -> None:
    cell = "LIMIT = 3\n@tool(time_limit=LIMIT)\ndef f():\n" + DOC
    namespace: dict[str, Any] = {"tool": tool}
    exec(cell, namespace)
    (found,) = discover(cell, namespace).found
    assert found.options.time_limit == 3


def test_the_decorator_returns_the_function_itself() -> None:
    def plain() -> int:
        return 1

    assert tool(plain) is plain
    assert live_options(plain) == ToolOptions()
    assert tool(requires_approval=True)(plain) is plain
    assert live_options(plain) == ToolOptions(requires_approval=True)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"time_limit": 0}, "positive number of seconds"),
        ({"time_limit": True}, "positive number of seconds"),
        ({"return_limit": 1.5}, "whole number"),
        ({"runs_in": "cloud"}, "sandbox"),
        ({"requires_approval": "yes"}, "True or False"),
        ({"name": ""}, "a string"),
        ({"dependencies": "numpy"}, "list of strings"),
        ({"aproval": 1}, "Did you mean"),
    ],
)
def test_bad_options_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ToolError, match=text):
        tool(**given)


CELL = '''
from __future__ import annotations
import json
from dataclasses import dataclass

LIMIT = 2
handle = open_something()

@dataclass
class Point:
    a: int

class Unused:
    pass

def helper(p: "Point") -> str:
    return json.dumps(p.a * LIMIT)

def f(a: int) -> str:
    """Do it.

    Args:
        a: A.
    """
    return helper(Point(a)) + dumps_again([1]) + other.__name__
'''


def test_the_stored_source_brings_what_it_needs() -> None:
    namespace: dict[str, Any] = {"dumps_again": json.dumps, "other": inspect}
    (found,) = discover(CELL, namespace).found
    for piece in (
        "class Point",
        "LIMIT = 2",
        "def helper",
        "import json",
        "import inspect as other",
    ):
        assert piece in found.source
    assert "from json import dumps as dumps_again" in found.source
    assert "Unused" not in found.source
    assert "open_something" not in found.source
    assert found.own_source.startswith("def f(")
    alone = ModuleType("tools_discovery_alone")
    sys.modules[alone.__name__] = alone
    exec(found.source, alone.__dict__)
    assert alone.f(3) == "6[1]inspect"


def test_definitions_of_earlier_cells_are_brought_along() -> None:
    earlier = definitions("import math\ndef area(r):\n    return math.pi * r * r\n%time 1\n")
    cell = 'def f(r: float) -> float:\n    """Do it.\n\n    Args:\n        r: R.\n    """\n    return area(r)\n'
    (found,) = discover(cell, {}, earlier).found
    alone: dict[str, Any] = {}
    exec(found.source, alone)
    assert alone["f"](1.0) == pytest.approx(3.14159, abs=1e-4)


def test_a_proxy_that_answers_to_everything_is_one_line_or_works() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, a: int) -> int:
            return a

    cell = "def f(a: int):\n" + DOC
    assert [one.tool_name for one in discover(cell, {"f": Proxy()}).found] == ["f"]
    with pytest.raises(ToolError, match="f: it does not tell its parameters"):
        found_in(Proxy(), "f", {}, tool_name="f")
