"""Folders of files, which agents they are attached to, and which files those have open.

A folder owns the passages its files are searched by, as an agent owns its own: they carry the folder's id
where an agent's carry the agent's, and the file's id as their source.
"""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.ids import now
from letta_kernel.records import Folder, OpenFile, StoredFile
from letta_kernel.store import attachments, passage_edits, passage_versions, sights
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Links, Table, Where, utc

TABLES = ("folders", "files", "agent_folders", "agent_files")

_FOLDERS = Table("folders", Folder, json=("metadata",))
_FILES = Table("files", StoredFile)
_OF_AGENTS = Links("agent_folders", "folder_id")

add = _FOLDERS.add
add_file = _FILES.add
of_agent, agents_with = _OF_AGENTS.of_agent, _OF_AGENTS.agents_with


def get(tx: Tx, folder_id: str) -> Folder | None:
    """Return the folder of this id; None if there is none, or it is there for those alone who look back."""
    found = _FOLDERS.get(tx, folder_id)
    return found if found is not None and found.deleted_at is None else None


def get_file(tx: Tx, file_id: str) -> StoredFile | None:
    """Return the file of this id; None if there is none, or it is there for those alone who look back."""
    found = _FILES.get(tx, file_id)
    return found if found is not None and found.deleted_at is None else None


def save(tx: Tx, folder: Folder) -> Folder:
    """Write a changed folder; `NotFoundError` if it has been deleted."""
    return _FOLDERS.save(tx, folder, "folder")


def list_all(tx: Tx, *, agent_id: str | None = None, name: str | None = None) -> list[Folder]:
    """Return folders, oldest first: all, those attached to an agent, those of one name."""
    where = Where()
    if agent_id is None:
        where.add("deleted_at IS NULL")
    else:
        where.add("id IN (SELECT folder_id FROM agent_folders WHERE agent_id = {})", agent_id)
    if name is not None:
        where.add("name = {}", name)
    return _FOLDERS.select(tx, f"{where} ORDER BY created_at, id", where.params)


def delete(tx: Tx, folder_id: str) -> bool:
    """Delete a folder with its files and their passages; False if there is none.

    Forks that see it as it was keep it for as long as they live.
    """
    if get(tx, folder_id) is None:
        return False
    having = agents_with(tx, folder_id)
    kept = attachments.let_go(tx, "folder", folder_id)
    for agent_id in having:
        if agent_id not in kept:
            _close(tx, agent_id, folder_id)
    if kept:
        tx.execute("UPDATE folders SET deleted_at = $2 WHERE id = $1", (folder_id, now()))
    else:
        attachments.remove(tx, "folder", folder_id)
    return True


# -- files ---------------------------------------------------------------------------------------------


def files_of(tx: Tx, folder_ids: Sequence[str], *, name: str | None = None) -> list[StoredFile]:
    """Return the files of these folders with their text, oldest first; *name*: only of that name."""
    where = Where()
    where.add("folder_id = ANY({}::text[])", list(folder_ids))
    where.add("deleted_at IS NULL")
    if name is not None:
        where.add("name = {}", name)
    return _FILES.select(tx, f"{where} ORDER BY created_at, id", where.params)


def files_seen(tx: Tx, agent_id: str) -> list[StoredFile]:
    """Return the files that an agent finds in its folders, with their text, oldest first."""
    sight = sights.of_folders(tx, agent_id)
    if sight.plain:
        return files_of(tx, sight.owners)
    where = Where()
    where.add("folder_id = ANY({}::text[])", list(sight.spans))
    found = _FILES.select(tx, f"{where} ORDER BY created_at, id", where.params)
    return [
        one
        for one in found
        if sight.lived(one.created_at, one.folder_id)
        and not (one.deleted_at and sight.lived(utc(one.deleted_at), one.folder_id))
    ]


def delete_file(tx: Tx, file: StoredFile) -> None:
    """Delete a file and its passages; every agent that has it open loses it, but who sees it as it was."""
    if passage_versions.is_seen(tx, file.folder_id):
        tx.execute("UPDATE files SET deleted_at = $2 WHERE id = $1", (file.id, now()))
    else:
        tx.execute("DELETE FROM files WHERE id = $1", (file.id,))
    tx.execute(
        "DELETE FROM agent_files WHERE file_id = $1 AND agent_id NOT IN"
        " (SELECT agent_id FROM agent_folders WHERE folder_id = $2 AND seen IS NOT NULL)",
        (file.id, file.folder_id),
    )
    passage_edits.delete_source(tx, file.folder_id, file.id)


def attach(tx: Tx, agent_id: str, folder_id: str) -> None:
    """Let an agent have a folder, as it is from now on; `NotFoundError` if there is no such agent."""
    _OF_AGENTS.attach(tx, agent_id, folder_id)
    tx.execute(
        "UPDATE agent_folders SET seen = NULL WHERE agent_id = $1 AND folder_id = $2"
        " AND seen IS NOT NULL",
        (agent_id, folder_id),
    )


# -- agents --------------------------------------------------------------------------------------------


def detach(tx: Tx, agent_id: str, folder_id: str) -> bool:
    """Take a folder from an agent, which closes its files; False if it was not attached."""
    _close(tx, agent_id, folder_id)
    gone = _OF_AGENTS.detach(tx, agent_id, folder_id)
    attachments.sweep(tx)
    return gone


def _close(tx: Tx, agent_id: str, folder_id: str) -> None:
    tx.execute(
        "DELETE FROM agent_files WHERE agent_id = $1 AND file_id IN"
        " (SELECT id FROM files WHERE folder_id = $2)",
        (agent_id, folder_id),
    )


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
