"""One message to several variants of agents at once, each a fork of its own; one of them may be kept.

What is undecided when its process ends is thrown away by the next one that opens the project.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from typing import Any

from letta_kernel import parallel, settings
from letta_kernel.agent.settings import AgentSettings, Budget
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.messages import (
    Usage,
)
from letta_kernel.models import registry
from letta_kernel.models.base import Cancel
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import FORK_OF, OWNER, AgentState
from letta_kernel.service.agent_checks import check_max_steps
from letta_kernel.service.agents import Agents
from letta_kernel.service.blocks import Blocks
from letta_kernel.service.compare_work import SharedBudget, Work
from letta_kernel.service.compared import ComparedRun, Comparison, Heard
from letta_kernel.service.forks import Forks
from letta_kernel.service.runs import Runs, sendable
from letta_kernel.service.tools import Tools
from letta_kernel.service.variants import MOST_REPEATS, MOST_RUNS, Variant
from letta_kernel.store.lease import is_dead, is_here, process_owner
from letta_kernel.tools.execute import ToolHost

PURPOSE = "compare"
"""What a comparison's forks are made for."""
_FORGOTTEN = timedelta(days=7)  # after which forks of another machine's processes are thrown away
_ENDING = 10.0  # seconds that runs which are stopped have to write their end
_MOST_OPEN = 8  # comparisons that wait for a decision; the oldest is thrown away then


