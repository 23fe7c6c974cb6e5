"""Errors of the database driver, turned into one line that says how to mend them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

import duckdb

from letta_kernel.errors import ConflictError, InvalidInputError, ReadOnlyError, StoreError
from letta_kernel.remedies import Do, remedy
from letta_kernel.store.driver import Conflict

# DuckDB takes a question mark for the start of options, and a backslash for a slash, also where the path is
# a link to such a folder; LanceDB refuses control characters; neither takes bytes that are no text.
_UNUSABLE = re.compile(r"[?\x00-\x1f\x7f\ud800-\udfff]" + (r"|\\" if os.name == "posix" else ""))


def check_folder(folder: Path) -> None:
    """Refuse a folder in which no database can be opened, naming the character.

    Raises
    ------
    StoreError
        Its path, with links followed, has a character in it that the database does not take.
    """
    path = os.path.realpath(folder)
    if (found := _UNUSABLE.search(path)) is not None:
        raise StoreError(
            f"The store cannot be in {path!r}: its path has the character {found[0]!r} in it. Rename that"
            " folder, or set LETTA_HOME to another."
        )


def is_conflict(error: BaseException) -> bool:
    """Whether trying the transaction again may help."""
    if not isinstance(error, duckdb.TransactionException | duckdb.SerializationException):
        return False
    said = str(error).partition(": ")[2].lower()
    return said.startswith(("conflict", "transaction conflict", "failed to commit: write-write"))


def is_interrupt(error: BaseException) -> bool:
    """Whether the driver stopped a statement because the stop button was pressed."""
    return isinstance(error, duckdb.InterruptException) or (
        type(error) is RuntimeError and "interrupted" in str(error)
    )


def is_locked(error: BaseException) -> bool:
    """Whether a program that does not know our lock has the file open."""
    return isinstance(error, duckdb.IOException) and "lock on file" in str(error)


def breaks_connection(error: BaseException) -> bool:
    """Whether the connection cannot be trusted any more after *error*."""
    return (
        isinstance(
            error,
            duckdb.IOException
            | duckdb.FatalException
            | duckdb.InternalException
            | duckdb.OutOfMemoryException
            | duckdb.ConnectionException,
        )
        or type(error) in (duckdb.Error, RuntimeError)
        or "Failed to commit" in str(error)  # the log could not be written: replay it anew
    )


def explain(error: BaseException, path: Path) -> Exception:
    """Return the error to raise instead of the driver's (or the system's) *error*.

    Parameters
    ----------
    error
        What DuckDB or the operating system raised.
    path
        The database file.
    """
    text = str(error)
    lower = text.lower()
    line = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    home = path.parent
    if is_conflict(error):
        return Conflict(line)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(
        sign in lower for sign in ("no space left", "disk quota", "file too large", "disk full")
    ):
        return StoreError(
            f"The disk of {home} is full: nothing was saved. Free some space and try again.",
            page="disk-full",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(
        sign in lower
        for sign in (
            "permission denied",
            "read-only file system",
            "not permitted",
            "read-only mode",
        )
    ):
        return ReadOnlyError(
            f"{home} cannot be written: make it writable, or set LETTA_HOME to a folder that is."
        )
    if number in (errno.ENOTDIR, errno.EEXIST):
        return StoreError(
            f"{home} cannot be a project folder because a file is in the way:"
            " move it, or set LETTA_HOME to another place."
        )
    if is_locked(error):
        return StoreError(
            f"{path} is open in another program ({_between(text, 'held in ', '. See')}): close it there.",
            page="store-in-use",
        )
    if "different configuration" in lower:
        return StoreError(
            f"{path} is open in this Python with other settings: close that connection first.",
            page="store-in-use",
        )
    if isinstance(error, duckdb.Error) and (
        any(sign in lower for sign in ("sqlite", "external extensions", "is a directory"))
        or ("not a valid duckdb" in lower and _is_sqlite(path))
    ):
        return foreign(path)
    if any(
        sign in lower
        for sign in ("corrupt", "not a valid duckdb", "could not read enough", "wal file")
    ) or isinstance(error, duckdb.InternalException | duckdb.FatalException):
        return StoreError(
            f"{path} is damaged ({line[:160]}).", remedy(Do.CHECK_STORE), page="store-damaged"
        )
    if "version number" in lower or "newer version" in lower:
        return StoreError(
            f"{path} was written by another version of DuckDB.",
            remedy(Do.INSTALL_PACKAGES, "duckdb"),
            page="store-newer",
        )
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        return StoreError(
            "Not enough memory for this: nothing was saved. Close something, try again."
        )
    if isinstance(error, duckdb.ConstraintException):
        if "duplicate key" in lower:
            return ConflictError(
                f"There is one already ({_between(text, 'key ', ' violates')}); nothing was changed."
            )
        return InvalidInputError(f"The store refused a value ({line}); nothing was changed.")
    if isinstance(error, duckdb.DataError | duckdb.InvalidInputException):
        return InvalidInputError(f"The store refused a value ({line}); nothing was changed.")
    return StoreError(f"{path} could not be used: {line}")


def _is_sqlite(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
    return False


def foreign(path: Path) -> StoreError:
    """Return the error for a file that something else has made."""
    return StoreError(
        f"{path} is no store of letta-kernel: move it away, or set LETTA_HOME to another folder."
    )


def _between(text: str, start: str, end: str) -> str:
    _, found, rest = text.partition(start)
    return rest.partition(end)[0].strip(" \"'") if found else text.splitlines()[0]
