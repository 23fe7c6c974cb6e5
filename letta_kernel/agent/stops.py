"""Where a run stops for a person to look: before a model call, after its reply, before a call, after it ran.

The seam that a debugger joins by: `StepHooks` is asked at each of these places, on the run's thread, and may
take its time. What it answers takes the place of what the model said or was sent, and is noted with the
messages of the step (`letta_kernel.messages.Edit`). A run without hooks has no `Stops`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Protocol, TypeVar

from letta_kernel.agent.decisions import Decision
from letta_kernel.agent.open_step import OpenStep
from letta_kernel.agent.partial_message import PartialMessage
from letta_kernel.memory.blocks import Change
from letta_kernel.messages import Edit, Event, Message, ReturnStatus, StreamReset, ToolCall, Usage
from letta_kernel.models.base import CallPiece, ChatRequest, Reply, TextPiece
from letta_kernel.models.wire import paired
from letta_kernel.records import Step
from letta_kernel.tools.outcome import Outcome

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class At:
    """Where a run is: in which step, and what it has taken so far."""

    step: Step
    taken: Usage


@dataclass(frozen=True, slots=True)
class Said:
    """What takes the place of a model's reply."""

    text: str
    calls: Sequence[ToolCall] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What takes the place of a call's result."""

    text: str
    failed: bool = False


class StepHooks(Protocol):
    """Is asked at each place at which a run can stop. It may raise what ends a run, as `Cancelled`."""

    def before_model(self, at: At, request: ChatRequest) -> Mapping[int, str]:
        """Return new texts for messages of *request*, by their places in it; see `edited`."""

    def after_reply(self, at: At, message: Message) -> Said | None:
        """Return what takes the place of what the model has said in *message*."""

    def before_call(self, at: At, call: ToolCall) -> Decision | None:
        """Return other arguments for *call*, or a result instead of running it."""

    def after_call(
        self, at: At, call: ToolCall, outcome: Outcome, saved: bool, changes: Sequence[Change]
    ) -> Result | None:
        """Return what takes the place of a result; one that is *saved* stays. *changes* are those of memory."""


