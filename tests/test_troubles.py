"""The pages that errors name: each is there, is true to the code, is named by something, and is shown."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

import letta_kernel
from letta_kernel import troubles
from letta_kernel.cli.remedies import WORDS as CLI
from letta_kernel.errors import InvalidInputError, LettaError, StoreError
from letta_kernel.models.base import PAGES
from letta_kernel.notebook.remedies import WORDS as NOTEBOOK
from letta_kernel.remedies import SAYS_ALL

ROOT = Path(letta_kernel.__file__).parent


@cache
def sources() -> tuple[tuple[str, ...], frozenset[str]]:
    """Return every text of the package, ``…`` for what is filled in, and every ``page=`` of a call."""
    texts, named = set(), set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.add(
                    "".join(
                        str(one.value) if isinstance(one, ast.Constant) else "…"
                        for one in node.values
                    )
                )
            elif isinstance(node, ast.keyword) and node.arg == "page":
                named |= {ast.unparse(node.value).strip("'")}
    return tuple(texts), frozenset(named)


def classes() -> set[type[LettaError]]:
    for path in ROOT.rglob("*.py"):
        if re.search(r"^class \w+\(\w*(Error|Large)\b", path.read_text("utf-8"), re.MULTILINE):
            name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    found: set[type[LettaError]] = set()
    new = {LettaError}
    while new:
        found |= new
        new = {sub for one in new for sub in one.__subclasses__()} - found
    return {one for one in found if one.__module__.startswith("letta_kernel")}


def test_every_error_leads_to_a_page_and_every_page_is_led_to() -> None:
    _, given = sources()
    led = (
        {one.page for one in classes()}
        | set(PAGES.values())
        | {one for one in given if re.fullmatch("[a-z-]{4,}", one)} - {"page"}
    )
    assert led - {""} == set(troubles.pages())
    assert {one.__name__ for one in classes() if not one.page} == {"LettaError", "JobError"}


@pytest.mark.parametrize("name", troubles.pages())
def test_a_page_shows_texts_that_the_code_has(name: str) -> None:
    page = troubles.pages()[name]
    assert page.seen
    for one in page.seen:
        parts = [re.escape(part) for part in one.split("…") if part]
        pattern = re.compile(".*".join(parts))
        assert max(map(len, parts)) > 8, f"{one} could be anything"
        assert any(pattern.search(text) for text in sources()[0]), one


@pytest.mark.parametrize("name", troubles.pages())
def test_a_page_says_the_cause_and_a_way_out_and_leads_on(name: str) -> None:
    page = troubles.pages()[name]
    cause, _, rest = page.body.partition("\n\n")
    assert len(cause) > 40
    assert rest.startswith("- ")
    links = re.findall(r"\]\(\.\./([^)]+)\)", page.body)
    assert links
    for one in links:
        assert (ROOT.parent / "docs" / one).is_file(), one
    assert "](" not in page.text
    assert name in page.text.split("\n")[0]


def test_a_line_ends_with_the_name_in_the_words_of_its_door() -> None:
    error = StoreError("It is newer.", page="store-newer")
    assert str(error) == "It is newer."
    assert error.told(CLI) == "It is newer. (letta-kernel help store-newer)"
    assert error.told(NOTEBOOK) == "It is newer. (%agent help store-newer)"
    assert "(letta-kernel help store-newer)" in error._render_traceback_()[0]


def test_a_line_that_says_all_is_not_made_longer() -> None:
    assert InvalidInputError("Give a text.").told(CLI) == "Give a text."
    assert set(troubles.pages()) >= SAYS_ALL
