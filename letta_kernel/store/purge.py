"""Purge forgotten passages: from the store's file, its log, the vector indexes and old copies.

A deleted row leaves its text in freed pages, in versions of the index and in the daily copies. So the store,
each copy and the indexes are written anew without it. What is to go is noted in the store first, and the note
is removed last: if the process is killed in between, the next one reads the note and does all of it again. One
process at a time does it, and others are without the store only while its own file is written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import filelock

from letta_kernel import private
from letta_kernel.errors import LettaError, StoreError
from letta_kernel.ids import now
from letta_kernel.store import (
    automatic_backups,
    database_file,
    driver_errors,
    filesystem,
    last_commit,
    lease,
    opening,
    purge_due,
)
from letta_kernel.store.automatic_backups import DAY, FOLDER
from letta_kernel.store.database_file import CONFIG, FILE, RESTRICTED
from letta_kernel.store.lock import HomeLock
from letta_kernel.store.lock_wait import LockWait
from letta_kernel.store.purge_due import KEPT_DAYS, NOTE
from letta_kernel.store.vectors import IndexBrokenError, VectorTable

log = logging.getLogger(__name__)

_AGAIN = 3_600.0  # seconds after which a purge that failed is tried again
_TEMP = f".{FILE}.{{}}.purge.part"
_NOT_DAMAGE = (
    *("no space left", "disk quota", "disk full", "too many open files", "permission denied"),
    *("lock on file", "not permitted", "version number", "newer version"),
)
"""What the driver says of a file that is as it should be."""
_TIMEOUT = 30.0  # seconds that another purge is waited for
FORGOTTEN = "[forgotten]"
"""Stands for a text that had a passage in it."""


def _if_due(home: Path) -> None:
    """Purge what is due in an idle project; a failure is only logged."""
    with contextlib.suppress(FileNotFoundError):
        if purge_due.file(home).stat().st_mtime <= time.time() and filesystem.refusal(home) is None:
            try:
                purge_due.look_again(home, time.time() + _AGAIN)  # nobody else begins meanwhile
                _purge(home, None, 0.0)
            except (duckdb.Error, LettaError, IndexBrokenError, OSError, RuntimeError) as error:
                log.info("What was forgotten is not removed for good yet: %s", error)


def purge(home: Path, ids: Sequence[str] | None = None) -> int:
    """Remove what is forgotten, or only *ids* of it, without waiting; return how many passages those were.

    Raises
    ------
    StoreError
        The folder cannot be read or written, or others keep the store; it is tried again later by itself.
    """
    try:
        purge_due.look_again(home, time.time())
        return _purge(home, ids, None, whole=True)
    except IndexBrokenError as error:
        raise StoreError(f"The vector index cannot be written: {error}") from error
    except (duckdb.Error, OSError, RuntimeError, MemoryError) as error:
        raise driver_errors.explain(error, home / FILE) from error


def _purge(
    home: Path, ids: Sequence[str] | None, timeout: float | None, *, whole: bool = False
) -> int:
    if not (home / FILE).exists():
        return 0
    mine = filelock.FileLock(home / "letta.purge.lock", mode=private.FILE, thread_local=False)
    try:
        mine.acquire(timeout=_TIMEOUT if timeout is None else timeout)
    except filelock.Timeout:
        raise StoreError("Another process removes what was forgotten: try again later.") from None
    try:
        tables = VectorTable.found(home)  # takes seconds: not while others wait
        with _opened(home, LockWait(timeout)) as connection:
            gone, number = _noted(connection, ids, whole)
        if gone:
            for table in tables:  # those that write to it wait; the store is free meanwhile
                with table.writing(60.0) as written:
                    if not written:
                        raise StoreError("The vector index is being written: try again later.")
                    if table.name() is not None:
                        table.write_anew(without=gone)
            _store_anew(home)
            _copies_anew(home, gone)
        with _opened(home, LockWait()) as connection:
            if gone:
                _done(connection, gone)
            following = purge_due.following(connection)
            with contextlib.suppress(FileNotFoundError):
                if following is None:
                    purge_due.file(home).unlink()
                else:
                    purge_due.look_again(home, following)
    finally:
        mine.release()
    return number


@contextlib.contextmanager
def _opened(home: Path, wait: LockWait) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield the open store; nobody else has it open meanwhile."""
    lock = HomeLock(home)
    lock.acquire(wait)
    try:
        connection = opening.open_database(home / FILE, CONFIG)
        try:
            yield connection
        finally:
            connection.close()
    finally:
        lock.release()


