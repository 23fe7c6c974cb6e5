"""The database file: DuckDB's settings for it, and how it is copied with its log."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import duckdb

from letta_kernel import private
from letta_kernel.store.last_commit import log_of

FILE = "letta.duckdb"
Settings = dict[str, str | bool | int | float | list[str]]
"""DuckDB's settings for a connection."""
CONFIG: Settings = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": 1,
}
"""Of every connection: never an extension from the network; one thread, for these are a few rows at a time."""
RESTRICTED: Settings = {
    **CONFIG,
    "enable_external_access": "false",
    "lock_configuration": "true",
}
"""Nothing but the very file can be read, nothing at all written, and no statement can change that."""
ALONE: Settings = {
    **CONFIG,
    "enable_external_access": "false",
    "python_enable_replacements": "false",  # or a variable of the notebook would be a table
    "temp_directory": "",
    "memory_limit": "1GB",
}
"""No file, no network, no variable of the process, and so much memory at most."""


def copy_store(path: Path, target: Path) -> None:
    """Copy a database file with its log; the lock must be held."""
    copy_file(path, target)
    if log_of(path).exists():
        copy_file(log_of(path), log_of(target))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; what agents remember is nobody else's business."""
    with source.open("rb") as read, open(target, "wb", opener=private.opener) as written:
        shutil.copyfileobj(read, written, 1 << 20)


def absorb_log(temp: Path) -> None:
    """Take a copied log into the copied file, so that the copy is one file."""
    connection = duckdb.connect(temp, config=CONFIG)
    try:
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    with temp.open("rb") as file:
        os.fsync(file.fileno())


def discard(temp: Path) -> None:
    """Remove a copy that was not finished."""
    for left in (temp, log_of(temp)):
        with contextlib.suppress(OSError):
            left.unlink(missing_ok=True)
