"""Back the database up while others work, and restore a backup.

Each takes the project's lock for a short while, as every transaction does, so that nobody has the file open
meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb

from letta_kernel import private
from letta_kernel.errors import InvalidInputError, NotFoundError, ReadOnlyError, StoreError
from letta_kernel.ids import now
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import driver_errors, filesystem, last_commit, opening, purge_due
from letta_kernel.store.automatic_backups import FOLDER
from letta_kernel.store.database_file import (
    CONFIG,
    FILE,
    RESTRICTED,
    absorb_log,
    copy_file,
    copy_store,
    discard,
)
from letta_kernel.store.lock import HomeLock, ReadersLock
from letta_kernel.store.lock_wait import AnswerFromCopy, LockWait
from letta_kernel.store.snapshot import NoCopyError, copied
from letta_kernel.store.vectors import discard_all


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
    driver_errors.check_folder(target.parent)
    temp = target.with_name(f".{FILE}.{os.getpid()}.part")  # a name that can be opened
    try:
        with _held(home) as path, _explained(path):
            if filesystem.refusal(home) is None:  # then the log becomes part of it
                opening.open_database(path, CONFIG).close()
            copy_store(path, temp)
        with _explained(target):
            absorb_log(temp)
            size = temp.stat().st_size
            os.replace(temp, target)
        return target, size
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}.") from None
    finally:
        discard(temp)


def restore(home: Path, source: Path) -> Path | None:
    """Put a copy in the store's place and return where the store before is kept, None if there was none.

    The search indexes are made anew from the copy; the tokens of servers' clients are all gone.
    Processes that have the project open go on with the copy.

    Raises
    ------
    InvalidInputError
        *source* is no copy of a store, or of a newer version's. Nothing is changed then.
    """
    source = find(home, source)
    driver_errors.check_folder(home)
    if (refusal := filesystem.refusal(home)) is not None:
        raise ReadOnlyError(refusal)
    private.folder(home)
    temp = home / f".{FILE}.{os.getpid()}.part"
    try:
        copy_file(source, temp)
        _check(temp, source)
        lock = HomeLock(home)
        lock.acquire(LockWait())
        try:
            path = home / FILE
            kept: Path | None = None
            log = last_commit.log_of(path)
            if path.exists() or log.exists():
                if path.exists():
                    with _explained(path), contextlib.suppress(StoreError):
                        opening.open_database(path, CONFIG).close()
                kept = home / f"before-restore-{now():%Y%m%d-%H%M%S-%f}.duckdb"
                for file, kept_as in ((log, last_commit.log_of(kept)), (path, kept)):
                    if file.exists():
                        os.replace(file, kept_as)
            last_commit.forget(path)
            os.replace(temp, path)
            purge_due.file(home).unlink(missing_ok=True)  # opening the copy makes it anew
            discard_all(home)
        finally:
            lock.release()
    except OSError as error:
        raise StoreError(f"{home} cannot be written: {error.strerror or error}.") from None
    finally:
        discard(temp)
    return kept


def find(home: Path, source: Path | str) -> Path:
    """Return a file, or the automatic backup of that name; `NotFoundError` if there is neither."""
    for path in (Path(source), home / FOLDER / source):
        if path.is_file():
            return path
    raise NotFoundError(f"There is no file {source}.")


def _check(temp: Path, source: Path) -> None:
    """See that a file is a store of ours, bring it up to date and let the indexes and tokens begin anew."""
    try:
        probe = duckdb.connect(temp, read_only=True, config=RESTRICTED)
        try:
            probe.execute("SELECT version FROM schema_version").fetchone()
            probe.execute("SELECT count(*) FROM agents").fetchone()
        finally:
            probe.close()
    except duckdb.Error:
        raise InvalidInputError(f"{source} is no copy of a letta-kernel store.") from None
    try:
        connection = opening.open_database(temp, CONFIG)
        try:
            connection.execute("DELETE FROM index_marks")
            connection.execute("DELETE FROM outbox")
            # Some of them may have been revoked since.
            connection.execute("DELETE FROM access_tokens")
            connection.execute("DELETE FROM grants")
            connection.execute("UPDATE vector_tables SET pointer = NULL")
            connection.execute("CHECKPOINT")
        finally:
            connection.close()
    except (duckdb.Error, RuntimeError, MemoryError) as error:
        line = str(error).strip().partition("\n")[0][:160]
        raise InvalidInputError(
            f"{source} is damaged ({line}): take another copy.", page="store-damaged"
        ) from None


@contextlib.contextmanager
def _held(home: Path, *, to_read: bool = False) -> Iterator[Path]:
    """Yield the path of the store while nobody else has it open; *to_read*, perhaps that of a copy."""
    path = home / FILE
    if not path.exists():
        raise NotFoundError(f"There is no project in {home}.")
    lock = HomeLock(home) if filesystem.refusal(home) is None else ReadersLock(home)
    wait = LockWait(copy=to_read)
    with contextlib.ExitStack() as stack:
        stack.callback(lock.release)
        try:
            lock.acquire(wait)
        except AnswerFromCopy:
            try:
                path, _ = stack.enter_context(copied(path, lock))
            except NoCopyError:
                lock.acquire(wait)
        except OSError as error:
            raise driver_errors.explain(error, path) from error
        yield path
        private.say(home)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, RuntimeError, MemoryError) as error:
        raise driver_errors.explain(error, path) from error
