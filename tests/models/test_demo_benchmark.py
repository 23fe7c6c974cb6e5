"""The documented figure of the demo model is the one that the unseen prompts give, and the judge judges."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import demo_model as benchmark  # noqa: E402

from letta_kernel.models.demo.model import DemoModel  # noqa: E402


def test_the_documentation_says_what_is_measured() -> None:
    unseen = benchmark.measure("unseen")
    (row,) = re.findall(
        r"^\| the demo model on (\d+) requests.*\| (.*) \| `",
        (ROOT / "docs/explanation/measured.md").read_text("utf-8"),
        re.M,
    )
    assert row[0] == str(unseen.prompts)
    assert row[1] == (
        f"right tool {unseen.right_tool_percent} %, tool, arguments and answer "
        f"{unseen.right_arguments_percent} %"
    )


@pytest.mark.parametrize(
    "message",
    [
        "Who painted the Night Watch?",
        "Why do leaves turn red?",
        "Explain photosynthesis",
        "Write a limerick about a fox",
        "What is the capital of Peru?",
        "Warum ist der Himmel blau?",
    ],
)
def test_general_knowledge_calls_nothing_at_all(message: str) -> None:
    groups = json.loads((benchmark.PROMPTS / "tools.json").read_text("utf-8"))
    tools = {tool["name"]: tool for group in groups.values() for tool in group}
    core = [tool["name"] for tool in groups["core"]]
    prompt = {"message": message, "tools": ["get_weather", "add", "send_email"]}
    trial = benchmark.attempt(prompt, tools, core, DemoModel(), [])
    assert trial.calls == []
    assert "language model" in trial.answer


def test_sets_share_no_message_and_few_tools() -> None:
    tuning, unseen = benchmark.load("tuning"), benchmark.load("unseen")
    assert len(unseen) >= 60
    assert not {p["message"] for p in tuning} & {p["message"] for p in unseen}
    groups = json.loads((benchmark.PROMPTS / "tools.json").read_text("utf-8"))
    assert not names(groups["tuning"]) & names(groups["unseen"])


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
