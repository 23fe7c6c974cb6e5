"""What was forgotten is removed for good: from the store's file, its log, the vector indexes and old copies.

A row that is deleted leaves its text in freed pages, in versions of the index and in the daily copies. So the
store and each copy are written anew without it, and so are the indexes. What is to go is noted in the store
first and the note goes last: whoever is killed in between leaves a note by which the next one does all of it
again. Beside the store lies a file without content whose time says when there is something to do.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from letta_kernel.errors import LettaError, StoreError
from letta_kernel.ids import now
from letta_kernel.store import backups, last_commit, opening, place, problems
from letta_kernel.store.backups import DAY, FILE, FOLDER, PLAIN
from letta_kernel.store.lock import HomeLock
from letta_kernel.store.patience import Wait
from letta_kernel.store.vectors import IndexBrokenError, VectorTable

log = logging.getLogger(__name__)

KEPT_DAYS = 30
"""For so many days what is forgotten can be restored."""
_DUE = f"{FILE}.due"
_NOTE = "purge: passages"
"""The setting that holds the ids of what is being removed."""
_AGAIN = 3_600.0  # seconds after which a purge that failed is tried again


def _if_due(home: Path) -> None:
    """Do what is due in a project at which nobody works now; a failure is only noted."""
    with contextlib.suppress(FileNotFoundError):
        if (home / _DUE).stat().st_mtime <= time.time() and place.refusal(home) is None:
            try:
                _look_again(home, time.time() + _AGAIN)  # nobody else begins meanwhile
                _purge(home, None, 0.0)
            except (duckdb.Error, LettaError, IndexBrokenError, OSError, RuntimeError) as error:
                log.info("What was forgotten is not removed for good yet: %s", error)


def expect(home: Path) -> None:
    """Take note that something is about to be forgotten, so that it is removed when its time has come."""
    with contextlib.suppress(OSError):
        if not (home / _DUE).exists():
            _look_again(home, time.time() + KEPT_DAYS * DAY)


def purge(home: Path, ids: Sequence[str] | None = None) -> int:
    """Remove what is forgotten, or only *ids* of it, without waiting; return how many passages those were.

    Raises
    ------
    StoreError
        The folder cannot be read or written, or others keep the store; it is tried again later by itself.
    """
    try:
        _look_again(home, time.time())
        return _purge(home, ids, None, whole=True)
    except IndexBrokenError as error:
        raise StoreError(f"The vector index cannot be written: {error}") from error
    except (duckdb.Error, OSError, RuntimeError, MemoryError) as error:
        raise problems.explain(error, home / FILE) from error


def _purge(
    home: Path, ids: Sequence[str] | None, patience: float | None, *, whole: bool = False
) -> int:
    lock, path = HomeLock(home), home / FILE
    if not path.exists():
        return 0
    tables = VectorTable.found(home)  # takes seconds: not while others wait
    lock.acquire(Wait(patience))
    try:
        connection = opening.open_database(path, PLAIN)
        try:
            gone, number = _noted(connection, ids, whole)
        finally:
            connection.close()
    finally:
        lock.release()
    if gone:
        for table in tables:  # those that write to it wait; the store is free meanwhile
            with table.writing(60.0) as mine:
                if not mine:
                    raise StoreError("The vector index is being written: try again later.")
                if table.name() is not None:
                    table.write_anew(without=gone)
        lock.acquire(Wait())
        try:
            _files_anew(home, gone)
        finally:
            lock.release()
    with contextlib.suppress(FileNotFoundError):
        if (due := _next(home)) is None:
            (home / _DUE).unlink()
        else:
            _look_again(home, due)
    return number


def _noted(
    connection: duckdb.DuckDBPyConnection, ids: Sequence[str] | None, whole: bool
) -> tuple[list[str], int]:
    """Delete the rows whose time has come, and note them; return all that are noted, and how many are new."""
    latest = now() if whole else now() - timedelta(days=KEPT_DAYS)
    given: list[Any] = [latest]
    sql = "SELECT id FROM forgotten WHERE forgotten_at <= $1"
    if ids is not None:
        sql += " AND id = ANY($2::text[])"
        given.append(list(ids))
    fresh = [str(row[0]) for row in connection.execute(sql, given).fetchall()]
    row = connection.execute("SELECT value FROM settings WHERE key = $1", [_NOTE]).fetchone()
    gone = sorted({*fresh, *(json.loads(row[0]) if row else ())})
    if fresh:
        connection.execute("BEGIN")
        try:
            _take_out(connection, fresh)
            connection.execute(
                "INSERT INTO settings VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [_NOTE, json.dumps(gone)],
            )
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            raise
        connection.execute("CHECKPOINT")
    return gone, len(fresh)


def _take_out(connection: duckdb.DuckDBPyConnection, gone: Collection[str]) -> None:
    """Delete passages from a store of any version, wherever their text stands."""
    columns = {
        (str(table), str(column))
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns()"
        ).fetchall()
    }
    ids = [list(gone)]
    for table in ("passages", "forgotten"):
        if (table, "id") in columns:
            connection.execute(f"DELETE FROM {table} WHERE id = ANY($1::text[])", ids)
    if ("passages", "superseded_by") in columns:
        connection.execute(
            "UPDATE passages SET superseded_by = NULL, superseded_at = NULL"
            " WHERE superseded_by = ANY($1::text[])",
            ids,
        )
    if ("steps", "retrieved") in columns:  # what runs were shown of them
        rows = connection.execute(
            "SELECT id, CAST(retrieved AS text) FROM steps WHERE CAST(retrieved AS text) <> '[]'"
        ).fetchall()
        wanted = set(gone)
        for step, text in rows:
            shown = json.loads(text)
            left = [
                one for one in shown if wanted.isdisjoint([one.get("id"), *one.get("joined", ())])
            ]
            if len(left) < len(shown):
                kept = json.dumps(left, ensure_ascii=False)
                connection.execute(
                    "UPDATE steps SET retrieved = CAST($2 AS json) WHERE id = $1", [step, kept]
                )


def _files_anew(home: Path, gone: Collection[str]) -> None:
    """Write the store and its copies anew, then take the note away. The lock is held."""
    path = home / FILE
    for draft in home.glob(f".{FILE}.*.part*"):
        if time.time() - draft.stat().st_mtime < DAY:
            raise StoreError("A copy of the store is being made: try again later.")
        draft.unlink(missing_ok=True)  # of a process that was killed
    connection = opening.open_database(path, PLAIN)
    try:
        opening.write_anew(connection, path)
    finally:
        connection.close()
    last_commit.forget(path)
    copies = [*(home / FOLDER).glob("letta-*.duckdb"), *home.glob("before-restore-*.duckdb")]
    for copy in copies:
        _copy_anew(home, copy, gone)
    for damaged in home.glob("damaged-*"):  # of no use where they can be read, and else nobody can
        shutil.rmtree(damaged, ignore_errors=True)
    connection = opening.open_database(path, PLAIN)
    try:
        connection.execute("DELETE FROM settings WHERE key = $1", [_NOTE])
        connection.execute("CHECKPOINT")
    finally:
        connection.close()


def _copy_anew(home: Path, copy: Path, gone: Collection[str]) -> None:
    """Write a copy anew without the passages, as old as it was; one that cannot be read goes."""
    draft = home / f".{FILE}.{os.getpid()}.purge.part"
    made = copy.stat().st_mtime
    try:
        backups.copy_store(copy, draft)
        connection = duckdb.connect(draft, config=PLAIN)
        try:
            _take_out(connection, gone)
            opening.write_anew(connection, draft)
        finally:
            connection.close()
        os.utime(draft, (made, made))
        os.replace(draft, copy)
        last_commit.log_of(copy).unlink(missing_ok=True)
    except (duckdb.Error, StoreError, RuntimeError) as error:
        log.warning(
            "%s cannot be read, so nothing can be taken out of it: it is removed (%s).", copy, error
        )
        copy.unlink(missing_ok=True)
        last_commit.log_of(copy).unlink(missing_ok=True)
    finally:
        backups.discard(draft)


def _next(home: Path) -> float | None:
    """Return when the next passage's time has come, in seconds since 1970; None if none is forgotten."""
    lock = HomeLock(home)
    lock.acquire(Wait())
    try:
        connection = opening.open_database(home / FILE, PLAIN)
        try:
            row = connection.execute("SELECT epoch(min(forgotten_at)) FROM forgotten").fetchone()
        finally:
            connection.close()
    finally:
        lock.release()
    return None if row is None or row[0] is None else float(row[0]) + KEPT_DAYS * DAY


def _look_again(home: Path, at: float) -> None:
    file = home / _DUE
    file.touch(0o600)
    os.utime(file, (at, at))


backups.chores.append(_if_due)
