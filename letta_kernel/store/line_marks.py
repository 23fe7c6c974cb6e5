"""What an agent forgets of passages it inherited: they go out of its own sight, and can come back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from letta_kernel.records import Passage
from letta_kernel.store import passage_versions, sights
from letta_kernel.store.database import Tx
from letta_kernel.store.passage_versions import owner_of
from letta_kernel.store.sights import Sight


def may_forget(tx: Tx, sight: Sight, passage: Passage) -> bool:
    """Whether a passage in sight is the reader's to forget for good: its own, or a deleted owner's."""
    if sight.plain:
        return True
    owner = _owner(tx, passage)
    return owner in sight.owners or holder(tx, passage) is None


def holder(tx: Tx, passage: Passage) -> str | None:
    """Return the name of the agent or archive whose a passage is, None where that is deleted."""
    row = tx.one(
        "SELECT name FROM (SELECT id, name, deleted_at FROM agents UNION ALL"
        " SELECT id, name, deleted_at FROM archives) t WHERE id = $1 AND deleted_at IS NULL",
        (_owner(tx, passage),),
    )
    return None if row is None else str(row[0])


def _owner(tx: Tx, passage: Passage) -> str:
    row = tx.one("SELECT agent_id FROM passages WHERE id = $1", (passage.id,))
    return passage.agent_id if row is None else owner_of(row[0])


def hide(tx: Tx, sight: Sight, found: Sequence[Passage]) -> None:
    """Take inherited passages out of the reader's sight."""
    passage_versions.mark(tx, sight.reader, sight.line, [one.id for one in found], gone=True)


def show(tx: Tx, sight: Sight, ids: Sequence[str]) -> None:
    """Bring back what was hidden."""
    passage_versions.mark(tx, sight.reader, sight.line, ids)


def hidden(tx: Tx, sight: Sight) -> list[tuple[Passage, datetime]]:
    """Return what the reader's line has hidden of what it inherited, and since when."""
    if sight.plain:
        return []
    marks = {m.passage_id: m for m in passage_versions.marks(tx, sight.reader, sight.line)}
    gone = [one for one in marks.values() if one.gone]
    if not gone:
        return []
    before = sights.of_agent(tx, sight.reader, hidden=True)
    found = {p.id: p for p in sights.get_many(tx, before, [one.passage_id for one in gone])}
    return [(found[one.passage_id], one.at) for one in gone if one.passage_id in found]
