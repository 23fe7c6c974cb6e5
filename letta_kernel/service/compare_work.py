"""What the runs of a comparison share while they go on: how far they are, and what they may take together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from letta_kernel.agent.settings import Budget
from letta_kernel.messages import ANSWER_TOOL, Event, StepEnded, ToolStarted, Usage
from letta_kernel.models.base import Cancel
from letta_kernel.pictures.picture import Picture
from letta_kernel.service.compared import ComparedRun, Comparison
from letta_kernel.tools.execute import ToolHost


class SharedBudget:
    """Shares what all runs of a comparison may take together: each gets an equal part of what is left."""

    def __init__(self, cost: float | None, tokens: int | None, runs: int) -> None:
        self._cost, self._tokens, self._waiting = cost, tokens, runs
        self._lock = threading.Lock()

    def take(self) -> Budget:
        """Take one run's share."""
        with self._lock:
            count, self._waiting = max(1, self._waiting), self._waiting - 1
            share = Budget(
                None if self._cost is None else max(0.0, self._cost) / count,
                None if self._tokens is None else max(0, self._tokens) // count,
            )
            self._spend(share.cost or 0.0, share.tokens or 0)
            return share

    def give_back(self, share: Budget, usage: Usage) -> None:
        """Put back what of a share was not taken."""
        with self._lock:
            self._spend((usage.cost or 0.0) - (share.cost or 0.0), 0)
            self._spend(0.0, usage.total_tokens - (share.tokens or 0))

    def _spend(self, cost: float, tokens: int) -> None:
        if self._cost is not None:
            self._cost -= cost
        if self._tokens is not None:
            self._tokens -= tokens


@dataclass(slots=True)
class Work:
    """What the runs of a comparison share while they go on; may be told of from several threads."""

    compared: Comparison
    pictures: Sequence[Picture]
    max_steps: int | None
    host: Callable[[str], ToolHost | None]
    cancel: Cancel
    budget: SharedBudget
    _done: int = 0
    _doing: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def share(self) -> float:
        """The share of the runs that are over."""
        return self._done / max(1, len(self.compared.runs))

    def begins(self, run: ComparedRun) -> None:
        """Take note that a run begins."""
        with self._lock:
            self._doing[run.number] = "begins"

    def hears(self, run: ComparedRun, event: Event) -> None:
        """Take note of what a run does."""
        match event:
            case ToolStarted() if event.name != ANSWER_TOOL:
                said = f"calls {event.name}"
            case StepEnded():
                said = f"step {event.number} done"
            case _:
                return
        with self._lock:
            if run.number in self._doing:
                self._doing[run.number] = said

    def ended(self, run: ComparedRun) -> None:
        """Take note that a run is over."""
        with self._lock:
            self._doing.pop(run.number, None)
            self._done += 1

    def told(self) -> str:
        """Return in a line how far it has come."""
        with self._lock:
            doing = [f"{number}: {said}" for number, said in sorted(self._doing.items())]
            return " · ".join([f"{self._done} of {len(self.compared.runs)}", *doing])
