"""Steps of runs: what each took, did and was thought of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from letta_kernel.errors import NotFoundError
from letta_kernel.records import Feedback, Step
from letta_kernel.service.core import Core
from letta_kernel.store import feedback, runs
from letta_kernel.store.database import Tx


class Steps:
    """The steps of a project's runs, with what somebody thought of them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def retrieve(self, step_id: str) -> tuple[Step, Feedback]:
        """Return one step and what was thought of it; `NotFoundError` if there is none."""

        def work(tx: Tx) -> tuple[Step, Feedback]:
            found = runs.get_step(tx, step_id)
            if found is None:
                raise NotFoundError(f"There is no step {step_id!r}.")
            return found, feedback.of_steps(tx, [step_id]).get(step_id, Feedback())

        return self._core.do(work)

    def rate(
        self, step_id: str, opinion: str | None, tags: Sequence[str] | None = None
    ) -> tuple[Step, Feedback]:
        """Keep what somebody thinks of a step: positive, negative or (None) nothing any more."""
        step, _ = self.retrieve(step_id)
        kept = self._core.do(lambda tx: feedback.put(tx, step, opinion, tags))
        return step, kept

    def of_run(self, run_id: str, *, whole: bool = False) -> list[Step]:
        """Return the steps of a run in order; *whole*: with those after approvals, numbered through."""
        read = runs.whole_steps if whole else runs.steps_of
        return self._core.do(lambda tx: read(tx, run_id))

    # Last, so that `list` in the annotations above is Python's.
    def list(
        self,
        *,
        agent_id: str | None = None,
        run_id: str | None = None,
        model: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        opinion: str | None = None,
        has_opinion: bool | None = None,
        tags: Collection[str] = (),
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
        newest_first: bool = True,
    ) -> list[tuple[Step, Feedback]]:
        """Return steps that are all of what is asked for, each with what was thought of it."""

        def work(tx: Tx) -> list[tuple[Step, Feedback]]:
            found = runs.find_steps(
                tx,
                agent_id=agent_id,
                run_id=run_id,
                model=model,
                start=start,
                end=end,
                opinion=opinion,
                has_opinion=has_opinion,
                tags=tags,
                before=before,
                after=after,
                limit=limit,
                newest_first=newest_first,
            )
            thought = feedback.of_steps(tx, [step.id for step in found])
            return [(step, thought.get(step.id, Feedback())) for step in found]

        return self._core.do(work)
