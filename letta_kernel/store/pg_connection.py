"""Connections to PostgreSQL: how they are opened, what they read values as, how a project is made there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.adapt import Buffer, Loader

from letta_kernel.errors import ReadOnlyError, StoreError
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import migrations, moved, pg_errors, pg_reader, transaction
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
    "tcp_user_timeout": "60000",  # milliseconds: the same while an answer is waited for
}
CHANGES = "changes"
"""The sequence that counts the commits of a project (`pg_transaction.ends`)."""
_OLDEST = 13  # of PostgreSQL's versions; the tests pass with this one
_LOCK_WAIT = (
    10.0  # seconds that a statement waits for a row that another transaction changes, at most
)
_STOPPED = 60.0  # seconds after which the transaction of a client that does nothing is ended
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


def connect(address: Address, timeout: float | None = None) -> Connection:
    """Return a new connection, outside of any transaction.

    Parameters
    ----------
    timeout : seconds that it may take, if the address says nothing else; whole ones, from 2 to 10.

    Raises
    ------
    StoreError
        None can be had; the text says why.
    """
    failed: StoreError | None = None
    waits = {} if timeout is None else {"connect_timeout": str(min(10, max(2, round(timeout))))}
    try:
        given = psycopg.conninfo.conninfo_to_dict(address.conninfo)
        conninfo = psycopg.conninfo.make_conninfo("", **{**_DEFAULTS, **waits, **given})
        connection: Connection = psycopg.connect(
            conninfo, autocommit=True, cursor_factory=psycopg.RawCursor
        )
    except (psycopg.Error, OSError, UnicodeError) as error:
        failed = pg_errors.explain_connecting(error, address.place)
    if failed is not None:  # here, and not above: without the driver's own error behind it
        raise failed
    if (there := connection.info.server_version // 10_000) < _OLDEST:
        connection.close()
        raise StoreError(
            f"{address.place} is PostgreSQL {there}: letta-kernel needs {_OLDEST} or later.",
            page="postgresql",
        )
    for kind in ("json", "jsonb"):
        connection.adapters.register_loader(kind, _Text)
    connection.adapters.register_loader("numeric", _Number)
    connection.prepare_threshold = None if address.pooled else _PREPARE_AFTER
    connection.prepared_max = _PREPARED
    return connection


def limits(word: str, wait: float) -> str:
    """Return statements that limit how long others may take.

    Parameters
    ----------
    word : ``SET``, or ``SET LOCAL``.
    wait : seconds that a request waits for others.
    """
    known = {
        "statement_timeout": transaction.READ_LIMIT,
        "lock_timeout": max(0.05, min(_LOCK_WAIT, wait)),
        "idle_in_transaction_session_timeout": _STOPPED,
    }
    return "; ".join(f"{word} {name} = {round(1000 * value)}" for name, value in known.items())


def settle(connection: Connection, address: Address, wait: float = _LOCK_WAIT) -> None:
    """Set `limits` for as long as a connection lives, where it is ours for that long.

    Raises
    ------
    StoreError
        It does not act as the role it is to act as.
    """
    if not address.pooled:
        connection.execute(limits("SET", wait))
    if address.role and connection.execute("SELECT current_user").fetchone() != (address.role,):
        raise StoreError(
            f"{address.place} lets nobody act as {address.role}: if a pooler passes no options on, name the"
            " server itself.",
            page="postgresql",
        )


def version(connection: Connection, schema: str) -> int | None:
    """Return the version of a project's tables, None if there is no such project."""
    # Not to_regclass: it may not know yet what another has made while this one waited for its turn.
    found = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relname = 'schema_version'",
        [schema],
    ).fetchone()
    if found is None:
        return None
    row = connection.execute(
        sql.SQL("SELECT version FROM {}.schema_version").format(sql.Identifier(schema)).as_string()
    ).fetchone()
    return int(row[0]) if row else None


