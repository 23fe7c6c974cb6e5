"""Whoever bounds what models are asked: before each run, at each of its steps, and where there is no run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from letta_kernel.errors import LettaError
from letta_kernel.messages import Usage
from letta_kernel.records import Run


class Admission(Protocol):
    """Whoever bounds runs."""

    def check(self) -> None:
        """Raise what keeps whoever acts from beginning anything."""

    def begin(self, run: Run) -> None:
        """Let a run begin, or raise what says why not."""

    def took(self, run: Run, usage: Usage, over: bool = False) -> LettaError | None:
        """Take note of what a run has taken until now, or in all; return what keeps it from another step."""

    def end(self, run: Run) -> None:
        """Take note that a run is over, and of what it took; it may never have begun."""


@contextmanager
def counted(admission: Admission | None, agent_id: str) -> Iterator[Callable[[Usage], None]]:
    """Count what a model is asked outside of runs as a run's; what is yielded is told what it took.

    Raises
    ------
    QuotaError
        Whoever acts has used up what they may.
    """
    run = Run(agent_id=agent_id)
    if admission is not None:
        admission.begin(run)

    def took(usage: Usage) -> None:
        run.prompt_tokens, run.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        run.cost = usage.cost

    try:
        yield took
    finally:
        if admission is not None:
            admission.end(run)
