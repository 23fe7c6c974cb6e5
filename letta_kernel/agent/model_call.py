"""One model call of a step: room is made in the window, the reply is streamed into a partial message."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from pydantic_core import from_json

from letta_kernel.agent.calls import CallRunner
from letta_kernel.agent.context import SEND, THINKING
from letta_kernel.agent.journal import Journal, StepRecord
from letta_kernel.agent.window import OVERHEAD, TARGET, TRIGGER, Compactor, Mode, Window
from letta_kernel.messages import (
    Event,
    Message,
    Notice,
    ReasoningDelta,
    StreamReset,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from letta_kernel.models import structured
from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatModel,
    ChatRequest,
    ModelError,
    Piece,
    ReasoningPiece,
    Reply,
    Reset,
    ResponseFormat,
    Retrying,
    TextPiece,
)
from letta_kernel.models.written_calls import has_tag, may_be_call, read_calls
from letta_kernel.records import AgentState, Step
from letta_kernel.stop_reasons import StopReason


class PartialMessage:
    """Collects the pieces of one reply and turns them into events.

    In heartbeat style the answer and the inner thoughts arrive inside a call's arguments; they are read
    out of the half-written JSON, so that a person sees them as they stream.
    """

    def __init__(self, heartbeat: bool) -> None:
        self.text = ""
        self.reasoning = ""
        self._heartbeat = heartbeat
        self._calls: dict[int, _PartialCall] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing has been shown yet."""
        return not (self.text or self.reasoning or self._calls)

    def take(self, piece: Piece) -> Iterator[Event]:
        """Add *piece*; yield the events that show it."""
        if isinstance(piece, TextPiece):
            self.text += piece.text
            yield TextDelta(text=piece.text)
        elif isinstance(piece, ReasoningPiece):
            self.reasoning += piece.text
            yield ReasoningDelta(text=piece.text)
        elif isinstance(piece, CallPiece):
            call = self._calls.setdefault(piece.index, _PartialCall())
            call.name = call.name or piece.name
            call.arguments += piece.arguments
            if self._heartbeat:
                yield from self._unwrap(call)
            if not (self._heartbeat and call.name == SEND):
                call.held.append(
                    ToolCallDelta(
                        index=piece.index, id=piece.id, name=piece.name, arguments=piece.arguments
                    )
                )
            if call.acts or not self._heartbeat:
                yield from call.held
                call.held.clear()

    def _unwrap(self, call: _PartialCall) -> Iterator[Event]:
        try:
            seen = from_json(call.arguments or "{}", allow_partial="trailing-strings")
        except ValueError:
            return
        if not isinstance(seen, dict):
            return
        call.acts = any(name != THINKING for name in seen)
        thought = seen.get(THINKING)
        if isinstance(thought, str) and len(thought) > call.thought:
            fresh = thought[call.thought :]
            apart = "\n" if self.reasoning and not call.thought else ""  # another call's thought
            call.thought = len(thought)
            self.reasoning += apart + fresh
            yield ReasoningDelta(text=fresh)
        said = seen.get("message") if call.name == SEND else None
        if isinstance(said, str) and len(said) > call.said:
            fresh, call.said = said[call.said :], len(said)
            self.text += fresh
            yield TextDelta(text=fresh)


class _PartialCall:
    __slots__ = ("acts", "arguments", "held", "name", "said", "thought")

    def __init__(self) -> None:
        self.name = ""
        self.arguments = ""
        self.thought = 0  # characters already shown
        self.said = 0
        self.held: list[Event] = []  # what is shown only after the thought that leads to it
        self.acts = False


Turn = Generator[Event, None, None]
OVERFLOW_TRIES = 3


class SystemPromptTooLarge(ModelError):
    """The prefix alone does not fit into the model's window."""


def stop_reason_of(error: ModelError) -> StopReason:
    """Return why a run ends whose model call failed for good."""
    if isinstance(error, SystemPromptTooLarge):
        return "context_window_overflow_in_system_prompt"
    if error.kind in ("broken_stream", "empty"):
        return "invalid_llm_response"
    return "llm_api_error"


class Cancelled(Exception):
    """The run was cancelled from another thread."""


def check_cancel(cancel: Cancel) -> None:
    """Raise `Cancelled` if *cancel* was thrown."""
    if cancel.cancelled:
        raise Cancelled


@dataclass(slots=True)
class Work:
    """The step being worked on; ``held`` is what a person is shown once it is saved."""

    record: StepRecord
    partial: PartialMessage
    started: float
    assistant: Message | None = None
    held: list[Event] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    first_token: float | None = None
    label: str = ""  # of the model that answered

    @property
    def step(self) -> Step:
        """The step's own record."""
        return self.record.step

    def note_usage(self) -> None:
        """Write down with the step what the model's reply took."""
        step, usage = self.record.step, self.usage
        step.prompt_tokens, step.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        step.cached_tokens, step.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
        step.cost, step.first_token = usage.cost, self.first_token


@dataclass(slots=True)
class ModelCaller:
    """Calls the model for one run (the fields are `LettaAgent`'s)."""

    state: AgentState
    system: str
    window: Window
    model: ChatModel
    calls: CallRunner
    journal: Journal
    beside: dict[str, str] | None = None
    params: dict[str, Any] | None = None
    compaction: Mode = "sliding_window"
    format: ResponseFormat | None = None  # of the answer
    spent: Usage = field(default_factory=Usage)  # on summaries, not yet counted to a step
    _beside_tokens: int | None = None
    _pictures: dict[str, str] = field(
        default_factory=dict
    )  # data URLs of those in sight, by their ids

    def ask(self, work: Work, cancel: Cancel) -> Generator[Event, None, Reply]:
        """Call the model and stream its reply into ``work.partial``; compact on an overflow and try again.

        Raises
        ------
        ModelError
            The call failed for good.
        """
        for attempt in range(1, OVERFLOW_TRIES + 1):
            try:
                reply = yield from self._stream(work, cancel)
                break
            except ModelError as error:
                if error.kind != "context_overflow" or attempt == OVERFLOW_TRIES:
                    raise
                yield Notice(text="The conversation outgrew the model's window; compacting it.")
                room = int(self._room() * 0.5**attempt)
                before = self.window.tokens()
                compacted = yield from self._compact(room, cancel)
                self.window.squeeze(room)
                if not compacted and self.window.tokens() >= before:
                    raise
        yield from self._read_written_calls(work, reply)
        return reply

    def _read_written_calls(self, work: Work, reply: Reply) -> Turn:
        """Take a reply that is nothing but a call written as text, or has one between tags, for that call."""
        tagged = has_tag(reply.text)
        if reply.tool_calls or not (tagged or may_be_call(reply.text)):
            return
        if self.format is not None and not tagged:
            return  # JSON is the answer here
        names = [tool["function"]["name"] for tool in self.calls.offered()]
        rest, calls = read_calls(reply.text, names)
        if not calls or (rest and not tagged):
            return
        reply.text, reply.tool_calls = rest, calls
        yield StreamReset()
        work.partial = PartialMessage(self.state.style == "heartbeat")
        if rest:
            yield from work.partial.take(TextPiece(rest))
        for index, call in enumerate(calls):
            yield from work.partial.take(CallPiece(index, call.id, call.name, call.arguments))

    def _stream(self, work: Work, cancel: Cancel) -> Generator[Event, None, Reply]:
        request = ChatRequest(
            messages=[
                {"role": "system", "content": self.system},
                *self.window.chat(self.beside, self._urls),
            ],
            tools=self.calls.offered(),
            tool_choice=self.calls.tool_choice(),
            params=self.params or {},
            response_format=self.format,
            agent_id=self.state.id,
        )
        if getattr(self.model, "loading", False):  # only models of providers have something to load
            yield Notice(text="Loading the model library, once per kernel.")
        with closing(structured.ask(self.model, request, cancel)) as pieces:
            for piece in pieces:
                if isinstance(piece, Reply):
                    return piece
                if isinstance(piece, Retrying | Reset) and not work.partial.empty:
                    work.partial = PartialMessage(self.state.style == "heartbeat")
                    yield StreamReset()
                if isinstance(piece, Retrying):
                    yield Notice(level="warning", text=piece.reason, seconds=piece.seconds)
                elif not isinstance(piece, Reset):
                    yield from work.partial.take(piece)
        check_cancel(cancel)
        raise ModelError(
            "broken_stream", f"{self.model.name} ended its answer without finishing it."
        )

    def _urls(self, wanted: Sequence[str]) -> dict[str, str]:
        """Return the pictures of these ids as data URLs; those in sight stay in memory for the run."""
        missing = [one for one in wanted if one not in self._pictures]
        fresh = self.journal.pictures(missing) if missing else {}
        known = {**self._pictures, **fresh}
        self._pictures = {one: known[one] for one in wanted if one in known}
        return self._pictures

    def _room(self) -> int:
        """Return the tokens the history may take: the window less prompt, tools and what was retrieved."""
        fixed = self.model.count_tokens(self.system) + self.calls.schema_tokens(self.model)
        if self._beside_tokens is None:
            self._beside_tokens = sum(map(self.model.count_tokens, (self.beside or {}).values()))
        return self.model.context_window - fixed - OVERHEAD - self._beside_tokens

    def make_room(self, cancel: Cancel) -> Turn:
        """Compact the history if it fills the window, before the model is called."""
        room = self._room()
        if self.beside and room < (self._beside_tokens or 0):
            self.beside, self._beside_tokens = None, 0
            text = "What stands beside the message is left out: it would leave no room to talk."
            yield Notice(text=text)
            room = self._room()
        if room <= 0:
            text = (
                "The instructions, memory blocks and tools alone fill the model's window of "
                f"{self.model.context_window:,} tokens: shorten a block, detach a tool, or choose a "
                "model with a larger window."
            )
            yield Notice(level="error", text=text)
            raise SystemPromptTooLarge("context_overflow", text)
        self.window.most = room // 2
        new = takewhile(lambda m: m.role != "assistant", reversed(self.window.messages))
        long = next((m for m in new if self.window.shown(m) is not m), None)
        if long is not None:
            yield Notice(text=_too_long(long))
        taken = self.window.tokens()
        if taken > room * TRIGGER:
            self.window.squeeze(int(room * TARGET), last_step=True)  # results of calls at once
            taken = self.window.tokens()
        if self.window.partial or taken > room * TRIGGER:
            yield from self._compact(int(room * TARGET), cancel)
            self.window.squeeze(int(room * TRIGGER))

    def _compact(self, room: int, cancel: Cancel) -> Generator[Event, None, bool]:
        compactor = Compactor(self.model, self.compaction, self.system)
        count = compactor.cut(self.window, room)
        if count == 0:
            return False
        yield Notice(text="Compacting: the oldest part of the conversation becomes a summary.")
        made = compactor.compact(
            self.window, count, cancel, agent_id=self.state.id, run_id=self.journal.run.id
        )
        self.spent += made.usage
        if made.failure:
            text = f"No summary of it: {made.failure}. It can be searched as before."
            yield Notice(level="warning", text=text)
        self.state.window_start = self.window.messages[0].seq if self.window.messages else 0
        self.state.summary_id = made.summary.id
        self.journal.compact(made.summary)
        return True


def _too_long(message: Message) -> str:
    what = f"What {message.name} returned" if message.role == "tool" else "The message"
    if message.pictures:
        return (
            f"{what} takes more than fits into the model's window: it reads what its images are, and "
            "as much of the text as fits."
        )
    return (
        f"{what} has {len(message.content):,} characters, more than fits into the model's window: "
        "it sees the beginning and the end."
    )
