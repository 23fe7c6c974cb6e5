"""How a database file is made, opened and brought up to date."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import duckdb

from letta_kernel.errors import StoreError
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import migrations, problems


def open_database(
    path: Path, settings: dict[str, str | bool | int | float | list[str]], patience: float
) -> duckdb.DuckDBPyConnection:
    """Open the database file, made first and brought up to date if need be. The lock must be held.

    Parameters
    ----------
    path
        The file; its folder exists.
    settings
        DuckDB's.
    patience
        Seconds to wait for a program that has the file open without knowing of our lock.

    Raises
    ------
    StoreError
        If the file was written by a newer version of this package.
    duckdb.Error, OSError
        Whatever else is wrong with it.
    """
    if not path.exists() or path.stat().st_size == 0:
        _create(path, settings)
    began = time.monotonic()
    while True:
        try:
            connection = duckdb.connect(path, config=settings)
            break
        except duckdb.IOException as error:
            if not problems.is_locked(error) or time.monotonic() - began > min(patience, 2.0):
                raise
            time.sleep(0.02)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        _bring_up_to_date(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path, settings: dict[str, str | bool | int | float | list[str]]) -> None:
    # Made under another name first: a process killed in the middle must not leave half a database.
    draft = path.with_name(path.name + ".new")
    _remove(draft)
    _remove(path)
    try:
        connection = duckdb.connect(draft, config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE TABLE schema_version (version integer NOT NULL)")
            connection.execute("INSERT INTO schema_version VALUES (0)")
            _bring_up_to_date(connection, path)
        finally:
            connection.close()
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            _remove(draft)
        raise
    if os.name == "posix":  # make the new name outlast a power failure
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove(path: Path) -> None:
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _bring_up_to_date(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    row = connection.execute("SELECT version FROM schema_version").fetchone()
    version = row[0] if row else 0
    if version > len(migrations.MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer letta-kernel (schema {version}, this one knows"
            f" {len(migrations.MIGRATIONS)}).",
            remedy(Do.UPDATE),
        )
    if version == len(migrations.MIGRATIONS):
        return
    for number in range(version, len(migrations.MIGRATIONS)):
        connection.execute("BEGIN")
        try:
            connection.execute(migrations.MIGRATIONS[number])
            connection.execute("UPDATE schema_version SET version = $1", [number + 1])
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            raise
    connection.execute("CHECKPOINT")  # tables made in the log alone cost every later open
