"""Memory blocks in the API's shapes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from letta_kernel.records import Block
from letta_kernel.server.schemas.base import Asked, Shape

BLOCK_LIMIT = 100_000
"""Characters a block made through REST may hold unless it says otherwise."""

Limit = Annotated[int, Field(ge=1, description="Characters the block may hold.")]
Texts = Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=1000)]


class BlockResponse(Shape):
    """A memory block."""

    id: str
    label: str
    value: str
    limit: int
    description: str | None = None
    read_only: bool = False
    version: int = Field(1, description="Grows with each new text; an extension, not Letta's.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    template_name: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    is_template: bool = False
    preserve_on_migration: bool = False
    hidden: bool = False


class BlockFields(Asked):
    """What can be given when a block is made and changed later."""

    description: str | None = None
    read_only: bool | None = None
    metadata: dict[str, Any] | None = None
    tags: Texts | None = None

    def changes(self) -> dict[str, Any]:
        """Return what was given, by our names."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class BlockCreate(BlockFields):
    """A block to make."""

    label: str
    value: str
    limit: Limit = BLOCK_LIMIT


class BlockUpdate(BlockFields):
    """What to change of a block; what is not given, or null, stays."""

    label: str | None = None
    value: str | None = None
    limit: Limit | None = None
    expected_version: int | None = Field(
        None,
        ge=1,
        description="The version that was read; another one now is a conflict. An extension.",
    )


def to_block(block: Block, writer: str | None = None) -> BlockResponse:
    """Return *block* in the API's shape; *writer* is the id of who wrote the text that stands there."""
    description = block.description or None
    return BlockResponse.of(block, description=description, last_updated_by_id=writer)


def from_create(asked: BlockCreate) -> Block:
    """Return the block that was asked for, not kept yet."""
    return Block(**asked.changes())
