"""Archives that agents share, and the passages in them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from letta_kernel.errors import InvalidInputError
from letta_kernel.server.authorization import whose
from letta_kernel.server.deps import Page, Service
from letta_kernel.server.errors import FieldError
from letta_kernel.server.paging import page_of
from letta_kernel.server.routes.passages import passages_page
from letta_kernel.server.schemas import passages as schemas
from letta_kernel.server.schemas.passages import (
    ArchiveCreate,
    ArchiveShape,
    ArchiveUpdate,
    PassageCreate,
    PassagesCreate,
    PassageShape,
    PassageUpdate,
    to_archive,
    to_passage,
)

router = APIRouter(tags=["archives"])

Text = Annotated[str | None, Query(max_length=1000)]


@router.get("/archives", operation_id="list_archives")
def list_archives(
    service: Service,
    cursor: Page,
    name: Text = None,
    agent_id: Text = None,
    order_by: Literal["created_at"] | None = None,
) -> list[ArchiveShape]:
    """List archives: all, those of one name, those an agent is attached to."""
    found = service.archives.list(agent=whose(service, agent_id), name=name)
    return [to_archive(one) for one in page_of(found, cursor)]


@router.post("/archives", operation_id="create_archive")
def create_archive(service: Service, asked: ArchiveCreate) -> ArchiveShape:
    """Make an empty archive."""
    config = asked.embedding_config
    named = config.handle or config.embedding_model if config is not None else None
    made = service.archives.create(
        asked.name, description=asked.description or "", embedding=asked.embedding or named or None
    )
    return to_archive(made)


@router.get("/archives/{archive_id}", operation_id="retrieve_archive")
def retrieve_archive(service: Service, archive_id: str) -> ArchiveShape:
    """Return one archive."""
    return to_archive(service.archives.retrieve(archive_id))


@router.patch("/archives/{archive_id}", operation_id="update_archive")
def update_archive(service: Service, archive_id: str, asked: ArchiveUpdate) -> ArchiveShape:
    """Change an archive's name or description."""
    changed = service.archives.update(archive_id, name=asked.name, description=asked.description)
    return to_archive(changed)


@router.delete("/archives/{archive_id}", operation_id="delete_archive", status_code=204)
def delete_archive(service: Service, archive_id: str) -> None:
    """Delete an archive with its passages, taking it from every agent."""
    service.archives.delete(archive_id)


@router.get("/archives/{archive_id}/passages", operation_id="list_archive_passages")
def list_passages(service: Service, archive_id: str, cursor: Page) -> list[PassageShape]:
    """List the passages of an archive."""
    return passages_page(service, cursor, archive=archive_id)


@router.post("/archives/{archive_id}/passages", operation_id="create_passage_in_archive")
def create_passage(service: Service, archive_id: str, asked: PassageCreate) -> PassageShape:
    """Put one passage into an archive."""
    try:
        (made,) = service.passages.insert([schemas.from_create(asked)], archive=archive_id)
    except InvalidInputError as error:
        raise FieldError("text", error.text.partition(": ")[2] or error.text) from None
    return to_passage(made)


@router.post("/archives/{archive_id}/passages/batch", operation_id="create_passages_in_archive")
def create_passages(service: Service, archive_id: str, asked: PassagesCreate) -> list[PassageShape]:
    """Put many passages into an archive, all or none."""
    try:
        made = service.passages.insert(
            [schemas.from_create(p) for p in asked.passages], archive=archive_id
        )
    except InvalidInputError as error:
        raise FieldError("passages", error.text, *error.remedies) from None
    return [to_passage(one) for one in made]


@router.patch("/archives/{archive_id}/passages/{passage_id}", operation_id="update_archive_passage")
def update_passage(
    service: Service, archive_id: str, passage_id: str, asked: PassageUpdate
) -> PassageShape:
    """Change the text or tags of an archive's passage."""
    changed = service.passages.update(
        passage_id, archive=archive_id, content=asked.text, tags=asked.tags
    )
    return to_passage(changed)


@router.delete(
    "/archives/{archive_id}/passages/{passage_id}",
    operation_id="delete_passage_from_archive",
    status_code=204,
)
def delete_passage(service: Service, archive_id: str, passage_id: str) -> None:
    """Delete a passage of an archive."""
    service.passages.delete(passage_id, archive=archive_id)


@router.patch(
    "/agents/{agent_id}/archives/attach/{archive_id}", operation_id="attach_archive_to_agent"
)
def attach(service: Service, agent_id: str, archive_id: str) -> None:
    """Let an agent find an archive's passages; what it keeps goes there if it has no other."""
    service.archives.attach(archive_id, agent=agent_id)


@router.patch(
    "/agents/{agent_id}/archives/detach/{archive_id}", operation_id="detach_archive_from_agent"
)
def detach(service: Service, agent_id: str, archive_id: str) -> None:
    """Take an archive from an agent; the archive stays."""
    service.archives.detach(archive_id, agent=agent_id)
