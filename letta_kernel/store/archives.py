"""Archives that stand by themselves, and which agents are attached to them.

An archive owns passages as an agent does: they carry its id where an agent's carry the agent's. An agent's
archival memory is its own passages and those of the archives it is attached to. Once it is attached, what it
keeps goes into the archive it was attached to first.
"""

from __future__ import annotations

from letta_kernel.errors import NotFoundError
from letta_kernel.records import SharedArchive
from letta_kernel.store import passages
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Links, Table, Where

_ARCHIVES = Table("archives", SharedArchive, json=("metadata",))
_OF_AGENTS = Links("agent_archives", "archive_id")

add, get = _ARCHIVES.add, _ARCHIVES.get
detach, of_agent, agents_with = _OF_AGENTS.detach, _OF_AGENTS.of_agent, _OF_AGENTS.agents_with


def save(tx: Tx, archive: SharedArchive) -> SharedArchive:
    """Write a changed archive; `NotFoundError` if it has been deleted."""
    return _ARCHIVES.save(tx, archive, "archive")


def list_all(
    tx: Tx, *, agent_id: str | None = None, name: str | None = None
) -> list[SharedArchive]:
    """Return archives, oldest first: all, those an agent is attached to, those of one name."""
    where = Where()
    if agent_id is not None:
        where.add("id IN (SELECT archive_id FROM agent_archives WHERE agent_id = {})", agent_id)
    if name is not None:
        where.add("name = {}", name)
    return _ARCHIVES.select(tx, f"{where} ORDER BY created_at, id", where.params)


def attach(tx: Tx, agent_id: str, archive_id: str) -> None:
    """Let an agent have an archive; `NotFoundError` if there is no such archive or agent."""
    if get(tx, archive_id) is None:
        raise NotFoundError(f"There is no archive {archive_id}.")
    _OF_AGENTS.attach(tx, agent_id, archive_id)


def passage_count(tx: Tx, agent_id: str) -> int:
    """Return how many passages an agent can find: its own and those of its archives."""
    row = tx.one(
        "SELECT count(*) FROM passages WHERE agent_id = $1 OR agent_id IN"
        " (SELECT archive_id FROM agent_archives WHERE agent_id = $1)",
        (agent_id,),
    )
    return int(row[0]) if row else 0


def passage_tags(tx: Tx, agent_id: str, limit: int) -> list[str]:
    """Return the tags of the passages an agent can find, the *limit* most used ones, by name."""
    rows = tx.query(
        "SELECT tag FROM (SELECT unnest(tags) AS tag FROM passages WHERE agent_id = $1 OR agent_id IN"
        " (SELECT archive_id FROM agent_archives WHERE agent_id = $1)) t"
        " GROUP BY tag ORDER BY count(*) DESC, tag LIMIT $2",
        (agent_id, limit),
    )
    return sorted(str(row[0]) for row in rows)


def delete(tx: Tx, archive_id: str) -> bool:
    """Delete an archive with its passages, taking it from every agent; False if there is none."""
    if tx.one("DELETE FROM archives WHERE id = $1 RETURNING id", (archive_id,)) is None:
        return False
    tx.execute("DELETE FROM agent_archives WHERE archive_id = $1", (archive_id,))
    passages.drop_owner(tx, archive_id)
    return True
