"""`LettaAgent`: the step loop.

    user message or system event -> context window -> model -> inner thoughts and tool calls
    -> validated execution -> results back -> ... until the agent ends its turn

`LettaAgent.step` is a plain generator of events that runs on the caller's thread, so that notebook functions
run where the user's variables are and the stop button reaches them. A step is committed at its end, its calls
before they have an effect (`StepRecord`); on a stop, what was said is kept and every open call gets a result,
so that the history stays valid.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import zip_longest
from time import perf_counter
from typing import TYPE_CHECKING, Any

from letta_kernel.agent import prompts
from letta_kernel.agent.calls import CallRunner
from letta_kernel.agent.decisions import Decision, pending_calls
from letta_kernel.agent.journal import Journal
from letta_kernel.agent.model_call import (
    Cancelled,
    ModelCaller,
    check_cancel,
    stop_reason_of,
)
from letta_kernel.agent.open_step import OpenStep
from letta_kernel.agent.partial_message import PartialMessage
from letta_kernel.agent.request_record import written_otherwise
from letta_kernel.agent.settings import Budget
from letta_kernel.agent.step_record import StepRecord
from letta_kernel.agent.window import Mode, Window
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import LettaError
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    Message,
    Nested,
    Notice,
    RunEnded,
    RunStarted,
    ToolCall,
    ToolProgress,
    Usage,
)
from letta_kernel.models.base import (
    Cancel,
    ChatModel,
    ModelError,
    Reply,
)
from letta_kernel.pictures.picture import Thumbnail
from letta_kernel.records import AgentState, Beside, Step
from letta_kernel.remedies import PLAIN
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store.request_parts import Part
from letta_kernel.tools.answers import AnswerForm

if TYPE_CHECKING:
    from letta_kernel.agent.stops import Stops

log = logging.getLogger("letta_kernel")

Live = Callable[[Event], None]
Turn = Generator[Event, None, None]
After = tuple[Message | None, StopReason | None, LettaError | None]
"""What follows a step: an event to add, why the run ends if it does, and the error it ends with."""


class LettaAgent:
    """An agent for the length of one run: loaded by the service, stepped once, let go.

    Parameters
    ----------
    state, system, window : who it is, its compiled prompt, its history in sight.
    model, calls, journal : what it thinks with, acts with, and writes with.
    beside : text to place before the message of that id: what a notebook gives, retrieved passages.
    retrieved, placed : the passages, and what the notebook gave, as recorded with the step.
    cites : what may be cited of what the run it goes on from has found.
    params : sampling parameters of the model.
    notices : what to tell the person at the start.
    budget : what the run may take.
    allowed : told what the run has taken, and whether this is its end, at each step; returns what keeps it
        from another one.
    compaction : what is summarised when the window is full.
    form : what the answer must be; None for free text.
    following : messages to add behind the results of calls that waited, for the same turn to answer.
    prompt, note : what steps keep of *system*, and of what stands beside the message for a group.
    considered : the passages that retrieval looked at, as the first step keeps them.
    stops : where it stops for a person to look and to change what goes on; None where nobody does.

    Attributes
    ----------
    shown, sender : pictures of the message it answers, and the name of the agent that spoke it.
    """

    def __init__(
        self,
        state: AgentState,
        system: str,
        window: Window,
        model: ChatModel,
        calls: CallRunner,
        journal: Journal,
        *,
        beside: dict[str, str] | None = None,
        retrieved: list[dict[str, Any]] | None = None,
        placed: Sequence[Beside] = (),
        cites: Sequence[dict[str, Any]] = (),
        params: dict[str, Any] | None = None,
        notices: Sequence[Notice] = (),
        budget: Budget | None = None,
        allowed: Callable[[Usage, bool], LettaError | None] | None = None,
        compaction: Mode = "sliding_window",
        form: AnswerForm | None = None,
        following: Sequence[Message] = (),
        prompt: Part | None = None,
        note: Part | None = None,
        considered: Sequence[Sequence[Any]] = (),
        stops: Stops | None = None,
    ) -> None:
        self.state = state
        self.window = window
        self.model = model
        self.calls = calls
        self.journal = journal
        self.caller = ModelCaller(
            state, system, window, model, calls, journal, beside, params, compaction
        )
        self.caller.prompt, self.caller.note = prompt, note
        self.considered = considered
        self.form = form
        if form is not None:
            self.caller.format = form.format
            calls.speaks = False
        self.retrieved = retrieved or []
        self.placed = list(placed)
        self.cites = list(cites)
        self.notices = notices
        self.budget = budget or Budget()
        self.allowed = allowed
        self.following = [*following]
        self.stops = self.caller.stops = calls.stops = stops
        if stops is not None:
            stops.taken = self._taken
        self.shown: Sequence[Thumbnail] = ()
        self.sender = ""
        self._usage = Usage()
        self._steps = 0
        self._first_token: float | None = None
        self._started = perf_counter()
        self._live: Live | None = None
        self._cancel = Cancel()
        self._work: OpenStep | None = None
        self._ended: RunEnded | None = None
        self._progress: list[ToolProgress | Nested] = []

    # -- the run ---------------------------------------------------------------------------------

    def step(
        self,
        *,
        max_steps: int,
        live: Live | None = None,
        cancel: Cancel | None = None,
        decisions: Sequence[Decision] | None = None,
    ) -> Turn:
        """Run until the agent ends its turn, yielding what happens.

        The incoming message must be in the window already, and the run's start committed. With *decisions*
        the run goes on where it waited for approval. A KeyboardInterrupt inside is raised again after the
        final `RunEnded`; closing the generator commits what was done and ends the run as cancelled.
        """
        self._live, self._cancel = live, cancel or Cancel()
        with closing(self._guarded(max_steps, decisions)) as events:
            for event in events:
                if live and not isinstance(
                    event, ToolProgress | Nested
                ):  # progress went there at once
                    live(event)
                yield event

    def _guarded(self, max_steps: int, decisions: Sequence[Decision] | None) -> Turn:
        try:
            yield RunStarted(
                run_id=self.journal.run.id,
                agent_id=self.state.id,
                agent_name=self.state.name,
                conversation=self.journal.run.conversation_id,
                model=self.model.name,
                model_label=self.model.label,
                pictures=[*self.shown],
                cites=self.cites,
                sender=self.sender,
            )
            yield from self.notices
            yield from self._turn(max_steps, decisions)
        except GeneratorExit:
            ended = self._abort("cancelled", None)
            if self._live:
                self._live(ended)
            raise
        except KeyboardInterrupt:
            yield from self._stop("cancelled", None)
            raise
        except Cancelled:
            yield from self._cancelled()
        except ModelError as error:
            if error.kind == "cancelled":
                yield from self._cancelled()
            else:
                yield from self._stop(stop_reason_of(error), error)
        except LettaError as error:
            yield from self._stop("error", error)
        except Exception as error:  # a bug of ours must not leave the run open
            log.exception("run %s failed", self.journal.run.id)
            yield from self._stop(
                "error", LettaError(f"{type(error).__name__}: {error}", page="went-wrong")
            )

    def _cancelled(self) -> Turn:
        if self._cancel.why:
            yield from self._stop("error", LettaError(self._cancel.why))
        else:
            yield from self._stop("cancelled", None)

    def _turn(self, max_steps: int, decisions: Sequence[Decision] | None) -> Turn:
        number = 0 if decisions is None else -1  # to carry out a decision is no model call
        nudged = False
        while self._ended is None:
            number += 1
            check_cancel(self._cancel)
            if decisions is not None:
                work = self._begin(number)
                yield work.started_event()
                after, reason, error = yield from self._settle(work, decisions)
                decisions = None
            else:
                if number == 1 and (spent := self.budget.used_up(self._taken())):
                    yield from self._stop("max_tokens_exceeded", spent)
                    return
                yield from self.caller.make_room(self._cancel)
                work = self._begin(number)
                yield work.started_event()
                reply = yield from self.caller.ask(work, self._cancel)
                self._take_reply(work, reply)
                if self.stops is not None:
                    yield from self.stops.after_reply(work, reply, self.state.style == "heartbeat")
                    self.calls.cut_off = reply.finish_reason == "length" and bool(reply.tool_calls)
                if number == 1 and self.budget.blind(reply.usage):
                    text = (
                        f"The budget in dollars is not kept: what {work.step.model} costs is not "
                        "known. budget_tokens limits a run all the same."
                    )
                    yield Notice(level="warning", text=text)
                if reply.tool_calls:
                    after, reason, error = yield from self._act(work)
                else:
                    after, reason, error = self._answered(work, reply, nudged)
                    nudged = nudged or after is not None
            if reason is None and (error := self.budget.used_up(self._taken())):
                reason = "max_tokens_exceeded"
            if reason is None and number >= max_steps:
                reason = "max_steps"
                error = LettaError(
                    f"Stopped after {max_steps} steps; say 'go on' to let the agent continue.",
                    page="limit-reached",
                )
            if self.allowed is not None:
                # Without the runs of others that it asked for: these are counted themselves. The last step,
                # too: whoever hears of its end may begin the next run at once.
                spent = self.allowed(self._usage + work.usage, reason is not None)
                if reason is None and spent is not None:
                    reason, error = "insufficient_credits", spent
            yield from self._commit(work, after, reason, error)

    def _taken(self) -> Usage:
        """Return what the run has taken so far, with the runs of others that it asked for."""
        work = self._work.usage if self._work is not None else Usage()
        return self._usage + work + self.calls.asked

    def left(self) -> Budget:
        """Return what is left of the budget now."""
        return self.budget.left(self._taken())

    # -- the parts of a step -----------------------------------------------------------------------

    def _begin(self, number: int) -> OpenStep:
        if number == 1 and not self.caller.beside:
            self.placed = []  # it was left out
        step = Step(
            run_id=self.journal.run.id,
            agent_id=self.state.id,
            number=number,
            model=self.model.name,
            retrieved=self.retrieved if number == 1 else [],
            beside=self.placed if number == 1 else [],
            configuration=self.journal.configuration,
            window_start=self.state.window_start,
            summary_id=self.state.summary_id,
        )
        if number == 1 and self.considered:
            step.request |= {"considered": self.considered, "shown": len(self.retrieved)}
        heartbeat = self.state.style == "heartbeat"
        record = StepRecord(self.journal, step)
        self._work = OpenStep(record, PartialMessage(heartbeat), perf_counter())
        self.calls.context.begin(step.id)
        return self._work

    def _take_reply(self, work: OpenStep, reply: Reply) -> None:
        work.usage, self.caller.spent = reply.usage + self.caller.spent, Usage()
        work.first_token = reply.first_token
        work.step.window_start = self.state.window_start  # to make room it may have moved
        work.step.summary_id = self.state.summary_id
        if reply.model:  # a fallback may have answered
            work.step.model = self.journal.run.model = reply.model
            work.label = reply.label
        if self._first_token is None and reply.first_token is not None:
            self._first_token = work.started - self._started + reply.first_token
        work.answer(
            content=reply.text,
            reasoning=reply.reasoning or work.partial.reasoning,
            thinking=reply.thinking,
            tool_calls=(taken := self.calls.taken(reply.tool_calls)),
        )
        if mended := written_otherwise(reply.tool_calls, taken):
            work.step.request["calls"] = mended
        work.note_usage()
        if reply.finish_reason == "length" and reply.tool_calls:
            self.calls.cut_off = True

    def _answered(self, work: OpenStep, reply: Reply, nudged: bool) -> After:
        """Decide what a reply without tool calls means: event to add, stop reason, error."""
        if reply.finish_reason == "length":
            return _failed(
                "max_tokens_exceeded",
                "The answer was cut at the model's output limit.",
                "limit-reached",
            )
        if reply.finish_reason == "content_filter":
            return _failed(
                "llm_api_error",
                "The provider's content filter stopped the answer.",
                "content-filter",
            )
        missing = self.calls.missing_before_exit()
        if missing and not nudged:
            self.calls.due = missing
            text = f"Before your turn ends you must call: {', '.join(missing)}."
            return work.event("tool_rule", text), None, None
        if not reply.text.strip():
            if nudged:
                return _failed(
                    "no_tool_call", f"{self.model.name} gave no answer; ask again.", "no-answer"
                )
            return work.event("no_answer", prompts.NO_ANSWER), None, None
        if self.form is not None and (problem := self.form.problem(reply.text)):
            if self.caller.format != self.form.format:
                return None, "invalid_llm_response", LettaError(problem, page="answer-form")
            self.caller.format = self.form.at_once
            text = f"{problem} {prompts.ANSWER_AGAIN}"
            return work.event("response_format", text), None, None
        return None, "end_turn", None

    def _act(self, work: OpenStep) -> Generator[Event, None, After]:
        assert work.assistant is not None
        calls = work.assistant.tool_calls
        work.assistant.asked = [call.id for call in calls if self.calls.needs_approval(call)]
        if work.assistant.asked:
            return None, "requires_approval", None
        yield from self._execute(work, calls, {})
        return self._after_calls(work)

    def _settle(
        self, work: OpenStep, decisions: Sequence[Decision]
    ) -> Generator[Event, None, After]:
        """Carry out what a person decided about the calls of the last assistant message."""
        pending = pending_calls(self.window.messages)
        yield from self._execute(work, pending, {d.call_id: d for d in decisions})
        after = self._after_calls(work)
        return (None, None, None) if self.following else after

    def _execute(
        self, work: OpenStep, calls: Sequence[ToolCall], decisions: dict[str, Decision]
    ) -> Turn:
        """Run *calls*, and show each as soon as it is saved: the last with the step's end."""

        def progress(event: ToolProgress | Nested) -> None:
            self._progress.append(event)
            if self._live:
                self._live(event)

        record = work.record
        batches = [list(batch) for batch in self.calls.batches(calls)]
        if self.stops is not None:
            batches = [[call] for call in calls]
        for batch, following in zip_longest(batches, batches[1:], fillvalue=()):
            check_cancel(self._cancel)
            if self.stops is not None:
                call, decisions = self.stops.before_call(work, next(iter(batch)), decisions)
                batch = [call]
            work.held = yield from self.calls.run(batch, decisions, progress, self._cancel, record)
            if record.unsaved and following:
                begin = following if self.stops is None else ()  # it stops before it goes on
                record.keep(self.calls.outside(begin))
            if not record.unsaved:
                yield from self._show(work)

    def _show(self, work: OpenStep) -> Turn:
        """Yield what was held back until it was saved."""
        while self._progress:
            yield self._progress.pop(0)
        while work.held:
            yield work.held.pop(0)

    def _after_calls(self, work: OpenStep) -> After:
        verdict = self.calls.verdict()
        if verdict.stop == "end_turn" and self.form is not None:  # of heartbeat style
            return work.event("heartbeat", prompts.ANSWER_NOW), None, None
        event = work.event("heartbeat", verdict.event) if verdict.event else None
        return event, verdict.stop, None

    def _commit(
        self,
        work: OpenStep,
        after: Message | None,
        reason: StopReason | None,
        error: LettaError | None,
    ) -> Turn:
        written = self._write(work, [after] if after else [], reason, error)
        yield from self._show(work)
        yield work.ended_event(written)
        if reason == "requires_approval" and work.assistant is not None:
            yield ApprovalRequested(calls=work.assistant.tool_calls)
        if reason is not None:
            yield self._ending(reason, error)

    def _write(
        self,
        work: OpenStep,
        added: list[Message],
        reason: StopReason | None,
        error: LettaError | None,
    ) -> list[Message]:
        step = work.step
        step.seconds = perf_counter() - work.started
        step.stop_reason, step.error = reason, _line(error)
        step.tool_stats = self.calls.take_stats()
        self._usage += work.usage
        self._steps = step.number
        self.journal.run.first_token = self._first_token
        with Uninterrupted():  # an interrupt in between would write the same messages again
            added = [*self.following, *added]
            written = work.record.end(added, self._usage, reason, _line(error))
            self.following = []
            self._work = None
            self.window.add(written)
        return written

    # -- endings -----------------------------------------------------------------------------------

    def _stop(self, reason: StopReason, error: LettaError | None) -> Turn:
        """End the run before its time, and say so."""
        work = self._work
        ended = self._abort(reason, error)
        if work is not None:
            yield from self._show(work)
            if self.stops is not None and any(message.edits for message in work.record.saved):
                yield work.ended_event(work.record.saved)
        yield ended

    def _abort(self, reason: StopReason, error: LettaError | None) -> RunEnded:
        """Commit what there is of an unfinished step and end the run."""
        if self._ended is not None:
            return self._ended
        work = self._work
        try:
            if work is not None and work.cut_off(pending_calls(self.window.messages)):
                self._write(work, [], reason, error)
            else:
                left = self.journal.finish(self._steps, self._usage, reason, _line(error))
                self.window.add(left)
        except LettaError as failure:  # the store refused: say so rather than hide why we stopped
            before = f"{error} " if error else ""
            error = LettaError(f"{before}{failure.text}", *failure.remedies, page=failure.page)
            reason = "error"
        return self._ending(reason, error)

    def _ending(self, reason: StopReason, error: LettaError | None) -> RunEnded:
        self._ended = RunEnded(
            run_id=self.journal.run.id,
            stop_reason=reason,
            error=error.text if error else None,
            remedies=error.remedies if error else (),
            page=error.page if error else "",
            steps=self._steps,
            usage=self._usage,
            seconds=perf_counter() - self._started,
            first_token=self._first_token,
            model=self.journal.run.model or self.model.name,
        )
        return self._ended


def _failed(reason: StopReason, text: str, page: str) -> After:
    return None, reason, LettaError(text, page=page)


def _line(error: LettaError | None) -> str | None:
    """Return what the store keeps of an error: no door's words, for any door may read it."""
    return error.in_words(PLAIN) if error else None
