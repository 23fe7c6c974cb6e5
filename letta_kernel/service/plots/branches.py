"""An agent's past as a graph: its runs on one lane, the ends it left and its forks on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from letta_kernel.errors import InvalidInputError
from letta_kernel.service.plots.chart import Chart, Node
from letta_kernel.service.timeline import Parted, TimedRun, Timeline

_SHOWN = 80  # characters of what was said


@dataclass(slots=True)
class _Row:
    """A node before it has a lane: ``line`` is empty for the agent's own, else the id of what parted."""

    moment: datetime
    line: str
    node: Node
    after: str = ""


def branches(
    past: Timeline, forks: Mapping[str, Sequence[TimedRun]], left: Mapping[str, str]
) -> Chart:
    """Return a timeline as nodes, oldest first.

    Parameters
    ----------
    past : a page of the agent's line.
    forks : the runs that each fork made itself, oldest first, by its id.
    left : what was said first in each old end, by its id.

    Raises
    ------
    InvalidInputError
        Nothing was said yet.
    """
    if not past.runs:
        raise InvalidInputError(f"{past.agent.name} has no past yet: say something to it first.")
    rows = [_Row(one.run.created_at, "", _run(one, "run")) for one in past.runs]
    sides = [one for one in past.sides if not one.purpose]
    for side in sides:
        rows.append(_Row(side.created_at, side.id, _parted(side, left), side.after))
        if side.agent:
            for one in forks.get(side.id, ()):
                rows.append(_Row(one.run.created_at, side.id, _run(one, "fork_run", side.agent)))
    rows.sort(key=lambda row: row.moment)
    _link(rows)
    _spread(rows)
    ends = sum(row.node.kind == "end" for row in rows)
    said = f"{_count(len(past.runs), 'run')}, {_count(ends, 'end')} left by going back, "
    said += f"{_count(len(sides) - ends, 'fork')}."
    notes = ["There are older runs."] if past.more else []
    if past.origin:
        notes.insert(0, f"{past.agent.name} was forked from {past.origin}.")
    title = f"Branches of {past.agent.name}"
    nodes = [row.node for row in rows]
    return Chart("branches", title, "run", nodes=nodes, summary=said, notes=notes)


def _run(one: TimedRun, kind: str, fork: str = "") -> Node:
    about = " ".join(one.asked.split())[:_SHOWN]
    name = _count(len(one.steps), "step") + (f", said to {one.of}" if one.of else "")
    failed = one.run.status == "failed"
    node = Node("run", 0, None, name, about, one.run.id, one.run.created_at, failed)
    if kind == "fork_run":
        node.kind, node.name = "fork_run", f"{fork}: {name}"
    return node


def _parted(side: Parted, left: Mapping[str, str]) -> Node:
    if side.agent:
        return Node("fork", 0, None, f"fork {side.agent}", "", side.id, side.created_at)
    name = f"{side.reason}: {_count(side.said, 'message')} left"
    about = " ".join(left.get(side.id, "").split())[:_SHOWN]
    return Node("end", 0, None, name, about, side.id, side.created_at)


def _link(rows: Sequence[_Row]) -> None:
    """Let each node know which it goes on from."""
    last: dict[str, int] = {}
    runs = {row.node.ref: number for number, row in enumerate(rows) if row.node.kind == "run"}
    for number, row in enumerate(rows):
        row.node.parent = last.get(row.line, runs.get(row.after))
        last[row.line] = number


def _spread(rows: Sequence[_Row]) -> None:
    """Give each line a lane that no other has between where it parts and its last node."""
    spans: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        if row.line:
            parted = row.node.parent if row.node.parent is not None else -1
            begun, _ = spans.get(row.line, (parted, 0))
            spans[row.line] = (begun, number)
    lanes: dict[str, int] = {}
    for line, (begun, end) in sorted(spans.items(), key=lambda one: one[1][1] - one[1][0]):
        taken = {
            lanes[other]
            for other, (first, last) in spans.items()
            if other in lanes and first < end and begun < last
        }
        lanes[line] = next(one for one in range(1, len(spans) + 1) if one not in taken)
    for row in rows:
        row.node.lane = lanes.get(row.line, 0)


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}" + ("" if number == 1 else "s")
