"""A step that is not committed yet: what the model has said in it, and how it ends when it is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.agent.partial_message import PartialMessage
from letta_kernel.agent.step_record import StepRecord
from letta_kernel.messages import (
    DID_NOT_HAPPEN,
    MAY_HAVE_HAPPENED,
    Edit,
    Event,
    Message,
    StepEnded,
    StepStarted,
    ToolCall,
    Usage,
)
from letta_kernel.records import Step


@dataclass(slots=True)
class OpenStep:
    """A step from the call of the model to its commit.

    ``held`` is shown to the person once it is saved; ``edits`` is what they changed of what the model was sent.
    """

    record: StepRecord
    partial: PartialMessage
    started: float
    assistant: Message | None = None
    held: list[Event] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    first_token: float | None = None
    label: str = ""  # of the model that answered
    edits: list[Edit] | None = None

    @property
    def step(self) -> Step:
        """The record of the step."""
        return self.record.step

    def message(self, **fields: Any) -> Message:
        """Return a message of this step."""
        step = self.step
        return Message(agent_id=step.agent_id, run_id=step.run_id, step_id=step.id, **fields)

    def event(self, name: str, text: str) -> Message:
        """Return an event that tells the model something in the next step."""
        return self.message(role="event", name=name, content=text)

    def answer(self, **fields: Any) -> None:
        """Take what the model said as the step's assistant message."""
        said = spoken_id(self.step.id)
        self.assistant = self.message(id=said, role="assistant", edits=self.edits, **fields)
        self.record.unsaved.append(self.assistant)

    def started_event(self) -> StepStarted:
        """Return the event that the step begins."""
        step = self.step
        return StepStarted(
            step_id=step.id,
            number=step.number,
            retrieved=step.retrieved,
            beside=[one.model_dump() for one in step.beside],
        )

    def ended_event(self, messages: list[Message]) -> StepEnded:
        """Return the event that the step is committed, with all its *messages*."""
        step = self.step
        return StepEnded(
            step_id=step.id,
            number=step.number,
            messages=messages,
            usage=self.usage,
            seconds=step.seconds or 0.0,
            first_token=self.first_token,
            model=step.model,
            model_label=self.label,
        )

    def note_usage(self) -> None:
        """Write down with the step what the model's reply took."""
        step, usage = self.record.step, self.usage
        step.prompt_tokens, step.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        step.cached_tokens, step.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
        step.cost, step.first_token = usage.cost, self.first_token

    def cut_off(self, pending: Sequence[ToolCall]) -> bool:
        """Keep what was said, and give each call without a result one; False if nothing was said or done.

        *pending* are the calls of the step before, which this one carries out if the model said nothing.
        """
        record = self.record
        if self.assistant is None and self.partial.text:
            self.answer(
                content=self.partial.text, reasoning=self.partial.reasoning, interrupted=True
            )
        answered = {m.tool_call_id for m in (*record.saved, *record.unsaved)}
        for call in self.assistant.tool_calls if self.assistant else pending:
            if call.id not in answered:
                result = self.message(
                    role="tool",
                    content=MAY_HAVE_HAPPENED if call.id in record.begun else DID_NOT_HAPPEN,
                    name=call.name,
                    tool_call_id=call.id,
                    status="interrupted",
                )
                record.unsaved.append(result)
        return bool(record.saved or record.unsaved)


def spoken_id(step_id: str) -> str:
    """Return the id of what the model says in a step. It is known before it is said: streams need one."""
    return "message-" + step_id.removeprefix("step-")
