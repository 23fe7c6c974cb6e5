"""Everything can be read in light and in dark: text is of the page's colour, marks hold on both."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hostile_run import hostile_run
from sample_run import events

from letta_kernel.display import style
from letta_kernel.display.block_panels import block_panel
from letta_kernel.display.html import to_html
from letta_kernel.display.panels import context_panel, runs_table
from letta_kernel.display.tables import note
from letta_kernel.display.transcript import Transcript
from letta_kernel.records import Block, WholeRun

WHITE, BLACK, LAB_DARK = "#ffffff", "#000000", "#111111"
TEXT_IN_LIGHT, TEXT_IN_DARK = "#212121", "#ffffff"
PALETTE = {
    n: v for n, v in vars(style).items() if isinstance(v, str) and re.fullmatch("#[0-9a-f]{6}", v)
}


def _channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _luminance(channels: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast of two colours as WCAG defines it, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", PALETTE)
def test_a_colour_of_the_palette_is_seen_on_white_and_on_black(name: str) -> None:
    colour = _channels(PALETTE[name])
    for ground in (WHITE, BLACK):
        assert contrast(colour, _channels(ground)) >= 4.5
    # On a dark grey nothing can have that on both; for what is no text, 3 is enough.
    assert contrast(colour, _channels(LAB_DARK)) >= 3


def test_the_palette_is_all_there_is_and_never_colours_text() -> None:
    assert len(PALETTE) >= 7
    transcript = Transcript()
    for event in events():
        transcript.handle(event)
    block = Block(label="human", value="x" * 97, limit=100)
    shown = [
        to_html(transcript.snapshot()),
        to_html(hostile_run("<b>text</b>").snapshot()),
        note("gone wrong", "error").html,
        block_panel(block).html,
        context_panel([{"name": "system", "tokens": 5, "text": "x"}], 10).html,
        runs_table([WholeRun(agent_id="a", asked="x", stop_reason="error", error="x")]).html,
    ]
    looks = [look for html in shown for look in re.findall(r'style="([^"]*)"', html)]
    declarations = [one.partition(":")[::2] for look in looks for one in look.split(";")]
    assert not {"color", "opacity"} & {name for name, _ in declarations}
    used = {c for _, value in declarations for c in re.findall(r"#[0-9a-f]{3,8}\b", value)}
    assert style.RED in used
    assert used <= set(PALETTE.values())


def test_text_on_a_bars_ground_and_on_a_pictures_can_be_read() -> None:
    """Grounds of ours are translucent; what lies below them is the page."""
    grounds = re.findall(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)", block_panel(Block(label="x")).html)
    assert grounds
    for (page, text), (red, green, blue, alpha) in product(
        ((WHITE, TEXT_IN_LIGHT), (LAB_DARK, TEXT_IN_DARK)), grounds
    ):
        over = [int(c) / 255 for c in (red, green, blue)]
        share = float(alpha)
        mixed = [share * a + (1 - share) * b for a, b in zip(over, _channels(page), strict=True)]
        assert contrast(mixed, _channels(text)) >= 4.5
