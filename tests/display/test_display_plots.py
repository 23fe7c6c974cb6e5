"""Plots are figures that can be changed; they hold what they were given and show themselves."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest

pytest.importorskip("matplotlib")
from PIL import Image

from letta_kernel.display.plots import bars, cost_plot, memory_plot, tokens_plot
from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import now
from letta_kernel.records import BlockVersion, Run, Step


def step(number: int, **figures: int) -> Step:
    return Step(run_id="r", agent_id="a", number=number, **figures)  # type: ignore[arg-type]


def picture(figure: Any) -> Image.Image:
    data, metadata = figure._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    image = Image.open(BytesIO(base64.b64decode(data["image/png"])))
    assert image.size[0] == 2 * metadata["image/png"]["width"]
    return image


def test_tokens_of_each_step_are_stacked_by_what_they_were() -> None:
    first = [step(1, prompt_tokens=100, completion_tokens=20, reasoning_tokens=15)]
    second = [step(1, prompt_tokens=130, cached_tokens=100, completion_tokens=7)]
    figure = tokens_plot("a $x^2$ agent", [first, second])
    axes = figure.axes[0]
    heights = {
        container.get_label(): [bar.get_height() for bar in container]  # type: ignore[attr-defined]
        for container in axes.containers
    }
    assert heights == {
        "read, from the cache": [0, 100],
        "read": [100, 30],
        "thought": [15, 0],
        "written": [5, 7],
    }
    assert picture(figure).convert("RGBA").getpixel((2, 2))[3] == 0  # type: ignore[index]
    axes.set_title("mine", loc="left")
    assert str(figure).startswith("mine, tokens")


def test_memory_and_cost_over_time() -> None:
    begin = now() - timedelta(hours=5)
    versions = [
        BlockVersion(block_id="b", version=n, value="x" * n * 10, actor="a", created_at=begin)
        for n in (1, 2)
    ]
    figure = memory_plot("ada", {"human": versions, "plans": versions[:1]})
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[10, 20, 20], [10, 10]]
    picture(figure)
    runs = [
        Run(agent_id="a", cost=cost, created_at=begin + timedelta(hours=place))
        for place, cost in enumerate((0.5, None, 0.25))
    ]
    figure = cost_plot("ada", runs)
    assert list(figure.axes[0].lines[0].get_ydata()) == [0.5, 0.75]
    picture(figure)


def test_what_cannot_be_plotted_says_why() -> None:
    for make in (
        lambda: tokens_plot("ada", [[]]),
        lambda: memory_plot("ada", {}),
        lambda: cost_plot("ada", [Run(agent_id="a")]),
    ):
        with pytest.raises(InvalidInputError, match="ada"):
            make()


def test_without_matplotlib_one_line_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from letta_kernel.display.plots import tokens_plot\n"
        "from letta_kernel.records import Step\n"
        "tokens_plot('ada', [[Step(run_id='r', agent_id='a', number=1)]])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "letta-kernel with its extra plots" in ended.stderr.strip().splitlines()[-1]


def test_bars_in_text() -> None:
    assert bars([]) == ""
    assert bars([0, 4, 8]) == "▁▅█  0 … 8"
    assert bars([0, 0]).startswith("▁▁")
