"""Draws plots (`letta_kernel.service.plots`) as matplotlib figures that people can change.

Colours of middle lightness on a transparent ground, so that one picture reads well in light and dark.
matplotlib is imported when the first plot is made.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.plots import Chart, Pane, Series, total

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHARP = 2  # pixels of the picture for one on the page
_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 60  # characters of the bars in text
_WIDTH, _TALL, _LOW, _ROW = 8.4, 3.1, 1.1, 0.27  # inches
_MOST_RUNS = 40  # whose beginnings are marked by a line
_SEEN = 0.4  # the share of a limit from which on it is drawn: else all below it were a flat line


def draw(chart: Chart) -> Figure:
    """Return a plot as a figure, which shows itself.

    Raises
    ------
    InvalidInputError
        matplotlib is not installed; the text says how to install it.
    """
    if chart.nodes:
        from letta_kernel.display.branches import draw_branches

        return draw_branches(chart, new_figure)
    rows = [pane for pane in chart.panes if pane.form in ("rows", "dots")]
    if rows:
        height = _ROW * len(chart.places) + _LOW
        figure, many = new_figure(
            chart, height, widths=[3 if p.form == "rows" else 1 for p in rows]
        )
        for number, (axes, pane) in enumerate(zip(many, rows, strict=True)):
            _across(axes, chart, pane, labelled=not number)
    else:
        heights = [_TALL, *(_LOW for _ in chart.panes[1:])]
        figure, many = new_figure(chart, sum(heights), heights=heights)
        for axes, pane in zip(many, chart.panes, strict=True):
            _upright(axes, chart, pane)
        _steps_below(many[-1], chart)
    for axes in many:
        _legend(axes)
    return figure


def _upright(axes: Axes, chart: Chart, pane: Pane) -> None:
    """Draw a pane whose places go from left to right."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    at = [place.at for place in chart.places]
    below = [0.0] * len(at)
    for one in pane.series:
        colour = style.plot_colour(one.hue)
        values = [value or 0.0 for value in one.values]
        above = [a + b for a, b in zip(below, values, strict=True)]
        if pane.form == "bars":
            axes.bar(at, values, bottom=below, color=colour, width=0.85, label=one.name)
            below = above
        elif pane.form == "river":
            _band(axes, at, below, above, colour, one.name)
            below = above
        else:
            own = len({other.most for other in pane.series}) > 1
            _curve(axes, at, one, colour, stairs=pane.form == "stairs", bounds=own)
    most = max([*total(pane)] if pane.form in ("bars", "river") else _tops(pane), default=0.0)
    if pane.over is not None:
        _curve(axes, at, pane.over, style.GREY, stairs=False)
        most = max(most, *(value or 0.0 for value in pane.over.values))
    if pane.limit:
        said = f"{pane.limit_name}: {pane.limit:,.0f}"
        if most >= _SEEN * pane.limit:
            axes.axhline(pane.limit, color=style.GREY, linewidth=1, linestyle=(0, (4, 3)))
            _note(axes, said, (0, pane.limit), ("axes fraction", "data"), (2, 2))
            most = max(most, pane.limit)
        else:
            _note(axes, f"{said}, far above", (0, 1), ("axes fraction", "axes fraction"), (3, -8))
    axes.set_ylim(0, (most or 1) * 1.12)
    for mark in chart.marks:
        if mark.kind == "compaction":
            axes.axvline(mark.at, color=style.RED, linewidth=1.2, linestyle=(0, (1, 1.5)))
            aside = 3 if mark.at < 0.8 * chart.places[-1].at else -50
            _note(axes, mark.name, (mark.at, 1), ("data", "axes fraction"), (aside, -8), style.RED)
        elif 1 < sum(one.kind == "run" for one in chart.marks) <= _MOST_RUNS:
            axes.axvline(mark.at, color=style.GREY, linewidth=0.6, alpha=0.35)
    axes.set_ylabel(_unit(pane))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    if pane.unit == "US dollars":
        axes.yaxis.set_major_formatter(lambda value, _: words.money(round(value, 12)) or "$0")
    else:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes.grid(axis="y", color=style.GREY, alpha=0.25, linewidth=0.6)
    axes.label_outer()


