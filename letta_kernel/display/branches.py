"""Draws a graph of branches with matplotlib: a lane for each line, the newest on top."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from letta_kernel.display import style
from letta_kernel.display.clean import one_line
from letta_kernel.display.tables import when
from letta_kernel.service.plots import Chart, Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _LANE = 0.32, 0.3  # inches
_MOST = 60  # nodes
_MARKS = {"run": "o", "fork_run": "o", "end": "X", "fork": "D"}
_BEND = 0.6  # rows that a line takes to change its lane


def draw_branches(chart: Chart, new: Callable[..., tuple[Figure, list[Axes]]]) -> Figure:
    """Return the graph as a figure that *new* makes; of very many nodes the newest."""
    dropped = max(len(chart.nodes) - _MOST, 0)
    nodes = chart.nodes[dropped:]
    figure, (axes,) = new(chart, _ROW * len(nodes) + 0.6)
    lanes = max(node.lane for node in nodes) + 1
    axes.set_axis_off()
    width = figure.get_size_inches()[0] / _LANE
    axes.set_xlim(-0.6, width)
    axes.set_ylim(-0.7, len(nodes) - 0.3)
    for row, node in enumerate(nodes):
        _edge(axes, row, node, nodes, None if node.parent is None else node.parent - dropped)
    for row, node in enumerate(nodes):
        colour = style.plot_colour(node.lane)
        hollow = node.kind == "end"
        axes.plot(
            [node.lane], [row], _MARKS[node.kind], markersize=8, color=colour, zorder=3,
            markerfacecolor="none" if hollow else colour, markeredgecolor=style.RED if node.failed else colour,
            markeredgewidth=1.8 if hollow or node.failed else 0.8,
        )  # fmt: skip
        axes.text(
            lanes + 0.1,
            row,
            _label(node),
            va="center",
            fontsize=9,
            color=style.GREY,
            parse_math=False,
        )
    return figure


def _edge(axes: Axes, row: int, node: Node, nodes: list[Node], parent: int | None) -> None:
    """Draw the line from the node that *node* goes on from."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if parent is None and node.kind in ("run", "fork_run"):
        return  # the first that there is
    below, lane = (-1, 0) if parent is None or parent < 0 else (parent, nodes[parent].lane)
    bend = min(_BEND, row - below)
    points: list[Any] = [(lane, below)]
    codes = [Path.MOVETO]
    if lane != node.lane:
        points += [(lane, below + bend), (node.lane, below), (node.lane, below + bend)]
        codes += [Path.CURVE4] * 3
    points.append((node.lane, row))
    codes.append(Path.LINETO)
    dashed = node.kind == "end"
    axes.add_patch(
        PathPatch(
            Path(points, codes), fill=False, edgecolor=style.plot_colour(node.lane), linewidth=1.8,
            linestyle=(0, (2, 1)) if dashed else "solid",
        )
    )  # fmt: skip


def _label(node: Node) -> str:
    parts = [one_line(node.about, 56), one_line(node.name, 60)]
    if isinstance(node.moment, datetime):
        parts.append(when(node.moment))
    if node.kind != "fork":
        parts.append(style.short(node.ref))
    if node.failed:
        parts.append("failed")
    return "  ·  ".join(filter(None, parts))
