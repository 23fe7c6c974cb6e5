"""Texts of models and strangers that a careless pattern takes minutes for: each is read in one go."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from letta_kernel.errors import LettaError
from letta_kernel.memory import edits
from letta_kernel.models import masking, written_calls
from letta_kernel.notebook import key_watch
from letta_kernel.notebook.beside import files
from letta_kernel.notebook.template import fill
from letta_kernel.tools import cells, mcp_files
from letta_kernel.tools.arguments import read_object

MANY = 300_000


def _table(folder: Path) -> str:
    path = folder / "odd.csv"
    path.write_text("a,b\n" + ',"' * MANY)
    found = files.summary(path, 1000, len, str)
    return found[2] if found else ""


def _mcp(text: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (folder / ".mcp.json").write_text(text)
        return mcp_files.read(folder / ".mcp.json", folder)

    return read


READ: dict[str, Callable[[Path], object]] = {
    "arguments: quotes": lambda _: read_object("{" + '\\"' * MANY),
    "arguments: one string": lambda _: read_object('{"' + '\\"' * MANY),
    "arguments: blanks in a fence": lambda _: read_object("```\n" + " " * MANY + "x"),
    "arguments: deep": lambda _: read_object('{"a":' * MANY),
    "arguments: a field twice": lambda _: read_object(
        json.dumps({f"k{at}": 0 for at in range(MANY)})[:-1] + ', "k299999": 1}'
    ),
    "block: blank lines": lambda _: edits.replace_all("\n" * MANY, "\n" * MANY + "x", "y"),
    "block: blanks": lambda _: edits.replace_all("tea", " \n" * MANY + "tea", "y"),
    "calls: names of names": lambda _: written_calls.read_calls(
        "```tool_code\n" + "a" + ".a" * 5_000 + "()\n```", {"a"}
    ),
    "cell: blanks": lambda _: cells.python_of("%pip\n" + " " * MANY + "\n?"),
    "cell: quotes": lambda _: cells.python_of('\\"' * MANY),
    "cell: lines of quotes": lambda _: cells.python_of(('\\"' * 2_000 + "\n") * 100),
    "message: formulas": lambda _: fill("{" + r"\(\[" * MANY, {}),
    "message: f-strings": lambda _: fill("{" + "f'x'\\ " * MANY, {}),
    "cell: requirements": lambda _: cells.declared("# /// script\n" * MANY),
    "keys: blanks": lambda _: key_watch.seen("token" + " " * MANY + "x"),
    "keys: lines": lambda _: key_watch.seen("\n" * MANY + "x"),
    "keys: a word": lambda _: key_watch.seen("a" * MANY),
    "masked: a word": lambda _: masking.scrub("token" + " " * MANY + "a" * MANY),
    "table": _table,
    "servers: quotes": _mcp('{"a": //\n' + '\\"' * MANY),
    "servers: comments": _mcp("{/*" + "/*" * MANY),
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_it_is_read_in_one_go(read: Callable[[Path], object], tmp_path: Path) -> None:
    with suppress(LettaError):  # in one line or with a value: that it ends is what is asked here
        read(tmp_path)
