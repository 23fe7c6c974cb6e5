"""The nine tool rules, as a pure function of rules and calls so far."""

from __future__ import annotations

import re
from typing import Any

import pytest

from letta_kernel.records import ToolRule
from letta_kernel.tools import rules
from letta_kernel.tools.rules import Called

NAMES = ["a", "b", "c", "d"]


def rule(kind: str, name: str, **more: Any) -> ToolRule:
    return ToolRule(type=kind, tool_name=name, **more)  # type: ignore[arg-type]


def calls(*names: str | Called) -> list[Called]:
    return [Called(one) if isinstance(one, str) else one for one in names]


FIRST = rule("run_first", "a")
CHILD = rule("constrain_child_tools", "a", children=["b", "c"])
PARENT = rule("parent_last_tool", "a", children=["b"])
MOST = rule("max_count_per_step", "a", max_count_limit=2)
PICK = rule("conditional", "a", child_output_mapping={"yes": "b", "7": "c", "true": "d"})


@pytest.mark.parametrize(
    ("given", "so_far", "open_names"),
    [
        ([], [], NAMES),
        ([FIRST], [], ["a"]),
        ([FIRST, rule("run_first", "c")], [], ["a", "c"]),
        ([FIRST], calls("a"), NAMES),
        ([FIRST], calls("b"), NAMES),
        ([rule("run_first", "gone")], [], NAMES),
        ([FIRST, PARENT, MOST], [], ["a"]),
        ([CHILD], [], NAMES),
        ([CHILD], calls("a"), ["b", "c"]),
        ([CHILD], calls("a", "b"), NAMES),
        ([CHILD, rule("constrain_child_tools", "a", children=["c", "d"])], calls("a"), ["c"]),
        ([rule("constrain_child_tools", "a", children=["gone"])], calls("a"), []),
        ([PARENT], [], ["a", "c", "d"]),
        ([PARENT], calls("a"), ["b"]),
        ([PARENT], calls("a", "c"), ["a", "c", "d"]),
        ([MOST], calls("a"), NAMES),
        ([MOST], calls("a", "b", "a"), ["b", "c", "d"]),
        ([rule("max_count_per_step", "a", max_count_limit=0)], [], ["b", "c", "d"]),
        ([PICK], [], NAMES),
        ([PICK], calls(Called("a", "yes")), ["b"]),
        ([PICK], calls(Called("a", '"yes"')), ["b"]),
        ([PICK], calls(Called("a", "7")), ["c"]),
        ([PICK], calls(Called("a", "7.0")), ["c"]),
        ([PICK], calls(Called("a", "True")), ["d"]),
        ([PICK], calls(Called("a", "true")), ["d"]),
        ([PICK], calls(Called("a", "no")), NAMES),
        ([PICK.model_copy(update={"default_child": "d"})], calls(Called("a", "no")), ["d"]),
        ([PICK.model_copy(update={"require_output_mapping": True})], calls(Called("a", "no")), []),
        ([PICK], calls(Called("a", "yes"), "b"), NAMES),
        ([PICK, CHILD], calls(Called("a", "7")), ["c"]),
        ([CHILD, rule("max_count_per_step", "b", max_count_limit=1)], calls("b", "a"), ["c"]),
        ([rule("exit_loop", "a"), rule("continue_loop", "b")], calls("b"), NAMES),
        ([rule("required_before_exit", "a"), rule("requires_approval", "b")], [], NAMES),
    ],
)
def test_allowed(given: list[ToolRule], so_far: list[Called], open_names: list[str]) -> None:
    before = [one.model_copy(deep=True) for one in given]
    assert rules.allowed(given, NAMES, so_far) == open_names
    assert given == before  # pure: nothing is kept between calls
    assert rules.allowed(given, NAMES, so_far) == open_names


@pytest.mark.parametrize(
    ("given", "so_far", "wanted", "pieces"),
    [
        ([FIRST], [], "b", ["b", "a must be called first", "You may call: a."]),
        ([CHILD], calls("a"), "d", ["right after a only b, c may follow", "b, c."]),
        ([PARENT], [], "b", ["a must be called right before it"]),
        ([MOST], calls("a", "a"), "a", ["2 times"]),
        ([PICK], calls(Called("a", "yes")), "c", ["returned asks for b"]),
        (
            [rule("constrain_child_tools", "a", children=["gone"])],
            calls("a"),
            "b",
            ["You may call: no tool"],
        ),
    ],
)
def test_a_violated_rule_is_explained(
    given: list[ToolRule], so_far: list[Called], wanted: str, pieces: list[str]
) -> None:
    text = rules.explain(given, NAMES, so_far, wanted)
    assert text is not None
    assert [piece for piece in pieces if piece not in text] == []


def test_what_is_allowed_needs_no_explanation() -> None:
    assert rules.explain([FIRST], NAMES, [], "a") is None


def test_ending_and_going_on() -> None:
    given = [
        rule("exit_loop", "a"),
        rule("continue_loop", "b"),
        rule("required_before_exit", "c"),
        rule("required_before_exit", "d"),
        rule("requires_approval", "d"),
    ]
    assert rules.ends_turn(given, "a")
    assert not rules.ends_turn(given, "b")
    assert rules.continues_turn(given, "b")
    assert not rules.continues_turn(given, "a")
    assert rules.needs_approval(given, "d")
    assert not rules.needs_approval(given, "c")
    assert rules.missing_before_exit(given, []) == ["c", "d"]
    assert rules.missing_before_exit(given, calls("d")) == ["c"]
    assert rules.missing_before_exit(given, [], names=["a", "d"]) == ["d"]


def test_must_call() -> None:
    assert rules.must_call([FIRST], NAMES, [])
    assert not rules.must_call([FIRST], NAMES, calls("a"))
    assert rules.must_call([CHILD], NAMES, calls("a"))
    assert not rules.must_call([CHILD], NAMES, calls("b"))
    assert not rules.must_call([rule("run_first", "gone")], NAMES, [])
    parent = [rule("parent_last_tool", "a", children=["b"])]
    assert rules.must_call(parent, NAMES, calls("a"))
    assert not rules.must_call(parent, NAMES, calls("a", "b"))
    assert not rules.must_call(parent, ["a"], calls("a"))


def test_prefilled_arguments() -> None:
    given = [
        rule("run_first", "a", args={"x": 1}),
        rule("max_count_per_step", "b", max_count_limit=3, args={"always": True}),
        rule("constrain_child_tools", "c", children=["a", "b"], args={"a": {"y": 2}}),
        rule("constrain_child_tools", "d", children=["a", "b"], args={"z": 3}),
    ]
    assert rules.prefilled(given, "a") == {"x": 1}
    assert rules.prefilled(given, "a", calls("b")) == {}
    assert rules.prefilled(given, "a", calls("c")) == {"y": 2}
    assert rules.prefilled(given, "b", calls("c")) == {"always": True}
    assert rules.prefilled(given, "b", calls("d")) == {"always": True, "z": 3}


def test_every_rule_has_a_sentence() -> None:
    kinds = ToolRule.model_fields["type"].annotation.__args__  # type: ignore[union-attr]
    sentences = {
        rules.describe(rule(kind, "a", children=["b"], max_count_limit=1)) for kind in kinds
    }
    assert len(sentences) == 9
    assert all(re.search(r"\ba\b", sentence) for sentence in sentences)
