"""Identities in the API's shapes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from letta_kernel.records import Identity
from letta_kernel.server.schemas.base import Asked, Shape

IdentityType = Literal["org", "user", "other"]


class IdentityProperty(Asked):
    """Something known about an identity."""

    key: Annotated[str, Field(min_length=1, max_length=200)]
    value: str | float | bool | dict[str, Any]
    type: Literal["string", "number", "boolean", "json"]


class IdentityShape(Shape):
    """Who agents and blocks belong to."""

    id: str
    identifier_key: str
    name: str
    identity_type: IdentityType
    project_id: str | None = None
    organization_id: str | None = None
    agent_ids: list[str] = Field(default_factory=list)
    block_ids: list[str] = Field(default_factory=list)
    properties: list[dict[str, Any]] = Field(default_factory=list)


class IdentityCreate(Asked):
    """An identity to make, or with PUT to make or replace."""

    identifier_key: str
    name: str
    identity_type: IdentityType
    agent_ids: Annotated[list[str], Field(max_length=1000)] | None = None
    block_ids: Annotated[list[str], Field(max_length=1000)] | None = None
    properties: Annotated[list[IdentityProperty], Field(max_length=1000)] | None = None


class IdentityUpdate(Asked):
    """What to change of an identity; what is not given, or null, stays."""

    identifier_key: str | None = None
    name: str | None = None
    identity_type: IdentityType | None = None
    agent_ids: Annotated[list[str], Field(max_length=1000)] | None = None
    block_ids: Annotated[list[str], Field(max_length=1000)] | None = None
    properties: Annotated[list[IdentityProperty], Field(max_length=1000)] | None = None


def to_identity(identity: Identity, agents: list[str], blocks: list[str]) -> IdentityShape:
    """Return *identity*, which has these agents and blocks, in the API's shape."""
    return IdentityShape.of(identity, agent_ids=agents, block_ids=blocks)
