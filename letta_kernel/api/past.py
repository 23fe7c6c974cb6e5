"""What an agent was: points in time, rewinds and forks, as `Agent` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from letta_kernel.service import AgentService
    from letta_kernel.service.differences import Difference
    from letta_kernel.service.forks import Rewound
    from letta_kernel.service.timeline import AgentThen, Timeline


class Past:
    """What an `Agent` does with its past; steps, runs and branches go by the beginning of their ids."""

    service: AgentService
    id: str

    @property
    def timeline(self) -> Timeline:
        """The newest runs with their steps, the ends it was rewound from, and its forks."""
        return self.service.timeline.of(self.id)

    def at(self, step: str) -> AgentThen:
        """Return the agent as it was at the end of a step, of a run, or of a branch: to be looked at only.

        It has ``messages``, ``blocks``, ``tools`` with their sources, ``rules``, ``settings``, ``archives`` and
        ``folders``.

        Raises
        ------
        NotFoundError
            There is no such point in its history.
        """
        return self.service.timeline.at(self.id, step)

    def fork(self, name: str | None = None, at: str | None = None, *, fresh: bool = False) -> Self:
        """Make an agent that is what this one was *at* a step, or is now; both go on by themselves.

        History and passages are shared up to there, not copied; memory blocks are copies.
        With *fresh* an agent of that name is set aside.
        """
        made = self.service.forks.fork(self.id, name, at=at, fresh=fresh)
        return type(self)(made.id, home=self.service.home)  # type: ignore[call-arg]

    def rewind(
        self, to: str | None = None, *, steps: int | None = None, shared: bool = False
    ) -> Rewound:
        """Go back to a step, run or branch, or by so many *steps*; the old end stays as a branch.

        Blocks that other agents have too are left alone unless *shared* says otherwise. What tools did outside
        is listed in ``outside``: nobody can take it back.
        """
        return self.service.forks.rewind(self.id, to, steps=steps, shared=shared)

    def undo(self, *, shared: bool = False) -> Rewound:
        """Take back the last run."""
        return self.service.forks.undo(self.id, shared=shared)

    def redo(self, *, shared: bool = False) -> Rewound:
        """Return to the end that the last undo or rewind left, if nothing was said since."""
        return self.service.forks.redo(self.id, shared=shared)

    def diff(self, one: str, other: str = "now") -> Difference:
        """Return what two points say, know and can do differently: steps, runs, branches, agents, ``now``."""
        return self.service.timeline.diff(one, other, agent=self.id)
