"""What is saved says everything that matters, in HTML and in text."""

from __future__ import annotations

from typing import Any

import pytest
from display_checks import check_html
from sample_run import events

from letta_kernel.display.diff import diff_lines
from letta_kernel.display.html import to_html
from letta_kernel.display.markdown import markdown_html
from letta_kernel.display.text import WIDTH, to_text
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.words import money, seconds
from letta_kernel.messages import RunEnded, StepStarted, TextDelta, Usage


@pytest.fixture(scope="module")
def snapshot() -> dict[str, Any]:
    transcript = Transcript()
    for event in events():
        transcript.handle(event)
    return transcript.snapshot()


SAID = [
    "ada",
    "openai/gpt-4o-mini",
    "demo model: no language model",
    "First I note where she lives.",
    "core_memory_replace",
    "memory human",
    "Has a dog called Pixel.",
    "fetching 7 days",
    "ValueError: hotel must be a name",
    "rate limited, trying again in 3 s",
    "three warmest days",
    "3 steps · 4.5 s · first token 0.4 s · 4,212 + 320 tokens (1,024 cached) · $0.0024 · end_turn",
]


def test_html_says_it_all(snapshot: dict[str, Any]) -> None:
    text = check_html(to_html(snapshot))
    for said in SAID:
        assert said in text


def test_text_says_it_all(snapshot: dict[str, Any]) -> None:
    text = to_text(snapshot)
    for said in SAID:
        assert " ".join(said.split()) in " ".join(text.split())
    aside = text.split("Your **three")[0]
    assert max(len(line) for line in aside.split("\n")) <= WIDTH + 16


def test_thoughts_details_and_tracebacks_are_folded_but_a_figure_is_not(
    snapshot: dict[str, Any],
) -> None:
    html = to_html(snapshot)
    outside = "".join(part.split("</details>")[-1] for part in html.split("<details"))
    assert "<img" in outside
    assert "Traceback" not in outside
    assert "fetching 7 days" not in outside
    assert "ValueError: hotel must be a name" in outside
    assert " open" not in html


def test_an_unfinished_and_a_failed_run() -> None:
    transcript = Transcript()
    transcript.handle(StepStarted(step_id="s", number=1))
    transcript.handle(TextDelta(text="half an ans"))
    assert "running" in check_html(to_html(transcript.snapshot()))
    transcript.handle(
        RunEnded(
            run_id="r",
            stop_reason="llm_api_error",
            error="The key in OPENAI_API_KEY was refused.",
            steps=1,
            usage=Usage(),
            seconds=0.2,
            model="m",
        )
    )
    for text in (check_html(to_html(transcript.snapshot())), to_text(transcript.snapshot())):
        assert "The key in OPENAI_API_KEY was refused." in text
        assert "llm_api_error" in text


def test_markdown_is_rendered_with_highlighted_code() -> None:
    html = markdown_html(
        "# Title\n\n- a **b**\n\n```python\ndef f(): return 1\n```\n\n~~gone~~ <b>raw</b>"
    )
    check_html(html)
    assert "<strong>b</strong>" in html
    assert '<span style="color:' in html
    assert "&lt;b&gt;raw&lt;/b&gt;" in html
    assert "<s>gone</s>" in html


def test_an_unknown_language_is_plain_code() -> None:
    assert check_html(markdown_html("```nosuchlanguage\nx < 1\n```")).strip() == "x < 1"


def test_a_diff_marks_the_words_that_changed() -> None:
    lines = diff_lines("Name: Mara\nLives in Basel.", "Name: Mara\nLives in Freiburg.")
    assert [line.sign for line in lines] == [" ", "-", "+"]
    assert ("Basel", True) in lines[1].pieces
    assert ("Freiburg", True) in lines[2].pieces
    assert diff_lines("same", "same") == []
    assert [line.text for line in diff_lines("", "new")] == ["new"]


def test_durations_and_money() -> None:
    assert [seconds(v) for v in (0.004, 0.0999, 1.84, 59.96, 125, None, "x")] == [
        "4 ms",
        "0.1 s",
        "1.8 s",
        "1 min 00 s",
        "2 min 05 s",
        "",
        "",
    ]
    assert [money(v) for v in (0, 0.00001, 0.0024, 1.5)] == ["$0", "<$0.0001", "$0.0024", "$1.50"]
