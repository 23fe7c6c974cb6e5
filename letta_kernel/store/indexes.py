"""How search indexes follow the store: a watermark for new rows, an outbox for edits and deletes.

An index is known by its name, which carries its embedder and dimension. It asks for its `mark` of
an agent (which makes it known here), adds the rows after it, then moves the mark. From the moment
it is known every edit or delete leaves it an entry in the outbox; such an entry must be obeyed
after the rows that were being added meanwhile, and is removed with `outbox_done`. All of it may be
repeated after a crash, so the index must take adding or deleting a row twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from letta_kernel.ids import now
from letta_kernel.store import counters
from letta_kernel.store.database import Tx

Kind = Literal["passages", "messages"]


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Something an index has to do: *item_id* None means all rows of the agent."""

    id: int
    agent_id: str
    item_id: str | None
    action: Literal["update", "delete"]


def mark(tx: Tx, index_name: str, agent_id: str, kind: Kind = "passages") -> int:
    """Return the last seq of an agent's *kind* the index has, 0 at first; the index is known from now."""
    row = tx.one(
        "SELECT seq FROM index_marks WHERE index_name = $1 AND agent_id = $2",
        (index_name, agent_id),
    )
    if row is not None:
        return int(row[0])
    tx.execute("INSERT INTO index_marks VALUES ($1, $2, $3, 0)", (index_name, agent_id, kind))
    return 0


def move_mark(tx: Tx, index_name: str, agent_id: str, seq: int) -> None:
    """Say that the index has everything up to *seq*; a mark never moves back."""
    tx.execute(
        "UPDATE index_marks SET seq = $3 WHERE index_name = $1 AND agent_id = $2 AND seq < $3",
        (index_name, agent_id, seq),
    )


def forget_index(tx: Tx, index_name: str) -> None:
    """Forget an index that is no longer used: its marks and what waits for it."""
    tx.execute("DELETE FROM index_marks WHERE index_name = $1", (index_name,))
    tx.execute("DELETE FROM outbox WHERE index_name = $1", (index_name,))


def outbox(tx: Tx, index_name: str, limit: int = 1000) -> list[OutboxEntry]:
    """Return the oldest entries that wait for an index."""
    rows = tx.query(
        "SELECT id, agent_id, item_id, action FROM outbox WHERE index_name = $1"
        " ORDER BY id LIMIT $2",
        (index_name, limit),
    )
    return [OutboxEntry(*row) for row in rows]


def outbox_done(tx: Tx, ids: Sequence[int]) -> None:
    """Remove entries that have been obeyed."""
    tx.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", (list(ids),))


def announce(
    tx: Tx, agent_id: str, kind: Kind, action: str, item_ids: Sequence[str | None]
) -> None:
    """Leave an entry per item for every index of this agent's *kind*; None stands for all its rows."""
    names = tx.query(
        "SELECT index_name FROM index_marks WHERE agent_id = $1 AND kind = $2", (agent_id, kind)
    )
    if not names or not item_ids:
        return
    first = counters.take(tx, "outbox", "entries", len(names) * len(item_ids))
    moment = now()
    entries = [(name, item) for (name,) in names for item in item_ids]
    for start in range(0, len(entries), 200):
        params: list[object] = [agent_id, action, moment]
        places = []
        for number, (name, item) in enumerate(entries[start : start + 200], start=first + start):
            at = len(params)
            params += [number, name, item]
            places.append(f"(${at + 1}, ${at + 2}, $1, ${at + 3}, $2, $3)")
        tx.execute("INSERT INTO outbox VALUES " + ", ".join(places), params)


def drop_agent(tx: Tx, agent_id: str) -> None:
    """Tell every index to drop an agent's rows, and forget its marks."""
    for kind in ("passages", "messages"):
        announce(tx, agent_id, kind, "delete", [None])
    tx.execute("DELETE FROM index_marks WHERE agent_id = $1", (agent_id,))
