"""The runs that the page's picture of a run is tested on too (labextension/test/transcript.spec.ts)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from letta_kernel.display.html import MIME, bundle, to_html
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.words import to_text
from letta_kernel.messages import Event

RUNS = Path(__file__).parents[1] / "data" / "runs"
EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])


@pytest.mark.parametrize("path", sorted(RUNS.glob("*.json")), ids=lambda path: path.stem)
def test_a_recorded_run_gives_the_same_picture(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    transcript = Transcript(kept["prompt"])
    for event in EVENTS.validate_python(kept["events"]):
        transcript.handle(event)
    assert _timeless(transcript.snapshot()) == _timeless(kept["snapshot"])


def _timeless(snapshot: dict[str, Any]) -> Any:
    """A snapshot without how long a wait took, which is measured when it is followed."""
    return json.loads(re.sub(r"Waited [\d.]+ m?s", "Waited", json.dumps(snapshot)))


def test_the_runs_of_agents_that_were_asked_stand_folded_in_the_call() -> None:
    kept = json.loads((RUNS / "asks.json").read_text(encoding="utf-8"))["snapshot"]
    html = to_html(kept)
    assert html.count("<details") == html.count("</details>") > 3
    assert "<b>z</b>" not in html
    assert "zoe &lt;b&gt;z&lt;/b&gt;" in html
    assert "In <strong>Rome</strong>." in html
    text = to_text(kept)
    assert "      zoe <b>z</b> · 1 step" in text
    assert "        I do not know." in text
    saved = bundle(kept)
    calls = [one for one in saved[MIME]["items"] if one["kind"] == "tool_call"]
    assert sorted(one["agent"] for call in calls for one in call["asked"]) == [
        "ben",
        "eve",
        "zoe <b>z</b>",
    ]
    assert "call_id" not in json.dumps(saved[MIME])
