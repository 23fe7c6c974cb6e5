"""Plots of an agent's steps, memory and cost, as matplotlib figures that people can change.

Colours of middle lightness on a transparent ground, so that one picture reads well in light and dark.
matplotlib is imported when the first plot is made.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import now
from letta_kernel.records import BlockVersion, Run, Step
from letta_kernel.remedies import Do, remedy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("tokens", "memory", "cost")
_SHARP = 2  # pixels of the picture for one on the page
_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 60  # characters of the bars in text


def tokens_plot(name: str, runs: Sequence[Sequence[Step]]) -> Figure:
    """Return the tokens of each step: what the model read, from its cache or anew, thought and wrote.

    Parameters
    ----------
    name
        The agent's name.
    runs
        The steps of each run, oldest first; a line stands between two runs.

    Raises
    ------
    InvalidInputError
        There is nothing to show, or matplotlib is not installed; the text says what to do.
    """
    steps = [step for run in runs for step in run]
    if not steps:
        raise InvalidInputError(f"{name} has made no step yet: say something to it first.")
    figure, axes = _new(f"Tokens of each step of {name}", "tokens")
    cached = [min(step.cached_tokens, step.prompt_tokens) for step in steps]
    thought = [min(step.reasoning_tokens, step.completion_tokens) for step in steps]
    parts = {
        "read, from the cache": (style.GREY, cached),
        "read": (style.BLUE, _less([s.prompt_tokens for s in steps], cached)),
        "thought": (style.AMBER, thought),
        "written": (style.VIOLET, _less([s.completion_tokens for s in steps], thought)),
    }
    below = [0] * len(steps)
    places = range(1, len(steps) + 1)
    for label, (colour, values) in parts.items():
        if any(values):
            axes.bar(places, values, bottom=below, color=colour, width=0.85, label=label)
            below = [a + b for a, b in zip(below, values, strict=True)]
    for end in list(accumulate(len(run) for run in runs if run))[:-1]:
        axes.axvline(end + 0.5, color=style.GREY, linewidth=0.6, alpha=0.4)
    axes.set_xlabel(f"step ({words.count(sum(bool(run) for run in runs), 'run')})")
    axes.set_xlim(0.4, max(len(steps), 8) + 0.6)
    return _finished(figure, axes, below)


def memory_plot(name: str, blocks: Mapping[str, Sequence[BlockVersion]]) -> Figure:
    """Return the size of each memory block over time; *blocks* holds each label's versions, oldest first.

    Raises
    ------
    InvalidInputError
        There is nothing to show, or matplotlib is not installed; the text says what to do.
    """
    if not any(blocks.values()):
        raise InvalidInputError(f"{name} has no memory blocks.")
    figure, axes = _new(f"Memory of {name}", "characters")
    end = now()
    total: dict[datetime, int] = {}
    for place, (label, versions) in enumerate(blocks.items()):
        times: list[Any] = [version.created_at for version in versions]
        sizes = [len(version.value) for version in versions]
        for moment, size, before in zip(times, sizes, [0, *sizes], strict=False):
            total[moment] = total.get(moment, 0) + size - before
        axes.step(
            [*times, end],
            [*sizes, sizes[-1]],
            where="post",
            color=style.PARTS[place % len(style.PARTS)],
            linewidth=1.8,
            marker="o",
            markersize=3.5,
            markevery=range(len(times)),
            label=one_line(label, 40),
        )
    _by_time(figure, axes)
    return _finished(figure, axes, list(accumulate(total[moment] for moment in sorted(total))))


def cost_plot(name: str, runs: Sequence[Run]) -> Figure:
    """Return what runs (oldest first) cost together, in US dollars, over time.

    Raises
    ------
    InvalidInputError
        No price is known for any of them, or matplotlib is not installed; the text says what to do.
    """
    known = [(run.created_at, run.cost) for run in runs if run.cost is not None]
    if not known:
        raise InvalidInputError(
            f"No price is known for what {name} has done; a plot of its tokens can be shown."
        )
    figure, axes = _new(f"Cost of {name}", "US dollars")
    times: list[Any] = [moment for moment, _ in known]
    costs = [cost for _, cost in known]
    together = list(accumulate(costs))
    axes.step(times, together, where="post", color=style.VIOLET, linewidth=1.8)
    axes.fill_between(times, together, step="post", color=style.VIOLET, alpha=0.15)
    axes.plot(times, together, "o", color=style.VIOLET, markersize=3.5)
    axes.yaxis.set_major_formatter(lambda value, _: words.money(round(value, 12)))
    _by_time(figure, axes)
    return _finished(figure, axes, costs)


def _less(whole: Sequence[int], part: Sequence[int]) -> list[int]:
    return [max(a - b, 0) for a, b in zip(whole, part, strict=True)]


def _new(title: str, unit: str) -> tuple[Figure, Axes]:
    try:
        made = _figure_class()(figsize=(8.4, 3.2), layout="constrained")
    except ImportError:
        raise InvalidInputError(
            "Plots need matplotlib.", remedy(Do.INSTALL_EXTRA, "plots")
        ) from None
    made.patch.set_alpha(0)
    axes = made.add_subplot()
    axes.patch.set_alpha(0)
    # A dollar in an agent's name is no mathematics.
    axes.set_title(one_line(title, 80), loc="left", fontsize=11, color=style.GREY, parse_math=False)
    axes.set_ylabel(unit)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(style.GREY)
    axes.tick_params(colors=style.GREY, labelsize=9)
    axes.yaxis.label.set_color(style.GREY)
    axes.xaxis.label.set_color(style.GREY)
    axes.grid(axis="y", color=style.GREY, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return made, axes


def _by_time(figure: Figure, axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    here = datetime.now().astimezone().tzinfo
    axes.margins(x=0.02)
    locator = AutoDateLocator(tz=here, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=here))
    axes.xaxis.get_offset_text().set_color(style.GREY)


def _finished(figure: Any, axes: Axes, values: Sequence[float]) -> Figure:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if axes.get_ylabel() != "US dollars":
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if axes.get_xlabel():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(
            handles, labels, frameon=False, fontsize=9, labelcolor=style.GREY, loc="upper left",
            bbox_to_anchor=(1, 1),
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
    figure.letta_values = list(values)
    return figure


@lru_cache(maxsize=1)
def _figure_class() -> type[Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Plot(Figure):
        """A figure that shows itself, without pyplot and its list of open figures."""

        letta_values: Sequence[float] = ()

        def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, str], dict[str, Any]]:
            picture = io.BytesIO()
            FigureCanvasAgg(self).print_png(picture, metadata={"Software": None})
            width, height = (int(side * self.dpi / _SHARP) for side in self.get_size_inches())
            data = {
                "image/png": base64.b64encode(picture.getvalue()).decode(),
                "text/plain": str(self),
            }
            return data, {"image/png": {"width": width, "height": height}}

        def __str__(self) -> str:
            axes = self.axes[0]
            title = axes.get_title("left")
            return f"{title}, {axes.get_ylabel()}\n{bars(self.letta_values)}"

        __repr__ = __str__

    def make(**options: Any) -> Any:
        return Plot(dpi=100 * _SHARP, **options)

    return make  # type: ignore[return-value]


def bars(values: Sequence[float]) -> str:
    """Return the last of *values* as a row of little bars, with the least and the most."""
    if not values:
        return ""
    shown = values[-_WIDEST:]
    top = max(shown) or 1
    row = "".join(_BARS[min(int(value / top * 8), 7)] for value in shown)
    least, most = (f"{value:,.4g}" if value < 1 else f"{value:,.0f}" for value in (min(shown), top))
    return f"{row}  {least} … {most}"
