"""Memory blocks: by themselves, and as the core memory of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from letta_kernel.records import Block
from letta_kernel.server.authorization import guest, own_agent, visible
from letta_kernel.server.deps import Page, PageOldestFirst, Service
from letta_kernel.server.errors import FieldError, ForbiddenError
from letta_kernel.server.paging import Cursor, page, page_of
from letta_kernel.server.schemas import blocks as schemas
from letta_kernel.server.schemas.agents import AgentShape, Include, to_agent
from letta_kernel.server.schemas.base import REST
from letta_kernel.server.schemas.blocks import BlockCreate, BlockResponse, BlockUpdate, to_block
from letta_kernel.server.schemas.origins import SentenceShape, to_sentence
from letta_kernel.service import AgentService

router = APIRouter(tags=["blocks"])

Text = Annotated[str | None, Query(max_length=10_000)]
Count = Annotated[int | None, Query(ge=0, le=2**31)]
By = Literal["created_at"]
Includes = Annotated[
    list[Include] | None, Query(description="Only these relations; all if none are named.")
]


@router.get("/blocks", operation_id="list_blocks")
def list_blocks(
    service: Service,
    cursor: PageOldestFirst,
    label: Text = None,
    label_search: Text = None,
    description_search: Text = None,
    value_search: Text = None,
    tags: Annotated[list[str] | None, Query(max_length=1000)] = None,
    match_all_tags: bool = False,
    identity_id: Text = None,
    identifier_keys: Annotated[list[str] | None, Query(max_length=1000)] = None,
    connected_to_agents_count_eq: Annotated[
        list[Annotated[int, Query(ge=0, le=2**31)]] | None, Query(max_length=1000)
    ] = None,
    connected_to_agents_count_gt: Count = None,
    connected_to_agents_count_lt: Count = None,
    name: Text = None,
    templates_only: bool = False,
    order_by: By | None = None,
) -> list[BlockResponse]:
    """List memory blocks. There are no templates here, so asking for some gives none."""
    if templates_only or name is not None:
        return []
    ids = service.blocks.ids(
        label=label,
        label_text=label_search,
        description_text=description_search,
        value_text=value_search,
        tags=tags,
        match="all" if match_all_tags else "any",
        identity_id=identity_id,
        identity_keys=identifier_keys,
        agents_equal=connected_to_agents_count_eq,
        agents_over=connected_to_agents_count_gt,
        agents_under=connected_to_agents_count_lt,
        newest_first=cursor.newest_first,
    )
    wanted = page(_visible(service, ids), cursor, key=str)
    return _written(service, service.blocks.list(ids=wanted))


@router.post("/blocks", operation_id="create_block")
def create_block(service: Service, asked: BlockCreate) -> BlockResponse:
    """Make a memory block that no agent has yet; its limit is 100,000 characters unless given."""
    _check_length(asked.value, asked.limit)
    return _one(service, service.blocks.create(schemas.from_create(asked), reason=REST))


@router.get("/blocks/count", operation_id="count_blocks")
def count_blocks(service: Service) -> int:
    """Count the memory blocks."""
    return len(_visible(service, service.blocks.ids()))


@router.get("/blocks/{block_id}", operation_id="retrieve_block")
def retrieve_block(service: Service, block_id: str) -> BlockResponse:
    """Return one memory block."""
    return _one(service, service.blocks.retrieve(block_id))


@router.patch("/blocks/{block_id}", operation_id="update_block")
def update_block(service: Service, block_id: str, asked: BlockUpdate) -> BlockResponse:
    """Change a memory block in what is given; every agent that has it sees the change."""
    changed = _change(service, service.blocks.retrieve(block_id), asked)
    return _one(service, changed)


@router.delete("/blocks/{block_id}", operation_id="delete_block")
def delete_block(service: Service, block_id: str) -> None:
    """Delete a memory block, taking it from every agent."""
    service.blocks.delete(block_id)


@router.get("/blocks/{block_id}/agents", operation_id="list_agents_for_block")
def list_agents(
    service: Service,
    block_id: str,
    cursor: Page,
    include: Includes = None,
    order_by: By | None = None,
) -> list[AgentShape]:
    """List the agents that have a memory block."""
    return agents_page(service, service.blocks.agents(block_id), cursor, include)


@router.get("/blocks/{block_id}/origin", operation_id="list_block_origins")
def list_origins(service: Service, block_id: str) -> list[SentenceShape]:
    """List the sentences of a block, each with where it comes from; an extension, not Letta's."""
    return [to_sentence(one, own_agent()) for one in service.blocks.origin(block_id)]


@router.patch("/blocks/{block_id}/identities/attach/{identity_id}", operation_id="attach_block_id")
def attach_identity(service: Service, block_id: str, identity_id: str) -> BlockResponse:
    """Say that a block belongs to an identity."""
    service.identities.attach(identity_id, "block", block_id)
    return to_block(service.blocks.retrieve(block_id))


