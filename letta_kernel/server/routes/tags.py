"""The tags agents have."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from letta_kernel.server.authorization import visible
from letta_kernel.server.deps import PageOldestFirst, Service
from letta_kernel.server.paging import page_of

router = APIRouter(tags=["tags"])


@router.get("/tags", operation_id="list_tags")
def list_tags(
    service: Service,
    cursor: PageOldestFirst,
    name: Annotated[str | None, Query(max_length=1000)] = None,
    query_text: Annotated[str | None, Query(max_length=1000)] = None,
    order_by: Literal["name"] | None = None,
) -> list[str]:
    """List the tags of all agents by name; a tag is its own cursor."""
    found = visible(
        service.agents.tags(text=name or query_text),
        lambda own: service.agents.retrieve(own).tags,
    )
    return page_of(found, cursor, key=str)
