"""A turn of a group: from a person's message until its agents have spoken, each in a run of its own.

What a person says is kept before anybody works, and what an agent answers as soon as its run has ended. Each
agent hears what it has not heard yet as messages that begin its next run, or at the turn's end. So a turn that
is cut off at any point leaves whole histories, and the next message finds everybody where they were.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any
from weakref import finalize

from letta_kernel.agent import journal
from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import AgentBusyError, LettaError
from letta_kernel.messages import ApprovalRequested, Event, Message, Notice, RunEnded, StepEnded
from letta_kernel.models.base import Cancel
from letta_kernel.pictures.picture import Picture, Thumbnail
from letta_kernel.records import DONE, AgentState, Group, GroupMessage, Tool
from letta_kernel.service import group_part
from letta_kernel.service.asking import AskedBy
from letta_kernel.service.core import Core
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.group_claim import GroupClaim
from letta_kernel.service.group_part import GroupPart
from letta_kernel.service.group_record import GroupRecord
from letta_kernel.service.group_said import GroupOptions, Said, SupervisorHost
from letta_kernel.service.group_telling import GroupTelling
from letta_kernel.service.runner import Runner, RunOptions
from letta_kernel.service.runs import Runs
from letta_kernel.store import groups
from letta_kernel.store.database import Tx

_GO_ON = "It is your turn again; nobody else has said anything since."


Turn = Generator[Event, None, Said | None]
"""Tells what happens; returns the run that ended the turn before its time, None if all have spoken."""


class GroupTurn:
    """One turn of a group.

    Parameters
    ----------
    group, members : the group, and its agents by their ids.
    going : the groups that have a turn here, with its claim; this one while it goes on.
    """

    def __init__(
        self,
        core: Core,
        runner: Runner,
        runs: Runs,
        events: EventLog,
        group: Group,
        members: dict[str, AgentState],
        going: dict[str, GroupClaim],
        options: GroupOptions,
    ) -> None:
        self._core, self._runner, self._runs = core, runner, runs
        self._group, self._members, self._going = group, members, going
        self._options = options
        self._switch = options.get("cancel") or Cancel()
        self._record = GroupRecord(group, members)
        self._telling = GroupTelling(group, events, options.get("live"))
        self._has_group = False
        self._claim = GroupClaim(core.database, group, self._telling.id, self._switch)

    # -- the turn ----------------------------------------------------------------------------------

    def send(self, text: str, pictures: Sequence[Picture] = ()) -> Iterator[Event]:
        """Keep what a person says, let the agents answer it and yield what happens."""
        said = GroupMessage(group_id=self._group.id, content=text, pictures=[*pictures])

        def work(tx: Tx) -> None:
            self._record.check(tx, wait=self._options.get("wait", False))
            self._record.keep_answers(tx)
            self._record.say(tx, said)

        def begin() -> Turn:
            self._core.do(work)
            journal.passing("said")
            return self._by_manager(0, None)

        return self._begun(begin, [Thumbnail.of(one, one.thumbnail) for one in pictures])

    def approve(self, agent: AgentState, decisions: Sequence[Decision]) -> Iterator[Event]:
        """Go on where *agent* waited for approval: with its run, then with the others."""

        def begin() -> Turn:
            events = self._runs.approve(agent.id, decisions, **self._run_options(agent))
            return self._after_approval(agent, events)

        return self._begun(begin)

    def _begun(self, begin: Callable[[], Turn], shown: Sequence[Thumbnail] = ()) -> Iterator[Event]:
        """Have the group for what *begin* returns; who comes meanwhile is refused, and nothing is kept."""
        if self._group.id in self._going:
            raise AgentBusyError(
                f"{self._group.shown} is in the middle of a turn here: wait for it to end, or stop it."
            )
        if (admission := self._core.admission) is not None:
            admission.check()  # now, while whoever asks can still be told with a status of its own
        self._going[self._group.id] = self._claim
        self._has_group = True
        try:
            self._claim.hold()
            events = self._told(begin(), shown)
        except BaseException:
            self._let_go()
            raise
        finalize(events, self._let_go).atexit = False  # where nobody ever asks what happens
        return events

    def _let_go(self) -> None:
        if self._has_group:
            self._has_group = False
            self._claim.give()
            self._going.pop(self._group.id, None)

    def _told(self, turn: Turn, shown: Sequence[Thumbnail] = ()) -> Iterator[Event]:
        """Yield what *turn* tells between the beginning and the end of the group's turn."""
        try:
            self._telling.begin([self._members[one] for one in self._group.everyone], shown)
            yield from self._telling.heard()
            said: Said | None = None
            problem: LettaError | None = None
            try:
                said = yield from turn
            except LettaError as error:
                problem = error
            except BaseException as stop:
                self._end(None, None, stopped=True)
                if isinstance(stop, KeyboardInterrupt):
                    yield from self._telling.heard()
                raise
            self._end(said, problem)
            yield from self._telling.heard()
        finally:
            self._let_go()
            self._telling.close()

    def _by_manager(self, done: int, last: AgentState | None) -> Turn:
        """Let the agents speak, *done* of whose turns are over, the last one *last*'s."""
        match self._group.manager_type:
            case "round_robin":
                return self._round_robin(done)
            case "dynamic":
                return self._dynamic(done, last)
            case "supervisor":
                return self._supervised()
            case _:
                return self._managed()

    def _round_robin(self, done: int) -> Turn:
        ids = self._group.agent_ids
        for number in range(done, self._most):
            said = yield from self._member(self._members[ids[number % len(ids)]])
            if said.stops:
                return said
        return None

    def _dynamic(self, done: int, last: AgentState | None) -> Turn:
        token = self._group.termination_token or DONE
        for _ in range(done, self._most):
            said, following = yield from self._choose(last)
            if said.stops:
                return said
            if following is None:
                return None
            said = yield from self._member(following)
            if said.stops:
                return said
            if token in said.text:
                return None
            last = following
        return None

    def _choose(
        self, last: AgentState | None
    ) -> Generator[Event, None, tuple[Said, AgentState | None]]:
        """Let the manager say who is next; None if nobody is."""
        manager, options = self._manager, self._others(last) or [*self._speakers]
        part = group_part.of_chooser(self._group, manager, self._speakers)
        text = group_part.question(self._group, options)
        said = Said(manager)
        for _ in range(2):
            asking = self._event(manager, text)
            said = yield from self._speak(manager, part, [asking])
            if said.stops:
                return said, None
            found = group_part.chosen(said.text, options)
            if found is not None or (self._group.termination_token or DONE) in said.text:
                return said, found
            text = f"That names nobody. {group_part.question(self._group, options)}"
        names = ", ".join(one.name for one in options)
        said.reason = "error"
        said.error = f"{manager.name} named nobody who could speak next: {names}."
        return said, None

    def _supervised(self) -> Turn:
        manager = self._manager
        part = group_part.of_supervisor(self._group, manager, self._speakers)
        given = self._options.get("each", _nothing)(manager.id)
        host = SupervisorHost(given.get("host"), self._ask_all)
        tools: list[Tool] = [*given.get("turn_tools", ()), group_part.ask_all_tool()]
        said = yield from self._speak(manager, part, host=host, turn_tools=tools)
        self._core.do(self._record.all_heard)
        return said if said.stops else None

    def _managed(self) -> Turn:
        said = yield from self._speak(self._manager, GroupPart(self._group.id))
        return said if said.stops else None

    def _after_approval(self, agent: AgentState, events: Iterator[Event]) -> Turn:
        said = yield from self._follow(agent, events)
        if said.stops:
            return said
        group = self._group
        token = group.termination_token or DONE
        is_manager = agent.id == group.manager_agent_id
        if group.manager_type == "dynamic":
            if is_manager:
                following = group_part.chosen(said.text, self._speakers)
                if following is None:
                    return None
                said = yield from self._member(following)
                if said.stops:
                    return said
            if token in said.text:
                return None
            agent = said.agent
        elif group.manager_type != "round_robin":
            if is_manager:
                return None
            # The supervisor went on without this answer: it hears it now.
            part = GroupPart(group.id)
            said = yield from self._speak(self._manager, part)
            self._core.do(self._record.all_heard)
            return said if said.stops else None
        done = self._core.do(self._record.done)
        return (yield from self._by_manager(done, agent))

    # -- one agent ---------------------------------------------------------------------------------

    def _member(self, agent: AgentState) -> Generator[Event, None, Said]:
        part = group_part.of_member(self._group, agent, self._others(agent))
        return (yield from self._speak(agent, part))

    def _speak(
        self,
        agent: AgentState,
        part: GroupPart,
        more: Sequence[Message] = (),
        **given: Any,
    ) -> Generator[Event, None, Said]:
        """Let *agent* answer what it has not heard yet, and *more*."""
        if self._switch.cancelled:
            return Said(agent)
        unheard = self._core.do(lambda tx: self._record.unheard(tx, agent.id))
        incoming = [*groups.copies(unheard, agent.id), *more]
        if not incoming:
            incoming = [self._event(agent, _GO_ON)]
        options: RunOptions = {**self._run_options(agent), "group": part, **given}  # type: ignore[typeddict-item]
        state = self._core.find_agent(agent.id)
        said = yield from self._follow(agent, self._runner.run(state, incoming, None, options))
        if unheard:
            upto = unheard[-1].seq
            self._core.do(lambda tx: self._record.heard(tx, agent.id, upto))
        return said

    def _follow(self, agent: AgentState, events: Iterator[Event]) -> Generator[Event, None, Said]:
        """Follow the run of an agent to its end, and keep what it answered."""
        said = Said(agent)
        self._telling.spoke += agent.id != self._group.manager_agent_id
        try:
            with closing(events):  # type: ignore[type-var]
                for event in events:
                    match event:
                        case StepEnded():
                            found = [one for one in event.messages if one.role == "assistant"]
                            said.answers += [one.said for one in found if one.said.strip()]
                        case ApprovalRequested():
                            said.waits = True
                        case RunEnded():
                            said.reason, said.error = event.stop_reason, event.error
                            said.remedies, said.page = event.remedies, event.page
                    yield from self._telling.heard()
        except LettaError as error:  # it could not begin
            said.reason, said.error, said.remedies = "error", error.text, error.remedies
            said.page = error.page
        finally:
            self._core.do(self._record.keep_answers)
        journal.passing("answered")
        yield from self._telling.heard()
        return said

    def _ask_all(self, message: str) -> list[str]:
        """Let every member answer what the supervisor asks; return what they said, with their names."""
        manager = self._manager
        asked = GroupMessage(
            group_id=self._group.id, sender_id=manager.id, name=manager.name, content=message
        )
        self._core.do(lambda tx: self._record.say(tx, asked))
        found = []
        for agent in self._speakers:
            said = self._asked(agent, asked)
            if said.waits:
                self._telling.hear(Notice(text=f"{agent.name} waits for your word on its calls."))
            found.append(f"{agent.name}: {said.text or f'({said.problem})'}")
        return found

    def _asked(self, agent: AgentState, asked: GroupMessage) -> Said:
        """Let one member answer the supervisor, inside its call."""
        part = group_part.of_asked(self._group, agent, self._manager)
        manager = self._manager
        # So that nobody asks the supervisor meanwhile, who waits.
        call = AskedBy(self._telling.manager_run, asked.id, ((manager.id, manager.name),))
        options: RunOptions = {**self._run_options(agent), "group": part, "asked": call}
        incoming = groups.copies([asked], agent.id)
        run = self._runner.run(self._core.find_agent(agent.id), incoming, None, options)
        said = Said(agent)
        if self._switch.cancelled:
            return said
        kept, self._telling.pending = self._telling.pending, []
        following = self._follow(agent, run)
        try:
            while True:
                kept.append(next(following))  # told already, to whoever listens
        except StopIteration as end:
            said = end.value
        finally:
            following.close()
            self._telling.pending = [*kept, *self._telling.pending]
        return said

    def _run_options(self, agent: AgentState) -> RunOptions:
        options = self._options
        given: RunOptions = {
            "wait": options.get("wait", False),
            "max_steps": options.get("max_steps"),
            "model": options.get("model"),
            **options.get("each", _nothing)(agent.id),
            "live": self._telling.hear,
            "cancel": self._switch,
        }
        return given

    def _event(self, agent: AgentState, text: str) -> Message:
        return Message(
            agent_id=agent.id, role="event", name="group", content=text, group_id=self._group.id
        )

    # -- who there is ------------------------------------------------------------------------------

    @property
    def _manager(self) -> AgentState:
        return self._members[self._group.manager_agent_id or ""]

    @property
    def _speakers(self) -> list[AgentState]:
        return [self._members[one] for one in self._group.agent_ids]

    @property
    def _most(self) -> int:
        """How many turns members may have."""
        return self._group.max_turns or len(self._group.agent_ids)

    def _others(self, agent: AgentState | None) -> list[AgentState]:
        return [one for one in self._speakers if agent is None or one.id != agent.id]

    # -- its end -----------------------------------------------------------------------------------

    def _end(self, said: Said | None, problem: LettaError | None, *, stopped: bool = False) -> None:
        """Let everybody hear what was said, and tell that the turn is over: ended by *said*, or a *problem*."""
        try:
            self._core.do(self._record.spread)
        except LettaError as failure:
            text = f"Not all have heard yet: {failure.text}"
            self._telling.hear(Notice(level="warning", text=text))
        self._telling.end(said, problem, stopped=stopped)


def _nothing(agent_id: str) -> RunOptions:
    return {}
