"""Folders of files, which agents they are attached to, and which files those have open.

A folder owns the passages its files are searched by, as an agent owns its own: they carry the folder's id
where an agent's carry the agent's, and the file's id as their source.
"""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.records import Folder, OpenFile, StoredFile
from letta_kernel.store import passages
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Links, Table, Where

TABLES = ("folders", "files", "agent_folders", "agent_files")

_FOLDERS = Table("folders", Folder, json=("metadata",))
_FILES = Table("files", StoredFile)
_OF_AGENTS = Links("agent_folders", "folder_id")

add, get = _FOLDERS.add, _FOLDERS.get
add_file, get_file = _FILES.add, _FILES.get
attach, of_agent, agents_with = _OF_AGENTS.attach, _OF_AGENTS.of_agent, _OF_AGENTS.agents_with


def save(tx: Tx, folder: Folder) -> Folder:
    """Write a changed folder; `NotFoundError` if it has been deleted."""
    return _FOLDERS.save(tx, folder, "folder")


def list_all(tx: Tx, *, agent_id: str | None = None, name: str | None = None) -> list[Folder]:
    """Return folders, oldest first: all, those attached to an agent, those of one name."""
    where = Where()
    if agent_id is not None:
        where.add("id IN (SELECT folder_id FROM agent_folders WHERE agent_id = {})", agent_id)
    if name is not None:
        where.add("name = {}", name)
    return _FOLDERS.select(tx, f"{where} ORDER BY created_at, id", where.params)


def delete(tx: Tx, folder_id: str) -> bool:
    """Delete a folder with its files and their passages; False if there is none."""
    if tx.one("DELETE FROM folders WHERE id = $1 RETURNING id", (folder_id,)) is None:
        return False
    for agent_id in agents_with(tx, folder_id):
        detach(tx, agent_id, folder_id)
    tx.execute("DELETE FROM files WHERE folder_id = $1", (folder_id,))
    passages.drop_owner(tx, folder_id)
    return True


# -- files ---------------------------------------------------------------------------------------------


def files_of(tx: Tx, folder_ids: Sequence[str], *, name: str | None = None) -> list[StoredFile]:
    """Return the files of these folders with their text, oldest first; *name*: only of that name."""
    where = Where()
    where.add("folder_id = ANY({}::text[])", list(folder_ids))
    if name is not None:
        where.add("name = {}", name)
    return _FILES.select(tx, f"{where} ORDER BY created_at, id", where.params)


def delete_file(tx: Tx, file: StoredFile) -> None:
    """Delete a file and its passages; every agent that has it open loses it."""
    tx.execute("DELETE FROM files WHERE id = $1", (file.id,))
    tx.execute("DELETE FROM agent_files WHERE file_id = $1", (file.id,))
    passages.delete_source(tx, file.folder_id, file.id)


# -- agents --------------------------------------------------------------------------------------------


def detach(tx: Tx, agent_id: str, folder_id: str) -> bool:
    """Take a folder from an agent, which closes its files; False if it was not attached."""
    tx.execute(
        "DELETE FROM agent_files WHERE agent_id = $1 AND file_id IN"
        " (SELECT id FROM files WHERE folder_id = $2)",
        (agent_id, folder_id),
    )
    return _OF_AGENTS.detach(tx, agent_id, folder_id)


def open_files(tx: Tx, agent_id: str) -> list[OpenFile]:
    """Return how an agent sees the files it has ever opened, the last used first."""
    rows = tx.query(
        "SELECT file_id, is_open, start_line, end_line, used_at FROM agent_files"
        " WHERE agent_id = $1 ORDER BY used_at DESC, file_id",
        (agent_id,),
    )
    return [
        OpenFile(
            agent_id=agent_id,
            file_id=row[0],
            is_open=row[1],
            start_line=row[2],
            end_line=row[3],
            used_at=row[4],
        )
        for row in rows
    ]


def put_open(tx: Tx, seen: OpenFile) -> None:
    """Keep how an agent sees a file from now on."""
    tx.execute(
        "INSERT INTO agent_files VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (agent_id, file_id)"
        " DO UPDATE SET is_open = excluded.is_open, start_line = excluded.start_line,"
        " end_line = excluded.end_line, used_at = excluded.used_at",
        (seen.agent_id, seen.file_id, seen.is_open, seen.start_line, seen.end_line, seen.used_at),
    )


def close_all(tx: Tx, agent_id: str) -> list[str]:
    """Close every file an agent has open and return their ids."""
    rows = tx.query(
        "UPDATE agent_files SET is_open = FALSE WHERE agent_id = $1 AND is_open RETURNING file_id",
        (agent_id,),
    )
    return [str(row[0]) for row in rows]
