"""Connections to PostgreSQL: how they are opened, what they read values as, how a project is made there."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
from psycopg import sql
from psycopg.adapt import Buffer, Loader

from letta_kernel.errors import ReadOnlyError, StoreError
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import migrations, pg_errors, transaction
from letta_kernel.store.pg_address import Address
from letta_kernel.store.pg_indexes import INDEXES

Connection = psycopg.Connection[tuple[Any, ...]]

_DEFAULTS = {
    "connect_timeout": "10",  # seconds
    "application_name": "letta-kernel",
    # A network that swallows packets is noticed after a minute, not after two hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
_LOCK_WAIT = 10  # seconds that a statement waits for a row that another transaction changes
_STOPPED = 60  # seconds after which the transaction of a client that does nothing is ended
_PREPARE_AFTER = 2  # uses of a statement
_PREPARED = 400  # statements kept prepared


class _Text(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _Number(Loader):
    """Sums of whole numbers are numeric here: whole again; everything else is a float."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


def connect(address: Address) -> Connection:
    """Return a new connection, outside of any transaction.

    Raises
    ------
    StoreError
        None can be had; the text says why.
    """
    failed: StoreError | None = None
    try:
        given = psycopg.conninfo.conninfo_to_dict(address.conninfo)
        conninfo = psycopg.conninfo.make_conninfo("", **{**_DEFAULTS, **given})
        connection: Connection = psycopg.connect(
            conninfo, autocommit=True, cursor_factory=psycopg.RawCursor
        )
    except (psycopg.Error, OSError, UnicodeError) as error:
        failed = pg_errors.explain_connecting(error, address.place)
    if failed is not None:  # here, and not above: without the driver's own error behind it
        raise failed
    for kind in ("json", "jsonb"):
        connection.adapters.register_loader(kind, _Text)
    connection.adapters.register_loader("numeric", _Number)
    connection.prepare_threshold = None if address.pooled else _PREPARE_AFTER
    connection.prepared_max = _PREPARED
    return connection


def limits(word: str) -> str:
    """Return statements that limit how long others may take; *word* is ``SET``, or ``SET LOCAL``."""
    known = {
        "statement_timeout": f"{transaction.READ_LIMIT:g}s",
        "lock_timeout": f"{_LOCK_WAIT}s",
        "idle_in_transaction_session_timeout": f"{_STOPPED}s",
    }
    return "; ".join(f"{word} {name} = '{value}'" for name, value in known.items())


def settle(connection: Connection, address: Address) -> None:
    """Set limits for as long as a connection lives, where it is ours for that long."""
    if not address.pooled:
        connection.execute(limits("SET"))


def version(connection: Connection, schema: str) -> int | None:
    """Return the version of a project's tables, None if there is no such project."""
    found = connection.execute("SELECT to_regclass($1)", [f'"{schema}".schema_version']).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute(
        sql.SQL("SELECT version FROM {}.schema_version").format(sql.Identifier(schema)).as_string()
    ).fetchone()
    return int(row[0]) if row else None


def is_up_to_date(connection: Connection, schema: str) -> bool:
    """Whether there is the project, as this version of the package makes it."""
    return version(connection, schema) == len(migrations.MIGRATIONS)


def bring_up_to_date(connection: Connection, address: Address, schema: str) -> str | None:
    """Make the project if it is not there, and run the migrations that are missing.

    Return why nothing can be written there; None where it can.

    Raises
    ------
    StoreError
        The project was written by a newer version of this package, or the role may not make it.
    """
    found = version(connection, schema)
    _check(found, address)
    refusal = _refusal(connection, address, schema)
    if found == len(migrations.MIGRATIONS):
        return refusal
    if refusal is not None:
        raise ReadOnlyError(refusal)
    with _explained(address, schema), connection.transaction():
        # One process at a time, whatever is there yet.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", [f"letta-kernel {schema}"])
        found = version(connection, schema)
        _check(found, address)
        if found is None:
            _create(connection, schema)
        connection.execute(
            sql.SQL("SET LOCAL search_path = {}; SET LOCAL statement_timeout = 0")
            .format(sql.Identifier(schema))
            .as_string()
        )
        for step in migrations.MIGRATIONS[found or 0 :]:
            connection.execute(step)
        for index in INDEXES:
            connection.execute(index)
        connection.execute("UPDATE schema_version SET version = $1", [len(migrations.MIGRATIONS)])
    return None


def _refusal(connection: Connection, address: Address, schema: str) -> str | None:
    row = connection.execute(
        "SELECT current_setting('transaction_read_only') = 'on', coalesce(("
        "SELECT has_table_privilege(c.oid, 'INSERT') FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'messages'), true)",
        [schema],
    ).fetchone()
    if row is not None and row[0]:
        return f"{address} can only be read: name the server that takes writes in LETTA_STORE."
    if row is not None and not row[1]:
        return f"{address} lets this role read alone: name another role in LETTA_STORE."
    return None


def _create(connection: Connection, schema: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = $1", [schema]).fetchone()
    name = sql.Identifier(schema)
    if known is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name).as_string())
    connection.execute(
        sql.SQL("CREATE TABLE {}.schema_version (version integer NOT NULL)")
        .format(name)
        .as_string()
    )
    connection.execute(sql.SQL("INSERT INTO {}.schema_version VALUES (0)").format(name).as_string())


def _check(found: int | None, address: Address) -> None:
    if found is not None and found > len(migrations.MIGRATIONS):
        raise StoreError(
            f"{address} was written by a newer letta-kernel (schema {found}, this one knows"
            f" {len(migrations.MIGRATIONS)}).",
            remedy(Do.UPDATE),
        )


@contextlib.contextmanager
def _explained(address: Address, schema: str) -> Any:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"There is no project {schema!r} in {address.place}, and this role may not make it: let an"
            f' administrator run CREATE SCHEMA "{schema}" AUTHORIZATION the role.'
        ) from error
