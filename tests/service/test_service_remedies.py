"""What mends an error is a value; every door says it in words of its own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import letta_kernel
from letta_kernel.api.remedies import WORDS as PYTHON
from letta_kernel.cli.remedies import WORDS as CLI
from letta_kernel.errors import LettaError
from letta_kernel.messages import Notice, RunEnded, Usage, worded
from letta_kernel.notebook.remedies import WORDS as NOTEBOOK
from letta_kernel.remedies import PLAIN, Do, Words, remedy, spoken
from letta_kernel.server.remedies import WORDS as REST

DOORS = {"plain": PLAIN, "notebook": NOTEBOOK, "cli": CLI, "rest": REST, "python": PYTHON}
EXAMPLES: dict[Do, tuple[str, ...]] = {
    Do.MAKE_AGENT: ("ada",),
    Do.CHOOSE_MODEL: (),
    Do.LIST_MODELS: (),
    Do.GET_MODEL: ("qwen3-4b",),
    Do.SET_KEY: ("OPENAI_API_KEY",),
    Do.SET_VARIABLE: ("AZURE_API_BASE",),
    Do.SET_SECRET: ("CRM_TOKEN",),
    Do.RAISE_BUDGET: ("budget_tokens",),
    Do.DECIDE_CALLS: (),
    Do.ADD_MCP_SERVER: (),
    Do.REFER_IN_ENVIRONMENT: ("CRM_TOKEN",),
    Do.REFER_IN_HEADER: ("Authorization",),
    Do.INSTALL_EXTRA: ("local",),
    Do.INSTALL_PACKAGES: ("pandas>=2", "duckdb"),
    Do.UPDATE: (),
    Do.REPLACE_FILE: (),
    Do.CHECK_STORE: (),
    Do.ALLOW_SKILLS: (),
    Do.REVIEW_MEMORY: (),
    Do.UNDO_SLEEP: (),
    Do.SEE_TIMELINE: (),
    Do.RETURN_TO: ("branch-1f0a9c3d",),
    Do.FORK_FROM: ("step-1f0a9c3d",),
    Do.READ_PAGE: ("store-newer",),
}
# What a person at that door cannot type.
FOREIGN = {
    "plain": re.compile(r"%|curl|letta-kernel (agent|model|chat)|/v1/|Agent\(|\bexport\b|--\w"),
    "notebook": re.compile(
        r"curl|/v1/|\bexport\b|(?<!!)letta-kernel (agent|model|chat|send)|Agent\("
    ),
    "cli": re.compile(r"%|curl|/v1/|Agent\("),
    "rest": re.compile(r"%|letta-kernel (agent|model|chat)|--\w|Agent\(|\bexport\b"),
    "python": re.compile(r"%|curl|/v1/|letta-kernel (agent|model|chat|send)|\bexport\b"),
}


@pytest.mark.parametrize("do", list(Do))
@pytest.mark.parametrize("door", list(DOORS))
def test_every_door_has_words_of_its_own_for_every_remedy(door: str, do: Do) -> None:
    words: Words = DOORS[door]
    error = LettaError("Something is wrong", remedy(do, *EXAMPLES[do]))
    said = error.in_words(words)
    assert said.startswith("Something is wrong. ")
    assert "\n" not in said
    assert said.endswith((".", "!", "?"))
    assert not FOREIGN[door].search(said), said
    assert not re.search(r"\{\d|None", said), said
    for argument in EXAMPLES[do]:
        if door != "plain" and do not in (Do.INSTALL_EXTRA, Do.MAKE_AGENT):
            assert argument in said, said
    # What the words do not say is the same everywhere.
    assert str(error) == error.in_words(PLAIN)


def test_remedies_are_alternatives_and_each_is_said_once() -> None:
    twice = [remedy(Do.CHOOSE_MODEL), remedy(Do.SET_KEY, "X_API_KEY"), remedy(Do.CHOOSE_MODEL)]
    said = spoken("It failed.", twice, CLI)
    assert said == (
        "It failed. Choose another model: letta-kernel model set AGENT NAME, or give it: letta-kernel "
        "model key X_API_KEY."
    )
    assert spoken("It failed", [], CLI) == "It failed"


def test_an_event_carries_the_value_and_never_sends_it_to_a_client() -> None:
    ended = RunEnded(
        run_id="run-1",
        stop_reason="llm_api_error",
        error="x needs X_API_KEY, which is not set.",
        remedies=(remedy(Do.SET_KEY, "X_API_KEY"),),
        steps=0,
        usage=Usage(),
        seconds=0.1,
        model="x",
    )
    said = worded(ended, NOTEBOOK)
    assert said.error is not None
    assert "Agents panel" in said.error
    assert worded(said, CLI) == said  # said once, by the door it came through
    assert "remedies" not in ended.model_dump()
    notice = Notice(text="Nothing retrieved", remedies=(remedy(Do.UPDATE),))
    assert worded(notice, REST).text == "Nothing retrieved. The server needs a newer letta-kernel."
    plain = Notice(text="Nothing else.")
    assert worded(plain, REST) is plain


# -- below the doors nobody speaks of doors ------------------------------------------------------------

PACKAGE = Path(letta_kernel.__file__).parent
DOOR_WORDS = re.compile(
    r"%%?agent|%env|%pip|\bcurl\b|letta-kernel (agent|model|chat|send|memory|archive|tool|sql|backup"
    r"|serve|doctor|install|key)\b|pip install|\s--[a-z]{2}|(GET|POST|PATCH) /|\bos\.environ\["
)
# Flags of programs of others: no door has other words for them.
OTHERS = re.compile(
    r"git rm --cached|--enable-auto-tool-choice|--tool-call-parser|--jinja"
    # A project is moved in a terminal alone, whatever door learns of it.
    r"|letta-kernel move( --\w+)?|^ --to $"
)
BELOW = ("records", "service", "agent", "tools", "memory", "models", "store", "display")
TOP = ("errors", "messages", "remedies", "ids", "hooks", "lazy_import")


def test_no_text_below_the_doors_uses_the_words_of_one() -> None:
    found = []
    files = [path for room in BELOW for path in (PACKAGE / room).rglob("*.py")]
    files += [PACKAGE / f"{name}.py" for name in TOP]
    for path in files:
        for line, text in _texts(path):
            if DOOR_WORDS.search(OTHERS.sub("", text)):
                found.append(f"{path.relative_to(PACKAGE)}:{line}: {text}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("doors", "foreign"),
    [
        (("server",), r"%%?agent|%env|letta-kernel (agent|model|chat|send)\b"),
        (("cli",), r"%%?agent|%env"),
        (
            ("notebook", "magics.py"),
            r"(?<!!)\bcurl\b|(?<!!)letta-kernel (agent|model|chat|send|memory)\b",
        ),
        (("api",), r"%%?agent|%env|\bcurl\b|letta-kernel (agent|model|chat|send)\b"),
    ],
)
def test_no_door_uses_the_words_of_another(doors: tuple[str, ...], foreign: str) -> None:
    found = []
    for name in doors:
        place = PACKAGE / name
        for path in [place] if place.suffix else place.rglob("*.py"):
            for line, text in _texts(path):
                if re.search(foreign, text):
                    found.append(f"{path.relative_to(PACKAGE)}:{line}: {text}")
    assert not found, "\n".join(found)


def _texts(path: Path) -> list[tuple[int, str]]:
    """Return the strings of a module with their lines, without docstrings and comments."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    # Texts under an assignment are documentation too.
    docs |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
