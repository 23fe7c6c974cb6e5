"""The tool calls of one run: what is offered to the model, and each call checked, executed, answered.

Whatever goes wrong with a call (no such tool, malformed arguments, a rule against it, an exception) becomes a
result the model can act on; nothing a model sends reaches a function unvalidated, and nothing breaks the run.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from letta_kernel.agent import prompts
from letta_kernel.agent.context import HEARTBEAT, SEND, THINKING
from letta_kernel.agent.decisions import Decision
from letta_kernel.agent.offer import Offer
from letta_kernel.agent.result_pictures import answered, with_pictures
from letta_kernel.agent.step_record import StepRecord
from letta_kernel.errors import LettaError, nearest
from letta_kernel.ids import new_id
from letta_kernel.memory import citations
from letta_kernel.memory.blocks import Change
from letta_kernel.messages import (
    Event,
    MemoryChanged,
    Message,
    Nested,
    Notice,
    ToolCall,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    Usage,
)
from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.stop_reasons import StopReason
from letta_kernel.tools import core, rules
from letta_kernel.tools.arguments import ToolArgumentError, as_object, parse_arguments
from letta_kernel.tools.builtin import is_together
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.notebook import CHANGES
from letta_kernel.tools.outcome import Outcome

if TYPE_CHECKING:
    from letta_kernel.agent.stops import Stops

Progress = Callable[[ToolProgress | Nested], None]

_ENDING = 5.0  # seconds that runs of other agents have to write their end when they are stopped
REPEATS = 3  # the same call this often in a row gets a word of warning with its result


@dataclass(slots=True)
class Verdict:
    """What follows after the calls of a step: an end, or going on, perhaps with a heartbeat event."""

    stop: StopReason | None = None
    event: str | None = None


@dataclass(slots=True)
class _Ready:
    """A call that may run: its tool and its validated arguments."""

    call: ToolCall
    tool: Tool
    arguments: dict[str, Any]
    shown: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class CallRunner(Offer):
    """Runs the calls of one run.

    Parameters
    ----------
    executor : runs everything that is not a core tool.
    context : the memory that core tools reach.
    asked : what the runs of other agents took that were asked for.
    stops : where a person looks at calls and results; None where nobody does.
    """

    executor: Executor
    context: core.ToolContext
    cut_off: bool = False
    stops: Stops | None = None
    asked: Usage = field(default_factory=Usage)
    _judged: int = 0  # how many of them a verdict was given on
    _stats: list[dict[str, Any]] = field(default_factory=list)
    _wants_heartbeat: bool = False
    _last: tuple[str, str] = ("", "")
    _repeats: int = 0
    _seen_ids: set[str] = field(default_factory=set)

    # -- before a call runs --------------------------------------------------------------------------

    def taken(self, calls: Sequence[ToolCall]) -> list[ToolCall]:
        """Return *calls* with ids of their own, and arguments as one JSON object where they can be read so."""
        taken = []
        for call in calls:
            if not call.id or call.id in self._seen_ids:
                call = call.model_copy(update={"id": new_id("call")})
            with contextlib.suppress(ToolArgumentError):  # the model is told when the call is run
                call = call.model_copy(update={"arguments": as_object(call.arguments)})
            self._seen_ids.add(call.id)
            taken.append(call)
        return taken

    # -- running -------------------------------------------------------------------------------------

    def run(
        self,
        batch: Sequence[ToolCall],
        decisions: dict[str, Any],
        progress: Progress,
        cancel: Cancel,
        record: StepRecord,
    ) -> Generator[Event, None, list[Event]]:
        """Run the calls of *batch* and leave their results in *record*, in order.

        Yields what may be shown at once; returns what may be shown when the results are saved.
        """
        ready = [self._prepare(call, decisions.get(call.id)) for call in batch]
        begun = [one.call for one in ready if isinstance(one, _Ready)]
        if self._waits_on(begun, decisions, record):
            begun = []
        if outside := self.outside(begun):
            record.begin(outside)
        for one in ready:
            if isinstance(one, _Ready):
                yield ToolStarted(
                    call_id=one.call.id,
                    name=one.call.name,
                    arguments=one.shown,
                    runs_in=self._place(one.tool),
                )
        shown: list[Event] = []
        if len(ready) > 1:
            outcomes = self._run_parallel(ready, progress, cancel)
        elif isinstance(ready[0], _Ready) and ready[0].tool.kind == "core":
            return self._run_core(ready[0], record)
        else:
            outcomes = [self._run_one(ready[0], progress, cancel)]
        for call, outcome in zip(batch, outcomes, strict=True):
            if self.stops is not None:
                outcome = self.stops.after_call(record.step, call, outcome)
            warning = self._repetition(call)
            shown += _memory_events(outcome.changes, call)
            self.context.wrote(outcome.changes)
            if outcome.written:
                outcome, changes = self._keep_memory(record, call, outcome, warning)
                shown += changes
            else:
                record.unsaved.append(self._result(record, call, outcome, warning))
            shown += self._report(call, outcome, outcome.text + warning)
        return shown

    def _keep_memory(
        self, record: StepRecord, call: ToolCall, done: Outcome, warning: str
    ) -> tuple[Outcome, list[Event]]:
        """Write a tool's changes of memory blocks with its result; if that cannot be done, the call fails."""

        def act() -> tuple[Outcome, list[Change]]:
            try:
                return done, self.context.keep(done.written, call.name)
            except LettaError as error:
                return _failure(f"{done.text}\n(It could not write to memory: {error})"), []

        outcome, changes = record.effect(
            act, lambda outcome: self._result(record, call, outcome, warning)
        )
        self.context.wrote(changes or ())
        return outcome, _memory_events(changes, call)

    def _waits_on(
        self, calls: Sequence[ToolCall], decisions: Collection[str], record: StepRecord
    ) -> bool:
        """Return whether *calls* change cells so that they can be approved again if this process dies.

        Such a change is made only where the cells are still what it is for, so it waits until it is made.
        """
        first = not (record.saved or record.unsaved or record.begun)
        lent = {name for name, tool in self.tools.items() if tool.kind == "turn"} & CHANGES
        return first and all(call.id in decisions and call.name in lent for call in calls)

    def _place(self, tool: Tool) -> str:
        return "core" if tool.kind == "core" else self.executor.place(tool)

    def _prepare(self, call: ToolCall, decision: Decision | None) -> _Ready | Outcome:
        if decision is not None and not decision.approve:
            said = f": {decision.reason}" if decision.reason else "."
            return Outcome(status="denied", text=f"{prompts.DENIED}{said}")
        if decision is not None and decision.result is not None:
            self._take_loop_arguments(call.arguments)
            return answered(decision)
        tool = self.tools.get(call.name) or self._answer_tool(call.name)
        if tool is None:
            known = [name for name in self.tools if name != SEND]
            return _failure(
                f"There is no tool {call.name!r}.{nearest(call.name, known)} "
                f"Your tools are: {', '.join(known) or 'none'}."
            )
        if (foreign := self.refused(tool)) is not None:
            return _failure(foreign)
        if call.name in self.names():
            refused = rules.explain(self.tool_rules, self.names(), self.done, call.name)
            if refused:
                return _failure(refused)
        return self._validated(call, tool, decision)

    def _validated(self, call: ToolCall, tool: Tool, decision: Decision | None) -> _Ready | Outcome:
        raw = self._take_loop_arguments(call.arguments)
        if decision is not None and decision.arguments is not None:
            raw = self._take_loop_arguments(json.dumps(decision.arguments))
        prefilled = rules.prefilled(self.tool_rules, tool.name, self.done)
        if prefilled:
            raw = _merge(raw, prefilled)
        try:
            arguments = parse_arguments(tool, raw, self._function(tool))
            shown = json.loads(raw) if raw.strip() else {}
        except ToolArgumentError as error:
            return _failure(f"{error} {prompts.CUT_OFF}" if self.cut_off else str(error))
        except (ValueError, RecursionError):
            shown = {name: str(value) for name, value in arguments.items()}
        return _Ready(call, tool, arguments, shown)

    def _function(self, tool: Tool) -> Callable[..., Any] | None:
        return core.FUNCTIONS[tool.name] if tool.kind == "core" else self.executor.function(tool)

    def _answer_tool(self, name: str) -> Tool | None:
        # Native style does not offer send_message, but models trained on it may call it all the same.
        return core.record(SEND) if name == SEND and self.speaks else None

    def _take_loop_arguments(self, raw: str) -> str:
        """Remove ``thinking`` and ``request_heartbeat`` from the arguments: they are for the loop."""
        if self.style != "heartbeat":
            return raw
        try:
            arguments = json.loads(raw or "{}")
        except (ValueError, RecursionError):
            return raw
        if not isinstance(arguments, dict):
            return raw
        arguments.pop(THINKING, None)
        wish = arguments.pop(HEARTBEAT, False)
        self._wants_heartbeat |= wish is True or str(wish).lower() == "true"
        return json.dumps(arguments)

    def _run_one(self, item: _Ready | Outcome, progress: Progress, cancel: Cancel) -> Outcome:
        if isinstance(item, Outcome):
            return item
        call_id = item.call.id

        def output(stream: str, text: str) -> None:
            progress(ToolProgress(call_id=call_id, text=text, stream=stream))  # type: ignore[arg-type]

        def nested(agent_id: str, event: Event) -> None:
            progress(Nested(call_id=call_id, agent_id=agent_id, event=event))

        return self.executor.run(
            item.tool,
            item.arguments,
            call_id=call_id,
            on_output=output,
            on_event=nested,
            cancel=cancel,
        )

    def _run_core(self, item: _Ready, record: StepRecord) -> list[Event]:
        """Run a core tool; one that changes the store does so in the commit that writes its result."""
        call = item.call
        warning = self._repetition(call)

        def act() -> tuple[Outcome, list[Change]]:
            changes: list[Change] = []
            self.context.on_change = changes.append
            return core.run(item.tool, item.arguments, self.context), changes

        def result(outcome: Outcome) -> Message:
            return self._result(record, call, outcome, warning)

        changes: list[Change] | None = None
        if call.name in core.WRITERS:
            outcome, changes = record.effect(act, result)
            self.context.wrote(changes or ())
            if self.stops is not None:
                self.stops.after_call(record.step, call, outcome, saved=True, changes=changes or ())
        else:
            outcome, _ = act()
            if self.stops is not None:
                outcome = self.stops.after_call(record.step, call, outcome)
            record.unsaved.append(result(outcome))
        return [
            *_memory_events(changes, call),
            *self._report(call, outcome, outcome.text + warning),
        ]

    def _run_parallel(
        self,
        items: Sequence[_Ready | Outcome],
        progress: Progress,
        cancel: Cancel,
    ) -> list[Outcome]:
        lock = threading.Lock()

        def report(event: ToolProgress | Nested) -> None:
            with lock:
                progress(event)

        pool = ThreadPoolExecutor(max_workers=min(8, len(items)), thread_name_prefix="tool")
        futures: list[Future[Outcome]] = []
        asks = [isinstance(one, _Ready) and is_together(one.tool.id) for one in items]
        if (asker := self.executor.asker) is not None:
            asker.sharing = max(1, sum(asks))
        try:
            futures += [
                pool.submit(copy_context().run, self._run_one, item, report, cancel)
                for item in items
            ]
            pending = set(futures)
            while pending:  # short waits: the stop button must reach us
                pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED).not_done
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            cancel.cancel()
            # The runs of other agents write their ends before ours is over.
            wait([f for f, waits in zip(futures, asks, strict=False) if waits], timeout=_ENDING)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if asker is not None:
                asker.sharing = 1

    # -- after a call ran ----------------------------------------------------------------------------

    def _result(
        self, record: StepRecord, call: ToolCall, outcome: Outcome, warning: str
    ) -> Message:
        content, pictures = with_pictures(outcome.text + warning, outcome)
        return Message(
            agent_id=self.context.agent_id,
            run_id=record.step.run_id,
            step_id=record.step.id,
            role="tool",
            content=content,
            pictures=pictures,
            tool_call_id=call.id,
            name=call.name,
            status=outcome.status,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            elsewhere=outcome.elsewhere,
            edits=None if self.stops is None else self.stops.edits_of(call.id),
        )

    def _report(self, call: ToolCall, outcome: Outcome, text: str) -> list[Event]:
        """Record how a call went, and return what the person is shown of it."""
        self.asked += outcome.usage
        self.done.append(rules.Called(call.name, outcome.text, outcome.status == "ok"))
        self._stats.append(
            {
                "name": call.name,
                "status": outcome.status,
                "seconds": round(outcome.seconds, 6),
                "error": outcome.error or (outcome.text[:300] if outcome.status != "ok" else None),
                **(citations.kept(outcome.cites) if outcome.cites else {}),
            }
        )
        returned = ToolReturned(
            call_id=call.id,
            name=call.name,
            status=outcome.status,
            text=text,
            seconds=outcome.seconds,
            display=outcome.display,
            error=outcome.error,
            traceback=outcome.traceback,
            cites=self.context.shown(outcome.cites),
        )
        return [Notice(text=outcome.note), returned] if outcome.note else [returned]

    def _repetition(self, call: ToolCall) -> str:
        this = (call.name, call.arguments)
        self._repeats = self._repeats + 1 if this == self._last else 1
        self._last = this
        if self._repeats < REPEATS:
            return ""
        return (
            f"\n(You have made this very call {self._repeats} times in a row. Do something else, or "
            "answer with what you know.)"
        )

    def verdict(self) -> Verdict:
        """Return whether the turn goes on after the calls that ran since the last verdict."""
        wish, self._wants_heartbeat, self.cut_off = self._wants_heartbeat, False, False
        called, self._judged = self.done[self._judged :], len(self.done)
        names = [call.name for call in called]
        failed = not all(call.ok for call in called)
        if SEND in names and not failed:
            return Verdict(stop="end_turn")
        if any(self.terminal(call.name) and call.ok for call in called):
            return Verdict(stop="tool_rule")
        if self.style != "heartbeat":
            return Verdict()
        if failed:
            return Verdict(event=prompts.HEARTBEAT_AFTER_FAILURE)
        if wish or any(rules.continues_turn(self.tool_rules, name) for name in names):
            return Verdict(event=prompts.HEARTBEAT_AFTER_CALL)
        missing = self.missing_before_exit()
        if missing:
            return Verdict(event=f"Before your turn ends you must call: {', '.join(missing)}.")
        return Verdict(stop="end_turn")

    def take_stats(self) -> list[dict[str, Any]]:
        """Return name, status, seconds and error of each call since the last time."""
        stats, self._stats = self._stats, []
        return stats


def _memory_events(changes: Sequence[Change] | None, call: ToolCall) -> list[Event]:
    return [
        MemoryChanged(
            label=change.block.label,
            before=change.before,
            after=change.block.value,
            version=change.block.version,
            call_id=call.id,
        )
        for change in changes or []
    ]


def _failure(text: str) -> Outcome:
    return Outcome(status="error", text=text, error=text)


def _merge(raw: str, prefilled: dict[str, Any]) -> str:
    try:
        arguments = json.loads(raw or "{}")
    except (ValueError, RecursionError):
        return raw
    return json.dumps({**arguments, **prefilled}) if isinstance(arguments, dict) else raw
