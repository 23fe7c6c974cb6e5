"""Groups of agents: made, found, changed, deleted; what was said in them, once and in order.

A turn of a group, from a person's message until all have spoken, is `letta_kernel.service.group_turns`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Unpack

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError, NameTakenError, NotFoundError, nearest
from letta_kernel.messages import Event, Message, ToolCall
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import DONE, AgentState, Group
from letta_kernel.service.core import Core
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.group_claim import GroupClaim
from letta_kernel.service.group_said import GroupOptions
from letta_kernel.service.group_turns import GroupTurn
from letta_kernel.service.runner import Runner
from letta_kernel.service.runs import Runs, sendable
from letta_kernel.store import agents, blocks, claims, groups, stops
from letta_kernel.store.database import Tx

MAX_NAME = 50
"""Characters of a group's name."""
MOST_AGENTS = 50
"""Members of a group."""
MOST_TURNS = 200
"""Turns that members may have for one message."""
MAX_TEXT = 10_000
"""Characters of a group's description."""
_NAME = re.compile(r"[^\W_][\w.-]*")

_LOOK = 0.05  # seconds between two looks at whether a turn has ended

FIELDS = {
    "round_robin": ("max_turns",),
    "supervisor": ("manager_agent_id",),
    "dynamic": ("manager_agent_id", "termination_token", "max_turns"),
    "sleeptime": ("manager_agent_id", "sleeptime_agent_frequency", "sleeptime_propose_only"),
}
"""What a group of each manager has beside its members."""
CHANGEABLE = ("name", "description", "agent_ids", "shared_block_ids", "hidden")


