"""Groups of agents, what was said in them, and how much of it each agent has in its own history.

What is said is kept once, numbered within the group. An agent that hears of it gets a copy in its own history,
whose id follows from the two, so that no agent is told twice, whoever is killed in between.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from letta_kernel.ids import now
from letta_kernel.messages import Message
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import Group, GroupMessage, OwnThread, Run
from letta_kernel.store import indexes, messages, pictures, runs
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, Where

_GROUPS = Table("groups", Group)
_SAID = Table("group_messages", GroupMessage, parts={"pictures": Picture})
_COPIES = uuid.UUID("6c0e3f0a-5d0b-4a52-9c1e-0b6c4f3f7c11")

add, get = _GROUPS.add, _GROUPS.get


def save(tx: Tx, group: Group) -> Group:
    """Write a changed group; `NotFoundError` if it has been deleted."""
    return _GROUPS.save(tx, group, "group")


def named(tx: Tx, name: str) -> Group | None:
    """Return the group of this name, or None."""
    found = _GROUPS.select(tx, "WHERE name = $1 AND name <> ''", (name,))
    return found[0] if found else None


def list_all(
    tx: Tx,
    *,
    manager_type: str | None = None,
    agent_id: str | None = None,
    manager_agent_id: str | None = None,
    hidden: bool = False,
) -> list[Group]:
    """Return groups, oldest first.

    Parameters
    ----------
    agent_id
        Only those it is in, as a member or their manager.
    manager_agent_id
        Only those it manages.
    hidden
        Those that are hidden too.
    """
    where = Where()
    if manager_type is not None:
        where.add("manager_type = {}", manager_type)
    if agent_id is not None:
        where.add("(agent_ids && {}::text[] OR manager_agent_id = {})", [agent_id], agent_id)
    if manager_agent_id is not None:
        where.add("manager_agent_id = {}", manager_agent_id)
    if not hidden:
        where.add("NOT hidden")
    return _GROUPS.select(tx, f"{where} ORDER BY created_at, id", where.params)


def delete(tx: Tx, group_id: str) -> bool:
    """Delete a group and what it kept; its agents stay, with what they heard. False if there is none."""
    if tx.one("DELETE FROM groups WHERE id = $1 RETURNING id", (group_id,)) is None:
        return False
    for table in ("group_messages", "group_agents"):
        tx.execute(f"DELETE FROM {table} WHERE group_id = $1", (group_id,))
    tx.execute("DELETE FROM claims WHERE name = $1", (group_id,))
    tx.execute(  # what its sleep-time agent was about ends with it, and is no news any more
        "UPDATE proposals SET status = 'dropped', before = '', after = '', decided_at = $2"
        " WHERE status IN ('staged', 'open') AND sleep_id IN (SELECT id FROM sleeps WHERE group_id = $1)",
        (group_id, now()),
    )
    tx.execute(
        "UPDATE sleeps SET told = true, ended_at = coalesce(ended_at, $2),"
        " status = CASE status WHEN 'open' THEN 'stopped' ELSE status END WHERE group_id = $1",
        (group_id, now()),
    )
    pictures.sweep(tx)
    return True


def without(tx: Tx, agent_id: str) -> None:
    """Take an agent that goes out of its groups; those it managed, or was alone in, go with it."""
    for group in list_all(tx, agent_id=agent_id, hidden=True):
        left = [one for one in group.agent_ids if one != agent_id]
        if not left or group.manager_agent_id == agent_id:
            delete(tx, group.id)
        else:
            save(tx, group.model_copy(update={"agent_ids": left}))
    tx.execute("DELETE FROM group_agents WHERE agent_id = $1", (agent_id,))


def say(tx: Tx, said: GroupMessage) -> GroupMessage:
    """Keep what was said, as the newest of its group; what is kept already stays as it is."""
    row = tx.one(
        "SELECT coalesce(max(seq), 0) + 1 FROM group_messages WHERE group_id = $1", (said.group_id,)
    )
    said.seq = int(row[0]) if row else 1
    pictures.keep(tx, said.pictures)
    _SAID.insert(tx, [_SAID.as_stored(said)])
    return said


def said_in(tx: Tx, group_id: str, after: int = 0) -> list[GroupMessage]:
    """Return what was said in a group behind number *after*, oldest first."""
    return _SAID.select(tx, "WHERE group_id = $1 AND seq > $2 ORDER BY seq", (group_id, after))


def unkept_answers(tx: Tx, group_id: str, agent_ids: Collection[str]) -> list[Message]:
    """Return what these agents have answered in turns of a group that is not kept there yet, oldest first."""
    rows = tx.query(
        "SELECT id FROM messages WHERE group_id = $1 AND agent_id = ANY($2::text[])"
        " AND role = 'assistant' AND NOT interrupted AND run_id IN (SELECT id FROM runs"
        " WHERE group_id = $1 AND status NOT IN ('created', 'running'))"
        " AND id NOT IN (SELECT id FROM group_messages WHERE group_id = $1) ORDER BY created_at, seq",
        (group_id, list(agent_ids)),
    )
    found = messages.get_many(tx, [str(row[0]) for row in rows])
    return [one for one in found if one.said.strip()]


def turns(tx: Tx, group_id: str, agent_ids: Collection[str], since: datetime) -> list[Run]:
    """Return the turns that these agents have had in a group since a moment, oldest first.

    A run that went on after an approval is no turn of its own.
    """
    return runs.select(
        tx,
        "WHERE group_id = $1 AND agent_id = ANY($2::text[]) AND continues IS NULL"
        " AND created_at >= $3 ORDER BY created_at, id",
        (group_id, list(agent_ids), since),
    )


def unheard(tx: Tx, group_id: str, agent_id: str) -> list[GroupMessage]:
    """Return what others said in a group that this agent does not have in its history, oldest first."""
    row = tx.one(
        "SELECT heard FROM group_agents WHERE group_id = $1 AND agent_id = $2", (group_id, agent_id)
    )
    found = said_in(tx, group_id, int(row[0]) if row else 0)
    found = [one for one in found if one.sender_id != agent_id]
    ids = [copy_id(one, agent_id) for one in found]
    rows = tx.query(
        "SELECT id FROM messages WHERE agent_id = $1 AND id = ANY($2::text[])", (agent_id, ids)
    )
    there = {row[0] for row in rows}
    return [one for one, copy in zip(found, ids, strict=True) if copy not in there]


def heard(tx: Tx, group_id: str, agent_id: str, seq: int) -> None:
    """Note that an agent has in its history what was said up to number *seq*, if the group is there."""
    tx.execute(
        "INSERT INTO group_agents (group_id, agent_id, heard)"
        " SELECT id, $2, $3::bigint FROM groups WHERE id = $1"
        " ON CONFLICT (group_id, agent_id)"
        " DO UPDATE SET heard = greatest(group_agents.heard, excluded.heard)",
        (group_id, agent_id, seq),
    )


def copy_id(said: GroupMessage, agent_id: str) -> str:
    """Return the id that the copy of what was said has in an agent's history."""
    return f"message-{uuid.uuid5(_COPIES, f'{said.id} {agent_id}')}"


