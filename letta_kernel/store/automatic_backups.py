"""Automatic backups of the store: daily, and before its tables change.

They lie in ``backups`` beside it, `KEPT` at most, and together no larger than ``LETTA_BACKUPS`` says; a store
that is larger than that is not copied. The process that closes the store makes the day's backup, while nobody
waits. A backup counts only after it has been read to its end.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from letta_kernel import private, settings
from letta_kernel.errors import LettaError
from letta_kernel.ids import now
from letta_kernel.store import filesystem
from letta_kernel.store.database_file import (
    FILE,
    RESTRICTED,
    absorb_log,
    copy_store,
    discard,
)
from letta_kernel.store.lock import HomeLock

log = logging.getLogger(__name__)

FOLDER = "backups"
KEPT = 7
DAY = 86_400.0  # seconds
_AGAIN = 3_600.0  # seconds after which a copy that failed is tried again
_OF_SCHEMA = re.compile(r"-schema-(\d+)\.duckdb$")
_at_work = threading.Lock()
_ended = (
    threading.Event()
)  # the interpreter ends: a thread that is in the driver's code then would abort it


@dataclass(frozen=True, slots=True)
class Backup:
    """An automatic backup; ``size`` is in bytes."""

    path: Path
    made: datetime
    size: int


def listed(home: Path) -> list[Backup]:
    """Return the copies there are, newest first."""
    found = []
    for path in (home / FOLDER).glob("letta-*.duckdb"):
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append(Backup(path, datetime.fromtimestamp(status.st_mtime, UTC), status.st_size))
    return sorted(found, key=lambda one: (one.made, one.path.name), reverse=True)


chores: list[Callable[[Path], None]] = []
"""What else is done for a project, if it is due, when nobody works there; none of it raises."""


def daily(home: Path) -> None:
    """Make the day's copy if it is due and nobody works; a failure is only noted."""
    try:
        with _at_work:
            for chore in chores:
                if not _ended.is_set():
                    chore(home)
            if not _ended.is_set() and _due(home):
                _make(home)
    except (duckdb.Error, LettaError, OSError, RuntimeError, MemoryError) as error:
        log.info("No copy of the store was made: %s", error)


def _make(home: Path) -> None:
    lock = HomeLock(home)
    lock.acquire(0)
    try:
        temp = _drawn(home)
    finally:
        lock.release()
    if temp is not None:
        _keep(home, temp)


def before_change(home: Path, version: int) -> Path | None:
    """Keep a copy of the store as it is before its tables change, and return it if one could be made.

    The lock is held, and the file not open.
    """
    try:
        private.folder(home / FOLDER)
        if (temp := _drawn(home)) is not None:
            return _keep(home, temp, f"-schema-{version}")
    except (duckdb.Error, LettaError, OSError, RuntimeError, MemoryError) as error:
        log.warning("No copy of the store was made before it was brought up to date: %s", error)
    return None


def drop_before(home: Path, version: int) -> None:
    """Remove the copies of tables older than *version*, in which secrets stand openly."""
    for one in listed(home):
        found = _OF_SCHEMA.search(one.path.name)
        if found is not None and int(found[1]) < version:
            one.path.unlink(missing_ok=True)


def _due(home: Path) -> bool:
    """Whether the last copy, or the first time anybody looked, is more than a day ago; one look at a folder."""
    if (
        settings.BACKUPS() <= 0
        or not (home / FILE).exists()
        or filesystem.refusal(home) is not None
    ):
        return False
    folder = home / FOLDER
    try:
        age = time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        private.folder(folder)
        return False
    if 0 <= age < DAY:
        return False
    claimed = (
        time.time() - DAY + _AGAIN
    )  # nobody else begins, and if this fails there is another try
    os.utime(folder, (claimed, claimed))
    return True


def _drawn(home: Path) -> Path | None:
    """Copy the store as it lies there; None where it is larger than all copies may be."""
    path = home / FILE
    if path.stat().st_size > settings.BACKUPS():
        return None
    for left in home.glob(f".{FILE}.*.part*"):  # of a process that was killed
        if time.time() - left.stat().st_mtime > DAY:
            left.unlink(missing_ok=True)
    temp = home / f".{FILE}.{os.getpid()}.copy.part"
    try:
        copy_store(path, temp)
    except BaseException:
        discard(temp)
        raise
    return temp


def _keep(home: Path, temp: Path, why: str = "") -> Path:
    """Put a copy that can be read to its end among the others, and let the oldest go."""
    try:
        absorb_log(temp)
        with contextlib.closing(
            duckdb.connect(temp, read_only=True, config=RESTRICTED)
        ) as connection:
            read_whole(connection)
        kept = home / FOLDER / f"letta-{now():%Y%m%d-%H%M%S}{why}.duckdb"
        os.replace(temp, kept)
    finally:
        discard(temp)
    there = listed(home)
    for number, one in enumerate(there):
        if number >= KEPT or (
            number and sum(b.size for b in there[: number + 1]) > settings.BACKUPS()
        ):
            one.path.unlink(missing_ok=True)
    return kept


def read_whole(connection: duckdb.DuckDBPyConnection) -> None:
    """Read every value of every table: DuckDB compares each block with its checksum then."""
    for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        if _ended.is_set():
            raise RuntimeError("the process ends")
        connection.execute(f'SELECT bit_xor(hash(t)) FROM "{name}" t').fetchall()


def _wait_for_the_end() -> None:
    _ended.set()
    if _at_work.acquire(timeout=30):
        _at_work.release()


atexit.register(_wait_for_the_end)
