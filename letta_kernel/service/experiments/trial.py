"""One trial: an agent of its own does one case, and what came of it is gathered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from time import perf_counter

from letta_kernel.errors import LettaError
from letta_kernel.messages import ANSWER_TOOL, Message, RunEnded, StepEnded, Usage
from letta_kernel.models.base import Cancel
from letta_kernel.models.cached import Answers
from letta_kernel.records import AgentState
from letta_kernel.service.experiments.cases import Call, Outcome
from letta_kernel.service.experiments.plan import Trial
from letta_kernel.service.experiments.stage import OWN_ARCHIVE, Stage
from letta_kernel.stop_reasons import meaning
from letta_kernel.tools.answers import last_answer

_MOST_PASSAGES = 100_000


class Unfinished(Exception):
    """A trial was ended from outside: nothing came of it, and it is done again another time."""


def search(stage: Stage, agents: dict[tuple[str, str], AgentState], trial: Trial) -> Outcome:
    """Return what a search of the archive finds for a case; *agents* keeps those that were made for it."""
    case, began = trial.case, perf_counter()
    outcome = Outcome(case)
    key = (case.dialogue or case.id, trial.variant.name)
    try:
        if key not in agents:
            agents[key] = stage.agent(case, trial.variant)
        hits = stage.service.passages.search(
            case.messages[-1], agent=agents[key].id, top_k=trial.variant.top_k
        )
        outcome.found = [str(one.passage.metadata.get("dia_id") or one.passage.id) for one in hits]
        outcome.kept = [] if case.dialogue else [one.passage.content for one in hits]
    except LettaError as error:
        outcome.error = error.text
    outcome.figures = {"seconds": round(perf_counter() - began, 4)}
    return outcome


def answer(
    stage: Stage,
    trial: Trial,
    answers: Answers,
    cancel: Cancel,
    seconds: float,
    spend: Callable[[Usage], None],
) -> tuple[Outcome, str]:
    """Let an agent do a case; return what came of it, and the model that answered.

    Parameters
    ----------
    answers : those that the model gave before.
    cancel : ends it from another thread: then it is `Unfinished`.
    seconds : after which it has failed.
    spend : is told of what each step took.

    Raises
    ------
    Unfinished
        It was ended from outside.
    """
    outcome, began = Outcome(trial.case), perf_counter()
    switch = Cancel()
    cancel.on_cancel(switch.cancel)
    timer = threading.Timer(seconds, switch.cancel)
    timer.daemon = True
    timer.start()
    work = _Work(stage, trial, answers, switch, outcome, spend)
    state: AgentState | None = None
    try:
        state = stage.agent(trial.case, trial.variant)
        work.run(state)
    except LettaError as error:
        outcome.error = error.text
    finally:
        timer.cancel()
        if state is not None:
            stage.away(state)
    if cancel.cancelled and not work.done:
        raise Unfinished
    if switch.cancelled and not work.done:
        outcome.error = f"It took longer than {seconds:g} seconds."
    outcome.figures = {
        "steps": work.steps,
        "prompt_tokens": work.usage.prompt_tokens,
        "completion_tokens": work.usage.completion_tokens,
        "cost": work.usage.cost,
        "seconds": round(perf_counter() - began, 3),
    }
    return outcome, work.model


class _Work:
    """What goes on in one trial."""

    def __init__(
        self,
        stage: Stage,
        trial: Trial,
        answers: Answers,
        cancel: Cancel,
        outcome: Outcome,
        spend: Callable[[Usage], None],
    ) -> None:
        self._stage = stage
        self._service = stage.service
        self._trial = trial
        self._answers = answers
        self._cancel = cancel
        self._outcome = outcome
        self._spend = spend
        self.usage = Usage()
        self.steps = 0
        self.done = False  # all was said and answered
        self.model = ""

    def run(self, state: AgentState) -> None:
        """Say all messages, and look at what memory holds before and after."""
        outcome = self._outcome
        outcome.before = self._blocks(state)
        before = self._passages(state)
        for turn, text in enumerate(self._trial.case.messages):
            if self._cancel.cancelled or not self._turn(state, turn, text):
                break
        else:
            self.done = True
        outcome.after = self._blocks(state)
        after = self._passages(state)
        outcome.kept = [text for key, text in after.items() if key not in before]
        outcome.gone = sum(key not in after for key in before)

    def _turn(self, state: AgentState, turn: int, text: str) -> bool:
        """Say one message; return whether the next can be said."""
        messages: list[Message] = []
        ended: RunEnded | None = None
        events = self._service.runs.send(
            state.id,
            text,
            host=self._stage,
            cancel=self._cancel,
            wrap_model=self._answers.wrap,
        )
        with closing(events) as told:  # type: ignore[type-var]
            for event in told:
                if isinstance(event, StepEnded):
                    messages += event.messages
                    self.usage += event.usage
                    self.steps += 1
                    self._spend(event.usage)
                elif isinstance(event, RunEnded):
                    ended = event
        self._outcome.answers.append(last_answer(messages) or "")
        self._outcome.calls += calls_of(messages, turn)
        if ended is None:
            self._outcome.error = "The run came to no end."
            return False
        self.model = ended.model
        if meaning(ended.stop_reason) == "well":
            return True
        waits = meaning(ended.stop_reason) == "waits"
        said = "a call waits for a person's approval" if waits else ended.error or ended.stop_reason
        self._outcome.error = f"Message {turn + 1}: {said}"
        return False

    def _blocks(self, state: AgentState) -> dict[str, str]:
        return {one.label: one.value for one in self._service.blocks.list(state.id)}

    def _passages(self, state: AgentState) -> dict[str, str]:
        """Return the texts of passages by their ids; of an agent that knows a conversation only its own."""
        if self._trial.case.dialogue:
            (own,) = self._service.archives.list(state.id, name=OWN_ARCHIVE)
            found = self._service.passages.list(archive=own.id, limit=_MOST_PASSAGES)
        else:
            found = self._service.passages.list(state.id, _MOST_PASSAGES)
        return {one.id: one.content for one in found}


def calls_of(messages: list[Message], turn: int) -> list[Call]:
    """Return the calls of tools among the messages of one run, each with its result."""
    results = {one.tool_call_id: one for one in messages if one.role == "tool"}
    made = []
    for message in messages:
        for call in message.tool_calls:
            if call.name == ANSWER_TOOL:
                continue
            result = results.get(call.id)
            made.append(
                Call(
                    call.name,
                    call.values,
                    (result.status or "") if result is not None else "",
                    result.content if result is not None else "",
                    turn,
                )
            )
    return made
