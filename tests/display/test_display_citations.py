"""Numbers in brackets that an answer cites by, in the saved form and in text."""

from __future__ import annotations

import pytest
from display_checks import check_html

from letta_kernel.display.html import bundle
from letta_kernel.display.markdown import cited, markdown_html
from letta_kernel.display.transcript import Transcript
from letta_kernel.messages import RunEnded, StepStarted, TextDelta, ToolReturned, Usage

CITES = {"1": "The boat leaves at nine.", "2": 'A "<b>quote</b>'}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("At nine [1].", ["[1]"]),
        ("[1][2] say so", ["[1]", "[2]"]),
        ("Both [1, 2], not [3].", ["1", "2"]),
        ("**bold [1]** and\n\n- item [2]", ["[1]", "[2]"]),
        ("| a |\n|-|\n| [1] |", ["[1]"]),
        ("他九点走[1]。", ["[1]"]),
        ("[1](https://example.org) [x](https://example.org/[1])", []),
        ("`[1]` and\n\n```\nx = a[1]\n```", []),
        ("a[1], [^1], \\[1\\], [text][1], [01x], $x[1]$, ![1](x)", []),
        ("[1]\n\n[1]: https://example.org", []),
        ("[[1]](https://example.org)", []),
        ("[0] [3] [1000] [1,3x]", []),
        ("March 1, 2026; in 1, 2 or 3; `rows[1]`, rows[2] [1](https://example.org)", []),
        ("> said [2]\n\n```\n[1]\n```\n\n    [1]", ["[2]"]),
    ],
)
def test_a_number_that_refers_to_something_is_marked(text: str, numbers: list[str]) -> None:
    html = markdown_html(text, CITES)
    check_html(html)
    found = [part.partition("</sup>")[0].partition(">")[2] for part in html.split("<sup")[1:]]
    assert found == numbers
    assert cited(text, [1, 2]) == {int(one.strip("[]")) for one in numbers}
    assert "<sup" not in markdown_html(text)


def test_a_title_stays_text_whatever_is_cited() -> None:
    html = markdown_html("[2]", CITES)
    assert 'title="A &quot;&lt;b&gt;quote&lt;/b&gt;"' in html


def test_a_run_keeps_what_its_answer_cites_and_no_more() -> None:
    transcript = Transcript()
    passage = {"n": 1, "id": "p", "content": "Boat at nine.", "timestamp": "2026-03-01T09:00:00"}
    transcript.handle(StepStarted(step_id="s", number=1, retrieved=[passage]))
    hits = [
        {"n": n, "text": f"<i>hit {n}</i>", "at": "2026-03-02T10:00+00:00", "origin": "ada, tool"}
        for n in (2, 3)
    ]
    transcript.handle(
        ToolReturned(call_id="c", name="search", status="ok", text="", seconds=0.1, cites=hits)
    )
    transcript.handle(TextDelta(text="At nine [1], by hit [3]; not [7]. In 1, 2 or 3: `rows[2]`."))
    transcript.handle(
        RunEnded(run_id="r", stop_reason="end_turn", steps=1, usage=Usage(), seconds=0.1, model="m")
    )
    snapshot = transcript.snapshot()
    assert [one["n"] for one in snapshot["cites"]] == [1, 3]
    saved = bundle(snapshot)
    check_html(saved["text/html"])
    assert "Sources: 2" in saved["text/html"]
    assert "&lt;i&gt;hit 3&lt;/i&gt; (2026-03-02 · ada, tool)" in saved["text/html"]
    assert "[7]" in saved["text/html"]
    assert "[3] <i>hit 3</i> · 2026-03-02 · ada, tool" in saved["text/plain"]
