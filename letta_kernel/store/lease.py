"""Names for processes, from which anyone on the same machine can tell if they still live."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import lru_cache


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