@router.patch("/blocks/{block_id}/identities/detach/{identity_id}", operation_id="detach_block_id")
def detach_identity(service: Service, block_id: str, identity_id: str) -> BlockResponse:
    """Say that a block does not belong to an identity any more."""
    service.identities.detach(identity_id, "block", block_id)
    return to_block(service.blocks.retrieve(block_id))


@router.get("/agents/{agent_id}/core-memory/blocks", operation_id="list_core_memory_blocks")
def list_of_agent(
    service: Service, agent_id: str, cursor: PageOldestFirst, order_by: By | None = None
) -> list[BlockResponse]:
    """List the blocks an agent always sees."""
    own = service.blocks.list(agent_id)
    return _written(service, page_of(own, cursor))


@router.patch(
    "/agents/{agent_id}/core-memory/blocks/attach/{block_id}",
    operation_id="attach_core_memory_block",
)
def attach(service: Service, agent_id: str, block_id: str) -> AgentShape:
    """Let an agent have a block; it may be shared with others."""
    service.blocks.attach(block_id, agent=agent_id)
    return to_agent(service.agents.view(agent_id))


@router.patch(
    "/agents/{agent_id}/core-memory/blocks/detach/{block_id}",
    operation_id="detach_core_memory_block",
)
def detach(service: Service, agent_id: str, block_id: str) -> AgentShape:
    """Take a block from an agent; the block stays."""
    service.blocks.detach(block_id, agent=agent_id)
    return to_agent(service.agents.view(agent_id))


# After their siblings: a label may hold slashes, and some clients send them as they are.
@router.get(
    "/agents/{agent_id}/core-memory/blocks/{block_label:path}",
    operation_id="retrieve_core_memory_block",
)
def retrieve_of_agent(service: Service, agent_id: str, block_label: str) -> BlockResponse:
    """Return an agent's block of that label."""
    return _one(service, service.blocks.retrieve(block_label, agent=agent_id))


@router.patch(
    "/agents/{agent_id}/core-memory/blocks/{block_label:path}",
    operation_id="update_core_memory_block",
)
def update_of_agent(
    service: Service, agent_id: str, block_label: str, asked: BlockUpdate
) -> BlockResponse:
    """Change an agent's block of that label in what is given."""
    found = service.blocks.retrieve(block_label, agent=agent_id)
    return _one(service, _change(service, found, asked))


def agents_page(
    service: AgentService, agent_ids: Sequence[str], cursor: Cursor, include: Any
) -> list[AgentShape]:
    """Return the part of these agents, by their age, that *cursor* names."""
    among = set(agent_ids)
    found = [state for state in visible(service.agents.list()) if state.id in among]
    wanted = page_of(found, cursor)
    return [to_agent(view, include) for view in service.agents.views(wanted)]


def _written(service: AgentService, found: Sequence[Block]) -> list[BlockResponse]:
    """Return blocks in the API's shape, with who wrote them last."""
    writers = service.blocks.writers([one.id for one in found])
    return [to_block(one, writers.get(one.id)) for one in found]


def _one(service: AgentService, block: Block) -> BlockResponse:
    return _written(service, [block])[0]


def _visible(service: AgentService, ids: Sequence[str]) -> list[str]:
    return visible(ids, lambda own: [one.id for one in service.blocks.list(own)])


def _change(service: AgentService, block: Block, asked: BlockUpdate) -> Block:
    changes: dict[str, Any] = asked.changes()
    expected: int | None = changes.pop("expected_version", None)
    value, limit = changes.get("value", block.value), changes.get("limit", block.limit)
    _check_reach(service, block, changes)
    _check_length(value, limit, "value" if "value" in changes else "limit")
    return service.blocks.update(block.id, reason=REST, expected_version=expected, **changes)


def _check_reach(service: AgentService, block: Block, changes: dict[str, Any]) -> None:
    """With a token of one agent change of a block that others have what the agent itself can: its text."""
    changed = {name for name, value in changes.items() if getattr(block, name) != value}
    alone = own_agent() is None or service.blocks.agents(block.id) == [own_agent()]
    if guest() is not None and changed and (not alone or block.read_only or changed != {"value"}):
        raise ForbiddenError(
            f"A guest gives the block {block.label!r:.200} another text at most, and only where no other "
            "agent has it and it may be written."
        )
    if alone or not changed:
        return
    if block.read_only or changed != {"value"}:
        may = "can only be read" if block.read_only else "can be given another text, and no more"
        text = f"Other agents have the block {block.label!r:.200}, too: here it {may}."
        raise ForbiddenError(text)


def _check_length(value: str, limit: int, field: str = "value") -> None:
    if len(value) > limit:
        raise FieldError(
            field, f"The block may hold {limit:,} characters; the text has {len(value):,}."
        )