class Groups:
    """The groups of a project; each is named by its id, its name, or its name behind an ``@``."""

    def __init__(self, core: Core, runner: Runner, runs: Runs, events: EventLog) -> None:
        self._core, self._runner, self._runs, self._events = core, runner, runs, events
        self._going: dict[str, GroupClaim] = {}

    def create(
        self,
        members: Sequence[str],
        *,
        name: str = "",
        description: str = "",
        manager_type: str = "round_robin",
        manager: str | None = None,
        shared_block_ids: Sequence[str] = (),
        hidden: bool = False,
        **fields: Any,
    ) -> Group:
        """Make a group of agents, named by their ids or names, in the order in which they speak.

        Parameters
        ----------
        name : what it is called, behind an ``@``; a group without one is found by its id.
        manager_type : who speaks when: round_robin (one after the other), supervisor (the manager asks all,
            then answers), dynamic (the manager says who is next), sleeptime (the manager answers; the members
            look after its memory).
        manager : the agent that manages the others; round_robin has none.
        shared_block_ids : memory blocks that all of them, and the manager, get.
        fields : what `FIELDS` names for this kind of manager.

        Raises
        ------
        NotFoundError
            There is no such agent or block.
        InvalidInputError
            A value is out of range or of another kind of manager. Nothing is made.
        """

        def work(tx: Tx) -> Group:
            made = Group(
                name=self._free(tx, name) if name else "",
                description=description,
                manager_type=_known(manager_type),
                agent_ids=[self._core.agent(tx, ref).id for ref in members],
                manager_agent_id=self._core.agent(tx, manager).id if manager else None,
                shared_block_ids=list(dict.fromkeys(shared_block_ids)),
                hidden=hidden,
                **_given(manager_type, fields),
            )
            if made.manager_type == "dynamic" and made.termination_token is None:
                made.termination_token = DONE
            if made.sleeptime_agent_frequency:
                made.turns_counter = -1
            return self.add(tx, made)

        return self._core.do(work)

    def add(self, tx: Tx, made: Group) -> Group:
        """Keep a group of agents that are there, and give them its blocks; raises as `create` does."""
        self._check(tx, made)
        groups.add(tx, made)
        self._share(tx, made)
        return made

    def spare_name(self, tx: Tx, name: str) -> str:
        """Return *name*, with ``_copy`` and a number at its end if it is taken; empty if it is no group's."""
        for number in range(1, 100):
            tail = "" if number == 1 else f"_copy{number - 1 if number > 2 else ''}"
            try:
                return self._free(tx, name + tail)
            except NameTakenError:
                continue
            except InvalidInputError:
                break
        return ""

    def retrieve(self, ref: str) -> Group:
        """Return one group; `NotFoundError` names the nearest."""
        return self._core.do(lambda tx: self.find(tx, ref))

    def update(self, ref: str, *, manager: str | None = None, **changes: Any) -> Group:
        """Change name, description, hidden, the members (``agent_ids``), or what its manager has.

        Who manages it may be another agent; the kind of manager stays.
        """

        def work(tx: Tx) -> Group:
            found, given = self.find(tx, ref), dict(changes)  # tried again, it begins anew
            fresh = {field: given.pop(field) for field in CHANGEABLE if field in given}
            if fresh.get("name", found.name) != found.name:
                fresh["name"] = self._free(tx, fresh["name"]) if fresh["name"] else ""
            if "agent_ids" in fresh:
                fresh["agent_ids"] = [self._core.agent(tx, one).id for one in fresh["agent_ids"]]
            if manager is not None:
                given["manager_agent_id"] = self._core.agent(tx, manager).id
            fresh |= _given(found.manager_type, given)
            if fresh.get("sleeptime_agent_frequency") and found.turns_counter is None:
                fresh["turns_counter"] = -1
            changed = Group.model_validate({**found.model_dump(), **fresh})
            self._check(tx, changed)
            groups.save(tx, changed)
            self._share(tx, changed)
            return changed

        return self._core.do(work)

    def delete(self, ref: str) -> Group:
        """Delete a group and return what it was; its agents stay, with what they remember of it."""

        def work(tx: Tx) -> Group:
            found = self.find(tx, ref)
            groups.delete(tx, found.id)
            return found

        return self._core.do(work)

    def members(self, ref: str) -> list[AgentState]:
        """Return a group's members in their order, the manager behind them."""

        def work(tx: Tx) -> list[AgentState]:
            return [self._core.agent(tx, one) for one in self.find(tx, ref).everyone]

        return self._core.do(work)

    def send(
        self,
        ref: str,
        text: str,
        pictures: Sequence[Picture] = (),
        **options: Unpack[GroupOptions],
    ) -> Iterator[Event]:
        """Say something to a group and yield what happens until its agents have spoken.

        `GroupStarted` comes first and `GroupEnded` last; between them are the runs of the agents, one after the
        other, but for those a supervisor asks, whose events stand inside its run.

        Parameters
        ----------
        options : how the turn is carried out.

        Raises
        ------
        InvalidInputError
            The message is empty or too long, or an agent waits for an approval. Nothing is changed.
        AgentBusyError
            A turn of this group, or a run of who would speak first, is going on here.
        """
        text = sendable(text, pictures)
        return self._turn(self.retrieve(ref), options).send(text, pictures)

    def approve(
        self,
        ref: str,
        decisions: Sequence[Decision],
        *,
        agent: str | None = None,
        **options: Unpack[GroupOptions],
    ) -> Iterator[Event]:
        """Go on where an agent of the group waited for approval, then with those who have not spoken yet."""
        waiting = self.pending(ref)
        if agent is not None:
            wanted = self._core.find_agent(agent).id
            waiting = [one for one in waiting if one[0].id == wanted]
        if not waiting:
            raise InvalidInputError(f"{ref} waits for no approval.")
        return self._turn(self.retrieve(ref), options).approve(waiting[0][0], decisions)

    def pending(self, ref: str) -> list[tuple[AgentState, list[ToolCall]]]:
        """Return the agents that wait for a person's approval in a turn of this group, with their calls."""

        def work(tx: Tx) -> list[tuple[AgentState, list[ToolCall]]]:
            group = self.find(tx, ref)
            found = []
            for agent_id in group.everyone:
                state = self._core.agent(tx, agent_id)
                calls = self._core.waiting_calls(tx, state)
                if calls and groups.asks_in(tx, group.id, agent_id):
                    found.append((state, calls))
            return found

        return self._core.do(work)

    def cancel(self, ref: str, seconds: float = 0.0) -> str:
        """Ask for the end of the turn of a group, in whatever process it goes on, and wait for it.

        Returns ``cancelled``; ``ended`` where none goes on, or it has come to its end by itself; ``cancelling``
        after *seconds* in which that was not decided.
        """
        group_id = self.retrieve(ref).id

        def ask(tx: Tx) -> str | None:
            holder = claims.holder_of(tx, group_id)
            turn_id = holder.partition("/")[2] if holder is not None else ""
            return turn_id if turn_id and stops.ask(tx, turn_id) else None

        def stand(tx: Tx) -> str:
            holder = claims.holder_of(tx, group_id)
            if holder is not None and holder.endswith(f"/{turn_id}"):
                return "cancelling"
            return "cancelled" if claims.was_stopped(tx, group_id, turn_id or "") else "ended"

        turn_id = self._core.do(ask)
        if turn_id is None:
            return "ended"
        here = self._going.get(group_id)
        if here is not None and here.work_id == turn_id:
            here.stop()
        deadline = time.monotonic() + seconds
        while (found := self._core.do(stand)) == "cancelling" and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return found

    def turn(self, ref: str) -> str | None:
        """Return the id of the turn of a group that goes on, in whatever process; None if none does."""

        def work(tx: Tx) -> str | None:
            holder = claims.holder_of(tx, self.find(tx, ref).id)
            return holder.partition("/")[2] if holder is not None else None

        return self._core.do(work)

    def _turn(self, group: Group, options: GroupOptions) -> GroupTurn:
        for name in options.keys() - GroupOptions.__annotations__.keys():
            raise TypeError(f"a turn of a group has no option {name!r}")
        members = {one.id: one for one in self.members(group.id)}
        return GroupTurn(
            self._core,
            self._runner,
            self._runs,
            self._events,
            group,
            members,
            self._going,
            options,
        )

    def message_ids(self, ref: str) -> list[str]:
        """Return the ids of what was said and done in a group, each thing once, oldest first."""
        return self._core.do(lambda tx: groups.spoken_ids(tx, self.find(tx, ref).id))

    def messages(self, ids: Sequence[str]) -> list[Message]:
        """Return what has these ids among those of `message_ids`, in their order."""
        return self._core.do(lambda tx: groups.spoken(tx, ids))

    def reset(self, ref: str) -> Group:
        """Let a group begin anew: what was said in it goes, from its agents' histories too.

        Raises
        ------
        AgentBusyError
            One of its agents is in the middle of a run.
        """

        def work(tx: Tx) -> Group:
            found = self.find(tx, ref)
            for agent_id in found.everyone:
                agents.check_idle(tx, agent_id)
                groups.wait_no_more(tx, found.id, agent_id)
            groups.forget(tx, found.id)
            return found

        return self._core.do(work)

    def find(self, tx: Tx, ref: str) -> Group:
        """Return one group; `NotFoundError` names the nearest."""
        found = groups.get(tx, ref) or groups.named(tx, ref.removeprefix("@"))
        if found is None:
            names = [one.shown for one in groups.list_all(tx, hidden=True) if one.name]
            there = f" There is: {', '.join(names[:10])}." if names else ""
            hint = nearest(f"@{ref.removeprefix('@')}", names) or there
            raise NotFoundError(f"There is no group {ref!r}.{hint}")
        return found

    @staticmethod
    def _free(tx: Tx, name: str) -> str:
        """Return *name* if a group may be called so and nobody is."""
        name = name.removeprefix("@")
        if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
            raise InvalidInputError(
                f"A group's name is one word of at most {MAX_NAME} letters, digits, dots, dashes and "
                f"underscores, not {name[:100]!r}."
            )
        if groups.named(tx, name) is not None:
            raise NameTakenError(f"There is a group @{name} already: choose another name.")
        if agents.named(tx, f"@{name}") or agents.named(tx, f"@{name}", set_aside=True):
            raise NameTakenError(f"An agent is called @{name}: choose another name.")
        return name

    def _check(self, tx: Tx, group: Group) -> None:
        """Refuse a group that could not hold a turn."""
        kind = group.manager_type
        if len(group.description) > MAX_TEXT:
            raise InvalidInputError(f"A group's description has {MAX_TEXT:,} characters at most.")
        if not 1 <= len(group.agent_ids) <= MOST_AGENTS:
            raise InvalidInputError(f"A group has from 1 to {MOST_AGENTS} agents.")
        if len({*group.agent_ids}) < len(group.agent_ids):
            raise InvalidInputError("An agent is named twice: name each member once.")
        if kind != "round_robin" and group.manager_agent_id is None:
            raise InvalidInputError(f"A group of the kind {kind} needs an agent that manages it.")
        if kind == "round_robin" and group.manager_agent_id is not None:
            raise InvalidInputError("A group of the kind round_robin has no manager.")
        if group.manager_agent_id in group.agent_ids:
            raise InvalidInputError("The manager is not one of the members: name another agent.")
        for field, most in (("max_turns", MOST_TURNS), ("sleeptime_agent_frequency", 10_000)):
            value = getattr(group, field)
            if value is not None and not 1 <= value <= most:
                raise InvalidInputError(f"{field} is a whole number from 1 to {most:,}.")
        if group.termination_token is not None and not 1 <= len(group.termination_token) <= 200:
            raise InvalidInputError("termination_token has from 1 to 200 characters.")
        names = [self._core.agent(tx, one).name for one in group.agent_ids]
        if kind == "dynamic" and len({name.lower() for name in names}) < len(names):
            raise InvalidInputError("Two of these agents have the same name: rename one first.")

    @staticmethod
    def _share(tx: Tx, group: Group) -> None:
        """Give the group's blocks to those of its agents that do not have them."""
        for block_id in group.shared_block_ids:
            if blocks.get(tx, block_id) is None:
                raise NotFoundError(f"There is no block {block_id!r}.")
            having = {*blocks.agents_with(tx, block_id)}
            for agent_id in group.everyone:
                if agent_id not in having:
                    blocks.attach(tx, agent_id, block_id)

    # Last, so that `list` in the annotations above is Python's.
    def list(
        self,
        *,
        manager_type: str | None = None,
        agent: str | None = None,
        manager: str | None = None,
        hidden: bool = False,
    ) -> list[Group]:
        """Return groups, oldest first: those of a kind, those an agent is in, those one manages."""

        def work(tx: Tx) -> list[Group]:
            return groups.list_all(
                tx,
                manager_type=manager_type,
                agent_id=self._core.agent(tx, agent).id if agent else None,
                manager_agent_id=self._core.agent(tx, manager).id if manager else None,
                hidden=hidden,
            )

        return self._core.do(work)


def _known(manager_type: str) -> Any:
    if manager_type not in FIELDS:
        hint = nearest(manager_type, list(FIELDS))
        raise InvalidInputError(
            f"There is no kind of manager {manager_type!r}; one of: {', '.join(FIELDS)}.{hint}"
        )
    return manager_type


def _given(manager_type: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return what is given of *fields*; those of another kind of manager are refused."""
    own = FIELDS[_known(manager_type)]
    given = {field: value for field, value in fields.items() if value is not None}
    for field in given:
        if field not in own:
            raise InvalidInputError(f"A group of the kind {manager_type} has no {field}.")
    return given
