"""Who waits for an agent that somebody else runs: a list in the row of its lease, first come, first served.

Each entry is renewed now and then by whoever waits. One that is not keeps its place but holds nobody up, and
one whose process has ended is dropped.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from letta_kernel.ids import now
from letta_kernel.store import lease
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import dump, load

RENEWED = 3.0
"""Seconds after which a waiting run renews its entry."""
_FRESH = 12.0  # seconds for which an entry that is not renewed holds others up
_FORGOTTEN = 600.0  # seconds after which it is dropped

Entry = dict[str, Any]


def stand(tx: Tx, thread_id: str, owner: str, notebook: str | None) -> None:
    """Take a place at the end of the line, or renew it."""
    entries = _entries(tx, thread_id)
    mine = next((one for one in entries if one["owner"] == owner), None)
    if mine is None:
        mine = {"owner": owner, "notebook": notebook}
        entries.append(mine)
    mine["at"] = now().isoformat()
    _keep(tx, thread_id, entries)


def first(tx: Tx, thread_id: str, owner: str) -> Entry | None:
    """Return the entry that comes before *owner*, who may have none; None if nobody does."""
    moment = now()
    for one in _entries(tx, thread_id):
        if one["owner"] == owner:
            return None
        if _age(one, moment) < _FRESH:
            return one
    return None


def leave(tx: Tx, thread_id: str, owner: str) -> None:
    """Leave the line."""
    entries = _entries(tx, thread_id)
    if entries:
        _keep(tx, thread_id, [one for one in entries if one["owner"] != owner])


def _entries(tx: Tx, thread_id: str) -> list[Entry]:
    row = tx.one("SELECT queue FROM leases WHERE agent_id = $1", (thread_id,))
    moment = now()
    return [
        one
        for one in (load(row[0]) if row and row[0] else [])
        if _age(one, moment) < _FORGOTTEN and not lease.is_dead(one["owner"])
    ]


def _age(entry: Entry, moment: datetime) -> float:
    return (moment - datetime.fromisoformat(entry["at"])) / timedelta(seconds=1)


def _keep(tx: Tx, thread_id: str, entries: list[Entry]) -> None:
    tx.execute(
        "UPDATE leases SET queue = $2 WHERE agent_id = $1",
        (thread_id, dump(entries) if entries else None),
    )
