"""Numbers that only grow: the order of messages, passages and notices."""

from __future__ import annotations

from letta_kernel.store.database import Tx


def take(tx: Tx, owner_id: str, kind: str, count: int = 1) -> int:
    """Take the next *count* numbers of a series and return the first; a series begins with 1."""
    row = tx.one(
        "UPDATE counters SET value = value + $3 WHERE owner_id = $1 AND kind = $2 RETURNING value",
        (owner_id, kind, count),
    )
    if row is None:
        tx.execute("INSERT INTO counters VALUES ($1, $2, $3)", (owner_id, kind, count))
        return 1
    return int(row[0]) - count + 1


def last(tx: Tx, owner_id: str, kind: str) -> int:
    """Return the last number of a series that was taken, 0 if none was."""
    row = tx.one("SELECT value FROM counters WHERE owner_id = $1 AND kind = $2", (owner_id, kind))
    return int(row[0]) if row else 0


def start(tx: Tx, owner_id: str, kind: str, value: int) -> None:
    """Let a new series go on behind *value*."""
    tx.execute("INSERT INTO counters VALUES ($1, $2, $3)", (owner_id, kind, value))


def raise_to(tx: Tx, owner_id: str, kind: str, value: int) -> None:
    """Let a series go on behind *value*, unless it is there already."""
    behind = value - last(tx, owner_id, kind)
    if behind > 0:
        take(tx, owner_id, kind, behind)


def forget(tx: Tx, owner_id: str) -> None:
    """Remove all series of *owner_id*."""
    tx.execute("DELETE FROM counters WHERE owner_id = $1", (owner_id,))
