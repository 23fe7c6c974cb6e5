"""An explained step shows hostile texts harmlessly, and leads to other steps by anchors."""

from __future__ import annotations

import pytest
from display_checks import check_html, check_text
from hostile_strings import HOSTILE

from letta_kernel.display.explanation import explanation_panel, reasons_panel
from letta_kernel.ids import now
from letta_kernel.service.explanation import (
    BlockChange,
    Explanation,
    KeptPassage,
    Looked,
    Made,
    PartCost,
    Reason,
)


def explained(text: str) -> Explanation:
    """Return a step in which every text is *text*."""
    picture = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": text}}]
    return Explanation(
        step_id="step-1234abcd-0000",
        run_id=text,
        agent_id="agent-1",
        agent=text,
        number=1,
        created_at=now(),
        model=text,
        exact=False,
        missing=[text],
        messages=[{"role": text, "content": text}, {"role": "user", "content": picture}],
        tools=[{"type": "function", "function": {"name": text, "description": text}}],
        tool_choice=text,
        params={text: text},
        body=text,
        refused={"parameters": [text]},
        parts=[PartCost("block", text, 5, text, 5, 0.1, "block-1", 2, "step-5678abcd-0000")],
        prompt_tokens=5,
        cost=0.1,
        considered=[Looked(text, "budget", 0.5, {"words": 0.3}, text)],
        said=text,
        reasoning=text,
        raw=text,
        calls=[Made("call-1", text, text, text, "error", text, 0.1)],
        changes=[BlockChange("block-1", text, 2, "", text, text)],
        kept=[KeptPassage(text, text)],
        edits=[{"what": "request", "name": text, "place": 0, "before": "a", "after": text}],
        stop_reason=text,
        error=text,
    )


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_texts_of_a_step_are_shown_harmlessly(name: str) -> None:
    text = HOSTILE[name][:20_000].encode("utf-8", "replace").decode("utf-8")
    panel = explanation_panel(explained(text))
    check_html(panel.html)
    check_text(panel.text)
    why = reasons_panel(
        [Reason(text, text, text, 1, "step-1", None, text, now())], lambda step: step
    )
    check_html(why.html)
    check_text(why.text)


def test_a_block_leads_to_the_step_that_wrote_it() -> None:
    html = explanation_panel(explained("plain")).html
    assert 'id="step-1234abcd-0000"' in html
    assert 'href="#step-5678abcd-0000"' in html