_GAPS = (
    "INSERT INTO passage_gaps SELECT coalesce(v.passage_id, f.id), replace(f.agent_id, '/past', ''),"
    " coalesce(v.seq, CAST(f.passage->>'seq' AS bigint)),"
    " CAST(f.passage->>'created_at' AS timestamptz), f.forgotten_at"
    " FROM forgotten f LEFT JOIN passage_versions v ON v.id = f.id WHERE f.id = ANY($1::text[])"
    " ON CONFLICT (passage_id) DO NOTHING"
)
"""Keeps of what is forgotten when it was made and when it went, and no word of it."""


def _note(connection: duckdb.DuckDBPyConnection) -> set[str]:
    row = connection.execute("SELECT value FROM settings WHERE key = $1", [NOTE]).fetchone()
    return set(json.loads(row[0])) if row else set()


def _noted(
    connection: duckdb.DuckDBPyConnection, ids: Sequence[str] | None, whole: bool
) -> tuple[list[str], int]:
    """Delete the rows whose time has come, and note them; return all that are noted, and how many are new."""
    latest = now() if whole else now() - timedelta(days=KEPT_DAYS)
    given: list[Any] = [latest]
    sql = "SELECT id FROM forgotten WHERE forgotten_at <= $1"
    if ids is not None:
        sql += (
            " AND (id = ANY($2::text[]) OR id IN"
            " (SELECT id FROM passage_versions WHERE passage_id = ANY($2::text[])))"
        )
        given.append(list(ids))
    fresh = [str(row[0]) for row in connection.execute(sql, given).fetchall()]
    gone = sorted({*fresh, *_note(connection)})
    if gone:
        connection.execute("BEGIN")
        try:
            connection.execute(_GAPS, [fresh])
            _take_out(connection, gone)
            connection.execute(
                "INSERT INTO settings VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [NOTE, json.dumps(gone)],
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
    for table, column in (("passage_versions", "id"), ("passage_marks", "passage_id")):
        if (table, column) in columns:
            connection.execute(f"DELETE FROM {table} WHERE {column} = ANY($1::text[])", ids)
    if ("passages", "superseded_by") in columns:
        connection.execute(
            "UPDATE passages SET superseded_by = NULL, superseded_at = NULL"
            " WHERE superseded_by = ANY($1::text[])",
            ids,
        )
    if (
        "proposals",
        "supersedes",
    ) in columns:  # what would be kept instead says the same in other words
        connection.execute(
            "UPDATE proposals SET status = 'dropped', after = '', decided_at = $2"
            " WHERE status IN ('staged', 'open') AND supersedes && $1::text[]",
            [list(gone), now()],
        )
    if ("steps", "retrieved") in columns:  # what runs were shown of them
        rows = connection.execute(
            "SELECT id, CAST(retrieved AS text), run_id FROM steps"
            " WHERE CAST(retrieved AS text) <> '[]'"
        ).fetchall()
        wanted, told = set(gone), set()
        for step, text, run in rows:
            shown = json.loads(text)
            left = [
                one for one in shown if wanted.isdisjoint([one.get("id"), *one.get("joined", ())])
            ]
            if len(left) < len(shown):
                kept = json.dumps(left, ensure_ascii=False)
                connection.execute(
                    "UPDATE steps SET retrieved = CAST($2 AS json) WHERE id = $1", [step, kept]
                )
                told.add(str(run))
        if told and ("messages", "edits") in columns:
            _empty_edits(connection, told)


def _empty_edits(connection: duckdb.DuckDBPyConnection, run_ids: Collection[str]) -> None:
    """Take the texts out of the requests that a person changed in these runs: passages stood in them."""
    rows = connection.execute(
        "SELECT id, CAST(edits AS text) FROM messages"
        " WHERE edits IS NOT NULL AND run_id = ANY($1::text[])",
        [list(run_ids)],
    ).fetchall()
    for message, text in rows:
        edits = [
            {**one, "before": FORGOTTEN, "after": FORGOTTEN} if one["what"] == "request" else one
            for one in json.loads(text)
        ]
        connection.execute(
            "UPDATE messages SET edits = CAST($2 AS json) WHERE id = $1",
            [message, json.dumps(edits, ensure_ascii=False)],
        )


def _store_anew(home: Path) -> None:
    """Write the store anew; what was made of it before, and is no copy yet, holds it up."""
    with _opened(home, LockWait()) as connection:
        for temp in home.glob(f".{FILE}.*.part*"):
            found = re.match(rf"\.{re.escape(FILE)}\.(\d+)\.(purge\.)?", temp.name)
            # Of purges only this one goes on; a process that is not there any more was killed.
            theirs = found is not None and not found[2] and lease.is_running(int(found[1]))
            if theirs and time.time() - temp.stat().st_mtime < DAY:
                raise StoreError("A copy of the store is being made: try again later.")
            temp.unlink(missing_ok=True)
        opening.write_anew(connection, home / FILE)
        last_commit.forget(home / FILE)


def _copies_anew(home: Path, gone: Collection[str]) -> None:
    """Write the copies anew. Others have the store meanwhile: what is copied of it now has nothing of it."""
    for copy in (*(home / FOLDER).glob("letta-*.duckdb"), *home.glob("before-restore-*.duckdb")):
        with contextlib.suppress(FileNotFoundError):  # the oldest may go at any time
            _copy_anew(home, copy, gone)
    for damaged in home.glob(
        "damaged-*"
    ):  # of no use if they can be read; if not, nobody can use them
        shutil.rmtree(damaged, ignore_errors=True)


def _done(connection: duckdb.DuckDBPyConnection, gone: Collection[str]) -> None:
    """Remove from the note what is done; more may have been noted meanwhile."""
    if left := sorted(_note(connection) - set(gone)):
        connection.execute(
            "UPDATE settings SET value = $2 WHERE key = $1", [NOTE, json.dumps(left)]
        )
    else:
        connection.execute("DELETE FROM settings WHERE key = $1", [NOTE])
    connection.execute("CHECKPOINT")


def _copy_anew(home: Path, copy: Path, gone: Collection[str]) -> None:
    """Write a copy anew without the passages, as old as it was; one that cannot be read goes."""
    temp = home / _TEMP.format(os.getpid())
    made = copy.stat().st_mtime
    try:
        database_file.copy_store(copy, temp)
        database_file.absorb_log(temp)
        last_commit.log_of(temp).unlink(missing_ok=True)  # what is left of a torn one nobody reads
        connection = duckdb.connect(temp, config=CONFIG)
        try:
            _take_out(connection, gone)
            opening.write_anew(connection, temp)
        finally:
            connection.close()
        os.utime(temp, (made, made))
        os.replace(temp, copy)
        last_commit.log_of(copy).unlink(missing_ok=True)
    except duckdb.Error:
        damage = _damage(copy)
        if damage is None:  # it is the disk, or memory: later
            raise
        log.warning(
            "%s cannot be read, so nothing can be taken out of it: it is removed (%s).",
            copy,
            damage,
        )
        copy.unlink(missing_ok=True)
        last_commit.log_of(copy).unlink(missing_ok=True)
    finally:
        database_file.discard(temp)


def _damage(copy: Path) -> duckdb.Error | None:
    """Return what is wrong with a copy; None if all of it can be read. Raises what hinders reading at all."""
    try:
        with contextlib.closing(
            duckdb.connect(copy, read_only=True, config=RESTRICTED)
        ) as connection:
            automatic_backups.read_whole(connection)
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        if any(sign in str(error).lower() for sign in _NOT_DAMAGE):
            raise
        return error
    return None


automatic_backups.chores.append(_if_due)
