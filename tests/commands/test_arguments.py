"""The line behind `%agent`: words, quotes, options and free text."""

from __future__ import annotations

from typing import Any

import pytest

from letta_kernel.commands.arguments import parse, split
from letta_kernel.commands.spec import Command, argument, option
from letta_kernel.errors import InvalidInputError


def takes_all(
    door: object,
    name: str = argument(""),
    value: str | None = argument("", None, free=True),
    model: str | None = option(""),
    persona: str | None = option("", free=True),
    yes: bool = option(""),
    limit: int | None = option(""),
    tags: list[str] | None = option(""),
) -> None:
    """Take one of each kind."""


def read(line: str, *keys: str) -> dict[str, Any]:
    takes = Command("thing", None, "Agents", takes_all).takes("notebook")
    return parse(line, [one for one in takes if one.key in keys], usage="%agent thing")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  a  b ", ["a", "b"]),
        ("It's Ada's birthday", ["It's", "Ada's", "birthday"]),
        ("'I'm Ada's friend' x", ["I'm Ada's friend", "x"]),
        ('"two words" three', ["two words", "three"]),
        (r'"say \"hi\" now"', ['say "hi" now']),
        ("'tis the season", ["'tis", "the", "season"]),
        ('5" nails', ['5"', "nails"]),
        ('--persona="a b" c', ["--persona=a b", "c"]),
        ('""', [""]),
        ("C:\\new\\x", ["C:\\new\\x"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert [word.text for word in split(line)] == words


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("human It's Ada's  birthday!", "It's Ada's  birthday!"),
        ('human "quoted whole"', "quoted whole"),
        ('human "quoted" in part', '"quoted" in part'),
        ('human {"a": [1, "b"]}', '{"a": [1, "b"]}'),
        ("human a --b c", "a --b c"),
        ("human -- --model x", "--model x"),
        ('human ""', ""),
        ("human likes tea --model gpt", "likes tea"),
        ("human --model gpt likes tea", "likes tea"),
        ("human likes --model gpt tea", "likes tea"),
    ],
)
def test_free_text(line: str, value: str) -> None:
    given = read(line, "name", "value", "model")
    assert given["name"] == "human"
    assert given["value"] == value


def test_options() -> None:
    line = "ada --persona I'm Ada's friend --model gpt --yes --limit 3 --tags a,b,"
    given = read(line, "name", "persona", "model", "yes", "limit", "tags")
    assert given == {
        "name": "ada",
        "persona": "I'm Ada's friend",
        "model": "gpt",
        "yes": True,
        "limit": 3,
        "tags": ["a", "b"],
    }
    given = read('--persona="x y" ada', "name", "persona")
    assert given == {"name": "ada", "persona": "x y"}
    assert read("ada", "name", "yes") == {"name": "ada"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "NAME is missing"),
        ("ada --modle x", "Did you mean '--model'?"),
        ("ada --model", "--model needs a value"),
        ("ada --model --yes", "--model needs a value"),
        ("ada --limit many", "--limit needs a number"),
        ("ada --limit 0", "above 0"),
        ("ada --yes=no", "takes no value"),
        ("ada bob", "'bob' is more than was expected"),
        ("ada -model", "Did you mean '--model'?"),
    ],
)
def test_typing_errors_are_one_line(line: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(line, "name", "model", "yes", "limit")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
