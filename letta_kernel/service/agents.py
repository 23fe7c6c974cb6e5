"""Agents: made, found, listed, changed, set aside, deleted; each is named by its id or name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from letta_kernel.agent.settings import check_settings
from letta_kernel.errors import NameTakenError
from letta_kernel.ids import now
from letta_kernel.models import registry
from letta_kernel.records import AgentState, Block, ToolRule
from letta_kernel.service.agent_checks import (
    check_changes,
    check_max_steps,
    check_models,
    check_name,
    check_style,
    differing,
    fallbacks,
    first_blocks,
    give,
)
from letta_kernel.service.agent_views import AgentView, view_of
from letta_kernel.service.core import CAME_WITH, RENAMED, Core, Memories
from letta_kernel.service.tools import Tools
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store import (
    agent_deletion,
    agents,
    branches,
    conversations,
    groups,
    identities,
    messages,
    runs,
    tools,
)
from letta_kernel.store import blocks as block_rows
from letta_kernel.store import settings as kept
from letta_kernel.store.database import Tx
from letta_kernel.tools.core import DEFAULT as CORE_TOOLS
from letta_kernel.tools.core import record as core_tool


@dataclass(frozen=True, slots=True)
class Opened:
    """An agent that was asked for by name.

    Attributes
    ----------
    made : it was made just now.
    aside : the agents that had its name until now.
    differs : options it was asked for with but does not have: to what it has and what was given.
    """

    agent: AgentState
    made: bool = False
    aside: list[AgentState] = field(default_factory=list)
    differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)


class Agents:
    """The agents of a project."""

    def __init__(self, core: Core, memories: Memories, tools: Tools) -> None:
        self._core = core
        self._memories = memories
        self._tools = tools

    def create(
        self,
        name: str,
        *,
        model: str | None = None,
        persona: str | None = None,
        human: str | None = None,
        blocks: dict[str, str] | Sequence[Block] | None = None,
        instructions: str | None = None,
        style: Literal["native", "heartbeat"] = "native",
        embedding: str | None = None,
        description: str = "",
        max_steps: int = 50,
        settings: dict[str, Any] | None = None,
        tags: Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
        tool_rules: Sequence[ToolRule] = (),
        block_ids: Sequence[str] = (),
        tool_refs: Sequence[str] = (),
        identity_ids: Sequence[str] = (),
        own_blocks: bool = True,
        block_limit: int | None = None,
        core_tools: Sequence[str] = CORE_TOOLS,
        set_aside: bool = False,
        namesakes: Literal["refuse", "find", "keep", "set_aside"] = "refuse",
        known_models: bool = True,
    ) -> AgentState:
        """Make an agent with the blocks ``persona`` and ``human``, any others, and the memory tools.

        Parameters
        ----------
        name : what it is called.
        model : a litellm name such as ``openai/gpt-5-mini``; None chooses what the machine has at each run.
        blocks : further blocks, as label to value or as whole records.
        instructions : replaces the style's own instructions; memory blocks are added to them.
        block_ids, tool_refs, identity_ids : what there is already and the agent gets too; tools by id or name.
        own_blocks : False leaves out persona and human.
        core_tools : the names of the memory tools it begins with.
        block_limit : characters that blocks given as text may hold; None: as many as by default.
        set_aside : it is found by its id alone.
        namesakes : what becomes of agents of that name: with ``refuse`` this one is not made, with ``find``
            neither if an agent had the name before it was renamed, with ``keep`` ids tell them apart, with
            ``set_aside`` they are found by their ids alone from now on.
        known_models : False takes names of models as they are, as for the copy of an agent.

        Raises
        ------
        NameTakenError
            There is an agent of that name, and *namesakes* says ``refuse`` or ``find``. Nothing is made.
        InvalidInputError
            It is no name, or a value is out of range. Nothing is made.
        NotFoundError
            There is no such model. Nothing is made.
        """
        state = AgentState(
            name=check_name(name),
            description=description,
            model=model,
            embedding=embedding,
            style=check_style(style),
            instructions=instructions or "",
            max_steps=check_max_steps(max_steps),
            settings=check_settings(settings or {}),
            tags=list(tags),
            metadata=dict(metadata or {}),
            tool_rules=list(tool_rules),
            set_aside=set_aside,
        )
        if known_models:
            check_models(state)
        made = first_blocks(persona, human, blocks, own_blocks, block_limit)

        def work(tx: Tx) -> AgentState:
            if namesakes != "keep":
                self._free(tx, state.name, namesakes == "set_aside")
                for one in self._core.renamed(tx, state.name):
                    if namesakes == "find":
                        raise NameTakenError(f"{one.name!r} was called {state.name!r} before.")
                    if namesakes == "set_aside":  # so that a cell may give the new one its new name
                        agents.save(tx, one.model_copy(update={"set_aside": True}))
                kept.put(tx, f"{RENAMED}{state.name}", None)
            agents.add(tx, state)
            own = [one.model_copy(update={"created_by": state.created_by}) for one in made]
            block_rows.add_first(tx, own, state.id)
            tools.give_first(tx, state.id, [core_tool(one) for one in dict.fromkeys(core_tools)])
            give(tx, state.id, block_ids, tool_refs, identity_ids)
            return state

        return self._core.do(work)

    @staticmethod
    def _free(tx: Tx, name: str, set_aside: bool) -> list[AgentState]:
        """Make sure that no agent in use has this name: set those that have it aside, or refuse."""
        if name.startswith("@") and groups.named(tx, name[1:]) is not None:
            raise NameTakenError(f"A group is called {name}: choose another name.")
        taken = agents.named(tx, name)
        if taken and not set_aside:
            raise NameTakenError(
                f"There is an agent {name!r} already: use that one, or choose another name."
            )
        return [agents.save(tx, one.model_copy(update={"set_aside": True})) for one in taken]

    def _shun(self, tx: Tx, state: AgentState, fresh: dict[str, Any]) -> None:
        """Refuse changes by which a name would stand for this agent that stands for another, or did."""
        name = fresh.get("name", state.name)
        returns = state.set_aside and not fresh.get("set_aside", True)
        others = agents.named(tx, name)
        if name != state.name:
            others += [*agents.named(tx, name, set_aside=True), *self._core.renamed(tx, name)]
        if (returns or name != state.name) and any(one.id != state.id for one in others):
            raise NameTakenError(f"The name {name!r} is, or was, another agent's: choose another.")

    def retrieve(self, ref: str, *, newest: bool = False, renamed: bool = True) -> AgentState:
        """Return the agent of that id or name; with *newest* the newest one, if several have the name.

        A name that no agent has stands for the one that had it before it was renamed, so that cells which
        ran before that can run again; not with *renamed* False.

        Raises
        ------
        NotFoundError
            There is none; the text names the nearest one.
        InvalidInputError
            Several have that name; the text lists their ids.
        """
        return self._core.find_agent(ref, newest=newest, renamed=renamed)

    def view(self, ref: str) -> AgentView:
        """Return an agent with all it has, the messages it has in sight included."""

        return self._core.do(
            lambda tx: view_of(tx, self._core, self._tools, self._core.agent(tx, ref), sight=True)
        )

    def views(self, states: Sequence[AgentState]) -> list[AgentView]:
        """Return agents with all they have but the messages in sight."""
        return self._core.do(
            lambda tx: [view_of(tx, self._core, self._tools, state) for state in states]
        )

    def prepare(self, ref: str) -> None:
        """Load in the background what the agent's first search needs, as it is opened; returns at once."""
        state = self._core.find_agent(ref)
        for memory in self._memories.of(state):
            memory.prepare(state.id)

    def tags(self, *, text: str | None = None) -> list[str]:
        """Return the tags of all agents in the order of the alphabet, those that contain *text*."""
        return self._core.do(lambda tx: agents.tags(tx, text))

    def update(
        self,
        ref: str,
        *,
        block_ids: Sequence[str] | None = None,
        tool_refs: Sequence[str] | None = None,
        identity_ids: Sequence[str] | None = None,
        namesakes: Literal["refuse", "keep", "shun"] = "refuse",
        **changes: Any,
    ) -> AgentState:
        """Change fields of an agent: name, model, description, style, settings and so on.

        ``settings`` are merged into those it has; a value of None removes one. *block_ids*, *tool_refs* and
        *identity_ids*, where given, replace all it has of these. A name that another agent has is refused
        unless *namesakes* says to keep both; with ``shun`` also one that another had, or has set aside, and to
        be in use again beside a namesake.
        """

        def work(tx: Tx) -> AgentState:
            state = self._core.agent(tx, ref)
            fresh = check_changes(state, changes)
            if namesakes == "shun":
                self._shun(tx, state, fresh)
            if namesakes == "refuse" and fresh.get("name", state.name) != state.name:
                self._free(tx, fresh["name"], False)
                kept.put(tx, f"{RENAMED}{state.name}", state.id)
            changed = AgentState.model_validate(
                {**state.model_dump(), **fresh, "updated_at": now()}
            )
            check_models(changed, state)
            agents.save(tx, changed)
            if block_ids is not None:
                for block in block_rows.of_agent(tx, state.id):
                    block_rows.detach(tx, state.id, block.id)
            if tool_refs is not None:
                for tool in tools.of_agent(tx, state.id):
                    tools.detach(tx, state.id, tool.id)
            if identity_ids is not None:
                for identity in identities.list_all(tx, owned=("agent", state.id)):
                    identities.detach(tx, "agent", state.id, identity.id)
            give(tx, state.id, block_ids or (), tool_refs or (), identity_ids or ())
            return changed

        changed = self._core.do(work)
        if "embedding" in changes:
            for memory in self._memories.of(changed):
                memory.follow()  # everything anew, in the background
        return changed

    def doubts(self, state: AgentState) -> list[str]:
        """Return why models an agent names would not answer now (a key that is missing), a line each."""
        named = (state.model, state.embedding, *fallbacks(state))
        found = [registry.doubt(name) for name in named]
        if not state.model:
            found.insert(0, registry.doubt_of_environment())
        return list(filter(None, dict.fromkeys(found)))

    def reset(self, ref: str) -> AgentState:
        """Forget what was said to an agent in every thread; its memory blocks, archive and tools stay."""

        def work(tx: Tx) -> AgentState:
            state = self._core.agent(tx, ref)
            agents.check_idle(tx, state.id)
            conversations.check_idle(tx, state.id)
            # The window begins anew after the last message ever, so that nobody takes it for the old one.
            begin = messages.following(tx, state.id)
            begin = begin if begin > 1 else 0
            branches.forget(tx, state.id)
            messages.clear(tx, state.id)
            lent = {part.agent for part in state.inherits} - {"", state.id}
            state.first_seq = begin
            state.inherits = [  # what it knows stays
                part.model_copy(update={"first": 0, "last": -1})
                for part in state.inherits
                if part.last_passage >= part.first_passage > 0
            ]
            agents.save(tx, state)
            agents.set_window(tx, state.id, begin, None)
            conversations.forget_history(tx, state.id, begin)
            agent_deletion.let_go(tx, lent)
            return self._core.agent(tx, state.id)

        return self._core.do(work)

    def delete(self, ref: str) -> None:
        """Delete an agent with its conversations, archive, the blocks nobody else has and who tidies them."""

        def work(tx: Tx) -> None:
            state = self._core.agent(tx, ref, renamed=False)
            agents.check_idle(tx, state.id)
            conversations.check_idle(tx, state.id)
            for one in agents.list_all(tx, set_aside=True):
                if one.looks_after == state.id:  # a run of it that goes on finds out
                    agent_deletion.delete(tx, one.id)
            _delete_forks(tx, state.id)
            agent_deletion.delete(tx, state.id)
            kept.put(tx, f"{CAME_WITH}{state.id}", None)

        self._core.do(work)

    def open(self, name: str, *, fresh: bool = False, **options: Any) -> Opened:
        """Return the agent of that name, or that had it before it was renamed, made if there is none.

        Parameters
        ----------
        fresh : set an agent that is there aside and make a new one of its name.
        options : as `create` takes them, those that are None left out. They change nothing of an agent
            that is there; what differs is told.

        Raises
        ------
        InvalidInputError
            A value is out of range, or several agents have that name. Nothing is changed.
        """
        options = {key: value for key, value in options.items() if value is not None}
        aside = (
            self._core.do(lambda tx: [*agents.named(tx, name), *self._core.renamed(tx, name)])
            if fresh
            else []
        )
        try:
            state = self.create(name, namesakes="set_aside" if fresh else "find", **options)
        except NameTakenError:
            state = self._core.find_agent(name)
            return Opened(state, differs=self.differing(state.id, options))
        return Opened(state, made=True, aside=aside)

    def differing(self, ref: str, options: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the options that an agent does not have: to what it has and what was given.

        What it has learned since a person wrote a block is no difference.
        """
        return self._core.do(lambda tx: differing(tx, self._core.agent(tx, ref), options))

    def hidden(self, purpose: str, of: str | None = None) -> list[AgentState]:
        """Return what machines forked for a purpose, of the agent of that id or of all, oldest first."""
        return self._core.do(lambda tx: agents.hidden(tx, purpose, of))

    def restore(self, ref: str) -> tuple[AgentState, list[AgentState]]:
        """Use an agent again that was set aside; one of its name is set aside instead, and returned too."""

        def work(tx: Tx) -> tuple[AgentState, list[AgentState]]:
            state = self._core.agent(tx, ref)
            if not state.set_aside:
                return state, []
            others = self._free(tx, state.name, True)
            return agents.save(tx, state.model_copy(update={"set_aside": False})), others

        return self._core.do(work)

    def list(
        self,
        *,
        name: str | None = None,
        text: str | None = None,
        tags: Sequence[str] | None = None,
        match: Literal["any", "all"] = "any",
        identity_id: str | None = None,
        identity_keys: Sequence[str] | None = None,
        last_stop_reason: StopReason | None = None,
        order_by: str = "created_at",
        newest_first: bool = False,
        set_aside: bool = False,
    ) -> list[AgentState]:
        """Return the agents that are all of what is asked for, oldest first.

        Parameters
        ----------
        name, text : the whole name, or a part of it in any case.
        order_by : created_at, updated_at or last_run_completion (agents that never ran come last).
        set_aside : those too that are set aside.
        """

        def work(tx: Tx) -> list[AgentState]:
            # What the store can filter it does; the rest needs the newest run of each agent, which is read
            # only then.
            found = agents.list_all(
                tx,
                tags=tags or None,
                match=match,
                text=text,
                newest_first=newest_first,
                set_aside=set_aside,
            )
            if name is not None:
                found = [state for state in found if state.name == name]
            if identity_id is not None or identity_keys:
                among = _owned_by(tx, identity_id, identity_keys)
                found = [state for state in found if state.id in among]
            if last_stop_reason is None and order_by != "last_run_completion":
                return found
            last = runs.newest(tx)
            if last_stop_reason is not None:
                found = [
                    s for s in found if s.id in last and last[s.id].stop_reason == last_stop_reason
                ]
            if order_by == "last_run_completion":
                ran = [state for state in found if state.id in last]
                ran.sort(key=lambda state: last[state.id].created_at, reverse=newest_first)
                found = ran + [state for state in found if state.id not in last]
            return found

        found = self._core.do(work)
        if order_by == "updated_at":
            found.sort(key=lambda state: state.updated_at, reverse=newest_first)
        return found


def _delete_forks(tx: Tx, agent_id: str) -> None:
    """Delete what machines forked of an agent, and of those in turn; a run of theirs that goes on finds out."""
    for one in agents.hidden(tx, of=agent_id):
        _delete_forks(tx, one.id)
        agent_deletion.delete(tx, one.id)


def _owned_by(tx: Tx, identity_id: str | None, keys: Sequence[str] | None) -> set[str]:
    wanted = [identity_id] if identity_id is not None else []
    for key in keys or ():
        identity = identities.find(tx, key)
        if identity is not None:
            wanted.append(identity.id)
    return {agent_id for one in wanted for agent_id in identities.owned(tx, "agent", one)}
