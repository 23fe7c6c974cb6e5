"""What a plot shows: series of figures with their units, without a word on how it is drawn.

`display.plots` draws it with matplotlib, ``labextension/src/ui/chart.ts`` as SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

Form = Literal["bars", "river", "stairs", "line", "rows", "dots"]


@dataclass(slots=True)
class Place:
    """Where values stand: a step, a change by hand between two steps, or a passage.

    ``at`` is its number on the axis, ``about`` what was said or stands there, ``ref`` the id of the step or
    passage.
    """

    at: float
    name: str
    about: str = ""
    ref: str = ""
    moment: datetime | None = None
    weak: bool = False  # a passage that does not match well enough to be shown


@dataclass(slots=True)
class Series:
    """Values of one thing, one for each place; None where it was not there, or is not known.

    ``most`` is what it may be at most, ``changed`` the places (by their index) at which a version of it begins.
    ``hue`` is the number of its colour, so that one thing has one colour whatever else there is.
    """

    name: str
    values: list[float | None]
    most: float | None = None
    changed: list[int] = field(default_factory=list)
    hue: int = 0


@dataclass(slots=True)
class Pane:
    """Series that share an axis.

    Bars and rivers are stacked, in the order of the series, from below; rows are stacked from left to right,
    what is below zero to the left. ``limit`` is a line across, ``limit_name`` what it is; ``over`` is a line
    drawn over what is stacked.
    """

    form: Form
    unit: str
    series: list[Series]
    limit: float | None = None
    limit_name: str = ""
    over: Series | None = None


@dataclass(slots=True)
class Mark:
    """Something that happened at a place of the axis: a run began, or history was compacted."""

    at: float
    kind: Literal["run", "compaction"]
    name: str = ""


@dataclass(slots=True)
class Node:
    """A run, an old end or a fork in a graph of branches, oldest first; ``lane`` 0 is the agent's own line.

    ``parent`` is the index of the node that it goes on from, None where that is older than what is shown.
    """

    kind: Literal["run", "end", "fork", "fork_run"]
    lane: int
    parent: int | None
    name: str
    about: str = ""
    ref: str = ""
    moment: datetime | None = None
    failed: bool = False


@dataclass(slots=True)
class Chart:
    """A plot's data: panes one above the other over the same places, or a graph of nodes.

    ``axis`` says what the places are; ``summary`` says in a sentence what is seen, ``notes`` what is not known.
    """

    kind: str
    title: str
    axis: str = "step"
    places: list[Place] = field(default_factory=list)
    panes: list[Pane] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    summary: str = ""
    notes: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return all of it as a dict."""
        return asdict(self)

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return its columns and rows: what it shows, in numbers."""
        if self.nodes:
            return ["what", "said", "when", "id"], [
                [one.name, one.about, one.moment, one.ref] for one in reversed(self.nodes)
            ]
        series = [
            (pane, one)
            for pane in self.panes
            for one in (*pane.series, *([pane.over] if pane.over is not None else ()))
        ]
        columns = [self.axis, *(f"{one.name} ({pane.unit})" for pane, one in series), "about"]
        rows: list[list[object]] = [
            [place.name, *(one.values[number] for _, one in series), place.about]
            for number, place in enumerate(self.places)
        ]
        return columns, rows


def total(pane: Pane) -> list[float]:
    """Return the sums of a pane's series, one for each place."""
    return [sum(one or 0.0 for one in column) for column in _columns(pane.series)]


def _columns(series: Sequence[Series]) -> list[tuple[float | None, ...]]:
    return list(zip(*(one.values for one in series), strict=True))
