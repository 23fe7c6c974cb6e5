"""Agents in the panel: who there is and how they stand; making, changing, copying and deleting them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic import Field

from letta_kernel.errors import LettaError
from letta_kernel.models.registry import open_model
from letta_kernel.notebook.panel.registry import OfAgent, Params, RequestContext, Text, Word, method
from letta_kernel.records import AgentState, Group
from letta_kernel.service.runs import IDLE, Standing


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
def agents(context: RequestContext, asked: Params) -> list[dict[str, Any]]:
    """Return the project's agents, oldest first, each with its state and last run.

    Those that are set aside are left out, but for the one that the notebook talks to.
    """
    current, service = context.current(), context.service
    every = service.agents.list(set_aside=True)
    states = [one for one in every if one.id == current or not one.set_aside]
    standing = service.runs.standing()
    unnamed = next((state.id for state in states if not state.model), None)
    chosen = service.runs.model_of(unnamed) if unnamed else ""
    groups = service.groups.list()
    return [_shown(state, state.model or chosen, standing, groups) for state in states]


@method("agent.create", New)
def create(context: RequestContext, asked: New) -> dict[str, Any]:
    """Make an agent."""
    made = context.service.agents.create(
        asked.name, model=asked.model, persona=asked.persona, human=asked.human
    )
    return _one(context, made)


@method("agent.duplicate", Named)
def duplicate(context: RequestContext, asked: Named) -> dict[str, Any]:
    """Make an agent like another: its settings, rules and tools, and blocks of its own.

    What it has said and archived stays with the first one.
    """
    service = context.service
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
        made = service.agents.update(
            made.id, tool_rules=state.tool_rules, metadata=state.metadata_of_copy
        )
    except LettaError:
        service.agents.delete(made.id)  # half a copy would pass for a whole one
        raise
    return _one(context, made)


@method("agent.rename", Named)
def rename(context: RequestContext, asked: Named) -> dict[str, Any]:
    """Give an agent another name."""
    return _one(context, context.service.agents.update(asked.agent, name=asked.name))


@method("agent.model", Answering)
def model(context: RequestContext, asked: Answering) -> dict[str, Any]:
    """Let another model answer from now on."""
    return _one(context, context.service.agents.update(asked.agent, model=asked.model))


@method("agent.export", OfAgent)
def export(context: RequestContext, asked: OfAgent) -> dict[str, Any]:
    """Return an agent as an agent file (``.af``), without secrets."""
    return context.service.agent_files.export(asked.agent)


@method("agent.import", Import)
def import_(context: RequestContext, asked: Import) -> dict[str, Any]:
    """Make the agents of an agent file; return the first, what was left out and which tools wait.

    Tools with code from elsewhere are not attached until a person has looked at them (``detached``).
    """
    made = context.service.agent_files.import_data(asked.data, name=asked.name)
    return {
        **_one(context, made.agent),
        "agents": [state.name for state in made.agents],
        "detached": [tool.name for tool in made.detached],
        "notes": made.notes,
    }


@method("agent.delete", OfAgent)
def delete(context: RequestContext, asked: OfAgent) -> None:
    """Delete an agent with its conversation, archive and the blocks nobody else has."""
    context.service.agents.delete(asked.agent)


def _one(context: RequestContext, state: AgentState) -> dict[str, Any]:
    name = state.model or context.service.runs.model_of(state.id)
    groups = context.service.groups.list(agent=state.id)
    return _shown(state, name, context.service.runs.standing(state.id), groups)


def _shown(
    state: AgentState, name: str, standing: dict[str, Standing], groups: Sequence[Group]
) -> dict[str, Any]:
    stands = standing.get(state.id, IDLE)
    return {
        "id": state.id,
        "name": state.name,
        "description": state.description,
        "model": state.model,
        "answers": name,
        "label": _label(name),
        "state": stands.state,
        "tags": state.tags,
        "groups": [one.shown for one in groups if state.id in one.everyone],
        "created_at": state.created_at,
        "last_run": stands.last_run,
    }


@lru_cache(maxsize=256)
def _label(name: str) -> str:
    """Return what is shown beside the answers of the model *name*."""
    try:
        return open_model(name).label or name
    except LettaError:  # a local model that is not there; the run will say so
        return name
