"""Archival memory: the passages of each agent. Search indexes follow through `indexes`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

from letta_kernel.ids import now, storable
from letta_kernel.records import Passage
from letta_kernel.store import counters, sights
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Where, utc
from letta_kernel.store.passage_versions import PASSAGES as _PASSAGES
from letta_kernel.store.passage_versions import PAST, owner_of
from letta_kernel.store.sights import Sight

Whose = str | Sequence[str] | Sight
"""An owner's id, or several, or what a reader finds."""


def sight_of(whose: Whose) -> Sight:
    """Return what *whose* names: of owners, all their passages as they stand."""
    if isinstance(whose, Sight):
        return whose
    return Sight((whose,) if isinstance(whose, str) else tuple(whose))


def get(tx: Tx, passage_id: str) -> Passage | None:
    """Return the passage of this id, or None."""
    return next(iter(get_many(tx, [passage_id])), None)


def is_there(tx: Tx, passage_id: str) -> bool:
    """Return whether there is a passage of this id, or was and is kept for who looks back."""
    return tx.one("SELECT 1 FROM passages WHERE id = $1", (passage_id,)) is not None


def get_many(tx: Tx, ids: Sequence[str], whose: Whose | None = None) -> list[Passage]:
    """Return the passages of these ids that exist, in the order of *ids*.

    Where they are read for somebody, *whose* says who is looked at: others' are left out, and what another of
    theirs replaced is marked.
    """
    if whose is None:
        found = _PASSAGES.get_many(tx, ids)
        return _standing(tx, [one for one in found if not one.agent_id.endswith(PAST)], None)
    sight = sight_of(whose)
    if not sight.plain:
        return sights.get_many(tx, sight, ids)
    found = [one for one in _PASSAGES.get_many(tx, ids) if one.agent_id in sight.owners]
    return _standing(tx, found, sight.owners)


def _standing(tx: Tx, found: list[Passage], owners: Sequence[str] | None) -> list[Passage]:
    """Take the mark off passages whose successor is not seen, or not there: forgotten, it may come back."""
    by = [one.superseded_by for one in found if one.superseded_by]
    if by:
        whose = dict(
            tx.query("SELECT id, agent_id FROM passages WHERE id = ANY($1::text[])", (by,))
        )
        there = {one for one, owner in whose.items() if owners is None or owner in owners}
        for one in found:
            if one.superseded_by and one.superseded_by not in there:
                one.superseded_by = one.superseded_at = None
    return found


def append(tx: Tx, passages: Sequence[Passage]) -> list[Passage]:
    """Add passages, which may be several agents', and return them with ``seq`` (per agent)."""
    by_agent: dict[str, int] = {}
    for passage in passages:
        by_agent[passage.agent_id] = by_agent.get(passage.agent_id, 0) + 1
    following = {
        agent_id: counters.take(tx, agent_id, "passages", number)
        for agent_id, number in by_agent.items()
    }
    numbered, moment = [], now()
    for passage in passages:
        seq = following[passage.agent_id]
        following[passage.agent_id] = seq + 1
        numbered.append(passage.model_copy(update={"seq": seq, "kept_at": moment}))
    return _PASSAGES.insert_stored(tx, numbered)


def page(
    tx: Tx,
    whose: Whose,
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
    superseded: bool | None = None,
    as_of: datetime | None = None,
) -> list[Passage]:
    """Return part of an agent's passages.

    Parameters
    ----------
    whose
        Of several owners, *before* and *after* must be ids, and order is by time.
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
    superseded
        Only passages that are superseded, or (False) that are not; None: both.
    as_of
        What is superseded, as it stood just before this moment.
    """
    where = Where()
    sight = sight_of(whose)
    order = [sights.place(sight)] if sight.of_one_line else ["created_at", "id"]
    sight.add_to(where)
    for other, sign in ((before, "<"), (after, ">")):
        if isinstance(other, int):
            where.add(f"{order[0]} {sign} {{}}", other)
        elif other is not None:
            where.beyond("passages", order[0], sign, sight.rows.get(other, other))
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
    if superseded is not None and sight.plain:
        past = f" AND o.superseded_at < {where.place(as_of)}" if as_of is not None else ""
        ids = f"SELECT o.id {_SUPERSEDED.format(where.place(list(sight.owners)))}{past}"
        where.add(f"passages.id {'' if superseded else 'NOT '}IN ({ids})")
    elif superseded is not None:
        found = [
            sight.rows.get(one, one)
            for one, _, at in sights.superseded(tx, sight)
            if as_of is None or at < as_of
        ]
        where.add(
            f"passages.id {'' if superseded else 'NOT '}IN (SELECT unnest({{}}::text[]))", found
        )
    way = "DESC" if newest_first else "ASC"
    keys = ", ".join(f"{key} {way}" for key in order)
    tail = f"{where} ORDER BY {keys} LIMIT {where.place(limit)}"
    found_rows = _PASSAGES.select(tx, tail, where.params)
    if not sight.plain:
        return sight.read(tx, found_rows)
    return _standing(tx, found_rows, sight.owners)


