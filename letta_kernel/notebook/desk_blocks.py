"""Memory blocks at the desk: reading, writing without losing anybody's words, history."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from letta_kernel.errors import InvalidInputError
from letta_kernel.memory.blocks import check_label
from letta_kernel.models.tokens import count
from letta_kernel.notebook.desk_registry import OfAgent, OfBlock, Room, Text, method
from letta_kernel.records import DEFAULT_BLOCK_LIMIT, Block
from letta_kernel.store import agents as agent_rows
from letta_kernel.store import blocks as block_rows
from letta_kernel.store.database import Tx


class Written(OfBlock):
    """A new text for a block that was read at ``expected_version``."""

    value: Text
    expected_version: int = Field(ge=1)
    reason: str = Field("", max_length=1000)


class Made(OfBlock):
    """A block to be made."""

    value: Text = ""
    limit: int = Field(DEFAULT_BLOCK_LIMIT, ge=1, le=5_000_000)
    description: str = Field("", max_length=5000)


@method("blocks", OfAgent)
def blocks(room: Room, asked: OfAgent) -> list[dict[str, Any]]:
    """Return an agent's blocks in its order, with their tokens and who else has them."""

    agent_id = room.service.agents.retrieve(asked.agent).id

    def work(tx: Tx) -> list[dict[str, Any]]:
        return [_shown(tx, block, agent_id) for block in block_rows.of_agent(tx, agent_id)]

    return room.service.database.run(work)


@method("block.write", Written)
def write(room: Room, asked: Written) -> dict[str, Any]:
    """Set a block's text, if nobody has written it since it was read."""
    # Looked up first: writing to a label there is not would make the block.
    room.service.blocks.retrieve(asked.label, agent=asked.agent)
    room.service.blocks.upsert(
        asked.label,
        asked.value,
        agent=asked.agent,
        expected_version=asked.expected_version,
        reason=asked.reason,
    )
    return _one(room, asked)


@method("block.create", Made)
def create(room: Room, asked: Made) -> dict[str, Any]:
    """Make a block; there may be none of that label."""

    state = room.service.agents.retrieve(asked.agent)

    def work(tx: Tx) -> None:
        if block_rows.find(tx, state.id, check_label(asked.label)) is not None:
            raise InvalidInputError(f"{state.name} has a memory block {asked.label!r} already.")
        if len(asked.value) > asked.limit:
            raise InvalidInputError(
                f"The block {asked.label!r} may hold {asked.limit:,} characters; "
                f"this has {len(asked.value):,}."
            )
        made = Block(
            label=asked.label, value=asked.value, limit=asked.limit, description=asked.description
        )
        block_rows.add(tx, made, state.id)

    room.service.database.run(work)
    return _one(room, asked)


@method("block.detach", OfBlock)
def detach(room: Room, asked: OfBlock) -> None:
    """Take a block off an agent; it is deleted if no other has it."""
    room.service.blocks.delete(asked.label, agent=asked.agent)


@method("block.versions", OfBlock)
def versions(room: Room, asked: OfBlock) -> list[dict[str, Any]]:
    """Return all versions of a block, newest first; ``by`` is the writing agent's name, or empty."""

    written = room.service.blocks.versions(asked.label, agent=asked.agent)[::-1]
    names = {state.id: state.name for state in room.service.agents.list()}
    return [{**v.model_dump(mode="json"), "by": names.get(v.actor, "")} for v in written]


@method("block.undo", OfBlock)
def undo(room: Room, asked: OfBlock) -> dict[str, Any]:
    """Go back to the version before."""
    room.service.blocks.undo(asked.label, agent=asked.agent)
    return _one(room, asked)


@method("block.redo", OfBlock)
def redo(room: Room, asked: OfBlock) -> dict[str, Any]:
    """Take back an undo."""
    room.service.blocks.redo(asked.label, agent=asked.agent)
    return _one(room, asked)


def _one(room: Room, asked: OfBlock) -> dict[str, Any]:
    agent_id = room.service.agents.retrieve(asked.agent).id
    block = room.service.blocks.retrieve(asked.label, agent=agent_id)
    return room.service.database.run(lambda tx: _shown(tx, block, agent_id))


def _shown(tx: Tx, block: Block, agent_id: str) -> dict[str, Any]:
    others = [other for other in block_rows.agents_with(tx, block.id) if other != agent_id]
    states = [agent_rows.get(tx, other) for other in others]
    return {
        **block.model_dump(mode="json"),
        "tokens": count(block.value),
        "shared_with": [state.name for state in states if state is not None],
    }
