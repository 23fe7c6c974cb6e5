"""Passages as they were: kept for points in time, forks and ends of history that look back at them.

What an owner deletes moves to its *past*, an owner of its own whose rows nobody reads but who looks back;
before an edit a copy goes there, for the row itself keeps its id. So indexes follow by mark and outbox as
ever, and who does not look back reads what it always read. ``passage_versions`` has a row for each that is
not simply a passage from its beginning until now:

- in the past: a version of *passage_id* which stood *since* then (null: from the beginning) *until* then;
- in its place, with *since*: edited then, so earlier views have another version;
- another's, under an id of its own: the version that a fork made of a passage it inherited.

``passage_marks`` says what a fork, or an agent that was rewound, did to passages it has from its line:
gone, superseded, or standing again. They belong to a *line*, the number with which its agent's own passages
begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from letta_kernel.ids import new_id, now
from letta_kernel.records import Passage
from letta_kernel.store import counters, indexes
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, utc

PASSAGES = Table("passages", Passage, json=("metadata",))
PAST = "/past"
"""Behind an owner's id: the owner of what was its."""


@dataclass(frozen=True, slots=True)
class Version:
    """A row of ``passage_versions``: ``seq`` is its number among its owner's, it is listed by ``place``."""

    id: str
    passage_id: str
    owner_id: str
    seq: int
    place: int
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Mark:
    """What a line did to a passage that is another's: gone, or superseded by one, or neither again."""

    passage_id: str
    gone: bool
    superseded_by: str | None
    at: datetime


def owner_of(agent_id: str) -> str:
    """Return whose passage a row is, or was."""
    return agent_id.removesuffix(PAST)


def is_seen(tx: Tx, owner_id: str) -> bool:
    """Return whether anybody may ever look back at what an owner has now: a step, or a line, refers to it."""
    row = tx.one(
        "SELECT EXISTS (SELECT 1 FROM steps WHERE agent_id = $1 OR NOT starts_with($1, 'agent-'))"
        " OR EXISTS (SELECT 1 FROM agents WHERE CAST(inherits AS text) <> '[]')"
        " OR EXISTS (SELECT 1 FROM agent_archives WHERE seen IS NOT NULL)"
        " OR EXISTS (SELECT 1 FROM agent_folders WHERE seen IS NOT NULL)",
        (owner_id,),
    )
    return bool(row and row[0])


def retire(tx: Tx, gone: Sequence[Passage]) -> None:
    """Move passages to the past of their owner, who has them no more. Indexes are told."""
    moment = now()
    for owner in dict.fromkeys(one.agent_id for one in gone):
        ids = [one.id for one in gone if one.agent_id == owner]
        first = counters.take(tx, owner + PAST, "passages", len(ids))
        tx.execute(
            "INSERT INTO passage_versions SELECT id, id, agent_id, seq, seq, NULL, $2 FROM passages"
            " WHERE id IN (SELECT unnest($1::text[]))"
            " ON CONFLICT (id) DO UPDATE SET until = excluded.until",
            (ids, moment),
        )
        tx.execute(
            "UPDATE passages SET agent_id = $3, seq = t.seq FROM"
            " (SELECT unnest($1::text[]) AS id, unnest($2::bigint[]) AS seq) t WHERE passages.id = t.id",
            (ids, list(range(first, first + len(ids))), owner + PAST),
        )
        indexes.announce(tx, owner, "passages", "delete", ids)


def keep(tx: Tx, before: Sequence[Passage]) -> None:
    """Keep passages as they stand, for those who look back, before they are edited."""
    moment, known = now(), of_rows(tx, [one.id for one in before])
    rows: list[tuple[object, ...]] = []
    for owner in dict.fromkeys(one.agent_id for one in before):
        found = [one for one in before if one.agent_id == owner]
        first = counters.take(tx, owner + PAST, "passages", len(found))
        copies = [
            one.model_copy(update={"id": new_id("passage"), "agent_id": owner + PAST, "seq": seq})
            for seq, one in enumerate(found, start=first)
        ]
        PASSAGES.insert(tx, copies)
        for one, copy in zip(found, copies, strict=True):
            was = known.get(one.id) or Version(one.id, one.id, owner, one.seq, one.seq, None, None)
            rows += [
                (copy.id, was.passage_id, owner, was.seq, was.place, was.since, moment),
                (one.id, was.passage_id, owner, was.seq, was.place, moment, None),
            ]
    for row in rows:
        tx.execute(
            "INSERT INTO passage_versions VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " ON CONFLICT (id) DO UPDATE SET since = excluded.since, until = excluded.until",
            row,
        )


def put_in_place(tx: Tx, copy: Passage, inherited: Passage) -> None:
    """Note that *copy*, a row of its owner's own, is what its line has in place of an *inherited* passage."""
    tx.execute(
        "INSERT INTO passage_versions VALUES ($1, $2, $3, $4, $5, NULL, NULL)",
        (copy.id, inherited.id, copy.agent_id, copy.seq, inherited.seq),
    )


def of_rows(tx: Tx, ids: Sequence[str]) -> dict[str, Version]:
    """Return what is known of these rows, by id."""
    found = _select(tx, "id IN (SELECT unnest($1::text[]))", ids)
    return {one.id: one for one in found}


def of_owners(tx: Tx, owners: Sequence[str]) -> list[Version]:
    """Return the versions of these owners' passages."""
    return _select(tx, "owner_id IN (SELECT unnest($1::text[]))", owners)


