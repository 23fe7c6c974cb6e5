"""Passages and archives in the API's shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from letta_kernel.memory.archival import Hit
from letta_kernel.models.embedding import OFFLINE
from letta_kernel.records import Passage, SharedArchive
from letta_kernel.server.schemas.base import REST, Asked, Shape
from letta_kernel.server.schemas.blocks import Texts


def in_utc(moment: datetime) -> datetime:
    """Return *moment* in UTC; one without a zone is meant in UTC."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("there is no such moment in UTC") from None


Moment = Annotated[datetime, AfterValidator(in_utc)]
Match = Literal["any", "all"]
TopK = Annotated[int, Field(ge=1, le=1000)]


class EmbeddingConfig(Shape):
    """Which embedding model makes things findable."""

    embedding_model: str
    embedding_endpoint_type: str
    embedding_dim: int
    embedding_chunk_size: int | None = None
    handle: str | None = None


class PassageShape(Shape):
    """A piece of archival memory; ``archive_id`` is null for an agent's own."""

    id: str
    text: str
    tags: list[str] = Field(default_factory=list)
    archive_id: str | None = None
    source_id: str | None = None
    file_id: str | None = None
    file_name: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    embedding: list[float] | None = None
    embedding_config: EmbeddingConfig | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    is_deleted: bool = False
    superseded_by: str | None = None
    """The id of the passage that replaced it; an extension, not Letta's."""


class PassageCreate(Asked):
    """A text to keep."""

    text: str
    tags: Texts | None = None
    created_at: Moment | None = None
    metadata: dict[str, Any] | None = None


class AgentPassageCreate(PassageCreate):
    """A text for an agent to keep; ``supersedes`` are ids of what it replaces, an extension."""

    supersedes: Texts | None = None


class PassagesCreate(Asked):
    """Texts to keep, all or none."""

    passages: Annotated[list[PassageCreate], Field(max_length=10_000)]


class PassageUpdate(Asked):
    """What to change of a passage; what is not given, or null, stays."""

    text: str | None = None
    tags: Texts | None = None


class PassageSearch(Asked):
    """What to look for in archival memory, and whose; without either id: everybody's."""

    query: Annotated[str, Field(max_length=100_000)] | None = None
    agent_id: str | None = None
    archive_id: str | None = None
    limit: TopK = 50
    tags: list[str] | None = None
    tag_match_mode: Match = "any"
    start_date: Moment | None = None
    end_date: Moment | None = None


class PassageFound(Shape):
    """A passage that was found; ``score`` says from 0 to 1 how much of the query it answers."""

    passage: PassageShape
    score: float
    metadata: dict[str, Any] = Field(default_factory=dict)


class ArchivalHit(Shape):
    """A passage an agent's search found."""

    id: str
    timestamp: str
    content: str
    tags: list[str] = Field(default_factory=list)
    relevance: float


class ArchivalHits(Shape):
    """What an agent's search found, best first."""

    results: list[ArchivalHit]
    count: int


class ArchiveShape(Shape):
    """An archive agents can be attached to."""

    id: str
    name: str
    description: str | None = None
    embedding_config: EmbeddingConfig | None = None
    vector_db_provider: Literal["native"] = "native"
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime
    updated_at: datetime | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


class EmbeddingAsked(Asked):
    """The part of an embedding configuration that is looked at."""

    embedding_model: str | None = None
    handle: str | None = None


class ArchiveCreate(Asked):
    """An archive to make; ``embedding`` is ``wordllama`` (offline) or an embedding model's name."""

    name: str
    description: str | None = None
    embedding: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    embedding_config: EmbeddingAsked | None = None


class ArchiveUpdate(Asked):
    """What to change of an archive; what is not given, or null, stays."""

    name: str | None = None
    description: str | None = None


def to_passage(passage: Passage) -> PassageShape:
    """Return *passage* in the API's shape."""
    owner = passage.agent_id
    return PassageShape.of(
        passage,
        text=passage.content,
        archive_id=owner if owner.startswith("archive-") else None,
        source_id=passage.source,
        file_name=passage.metadata.get("file"),
    )


def to_found(hit: Hit) -> PassageFound:
    """Return what a search found in the API's shape."""
    return PassageFound(passage=to_passage(hit.passage), score=round(hit.score, 6))


def from_create(asked: PassageCreate) -> Passage:
    """Return the passage that was asked for, of nobody yet."""
    passage = Passage(
        agent_id="",
        content=asked.text,
        tags=list(dict.fromkeys(asked.tags or [])),
        metadata=asked.metadata or {},
        reason=REST,
    )
    if asked.created_at is not None:
        passage.created_at = asked.created_at
    return passage


def to_embedding_config(embedding: str | None) -> EmbeddingConfig:
    """Return an embedder in the API's shape; None is the offline one."""
    name = embedding or OFFLINE
    return EmbeddingConfig(
        embedding_model=name.partition("/")[2] or name,
        embedding_endpoint_type=name.partition("/")[0] if "/" in name else "hugging-face",
        embedding_dim=256 if name == OFFLINE else 0,
        handle=name,
    )


def to_archive(archive: SharedArchive) -> ArchiveShape:
    """Return *archive* in the API's shape."""
    return ArchiveShape.of(
        archive,
        description=archive.description or None,
        embedding_config=to_embedding_config(archive.embedding),
    )