def check_version(found: int | None, where: str) -> None:
    """Raise a StoreError if the tables at *where* are of a version that this package does not know."""
    if found is not None and found > len(migrations.MIGRATIONS):
        raise StoreError(
            f"{where} was written by a newer letta-kernel (schema {found}, this one knows"
            f" {len(migrations.MIGRATIONS)}).",
            remedy(Do.UPDATE),
            page="store-newer",
        )


def changes(connection: Connection, schema: str) -> tuple[Any, ...] | None:
    """Return how many writes of a project were counted, and in what: one put back may count from before."""
    # The first is 1, called or not.
    text = sql.SQL("SELECT last_value, is_called, tableoid FROM {}")
    try:
        return connection.execute(
            text.format(sql.Identifier(schema, CHANGES)).as_string()
        ).fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
        # A role that may only read: it looks whether anybody has written anything to the server.
        return connection.execute("SELECT pg_current_snapshot()::text").fetchone()


def size(connection: Connection, schema: str) -> int:
    """Return how many bytes a project's tables take, with their indexes."""
    row = connection.execute(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'",
        [schema],
    ).fetchone()
    return int(row[0]) if row else 0


def vacuum(connection: Connection, address: Address, schema: str, tables: Sequence[str]) -> None:
    """Let the server overwrite what was deleted from *tables*."""
    named = sql.SQL(", ").join(sql.Identifier(schema, table) for table in tables)
    text = sql.SQL("VACUUM {}").format(named).as_string(connection)
    if (
        address.pooled
    ):  # what would be set here is another's the next moment; it is not limited there anyway
        connection.execute(text)
        return
    connection.execute("SET statement_timeout = 0")
    try:
        connection.execute(text)
    finally:
        connection.execute(f"SET statement_timeout = {round(1000 * transaction.READ_LIMIT)}")


def bring_up_to_date(
    connection: Connection,
    address: Address,
    schema: str,
    *,
    known: bool = False,
    moving: bool = False,
) -> str | None:
    """Make the project if it is not there, and run the migrations that are missing.

    Return why nothing can be written there; None where it can.

    Parameters
    ----------
    known : it was there before: it is not made anew.
    moving : it may be half a copy, or have moved.

    Raises
    ------
    StoreError
        The project was written by a newer version of this package, or is half a copy, or is known and there
        no more, or the role may not make it.
    """
    found = version(connection, schema)
    check_version(found, str(address))
    if found is None and known:
        raise StoreError(
            f"{address} is gone, which was there before: put it back, or start again to begin a new one.",
            page="postgresql",
        )
    refusal = _refusal(connection, address, schema)
    if found is not None and not moving:
        refusal = _moved(connection, address, schema) or refusal
    if found == len(migrations.MIGRATIONS):
        return refusal
    if refusal is not None:
        raise ReadOnlyError(refusal)
    with _explained(address, schema), connection.transaction():
        # One process at a time, whatever is there yet.
        pg_reader.lock(connection, schema)
        found = version(connection, schema)
        check_version(found, str(address))
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
        connection.execute(f"CREATE SEQUENCE IF NOT EXISTS {CHANGES}")
        connection.execute("UPDATE schema_version SET version = $1", [len(migrations.MIGRATIONS)])
        pg_reader.attempt(connection, schema)
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


def _moved(connection: Connection, address: Address, schema: str) -> str | None:
    """Return why nothing may be written into a project that has moved; StoreError if it is half a copy."""
    text = sql.SQL("SELECT value FROM {} WHERE key = $1").format(sql.Identifier(schema, "settings"))
    row = connection.execute(text.as_string(), [moved.KEY]).fetchone()
    return moved.refusal(str(row[0]) if row else None, address.shown)


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


@contextlib.contextmanager
def _explained(address: Address, schema: str) -> Any:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"There is no project {schema!r} in {address.place}, and this role may not make it: let an"
            f' administrator run CREATE SCHEMA "{schema}" AUTHORIZATION the role.',
            page="postgresql",
        ) from error
