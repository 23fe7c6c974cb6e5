"""Errors of PostgreSQL and of the way to it, turned into one line that says how to mend them."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors as pg

from letta_kernel.errors import (
    ConflictError,
    InvalidInputError,
    ReadOnlyError,
    StoreBusyError,
    StoreError,
)
from letta_kernel.store import moved, transaction
from letta_kernel.store.driver import Conflict, Locked

_PREFIX = re.compile(
    r"^(?:connection (?:failed|is bad): )?connection to server (?:at|on) .*? failed: "
)
_CONNECTION = "08"  # of SQLSTATE, the class of what happens to connections
_CONFLICTS = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)


class ConnectionLost(Exception):
    """The connection broke before anything was committed: the transaction can be tried on another."""


class UnreachableError(StoreError):
    """There is no way to the server at the moment."""

    page = "postgresql"


def is_conflict(error: BaseException) -> bool:
    """Whether trying the transaction again may help."""
    return isinstance(error, _CONFLICTS)


def breaks_connection(error: BaseException) -> bool:
    """Whether the connection is gone after *error*, and with it all that it had not committed."""
    ended = (
        pg.AdminShutdown
        | pg.CrashShutdown
        | pg.CannotConnectNow
        | pg.IdleInTransactionSessionTimeout
        | pg.DatabaseDropped
    )
    if isinstance(error, pg.FeatureNotSupported) and "cached plan" in str(error):
        return True  # a table was changed under a prepared statement: another connection has none
    return isinstance(error, ended) or (
        isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        and (error.sqlstate or _CONNECTION).startswith(_CONNECTION)
    )


def is_undone(error: BaseException) -> bool:
    """Whether a commit that failed with *error* has surely saved nothing."""
    return isinstance(error, pg.SerializationFailure | pg.DeadlockDetected | psycopg.IntegrityError)


def takes_no_writes(error: BaseException | None) -> bool:
    """Whether a server says by *error* that it only follows another, or has been made read-only."""
    return isinstance(error, pg.ReadOnlySqlTransaction) or (
        isinstance(error, pg.FeatureNotSupported) and "hot standby" in str(error)
    )


def line_of(error: BaseException) -> str:
    """Return the first line of what the driver says."""
    text = _PREFIX.sub("", str(error).strip())
    return text.splitlines()[0] if text else type(error).__name__


def explain(error: BaseException, where: str) -> Exception:
    """Return the error to raise instead of the driver's *error* of a statement; *where* the rows are."""
    line = line_of(error)
    if is_conflict(error):
        return (Locked if isinstance(error, pg.LockNotAvailable) else Conflict)(line)
    if isinstance(error, pg.ProtocolViolation):  # what a pooler calls whatever it has to say
        return UnreachableError(f"{where} has no connection to give ({line}): try again.")
    if breaks_connection(error):
        return ConnectionLost(line)
    if isinstance(error, psycopg.Error) and error.sqlstate in (moved.BUSY, moved.GONE):
        return (StoreBusyError if error.sqlstate == moved.BUSY else ReadOnlyError)(line)
    if isinstance(error, pg.UniqueViolation):
        return ConflictError(f"There is one already ({_detail(error)}); nothing was changed.")
    if isinstance(error, pg.QueryCanceled):
        return StoreError(
            f"A statement took more than {transaction.READ_LIMIT:g} s and was given up: ask for less at once."
        )
    if takes_no_writes(error):
        return ReadOnlyError(
            f"{where} can only be read: name the server that takes writes in LETTA_STORE."
        )
    if isinstance(error, pg.InsufficientPrivilege):
        return ReadOnlyError(
            f"{where} refuses this role ({line}): let its owner grant it, or name another in LETTA_STORE."
        )
    if isinstance(error, pg.DiskFull | pg.OutOfMemory):
        return StoreError(
            f"{where} is full ({line}): nothing was saved. Free some space on it.", page="disk-full"
        )
    if isinstance(error, pg.TooManyConnections | pg.ConfigurationLimitExceeded):
        return StoreBusyError(f"{where} has no room ({line}): try again.")
    if isinstance(error, pg.UndefinedTable | pg.InvalidSchemaName) and "relation" in line:
        return StoreError(
            f"{where} lacks a table ({line}): has the project been dropped?", page="postgresql"
        )
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return InvalidInputError(f"The store refused a value ({line}); nothing was changed.")
    return StoreError(f"{where} could not be used: {line}", page="postgresql")


def explain_connecting(error: BaseException, where: str) -> StoreError:
    """Return the error to raise where no connection could be had."""
    line = line_of(error)
    lower = str(error).lower()
    for signs, text in _REFUSED:
        if any(all(part in lower for part in sign.split("…")) for sign in signs):
            return StoreError(f"{where} {text.format(line)}.", page="postgresql")
    for signs, text in _AWAY:
        if any(sign in lower for sign in signs):
            return UnreachableError(f"{where} {text.format(line)}.")
    return StoreError(f"{where} lets nobody in: {line}", page="postgresql")


_REFUSED: list[tuple[tuple[str, ...], str]] = [
    (
        ("authentication failed", "no password supplied"),
        "refuses the role or its password: see to LETTA_STORE, PGPASSWORD or ~/.pgpass",
    ),
    (
        ("no pg_hba.conf entry", "pg_hba.conf rejects"),
        "does not let this role in from here ({}): ask who runs the server",
    ),
    (('role "…does not exist',), "has no such role ({}): make it, or name another"),
    (('database "…does not exist',), "does not exist ({}): make it, or name another"),
    (
        ("permission denied for database",),
        "refuses this role ({}): let its owner grant CONNECT to it",
    ),
    (
        ("unsupported startup parameter",),
        "is behind a pooler that lets some options not pass ({}): leave them out, or name the server itself",
    ),
    (("certificate", "ssl"), "cannot be reached safely ({}): see to sslmode in LETTA_STORE"),
]
"""What a server, or libpq, says that does not pass, and what is said of it; dots stand for anything."""

_AWAY: list[tuple[tuple[str, ...], str]] = [
    (
        (
            *("too many clients", "too many connections", "remaining connection slots"),
            "no more connections allowed",
        ),
        "has no connection left: try again, or lower LETTA_STORE_CONNECTIONS of those who use it",
    ),
    (
        ("starting up", "shutting down", "recovery", "not yet accepting"),
        "is not ready ({}): try again",
    ),
    (
        (
            *("could not translate", "name or service not known", "refused", "timeout"),
            *("timed out", "unreachable", "no route", "no such file", "closed the connection"),
        ),
        "cannot be reached ({}): see whether it runs, and to host and port in LETTA_STORE",
    ),
]
"""The same of what may pass."""


def _detail(error: psycopg.Error) -> str:
    return error.diag.message_detail or line_of(error)