def edited(messages: Sequence[dict[str, Any]], edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Return a request's *messages* as the model was sent them after *edits*.

    A message that was emptied is left out, unless it makes calls or is a result.
    """
    texts = {edit.place: edit.after for edit in edits if edit.what == "request"}
    kept = []
    for place, entry in enumerate(messages):
        if place in texts:
            text, calls = texts[place], "tool_calls" in entry
            if not text and not calls and entry["role"] != "tool":
                continue
            entry = {**entry, "content": text or (None if calls else "")}
        kept.append(entry)
    return paired(kept) if texts else kept


class Stops:
    """The hooks of one run, and what a person changed by them.

    Attributes
    ----------
    taken : returns what the run has taken so far.
    """

    def __init__(self, hooks: StepHooks) -> None:
        self.taken: Callable[[], Usage] = Usage
        self._hooks = hooks
        self._work: OpenStep | None = None
        self._edits: dict[str, list[Edit]] = {}  # by the id of the call
        self._given: set[str] = set()  # calls that were answered instead of being run

    def before_model(self, work: OpenStep, request: ChatRequest) -> ChatRequest:
        """Return the request that is sent."""
        self._work = work
        texts = self._held(work.step, lambda at: self._hooks.before_model(at, request))
        edits = [
            Edit(what="request", name=entry["role"], place=place, before=before, after=texts[place])
            for place, entry in enumerate(request.messages)
            if place in texts and texts[place] != (before := entry.get("content") or "")
        ]
        work.edits = edits or None
        return replace(request, messages=edited(request.messages, edits)) if edits else request

    def after_reply(
        self, work: OpenStep, reply: Reply, heartbeat: bool
    ) -> Generator[Event, None, None]:
        """Put what a person makes of a reply in its place; yields what shows it."""
        message = work.assistant
        assert message is not None
        said = self._held(work.step, lambda at: self._hooks.after_reply(at, message))
        if said is None:
            return
        calls, edits = [*said.calls], []
        if said.text != message.content:
            edits.append(Edit(what="reply", before=message.content, after=said.text))
        if calls != message.tool_calls:
            before, after = as_json(message.tool_calls), as_json(calls)
            edits.append(Edit(what="calls", before=before, after=after))
        if not edits:
            return
        message.edits = [*(message.edits or ()), *edits]
        message.content = reply.text = said.text
        message.tool_calls = reply.tool_calls = calls
        reply.finish_reason = "tool_calls" if calls else "stop"
        yield StreamReset()
        work.partial = PartialMessage(heartbeat)
        if said.text:
            yield from work.partial.take(TextPiece(said.text))
        for index, call in enumerate(calls):
            yield from work.partial.take(CallPiece(index, call.id, call.name, call.arguments))

    def before_call(
        self, work: OpenStep, call: ToolCall, decisions: dict[str, Decision]
    ) -> tuple[ToolCall, dict[str, Decision]]:
        """Return the call that is made, and the decisions with what a person has said of it."""
        self._work = work
        known = decisions.get(call.id)
        if known is not None and (not known.approve or known.result is not None):
            return call, decisions
        if known is not None and known.arguments is not None:
            call = call.model_copy(update={"arguments": json.dumps(known.arguments)})
            decisions = {**decisions, call.id: replace(known, arguments=None)}
        said = self._held(work.step, lambda at: self._hooks.before_call(at, call))
        if said is None:
            return call, decisions
        edits = self._edits.setdefault(call.id, [])
        if said.arguments is not None:
            given = json.dumps(said.arguments, ensure_ascii=False)
            edit = Edit(what="arguments", name=call.name, before=call.arguments, after=given)
            edits.append(edit)
            call = call.model_copy(update={"arguments": given})
            _amend(work, call)
        if said.result is not None:
            edits.append(Edit(what="result", name=call.name, after=said.result))
            decisions = {**decisions, call.id: said}
            self._given.add(call.id)
        return call, decisions

    def after_call(
        self,
        step: Step,
        call: ToolCall,
        outcome: Outcome,
        *,
        saved: bool = False,
        changes: Sequence[Change] = (),
    ) -> Outcome:
        """Return how *call* ended, for the model: what is *saved* already stays as it is."""
        if call.id in self._given:
            return replace(outcome, elsewhere=False)
        changed = [*outcome.changes, *changes]
        said = self._held(
            step, lambda at: self._hooks.after_call(at, call, outcome, saved, changed)
        )
        if said is None or saved:
            return outcome
        status: ReturnStatus = "error" if said.failed else "ok"
        if (said.text, status) == (outcome.text, outcome.status):
            return outcome
        edit = Edit(what="result", name=call.name, before=outcome.text, after=said.text)
        self._edits.setdefault(call.id, []).append(edit)
        error = said.text.partition("\n")[0] if said.failed else None
        return replace(
            outcome, text=said.text, status=status, error=error, traceback=None, display=None
        )

    def edits_of(self, call_id: str) -> list[Edit] | None:
        """Return what a person changed of a call and its result; None if that is nothing."""
        return self._edits.pop(call_id, None) or None

    def _held(self, step: Step, ask: Callable[[At], T]) -> T:
        """Ask the hooks; the time that takes is not the step's."""
        began = perf_counter()
        try:
            return ask(At(step, self.taken()))
        finally:
            if self._work is not None:
                self._work.started += perf_counter() - began


def as_json(calls: Sequence[ToolCall]) -> str:
    """Return *calls* as JSON for a person: a list of objects with id, name and arguments."""
    shown = []
    for call in calls:
        arguments: Any = call.arguments
        with suppress(ValueError, RecursionError):  # malformed ones: as the model sent them
            arguments = json.loads(call.arguments)
        shown.append({"id": call.id, "name": call.name, "arguments": arguments})
    return json.dumps(shown, ensure_ascii=False, indent=1)


def _amend(work: OpenStep, call: ToolCall) -> None:
    """Put *call* into the message that asks for it, unless that is saved: history is not written anew."""
    message = work.assistant
    if message is not None and any(one is message for one in work.record.unsaved):
        message.tool_calls = [call if one.id == call.id else one for one in message.tool_calls]
