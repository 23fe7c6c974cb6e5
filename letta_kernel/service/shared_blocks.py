"""Memory blocks by themselves: made, found, changed and shared by id, whichever agents have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import LOCAL_USER
from letta_kernel.memory.blocks import check_label
from letta_kernel.records import Block
from letta_kernel.service.memory import Memory
from letta_kernel.store import blocks
from letta_kernel.store.database import Tx

LARGEST = 10_000_000
"""The largest limit a block may be given, in characters."""
_CHANGEABLE = ("label", "value", "limit", "description", "read_only", "tags", "metadata")


class SharedBlocks(Memory):
    """The part of the service that deals with blocks as things of their own."""

    def make_block(self, block: Block) -> Block:
        """Keep a new block that no agent has yet.

        Raises
        ------
        InvalidInputError
            Its label, limit or length cannot be.
        """
        check_block(block)
        self.do(lambda tx: blocks.add(tx, block))
        return self.block_by_id(block.id)

    def block_ids(self, **filters: Any) -> list[str]:
        """Return the ids of blocks; filters as `letta_kernel.store.blocks.ids` takes them."""
        return self.do(lambda tx: blocks.ids(tx, **filters))

    def blocks_by_id(self, block_ids: Sequence[str]) -> list[Block]:
        """Return the blocks of these ids that exist, in this order."""
        return self.do(lambda tx: blocks.get_many(tx, block_ids))

    def block_by_id(self, block_id: str) -> Block:
        """Return one block; `NotFoundError` if there is none."""
        return self.do(lambda tx: _get(tx, block_id))

    def change_block_by_id(self, block_id: str, reason: str = "", **changes: Any) -> Block:
        """Change label, value, limit, description, read_only, tags or metadata: all or nothing.

        A new value is a new version, however many agents have the block.
        """
        for name in changes:
            if name not in _CHANGEABLE:
                raise InvalidInputError(
                    f"A block has no {name!r} to change; one of: {', '.join(_CHANGEABLE)}."
                )

        def work(tx: Tx) -> Block:
            block = _get(tx, block_id)
            changed = Block.model_validate({**block.model_dump(), **changes})
            check_block(changed)
            if changed.model_copy(update={"value": block.value}) != block:
                blocks.update(tx, changed)
            if changed.value != block.value:
                blocks.write(tx, block_id, changed.value, actor=LOCAL_USER, reason=reason)
            return _get(tx, block_id)

        return self.do(work)

    def change_agents_block(self, ref: str, label: str, reason: str = "", **changes: Any) -> Block:
        """Change an agent's block of that label as `change_block_by_id` does."""
        found = self.block(ref, label)
        return self.change_block_by_id(found.id, reason, **changes)

    def remove_block(self, block_id: str) -> None:
        """Delete a block with its versions, taking it from every agent."""

        def work(tx: Tx) -> None:
            _get(tx, block_id)
            blocks.delete(tx, block_id)

        self.do(work)

    def attach_block(self, ref: str, block_id: str) -> Block:
        """Let an agent have a block; a change by any agent that has it is seen by all."""

        def work(tx: Tx) -> Block:
            state, block = self._agent(tx, ref), _get(tx, block_id)
            blocks.attach(tx, state.id, block.id)
            return block

        return self.do(work)

    def detach_block(self, ref: str, block_id: str) -> Block:
        """Take a block from an agent; the block stays."""

        def work(tx: Tx) -> Block:
            state, block = self._agent(tx, ref), _get(tx, block_id)
            if state.id not in blocks.agents_with(tx, block.id):
                raise NotFoundError(f"{state.name} does not have the memory block {block.label!r}.")
            blocks.detach(tx, state.id, block.id)
            return block

        return self.do(work)

    def agents_with_block(self, block_id: str) -> list[str]:
        """Return the ids of the agents that have a block."""
        return self.do(lambda tx: blocks.agents_with(tx, _get(tx, block_id).id))


def check_block(block: Block) -> None:
    """Refuse a block that could not be one."""
    check_label(block.label)
    if not 1 <= block.limit <= LARGEST:
        raise InvalidInputError(f"limit: a block may hold 1 to {LARGEST:,} characters.")
    if len(block.value) > block.limit:
        raise InvalidInputError(
            f"value: the block {block.label!r} may hold {block.limit:,} characters; this has "
            f"{len(block.value):,}."
        )


def _get(tx: Tx, block_id: str) -> Block:
    found = blocks.get(tx, block_id)
    if found is None:
        raise NotFoundError(f"There is no memory block {block_id!r}.")
    return found
