"""Purge forgotten passages: from the store's file, its log, the vector indexes and old copies.

A deleted row leaves its text in freed pages, in versions of the index and in the daily copies. So the store,
each copy and the indexes are written anew without it. What is to go is noted in the store first, and the note
is removed last: if the process is killed in between, the next one reads the note and does all of it again. One
process at a time does it, and others are without the store only while its own file is written.

Rows that are in PostgreSQL are deleted there, and its server frees their place (VACUUM). What it has written
into its own log, and copies and replicas made of it before, are its administrator's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import duckdb
import filelock

from letta_kernel import private
from letta_kernel.errors import LettaError, StoreError
from letta_kernel.store import (
    automatic_backups,
    database_file,
    driver_errors,
    filesystem,
    indexes,
    last_commit,
    lease,
    opening,
    purge_due,
    purge_rows,
)
from letta_kernel.store.automatic_backups import DAY, FOLDER
from letta_kernel.store.database import Database
from letta_kernel.store.database_file import CONFIG, FILE, RESTRICTED
from letta_kernel.store.lock import HomeLock
from letta_kernel.store.lock_wait import LockWait
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


def _if_due(home: Path) -> None:
    """Purge what is due in an idle project; a failure is only logged."""
    with contextlib.suppress(FileNotFoundError):
        if purge_due.file(home).stat().st_mtime <= time.time() and filesystem.refusal(home) is None:
            try:
                purge_due.look_again(home, time.time() + _AGAIN)  # nobody else begins meanwhile
                _purge(home, None, 0.0)
            except (duckdb.Error, LettaError, IndexBrokenError, OSError, RuntimeError) as error:
                log.info("What was forgotten is not removed for good yet: %s", error)


def purge(database: Database, ids: Sequence[str] | None = None) -> int:
    """Remove what is forgotten, or only *ids* of it, without waiting; return how many passages those were.

    Raises
    ------
    StoreError
        The folder cannot be read or written, or others keep the store; it is tried again later by itself.
    """
    home = database.home
    try:
        if not database.in_file:
            return _purge_rows(database, ids, whole=True)
        purge_due.look_again(home, time.time())
        return _purge(home, ids, None, whole=True)
    except IndexBrokenError as error:
        raise _unwritten(error) from None
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
        with _opened(home, LockWait(timeout)) as connection:
            with _transaction(connection):
                gone, number = purge_rows.delete(_run(connection), ids, whole)
            if gone:
                connection.execute("CHECKPOINT")
        if gone:
            database = Database(home, store="")
            try:
                indexes_anew(database, gone)
            finally:
                database.hand_over()
            _store_anew(home)
            _copies_anew(home, gone)
        with _opened(home, LockWait()) as connection:
            if gone:
                purge_rows.done(_run(connection), gone)
                connection.execute("CHECKPOINT")
            following = purge_due.following(_run(connection))
            with contextlib.suppress(FileNotFoundError):
                if following is None:
                    purge_due.file(home).unlink()
                else:
                    purge_due.look_again(home, following)
    finally:
        mine.release()
    return number


def if_due(database: Database) -> None:
    """Purge what is due of rows that are not in a file; a failure is only logged, and tried again later."""
    try:
        if not database.in_file and database.exists():
            due = database.look(lambda tx: purge_due.following(tx.query))
            if due is not None and due <= time.time():
                _purge_rows(database, None)
    except (LettaError, IndexBrokenError, OSError, RuntimeError) as error:
        log.info("What was forgotten is not removed for good yet: %s", error)


def _purge_rows(database: Database, ids: Sequence[str] | None, *, whole: bool = False) -> int:
    """Purge rows that are not in a file: its server frees them, its own log and copies are not reached."""
    gone, number = database.run(lambda tx: purge_rows.delete(tx.query, ids, whole))
    if gone:
        indexes_anew(database, gone)
        database.tidy(purge_rows.TABLES)
        database.run(lambda tx: purge_rows.done(tx.query, gone))
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


def _run(connection: duckdb.DuckDBPyConnection) -> purge_rows.Run:
    return lambda sql, given: connection.execute(sql, given).fetchall()


@contextlib.contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


def indexes_anew(database: Database, gone: Sequence[str]) -> None:
    """Write the search indexes anew without passages; who writes to them waits, the store is free meanwhile.

    Raises
    ------
    IndexBrokenError
        They cannot be written.
    StoreError
        Somebody else keeps writing to them.
    """
    names = []
    for table in _written(database):
        if (name := table.name()) is None:  # what it was before may still be there
            table.sweep()
        else:
            table.write_anew(without=gone)
            names.append(name)
    # Those in folders of other servers, and where LETTA_INDEX led before, do so when they follow again.
    database.run(lambda tx: indexes.have_purged(tx, names, gone))


def discard_indexes(database: Database) -> None:
    """Remove the search indexes of a project, wherever they are.

    Raises
    ------
    StoreError
        They cannot be reached or written.
    """
    try:
        for table in _written(database):
            table.drop()
            table.sweep()
    except IndexBrokenError as error:
        raise _unwritten(error) from None


def _written(database: Database) -> Iterator[VectorTable]:
    """Yield the project's tables of words and vectors, one after the other, with the right to write."""
    for table in database.run(lambda tx: VectorTable.found(database, tx, write=True)):
        with table.writing(60.0) as written:
            if not written:
                raise StoreError("The vector index is being written: try again later.")
            yield table


def _unwritten(error: IndexBrokenError) -> StoreError:
    return StoreError(f"The vector index cannot be written now: {error}. Try again later.")


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
            purge_rows.take_out(_run(connection), gone)
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
