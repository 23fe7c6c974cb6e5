"""Agents at the desk: who there is and how they stand; making, changing, copying and deleting them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import Field

from letta_kernel.errors import LettaError
from letta_kernel.models.registry import open_model
from letta_kernel.notebook.desk_registry import OfAgent, Params, Room, Text, Word, method
from letta_kernel.records import AgentState, Run
from letta_kernel.store import agents as agent_rows
from letta_kernel.store import runs as run_rows
from letta_kernel.store.database import Tx


class New(Params):
    """An agent to be made; without a model the best the machine has answers, chosen at each run."""

    name: Word
    model: Word | None = None
    persona: Text | None = None
    human: Text | None = None


class Named(OfAgent):
    """A new name for an agent, or the name of its copy."""

    name: Word


class Answering(OfAgent):
    """The model that is to answer; None lets each run choose."""

    model: Word | None


class Import(Params):
    """An agent file's JSON, and the name the agent gets if not its own."""

    data: dict[str, Any]
    name: Word | None = Field(None)


@method("agents", empty=[])
def agents(room: Room, asked: Params) -> list[dict[str, Any]]:
    """Return the project's agents, oldest first, each with its state and last run.

    Those that are set aside are left out, but for the one that the notebook talks to.
    """
    current = room.current()

    def work(tx: Tx) -> tuple[list[AgentState], dict[str, str], dict[str, Run]]:
        every = agent_rows.list_all(tx, set_aside=True)
        shown = [one for one in every if one.id == current or not one.set_aside]
        return shown, agent_rows.standing(tx), run_rows.newest(tx)

    states, standing, newest = room.service.database.run(work)
    unnamed = next((state.id for state in states if not state.model), None)
    chosen = room.service.runs.model_of(unnamed) if unnamed else ""
    return [
        _shown(state, state.model or chosen, standing.get(state.id, "idle"), newest.get(state.id))
        for state in states
    ]


@method("agent.create", New)
def create(room: Room, asked: New) -> dict[str, Any]:
    """Make an agent."""
    made = room.service.agents.create(
        asked.name, model=asked.model, persona=asked.persona, human=asked.human
    )
    return _one(room, made)


@method("agent.duplicate", Named)
def duplicate(room: Room, asked: Named) -> dict[str, Any]:
    """Make an agent like another: its settings, rules and tools, and blocks of its own.

    What it has said and archived stays with the first one.
    """
    service = room.service
    state = service.agents.retrieve(asked.agent)
    copies = [
        block.model_copy(update={"id": fresh.id, "version": 1, "created_at": fresh.created_at})
        for block in service.blocks.list(state.id)
        for fresh in (type(block)(label=block.label),)
    ]
    settled = {
        "description",
        "model",
        "embedding",
        "style",
        "instructions",
        "max_steps",
        "settings",
    }
    made = service.agents.create(
        asked.name,
        blocks=copies,
        tags=state.tags,
        known_models=False,
        **{name: getattr(state, name) for name in settled},
    )
    try:
        for label in {"persona", "human"} - {block.label for block in copies}:
            service.blocks.delete(label, agent=made.id)
        wanted = {tool.id for tool in service.tools.list(state.id)}
        for tool in service.tools.list(made.id):
            if tool.id not in wanted:
                service.tools.detach(tool.id, agent=made.id)
        for tool in service.tools.list(state.id):
            service.tools.attach(tool.id, agent=made.id)
        made = service.agents.update(made.id, tool_rules=state.tool_rules, metadata=state.metadata)
    except LettaError:
        service.agents.delete(made.id)  # half a copy would pass for a whole one
        raise
    return _one(room, made)


@method("agent.rename", Named)
def rename(room: Room, asked: Named) -> dict[str, Any]:
    """Give an agent another name."""
    return _one(room, room.service.agents.update(asked.agent, name=asked.name))


@method("agent.model", Answering)
def model(room: Room, asked: Answering) -> dict[str, Any]:
    """Let another model answer from now on."""
    return _one(room, room.service.agents.update(asked.agent, model=asked.model))


@method("agent.export", OfAgent)
def export(room: Room, asked: OfAgent) -> dict[str, Any]:
    """Return an agent as an agent file (``.af``), without secrets."""
    return room.service.agent_files.export(asked.agent)


@method("agent.import", Import)
def import_(room: Room, asked: Import) -> dict[str, Any]:
    """Make the agents of an agent file; return the first, what was left out and which tools wait.

    Tools with code from elsewhere are not attached until a person has looked at them (``detached``).
    """
    made = room.service.agent_files.import_data(asked.data, name=asked.name)
    return {
        **_one(room, made.agent),
        "agents": [state.name for state in made.agents],
        "detached": [tool.name for tool in made.detached],
        "notes": made.notes,
    }


@method("agent.delete", OfAgent)
def delete(room: Room, asked: OfAgent) -> None:
    """Delete an agent with its conversation, archive and the blocks nobody else has."""
    room.service.agents.delete(asked.agent)


def _one(room: Room, state: AgentState) -> dict[str, Any]:
    def work(tx: Tx) -> tuple[dict[str, str], dict[str, Run]]:
        return agent_rows.standing(tx, state.id), run_rows.newest(tx, state.id)

    standing, newest = room.service.database.run(work)
    name = state.model or room.service.runs.model_of(state.id)
    return _shown(state, name, standing.get(state.id, "idle"), newest.get(state.id))


def _shown(state: AgentState, name: str, standing: str, last: Run | None) -> dict[str, Any]:
    return {
        "id": state.id,
        "name": state.name,
        "description": state.description,
        "model": state.model,
        "answers": name,
        "label": _label(name),
        "state": standing,
        "tags": state.tags,
        "created_at": state.created_at,
        "last_run": last,
    }


@lru_cache(maxsize=256)
def _label(name: str) -> str:
    """Return what is shown beside the answers of the model *name*."""
    try:
        return open_model(name).label or name
    except LettaError:  # a local model that is not there; the run will say so
        return name
