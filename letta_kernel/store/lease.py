"""Who holds an agent, who waits for it, and what was posted to it meanwhile.

Holders are named by process, so that anyone on the same machine can tell if they still live. Who waits stands
in a list in the row of the lease, first come, first served; each place is renewed now and then. One that is
not keeps its place but holds nobody up, and one whose process has ended is dropped. Posted events stand in the
same row until a run begins with them.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from letta_kernel.ids import now, storable
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import dump, load

RENEWED = 3.0
"""Seconds after which a waiting run renews its entry."""
_FRESH = 12.0  # seconds for which an entry that is not renewed holds others up
_FORGOTTEN = 600.0  # seconds after which it is dropped

Place = dict[str, Any]


def process_owner() -> str:
    """Return ``host|pid|start`` of this process; a suffix after ``/`` may tell its owners apart."""
    return _owner(os.getpid())


@lru_cache(maxsize=4)
def _owner(pid: int) -> str:
    host = socket.gethostname().replace("|", "-").replace("/", "-")
    return f"{host}|{pid}|{_started(pid)}"


def is_own(owner: str) -> bool:
    """Whether *owner* is this process."""
    return owner.partition("/")[0] == process_owner()


def describe(owner: str, notebook: str | None) -> str:
    """Return in words where a run of *owner* goes on: its notebook if it has one, its host if another."""
    host, pid, _ = _parts(owner)
    elsewhere = f" on {host}" if pid and host != _parts(process_owner())[0] else ""
    return (f"the notebook {notebook!r}" if notebook else "another program") + elsewhere


def is_dead(owner: str) -> bool:
    """Whether *owner* is known to have ended: a process of this machine that is not there any more.

    Of another machine's processes, and of names not made by `process_owner`, nothing is known.
    """
    host, pid, started = _parts(owner)
    if not pid or host != _parts(process_owner())[0]:
        return False
    return _started(int(pid)) != started


def _parts(owner: str) -> tuple[str, str, str]:
    parts = owner.partition("/")[0].split("|")
    if len(parts) == 3 and parts[1].isdigit():
        return parts[0], parts[1], parts[2]
    return "", "", ""


def _started(pid: int) -> str:
    """Return when a process began, in its system's own terms; empty if it is not running."""
    with suppress(OSError, IndexError):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        # Clock ticks since boot: unlike a date they do not move when the clock is set. A zombie is dead.
        return "" if fields[0] in "ZX" else fields[19]
    import psutil  # where there is no /proc

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else str(int(process.create_time()))
    except psutil.Error:
        return ""


def stand(tx: Tx, thread_id: str, owner: str, notebook: str | None) -> None:
    """Take a place at the end of the line, or renew it."""
    entries = _places(tx, thread_id)
    mine = next((one for one in entries if one["owner"] == owner), None)
    if mine is None:
        mine = {"owner": owner, "notebook": notebook}
        entries.append(mine)
    mine["at"] = now().isoformat()
    _keep_places(tx, thread_id, entries)


def first_waiting(tx: Tx, thread_id: str, owner: str) -> Place | None:
    """Return the entry that comes before *owner*, who may have none; None if nobody does."""
    moment = now()
    for one in _places(tx, thread_id):
        if one["owner"] == owner:
            return None
        if _age(one, moment) < _FRESH:
            return one
    return None


def leave(tx: Tx, thread_id: str, owner: str) -> None:
    """Leave the line."""
    entries = _places(tx, thread_id)
    if entries:
        _keep_places(tx, thread_id, [one for one in entries if one["owner"] != owner])


def _places(tx: Tx, thread_id: str) -> list[Place]:
    row = tx.one("SELECT queue FROM leases WHERE agent_id = $1", (thread_id,))
    moment = now()
    return [
        one
        for one in (load(row[0]) if row and row[0] else [])
        if _age(one, moment) < _FORGOTTEN and not is_dead(one["owner"])
    ]


def _age(entry: Place, moment: datetime) -> float:
    return (moment - datetime.fromisoformat(entry["at"])) / timedelta(seconds=1)


def _keep_places(tx: Tx, thread_id: str, entries: list[Place]) -> None:
    tx.execute(
        "UPDATE leases SET queue = $2 WHERE agent_id = $1",
        (thread_id, dump(entries) if entries else None),
    )


def post(tx: Tx, thread_id: str, text: str) -> None:
    """Keep an event behind those that wait already."""
    _keep_posted(tx, thread_id, [*_posted(tx, thread_id), text])


def first_posted(tx: Tx, thread_id: str) -> str | None:
    """Return the event that waits longest; None if none does."""
    return next(iter(_posted(tx, thread_id)), None)


def posted_begun(tx: Tx, thread_id: str, text: str) -> None:
    """Let the event that waits longest go, if a run begins with it."""
    waiting = _posted(tx, thread_id)
    if waiting and storable(waiting[0]) == storable(text):
        _keep_posted(tx, thread_id, waiting[1:])


def _posted(tx: Tx, thread_id: str) -> list[str]:
    row = tx.one("SELECT posted FROM leases WHERE agent_id = $1", (thread_id,))
    return list(load(row[0])) if row and row[0] else []


def _keep_posted(tx: Tx, thread_id: str, texts: list[str]) -> None:
    tx.execute(
        "UPDATE leases SET posted = $2 WHERE agent_id = $1",
        (thread_id, dump(texts) if texts else None),
    )
