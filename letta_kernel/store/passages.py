"""Archival memory: the passages of each agent. Search indexes follow through `indexes`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import now, storable
from letta_kernel.records import Passage
from letta_kernel.store import counters, indexes, purge_due
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, Where, dump, load, utc

_PASSAGES = Table("passages", Passage, json=("metadata",))


def get(tx: Tx, passage_id: str) -> Passage | None:
    """Return the passage of this id, or None."""
    return next(iter(get_many(tx, [passage_id])), None)


def get_many(tx: Tx, ids: Sequence[str], owners: Sequence[str] | None = None) -> list[Passage]:
    """Return the passages of these ids that exist, in the order of *ids*.

    Where they are read for somebody, *owners* are those whose passages are found there: what another of them
    replaced is marked.
    """
    return _standing(tx, _PASSAGES.get_many(tx, ids), owners)


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
    numbered = []
    for passage in passages:
        seq = following[passage.agent_id]
        following[passage.agent_id] = seq + 1
        numbered.append(passage.model_copy(update={"seq": seq}))
    return _PASSAGES.insert_stored(tx, numbered)


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
    superseded: bool | None = None,
    as_of: datetime | None = None,
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
    superseded
        Only passages that are superseded, or (False) that are not; None: both.
    as_of
        What is superseded, as it stood just before this moment.
    """
    where = Where()
    owners = [agent_id] if isinstance(agent_id, str) else list(agent_id)
    order = ["seq"] if isinstance(agent_id, str) else ["created_at", "id"]
    where.add("agent_id = ANY({}::text[])", owners)
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
    if superseded is not None:
        past = f" AND o.superseded_at < {where.place(as_of)}" if as_of is not None else ""
        ids = f"SELECT o.id {_SUPERSEDED.format(where.place(owners))}{past}"
        where.add(f"passages.id {'' if superseded else 'NOT '}IN ({ids})")
    way = "DESC" if newest_first else "ASC"
    keys = ", ".join(f"{key} {way}" for key in order)
    tail = f"{where} ORDER BY {keys} LIMIT {where.place(limit)}"
    return _standing(tx, _PASSAGES.select(tx, tail, where.params), owners)


# Whoever cannot find the successor would have neither.
_SUPERSEDED = (
    "FROM passages o JOIN passages n ON n.id = o.superseded_by AND n.agent_id = ANY({0}::text[])"
    " WHERE o.agent_id = ANY({0}::text[])"
)


def superseded(tx: Tx, owners: Sequence[str]) -> list[tuple[str, datetime]]:
    """Return the ids of the owners' passages that others of theirs have replaced, and since when."""
    sql = f"SELECT o.id, o.superseded_at {_SUPERSEDED.format('$1')}"
    rows = tx.query(sql, (list(owners),))
    return [(str(one), utc(at)) for one, at in rows]


def supersede(
    tx: Tx, by: str, ids: Sequence[str], owners: Sequence[str], whose: str = "The archive"
) -> list[Passage]:
    """Let the passage *by* replace others from now on; return those, marked. All or none.

    Parameters
    ----------
    owners
        Whose passages may be replaced; *whose* is how they are called. What was replaced by a passage that is
        not theirs can be by one of its own archive: all who had lost sight of it then see that one.

    Raises
    ------
    NotFoundError
        There is no such passage among theirs.
    InvalidInputError
        A passage would replace itself, or one that replaced it; or something else replaced it already.
    """
    wanted = list(dict.fromkeys(ids))
    found = {one.id: one for one in get_many(tx, [*wanted, by]) if one.agent_id in owners}
    for one in (*wanted, by):
        if one not in found:
            raise NotFoundError(f"{whose} has no passage {one!r} in archival memory.")
    if by in wanted:
        raise InvalidInputError(f"The passage {by!r} cannot supersede itself.")
    seen, later = {by}, found[by].superseded_by
    while later is not None and later not in seen:
        if later in wanted:
            raise InvalidInputError(
                f"The passage {later!r} supersedes {by!r} already: not the other way round too."
            )
        seen.add(later)
        following = get(tx, later)
        later = None if following is None else following.superseded_by
    for one in wanted:
        other = found[one].superseded_by
        if other is None or other == by:
            continue
        successor = get(tx, other)
        if successor is None or successor.agent_id in owners:
            raise InvalidInputError(
                f"The passage {one!r} is superseded already, by {other!r}: name that one."
            )
        if found[by].agent_id != found[one].agent_id:
            raise InvalidInputError(
                f"The passage {one!r} is superseded already in an archive that is not attached here;"
                " only another passage of its own archive can do so now."
            )
    moment, marked = now(), []
    for one in wanted:
        passage = found[one]
        if passage.superseded_by != by:
            passage.superseded_by, passage.superseded_at = by, moment
            _PASSAGES.change(tx, passage, ("superseded_by", "superseded_at"))
        marked.append(passage)
    return marked


