"""What other people may with agents of this project."""

from __future__ import annotations

from letta_kernel.records import Grant
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, dump, load

TABLE = "grants"

_GRANTS = Table(TABLE, Grant)

add = _GRANTS.add


def list_all(tx: Tx) -> list[Grant]:
    """Return all grants, oldest first."""
    return _GRANTS.select(tx, "ORDER BY created_at, id")


def find(tx: Tx, agent_id: str, guest: str) -> Grant | None:
    """Return what somebody may with an agent; None if that is nothing."""
    found = _GRANTS.select(tx, "WHERE agent_id = $1 AND guest = $2", (agent_id, guest))
    return found[0] if found else None


def save(tx: Tx, grant: Grant) -> None:
    """Write what has changed of a grant."""
    _GRANTS.save(tx, grant, "grant")


def change_conversation(tx: Tx, grant: Grant) -> None:
    """Write which thread is the guest's own."""
    _GRANTS.change(tx, grant, ["conversation_id"])


def delete(tx: Tx, grant_id: str) -> None:
    """Delete a grant, if it is there."""
    tx.execute("DELETE FROM grants WHERE id = $1", (grant_id,))


def known(tx: Tx) -> dict[str, tuple[str, list[dict[str, object]]]]:
    """Return, by owner, what was last read of the grants in other projects, and the stamp of that."""
    rows = tx.query("SELECT owner, stamp, CAST(grants AS text) FROM known_grants")
    return {str(owner): (str(stamp), load(found)) for owner, stamp, found in rows}


def know(tx: Tx, owner: str, stamp: str, found: list[dict[str, object]]) -> None:
    """Keep what was read of the grants in another project."""
    forget(tx, owner)
    tx.execute(
        "INSERT INTO known_grants (owner, stamp, grants) VALUES ($1, $2, CAST($3 AS json))",
        (owner, stamp, dump(found)),
    )


def forget(tx: Tx, owner: str) -> None:
    """Keep nothing of a project's grants any more."""
    tx.execute("DELETE FROM known_grants WHERE owner = $1", (owner,))
