"""The figures below a transcript: how it ended, what it took, and what it cost."""

from __future__ import annotations

from typing import Any

from letta_kernel.display.clean import one_line
from letta_kernel.messages import GroupEnded, RunEnded, StepEnded


class Footer:
    """The figures of a run so far, with those of the runs that it goes on from."""

    def __init__(self) -> None:
        self._figures: dict[str, Any] = {
            "stop_reason": None,
            "error": None,
            "steps": 0,
            "seconds": None,
            "first_token": None,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
            "cost": None,
        }
        self._before = self.figures()  # of runs this one goes on from

    def figures(self) -> dict[str, Any]:
        """Return the figures as the snapshot has them: times in seconds, the cost in dollars."""
        return dict(self._figures)

    def go_on(self) -> None:
        """Let another run begin, whose figures come on top."""
        self._before = self.figures()

    def add(self, event: StepEnded) -> None:
        """Add the figures of a step."""
        figures, usage = self._figures, event.usage
        figures["steps"] += event.number > 0
        figures["seconds"] = (figures["seconds"] or 0.0) + event.seconds
        if figures["first_token"] is None:
            figures["first_token"] = event.first_token
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"):
            figures[name] += getattr(usage, name)
        if usage.cost is not None:
            figures["cost"] = (figures["cost"] or 0.0) + usage.cost

    def end(self, event: RunEnded | GroupEnded) -> None:
        """Put what the end of the run says in place of what its steps have added up to."""
        figures = {"steps": event.steps, "seconds": event.seconds, **event.usage.model_dump()}
        before = self._before
        self._figures.update(
            {name: _sum(before.get(name), value) for name, value in figures.items()},
            stop_reason=event.stop_reason,
            error=one_line(event.error, 1_000) if event.error else None,
        )
        if isinstance(event, RunEnded):
            first = before["first_token"]
            self._figures["first_token"] = event.first_token if first is None else first

    def interrupt(self) -> None:
        """Say that it was stopped, where no end was told."""
        self._figures["stop_reason"] = self._figures["stop_reason"] or "cancelled"


def _sum(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other
