"""How a database file is made, opened and brought up to date."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from letta_kernel import private
from letta_kernel.errors import StoreError
from letta_kernel.ids import new_id
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import (
    automatic_backups,
    database_file,
    driver_errors,
    encryption,
    last_commit,
    migrations,
    moved,
)
from letta_kernel.store.database_file import Settings
from letta_kernel.store.filesystem import lock_refusal

T = TypeVar("T")

FOREIGN = 2.0
"""Seconds, at most, that a program is waited for which has the file open without knowing of our lock."""

_UNSEALED = "unsealed"
"""The setting of a store of before, until its secrets are encrypted and its file is written anew."""
_SEALED = (
    migrations.MIGRATIONS.index(migrations.REWRITE) + 1
)  # from this version on, secrets are encrypted
_again: dict[Path, bool] = {}  # stores whose delay was explained: whether to try again

log = logging.getLogger(__name__)

_NAME = "letta"
"""What the database is called among those of a connection."""


def open_database(
    path: Path,
    settings: Settings,
    timeout: float = FOREIGN,
    *,
    lasting: bool = True,
    halfway: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Open the database file, made first and brought up to date if need be. The lock must be held.

    Parameters
    ----------
    path
        The file; its folder exists.
    settings
        DuckDB's.
    timeout
        Seconds to wait for a program that has the file open without knowing of our lock.
    lasting
        False for a copy that is thrown away: no key is made for its secrets, and it is not copied again.
    halfway
        Also one that another project is being copied into.

    Raises
    ------
    StoreError
        If the file was written by a newer version of this package, or lacks what was saved (`last_commit`),
        or is half a copy.
    duckdb.Error, OSError
        Whatever else is wrong with it.
    """
    last_commit.check(path)
    if not path.exists() or path.stat().st_size == 0:
        _create(path, settings)
    connection = _connect(path, settings, timeout)
    before: Path | None = None
    try:
        version = _check_version(connection, path)
        if lasting and path.name == database_file.FILE and 0 < version < len(migrations.MIGRATIONS):
            connection.close()
            before = automatic_backups.before_change(path.parent, version)
            connection = _connect(path, settings, timeout)
        _bring_up_to_date(connection, path, lasting)
        if lasting and _is_marked(connection):
            connection = _encrypt_old_secrets(connection, path, settings)
        connection.execute("SET TimeZone = 'UTC'")
        if not halfway:
            moved_away(connection, path)
    except BaseException:
        connection.close()
        if before is not None:  # nothing has changed, and the next try makes another
            before.unlink(missing_ok=True)
        raise
    return connection


def _connect(path: Path, settings: Settings, timeout: float) -> duckdb.DuckDBPyConnection:
    connection = _retried(lambda: duckdb.connect(path, config=settings), timeout)
    private.tighten(path)
    return connection


def open_to_read(
    path: Path, settings: Settings, timeout: float = FOREIGN
) -> duckdb.DuckDBPyConnection:
    """Open a database file that cannot be written. The lock must be held.

    Where it was written by an older version, or its file cannot be locked, a copy of it is opened, which
    nobody else sees.
    """
    last_commit.check(path)
    connection: duckdb.DuckDBPyConnection | None = None
    version = -1
    try:
        connection = duckdb.connect(path, read_only=True, config=settings)
        version = _check_version(connection, path)
    except duckdb.IOException as error:
        if lock_refusal(path.parent, error) is None:
            raise
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    if connection is None or version < len(migrations.MIGRATIONS):
        if connection is not None:
            connection.close()
        with tempfile.TemporaryDirectory(
            prefix="letta-read-", ignore_cleanup_errors=True
        ) as folder:
            copy = Path(folder) / path.name
            for source in (path, path.with_name(path.name + ".wal")):
                if source.exists():
                    shutil.copyfile(source, copy.with_name(source.name))
            open_database(copy, settings, timeout, lasting=False).close()
            connection = duckdb.connect(copy, read_only=True, config=settings)
    try:
        moved_away(connection, path)
    except BaseException:
        connection.close()
        raise
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def attach(
    engine: duckdb.DuckDBPyConnection, path: Path, settings: Settings, timeout: float
) -> str | None:
    """Open the file as `open_database` does, but in an *engine*: a connection to a database in memory.

    That takes a tenth of the time, most of which goes into making an engine. Return why nothing may be written:
    the project has moved; else None.
    """
    last_commit.check(path)
    if not path.exists() or path.stat().st_size == 0:
        open_database(path, settings, timeout).close()
    _retried(lambda: _attach(engine, path), timeout)
    if not _is_up_to_date(engine, path):
        detach(engine)
        open_database(path, settings, timeout).close()
        _attach(engine, path)
    try:
        return moved_away(engine, path)
    except BaseException:
        detach(engine)
        raise


