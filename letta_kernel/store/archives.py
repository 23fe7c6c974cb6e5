"""Archives that stand by themselves, and which agents are attached to them.

An archive owns passages as an agent does: they carry its id where an agent's carry the agent's. An agent's
archival memory is its own passages and those of the archives it is attached to. Once it is attached, what it
keeps goes into the archive it was attached to first.
"""

from __future__ import annotations

from letta_kernel.errors import NotFoundError
from letta_kernel.ids import now
from letta_kernel.records import SharedArchive
from letta_kernel.store import attachments, sights
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Links, Table, Where

_ARCHIVES = Table("archives", SharedArchive, json=("metadata",))
_OF_AGENTS = Links("agent_archives", "archive_id")

add = _ARCHIVES.add
of_agent, agents_with = _OF_AGENTS.of_agent, _OF_AGENTS.agents_with


def get(tx: Tx, archive_id: str) -> SharedArchive | None:
    """Return the archive of this id; None if there is none, or it is there for those alone who look back."""
    found = _ARCHIVES.get(tx, archive_id)
    return found if found is not None and found.deleted_at is None else None


def save(tx: Tx, archive: SharedArchive) -> SharedArchive:
    """Write a changed archive; `NotFoundError` if it has been deleted."""
    return _ARCHIVES.save(tx, archive, "archive")


def list_all(
    tx: Tx, *, agent_id: str | None = None, name: str | None = None
) -> list[SharedArchive]:
    """Return archives, oldest first: all, those an agent is attached to, those of one name."""
    where = Where()
    if agent_id is None:
        where.add("deleted_at IS NULL")
    else:
        where.add("id IN (SELECT archive_id FROM agent_archives WHERE agent_id = {})", agent_id)
    if name is not None:
        where.add("name = {}", name)
    return _ARCHIVES.select(tx, f"{where} ORDER BY created_at, id", where.params)


def attach(tx: Tx, agent_id: str, archive_id: str) -> None:
    """Let an agent have an archive; `NotFoundError` if there is no such archive or agent.

    One that it sees as it was, it sees as it is from now on.
    """
    if get(tx, archive_id) is None:
        raise NotFoundError(f"There is no archive {archive_id}.")
    _OF_AGENTS.attach(tx, agent_id, archive_id)
    tx.execute(
        "UPDATE agent_archives SET seen = NULL WHERE agent_id = $1 AND archive_id = $2"
        " AND seen IS NOT NULL",
        (agent_id, archive_id),
    )


def detach(tx: Tx, agent_id: str, archive_id: str) -> bool:
    """Take an archive from an agent; False if the agent does not have it."""
    gone = _OF_AGENTS.detach(tx, agent_id, archive_id)
    attachments.sweep(tx)
    return gone


def passage_count(tx: Tx, agent_id: str) -> int:
    """Return how many passages an agent can find: its own, those it inherits, and those of its archives."""
    where = Where()
    sights.of_agent(tx, agent_id).add_to(where)
    row = tx.one(f"SELECT count(*) FROM passages {where}", where.params)
    return int(row[0]) if row else 0


def passage_tags(tx: Tx, agent_id: str, limit: int) -> list[str]:
    """Return the tags of the passages an agent can find, the *limit* most used ones, by name."""
    where = Where()
    sights.of_agent(tx, agent_id).add_to(where)
    rows = tx.query(
        f"SELECT tag FROM (SELECT unnest(tags) AS tag FROM passages {where}) t"
        f" GROUP BY tag ORDER BY count(*) DESC, tag LIMIT {where.place(limit)}",
        where.params,
    )
    return sorted(str(row[0]) for row in rows)


def delete(tx: Tx, archive_id: str) -> bool:
    """Delete an archive with its passages, taking it from every agent; False if there is none.

    Forks that see it as it was keep it for as long as they live.
    """
    if get(tx, archive_id) is None:
        return False
    if attachments.let_go(tx, "archive", archive_id):
        tx.execute("UPDATE archives SET deleted_at = $2 WHERE id = $1", (archive_id, now()))
    else:
        attachments.remove(tx, "archive", archive_id)
    return True
