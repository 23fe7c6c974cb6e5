"""Archival memory: what an agent keeps, and searches over agents and archives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from letta_kernel.agent.settings import timezone_of
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.server.authorization import need_owner, own_agent, visible, whose
from letta_kernel.server.deps import Service
from letta_kernel.server.errors import FieldError
from letta_kernel.server.paging import MAX_LIMIT, Cursor, bounded, seek
from letta_kernel.server.schemas.base import REST
from letta_kernel.server.schemas.origins import OriginShape, to_origin
from letta_kernel.server.schemas.passages import (
    AgentPassageCreate,
    ArchivalHit,
    ArchivalHits,
    Match,
    PassageFound,
    PassageSearch,
    PassageShape,
    TopK,
    to_found,
    to_passage,
)
from letta_kernel.service import AgentService
from letta_kernel.tools.core import local_time

router = APIRouter(tags=["passages"])
UNITS = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4}
"""Units of storage, as powers of 1,024 bytes."""

Id = Annotated[str | None, Query(max_length=1000)]


@router.get("/agents/{agent_id}/archival-memory", operation_id="list_passages")
def list_passages(
    service: Service,
    agent_id: str,
    after: Id = None,
    before: Id = None,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT)] = 100,
    search: Annotated[str | None, Query(max_length=10_000)] = None,
    ascending: bool | None = True,
) -> list[PassageShape]:
    """List what an agent has in archival memory, its archives' passages among it."""
    cursor = Cursor(before, after, limit or 100, "desc" if ascending is False else "asc")
    return passages_page(service, cursor, agent=agent_id, text=search)


@router.post("/agents/{agent_id}/archival-memory", operation_id="create_passage")
def create_passage(
    service: Service, agent_id: str, asked: AgentPassageCreate
) -> list[PassageShape]:
    """Put a text of any length into archival memory; a long one becomes several passages."""
    if not asked.text.strip():
        raise FieldError("text", "There is no text to keep.")
    _check_reach(service, agent_id)
    made = service.passages.create(
        asked.text,
        asked.tags or (),
        agent=agent_id,
        created_at=asked.created_at,
        metadata=asked.metadata,
        reason=REST,
        supersedes=asked.supersedes or (),
    )
    return [to_passage(one) for one in made]


@router.get("/agents/{agent_id}/archival-memory/search", operation_id="search_archival_memory")
def search_archival_memory(
    service: Service,
    agent_id: str,
    query: Annotated[str, Query(max_length=100_000)],
    tags: Annotated[list[str] | None, Query(max_length=1000)] = None,
    tag_match_mode: Match = "any",
    top_k: TopK | None = 10,
    start_datetime: datetime | str | None = None,
    end_datetime: datetime | str | None = None,
) -> ArchivalHits:
    """Search an agent's archival memory by words, meaning, tags and time; filters come before the limit."""
    zone = timezone_of(service.agents.retrieve(agent_id).settings)
    hits = service.passages.search(
        query,
        agent=agent_id,
        tags=tags,
        match=tag_match_mode,
        top_k=top_k or 10,
        start=start_datetime,
        end=end_datetime,
        timezone=zone,
    )
    results = [
        ArchivalHit(
            id=hit.passage.id,
            timestamp=local_time(hit.passage.created_at, zone),
            content=hit.passage.content,
            tags=hit.passage.tags,
            relevance=round(hit.score, 4),
        )
        for hit in hits
    ]
    return ArchivalHits(results=results, count=len(results))


@router.get(
    "/agents/{agent_id}/archival-memory/{memory_id}/origin", operation_id="retrieve_passage_origin"
)
def retrieve_origin(service: Service, agent_id: str, memory_id: str) -> OriginShape:
    """Say where a passage comes from; an extension, not Letta's."""
    found = service.passages.retrieve(memory_id, agent=agent_id)
    return to_origin(service.passages.origins([found])[0], own_agent())


@router.delete("/agents/{agent_id}/archival-memory/{memory_id}", operation_id="delete_passage")
def delete_passage(service: Service, agent_id: str, memory_id: str) -> None:
    """Delete a passage of archival memory."""
    _check_reach(service, agent_id)
    service.passages.delete(memory_id, agent=agent_id)


@router.post("/passages/search", operation_id="search_passages")
def search_passages(service: Service, asked: PassageSearch) -> list[PassageFound]:
    """Search one agent's archival memory, one archive, or everything; without a query: the newest."""
    if asked.agent_id is not None and asked.archive_id is not None:
        raise InvalidInputError("Give agent_id or archive_id, not both.")
    agent = asked.agent_id
    if asked.archive_id is None:
        agent = whose(service, agent)
    elif not visible([asked.archive_id], lambda own: _archives(service, own)):
        raise NotFoundError(f"There is no archive {asked.archive_id!r:.200}.")
    hits = service.passages.search(
        asked.query or "",
        agent=agent,
        archive=asked.archive_id,
        tags=asked.tags,
        match=asked.tag_match_mode,
        top_k=asked.limit,
        start=asked.start_date,
        end=asked.end_date,
        timezone="UTC",
    )
    return [to_found(hit) for hit in hits]


def _check_reach(service: AgentService, agent_id: str) -> None:
    """A guest writes into nothing that other agents could have."""
    if service.archives.list(agent=agent_id):
        need_owner("Writing into an archive that agents share")


def _archives(service: AgentService, agent_id: str) -> list[str]:
    return [one.id for one in service.archives.list(agent=agent_id)]


def passages_page(service: AgentService, cursor: Cursor, **of: Any) -> list[PassageShape]:
    """Return the passages that *cursor* names of those that are *of*, as `Passages.list` takes it."""
    cursor = bounded(cursor, service.passages.check)
    found = seek(
        cursor,
        lambda older, newer, newest_first: service.passages.list(
            limit=cursor.limit, before=older, after=newer, newest_first=newest_first, **of
        ),
    )
    return [to_passage(one) for one in found]


@router.get("/embeddings/total_storage_size", operation_id="total_storage_size")
def total_storage_size(
    service: Service, storage_unit: Annotated[Literal["B", "KB", "MB", "GB", "TB"], Query()] = "GB"
) -> float:
    """Return how much room the indexes of all embeddings take on the disk."""
    return float(service.store.index_bytes() / 1024 ** UNITS[storage_unit])
