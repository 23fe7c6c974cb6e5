"""The saved form of a run from what the store kept of it, for cells that missed how it went on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from letta_kernel.display.transcript import Transcript
from letta_kernel.messages import (
    ApprovalRequested,
    MemoryChanged,
    Message,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    ToolCall,
    ToolReturned,
    ToolStarted,
    Usage,
)
from letta_kernel.records import Run, Step
from letta_kernel.stop_reasons import StopReason

_STOPPED: dict[str, StopReason] = {"completed": "end_turn", "cancelled": "cancelled"}


@dataclass(frozen=True)
class Kept:
    """What the store kept of one run.

    Parameters
    ----------
    run
        The run.
    steps, messages
        All of it, in order.
    changes
        What it wrote into memory, each with the id of the step that did.
    """

    run: Run
    steps: Sequence[Step]
    messages: Sequence[Message]
    changes: Sequence[tuple[str, MemoryChanged]] = ()

    def waiting(self) -> list[ToolCall]:
        """Return the calls it ended with that a person had to decide about."""
        if self.run.stop_reason != "requires_approval":
            return []
        answered = {m.tool_call_id for m in self.messages if m.role == "tool"}
        made = [call for m in self.messages if m.role == "assistant" for call in m.tool_calls]
        return [call for call in made if call.id not in answered]


def replay(parts: Sequence[Kept], agent_name: str, *, label: str = "") -> dict[str, Any]:
    """Return the snapshot of a run that has ended, or as far as it has come.

    Parameters
    ----------
    parts
        The run; if it stopped for a person's word, then the runs that went on from it.
    agent_name
        What its agent is called now.
    label
        What is said beside every answer of its model.

    Notes
    -----
    What tools printed and displayed is not kept by the store: the text the model saw stands for it.
    """
    said = (m.content for m in parts[0].messages if m.role in ("user", "event"))
    transcript = Transcript(next(said, ""))
    before: list[Message] = []
    for part in parts:
        _play(transcript, part, before, agent_name, label)
        before += part.messages
    return transcript.snapshot()


def _play(
    transcript: Transcript, part: Kept, before: list[Message], agent_name: str, label: str
) -> None:
    run, messages = part.run, part.messages
    transcript.handle(
        RunStarted(
            run_id=run.id,
            agent_id=run.agent_id,
            agent_name=agent_name,
            model=run.model,
            model_label=label,
        )
    )
    approved = {call.id for message in before for call in message.tool_calls}
    for answer in messages:
        if answer.role == "tool" and answer.tool_call_id in approved:
            _tool(transcript, [], before, answer)
    for step in part.steps:
        own = [message for message in messages if message.step_id == step.id]
        transcript.handle(
            StepStarted(step_id=step.id, number=step.number, retrieved=step.retrieved)
        )
        transcript.handle(_ended(step, [m for m in own if m.role == "assistant"]))
        written = [change for step_id, change in part.changes if step_id == step.id]
        for answer in (m for m in own if m.role == "tool" and m.tool_call_id not in approved):
            _tool(transcript, step.tool_stats, own, answer)
        for change in written:
            transcript.handle(change)
    if run.status in ("created", "running"):
        return
    if waiting := part.waiting():
        transcript.handle(ApprovalRequested(calls=waiting))
    transcript.handle(
        RunEnded(
            run_id=run.id,
            stop_reason=run.stop_reason or _STOPPED.get(run.status, "error"),
            error=run.error,
            steps=run.steps,
            usage=_usage(run),
            seconds=run.seconds or 0.0,
            first_token=run.first_token,
            model=run.model,
        )
    )


def _tool(
    transcript: Transcript,
    stats: Sequence[dict[str, Any]],
    own: Sequence[Message],
    answer: Message,
) -> None:
    call_id, name = answer.tool_call_id or "", answer.name or "tool"
    calls = {call.id: call for message in own for call in message.tool_calls}
    timed = [one for one in stats if one.get("name") == name]
    given = _arguments(calls[call_id].arguments) if call_id in calls else None
    if given is not None:
        transcript.handle(ToolStarted(call_id=call_id, name=name, arguments=given, runs_in=""))
    status = answer.status or "ok"
    transcript.handle(
        ToolReturned(
            call_id=call_id,
            name=name,
            status=status,
            text=answer.content,
            seconds=float((timed[0].get("seconds") if timed else 0.0) or 0.0),
            error=answer.content if status == "error" else None,
        )
    )


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _ended(step: Step, messages: list[Message]) -> StepEnded:
    return StepEnded(
        step_id=step.id,
        number=step.number,
        messages=messages,
        usage=_usage(step),
        seconds=step.seconds or 0.0,
        first_token=step.first_token,
        model=step.model,
    )


def _usage(record: Run | Step) -> Usage:
    return Usage(**{name: getattr(record, name) for name in Usage.model_fields})