def texts_at(tx: Tx, ids: Sequence[str], moment: datetime) -> dict[str, str]:
    """Return what these rows said at a moment, by id; what is not known any more is left out."""
    rows = {id: id for id in ids}
    known = of_rows(tx, ids)
    versions = _select(
        tx,
        "passage_id IN (SELECT unnest($1::text[]))",
        [one.passage_id for one in known.values()],
    )
    for id, row in known.items():
        for one in versions:
            same = (one.passage_id, one.owner_id) == (row.passage_id, row.owner_id)
            begun = one.since is None or one.since <= moment
            if same and begun and (one.until is None or moment < one.until):
                rows[id] = one.id
    found = {one.id: one.content for one in PASSAGES.get_many(tx, [*rows.values()])}
    return {id: found[row] for id, row in rows.items() if row in found}


def _select(tx: Tx, where: str, params: Sequence[str]) -> list[Version]:
    rows = tx.query(f"SELECT * FROM passage_versions WHERE {where} ORDER BY id", (list(params),))
    return [
        Version(*row[:5], *(None if moment is None else utc(moment) for moment in row[5:]))
        for row in rows
    ]


def family(tx: Tx, ids: Iterable[str]) -> list[str]:
    """Return the ids of all rows that are versions of passages, theirs first."""
    wanted = list(dict.fromkeys(ids))
    rows = tx.query(
        "SELECT id FROM passage_versions WHERE passage_id IN (SELECT unnest($1::text[])) ORDER BY id",
        (wanted,),
    )
    return list(dict.fromkeys([*wanted, *(str(row[0]) for row in rows)]))


def mark(
    tx: Tx,
    agent_id: str,
    line: int,
    ids: Sequence[str],
    *,
    gone: bool = False,
    superseded_by: str | None = None,
) -> datetime:
    """Mark passages for an agent's line alone, from now on; without anything they stand again."""
    moment = now()
    tx.execute(
        "INSERT INTO passage_marks SELECT $1, $2, unnest($3::text[]), $4, $5::text, $6",
        (agent_id, line, list(ids), gone, superseded_by, moment),
    )
    return moment


def marks(tx: Tx, agent_id: str, line: int, until: datetime | None = None) -> list[Mark]:
    """Return what was marked in a line of an agent, up to a moment, oldest first."""
    rows = tx.query(
        "SELECT passage_id, gone, superseded_by, marked_at FROM passage_marks WHERE agent_id = $1 AND line = $2"
        " AND ($3::timestamptz IS NULL OR marked_at <= $3) ORDER BY marked_at",
        (agent_id, line, until),
    )
    return [Mark(row[0], row[1], row[2], utc(row[3])) for row in rows]


def number_at(tx: Tx, owner_id: str, moment: datetime, steps: Sequence[str] = ()) -> int:
    """Return the number of the newest passage that an owner had at a moment, 0 for none.

    Those count that it has deleted or forgotten since, and those kept in *steps*, however long these took.
    """
    row = tx.one(
        "SELECT max(seq) FROM (SELECT seq FROM passages WHERE agent_id = $1"
        " AND (coalesce(kept_at, created_at) <= $2 OR step_id = ANY($3::text[]))"
        " UNION ALL SELECT v.seq FROM passage_versions v JOIN passages p ON p.id = v.id"
        " WHERE v.owner_id = $1 AND p.agent_id <> $1"
        " AND (coalesce(p.kept_at, p.created_at) <= $2 OR p.step_id = ANY($3::text[]))"
        " UNION ALL SELECT CAST(passage->>'seq' AS bigint) FROM forgotten WHERE agent_id = $1"
        " AND CAST(coalesce(passage->>'kept_at', passage->>'created_at') AS timestamptz) <= $2) t",
        (owner_id, moment, list(steps)),
    )
    return int(row[0] or 0) if row else 0


def changed_since(tx: Tx, owner_id: str, moment: datetime) -> bool:
    """Return whether passages of an owner were edited, deleted or superseded after a moment."""
    row = tx.one(
        "SELECT EXISTS (SELECT 1 FROM passage_versions WHERE owner_id = $1"
        " AND (since > $2 OR until > $2))"
        " OR EXISTS (SELECT 1 FROM passages WHERE agent_id = $1 AND superseded_at > $2)",
        (owner_id, moment),
    )
    return bool(row and row[0])


def carry_marks(
    tx: Tx, agent_id: str, line: int, moment: datetime, other_id: str, other_line: int
) -> None:
    """Let a new line have the marks that another had at a moment: it goes on from there."""
    tx.execute(
        "INSERT INTO passage_marks SELECT $4, $5, passage_id, gone, superseded_by, marked_at"
        " FROM passage_marks WHERE agent_id = $1 AND line = $2 AND marked_at <= $3",
        (agent_id, line, moment, other_id, other_line),
    )


def drop_owner(tx: Tx, owner_id: str) -> None:
    """Delete what was a deleted owner's, or was marked for it."""
    tx.execute("DELETE FROM passages WHERE agent_id = $1", (owner_id + PAST,))
    for table, column in (
        ("passage_versions", "owner_id"),
        ("passage_marks", "agent_id"),
        ("passage_gaps", "owner_id"),
    ):
        tx.execute(f"DELETE FROM {table} WHERE {column} = $1", (owner_id,))
    indexes.drop_agent(tx, owner_id + PAST)
    counters.forget(tx, owner_id + PAST)