# Whoever cannot find the successor would have neither.
_SUPERSEDED = (
    "FROM passages o JOIN passages n ON n.id = o.superseded_by AND n.agent_id = ANY({0}::text[])"
    " WHERE o.agent_id = ANY({0}::text[])"
)


def superseded(tx: Tx, whose: Whose) -> list[tuple[str, datetime]]:
    """Return the ids of somebody's passages that others of theirs have replaced, and since when."""
    sight = sight_of(whose)
    if not sight.plain:
        return [(one, at) for one, _, at in sights.superseded(tx, sight)]
    sql = f"SELECT o.id, o.superseded_at {_SUPERSEDED.format('$1')}"
    rows = tx.query(sql, (list(sight.owners),))
    return [(str(one), utc(at)) for one, at in rows]


def of_content(
    tx: Tx, owner: str, content: str, whose: Whose, without: Sequence[str] = ()
) -> Passage | None:
    """Return the newest passage of exactly this text that *owner* has, or None.

    One that another of *whose* passages has replaced is left out, and those of the ids *without*. What an agent
    inherits it has.
    """
    sight = sight_of(whose)
    if sight.plain:
        where = (
            "WHERE agent_id = $1 AND content = $2 AND NOT id = ANY($3::text[]) AND id NOT IN (SELECT o.id"
            f" {_SUPERSEDED.format('$4')}) ORDER BY seq DESC LIMIT 1"
        )
        given = (owner, storable(content), list(without), list(sight.owners))
        found = _PASSAGES.select(tx, where, given)
        return next(iter(_standing(tx, found, sight.owners)), None)
    chosen = _written_by(owner, sight)
    chosen.add("content = {}", storable(content))
    left = [*without, *(one for one, _, _ in sights.superseded(tx, sight))]
    chosen.add("NOT passages.id = ANY({}::text[])", [sight.rows.get(one, one) for one in left])
    tail = f"ORDER BY {sights.place(sight)} DESC LIMIT 1"
    return next(iter(sights.select(tx, sight, chosen, tail)), None)


def _written_by(owner: str, sight: Sight) -> Where:
    """Keep what *owner* has, or what a reader that writes into no archive inherited."""
    where = Where()
    others = [one for one in sight.owners if one != sight.reader]
    if owner in others:
        where.add("agent_id = {}", owner)
    else:
        where.add("NOT agent_id = ANY({}::text[])", others)
    return where


def written_in(tx: Tx, step_ids: Sequence[str]) -> list[Passage]:
    """Return the passages that were kept in these steps, in their order."""
    return _PASSAGES.select(
        tx, "WHERE step_id = ANY($1::text[]) ORDER BY created_at, position", (list(step_ids),)
    )


def last_position(tx: Tx, owner: str, source: str, whose: Whose = ()) -> int | None:
    """Return the highest position *owner*'s passages of one source have; None if there are none.

    Of a reader that inherits some, *whose* says what it finds.
    """
    sight = sight_of(whose or owner)
    where = Where() if sight.plain else _written_by(owner, sight)
    where.add("source = {}", source)
    if sight.plain:
        where.add("agent_id = {}", owner)
    else:
        sight.add_to(where)
    row = tx.one(f"SELECT max(position) FROM passages {where}", where.params)
    return None if row is None or row[0] is None else int(row[0])


def last_positions(tx: Tx, sources: Collection[str]) -> dict[tuple[str, str], int]:
    """Return the highest position of the passages of these sources, by whose they are and the source."""
    rows = tx.query(
        "SELECT agent_id, source, max(position) FROM passages WHERE source = ANY($1::text[])"
        " GROUP BY agent_id, source ORDER BY max(position)",
        (list(sources),),
    )
    return {(owner_of(owner), source): int(last) for owner, source, last in rows}


def owners(tx: Tx) -> list[str]:
    """Return the ids of all agents, archives and folders that have passages."""
    rows = tx.query(
        f"SELECT DISTINCT agent_id FROM passages WHERE agent_id NOT LIKE '%{PAST}'"
        " AND agent_id NOT IN (SELECT id FROM agents WHERE deleted_at IS NOT NULL) ORDER BY agent_id"
    )
    return [str(row[0]) for row in rows]


def embeddings(tx: Tx) -> list[str | None]:
    """Return the embedding models of agents, None for the project's; none where there is nothing to search."""
    if tx.one("SELECT 1 FROM passages LIMIT 1") is None:
        return []
    return [row[0] for row in tx.query("SELECT DISTINCT embedding FROM agents")]
