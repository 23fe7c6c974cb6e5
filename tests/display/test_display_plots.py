"""Plots are figures that can be changed; they hold what they were given and show themselves."""

from __future__ import annotations

import base64
import subprocess
import sys
from io import BytesIO
from typing import Any

import pytest

pytest.importorskip("matplotlib")
from PIL import Image

from letta_kernel.display.plots import bars, draw
from letta_kernel.service.plots import Chart, Mark, Node, Pane, Place, Series

PLACES = [Place(1, "step 1"), Place(2, "step 2", "a $x^2$")]


def picture(figure: Any) -> Image.Image:
    data, metadata = figure._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    image = Image.open(BytesIO(base64.b64decode(data["image/png"])))
    assert image.size[0] == 2 * metadata["image/png"]["width"]
    return image


def test_bars_are_stacked_by_what_they_are() -> None:
    series = [Series("read", [100, 30]), Series("written", [5, None])]
    pane = Pane("bars", "tokens", series)
    chart = Chart("tokens", "Tokens of $x^2$", places=PLACES, panes=[pane], summary="So many.")
    figure = draw(chart)
    axes = figure.axes[0]
    heights = {
        container.get_label(): [bar.get_height() for bar in container]  # type: ignore[attr-defined]
        for container in axes.containers
    }
    assert heights == {"read": [100, 30], "written": [5, 0]}
    assert picture(figure).convert("RGBA").getpixel((2, 2))[3] == 0  # type: ignore[index]
    figure.suptitle("mine")
    assert str(figure).startswith("mine\n█▃  30 … 105  tokens\nSo many.")


def test_stairs_rivers_and_lines_hold_their_values() -> None:
    stairs = Series("human", [None, 20], most=25, changed=[1])
    figure = draw(
        Chart("memory", "m", places=PLACES, panes=[Pane("stairs", "characters", [stairs])])
    )
    lines = figure.axes[0].lines
    assert list(lines[0].get_ydata()) == [20]
    assert list(lines[2].get_ydata()) == [25, 25]  # its limit, which is near
    picture(figure)
    river = Pane(
        "river", "tokens", [Series("tools", [5, 6]), Series("said", [1, 9])], 20, "the window"
    )
    river.over = Series("counted", [7, 14])
    marks = [Mark(0.5, "run"), Mark(1.5, "run"), Mark(1.5, "compaction", "compacted")]
    below = Pane("line", "US dollars", [Series("cost", [0.1, 0.2])])
    figure = draw(Chart("context", "c", places=PLACES, panes=[river, below], marks=marks))
    upper, lower = figure.axes
    assert [one.get_text() for one in upper.texts] == ["the window: 20", "compacted"]
    assert list(upper.lines[0].get_ydata()) == [7, 14]
    assert list(lower.lines[0].get_ydata()) == [0.1, 0.2]
    assert upper.get_ylim()[1] > 20
    picture(figure)


def test_ranks_are_rows_and_relevance_has_its_threshold() -> None:
    rank = Pane("rows", "rank", [Series("words", [1, 0.5]), Series("question", [0, -0.2])])
    dots = Pane("dots", "relevance", [Series("relevance", [0.9, 0.1])], 0.4, "relevant")
    chart = Chart("retrieval", "r", "passage", PLACES, [rank, dots])
    figure = draw(chart)
    assert [one.get_text() for one in figure.axes[0].get_yticklabels()] == [
        "step 1",
        "step 2 a $x^2$",
    ]
    assert [one.get_text() for one in figure.axes[1].texts] == ["relevant: 0.4"]
    assert "step 2. 0.10 a $x^2$" in str(figure)
    picture(figure)


def test_branches_are_drawn_in_lanes() -> None:
    nodes = [
        Node("run", 0, None, "1 step", "Hello", "run-1"),
        Node("fork", 1, 0, "fork bold", "", "agent-1"),
        Node("end", 2, None, "undo: 2 messages left", "", "branch-1"),
        Node("run", 0, 0, "1 step", "Bye $x^2$", "run-2", failed=True),
    ]
    figure = draw(Chart("branches", "b", "run", nodes=nodes))
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert marks == [(0, 0), (1, 1), (2, 2), (0, 3)]
    assert len(figure.axes[0].patches) == 3
    assert "Bye $x^2$ · 1 step" in str(figure).splitlines()[2]
    picture(figure)
    draw(Chart("branches", "b", "run", nodes=[*nodes] * 30))  # the newest of very many


def test_without_matplotlib_one_line_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from letta_kernel.display.plots import draw\n"
        "from letta_kernel.service.plots import Chart, Pane, Place, Series\n"
        "draw(Chart('tokens', 't', places=[Place(1, '')], panes=[Pane('bars', 't', [Series('r', [1])])]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "letta-kernel with its extra plots" in ended.stderr.strip().splitlines()[-1]


def test_bars_in_text() -> None:
    assert bars([]) == ""
    assert bars([0, 4, 8]) == "▁▅█  0 … 8"
    assert bars([0, 0]).startswith("▁▁")
