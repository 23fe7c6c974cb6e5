"""What came of a comparison: how each variant answered, as its run was heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.errors import NotFoundError
from letta_kernel.ids import new_id
from letta_kernel.messages import (
    ANSWER_TOOL,
    ApprovalRequested,
    Event,
    MemoryChanged,
    RunEnded,
    RunStarted,
    StepEnded,
    ToolReturned,
    Usage,
)
from letta_kernel.records import AgentState
from letta_kernel.service.variants import Variant
from letta_kernel.stop_reasons import failed


@dataclass(slots=True)
class ComparedRun:
    """How one variant answered once.

    Attributes
    ----------
    number : by which it is kept, from 1.
    column, repeat : its variant's place, from 0, and which of the repeats it is, from 1.
    agent_id : the fork's; empty where none could be made.
    problem : why there is no answer, or not the whole; empty if all went well.
    calls : each tool that was called, and how that ended.
    changed : labels of the memory blocks it wrote.
    memory : the text of each block at the end, by label.
    seconds, first_token : in seconds.
    """

    number: int
    column: int
    repeat: int
    variant: Variant
    agent_id: str = ""
    run_id: str = ""
    model: str = ""
    answer: str = ""
    problem: str = ""
    stop_reason: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    memory: dict[str, str] = field(default_factory=dict)
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    first_token: float | None = None


@dataclass(slots=True)
class Comparison:
    """What came of one message to several variants.

    Attributes
    ----------
    variants : one for each column.
    runs : by their numbers.
    before : the text of each block before, by the agent's id and label.
    kept : the number of the run that was kept, 0 if all were thrown away, None as long as that is open.
    decided : called with the comparison when it is.
    """

    text: str
    variants: list[Variant]
    runs: list[ComparedRun]
    agents: dict[str, AgentState]
    before: dict[str, dict[str, str]]
    id: str = field(default_factory=lambda: new_id("comparison"))
    kept: int | None = None
    seconds: float = 0.0
    decided: list[Callable[[Comparison], None]] = field(default_factory=list)

    def agent_of(self, run: ComparedRun) -> AgentState:
        """Return the agent that a run's fork was made of."""
        return self.agents[run.variant.agent]

    def run(self, number: int) -> ComparedRun:
        """Return the run of that number; `NotFoundError` if there is none."""
        if not 1 <= number <= len(self.runs):
            raise NotFoundError(f"There is no run {number}: they are 1 to {len(self.runs)}.")
        return self.runs[number - 1]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each run, in plain values."""
        return [self._row(run) for run in self.runs]

    def _row(self, run: ComparedRun) -> dict[str, Any]:
        one = run.variant
        return {
            "number": run.number,
            "variant": one.label or self.agent_of(run).name,
            "repeat": run.repeat,
            "agent": self.agent_of(run).name,
            "model": run.model or one.model or "",
            "instructions": one.instructions,
            "settings": dict(one.settings),
            "memory": one.memory is not False,
            "tools": one.tools or "on",
            "answer": run.answer,
            "problem": run.problem,
            "stop_reason": run.stop_reason,
            "steps": run.steps,
            "calls": [name for name, _ in run.calls],
            "failed_calls": [name for name, status in run.calls if status != "ok"],
            "memory_changed": list(run.changed),
            "prompt_tokens": run.usage.prompt_tokens,
            "completion_tokens": run.usage.completion_tokens,
            "cached_tokens": run.usage.cached_tokens,
            "cost": run.usage.cost,
            "seconds": run.seconds,
            "first_token": run.first_token,
            "kept": self.kept == run.number,
            "agent_id": run.agent_id,
            "run_id": run.run_id,
        }


class Heard:
    """What is heard of one run."""

    def __init__(self, run: ComparedRun) -> None:
        self._run = run
        self._asked: list[str] = []
        self._ended: RunEnded | None = None
        self._said: list[str] = []

    def take(self, event: Event) -> None:
        """Take note of what the run tells."""
        run = self._run
        match event:
            case RunStarted():
                run.run_id, run.model = event.run_id, event.model
            case StepEnded():
                said = (one.said for one in event.messages if one.role == "assistant")
                self._said += [text for text in said if text.strip()]
            case ToolReturned() if event.name != ANSWER_TOOL:
                run.calls.append((event.name, event.status))
            case MemoryChanged() if event.label not in run.changed:
                run.changed.append(event.label)
            case ApprovalRequested():
                self._asked = list(dict.fromkeys(call.name for call in event.calls))
            case RunEnded():
                self._ended = event
                run.answer = "\n\n".join(self._said)
                run.stop_reason, run.steps = event.stop_reason, event.steps
                run.usage, run.seconds = event.usage, event.seconds
                run.first_token, run.model = event.first_token, event.model or run.model

    def problem(self) -> str:
        """Return in one line why there is no answer, or not the whole; empty if there is."""
        ended = self._ended
        if self._asked:
            names = ", ".join(self._asked)
            return f"It would have asked for your approval of {names}; a comparison asks nobody."
        if ended is None or ended.stop_reason == "cancelled":
            return "Stopped before it had answered."
        if failed(ended.stop_reason):
            return ended.error or ended.stop_reason
        return ended.error or ""