def stand_again(tx: Tx, ids: Sequence[str]) -> None:
    """Let superseded passages stand again."""
    tx.execute(
        "UPDATE passages SET superseded_by = NULL, superseded_at = NULL WHERE id = ANY($1::text[])",
        (list(ids),),
    )


def of_content(
    tx: Tx, owner: str, content: str, owners: Sequence[str], without: Sequence[str] = ()
) -> Passage | None:
    """Return the newest passage of exactly this text that *owner* has, or None.

    One that another of the *owners* has replaced is left out, and those of the ids *without*.
    """
    where = (
        "WHERE agent_id = $1 AND content = $2 AND NOT id = ANY($3::text[]) AND id NOT IN (SELECT o.id"
        f" {_SUPERSEDED.format('$4')}) ORDER BY seq DESC LIMIT 1"
    )
    given = (owner, storable(content), list(without), list(owners))
    return next(iter(_standing(tx, _PASSAGES.select(tx, where, given), owners)), None)


def written_in(tx: Tx, step_ids: Sequence[str]) -> list[Passage]:
    """Return the passages that were kept in these steps, in their order."""
    return _PASSAGES.select(
        tx, "WHERE step_id = ANY($1::text[]) ORDER BY created_at, position", (list(step_ids),)
    )


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
    passage = get(tx, passage_id)
    if passage is None:
        return None
    changes: dict[str, Any] = {"content": content}
    changes["tags"] = None if tags is None else list(tags)
    given = {name: value for name, value in changes.items() if value is not None}
    changed = _PASSAGES.as_stored(passage.model_copy(update=given))
    _PASSAGES.update(tx, changed, keep=("superseded_by", "superseded_at"))
    indexes.announce(tx, passage.agent_id, "passages", "update", [passage_id])
    return changed


def tag(
    tx: Tx, found: Sequence[Passage], add: Sequence[str] = (), remove: Sequence[str] = ()
) -> list[Passage]:
    """Give passages tags and take others from them; return them as they are then. Indexes are told."""
    tagged, changed = [], {}
    for one in found:
        left = [tag for tag in dict.fromkeys([*one.tags, *add]) if tag not in remove]
        if left != one.tags:
            one = changed[one.id] = _PASSAGES.as_stored(one.model_copy(update={"tags": left}))
        tagged.append(one)
    tx.execute(
        "UPDATE passages SET tags = CAST(CAST(t.tags AS json) AS text[]) FROM"
        " (SELECT unnest($1::text[]) AS id, unnest($2::text[]) AS tags) t WHERE passages.id = t.id",
        (list(changed), [dump(one.tags) for one in changed.values()]),
    )
    _announce(tx, list(changed.values()), "update")
    return tagged


def _announce(tx: Tx, found: Sequence[Passage], action: Literal["update", "delete"]) -> None:
    """Tell the indexes of what was done to passages, which may be several owners'."""
    for owner in dict.fromkeys(one.agent_id for one in found):
        ids = [one.id for one in found if one.agent_id == owner]
        indexes.announce(tx, owner, "passages", action, ids)


def delete(tx: Tx, passage_id: str) -> bool:
    """Delete a passage; False if there is none. Indexes are told.

    What it had superseded stands again. It goes from the copies of the store with what is forgotten.
    """
    row = tx.one("DELETE FROM passages WHERE id = $1 RETURNING agent_id", (passage_id,))
    if row is None:
        return False
    unmark(tx, [passage_id])
    purge_due.note(tx, [passage_id])
    indexes.announce(tx, row[0], "passages", "delete", [passage_id])
    return True


def delete_source(tx: Tx, agent_id: str, source: str) -> int:
    """Delete all passages of one source and return how many that was. Indexes are told."""
    rows = tx.query(
        "DELETE FROM passages WHERE agent_id = $1 AND source = $2 RETURNING id", (agent_id, source)
    )
    indexes.announce(tx, agent_id, "passages", "delete", [row[0] for row in rows])
    unmark(tx, [row[0] for row in rows])
    return len(rows)


def unmark(tx: Tx, gone: Sequence[str]) -> None:
    """Let the passages stand again that purged ones had superseded."""
    sql = "SELECT id FROM passages WHERE superseded_by = ANY($1::text[])"
    stand_again(tx, [row[0] for row in tx.query(sql, (list(gone),))])


