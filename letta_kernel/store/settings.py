"""Small project-wide settings: one text per key."""

from __future__ import annotations

from letta_kernel.store.transaction import Tx


def get(tx: Tx, key: str) -> str | None:
    """Return the value of *key*, or None."""
    row = tx.one("SELECT value FROM settings WHERE key = $1", (key,))
    return None if row is None else str(row[0])


def put(tx: Tx, key: str, value: str | None) -> None:
    """Set *key*; None removes it."""
    if value is None:
        tx.execute("DELETE FROM settings WHERE key = $1", (key,))
    else:
        tx.execute(
            "INSERT INTO settings VALUES ($1, $2)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )
