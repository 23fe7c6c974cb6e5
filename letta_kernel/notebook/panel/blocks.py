"""Memory blocks in the panel: reading, writing without losing anybody's words, history."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from letta_kernel.models.tokens import count
from letta_kernel.notebook.panel.registry import OfAgent, OfBlock, RequestContext, Text, method
from letta_kernel.records import DEFAULT_BLOCK_LIMIT, Block


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
def blocks(context: RequestContext, asked: OfAgent) -> list[dict[str, Any]]:
    """Return an agent's blocks in its order, with their tokens and who else has them."""
    found = context.service.blocks.list(asked.agent)
    shared = context.service.blocks.shared_with(asked.agent)
    movable = context.service.blocks.movable(asked.agent)
    return [_shown(block, shared, movable) for block in found]


@method("block.write", Written)
def write(context: RequestContext, asked: Written) -> dict[str, Any]:
    """Set a block's text, if nobody has written it since it was read."""
    # Looked up first: writing to a label there is not would make the block.
    context.service.blocks.retrieve(asked.label, agent=asked.agent)
    context.service.blocks.upsert(
        asked.label,
        asked.value,
        agent=asked.agent,
        expected_version=asked.expected_version,
        reason=asked.reason,
    )
    return _one(context, asked)


@method("block.create", Made)
def create(context: RequestContext, asked: Made) -> dict[str, Any]:
    """Make a block; there may be none of that label."""
    made = Block(
        label=asked.label, value=asked.value, limit=asked.limit, description=asked.description
    )
    context.service.blocks.create(made, agent=asked.agent)
    return _one(context, asked)


@method("block.detach", OfBlock)
def detach(context: RequestContext, asked: OfBlock) -> None:
    """Take a block off an agent; it is deleted if no other has it."""
    context.service.blocks.delete(asked.label, agent=asked.agent)


@method("block.versions", OfBlock)
def versions(context: RequestContext, asked: OfBlock) -> list[dict[str, Any]]:
    """Return all versions of a block, newest first; ``by`` is the writing agent's name, or empty."""

    written = context.service.blocks.versions(asked.label, agent=asked.agent)[::-1]
    names = {state.id: state.name for state in context.service.agents.list()}
    return [{**v.model_dump(mode="json"), "by": names.get(v.actor, "")} for v in written]


@method("block.undo", OfBlock)
def undo(context: RequestContext, asked: OfBlock) -> dict[str, Any]:
    """Go back to the version before."""
    context.service.blocks.undo(asked.label, agent=asked.agent)
    return _one(context, asked)


@method("block.redo", OfBlock)
def redo(context: RequestContext, asked: OfBlock) -> dict[str, Any]:
    """Take back an undo."""
    context.service.blocks.redo(asked.label, agent=asked.agent)
    return _one(context, asked)


def _one(context: RequestContext, asked: OfBlock) -> dict[str, Any]:
    block = context.service.blocks.retrieve(asked.label, agent=asked.agent)
    blocks = context.service.blocks
    return _shown(block, blocks.shared_with(asked.agent), blocks.movable(asked.agent))


def _shown(
    block: Block, shared: dict[str, list[str]], movable: dict[str, tuple[bool, bool]]
) -> dict[str, Any]:
    undoable, redoable = movable.get(block.id, (False, False))
    return {
        **block.model_dump(mode="json"),
        "tokens": count(block.value),
        "shared_with": shared.get(block.id, []),
        "undoable": undoable,
        "redoable": redoable,
    }