def _unit(pane: Pane) -> str:
    """Return the unit of a pane, with what its series may have where that is the same for all."""
    limits = {one.most for one in pane.series}
    most = limits.pop() if len(limits) == 1 else None
    return f"{pane.unit} (of {most:,.0f})" if most else pane.unit


def _note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    measured: tuple[str, str],
    aside: tuple[int, int],
    colour: str = style.GREY,
) -> None:
    axes.annotate(
        text, at, aside, fontsize=8, xycoords=measured, textcoords="offset points", color=colour
    )


def _band(
    axes: Axes,
    at: Sequence[float],
    below: Sequence[float],
    above: Sequence[float],
    colour: str,
    name: str,
) -> None:
    # A step fills its whole width: of one step alone there is a band, too.
    wide = [edge for one in at for edge in (one - 0.5, one + 0.5)]
    low, high = ([value for value in values for _ in (0, 1)] for values in (below, above))
    axes.fill_between(wide, low, high, color=colour, alpha=0.85, linewidth=0, label=name)


def _curve(
    axes: Axes, at: Sequence[float], one: Series, colour: str, *, stairs: bool, bounds: bool = False
) -> None:
    shown = [(x, value) for x, value in zip(at, one.values, strict=True) if value is not None]
    if not shown:
        return
    x, y = [x for x, _ in shown], [y for _, y in shown]
    label = one_line(one.name, 24) + (f" (of {one.most:,.0f})" if one.most and bounds else "")
    axes.plot(
        x, y, color=colour, linewidth=1.8, label=label, drawstyle="steps-post" if stairs else "default",
        linestyle="solid" if one.hue < style.HUES else "dashed",
    )  # fmt: skip
    changed = {at[place] for place in one.changed}
    dots = [pair for pair in shown if pair[0] in changed or not stairs]
    axes.plot([x for x, _ in dots], [y for _, y in dots], "o", color=colour, markersize=3.5)
    if one.most and max(y) >= _SEEN * one.most:
        axes.axhline(one.most, color=colour, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.7)


def _tops(pane: Pane) -> list[float]:
    """Return how high each curve goes, or its limit where that is drawn."""
    tops = [max([value or 0.0 for value in one.values], default=0.0) for one in pane.series]
    limits = [one.most for one, top in zip(pane.series, tops, strict=True)
              if one.most and top >= _SEEN * one.most]  # fmt: skip
    return [*tops, *limits]


def _steps_below(axes: Axes, chart: Chart) -> None:
    from matplotlib.ticker import MaxNLocator

    runs = sum(mark.kind == "run" for mark in chart.marks)
    axes.set_xlabel("step" + (f" ({words.count(runs, 'run')})" if runs else ""))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    first = min(0.4, chart.places[0].at - 0.1) if chart.places[0].at < 1 else 0.4
    axes.set_xlim(first, max(chart.places[-1].at, 8) + 0.6)


def _across(axes: Axes, chart: Chart, pane: Pane, *, labelled: bool) -> None:
    """Draw a pane whose places stand below each other: stacked rows, or dots."""
    from matplotlib.ticker import MaxNLocator

    at = [place.at for place in chart.places]
    if pane.form == "rows":
        right, left = [0.0] * len(at), [0.0] * len(at)
        for one in pane.series:
            values = [value or 0.0 for value in one.values]
            starts = [r if v >= 0 else s for r, s, v in zip(right, left, values, strict=True)]
            colour = style.plot_colour(one.hue)
            axes.barh(at, values, left=starts, color=colour, height=0.7, label=one.name)
            right = [r + max(v, 0) for r, v in zip(right, values, strict=True)]
            left = [s + min(v, 0) for s, v in zip(left, values, strict=True)]
        axes.axvline(0, color=style.GREY, linewidth=0.8)
    else:
        values = [value or 0.0 for value in pane.series[0].values]
        filled = [style.GREY if not place.weak else "none" for place in chart.places]
        axes.hlines(at, 0, values, color=style.GREY, linewidth=1.2, alpha=0.6)
        axes.scatter(values, at, s=26, facecolors=filled, edgecolors=style.GREY, zorder=3)
        axes.set_xlim(0, 1.04)
    if pane.limit is not None:
        axes.axvline(pane.limit, color=style.RED, linewidth=1, linestyle=(0, (4, 3)))
        said = f"{pane.limit_name}: {pane.limit:g}"
        _note(axes, said, (pane.limit, 1), ("data", "axes fraction"), (2, 2), style.RED)
    axes.set_xlabel(pane.unit)
    if pane.form == "rows":
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    else:
        axes.set_xticks([0, 0.5, 1])
    if labelled:
        names = [one_line(f"{place.name}  {place.about}", 52) for place in chart.places]
        axes.set_yticks(at, names, parse_math=False)
    else:
        axes.tick_params(labelleft=False)
    axes.set_ylim(at[-1] + 0.6, at[0] - 0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.GREY, alpha=0.25, linewidth=0.6)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    # As they are stacked: the uppermost first.
    if axes.patches or axes.collections:
        handles, labels = handles[::-1], labels[::-1]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    if axes.patches and axes.yaxis.get_inverted():
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 6}
        handles, labels = handles[::-1], labels[::-1]
    legend = axes.legend(handles, labels, frameon=False, fontsize=9, labelcolor=style.GREY, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)


