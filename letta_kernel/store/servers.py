"""The servers of a project: where each is reached, and which process it is."""

from __future__ import annotations

from datetime import timedelta

from letta_kernel.errors import StoreError
from letta_kernel.ids import new_id
from letta_kernel.store import encryption, lease, settings
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import utc

FRESH = 45.0
"""Seconds for which a server counts that cannot be seen from here and does not renew its row."""

_SECRET = "servers: secret"
_PLACE = "servers"


def announce(tx: Tx, server_id: str, address: str) -> None:
    """Write down, or say again, that this process serves at *address*; rows of servers that are gone go."""
    moment = tx.now()
    for other, owner, seen in tx.query("SELECT id, owner, seen_at FROM servers"):
        if other != server_id and _is_gone(tx, str(owner), seen, FRESH * 10):
            tx.execute("DELETE FROM servers WHERE id = $1", (other,))
    tx.execute(
        "INSERT INTO servers (id, owner, address, started_at, seen_at) VALUES ($1, $2, $3, $4, $4)"
        " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, address = excluded.address",
        (server_id, lease.process_owner(), address, moment),
    )


def leave(tx: Tx, server_id: str) -> None:
    """Take a server's row away."""
    tx.execute("DELETE FROM servers WHERE id = $1", (server_id,))


def of_process(tx: Tx, owner: str) -> list[tuple[str, str]]:
    """Return ids and addresses of the servers of the process that *owner* names, the newest first."""
    rows = tx.query(
        "SELECT id, address, owner, seen_at FROM servers WHERE owner = $1 ORDER BY started_at DESC",
        (owner.partition("/")[0],),
    )
    return [(str(one[0]), str(one[1])) for one in rows if not _is_gone(tx, one[2], one[3], FRESH)]


def _is_gone(tx: Tx, owner: str, seen: object, seconds: float) -> bool:
    if lease.is_here(owner):
        return lease.is_dead(owner)
    return tx.now() - utc(seen) > timedelta(seconds=seconds)  # type: ignore[arg-type]


def secret(tx: Tx, fresh: str) -> str | None:
    """Return the secret that the servers of a project share: *fresh* from now on, if there is none.

    It lies in the store encrypted with the project's key; None where that is not to be had here.
    """
    project = settings.get(tx, encryption.PROJECT)
    if project is None:
        settings.put(tx, encryption.PROJECT, project := new_id("project"))
    kept = settings.get(tx, _SECRET)
    if kept is not None:
        found = encryption.decrypt(project, _PLACE, {"secret": kept})["secret"]
        return None if encryption.is_encrypted(found) else found
    try:
        settings.put(tx, _SECRET, encryption.encrypt(project, _PLACE, {"secret": fresh})["secret"])
    except StoreError:  # no key can be kept here
        return None
    return fresh
