"""Folders of files, and what agents do with them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, File, Query, UploadFile

from letta_kernel.errors import NotFoundError
from letta_kernel.server.authorization import own_agent
from letta_kernel.server.deps import Leaves, Page, Service
from letta_kernel.server.handles import embedding_name
from letta_kernel.server.paging import page_of
from letta_kernel.server.schemas.agents import AgentShape, to_agent
from letta_kernel.server.schemas.base import Shape
from letta_kernel.server.schemas.folders import (
    AgentFileShape,
    FileShape,
    FolderCreate,
    FolderShape,
    FolderUpdate,
    to_agent_file,
    to_file,
    to_folder,
)

router = APIRouter(tags=["folders"])

Text = Annotated[str | None, Query(max_length=1000)]
ByTime = Literal["created_at"] | None


class AgentFilesShape(Shape):
    """A page of an agent's files."""

    files: list[AgentFileShape]
    next_cursor: str | None = None
    has_more: bool


@router.get("/folders", operation_id="list_folders")
def list_folders(
    service: Service, cursor: Page, name: Text = None, order_by: ByTime = None
) -> list[FolderShape]:
    """List folders."""
    found = service.folders.list(agent=own_agent(), name=name)
    return [to_folder(one) for one in page_of(found, cursor)]


@router.post("/folders", operation_id="create_folder")
def create_folder(service: Service, asked: FolderCreate) -> FolderShape:
    """Make an empty folder."""
    config = asked.embedding_config
    named = config.handle or config.embedding_model if config is not None else None
    made = service.folders.create(
        asked.name,
        description=asked.description or "",
        instructions=asked.instructions or "",
        embedding=embedding_name(asked.embedding or named),
        metadata=asked.metadata,
    )
    return to_folder(made)


@router.get("/folders/count", operation_id="count_folders")
def count_folders(service: Service) -> int:
    """Return how many folders there are."""
    return len(service.folders.list(agent=own_agent()))


@router.get("/folders/name/{folder_name}", operation_id="retrieve_folder_by_name")
def retrieve_by_name(service: Service, folder_name: str) -> str:
    """Return the id of the folder of that name."""
    for folder in service.folders.list(agent=own_agent(), name=folder_name):
        return folder.id
    raise NotFoundError(f"There is no folder {folder_name!r:.200}.")


@router.get("/folders/{folder_id}", operation_id="retrieve_folder")
def retrieve_folder(service: Service, folder_id: str) -> FolderShape:
    """Return one folder."""
    return to_folder(service.folders.retrieve(folder_id))


@router.patch("/folders/{folder_id}", operation_id="update_folder")
def update_folder(service: Service, folder_id: str, asked: FolderUpdate) -> FolderShape:
    """Change a folder; its embedder stays."""
    changes = asked.model_dump(exclude={"embedding_config"})
    return to_folder(service.folders.update(folder_id, **changes))


@router.delete("/folders/{folder_id}", operation_id="delete_folder")
def delete_folder(service: Service, folder_id: str) -> None:
    """Delete a folder with its files, taking it from every agent."""
    service.folders.delete(folder_id)


@router.get("/folders/{folder_id}/agents", operation_id="list_agents_of_folder")
def list_agents(
    service: Service, folder_id: str, cursor: Page, order_by: ByTime = None
) -> list[str]:
    """List the ids of the agents a folder is attached to."""
    found = service.folders.agents(folder_id)
    return page_of(found, cursor, key=str)


@router.post("/folders/{folder_id}/upload", operation_id="upload_file_to_folder")
def upload(
    service: Service,
    leaves: Leaves,
    folder_id: str,
    file: Annotated[UploadFile, File(description="Text, Markdown, PDF, a notebook, a web page.")],
    duplicate_handling: Literal["skip", "error", "suffix", "replace"] = "suffix",
    name: Annotated[str | None, Query(max_length=200)] = None,
) -> FileShape:
    """Put a file into a folder; it can be found as soon as this answers."""
    kept = service.files.create(
        name or file.filename or "",
        file.file.read(),
        folder=folder_id,
        media_type=(file.content_type or "")[:100],
        duplicates=duplicate_handling,
        cancel=leaves,
    )
    return to_file(kept)