def moved_away(connection: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    """Return why nothing may be written into a project that has moved, None if it has not.

    Raises
    ------
    StoreError
        It is half a copy.
    """
    found = connection.execute("SELECT value FROM settings WHERE key = $1", [moved.KEY]).fetchone()
    return moved.refusal(found[0] if found else None, str(path.parent))


def _attach(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    quoted = str(path).replace("'", "''")
    engine.execute(f"ATTACH '{quoted}' AS {_NAME} (TYPE duckdb)")
    private.tighten(path)
    engine.execute(f"USE {_NAME}")


def _is_up_to_date(engine: duckdb.DuckDBPyConnection, path: Path) -> bool:
    marked = f"(SELECT count(*) FROM settings WHERE key = '{_UNSEALED}')"
    try:
        row = engine.execute(f"SELECT version::integer, {marked} FROM schema_version").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException, duckdb.ConversionException):
        return False
    if row is None or row[0] != len(migrations.MIGRATIONS):
        return False
    return not row[1] or not _can_encrypt(engine, path)


def detach(engine: duckdb.DuckDBPyConnection) -> None:
    """Close what `attach` opened; what was committed is in the log already.

    Raises
    ------
    duckdb.Error, RuntimeError
        It could not be done: close the engine.
    """
    engine.execute("USE memory")
    engine.execute(f"DETACH {_NAME}")


def _retried(work: Callable[[], T], timeout: float) -> T:
    """Do *work* again and again while a program that does not know our lock has the file open."""
    began = time.monotonic()
    while True:
        try:
            return work()
        except duckdb.IOException as error:
            if not driver_errors.is_locked(error) or time.monotonic() - began > min(
                timeout, FOREIGN
            ):
                raise
            time.sleep(0.02)


def _create(path: Path, settings: Settings) -> None:
    # Made under another name first: a process killed in the middle must not leave half a database.
    temp = path.with_name(path.name + ".new")
    _remove(temp)
    _remove(path)
    try:
        connection = duckdb.connect(temp, config=settings)
        try:
            private.tighten(temp)
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE TABLE schema_version (version integer NOT NULL)")
            connection.execute("INSERT INTO schema_version VALUES (0)")
            _bring_up_to_date(connection, None)
        finally:
            connection.close()
        _put(temp, path)
    except BaseException:
        with contextlib.suppress(OSError):
            _remove(temp)
        raise


def _put(temp: Path, path: Path) -> None:
    os.replace(temp, path)
    if os.name == "posix":  # make the new name outlast a power failure
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove(path: Path) -> None:
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _check_version(connection: duckdb.DuckDBPyConnection, path: Path | None) -> int:
    """Return the version of a store's tables; StoreError if that is newer than ours, or the store not ours."""
    try:
        row = connection.execute("SELECT version::integer FROM schema_version").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException, duckdb.ConversionException):
        if path is None:
            raise
        raise driver_errors.foreign(path) from None
    version = int(row[0]) if row else 0
    if version > len(migrations.MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer letta-kernel (schema {version}, this one knows"
            f" {len(migrations.MIGRATIONS)}).",
            remedy(Do.UPDATE),
            page="store-newer",
        )
    return version


def _bring_up_to_date(
    connection: duckdb.DuckDBPyConnection, path: Path | None, lasting: bool = True
) -> None:
    """Run the migrations that are missing.

    *path* is where the file is; None: nothing has ever been in it.
    """
    version = _check_version(connection, path)
    if version == len(migrations.MIGRATIONS):
        return
    for number in range(version, len(migrations.MIGRATIONS)):
        step = migrations.MIGRATIONS[number]
        connection.execute("BEGIN")
        try:
            if step not in (migrations.SEAL, migrations.REWRITE):
                connection.execute(step)
            elif path is not None and lasting:  # it may have to wait: `_encrypt_old_secrets`
                connection.execute(
                    "INSERT INTO settings VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
                    [_UNSEALED, new_id("project")],
                )
            connection.execute("UPDATE schema_version SET version = $1", [number + 1])
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            raise
    connection.execute("CHECKPOINT")  # tables made in the log alone cost every later open


def _is_marked(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute("SELECT count(*) FROM settings WHERE key = $1", [_UNSEALED])
    return found.fetchone() != (0,)


def _can_encrypt(engine: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether the secrets of an older store, which were left unencrypted so far, can be encrypted now."""
    if not _again.get(path, True) or not _has_room(path):
        return False
    try:
        if any(True for _ in _open_secrets(engine)):
            encryption.key_of(_project(engine))
        return True
    except StoreError:
        return False


def _has_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free > path.stat().st_size
    except OSError:
        return True


def _encrypt_old_secrets(
    connection: duckdb.DuckDBPyConnection, path: Path, settings: Settings
) -> duckdb.DuckDBPyConnection:
    """Encrypt the secrets of an older store and rewrite the file; return the connection to go on with.

    Without a key, or without room for the new file, that is put off and said, and all else works.
    """
    try:
        connection.execute("BEGIN")
        try:
            _seal(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            raise
        write_anew(connection, path, without=_UNSEALED)
    except (StoreError, duckdb.Error, OSError) as error:
        said = path in _again
        _again[path] = isinstance(error, StoreError)
        if not said:
            why = error.text if isinstance(error, StoreError) else str(error).partition("\n")[0]
            log.warning("Secrets of an earlier version can be read in %s still: %s", path, why)
    else:
        _again.pop(path, None)
        if path.name == database_file.FILE:
            automatic_backups.drop_before(path.parent, _SEALED)
    connection.close()
    return duckdb.connect(path, config=settings)


def _seal(connection: duckdb.DuckDBPyConnection) -> None:
    """Encrypt the secrets of an older store."""
    project = _project(connection)
    for number, (table, row_id, column, key, held) in enumerate([*_open_secrets(connection)]):
        if not number:
            connection.execute(
                "INSERT INTO settings VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
                [encryption.PROJECT, project],
            )
        texts = encryption.encrypt(
            project, f"{table}/{row_id}/{column}", held[key] if key else held
        )
        fresh = json.dumps({**held, key: texts} if key else texts, ensure_ascii=False)
        connection.execute(f"UPDATE {table} SET {column} = $2 WHERE id = $1", [row_id, fresh])


def _open_secrets(
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Yield where there are secrets to encrypt: table, row, column, key in it, and what the column holds."""
    for table, places in encryption.COLUMNS.items():
        for column, key in places:
            for row_id, text in connection.execute(f"SELECT id, {column} FROM {table}").fetchall():
                held = json.loads(text or "{}")
                if encryption.needs_encryption(held.get(key) if key else held):
                    yield table, row_id, column, key, held


def _project(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the name of the project, or the one that it gets when its secrets are encrypted."""
    found = connection.execute(
        "SELECT value FROM settings WHERE key IN ($1, $2) ORDER BY key = $1 DESC",
        [encryption.PROJECT, _UNSEALED],
    )
    return str((found.fetchone() or (new_id("project"),))[0])


def write_anew(connection: duckdb.DuckDBPyConnection, path: Path, *, without: str = "") -> None:
    """Copy all rows into a new file in place of the one at *path*: freed pages keep what was in them.

    The setting *without* is left out. The lock must be held; the connection is closed.

    Raises
    ------
    StoreError
        There is no room for the new file.
    """
    if not _has_room(path):
        raise StoreError(
            f"There is no room to write {path.name} anew: free some space on the disk of {path.parent}.",
            page="disk-full",
        )
    temp = path.with_name(path.name + ".new")
    _remove(temp)
    try:
        connection.execute("CHECKPOINT")  # a log that outlasts its file would meet the new one
        (name,) = connection.execute("SELECT current_database()").fetchone() or ("",)
        quoted = str(temp).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS fresh")
        private.tighten(temp)
        connection.execute(f'COPY FROM DATABASE "{name}" TO fresh')
        if without:
            connection.execute("DELETE FROM fresh.settings WHERE key = $1", [without])
        connection.execute("CHECKPOINT fresh")
        connection.execute("DETACH fresh")
        connection.close()
        if (left := last_commit.log_of(path)).exists() and left.stat().st_size:
            raise StoreError(f"{left} did not become part of its file.")
        _put(temp, path)
    except BaseException:
        with contextlib.suppress(OSError):
            _remove(temp)
        raise
