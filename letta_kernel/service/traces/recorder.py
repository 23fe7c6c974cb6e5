"""Spans of runs that go on, made of the events they tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from letta_kernel.messages import (
    Event,
    Message,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    ToolReturned,
    ToolStarted,
)
from letta_kernel.records import Run
from letta_kernel.service.traces import spans
from letta_kernel.service.traces.spans import Place, Span, Whose

HEARD = (RunStarted, StepStarted, ToolStarted, ToolReturned, StepEnded, RunEnded)
"""The events that spans are made of."""


@dataclass(slots=True)
class _Open:
    """A run that goes on; times are nanoseconds since 1970."""

    whose: Whose
    place: Place
    began: int
    said: list[Message]  # what is new to the model
    first: list[Message]  # what the run began with
    step: tuple[int, StepStarted] | None = None
    step_id: str = ""
    replied: int = 0  # when the model had given its reply
    tools: dict[str, tuple[int, ToolStarted]] = field(default_factory=dict)
    answered: list[Message] = field(default_factory=list)


class Recorder:
    """Makes spans of what it hears; one thread tells it all, in order.

    Parameters
    ----------
    content
        Whether what was said goes with the spans, without secrets.
    """

    def __init__(self, content: bool) -> None:
        self.content = content
        self._runs: dict[str, _Open] = {}
        self._said: dict[str, tuple[Run, list[Message]]] = {}

    def begins(self, run: Run, incoming: Sequence[Message]) -> None:
        """Take note of a run that is about to begin, and of what is said to the agent."""
        self._said[run.id] = run, [*incoming]

    def hear(self, moment: int, last: int, run_id: str, event: Event) -> Iterator[Span]:
        """Yield the spans that end with *event*; *last* is when the model's reply last went on, 0 if never."""
        if isinstance(event, RunStarted):
            self._runs[run_id] = self._open(moment, run_id, event)
            return
        run = self._runs.get(run_id)
        if run is None:
            return
        if isinstance(event, StepStarted):
            run.step, run.step_id, run.replied = (moment, event), event.step_id, 0
        elif isinstance(event, ToolStarted):
            run.replied = run.replied or last or moment
            run.tools[event.call_id] = moment, event
        elif isinstance(event, ToolReturned):
            yield self._tool(moment, run, event)
        elif isinstance(event, StepEnded):
            yield from self._step(last or moment, run, event)
        elif isinstance(event, RunEnded):
            yield from self._end(moment, run, event)
            del self._runs[run_id]

    def _open(self, moment: int, run_id: str, event: RunStarted) -> _Open:
        whose = Whose(run_id, event.agent_id, event.agent_name, event.conversation, event.model)
        run, said = self._said.pop(run_id, (None, []))
        place = Place(spans.trace_id(run_id))
        asking = self._runs.get(run.asked_by or "") if run is not None else None
        if run is not None and asking is not None:
            call = spans.call_span_id(asking.whose.run_id, asking.step_id, run.asked_call or "")
            place = Place(asking.place.trace_id, call)
        return _Open(whose, place, moment, said, [*said])

    def _tool(self, moment: int, run: _Open, event: ToolReturned) -> Span:
        began, started = run.tools.pop(event.call_id, (0, None))
        took = int(event.seconds * 1e9)
        began = began or moment - took
        arguments = result = None
        if self.content:
            arguments = json.dumps(started.arguments if started else {}, ensure_ascii=False)
            result = event.text
        return spans.tool_span(
            run.whose,
            Place(run.place.trace_id, run.whose.span_id),
            began,
            min(moment, began + took),
            step_id=run.step_id,
            call_id=event.call_id,
            tool=event.name,
            status=event.status,
            error=event.error,
            runs_in=started.runs_in if started else "",
            arguments=arguments,
            result=result,
        )

    def _step(self, moment: int, run: _Open, event: StepEnded) -> Iterator[Span]:
        begun, run.step = run.step, None
        spoken = [one for one in event.messages if one.role == "assistant"]
        run.answered = spoken or run.answered
        if begun is not None and event.number > 0:
            finish = spans.finish_of(spoken[-1] if spoken else None)
            yield spans.chat_span(
                run.whose,
                Place(run.place.trace_id, run.whose.span_id),
                begun[0],
                max(begun[0], run.replied or moment),
                step_id=event.step_id,
                number=event.number,
                model=event.model,
                usage=event.usage,
                first_token=event.first_token,
                finish=finish,
                said=run.said if self.content else None,
                answered=spoken,
            )
        run.said = [one for one in event.messages if one.role != "assistant"]

    def _end(self, moment: int, run: _Open, event: RunEnded) -> Iterator[Span]:
        if run.step is not None and run.step[1].number > 0:
            begun, step = run.step
            yield spans.chat_span(
                run.whose,
                Place(run.place.trace_id, run.whose.span_id),
                begun,
                moment,
                step_id=step.step_id,
                number=step.number,
                model=event.model,
                usage=spans.Usage(),
                error_type=event.stop_reason,
                error=event.error,
                said=run.said if self.content else None,
            )
        yield spans.run_span(
            run.whose,
            run.place,
            run.began,
            moment,
            usage=event.usage,
            steps=event.steps,
            stop_reason=event.stop_reason,
            error=event.error,
            said=run.first if self.content else None,
            answered=run.answered,
        )
