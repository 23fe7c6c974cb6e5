"""The figure printed where the demo model is offered is the one the held-out prompts give."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import demo_model as benchmark  # noqa: E402

from letta_kernel.models.demo import say as demo_say  # noqa: E402
from letta_kernel.models.demo.model import DEMO_FIGURE, DemoModel  # noqa: E402


@pytest.fixture(scope="module")
def held_out() -> benchmark.Score:
    return benchmark.measure("held_out")


def test_printed_figure_is_the_measured_one(held_out: benchmark.Score) -> None:
    assert held_out.prompts == demo_say.MEASURED_PROMPTS
    assert held_out.right_tool_percent == demo_say.MEASURED_TOOL
    assert held_out.right_arguments_percent == demo_say.MEASURED_ALL
    assert f"{held_out.right_tool_percent} %" in DEMO_FIGURE


def test_it_reaches_what_was_aimed_at(held_out: benchmark.Score) -> None:
    assert held_out.right_tool_percent >= 90
    assert held_out.right_arguments_percent >= 85


def test_general_knowledge_calls_nothing_at_all() -> None:
    groups = json.loads((benchmark.PROMPTS / "tools.json").read_text("utf-8"))
    tools = {tool["name"]: tool for group in groups.values() for tool in group}
    core = [tool["name"] for tool in groups["core"]]
    general = [
        prompt
        for prompt in benchmark.load("held_out")
        if not prompt["calls"] and "language model" in prompt.get("answer", {}).get("has", [])
    ]
    assert len(general) >= 12
    for prompt in general:
        trial = benchmark.attempt(prompt, tools, core, DemoModel(), [])
        assert trial.calls == [], prompt["message"]
        assert "language model" in trial.answer


def test_sets_share_no_message_and_few_tools() -> None:
    tuning, held_out = benchmark.load("tuning"), benchmark.load("held_out")
    assert len(held_out) >= 60
    assert not {p["message"] for p in tuning} & {p["message"] for p in held_out}
    groups = json.loads((benchmark.PROMPTS / "tools.json").read_text("utf-8"))
    assert not names(groups["tuning"]) & names(groups["held_out"])


def names(tools: list[dict[str, Any]]) -> set[str]:
    return {tool["name"] for tool in tools}


@pytest.mark.parametrize(
    ("given", "wanted", "right"),
    [
        ("2026-03-14", "2026-03-14", True),
        ("2026-03-15", "2026-03-14", False),
        ("Chez Panisse.", "chez panisse", True),
        (3, 3.0, True),
        (True, 1, False),
        (["a", "b"], ["b", "a"], False),
        ("a jammed printer", {"has": ["jammed"]}, True),
        ("yen", {"one_of": ["JPY", "yen"]}, True),
    ],
)
def test_comparison_is_tolerant_but_not_blind(given: Any, wanted: Any, right: bool) -> None:
    assert benchmark.same(given, wanted) is right
