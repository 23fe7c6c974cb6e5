"""Who reads the rows of a project in PostgreSQL for a person's query: a role that may do nothing else.

The query itself never reaches the server: it is answered in a database of its own (`view_query`), in one SQL
for all engines, of which the server's functions, files, sessions and catalogues are no part. What it is
answered from is read by this role, so that not even a fault of ours there could read another column, table or
schema, or write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from letta_kernel.errors import StoreError
from letta_kernel.ids import digest
from letta_kernel.store.pg_address import Address
from letta_kernel.store.view_rows import READS

Connection = psycopg.Connection[tuple[Any, ...]]

_POWERS = (
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
)
_TOO_MUCH = """
    SELECT r.rolname, r.rolsuper FROM pg_roles r WHERE r.rolname IN (session_user, current_user) AND (
        r.rolsuper OR r.rolbypassrls OR r.rolreplication OR EXISTS (
            SELECT FROM pg_roles p WHERE p.rolname = ANY($1::text[]) AND pg_has_role(r.oid, p.oid, 'MEMBER')
        )
    )
"""
# Whoever may act as the reader must see as much without it: then it opens the project to nobody.
_STATE = """
    SELECT
        r.rolsuper OR r.rolbypassrls OR r.rolreplication OR r.rolcreaterole OR r.rolcreatedb OR r.rolcanlogin
            OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid),
        ARRAY (
            SELECT pg_get_userbyid(m.member)::text FROM pg_auth_members m JOIN pg_namespace n ON n.nspname = $2
            WHERE m.roleid = r.oid AND NOT pg_has_role(m.member, n.nspowner, 'MEMBER')
            AND NOT coalesce((
                SELECT has_table_privilege(m.member, c.oid, 'SELECT') FROM pg_class c
                WHERE c.relnamespace = n.oid AND c.relname = 'messages'
            ), false)
        ),
        pg_has_role(current_user, r.oid, 'MEMBER')
    FROM pg_roles r WHERE r.rolname = $1
"""
_UNREAD = """
    SELECT count(*) FROM unnest($2::text[], $3::text[]) AS w(relation, attribute)
    JOIN pg_namespace n ON n.nspname = $4 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation
    WHERE NOT has_schema_privilege($1::text, n.oid, 'USAGE')
        OR NOT has_column_privilege($1::text, c.oid, w.attribute, 'SELECT')
"""


def called(connection: Connection, schema: str) -> str:
    """Return the reader's name: roles are the whole server's, schemas one database's."""
    row = connection.execute("SELECT current_database()").fetchone()
    short = schema.encode()[:40].decode(errors="ignore")
    return f"{short}_reader_{digest(f'{row and row[0]}/{schema}', 8)}"


def powerful(connection: Connection) -> tuple[str, bool] | None:
    """Return the role here that may do too much, and whether it is a superuser; None for an ordinary one."""
    row = connection.execute(_TOO_MUCH, [list(_POWERS)]).fetchone()
    return (str(row[0]), bool(row[1])) if row else None


def create(connection: Connection, schema: str, *users: str) -> None:
    """Make the reader if it is not there, for the roles *users*; the driver's error if this role may not."""
    for one in _creating(connection, schema, *users):
        connection.execute(one.as_string(connection))


def grant(connection: Connection, schema: str) -> None:
    """Let the reader, if there is one, read what the views name; the driver's error if this role may not."""
    name = called(connection, schema)
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [name]).fetchone() is None:
        return
    within, reader = sql.Identifier(schema), sql.Identifier(name)
    texts = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(within, reader),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(within, reader),
    ]
    for table, columns in READS.items():
        read = sql.SQL(", ").join(map(sql.Identifier, columns))
        place = sql.Identifier(schema, table)
        texts.append(sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(read, place, reader))
    connection.execute(sql.SQL("; ").join(texts).as_string(connection))


def attempt(connection: Connection, schema: str) -> None:
    """Make the reader and let it read, where this role may; within a transaction."""
    if powerful(connection) is not None:
        return  # is refused anyway, and whose project it will be is not known
    for step in (create, grant):
        # `ready` says what is missing, to who asks.
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            step(connection, schema)


def ready(connection: Connection, address: Address, schema: str) -> str:
    """Return the role that reads for queries, as it should be.

    Raises
    ------
    StoreError
        There is none, or the role here is refused; the text says how to mend it.
    """
    if (role := powerful(connection)) is not None:
        what = "is a superuser" if role[1] else "may read or write more than its own"
        raise StoreError(
            f"Queries are not answered for the role {role[0]!r} of {address.place}, which {what}: name one in"
            " LETTA_STORE that owns this project alone (docs/how-to/postgresql.md has the statements).",
            page="postgresql",
        )
    name = called(connection, schema)
    state = _state(connection, name, schema)
    if state is None or not state[2]:
        try:
            with _alone(connection, schema):
                create(connection, schema)
        except psycopg.errors.InsufficientPrivilege:
            texts = [one.as_string(connection) for one in _creating(connection, schema)]
            raise StoreError(
                f"Queries need a role that only reads project {schema!r} in {address.place}, and this one may"
                f" not make it: let an administrator run {'; '.join(texts)}",
                page="postgresql",
            ) from None
        state = _state(connection, name, schema)
    if state is None or state[0] or state[1]:
        others = f", and {', '.join(state[1])} may use it" if state and state[1] else ""
        raise StoreError(
            f"Queries are not answered: the role {name!r} may more than read this project{others}. Let an"
            f' administrator run DROP OWNED BY "{name}"; DROP ROLE "{name}", then ask again.',
            page="postgresql",
        )
    if _unread(connection, name, schema):
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), _alone(connection, schema):
            grant(connection, schema)
        if _unread(connection, name, schema):
            raise StoreError(
                f"Queries need what the role {name!r} may not read yet: let the project's owner ask one first.",
                page="postgresql",
            )
    return name


def drop(connection: Connection, schema: str) -> None:
    """Drop the reader, if there is one, with all it was given in this database."""
    name = called(connection, schema)
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [name]).fetchone():
        for text in ("DROP OWNED BY {}", "DROP ROLE {}"):
            connection.execute(sql.SQL(text).format(sql.Identifier(name)).as_string(connection))


@contextlib.contextmanager
def _alone(connection: Connection, schema: str) -> Iterator[None]:
    """Do what is in this block in one transaction, and not while another process does the same."""
    with connection.transaction():
        lock(connection, schema)
        yield


def lock(connection: Connection, schema: str) -> None:
    """Wait until no other transaction makes or changes this project."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", [f"letta-kernel {schema}"])


def _creating(connection: Connection, schema: str, *users: str) -> Iterator[sql.Composed]:
    name = called(connection, schema)
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [name]).fetchone() is None:
        yield sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name))
    who = users or [str(row[0]) for row in connection.execute("SELECT current_user").fetchall()]
    for user in who:
        yield sql.SQL("GRANT {} TO {}").format(sql.Identifier(name), sql.Identifier(user))


def _state(connection: Connection, name: str, schema: str) -> tuple[Any, ...] | None:
    return connection.execute(_STATE, [name, schema]).fetchone()


def _unread(connection: Connection, name: str, schema: str) -> bool:
    pairs = [(table, column) for table, columns in READS.items() for column in columns]
    tables, columns = (list(one) for one in zip(*pairs, strict=True))
    row = connection.execute(_UNREAD, [name, tables, columns, schema]).fetchone()
    return row is None or row[0] > 0
