"""The line behind `%agent`: words, quotes, options and free text; and how IPython hands it over."""

from __future__ import annotations

import pytest

from letta_kernel.errors import InvalidInputError
from letta_kernel.magics import protect_lines
from letta_kernel.notebook.line import Argument, Arguments, Option, parse, split

MODEL = Option("--model", "word", "")
PERSONA = Option("--persona", "text", "")
YES = Option("--yes", "flag", "")
LIMIT = Option("--limit", "int", "")
TAGS = Option("--tags", "list", "")
NAME = Argument("name")
VALUE = Argument("value", required=False, rest=True)


def read(line: str, *takes: Argument | Option) -> Arguments:
    arguments = [one for one in takes if isinstance(one, Argument)]
    options = [one for one in takes if isinstance(one, Option)]
    return parse(line, arguments, options, usage="%agent thing")


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
    given = read(line, NAME, VALUE, MODEL)
    assert given["name"] == "human"
    assert given["value"] == value


def test_options() -> None:
    line = "ada --persona I'm Ada's friend --model gpt --yes --limit 3 --tags a,b,"
    given = read(line, NAME, PERSONA, MODEL, YES, LIMIT, TAGS)
    assert given.words == {"name": "ada"}
    assert given.options == {
        "persona": "I'm Ada's friend",
        "model": "gpt",
        "yes": True,
        "limit": 3,
        "tags": ["a", "b"],
    }
    assert read('--persona="x y" ada', NAME, PERSONA).options == {"persona": "x y"}
    assert read("ada", NAME, YES).option("yes") is None


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
        read(line, NAME, MODEL, YES, LIMIT)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def run_line(text: str) -> str:
    return f"get_ipython().run_line_magic('agent', {text!r})\n"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%agent memory human It's me\nx = 1\n", run_line("memory human It's me") + "x = 1\n"),
        ("%agent search what is it?\n", run_line("search what is it?")),
        ("%agent\n", run_line("")),
        ("if x:\n    %agent list\n", "if x:\n    " + run_line("list")),
        ("%agent new ada \\\n  --yes\n", run_line("new ada --yes")),
        ("%agent?\n", "%agent?\n"),
        ("%agent??\n", "%agent??\n"),
        ("%agents\n", "%agents\n"),
        ("%%time\n%agent list\n", "%%time\n%agent list\n"),
        ("x = '''\n%agent list\n'''\n", "x = '''\n%agent list\n'''\n"),
        ('x = """a"""\n%agent list\n', 'x = """a"""\n' + run_line("list")),
    ],
)
def test_lines_are_protected_from_ipython(cell: str, expected: str) -> None:
    assert "".join(protect_lines(cell.splitlines(keepends=True))) == expected