def spoken_ids(tx: Tx, group_id: str) -> list[str]:
    """Return the ids of what was said and done in a group, each thing once, oldest first.

    These are the messages of people, and those that its agents wrote in its turns; not the copies.
    """
    rows = tx.query(
        "SELECT id, created_at, 0 AS seq FROM group_messages WHERE group_id = $1 AND sender_id IS NULL"
        " UNION ALL SELECT id, created_at, seq FROM messages WHERE group_id = $1 AND step_id IS NOT NULL"
        " ORDER BY 2, 3, 1",
        (group_id,),
    )
    return [str(row[0]) for row in rows]


def spoken(tx: Tx, ids: Sequence[str]) -> list[Message]:
    """Return what has these ids among those of `spoken_ids`, in their order."""
    found = {one.id: one for one in messages.get_many(tx, ids)}
    people = _SAID.get_many(tx, [one for one in ids if one not in found])
    found.update((one.id, as_message(one)) for one in people)
    return [found[one] for one in ids if one in found]


def as_message(said: GroupMessage) -> Message:
    """Return what a person said in a group as a message of the group's own."""
    return Message(
        id=said.id,
        agent_id=said.group_id,
        seq=said.seq,
        run_id=said.run_id,
        role="user",
        content=said.content,
        pictures=said.pictures,
        group_id=said.group_id,
        created_at=said.created_at,
    )


def forget(tx: Tx, group_id: str) -> None:
    """Let a group begin anew: what was said in it goes, from its agents' histories too."""
    rows = tx.query(
        "DELETE FROM messages WHERE group_id = $1 OR run_id IN (SELECT id FROM runs WHERE group_id = $1)"
        " RETURNING agent_id, id",
        (group_id,),
    )
    gone: dict[str, list[str | None]] = {}
    for agent_id, message_id in rows:
        gone.setdefault(agent_id, []).append(message_id)
    for agent_id, ids in gone.items():
        indexes.announce(tx, agent_id, "messages", "delete", ids)
    # Whoever keeps what such an agent had in sight sees by this that it is another history now.
    tx.execute("UPDATE agents SET updated_at = $2 WHERE id = ANY($1::text[])", (list(gone), now()))
    tx.execute("DELETE FROM group_messages WHERE group_id = $1", (group_id,))
    tx.execute("DELETE FROM group_agents WHERE group_id = $1", (group_id,))
    pictures.sweep(tx)


def asks_in(tx: Tx, group_id: str, agent_id: str) -> bool:
    """Return whether the newest thing in an agent's own thread is of a turn of this group."""
    found = messages.page(tx, agent_id, limit=1, thread=OwnThread(agent_id))
    return bool(found) and found[0].group_id == group_id


def wait_no_more(tx: Tx, group_id: str, agent_id: str) -> None:
    """Let an agent wait for no approval that a turn of this group asked for."""
    if asks_in(tx, group_id, agent_id):
        tx.execute("UPDATE leases SET waiting = false WHERE agent_id = $1", (agent_id,))


def copies(unheard: Sequence[GroupMessage], agent_id: str) -> list[Message]:
    """Return what was said as messages for an agent's history; agents' words begin with their names."""
    return [
        Message(
            id=copy_id(one, agent_id),
            agent_id=agent_id,
            role="user",
            content=f"{one.name}: {one.content}" if one.sender_id else one.content,
            pictures=one.pictures,
            name=one.name or None,
            sender_id=one.sender_id,
            group_id=one.group_id,
        )
        for one in unheard
    ]
