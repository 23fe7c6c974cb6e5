"""What a turn of a group tells while it goes on: its own events, those of its agents' runs, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

from letta_kernel.errors import LettaError
from letta_kernel.ids import new_id
from letta_kernel.messages import (
    Event,
    GroupEnded,
    GroupStarted,
    RunEnded,
    RunStarted,
    Speaker,
    Usage,
)
from letta_kernel.pictures.picture import Thumbnail
from letta_kernel.records import AgentState, Group
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.group_said import Said
from letta_kernel.stop_reasons import StopReason


class GroupTelling:
    """Takes what happens in one turn, passes it on at once, and keeps it until it is yielded.

    Parameters
    ----------
    log : what others may follow the turn by.
    live : is called with each event, if given.

    Attributes
    ----------
    id : the turn's.
    pending : what has not been yielded yet.
    manager_run : the id of the manager's newest run; empty if there is none.
    spoke : how many runs its members have had.
    """

    def __init__(self, group: Group, log: EventLog, live: Callable[[Event], None] | None) -> None:
        self._group, self._log, self._live = group, log, live
        self.id = new_id("turn")
        self._usage, self._steps = Usage(), 0
        self._started = perf_counter()
        self.pending: list[Event] = []
        self.manager_run = ""
        self.spoke = 0

    def hear(self, event: Event) -> None:
        """Take what an agent's run tells, and tell it on at once."""
        if isinstance(event, RunStarted) and event.agent_id == self._group.manager_agent_id:
            self.manager_run = event.run_id
        if isinstance(event, RunEnded):
            self._usage += event.usage
            self._steps += event.steps
        self.pending.append(event)
        self._log.add(self._group.id, self.id, event)
        if self._live is not None:
            self._live(event)

    def heard(self) -> Iterator[Event]:
        """Yield what has not been yielded yet."""
        while self.pending:
            yield self.pending.pop(0)

    def begin(self, members: Sequence[AgentState], shown: Sequence[Thumbnail]) -> None:
        """Tell that the turn begins, who is there, and which pictures the message brought."""
        self.hear(
            GroupStarted(
                run_id=self.id,
                group_id=self._group.id,
                group_name=self._group.shown,
                members=[Speaker(agent_id=one.id, name=one.name) for one in members],
                pictures=[*shown],
            )
        )

    def end(self, said: Said | None, problem: LettaError | None, *, stopped: bool) -> None:
        """Tell that the turn is over: *stopped*, ended by *said*, or by a *problem*."""
        reason: StopReason = "cancelled" if stopped else "error" if problem else "end_turn"
        error = problem.text if problem else None
        remedies = problem.remedies if problem else ()
        page = problem.page if problem else ""
        if said is not None:
            reason, remedies, page = said.reason, said.remedies, said.page
            error = f"{said.agent.name}: {said.error}" if said.error else None
        self.hear(
            GroupEnded(
                run_id=self.id,
                group_id=self._group.id,
                stop_reason=reason,
                error=error,
                remedies=remedies,
                page=page,
                waits=said.agent.id if said is not None and said.waits else "",
                turns=self.spoke,
                steps=self._steps,
                usage=self._usage,
                seconds=perf_counter() - self._started,
            )
        )

    def close(self) -> None:
        """Say to who follows the turn that nothing more comes."""
        self._log.finish(self.id)
