"""Forgotten passages: out of the table, so out of all that reads it; kept aside until they are purged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from letta_kernel.ids import now
from letta_kernel.records import Passage
from letta_kernel.store import indexes, passage_versions
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import dump, load, utc
from letta_kernel.store.passage_edits import stand_again
from letta_kernel.store.passage_versions import PASSAGES
from letta_kernel.store.sights import Sight


def forget(tx: Tx, ids: Sequence[str]) -> list[Passage]:
    """Put passages aside, from where `bring_back` fetches them, and return them. Indexes are told.

    All versions go, whoever sees them: in the past, and in forks.
    """
    found, moment = PASSAGES.get_many(tx, passage_versions.family(tx, ids)), now()
    gone = [one.id for one in found]
    kept = [dump(one.model_dump(mode="json")) for one in found]
    tx.execute(
        "INSERT INTO forgotten SELECT unnest($1::text[]), unnest($2::text[]),"
        " CAST(unnest($3::text[]) AS json), $4::timestamptz",
        (gone, [one.agent_id for one in found], kept, moment),
    )
    tx.execute("DELETE FROM passages WHERE id = ANY($1::text[])", (gone,))
    _announce(tx, found, "delete")
    return [one for one in found if one.id in ids]


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
    ids = passage_versions.family(tx, [one.id for one in found])
    rows = tx.query(
        "DELETE FROM forgotten WHERE id = ANY($1::text[]) RETURNING CAST(passage AS text)", (ids,)
    )
    own = {one.id for one in found}
    others = [Passage.model_validate(load(row[0])) for row in rows]
    found += [one for one in others if one.id not in own]
    rows = tx.query(
        "SELECT id FROM passages WHERE id = ANY($1::text[])"
        " UNION SELECT id FROM forgotten WHERE id = ANY($1::text[])",
        ([*ids, *(one.superseded_by for one in found if one.superseded_by)],),
    )
    there = {*ids, *(row[0] for row in rows)}
    for one in found:
        if one.superseded_by not in there:  # purged meanwhile
            one.superseded_by = one.superseded_at = None
    PASSAGES.insert(tx, found)
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


def _announce(tx: Tx, found: Sequence[Passage], action: str) -> None:
    """Tell the indexes of what was done to passages, which may be several owners'."""
    for owner in dict.fromkeys(one.agent_id for one in found):
        ids = [one.id for one in found if one.agent_id == owner]
        indexes.announce(tx, owner, "passages", action, ids)


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a passage was that is forgotten: when it was made and when it went; no word of it is left."""

    passage_id: str
    made_at: datetime
    forgotten_at: datetime


def gaps(tx: Tx, sight: Sight) -> list[Gap]:
    """Return the gaps that forgotten passages leave in a sight, in the order in which they were made.

    What was gone already at the moment that a part of it is looked at leaves none there.
    """
    rows = tx.query(
        "SELECT passage_id, owner_id, seq, created_at, forgotten_at FROM passage_gaps"
        " WHERE owner_id = ANY($1::text[]) UNION ALL"
        " SELECT f.id, replace(f.agent_id, '/past', ''), coalesce(v.seq, CAST(f.passage->>'seq' AS bigint)),"
        " CAST(f.passage->>'created_at' AS timestamptz), f.forgotten_at"
        " FROM forgotten f LEFT JOIN passage_versions v ON v.id = f.id"
        " WHERE replace(f.agent_id, '/past', '') = ANY($1::text[])"
        " AND coalesce(v.passage_id, f.id) = f.id ORDER BY 4, 1",
        (list(sight.spans or sight.owners),),
    )
    found = [(Gap(row[0], utc(row[3]), utc(row[4])), str(row[1]), int(row[2])) for row in rows]
    if sight.plain:
        return [gap for gap, _, _ in found]
    return [
        gap
        for gap, owner, seq in found
        if any(
            span.first <= seq <= (seq if span.last is None else span.last)
            and (span.until is None or gap.forgotten_at > span.until)
            for span in sight.spans[owner]
        )
    ]
