"""Archival memory: the passages of each agent. Search indexes follow through `indexes`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

from letta_kernel.ids import storable
from letta_kernel.records import Passage
from letta_kernel.store import counters, indexes
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, Where

_PASSAGES = Table("passages", Passage, json=("metadata",))

get, get_many = _PASSAGES.get, _PASSAGES.get_many


def append(tx: Tx, passages: Sequence[Passage]) -> list[Passage]:
    """Add passages, which may be several agents', and return them with ``seq`` (per agent)."""
    by_agent: dict[str, int] = {}
    for passage in passages:
        by_agent[passage.agent_id] = by_agent.get(passage.agent_id, 0) + 1
    following = {
        agent_id: counters.take(tx, agent_id, "passages", number)
        for agent_id, number in by_agent.items()
    }
    stored = []
    for passage in passages:
        seq = following[passage.agent_id]
        following[passage.agent_id] = seq + 1
        stored.append(_PASSAGES.as_stored(passage.model_copy(update={"seq": seq})))
    _PASSAGES.insert(tx, stored)
    return stored


def page(
    tx: Tx,
    agent_id: str | Sequence[str],
    *,
    limit: int = 50,
    before: int | str | None = None,
    after: int | str | None = None,
    tags: Sequence[str] | None = None,
    match: Literal["any", "all"] = "any",
    source: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    text: str | None = None,
    newest_first: bool = True,
) -> list[Passage]:
    """Return part of an agent's passages.

    Parameters
    ----------
    agent_id
        Whose; of several, *before* and *after* must be ids, and order is by time.
    limit
        At most so many, counted from the newest or, without *newest_first*, from the oldest.
    before, after
        Only passages with a smaller, or greater, seq; or before or after the passage of this id.
    tags, match
        Only passages with any, or all, of these tags.
    source
        Only passages of this source.
    start, end
        Only passages made at *start* or later, and before *end*.
    text
        Only passages that contain this, in any case.
    """
    where = Where()
    if isinstance(agent_id, str):
        order = ["seq"]
        where.add("agent_id = {}", agent_id)
    else:
        order = ["created_at", "id"]
        where.add("agent_id = ANY({}::text[])", list(agent_id))
    for other, sign in ((before, "<"), (after, ">")):
        if isinstance(other, int):
            where.add(f"seq {sign} {{}}", other)
        elif other is not None:
            where.beyond("passages", order[0], sign, other)
    if tags:
        where.add("tags && {}::text[]" if match == "any" else "tags @> {}::text[]", list(tags))
    if source is not None:
        where.add("source = {}", source)
    if start is not None:
        where.add("created_at >= {}", start)
    if end is not None:
        where.add("created_at < {}", end)
    if text:
        where.add("position({} IN lower(content)) > 0", text.lower())
    way = "DESC" if newest_first else "ASC"
    keys = ", ".join(f"{key} {way}" for key in order)
    tail = f"{where} ORDER BY {keys} LIMIT {where.place(limit)}"
    return _PASSAGES.select(tx, tail, where.params)


def of_content(tx: Tx, agent_id: str, content: str) -> Passage | None:
    """Return the agent's oldest passage of exactly this text, or None."""
    where = "WHERE agent_id = $1 AND content = $2 ORDER BY seq LIMIT 1"
    found = _PASSAGES.select(tx, where, (agent_id, storable(content)))
    return found[0] if found else None


def last_position(tx: Tx, agent_id: str, source: str) -> int | None:
    """Return the highest position an agent's passages of one source have; None if there are none."""
    row = tx.one(
        "SELECT max(position) FROM passages WHERE agent_id = $1 AND source = $2", (agent_id, source)
    )
    return None if row is None or row[0] is None else int(row[0])


def last_positions(tx: Tx, sources: Collection[str]) -> dict[tuple[str, str], int]:
    """Return the highest position of the passages of these sources, by whose they are and the source."""
    rows = tx.query(
        "SELECT agent_id, source, max(position) FROM passages WHERE source = ANY($1::text[])"
        " GROUP BY agent_id, source",
        (list(sources),),
    )
    return {(owner, source): int(last) for owner, source, last in rows}


def update(
    tx: Tx,
    passage_id: str,
    *,
    content: str | None = None,
    tags: Sequence[str] | None = None,
) -> Passage | None:
    """Change a passage in what is given and return it; None if there is none. Indexes are told."""
    passage = _PASSAGES.get(tx, passage_id)
    if passage is None:
        return None
    changes: dict[str, Any] = {"content": content}
    changes["tags"] = None if tags is None else list(tags)
    given = {name: value for name, value in changes.items() if value is not None}
    changed = _PASSAGES.as_stored(passage.model_copy(update=given))
    _PASSAGES.update(tx, changed)
    indexes.announce(tx, passage.agent_id, "passages", "update", [passage_id])
    return changed


def delete(tx: Tx, passage_id: str) -> bool:
    """Delete a passage; False if there is none. Indexes are told."""
    row = tx.one("DELETE FROM passages WHERE id = $1 RETURNING agent_id", (passage_id,))
    if row is None:
        return False
    indexes.announce(tx, row[0], "passages", "delete", [passage_id])
    return True


def delete_source(tx: Tx, agent_id: str, source: str) -> int:
    """Delete all passages of one source and return how many that was. Indexes are told."""
    rows = tx.query(
        "DELETE FROM passages WHERE agent_id = $1 AND source = $2 RETURNING id", (agent_id, source)
    )
    indexes.announce(tx, agent_id, "passages", "delete", [row[0] for row in rows])
    return len(rows)


def drop_owner(tx: Tx, owner_id: str) -> None:
    """Delete all that a shared archive or a folder which is no more owned: passages, marks, numbers."""
    indexes.drop_agent(tx, owner_id)
    tx.execute("DELETE FROM passages WHERE agent_id = $1", (owner_id,))
    counters.forget(tx, owner_id)


def owners(tx: Tx) -> list[str]:
    """Return the ids of all agents, archives and folders that have passages."""
    rows = tx.query("SELECT DISTINCT agent_id FROM passages ORDER BY agent_id")
    return [str(row[0]) for row in rows]
