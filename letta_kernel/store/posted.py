"""Events posted to an agent while it runs, kept in the row of its lease until a run begins with them."""

from __future__ import annotations

from letta_kernel.ids import storable
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import dump, load


def add(tx: Tx, thread_id: str, text: str) -> None:
    """Keep an event behind those that wait already."""
    _keep(tx, thread_id, [*_waiting(tx, thread_id), text])


def first(tx: Tx, thread_id: str) -> str | None:
    """Return the event that waits longest; None if none does."""
    return next(iter(_waiting(tx, thread_id)), None)


def begun(tx: Tx, thread_id: str, text: str) -> None:
    """Let the event that waits longest go, if a run begins with it."""
    waiting = _waiting(tx, thread_id)
    if waiting and storable(waiting[0]) == storable(text):
        _keep(tx, thread_id, waiting[1:])


def _waiting(tx: Tx, thread_id: str) -> list[str]:
    row = tx.one("SELECT posted FROM leases WHERE agent_id = $1", (thread_id,))
    return list(load(row[0])) if row and row[0] else []


def _keep(tx: Tx, thread_id: str, texts: list[str]) -> None:
    tx.execute(
        "UPDATE leases SET posted = $2 WHERE agent_id = $1",
        (thread_id, dump(texts) if texts else None),
    )
