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
from letta_kernel.store import transaction
from letta_kernel.store.driver import Conflict

_PREFIX = re.compile(r"^(?:connection failed: )?connection to server (?:at|on) .*? failed: ")
_CONFLICTS = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)


class ConnectionLost(Exception):
    """The connection broke before anything was committed: the transaction can be tried on another."""


def is_conflict(error: BaseException) -> bool:
    """Whether trying the transaction again may help."""
    return isinstance(error, _CONFLICTS)


def breaks_connection(error: BaseException) -> bool:
    """Whether the connection is gone after *error*, and with it all that it had not committed."""
    return isinstance(
        error,
        pg.AdminShutdown
        | pg.CrashShutdown
        | pg.CannotConnectNow
        | pg.IdleInTransactionSessionTimeout
        | pg.DatabaseDropped,
    ) or (
        isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not error.sqlstate
    )


def line_of(error: BaseException) -> str:
    """Return the first line of what the driver says."""
    text = _PREFIX.sub("", str(error).strip())
    return text.splitlines()[0] if text else type(error).__name__


def explain(error: BaseException, where: str) -> Exception:
    """Return the error to raise instead of the driver's *error* of a statement; *where* the rows are."""
    line = line_of(error)
    if is_conflict(error):
        return Conflict(line)
    if breaks_connection(error):
        return ConnectionLost(line)
    if isinstance(error, pg.UniqueViolation):
        return ConflictError(f"There is one already ({_detail(error)}); nothing was changed.")
    if isinstance(error, pg.QueryCanceled):
        return StoreError(
            f"A statement took more than {transaction.READ_LIMIT:g} s and was given up: ask for less at once."
        )
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return ReadOnlyError(
            f"{where} can only be read: name the server that takes writes in LETTA_STORE."
        )
    if isinstance(error, pg.InsufficientPrivilege):
        return ReadOnlyError(
            f"{where} refuses this role ({line}): let its owner grant it, or name another in LETTA_STORE."
        )
    if isinstance(error, pg.DiskFull | pg.OutOfMemory):
        return StoreError(f"{where} is full ({line}): nothing was saved. Free some space on it.")
    if isinstance(error, pg.TooManyConnections | pg.ConfigurationLimitExceeded):
        return StoreBusyError(f"{where} has no room ({line}): try again.")
    if isinstance(error, pg.UndefinedTable | pg.InvalidSchemaName) and "relation" in line:
        return StoreError(f"{where} lacks a table ({line}): has the project been dropped?")
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return InvalidInputError(f"The store refused a value ({line}); nothing was changed.")
    return StoreError(f"{where} could not be used: {line}")


def explain_connecting(error: BaseException, where: str) -> StoreError:
    """Return the error to raise where no connection could be had."""
    line = line_of(error)
    lower = str(error).lower()
    said = [
        (
            ("password authentication failed", "no password supplied", "authentication failed"),
            "refuses the role's password: see to LETTA_STORE, PGPASSWORD or ~/.pgpass",
        ),
        (
            ("no pg_hba.conf entry",),
            f"lets this role in from here on no way ({line}): ask who runs it",
        ),
        (("role", "does not exist"), f"has no such role ({line}): make it, or name another"),
        (
            ("database", "does not exist"),
            f"has no such database ({line}): make it, or name another",
        ),
        (
            ("permission denied for database",),
            f"refuses this role ({line}): let its owner grant CONNECT",
        ),
        (
            ("too many clients", "too many connections", "remaining connection slots"),
            "has no connection left: try again, or lower LETTA_STORE_CONNECTIONS of who uses it",
        ),
        (("starting up", "shutting down", "recovery mode"), f"is not ready ({line}): try again"),
        (
            ("ssl", "certificate"),
            f"cannot be reached safely ({line}): see to sslmode in LETTA_STORE",
        ),
        (
            (
                "could not translate",
                "name or service not known",
                "refused",
                "timeout",
                "timed out",
                "unreachable",
                "no route",
                "no such file",
                "closed the connection unexpectedly",
            ),
            f"cannot be reached ({line}): see whether it runs, and to host and port in LETTA_STORE",
        ),
    ]
    for signs, text in said:
        both = signs[:1] in (("role",), ("database",))
        if all(one in lower for one in signs) if both else any(one in lower for one in signs):
            return StoreError(f"{where} {text}.")
    return StoreError(f"{where} lets nobody in: {line}")


def _detail(error: psycopg.Error) -> str:
    return error.diag.message_detail or line_of(error)
