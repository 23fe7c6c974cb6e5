"""What steps took: tokens read and written, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from letta_kernel.errors import InvalidInputError
from letta_kernel.records import Step, WholeRun
from letta_kernel.service.plots.chart import Chart, Mark, Pane, Place, Series

Walked = Sequence[tuple[WholeRun, Sequence[Step]]]
"""Runs, oldest first, each with its steps."""
_HUES = {"read": 0, "written": 1, "read, from the cache": 5, "thought": 4}
_SHOWN = 80  # characters of what was said to a run


def places_of(walked: Walked) -> tuple[list[Place], list[Mark]]:
    """Return the steps of runs as places of an axis, numbered through, and where each run begins."""
    places: list[Place] = []
    marks: list[Mark] = []
    for run, steps in walked:
        for number, step in enumerate(steps):
            at = len(places) + 1
            if not number:
                marks.append(Mark(at - 0.5, "run", run.asked[:_SHOWN]))
            about = run.asked[:_SHOWN]
            places.append(Place(at, f"step {at}", about, step.id, step.created_at))
    return places, marks


def tokens(name: str, walked: Walked) -> Chart:
    """Return the tokens of each step, and what the steps cost together where that is known."""
    steps = [step for _, one in walked for step in one]
    if not steps:
        raise InvalidInputError(f"{name} has made no step yet: say something to it first.")
    cached = [min(step.cached_tokens, step.prompt_tokens) for step in steps]
    thought = [min(step.reasoning_tokens, step.completion_tokens) for step in steps]
    parts = {
        "read, from the cache": cached,
        "read": [s.prompt_tokens - some for s, some in zip(steps, cached, strict=True)],
        "thought": thought,
        "written": [s.completion_tokens - some for s, some in zip(steps, thought, strict=True)],
    }
    shown = [
        Series(part, [*values], hue=_HUES[part]) for part, values in parts.items() if any(values)
    ]
    panes = [Pane("bars", "tokens", shown or [Series("read", [*parts["read"]])])]
    if any(step.cost for step in steps):
        panes.append(_together(steps))
    places, marks = places_of(walked)
    into = sum(step.prompt_tokens for step in steps)
    out = sum(step.completion_tokens for step in steps)
    said = f"{_count(len(steps), 'step')} read {into:,} tokens"
    if any(cached):
        said += f", {sum(cached):,} of them from the cache,"
    said += f" and wrote {out:,}."
    title = f"Tokens of each step of {name}"
    return Chart("tokens", title, "step", places, panes, marks, summary=said)


def cost(name: str, walked: Walked) -> Chart:
    """Return what each step cost, and what they did together, in US dollars.

    Raises
    ------
    InvalidInputError
        No price is known for any of them.
    """
    steps = [step for _, one in walked for step in one]
    known = [step.cost for step in steps if step.cost is not None]
    if not known:
        raise InvalidInputError(
            f"No price is known for what {name} has done; a plot of its tokens can be shown."
        )
    each = Pane("bars", "US dollars", [Series("a step", [step.cost for step in steps])])
    places, marks = places_of(walked)
    notes = []
    if missing := sum(step.cost is None and step.prompt_tokens > 0 for step in steps):
        notes.append(f"No price is known for {_count(missing, 'step')}.")
    said = f"{_count(len(steps), 'step')} cost ${sum(known):.4g}, the dearest ${max(known):.4g}."
    panes = [each, _together(steps)]
    return Chart("cost", f"Cost of {name}", "step", places, panes, marks, summary=said, notes=notes)


def _together(steps: Sequence[Step]) -> Pane:
    summed: list[float | None] = [*accumulate(step.cost or 0.0 for step in steps)]
    return Pane("line", "US dollars", [Series("cost so far", summed, hue=2)])


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}" + ("" if number == 1 else "s")
