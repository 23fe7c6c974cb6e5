"""Folders and files in the API's shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from letta_kernel.errors import InvalidInputError
from letta_kernel.memory.folders import view_of
from letta_kernel.records import Folder, OpenFile, StoredFile
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.server.schemas.passages import EmbeddingConfig, to_embedding_config


class FolderShape(Shape):
    """A folder of files."""

    id: str
    name: str
    description: str | None = None
    instructions: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    embedding_config: EmbeddingConfig
    created_at: datetime | None = None
    updated_at: datetime | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


class FolderCreate(Asked):
    """A folder to make."""

    name: str
    description: str | None = None
    instructions: str | None = None
    metadata: dict[str, Any] | None = None
    embedding: str | None = None
    embedding_config: EmbeddingConfig | None = None
    embedding_chunk_size: int | None = None


class FolderUpdate(Asked):
    """What to change of a folder; what is not given, or null, stays."""

    name: str | None = None
    description: str | None = None
    instructions: str | None = None
    metadata: dict[str, Any] | None = None
    embedding_config: EmbeddingConfig | None = None


class FileShape(Shape):
    """A file of a folder; ``content`` only where it was asked for."""

    id: str
    source_id: str
    folder_id: str
    file_name: str
    original_file_name: str
    file_type: str
    file_size: int
    processing_status: Literal["completed"] = "completed"
    total_chunks: int
    chunks_embedded: int
    content: str | None = None
    error_message: str | None = None
    created_at: datetime
    updated_at: datetime


class AgentFileShape(Shape):
    """How an agent sees a file."""

    id: str
    file_id: str
    file_name: str
    folder_id: str
    folder_name: str
    is_open: bool
    start_line: int | None = None
    end_line: int | None = None
    visible_content: str | None = None
    last_accessed_at: datetime | None = None


def to_folder(folder: Folder) -> FolderShape:
    """Return a folder as the API has it."""
    return FolderShape.of(
        folder,
        description=folder.description or None,
        instructions=folder.instructions or None,
        embedding_config=to_embedding_config(folder.embedding),
        last_updated_by_id=folder.created_by,
    )


def to_file(file: StoredFile, *, content: bool = False) -> FileShape:
    """Return a file as the API has it, with its text if *content* is wanted."""
    return FileShape.of(
        file,
        source_id=file.folder_id,
        file_name=file.name,
        original_file_name=file.original_name,
        file_type=file.media_type,
        file_size=file.size,
        total_chunks=file.chunks,
        chunks_embedded=file.chunks,
        content=file.content if content else None,
    )


def to_agent_file(folder: Folder, file: StoredFile, seen: OpenFile) -> AgentFileShape:
    """Return how an agent sees a file as the API has it."""
    visible = None
    if seen.is_open:
        try:
            visible = view_of(file, file.name, seen.start_line, seen.end_line).text
        except InvalidInputError:  # replaced by a shorter one
            visible = view_of(file, file.name).text
    return AgentFileShape.of(
        seen,
        id=f"{seen.agent_id}:{file.id}",
        file_name=file.name,
        folder_id=folder.id,
        folder_name=folder.name,
        visible_content=visible,
        last_accessed_at=seen.used_at,
    )
