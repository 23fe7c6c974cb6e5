"""What one process at a time does: a turn of a group, or work that is due. Who does it has a row for that long.

A row is taken by compare-and-swap, is renewed while the work goes on, and goes with its end. One whose owner
has ended, or is elsewhere and has let it expire by the clock that all have in common, counts for nothing.
"""

from __future__ import annotations

from datetime import timedelta

from letta_kernel.errors import AgentBusyError, ConflictError
from letta_kernel.store import lease
from letta_kernel.store.database import Tx
from letta_kernel.store.lease import Held
from letta_kernel.store.mapping import utc


def take(tx: Tx, name: str, owner: str, seconds: float) -> str | None:
    """Claim *name* for *owner*, for *seconds* from now; return who has it instead, None if *owner* does now."""
    holder = holder_of(tx, name)
    if holder is not None and holder != owner:
        return holder
    until = tx.now() + timedelta(seconds=seconds)
    tx.execute("DELETE FROM claims WHERE name = $1", (name,))
    tx.execute(
        "INSERT INTO claims (name, owner, expires_at) VALUES ($1, $2, $3)", (name, owner, until)
    )
    return None


def holder_of(tx: Tx, name: str) -> str | None:
    """Return the living owner of a claim; None if there is none."""
    row = tx.one("SELECT owner, expires_at FROM claims WHERE name = $1", (name,))
    if row is None or lease.is_over(tx, Held(name, str(row[0]), utc(row[1]))):
        return None
    return str(row[0])


def renew(tx: Tx, name: str, owner: str, seconds: float) -> None:
    """Prolong a claim to *seconds* from now; `ConflictError` if somebody else has it."""
    until = tx.now() + timedelta(seconds=seconds)
    sql = "UPDATE claims SET expires_at = $3 WHERE name = $1 AND owner = $2 RETURNING name"
    if tx.one(sql, (name, owner, until)) is None:
        raise ConflictError("Another process has taken this over.")


def release(tx: Tx, name: str, owner: str) -> None:
    """Give a claim back; does nothing if *owner* does not have it."""
    tx.execute("DELETE FROM claims WHERE name = $1 AND owner = $2", (name, owner))


ENDED = "ended/"
"""Stands before the id of a turn that was stopped, in place of its owner, until the next one."""


def stopped(tx: Tx, name: str, owner: str, work_id: str) -> None:
    """Give a claim back of what was ended because somebody asked for that, so that they see it."""
    tx.execute(
        "UPDATE claims SET owner = $3, expires_at = $4, stop = NULL WHERE name = $1 AND owner = $2",
        (name, owner, f"{ENDED}{work_id}", tx.now()),
    )


def was_stopped(tx: Tx, name: str, work_id: str) -> bool:
    """Whether what had this claim was ended because somebody asked for that."""
    row = tx.one("SELECT owner FROM claims WHERE name = $1", (name,))
    return row is not None and row[0] == f"{ENDED}{work_id}"


def check_none(tx: Tx) -> None:
    """Make sure that nobody is at work.

    Raises
    ------
    AgentBusyError
        Somebody is.
    """
    for (name,) in tx.query("SELECT name FROM claims ORDER BY name"):
        owner = holder_of(tx, str(name))
        if owner is not None and not owner.startswith(ENDED):
            where = "here" if lease.is_own(owner) else f"in {lease.describe(owner, None)}"
            raise AgentBusyError(
                f"A turn of {name} goes on {where}: wait for it to end, or stop it.", where
            )


def taken(tx: Tx) -> list[tuple[str, str]]:
    """Return what is claimed, each with its owner."""
    rows = tx.query("SELECT name, owner FROM claims ORDER BY name")
    return [(str(name), str(owner)) for name, owner in rows]
