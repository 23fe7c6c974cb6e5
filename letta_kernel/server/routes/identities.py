"""Identities: who agents and blocks belong to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from letta_kernel.records import Identity
from letta_kernel.server.deps import Page, PageOldestFirst, Service
from letta_kernel.server.paging import page, page_of
from letta_kernel.server.routes.blocks import Includes, agents_page
from letta_kernel.server.schemas.agents import AgentShape
from letta_kernel.server.schemas.blocks import BlockResponse, to_block
from letta_kernel.server.schemas.identities import (
    IdentityCreate,
    IdentityProperty,
    IdentityShape,
    IdentityType,
    IdentityUpdate,
    to_identity,
)
from letta_kernel.service import AgentService

router = APIRouter(tags=["identities"])

Text = Annotated[str | None, Query(max_length=1000)]
_PROPERTY = {"key": "seats", "value": 3, "type": "number"}


@router.get("/identities", operation_id="list_identities")
def list_identities(
    service: Service,
    cursor: Page,
    name: Text = None,
    identifier_key: Text = None,
    identity_type: IdentityType | None = None,
) -> list[IdentityShape]:
    """List identities."""
    found = service.identities.list(name=name, key=identifier_key, identity_type=identity_type)
    wanted = page_of(found, cursor)
    return [_shape(service, one) for one in wanted]


@router.post("/identities", operation_id="create_identity")
def create_identity(service: Service, asked: IdentityCreate) -> IdentityShape:
    """Make an identity with a key of your own."""
    return _shape(service, _save(service, asked, replace=False))


@router.put("/identities", operation_id="upsert_identity")
def upsert_identity(service: Service, asked: IdentityCreate) -> IdentityShape:
    """Make an identity, or replace the one with this key."""
    return _shape(service, _save(service, asked, replace=True))


@router.get("/identities/count", operation_id="count_identities")
def count_identities(service: Service) -> int:
    """Count the identities."""
    return len(service.identities.list())


@router.get("/identities/{identity_id}", operation_id="retrieve_identity")
def retrieve_identity(service: Service, identity_id: str) -> IdentityShape:
    """Return one identity."""
    return _shape(service, service.identities.retrieve(identity_id))


@router.patch("/identities/{identity_id}", operation_id="update_identity")
def update_identity(service: Service, identity_id: str, asked: IdentityUpdate) -> IdentityShape:
    """Change an identity in what is given."""
    given = asked.model_dump()
    agents, blocks = given.pop("agent_ids"), given.pop("block_ids")
    changes = {name: value for name, value in given.items() if value is not None}
    return _shape(
        service, service.identities.update(identity_id, agents=agents, blocks=blocks, **changes)
    )


@router.put("/identities/{identity_id}/properties", operation_id="upsert_identity_properties")
def upsert_properties(
    service: Service,
    identity_id: str,
    properties: Annotated[list[IdentityProperty], Body(max_length=1000, examples=[[_PROPERTY]])],
) -> IdentityShape:
    """Set properties by their keys; the others stay."""
    found = service.identities.set_properties(identity_id, [one.model_dump() for one in properties])
    return _shape(service, found)


@router.delete("/identities/{identity_id}", operation_id="delete_identity")
def delete_identity(service: Service, identity_id: str) -> None:
    """Delete an identity; its agents and blocks stay."""
    service.identities.delete(identity_id)


@router.get("/identities/{identity_id}/agents", operation_id="list_agents_for_identity")
def list_agents(
    service: Service, identity_id: str, cursor: Page, include: Includes = None
) -> list[AgentShape]:
    """List the agents of an identity."""
    return agents_page(service, service.identities.owned(identity_id, "agent"), cursor, include)


@router.get("/identities/{identity_id}/blocks", operation_id="list_blocks_for_identity")
def list_blocks(service: Service, identity_id: str, cursor: PageOldestFirst) -> list[BlockResponse]:
    """List the blocks of an identity."""
    found = service.identities.retrieve(identity_id)
    ids = service.blocks.ids(identity_id=found.id, newest_first=cursor.newest_first)
    return [to_block(one) for one in service.blocks.list(ids=page(ids, cursor, key=str))]


@router.patch(
    "/agents/{agent_id}/identities/attach/{identity_id}", operation_id="attach_identity_to_agent"
)
def attach(service: Service, agent_id: str, identity_id: str) -> None:
    """Say that an agent belongs to an identity."""
    service.identities.attach(identity_id, "agent", agent_id)


@router.patch(
    "/agents/{agent_id}/identities/detach/{identity_id}",
    operation_id="detach_identity_from_agent",
)
def detach(service: Service, agent_id: str, identity_id: str) -> None:
    """Say that an agent does not belong to an identity any more."""
    service.identities.detach(identity_id, "agent", agent_id)


def _save(service: AgentService, asked: IdentityCreate, *, replace: bool) -> Identity:
    properties: list[dict[str, Any]] = [one.model_dump() for one in asked.properties or ()]
    return service.identities.create(
        asked.identifier_key,
        asked.name,
        identity_type=asked.identity_type,
        properties=properties,
        agents=asked.agent_ids or (),
        blocks=asked.block_ids or (),
        replace=replace,
    )


def _shape(service: AgentService, identity: Identity) -> IdentityShape:
    return to_identity(
        identity,
        service.identities.owned(identity.id, "agent"),
        service.identities.owned(identity.id, "block"),
    )
