"""Looking at the database without changing it, copying it while others work, and putting a copy back.

All of it takes the project's lock for a short while, as every transaction does, so that nobody has the
file open meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from letta_kernel import private
from letta_kernel.errors import InvalidInputError, NotFoundError, ReadOnlyError, StoreError
from letta_kernel.ids import now
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import opening, place, problems
from letta_kernel.store.database import PATIENCE
from letta_kernel.store.lock import HomeLock, ReadersLock

FILE = "letta.duckdb"
# Nothing but this very file can be read, nothing at all written, and no statement can change that.
_SEALED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
    "threads": 1,
}
_PLAIN: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": 1,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: the columns' names, its rows, and whether there were more of them."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    more: bool


def look(home: Path, sql: str, *, limit: int = 1000, seconds: float = 30.0) -> Answer:
    """Answer one query, which can neither change the store nor read another file.

    Parameters
    ----------
    limit : rows to return at most; 0: all.
    seconds : after which the query is given up, because others wait for the store meanwhile.

    Raises
    ------
    NotFoundError
        There is no store in *home*.
    InvalidInputError
        The query is wrong, would change something, or took too long.
    """
    with _held(home) as path:
        with _explained(path):
            connection = duckdb.connect(path, read_only=True, config=_SEALED)
        timer = threading.Timer(seconds, connection.interrupt)
        timer.daemon = True
        try:
            timer.start()
            statements = connection.extract_statements(sql)
            if len(statements) != 1:
                raise InvalidInputError(f"One statement at a time; this has {len(statements)}.")
            connection.execute(statements[0])
            columns = [str(column[0]) for column in connection.description or ()]
            rows = connection.fetchmany(limit + 1) if limit else connection.fetchall()
        except duckdb.InterruptException:
            raise InvalidInputError(
                f"The query took more than {seconds:g} seconds and was given up; others wait for the store.",
                remedy(Do.COPY_STORE),
            ) from None
        except RuntimeError as error:
            if problems.is_interrupt(error):
                raise KeyboardInterrupt from None
            raise problems.explain(error, path) from error
        except duckdb.Error as error:
            line = str(error).partition("\n")[0]
            raise InvalidInputError(f"The query failed: {line}") from None
        finally:
            timer.cancel()
            timer.join()  # or it might wake while the process ends, in the driver's code
            connection.close()
    return Answer(columns, rows[:limit] if limit else rows, bool(limit) and len(rows) > limit)


def backup(home: Path, target: Path, *, replace: bool = False) -> tuple[Path, int]:
    """Write a whole, consistent copy of the store; return where it is and its size in bytes.

    Parameters
    ----------
    target : the file to write, or a folder in which it gets a name with the date.

    Raises
    ------
    InvalidInputError
        *target* is there already and *replace* is False, or its folder is not.
    StoreError
        It cannot be written.
    """
    if target.is_dir():
        target = target / f"letta-{now():%Y%m%d-%H%M%S}.duckdb"
    if not target.parent.is_dir():
        raise InvalidInputError(f"There is no folder {target.parent} to put the copy in.")
    if target.exists() and not replace:
        raise InvalidInputError(
            f"{target} is there already: name another file.", remedy(Do.REPLACE_FILE)
        )
    if (home / FILE).exists() and target.exists() and target.samefile(home / FILE):
        raise InvalidInputError("A copy over the store itself would destroy it: name another file.")
    problems.check_folder(target.parent)
    draft = target.with_name(f".{FILE}.{os.getpid()}.part")  # a name that can be opened
    try:
        with _held(home) as path, _explained(path):
            if place.refusal(home) is None:  # then the log becomes part of it
                opening.open_database(path, _PLAIN, PATIENCE).close()
            _copy(path, draft)
            log = path.with_name(path.name + ".wal")
            if log.exists():
                _copy(log, draft.with_name(draft.name + ".wal"))
        with _explained(target):
            _sealed_copy(draft)
            size = draft.stat().st_size
            os.replace(draft, target)
        return target, size
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}.") from None
    finally:
        _discard(draft)


def restore(home: Path, source: Path) -> Path | None:
    """Put a copy in the store's place and return where the store before is kept, None if there was none.

    The search indexes are made anew from the copy. Processes that have the project open go on with the copy.

    Raises
    ------
    InvalidInputError
        *source* is no copy of a store, or of a newer version's. Nothing is changed then.
    """
    if not source.is_file():
        raise NotFoundError(f"There is no file {source}.")
    problems.check_folder(home)
    if (refusal := place.refusal(home)) is not None:
        raise ReadOnlyError(refusal)
    private.folder(home)
    draft = home / f".{FILE}.{os.getpid()}.part"
    try:
        _copy(source, draft)
        _check(draft, source)
        lock = HomeLock(home)
        lock.acquire(PATIENCE)
        try:
            path = home / FILE
            kept: Path | None = None
            if path.exists():
                with _explained(path), contextlib.suppress(StoreError):
                    opening.open_database(path, _PLAIN, PATIENCE).close()
                kept = home / f"before-restore-{now():%Y%m%d-%H%M%S-%f}.duckdb"
                log = path.with_name(path.name + ".wal")
                if log.exists():
                    os.replace(log, kept.with_name(kept.name + ".wal"))
                os.replace(path, kept)
            os.replace(draft, path)
            shutil.rmtree(home / "vectors", ignore_errors=True)
        finally:
            lock.release()
    except OSError as error:
        raise StoreError(f"{home} cannot be written: {error.strerror or error}.") from None
    finally:
        _discard(draft)
    return kept


def _check(draft: Path, source: Path) -> None:
    """See that a file is a store of ours, bring it up to date and let the indexes begin anew."""
    try:
        probe = duckdb.connect(draft, read_only=True, config=_SEALED)
        try:
            probe.execute("SELECT version FROM schema_version").fetchone()
            probe.execute("SELECT count(*) FROM agents").fetchone()
        finally:
            probe.close()
    except duckdb.Error:
        raise InvalidInputError(f"{source} is no copy of a letta-kernel store.") from None
    try:
        connection = opening.open_database(draft, _PLAIN, PATIENCE)
        try:
            connection.execute("DELETE FROM index_marks")
            connection.execute("DELETE FROM outbox")
            connection.execute("CHECKPOINT")
        finally:
            connection.close()
    except (duckdb.Error, RuntimeError, MemoryError) as error:
        line = str(error).strip().partition("\n")[0][:160]
        raise InvalidInputError(f"{source} is damaged ({line}): take another copy.") from None


def _sealed_copy(draft: Path) -> None:
    """Take a copied log into the copied file, so that the copy is one file."""
    connection = duckdb.connect(draft, config=_PLAIN)
    try:
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    with draft.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _held(home: Path) -> Iterator[Path]:
    path = home / FILE
    if not path.exists():
        raise NotFoundError(f"There is no project in {home}.")
    lock = HomeLock(home) if place.refusal(home) is None else ReadersLock(home)
    try:
        lock.acquire(PATIENCE)
    except OSError as error:
        raise problems.explain(error, path) from error
    try:
        yield path
        private.say(home)
    finally:
        lock.release()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, RuntimeError, MemoryError) as error:
        raise problems.explain(error, path) from error


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, open(target, "wb", opener=private.opener) as written:
        shutil.copyfileobj(read, written, 1 << 20)


def _discard(draft: Path) -> None:
    for left in (draft, draft.with_name(draft.name + ".wal")):
        with contextlib.suppress(OSError):
            left.unlink(missing_ok=True)