@router.get("/folders/{folder_id}/files", operation_id="list_files_of_folder")
def list_files(
    service: Service,
    folder_id: str,
    cursor: Page,
    include_content: bool = False,
    order_by: ByTime = None,
) -> list[FileShape]:
    """List the files of a folder."""
    found = service.files.list(folder=folder_id)
    part = page_of(found, cursor)
    return [to_file(one, content=include_content) for one in part]


@router.get("/folders/{folder_id}/files/{file_id}", operation_id="retrieve_file_of_folder")
def retrieve_file(
    service: Service, folder_id: str, file_id: str, include_content: bool = False
) -> FileShape:
    """Return one file of a folder."""
    return to_file(service.files.retrieve(file_id, folder=folder_id), content=include_content)


@router.delete(
    "/folders/{folder_id}/{file_id}", operation_id="delete_file_of_folder", status_code=204
)
def delete_file(service: Service, folder_id: str, file_id: str) -> None:
    """Delete a file of a folder."""
    service.files.delete(file_id, folder=folder_id)


@router.get("/agents/{agent_id}/folders", operation_id="list_folders_of_agent")
def list_agent_folders(
    service: Service, agent_id: str, cursor: Page, order_by: ByTime = None
) -> list[FolderShape]:
    """List the folders an agent has."""
    found = service.folders.list(agent=agent_id)
    return [to_folder(one) for one in page_of(found, cursor)]


@router.patch(
    "/agents/{agent_id}/folders/attach/{folder_id}", operation_id="attach_folder_to_agent"
)
def attach(service: Service, agent_id: str, folder_id: str) -> AgentShape:
    """Let an agent have a folder, and tools that open, grep and search files with its first one."""
    return to_agent(service.agents.view(service.folders.attach(folder_id, agent=agent_id).id))


@router.patch(
    "/agents/{agent_id}/folders/detach/{folder_id}", operation_id="detach_folder_from_agent"
)
def detach(service: Service, agent_id: str, folder_id: str) -> AgentShape:
    """Take a folder from an agent; the folder stays."""
    return to_agent(service.agents.view(service.folders.detach(folder_id, agent=agent_id).id))


@router.get("/agents/{agent_id}/files", operation_id="list_files_of_agent")
def list_agent_files(
    service: Service,
    agent_id: str,
    cursor: Page,
    is_open: bool | None = None,
    order_by: ByTime = None,
) -> AgentFilesShape:
    """List the files an agent can reach and which of them it has open."""
    found = [
        to_agent_file(*one)
        for one in service.files.of_agent(agent_id)
        if is_open is None or one[2].is_open == is_open
    ]
    part = page_of(found, cursor)
    more = bool(part) and len(part) == cursor.limit and len(found) > len(part)
    return AgentFilesShape(files=part, next_cursor=part[-1].id if more else None, has_more=more)


@router.patch("/agents/{agent_id}/files/close-all", operation_id="close_all_files_of_agent")
def close_all(service: Service, agent_id: str) -> list[str]:
    """Close every file of an agent; return their ids."""
    return service.files.close_all(agent_id)


@router.patch("/agents/{agent_id}/files/{file_id}/open", operation_id="open_file_of_agent")
def open_file(service: Service, agent_id: str, file_id: str) -> list[str]:
    """Open a file for an agent; return the ids of files that were closed to make room."""
    return service.files.open(file_id, agent=agent_id)


@router.patch("/agents/{agent_id}/files/{file_id}/close", operation_id="close_file_of_agent")
def close_file(service: Service, agent_id: str, file_id: str) -> None:
    """Close a file for an agent."""
    service.files.close(file_id, agent=agent_id)
