"""What `{expression}` fills in a message, and everything it leaves alone."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace

import pytest

from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook.template import fill

NOTEBOOK = {
    "name": "Ada",
    "x": 5,
    "i": 7,
    "n": 3,
    "w": 6,
    "a": 1,
    "b": 2,
    "color": "red",
    "items": [1, 2],
    "data": {"}": "brace", "k": ["deep"]},
    "thing": SimpleNamespace(attr=[1.2345]),
    "when": datetime(2024, 1, 2, 3, 4),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {name}!", "Hello Ada!"),
        ("{name} and {x}", "Ada and 5"),
        ("{thing.attr[0]:.2f}", "1.23"),
        ("{name!r}", "'Ada'"),
        ("{name!s:>5}", "  Ada"),
        ("{name!r:_^9}", "__'Ada'__"),
        ("{x:,}{x:+.1f}{x:0>3}{x:03d}{x:%}", "5+5.0005005500.000000%"),
        ("{x: >4}|", "   5|"),
        ("{x:{w}d}|", "     5|"),
        ("{when:%Y-%m-%d}, {when:%H:%M}", "2024-01-02, 03:04"),
        ("{when:%A, the %d of %B}", "Tuesday, the 02 of January"),
        ('{data["k"][0]}', "deep"),
        ('{data["}"]}', "brace"),
        ("{len(items)} of {[q * 2 for q in items]}", "2 of [2, 4]"),
        ("{x if x != 4 else 0}", "5"),
        ("{(lambda q: q + x)(1)}", "6"),
        ("{x != 5}", "False"),
        ("{1+1} and {2 ** 10:,} and {1 < 2}", "2 and 1,024 and True"),
        ("{'ab'.upper()}{'-' * 3}", "AB---"),
        ("{ x }", "5"),
        ("costs ${x:.2f}", "costs $5.00"),
        ("it's {name}, isn't it", "it's Ada, isn't it"),
        ("f'(x) = {x} and f'(0) = {w}", "f'(x) = 5 and f'(0) = 6"),
        ("of \"{name}\" and '{x}'", "of \"Ada\" and '5'"),
        (":-{ I am {name}", ":-{ I am Ada"),
        ("file_{i}.csv", "file_7.csv"),
        ("", ""),
    ],
)
def test_fill_in(text: str, expected: str) -> None:
    filled = fill(text, NOTEBOOK)
    assert (filled.text, filled.undefined) == (expected, [])


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{3}",
        "{2,4}",
        "{'a'}",
        "{-1}",
        "{[1, 2]}",
        "x^{1+1} and x_{2-1}",
        "print(f\"{name!r:>{x}} {{x}}\", rf'{x}')",
        "def f(): return F\"{data['k']}\"",
        "{'a', 'b'}",
        "{1 +}",
        r"\d{1,3}",
        "{...}",
        '{"a": 1}',
        '{"a": {"b": [1, {"c": 2}]}}',
        '{"name": "{name}", "x": {x}}',
        '{\n  "name": "{name}"\n}',
        "[a-z]{3}\\d{2,4}",
        "function f() { return x }",
        "for (;;) {\n  name;\n}",
        "p { color: red }",
        "{color:red}",
        "{a: 1}",
        "{k: v for k in items}",
        "import {a, b} from 'x'",
        "{{1, 2}, {3, 4}}",
        "{x=}",
        "{await x}",
        "{yield x}",
        "{lambda: x}",
        "{x:>10",
        "{not an expression {name}}",
        "a lone } and a lone {",
        r"\frac{a}{b}",
        r"\sqrt[3]{x}",
        r"\section*{name}",
        r"\sum_{i=1}^{n}",
        r"$\int_{a}^{b} x_{i}$",
        r"$$x_{i}^{n}$$ \(x_{n}\) \[a^{n}\]",
        r"\{name\}",
        r"\frac{1}{x_{i} + \sqrt{x}}",
    ],
)
def test_left_alone(text: str) -> None:
    assert fill(text, NOTEBOOK).text == text


def test_command_ends_with_its_groups() -> None:
    assert fill(r"\frac{a}{b} is {a}/{b}", NOTEBOOK).text == r"\frac{a}{b} is 1/2"
    assert fill(r"\alpha {name}, $x_{i}$ and {i}", NOTEBOOK).text == r"\alpha Ada, $x_{i}$ and 7"


def test_dollars_are_no_formula() -> None:
    assert fill("from $5 for a_{i} to $9", NOTEBOOK).text == "from $5 for a_7 to $9"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{Ada}"),
        ("{{ {name} }}", "{ Ada }"),
        ('{{"name": "{name}"}}', '{"name": "Ada"}'),
        ("{{}}", "{}"),
        ("open {{ and close }}", "open { and close }"),
        ("only {{", "only {"),
        ("only }}", "only }"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    assert fill(text, NOTEBOOK).text == expected


def test_undefined_names_stay_and_are_named_once() -> None:
    filled = fill("{nobody} {nobody.age} {name} {other(x)}", NOTEBOOK)
    assert filled.text == "{nobody} {nobody.age} Ada {other(x)}"
    assert filled.undefined == ["nobody", "other"]
    assert "nobody, other are not defined" in filled.note
    assert fill("{name}", NOTEBOOK).note == ""


def test_builtins_alone_are_text() -> None:
    filled = fill("/users/{id}/{len(items)}", NOTEBOOK)
    assert (filled.text, filled.undefined) == ("/users/{id}/2", ["id"])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{items[9]}", "IndexError"),
        ("{name.nope}", "AttributeError"),
        ("{x / 0}", "ZeroDivisionError"),
        ("{name:.2f}", "ValueError"),
    ],
)
def test_errors_are_one_line_and_send_nothing(text: str, error: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        fill(f"hello {text}", NOTEBOOK)
    line = str(caught.value)
    assert text in line
    assert error in line
    assert "nothing was sent" in line
    assert "\n" not in line


def test_a_missing_name_inside_a_function_is_an_error() -> None:
    namespace: dict[str, object] = {}
    exec("def broken():\n    return missing_inside", namespace)
    with pytest.raises(InvalidInputError, match="missing_inside"):
        fill("{broken()}", namespace)


def test_values_are_not_filled_again_and_the_notebook_is_untouched() -> None:
    notebook = {"text": "{x} {{}} \\{", "x": 1}
    before = dict(notebook)
    assert fill("{text} {(y := x)}", notebook).text == "{x} {{}} \\{ 1"
    assert notebook == before


def test_deep_and_broken_braces_do_no_harm() -> None:
    assert fill("{" * 3000 + "}" * 3000, NOTEBOOK).text == "{" * 1500 + "}" * 1500
    assert fill("{" * 3001, NOTEBOOK).text == "{" * 1501
