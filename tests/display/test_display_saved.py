"""What is saved says everything that matters, in HTML and in text."""

from __future__ import annotations

import json
import re
from typing import Any

import nbformat
import pytest
from display_checks import check_html
from sample_run import events, png

from letta_kernel.display.diff import diff_lines
from letta_kernel.display.html import MIME, bundle, to_html
from letta_kernel.display.markdown import markdown_html
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.words import WIDTH, money, seconds, to_text
from letta_kernel.messages import RunEnded, RunStarted, StepStarted, TextDelta, Usage


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
    assert '<b class="k">def</b>' in html
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


def test_a_saved_run_says_most_things_once(snapshot: dict[str, Any]) -> None:
    saved = bundle(snapshot)
    kept, html = saved[MIME], saved["text/html"]
    written = json.dumps(saved)
    assert written.count(png()) == 1
    assert (
        len(written) - len(png()) < 10_000
    )  # of 1,300 that were said; 23,000 with a look on each element
    assert html.count("<table>") == 2  # of the tool and of the answer
    assert html.count('style="') <= 20
    assert len(max(html.replace(png(), "").split("\n"), key=len)) < 400
    assert not any({"id", "call_id"} & set(item) for item in kept["items"])


def test_each_display_points_at_its_own_figure(snapshot: dict[str, Any]) -> None:
    saved = bundle(snapshot)
    figures = re.findall(r"(?s)<figure.*?</figure>", saved["text/html"])
    calls = {item["name"]: item for item in saved[MIME]["items"] if item["kind"] == "tool_call"}
    assert "<td>24.1</td>" in figures[calls["forecast"]["display"]]
    assert png() in figures[calls["plot_days"]["display"]]
    assert len(figures) == 2
    # And it stands at the call that drew it.
    assert "plot_days" in saved["text/html"].split(figures[1])[0][-250:]


def test_a_run_made_again_differs_where_it_differs() -> None:
    first, second = (_written(word, f"run-{n}") for n, word in enumerate(("dry", "pleasant")))
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    assert len(pairs) == 4  # the answer's line as data, HTML and text, and the run's id
    assert all(len(a) < 200 for a, _ in pairs)


def _written(word: str, run: str) -> list[str]:
    """The lines of a notebook's file with a run that has a long answer."""
    paragraph = "One of the many lines of an answer that goes on.\n\n"
    transcript = Transcript()
    for event in (
        RunStarted(run_id=run, agent_id="a", agent_name="ada", model="m"),
        StepStarted(step_id="s", number=1),
        TextDelta(text=f"{paragraph * 20}It stays {word}.\n\n{paragraph * 20}"),
    ):
        transcript.handle(event)
    output = nbformat.v4.new_output("display_data", data=bundle(transcript.snapshot()))
    cell = nbformat.v4.new_code_cell("%%agent", outputs=[output], id="cell")
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))).split("\n")
