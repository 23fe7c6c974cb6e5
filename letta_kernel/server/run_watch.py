"""What a server counts and logs of its runs: how many, how long, how they ended."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from letta_kernel import metrics
from letta_kernel.messages import (
    Event,
    RunEnded,
    RunQueued,
    RunStarted,
    StepEnded,
    ToolReturned,
    ToolStarted,
    Usage,
)
from letta_kernel.server import logs
from letta_kernel.service import AgentService

_NOWHERE = "none"


class RunWatch:
    """Listens to the runs of one service; they are on their own threads."""

    def __init__(self, service: AgentService) -> None:
        self.service = service
        self._events = service.events
        self._waiting: set[str] = set()  # runs in the queue of an agent
        self._places: dict[tuple[str, str], str] = {}  # where calls run, by run and call
        self._heard: dict[type, Callable[[str, Any], None]] = {
            RunQueued: self._queued,
            RunStarted: self._started,
            ToolStarted: self._tool_started,
            ToolReturned: self._tool_returned,
            StepEnded: self._step_ended,
            RunEnded: self._ended,
        }
        service.events.listeners.append(self.hear)
        _everyone.add(self)

    def close(self) -> None:
        """Listen no more."""
        _everyone.discard(self)
        with suppress(ValueError):
            self._events.listeners.remove(self.hear)

    def hear(self, agent_id: str, run_id: str, event: Event) -> None:
        """Take note of an event; of most there is nothing to note."""
        heard = self._heard.get(type(event))
        if heard is not None:
            heard(run_id, event)

    def going(self) -> int:
        """Return how many runs go on."""
        return sum(run.running for run in self._events.runs())

    def waiting(self) -> int:
        """Return how many runs wait until their agents are free."""
        for run_id in tuple(self._waiting):
            found = self._events.run(run_id)
            if found is None or found.over:
                self._waiting.discard(run_id)
        return len(self._waiting)

    def _queued(self, run_id: str, event: RunQueued) -> None:
        self._waiting.add(run_id)

    def _started(self, run_id: str, event: RunStarted) -> None:
        self._waiting.discard(run_id)
        metrics.RUNS_STARTED.add()
        logs.event("run started", run_id=run_id, model=metrics.model_label(event.model))

    def _tool_started(self, run_id: str, event: ToolStarted) -> None:
        self._places[run_id, event.call_id] = event.runs_in

    def _tool_returned(self, run_id: str, event: ToolReturned) -> None:
        place = self._places.pop((run_id, event.call_id), _NOWHERE)
        metrics.TOOL_CALLS.add(place, event.status)
        if place != _NOWHERE:
            metrics.TOOL_SECONDS.observe(event.seconds, place)

    def _step_ended(self, run_id: str, event: StepEnded) -> None:
        metrics.STEPS.add()
        _count(event.usage)

    def _ended(self, run_id: str, event: RunEnded) -> None:
        self._waiting.discard(run_id)
        for key in [one for one in tuple(self._places) if one[0] == run_id]:
            self._places.pop(key, None)
        metrics.RUNS_ENDED.add(event.stop_reason)
        metrics.RUN_SECONDS.observe(event.seconds)
        failed = event.error is not None
        usage = event.usage
        logs.event(
            "run ended",
            logging.WARNING if failed else logging.INFO,
            run_id=run_id,
            model=metrics.model_label(event.model),
            stop_reason=event.stop_reason,
            steps=event.steps,
            ms=round(event.seconds * 1000, 1),
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            cost=usage.cost,
        )


_everyone: weakref.WeakSet[RunWatch] = weakref.WeakSet()


def services() -> list[AgentService]:
    """Return the projects that this process serves."""
    return [one.service for one in _everyone]


def totals() -> dict[str, float]:
    """Return what goes on in all projects of this process just now: runs, and connections to their stores."""
    every = list(_everyone)
    found: dict[str, float] = {
        "letta_runs_going": sum(one.going() for one in every),
        "letta_runs_waiting": sum(one.waiting() for one in every),
    }
    pools = [pool for one in every if (pool := one.service.database.connections()) is not None]
    if pools:
        found["letta_store_connections_busy"] = sum(busy for busy, _ in pools)
        found["letta_store_connections_limit"] = sum(most for _, most in pools)
    return found


def _count(usage: Usage) -> None:
    for direction, amount in (
        ("in", usage.prompt_tokens),
        ("out", usage.completion_tokens),
        ("cached", usage.cached_tokens),
        ("reasoning", usage.reasoning_tokens),
    ):
        if amount:
            metrics.TOKENS.add(direction, amount=amount)
    if usage.cost:
        metrics.COST.add(amount=usage.cost)