class Compare:
    """Compares variants of agents on forks of them."""

    def __init__(
        self, agents: Agents, blocks: Blocks, tools: Tools, runs: Runs, forks: Forks
    ) -> None:
        self._agents = agents
        self._blocks = blocks
        self._tools = tools
        self._runs = runs
        self._forks = forks
        self._open: dict[str, Comparison] = {}
        self._lock = threading.Lock()

    def run(
        self,
        text: str,
        variants: Sequence[Variant],
        *,
        repeat: int = 1,
        pictures: Sequence[Picture] = (),
        budget: float | None = None,
        budget_tokens: int | None = None,
        max_steps: int | None = None,
        at_once: int | None = None,
        host: Callable[[str], ToolHost | None] = lambda agent_id: None,
        watch: parallel.Watch = lambda share, text: None,
        cancel: Cancel | None = None,
    ) -> Comparison:
        """Send *text* to a fork of each variant's agent, *repeat* times each, and return what came of it.

        Nobody is asked meanwhile: a run with a call that needs approval ends there, and says so. Runs go on
        at the same time, within the rate limits of their providers; where an agent has functions that live
        in this process, which are for its main thread, one after the other. The agents themselves do not
        change; `keep` lets one of the forks go on as its agent.

        Parameters
        ----------
        budget, budget_tokens : US dollars, and tokens, that all runs may take together.
        max_steps : model calls of one run.
        at_once : runs at the same time; ``LETTA_ASK_AT_ONCE`` if not given.
        host : returns where an agent's functions live.

        Raises
        ------
        InvalidInputError
            The message or a number makes no sense, or there would be too many runs. Nothing is made.
        NotFoundError
            There is no such agent or model. Nothing is made.
        KeyboardInterrupt
            The stop button: all runs have ended and the forks are gone.
        """
        text = sendable(text, pictures)
        _check(variants, repeat, budget, budget_tokens)
        if max_steps is not None:
            check_max_steps(max_steps)
        self.tidy()
        found = {one.agent: self._agents.retrieve(one.agent) for one in variants}
        for model in dict.fromkeys(one.model for one in variants if one.model):
            registry.check_model(model)
        before = {
            state.id: {one.label: one.value for one in self._blocks.list(state.id)}
            for state in found.values()
        }
        planned = [(place, n + 1) for place in range(len(variants)) for n in range(repeat)]
        compared = Comparison(
            text,
            [*variants],
            [
                ComparedRun(number, place, again, variants[place])
                for number, (place, again) in enumerate(planned, 1)
            ],
            found,
            before,
        )
        switch = cancel or Cancel()
        work = Work(
            compared,
            pictures,
            max_steps,
            host,
            switch,
            SharedBudget(budget, budget_tokens, len(planned)),
        )
        began = now()
        try:
            for run in compared.runs:
                self._prepare(compared, run)
            if switch.cancelled:
                raise KeyboardInterrupt
            self._carry_out(work, max(1, at_once or settings.ASK_AT_ONCE()), watch)
            if switch.cancelled:
                raise KeyboardInterrupt
        except BaseException:
            switch.cancel()
            self._throw_away(compared)
            raise
        compared.seconds = (now() - began).total_seconds()
        with self._lock:
            self._open[compared.id] = compared
            late = [*self._open.values()][:-_MOST_OPEN]
        for one in late:
            self.decide(one.id, None)
        return compared

    # -- what becomes of it --------------------------------------------------------------------------

    def newest(self, agent: str | None = None) -> Comparison:
        """Return the newest comparison that waits for a decision, with the agent of that id among its own.

        Raises
        ------
        NotFoundError
            None does; comparisons wait for as long as their process lives.
        """
        with self._lock:
            waiting = [*self._open.values()]
        for one in reversed(waiting):
            if agent is None or any(state.id == agent for state in one.agents.values()):
                return one
        raise NotFoundError("No comparison waits for a decision here: %%compare makes one.")

    def decide(self, comparison_id: str, number: int | None) -> Comparison:
        """Let the run *number* be its agent's own from now on, or (None) none; the others are thrown away.

        What the agent itself was told since the comparison began stays as a branch.

        Raises
        ------
        NotFoundError
            It does not wait for a decision, or has no run of that number.
        InvalidInputError
            That run cannot be kept. Nothing is changed.
        """
        with self._lock:  # two clicks at once: the first counts
            compared = self._open.pop(comparison_id, None)
        if compared is None:
            raise NotFoundError(
                "This comparison waits for no decision: it was decided, or its kernel has ended."
            )
        try:
            if number is not None:
                run = compared.run(number)
                if not run.run_id:
                    raise InvalidInputError(
                        f"Run {number} has not begun: there is nothing to keep."
                    )
                self._forks.adopt(compared.agent_of(run).id, run.agent_id)
        except BaseException:
            with self._lock:
                self._open[comparison_id] = compared
            raise
        compared.kept = number or 0
        self._throw_away(compared)
        for tell in compared.decided:
            tell(compared)
        return compared

    def _throw_away(self, compared: Comparison) -> None:
        """Delete the forks; one that cannot be now is left to the next opening."""
        for run in compared.runs:
            if run.agent_id:
                with suppress(LettaError):
                    self._agents.delete(run.agent_id)

    def tidy(self) -> int:
        """Throw away the forks of comparisons whose process has ended; return how many."""
        late = now() - _FORGOTTEN
        gone = [
            one
            for one in self._agents.hidden(PURPOSE)
            if is_dead(owner := str(one.metadata.get(OWNER) or ""))
            or (one.updated_at < late and not is_here(owner))
        ]
        for one in gone:
            with suppress(LettaError):  # somebody else was quicker
                self._agents.delete(one.id)
        return len(gone)

    # -- the runs ------------------------------------------------------------------------------------

    def _prepare(self, compared: Comparison, run: ComparedRun) -> None:
        """Make the fork that a run is of; what goes wrong is the run's problem."""
        one, state = run.variant, compared.agent_of(run)
        try:
            fork = self._forks.fork(state.id, purpose=PURPOSE)
            run.agent_id = fork.id
            mark = {**fork.metadata, FORK_OF: state.id, OWNER: process_owner()}
            changes: dict[str, Any] = {"metadata": mark}
            changed = dict(one.settings)
            if one.model is not None:
                changes["model"] = one.model
            if one.instructions is not None:
                changes["instructions"] = one.instructions
            if one.memory is False:
                changed["retrieval"] = False
                for block in self._blocks.list(fork.id):
                    self._blocks.delete(block.id)  # a copy, which nobody else has
            if one.tools in ("memory", "off"):
                own = self._tools.list(fork.id)
                core = [tool.id for tool in own if tool.kind == "core"]
                changes["tool_refs"] = core if one.tools == "memory" else []
            if changed:
                changes["settings"] = changed
            self._agents.update(fork.id, namesakes="keep", **changes)
        except LettaError as error:
            run.problem = error.text

    def _carry_out(self, work: Work, at_once: int, watch: parallel.Watch) -> None:
        runs = [run for run in work.compared.runs if not run.problem]
        if any(self._lives_here(work, run) for run in runs):
            for run in runs:
                watch(work.share, work.told())
                self._answer(work, run, work.host(work.compared.agent_of(run).id))
            return
        parallel.at_once(
            [partial(self._answer, work, run, None) for run in runs],
            at_once,
            "compared",
            stop=work.cancel.cancel,
            ending=_ENDING,
            look=lambda: watch(work.share, work.told()),
        )

    def _lives_here(self, work: Work, run: ComparedRun) -> bool:
        """Whether a function of this process is among a run's tools."""
        host = work.host(work.compared.agent_of(run).id)
        if host is None:
            return False
        return any(
            tool.runs_in == "notebook" and host.lookup(tool) is not None
            for tool in self._tools.list(run.agent_id)
        )

    def _answer(self, work: Work, run: ComparedRun, host: ToolHost | None) -> None:
        """Let a fork answer; what goes wrong is the run's problem."""
        if work.cancel.cancelled:
            run.problem = "Stopped before it began."
            return
        share = work.budget.take()
        work.begins(run)
        heard = Heard(run)
        try:
            if share.used_up(Usage()) is not None:
                raise InvalidInputError("The budget is used up; it was sent nothing.")
            limit = share.within(self._left_of(work.compared.agent_of(run)))
            events = self._runs.send(
                run.agent_id,
                work.compared.text,
                pictures=work.pictures,
                host=host,
                live=lambda event: work.hears(run, event),
                cancel=work.cancel,
                max_steps=work.max_steps,
                budget=limit,
            )
            with closing(events):  # type: ignore[type-var]
                for event in events:
                    heard.take(event)
            run.problem = heard.problem()
        except LettaError as error:
            run.problem = error.text
        finally:
            work.budget.give_back(share, run.usage)
            work.ended(run)
        try:
            run.memory = {one.label: one.value for one in self._blocks.list(run.agent_id)}
        except LettaError as error:
            run.problem = run.problem or error.text

    def _left_of(self, state: AgentState) -> Budget | None:
        """Return what an agent's own budget for all its runs leaves; its forks have none of their own."""
        total = AgentSettings.model_validate(state.settings).budget_total
        if total is None:
            return None
        return Budget(cost=max(0.0, total - (self._runs.cost(state.id).cost or 0.0)))


def _check(
    variants: Sequence[Variant], repeat: int, budget: float | None, budget_tokens: int | None
) -> None:
    if not variants:
        raise InvalidInputError("There is nothing to compare: name models, agents or the like.")
    if not isinstance(repeat, int) or isinstance(repeat, bool) or not 1 <= repeat <= MOST_REPEATS:
        raise InvalidInputError(
            f"repeat is a whole number from 1 to {MOST_REPEATS}, not {repeat!r}."
        )
    if len(variants) * repeat > MOST_RUNS:
        raise InvalidInputError(
            f"That makes {len(variants) * repeat} runs; {MOST_RUNS} can be compared: repeat it less."
        )
    if len(variants) * repeat == 1:
        raise InvalidInputError("One run is no comparison: name two models, or repeat it.")
    for name, value in (("budget", budget), ("budget_tokens", budget_tokens)):
        if value is not None and not 0 < value < 1e12:
            raise InvalidInputError(f"{name} is a number above zero, not {value!r}.")
