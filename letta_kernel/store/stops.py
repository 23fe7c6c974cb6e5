"""Asking whoever carries out a run, or a group's turn, to end it: a flag beside its lease, or its claim.

The holder reads it with each step it writes and at least once a second (`letta_kernel.agent.keeper`). The flag
names what is to end, so that it never meets what comes after that.
"""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.store import lease
from letta_kernel.store.database import Tx

_HELD = "right(owner, length($1::text) + 1) = '/' || $1::text AND expires_at > $2"


def ask(tx: Tx, work_id: str) -> bool:
    """Ask for the end of a run, or a turn, by its id; False if nobody carries it out."""
    for table in ("leases", "claims"):
        done = tx.one(
            f"UPDATE {table} SET stop = $1 WHERE {_HELD} RETURNING owner",
            (work_id, tx.now()),
        )
        if done is not None:
            return not lease.is_dead(str(done[0]))
    return False


def holder(tx: Tx, work_id: str) -> str | None:
    """Return the living owner that carries out a run, or a turn; None if nobody does."""
    row = tx.one(
        f"SELECT owner FROM leases WHERE {_HELD} UNION ALL SELECT owner FROM claims WHERE {_HELD}",
        (work_id, tx.now()),
    )
    return None if row is None or lease.is_dead(str(row[0])) else str(row[0])


def asked(tx: Tx, names: Sequence[str]) -> set[str]:
    """Return the ids of what is to end among what has the leases of these threads, or these claims."""
    rows = tx.query(
        "SELECT stop FROM leases WHERE agent_id = ANY($1::text[]) AND stop IS NOT NULL"
        " UNION ALL SELECT stop FROM claims WHERE name = ANY($1::text[]) AND stop IS NOT NULL",
        ([*names],),
    )
    return {str(row[0]) for row in rows}
