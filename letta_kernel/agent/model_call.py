"""One model call of a step: make room in the window, then stream the reply into a partial message."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from letta_kernel import metrics
from letta_kernel.agent.calls import CallRunner
from letta_kernel.agent.journal import Journal
from letta_kernel.agent.open_step import OpenStep
from letta_kernel.agent.partial_message import PartialMessage
from letta_kernel.agent.request_record import (
    MOST_RAW,
    frame_part,
    line_part,
    of_window,
    route_part,
    text_part,
)
from letta_kernel.agent.window import OVERHEAD, TARGET, TRIGGER, Compactor, Mode, Window
from letta_kernel.messages import Event, Message, Notice, StreamReset, Usage
from letta_kernel.models import structured
from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatModel,
    ChatRequest,
    ModelError,
    Reply,
    Reset,
    ResponseFormat,
    Retrying,
    Sent,
    TextPiece,
)
from letta_kernel.models.written_calls import has_tag, may_be_call, read_calls
from letta_kernel.records import AgentState
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store.request_parts import Part

if TYPE_CHECKING:
    from letta_kernel.agent.stops import Stops

Turn = Generator[Event, None, None]
OVERFLOW_TRIES = 3


class SystemPromptTooLarge(ModelError):
    """The prefix alone does not fit into the model's window."""

    page = "context-full"


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
    prompt: Part | None = None  # what steps keep of *system*
    note: Part | None = None  # of what stands beside the message, what no step keeps else
    _shared: tuple[ResponseFormat | None, dict[str, Part]] | None = None
    stops: Stops | None = None
    _beside_tokens: int | None = None
    _pictures: dict[str, str] = field(
        default_factory=dict
    )  # data URLs of those in sight, by their ids

    def ask(self, work: OpenStep, cancel: Cancel) -> Generator[Event, None, Reply]:
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

    def _read_written_calls(self, work: OpenStep, reply: Reply) -> Turn:
        """Turn a reply that is a call written as text, or holds one between tags, into that call."""
        tagged = has_tag(reply.text)
        if reply.tool_calls or not (tagged or may_be_call(reply.text)):
            return
        if self.format is not None and not tagged:
            return  # JSON is the answer here
        names = [tool["function"]["name"] for tool in self.calls.offered()]
        rest, calls = read_calls(reply.text, names)
        if not calls or (rest and not tagged):
            return
        work.step.request["text"] = reply.text[:MOST_RAW]
        reply.text, reply.tool_calls = rest, calls
        yield StreamReset()
        work.partial = PartialMessage(self.state.style == "heartbeat")
        if rest:
            yield from work.partial.take(TextPiece(rest))
        for index, call in enumerate(calls):
            yield from work.partial.take(CallPiece(index, call.id, call.name, call.arguments))

    def _stream(self, work: OpenStep, cancel: Cancel) -> Generator[Event, None, Reply]:
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
        self._note(work, request)
        if self.stops is not None:
            request = self.stops.before_model(work, request)
        if getattr(self.model, "loading", False):  # only models of providers have something to load
            yield Notice(text="Loading the model library, once per kernel.")
        with (
            _counted(self.model.name),
            closing(structured.ask(self.model, request, cancel)) as pieces,
        ):
            for piece in pieces:
                if isinstance(piece, Reply):
                    return piece
                if isinstance(piece, Retrying | Reset) and not work.partial.empty:
                    work.partial = PartialMessage(self.state.style == "heartbeat")
                    yield StreamReset()
                if isinstance(piece, Retrying):
                    metrics.MODEL_RETRIES.add(metrics.model_label(self.model.name))
                    yield Notice(level="warning", text=piece.reason, seconds=piece.seconds)
                elif not isinstance(piece, Reset):
                    yield from work.partial.take(piece)
            check_cancel(cancel)
            raise ModelError(
                "broken_stream", f"{self.model.name} ended its answer without finishing it."
            )

    def _note(self, work: OpenStep, request: ChatRequest) -> None:
        """Write down with the step how *request* is made anew, also once it has gone out."""
        kept = of_window(self.window)
        for name in ("considered", "shown"):  # an overflow lets it be asked twice
            if name in work.step.request:
                kept[name] = work.step.request[name]
        parts = self._parts()
        if self.beside:
            kept["beside"] = True
        else:
            parts.pop("note", None)
        if request.tool_choice is not None:
            kept["choice"] = request.tool_choice
        if request.response_format is not None and request.response_format.now:
            kept["now"] = True
        work.step.request = kept
        self._name(work, parts)

        def went_out(sent: Sent) -> None:
            parts["route"] = route_part(sent)
            kept["sent"] = sent.digest
            self._name(work, parts)

        request.on_send = went_out

    def _parts(self) -> dict[str, Part]:
        """Return the parts of the next request by what they are; most are the same for the whole run."""
        if self._shared is None or self._shared[0] is not self.format:
            model, window = self.model, self.window
            frame = frame_part(
                model.name, model.context_window, window.images, self.params or {}, self.format
            )
            shared = {"prompt": self.prompt or text_part(self.system), "frame": frame}
            line = line_part(self.state.thread)
            more = {"line": line, "note": self.note}
            self._shared = self.format, shared | {k: v for k, v in more.items() if v is not None}
        parts = dict(self._shared[1])
        if (tools := self.calls.part()) is not None:
            parts["tools"] = tools
        return parts

    @staticmethod
    def _name(work: OpenStep, parts: dict[str, Part]) -> None:
        work.step.request |= {name: part.id for name, part in parts.items()}
        work.record.parts = [*parts.values()]

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


@contextmanager
def _counted(name: str) -> Iterator[None]:
    """Count the model call of this block: how long it takes and how it ends."""
    began, outcome = time.perf_counter(), "ok"
    try:
        yield
    except (Cancelled, GeneratorExit, KeyboardInterrupt):
        outcome = "cancelled"
        raise
    except BaseException as error:
        outcome = error.kind if isinstance(error, ModelError) else "defect"
        raise
    finally:
        label = metrics.model_label(name)
        metrics.MODEL_CALLS.add(label, outcome)
        metrics.MODEL_SECONDS.observe(time.perf_counter() - began, label)


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
