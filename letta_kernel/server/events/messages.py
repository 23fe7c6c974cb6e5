"""A run's events as the messages of the REST API: step by step, or piece by piece as they stream."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile
from typing import Any

from letta_kernel.agent.open_step import spoken_id
from letta_kernel.ids import now
from letta_kernel.messages import (
    Event,
    Message,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    StreamReset,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from letta_kernel.records import Run
from letta_kernel.server.schemas.history import View, otid_of, to_messages, usage_of
from letta_kernel.server.schemas.messages import (
    AssistantMessage,
    CalledToolDelta,
    ErrorMessage,
    ReasoningMessage,
    StopReasonMessage,
    ToolCallMessage,
    ToolReturnMessage,
)
from letta_kernel.stop_reasons import failed

BLOCK = 1_000_000
"""Numbers that each step has for itself where its messages come in pieces: so a number tells the step."""

_LAST_ATTEMPT = 7  # in otids: comes after all others


class Anew(StreamReset):
    """The step that has begun is told from the store, whole, also to who knows pieces of it."""


class MessageStream:
    """Makes messages of the events of one run, the same with the same numbers whenever they are read.

    Parameters
    ----------
    view : which messages are shown, and how.
    tokens : pieces as they stream, instead of whole messages as each step ends.
    waits : names of tools whose calls wait for approval or for the client; they come whole.
    settled : calls the run begins by settling: their ids, and that of the message that made them. What they
        return comes as one message.
    """

    def __init__(
        self,
        view: View,
        *,
        tokens: bool = False,
        waits: Iterable[str] = (),
        settled: dict[str, str] | None = None,
    ) -> None:
        self.view = view
        self.tokens = tokens
        self.waits = frozenset(waits)
        self.settled = settled or {}
        self.run_id = ""
        self.count = 0  # of the last message; messages made so far, where they come whole
        self.after = 0  # the last message that who reads this has
        self._step_id = ""
        self._attempt = 0
        self._anew = False  # the step is told whole to who has pieces of it
        self._streamed: set[str] = set()  # message types that have streamed in this step
        self._calls: dict[int, str] = {}  # name of the call at each place
        self._parts: dict[tuple[type[Any], int], int] = {}  # numbers of this attempt's parts

    def of(self, event: Event) -> Iterator[Any]:
        """Yield what *event* says to a client, numbered."""
        for shape in self._shapes(event):
            self.count += 1
            if hasattr(shape, "seq_id"):
                shape.seq_id = self.count
            yield shape

    def _shapes(self, event: Event) -> Iterator[Any]:
        match event:
            case RunStarted():
                self.run_id = event.run_id
            case StepStarted():
                self._step_id, self._attempt, self._anew = event.step_id, 0, False
                self._streamed, self._calls, self._parts = set(), {}, {}
                self._enter(event.number + 1)
            case Anew():
                self._again()
            case StreamReset():
                self._attempt, self._calls, self._parts = self._attempt + 1, {}, {}
            case ReasoningDelta() if self.tokens:
                yield from self._piece(ReasoningMessage, reasoning=event.text)
            case TextDelta() if self.tokens:
                yield from self._piece(AssistantMessage, content=event.text)
            case ToolCallDelta() if self.tokens:
                yield from self._call_piece(event)
            case StepEnded():
                yield from self._step(event.messages)
            case RunEnded():
                yield from self._end(event)

    @property
    def _in_blocks(self) -> bool:
        return self.tokens or self.after >= BLOCK  # who followed it in pieces until now

    def _enter(self, number: int) -> None:
        """Number what follows as of this step, where messages come in pieces."""
        if self._in_blocks:
            self.count = max(self.count, number * BLOCK)

    def _again(self) -> None:
        """Number the whole messages of a step beyond the pieces that the reader has of it.

        Other otids than those pieces had tell that they begin anew.
        """
        if self._in_blocks and self.after // BLOCK == self.count // BLOCK:
            self.count, self._anew = max(self.count, self.after), True

    def _piece(self, shape: type[Any], place: int = 0, **content: Any) -> Iterator[Any]:
        message_id = spoken_id(self._step_id)
        part = self._parts.setdefault((shape, place), len(self._parts)) % 16
        piece = shape(
            id=message_id,
            date=now(),
            # After a failed attempt the pieces begin anew: another otid says so.
            otid=otid_of(message_id, part + 16 * (self._attempt % _LAST_ATTEMPT)),
            run_id=self.run_id,
            step_id=self._step_id,
            **content,
        )
        self._streamed.add(piece.message_type)
        if self.view.wants(piece.message_type):
            yield piece

    def _call_piece(self, event: ToolCallDelta) -> Iterator[Any]:
        name = self._calls[event.index] = event.name or self._calls.get(event.index, "")
        if name in self.waits or not name or name == self.view.speaking_tool:
            return
        delta = CalledToolDelta(
            name=event.name or None,
            arguments=event.arguments or None,
            tool_call_id=event.id or None,
        )
        yield from self._piece(ToolCallMessage, event.index, tool_call=delta, tool_calls=delta)

    def _step(self, messages: list[Message]) -> Iterator[Any]:
        waiting = {**self.settled, **held(messages)}
        said = [one for one in messages if not one.is_mark]  # the stop reason says it
        shapes = told(to_messages(said, self.view, waiting=waiting), self.settled)
        for number, shape in enumerate(shapes):
            is_return = shape.message_type == "tool_return_message"
            if self._anew and not is_return:
                shape.otid = otid_of(shape.id, number % 16 + 16 * _LAST_ATTEMPT)
            if is_return or shape.message_type not in self._streamed:
                yield shape

    def _end(self, event: RunEnded) -> Iterator[Any]:
        if event.error and failed(event.stop_reason):
            yield ErrorMessage(
                run_id=event.run_id, error_type=event.stop_reason, message=event.error
            )
        yield StopReasonMessage(stop_reason=event.stop_reason)
        yield usage_of(event.usage, event.steps, event.run_id)


def told(shapes: Iterable[Any], settled: Collection[str]) -> list[Any]:
    """Return what is told of a run: not the answers to its calls, and returns of those *settled* as one."""
    found: list[Any] = []
    first: ToolReturnMessage | None = None
    for shape in shapes:
        if isinstance(shape, ToolReturnMessage) and shape.tool_call_id in settled:
            if first is not None:
                first.tool_returns = [*(first.tool_returns or ()), *(shape.tool_returns or ())]
                continue
            first = shape
        if shape.message_type not in ("approval_response_message", "user_message"):
            found.append(shape)
    return found


def held(messages: Iterable[Message]) -> dict[str, str]:
    """Return the calls in *messages* (of whole steps) that were not run: their ids, and their message's."""
    calls: dict[str, str] = {}
    for message in messages:
        if message.role == "assistant":
            calls.update({call.id: message.id for call in message.tool_calls})
        elif message.role == "tool":
            calls.pop(message.tool_call_id or "", None)
    return calls


def stored(run: Run, messages: Iterable[Message], waiting: dict[str, str]) -> Iterator[Any]:
    """Yield the messages of a run that has ended, from what the history keeps of it."""
    said = [one for one in messages if one.role not in ("user", "system") and not one.is_mark]
    answered = {m.tool_call_id or "" for m in takewhile(lambda one: one.role == "tool", said)}
    shapes = told(to_messages(said, View(), waiting=waiting), answered)
    for number, shape in enumerate(shapes, start=1):
        shape.seq_id = number
        yield shape
    if run.error and run.stop_reason and failed(run.stop_reason):
        yield ErrorMessage(run_id=run.id, error_type=run.stop_reason, message=run.error)
    yield StopReasonMessage(stop_reason=run.stop_reason or "error")
    took = Usage(
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
        cached_tokens=run.cached_tokens,
        reasoning_tokens=run.reasoning_tokens,
    )
    yield usage_of(took, run.steps, run.id)
