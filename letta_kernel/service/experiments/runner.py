"""Doing an experiment: every trial that has no result yet, several at a time, each kept before it counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from letta_kernel import parallel
from letta_kernel.agent.settings import AgentSettings
from letta_kernel.errors import LettaError
from letta_kernel.messages import Usage
from letta_kernel.models import registry
from letta_kernel.models.base import Cancel, ChatModel
from letta_kernel.models.cached import Answers
from letta_kernel.records import AgentState
from letta_kernel.service import AgentService
from letta_kernel.service.experiments import trial as trials
from letta_kernel.service.experiments.cases import Grade, Outcome
from letta_kernel.service.experiments.graders import Function
from letta_kernel.service.experiments.grading import Grader
from letta_kernel.service.experiments.judge import Judge
from letta_kernel.service.experiments.plan import Plan, Trial
from letta_kernel.service.experiments.report import Report
from letta_kernel.service.experiments.results import Result, Results
from letta_kernel.service.experiments.stage import Stage
from letta_kernel.service.experiments.trial import Unfinished
from letta_kernel.tools.execute import ToolHost


def run(
    plan: Plan,
    folder: Path,
    *,
    project: AgentService | None = None,
    host: ToolHost | None = None,
    fresh: bool = False,
    retry: bool = False,
    watch: parallel.Watch = lambda share, text: None,
    cancel: Cancel | None = None,
) -> Report:
    """Do what is left of an experiment and return its report.

    Trials that have results in *folder* are not done again. Where graders have changed since, the kept
    outcomes are graded anew; what models answered is not asked for twice.

    Parameters
    ----------
    folder : where results are kept.
    project : the project whose agent is forked and whose tools are used; None if there is none.
    host : where functions of the forked agent live; they run one after the other then, on this thread.
    fresh : begin anew; what was there is kept beside.
    retry : do those again that failed, or that a grader could not judge.
    cancel : ends it from another thread, as the stop button does from this one; what is done is kept.

    Raises
    ------
    InvalidInputError
        The folder holds something else, or another process runs this experiment.
    NotFoundError
        There is no such agent or model. Nothing was asked.
    KeyboardInterrupt
        The stop button; what is done is kept.
    """
    if plan.agent is not None and project is not None:
        plan.whose = project.forks.mark(plan.agent)
    results = Results(folder, fresh=fresh)
    try:
        known = results.load(plan)
        results.begin(plan)
        work = _Run(plan, results, known, retry, cancel or Cancel(), watch)
        if work.left:
            stage = Stage(plan, results, project, host)
            try:
                work.check(stage)
                work.carry_out(stage)
            finally:
                stage.close()
        return Report.of(plan, known, [*plan.notes, *work.notes])
    finally:
        results.close()


class _Run:
    """One sitting."""

    def __init__(
        self,
        plan: Plan,
        results: Results,
        known: dict[str, Result],
        retry: bool,
        cancel: Cancel,
        watch: parallel.Watch,
    ) -> None:
        self._plan, self._results, self._known, self._watch = plan, results, known, watch
        self._retry, self._cancel = retry, cancel
        self._lock = threading.Lock()  # what is counted, and functions that grade
        self._functions = threading.Lock()
        self._spent = results.spent
        self._running: set[str] = set()
        self._agents: dict[tuple[str, str], AgentState] = {}
        self._all = plan.trials()
        self._done = len(known)
        self._passed = sum(one.passed for one in known.values())
        self.left = [one for one in self._all if not self._is_done(one)]
        self.notes: list[str] = []

    def _is_done(self, trial: Trial) -> bool:
        found = self._known.get(trial.key)
        if found is None or (self._retry and _failed(found)):
            return False
        return bool(found.outcome.error) or found.grading == self._plan.grading(trial.case)

    def check(self, stage: Stage) -> None:
        """Refuse models and tools that there are not, before anything is asked; say what may not answer."""
        stage.check()
        for judge in self._plan.judges():
            registry.check_model(judge)
        for variant in self._plan.variants:
            if variant.model is not None:
                registry.check_model(variant.model)
            asked = [one for one in self.left if one.variant.name == variant.name]
            if self._plan.mode == "search" or not asked or self._has_answers(asked):
                continue
            doubt = (
                registry.doubt(variant.model) if variant.model else registry.doubt_of_environment()
            )
            if doubt:
                self.notes.append(f"{variant.name}: {doubt}")

    def _has_answers(self, asked: list[Trial]) -> bool:
        return all(self._results.has_answers(one) or one.key in self._known for one in asked)

    # -- all of them -----------------------------------------------------------------------------------

    def carry_out(self, stage: Stage) -> None:
        """Do all that is left."""
        most = self._plan.budget.cost
        if most is not None and self._spent >= most:
            self._end(f"The budget of ${most:g} is used up.")
        with self._limited():
            alone = self._plan.mode == "search" or stage.has_functions or self._plan.parallel == 1
            try:
                if alone:
                    for trial in self.left:
                        if self._cancel.cancelled:
                            break
                        self._tell()
                        self._do(stage, trial)
                else:
                    parallel.at_once(
                        [partial(self._do, stage, trial) for trial in self.left],
                        self._plan.parallel,
                        "experiment",
                        stop=self._cancel.cancel,
                        ending=None,
                        look=self._tell,
                    )
            except KeyboardInterrupt:
                self._cancel.cancel()
                raise
        self._tell()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """End it when its time is over."""
        seconds = self._plan.budget.seconds
        if seconds is None:
            yield
            return
        timer = threading.Timer(seconds, self._end, [f"The {seconds:g} seconds are over."])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self, why: str) -> None:
        with self._lock:
            if not self._cancel.cancelled:
                self.notes.append(why)
        self._cancel.cancel()

    def _tell(self) -> None:
        with self._lock:
            share = self._done / len(self._all)
            parts = [f"{self._done} of {len(self._all)}", f"{self._passed} passed"]
            if self._running:
                parts.append(f"{len(self._running)} at work")
            if self._spent:
                parts.append(f"${self._spent:.4g}")
        self._watch(share, " · ".join(parts))

    # -- one of them -----------------------------------------------------------------------------------

    def _do(self, stage: Stage, trial: Trial) -> None:
        """Do one trial, grade it, and keep what came of it."""
        if self._cancel.cancelled:
            return
        with self._lock:
            self._running.add(trial.key)
        try:
            result = self._result(stage, trial)
            if self._cancel.cancelled and any(one.broken for one in result.grades):
                return  # the judge was ended, too
            kept = self._results.keep(result, trial)
            with self._lock:
                before = self._known.get(trial.key)
                self._done += before is None
                self._passed += kept.passed - (before is not None and before.passed)
                self._known[trial.key] = kept
        except Unfinished:
            return
        except BaseException:
            self._cancel.cancel()  # nothing can be kept: the others need not go on
            raise
        finally:
            with self._lock:
                self._running.discard(trial.key)

    def _result(self, stage: Stage, trial: Trial) -> Result:
        before = self._known.get(trial.key)
        again = before is None or bool(before.outcome.error)
        if self._plan.mode == "search":
            outcome, model = trials.search(stage, self._agents, trial), ""
        elif before is not None and not again:
            outcome, model = before.outcome, before.model
        else:
            answers = self._results.answers(trial, anew=before is not None)
            outcome, model = trials.answer(
                stage, trial, answers, self._cancel, self._plan.budget.case_seconds, self._spend
            )
        grades = self._grades(stage, trial, outcome, anew=before is not None and _failed(before))
        return Result(
            trial.key,
            trial.case.id,
            trial.variant.name,
            trial.repeat,
            outcome,
            grades,
            self._plan.grading(trial.case),
            model,
            trial.case.category,
        )

    def _spend(self, usage: Usage) -> None:
        most = self._plan.budget.cost
        with self._lock:
            self._spent += usage.cost or 0.0
            over = most is not None and self._spent >= most
            if most is not None and usage.cost is None and usage.total_tokens:
                said = "No price is known of some answers: the budget in dollars leaves them out."
                if said not in self.notes:
                    self.notes.append(said)
        if over:
            self._end(f"The budget of ${most:g} is used up.")

    def _grades(self, stage: Stage, trial: Trial, outcome: Outcome, anew: bool) -> list[Grade]:
        if outcome.error:
            return []
        made = []
        answers: Answers | None = None
        for grader in self._plan.graders_of(trial.case):
            if isinstance(grader, Judge) and answers is None:
                answers = self._results.answers(trial, anew=anew, of="-grades")
            made.append(self._grade(stage, grader, outcome, answers, trial.key in self._known))
        return made

    def _grade(
        self,
        stage: Stage,
        grader: Grader,
        outcome: Outcome,
        answers: Answers | None,
        counted: bool,
    ) -> Grade:
        """Return what a grader says; what goes wrong is a grade that has not passed.

        *counted* says that what the kept answers cost is in the outcome's figures already.
        """
        cost = 0.0

        def spend(usage: Usage) -> None:
            nonlocal cost
            if counted and answers is not None and answers.was_kept:
                return
            cost += usage.cost or 0.0
            self._spend(usage)

        def open_model(name: str) -> ChatModel:
            wrap = answers.wrap if answers is not None else None
            return stage.service.recordings.open_model(name, AgentSettings.model_validate({}), wrap)

        try:
            if isinstance(grader, Judge):
                return grader.judged(outcome, open_model, self._plan.judge, self._cancel, spend)
            if isinstance(grader, Function):
                with self._functions:
                    return grader.grade(outcome)
            return grader.grade(outcome)
        except LettaError as error:
            return Grade(0.0, False, error.text, grader.name, broken=True)
        except Exception as error:
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            return Grade(0.0, False, said[:500], grader.name, broken=True)
        finally:
            if cost:
                with self._lock:
                    so_far = outcome.figures.get("grading_cost") or 0.0
                    outcome.figures["grading_cost"] = so_far + cost


def _failed(result: Result) -> bool:
    """Whether it came to no end, or a grader could not judge."""
    return bool(result.outcome.error) or any(one.broken for one in result.grades)