def unmark_of(tx: Tx, owner_id: str) -> None:
    """Let the passages stand again that those of a deleted owner had superseded."""
    tx.execute(
        "UPDATE passages SET superseded_by = NULL, superseded_at = NULL WHERE superseded_by IN"
        " (SELECT id FROM passages WHERE agent_id = $1 UNION ALL"
        " SELECT id FROM forgotten WHERE agent_id = $1)",
        (owner_id,),
    )


def drop_owner(tx: Tx, owner_id: str) -> None:
    """Delete what a deleted archive or folder owned: passages, marks, numbers."""
    unmark_of(tx, owner_id)
    purge_due.drop(tx, owner_id)
    indexes.drop_agent(tx, owner_id)
    tx.execute("DELETE FROM passages WHERE agent_id = $1", (owner_id,))
    counters.forget(tx, owner_id)


# -- forgotten: out of the table, so out of everything that reads it; kept aside until it is purged ----------


def forget(tx: Tx, ids: Sequence[str]) -> list[Passage]:
    """Put passages aside, from where `bring_back` fetches them, and return them. Indexes are told."""
    found, moment = _PASSAGES.get_many(tx, list(dict.fromkeys(ids))), now()
    gone = [one.id for one in found]
    kept = [dump(one.model_dump(mode="json")) for one in found]
    tx.execute(
        "INSERT INTO forgotten SELECT unnest($1::text[]), unnest($2::text[]),"
        " CAST(unnest($3::text[]) AS json), $4::timestamptz",
        (gone, [one.agent_id for one in found], kept, moment),
    )
    tx.execute("DELETE FROM passages WHERE id = ANY($1::text[])", (gone,))
    _announce(tx, found, "delete")
    return found


def forgotten(
    tx: Tx, owners: Sequence[str], ids: Sequence[str] | None = None
) -> list[tuple[Passage, datetime]]:
    """Return the owners' passages that are put aside, all or those of *ids*, and since when; newest first."""
    chosen = "" if ids is None else " AND id = ANY($2::text[])"
    rows = tx.query(
        "SELECT CAST(passage AS text), forgotten_at FROM forgotten WHERE agent_id = ANY($1::text[])"
        f"{chosen} ORDER BY forgotten_at DESC, id",
        (list(owners), *([] if ids is None else [list(ids)])),
    )
    return [(Passage.model_validate(load(text)), utc(at)) for text, at in rows]


def bring_back(tx: Tx, put_aside: Sequence[Passage]) -> None:
    """Put passages that `forgotten` returned where they were. Indexes are told.

    One whose text, of the same file, was kept again since stays where it is: it would be there twice.
    """
    again = tx.query(
        "SELECT f.id FROM forgotten f JOIN passages p ON p.agent_id = f.agent_id"
        " AND p.created_at > f.forgotten_at AND p.content = f.passage->>'content'"
        " AND (p.source = f.passage->>'source'"
        " OR NOT starts_with(coalesce(f.passage->>'source', ''), 'file-'))"
        " WHERE f.id = ANY($1::text[])",
        ([one.id for one in put_aside],),
    )
    twice = {row[0] for row in again}
    found = [one for one in put_aside if one.id not in twice]
    ids = [one.id for one in found]
    tx.execute("DELETE FROM forgotten WHERE id = ANY($1::text[])", (ids,))
    rows = tx.query(
        "SELECT id FROM passages WHERE id = ANY($1::text[])"
        " UNION SELECT id FROM forgotten WHERE id = ANY($1::text[])",
        ([*ids, *(one.superseded_by for one in found if one.superseded_by)],),
    )
    there = {*ids, *(row[0] for row in rows)}
    for one in found:
        if one.superseded_by not in there:  # purged meanwhile
            one.superseded_by = one.superseded_at = None
    _PASSAGES.insert(tx, found)
    clear: set[str] = set()
    for one in found:  # what replaced it may have been replaced meanwhile by what it had replaced
        chain, at = {one.id}, one.superseded_by
        while at is not None and at not in chain and at not in clear:
            chain.add(at)
            row = tx.one("SELECT superseded_by FROM passages WHERE id = $1", (at,))
            at = row[0] if row else None
        if at in chain:
            stand_again(tx, [one.id])
        clear |= chain
    _announce(tx, found, "update")


def owners(tx: Tx) -> list[str]:
    """Return the ids of all agents, archives and folders that have passages."""
    rows = tx.query("SELECT DISTINCT agent_id FROM passages ORDER BY agent_id")
    return [str(row[0]) for row in rows]