def new_figure(
    chart: Chart,
    height: float,
    *,
    heights: Sequence[float] = (1,),
    widths: Sequence[float] = (1,),
) -> tuple[Any, list[Axes]]:
    """Return a figure with axes below each other (*heights*) or side by side (*widths*), in shares."""
    try:
        made = _figure_class()(figsize=(_WIDTH, height), layout="constrained")
    except ImportError:
        raise InvalidInputError(
            "Plots need matplotlib.", remedy(Do.INSTALL_EXTRA, "plots"), page="library-missing"
        ) from None
    made.letta_chart = chart
    made.patch.set_alpha(0)
    many = made.subplots(
        len(heights), len(widths), squeeze=False, sharex=len(heights) > 1, sharey=len(widths) > 1,
        gridspec_kw={"height_ratios": heights, "width_ratios": widths},
    ).ravel()  # fmt: skip
    for axes in many:
        axes.patch.set_alpha(0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(style.GREY)
        axes.tick_params(colors=style.GREY, labelsize=9)
        axes.yaxis.label.set_color(style.GREY)
        axes.xaxis.label.set_color(style.GREY)
        axes.set_axisbelow(True)
    # A dollar in an agent's name is no mathematics.
    title = one_line(chart.title, 90)
    made.suptitle(title, x=0.01, ha="left", fontsize=11, color=style.GREY, parse_math=False)
    return made, [*many]


@lru_cache(maxsize=1)
def _figure_class() -> Callable[..., Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Plot(Figure):
        """A figure that shows itself, without pyplot and its list of open figures."""

        letta_chart: Chart

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
            return "\n".join([self.get_suptitle(), *told(self.letta_chart)])

        __repr__ = __str__

    def make(**options: Any) -> Any:
        return Plot(dpi=100 * _SHARP, **options)

    return make


def told(chart: Chart) -> list[str]:
    """Return in lines what a plot shows, for those who do not see it."""
    drawn = [
        f"{bars(total(pane))}  {pane.unit}"
        for pane in chart.panes[:1]
        if pane.form in ("bars", "river", "stairs")
    ]
    rows = [
        f"{place.name}. {pane.series[0].values[number]:.2f} {one_line(place.about, 80)}"
        for pane in chart.panes
        if pane.form == "dots"
        for number, place in enumerate(chart.places)
    ]
    graph = [
        "  " * node.lane
        + ("↳ " if node.lane else "")
        + " · ".join(filter(None, (one_line(node.about, 60), one_line(node.name, 60))))
        for node in reversed(chart.nodes)
    ]
    return [*drawn, chart.summary, *rows, *graph, *chart.notes]


def bars(values: Sequence[float]) -> str:
    """Return the last of *values* as a row of little bars, with the least and the most."""
    if not values:
        return ""
    shown = values[-_WIDEST:]
    top = max(shown) or 1
    row = "".join(_BARS[min(int(value / top * 8), 7)] for value in shown)
    least, most = (f"{value:,.4g}" if value < 1 else f"{value:,.0f}" for value in (min(shown), top))
    return f"{row}  {least} … {most}"
