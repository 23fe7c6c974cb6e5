"""Agents by name: made or found, set aside and brought back, and what differs from what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from letta_kernel.errors import NameTakenError
from letta_kernel.records import AgentState, Block
from letta_kernel.service.agents import Agents
from letta_kernel.store import agents, blocks
from letta_kernel.store.database import Tx


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


class Opening(Agents):
    """The part of the service by which a notebook that runs again finds what it made."""

    def open_agent(self, name: str, *, fresh: bool = False, **options: Any) -> Opened:
        """Return the agent of that name, or that had it before it was renamed, made if there is none.

        Parameters
        ----------
        fresh : set an agent that is there aside and make a new one of its name.
        options : as `create_agent` takes them, those that are None left out. They change nothing of an agent
            that is there; what differs is told.

        Raises
        ------
        InvalidInputError
            A value is out of range, or several agents have that name. Nothing is changed.
        """
        options = {key: value for key, value in options.items() if value is not None}
        aside = (
            self.do(lambda tx: [*agents.named(tx, name), *self._renamed(tx, name)]) if fresh else []
        )
        try:
            state = self.create_agent(name, namesakes="set_aside" if fresh else "find", **options)
        except NameTakenError:
            state = self.agent(name)
            return Opened(state, differs=self.differing(state.id, options))
        return Opened(state, made=True, aside=aside)

    def differing(self, ref: str, options: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the options that an agent does not have: to what it has and what was given.

        What it has learned since a person wrote a block is no difference.
        """
        return self.do(lambda tx: self._differing(tx, self._agent(tx, ref), options))

    @staticmethod
    def _differing(
        tx: Tx, state: AgentState, options: dict[str, Any]
    ) -> dict[str, tuple[Any, Any]]:
        differs = {}
        for option, given in options.items():
            if option in ("persona", "human"):
                block = blocks.find(tx, state.id, option)
                has = block.value if block is not None else ""
                same = given == has or (block is not None and given == _by_hand(tx, block))
            else:
                has = getattr(state, option)
                same = list(given) == has if isinstance(has, list) else given == has
            if not same:
                differs[option] = (has, given)
        return differs

    def bring_back(self, ref: str) -> tuple[AgentState, list[AgentState]]:
        """Use an agent again that was set aside; one of its name is set aside instead, and returned too."""

        def work(tx: Tx) -> tuple[AgentState, list[AgentState]]:
            state = self._agent(tx, ref)
            if not state.set_aside:
                return state, []
            others = self._free(tx, state.name, True)
            return agents.save(tx, state.model_copy(update={"set_aside": False})), others

        return self.do(work)


def _by_hand(tx: Tx, block: Block) -> str | None:
    """Return what a person wrote into a block last: at its making, by hand, or back to by undo."""
    known = blocks.versions(tx, block.id)
    first = {version.value: version for version in reversed(known)}
    for version in reversed(known):
        if first[version.value].step_id is None:
            return version.value
    return None
