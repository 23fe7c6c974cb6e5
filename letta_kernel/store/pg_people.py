"""Persons in PostgreSQL: each a role that can log in, and a schema of its own that no other role sees."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import sql

from letta_kernel.errors import ConflictError, InvalidInputError, StoreError
from letta_kernel.store import pg_connection, pg_errors, pg_reader
from letta_kernel.store.pg_address import address
from letta_kernel.store.pg_connection import Connection

_BYTES = 24  # of chance in a password
_AT_ONCE = 500  # schemas in a statement: a server has 6,400 locks if nobody has given it more


def with_project(url: str, schema: str, role: str | None = None) -> str:
    """Return the address of a project in the database of *url*, as *role* has it if one is named.

    The connection is the administrator's; from its start it acts as the role, which the database checks.
    """
    base, _, query = url.strip().partition("?")
    options = [one for one in parse_qsl(query, keep_blank_values=True) if one[0] != "project"]
    if role is not None:
        given = " ".join(value for key, value in options if key == "options")
        options = [one for one in options if one[0] != "options"]
        options.append(("options", f"{given} -c role={role}".strip()))
    return f"{base}?{urlencode([*options, ('project', schema)], quote_via=quote)}"


def with_role(url: str, role: str, password: str) -> str:
    """Return how a person reaches their project: with a role and a password of their own."""
    base, _, query = url.strip().partition("?")
    scheme, _, rest = base.partition("://")
    _, _, place = rest.rpartition("@")
    options = [
        one
        for one in parse_qsl(query, keep_blank_values=True)
        if one[0] not in ("project", "user", "password", "options")
    ]
    left = f"?{urlencode(options, quote_via=quote)}" if options else ""
    return f"{scheme}://{quote(role)}:{quote(password)}@{place}{left}"


def connect(url: str) -> Connection:
    """Return a connection of the administrator's; `StoreError` if none can be had."""
    return pg_connection.connect(address(url, Path()))


def make(url: str, name: str) -> str:
    """Make a role that can log in, and a schema of its own; return the role's password.

    Raises
    ------
    ConflictError
        There is a role or a schema of that name already.
    StoreError
        The administrator may not.
    """
    password = secrets.token_urlsafe(_BYTES)
    role = sql.Identifier(name)
    with _explained(url), connect(url) as connection, connection.transaction():
        taken = connection.execute(
            "SELECT 'role' FROM pg_roles WHERE rolname = $1"
            " UNION ALL SELECT 'schema' FROM pg_namespace WHERE nspname = $1",
            [name],
        ).fetchone()
        if taken is not None:
            raise ConflictError(f"There is a {taken[0]} {name!r} in the database already.")
        # Hashed here: no log of the server ever has it.
        hashed = connection.pgconn.encrypt_password(
            password.encode(), name.encode(), b"scram-sha-256"
        ).decode()
        steps = (
            sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                role, sql.Literal(hashed)
            ),
            sql.SQL("GRANT {} TO CURRENT_USER").format(role),
            sql.SQL("CREATE SCHEMA {0} AUTHORIZATION {0}").format(role),
        )
        for step in steps:
            connection.execute(step.as_string(connection))
        # The administrator, too: whoever drops a role, or acts as one, must be a member of it.
        pg_reader.create(connection, name, name, _self(connection))
    return password


def remove(url: str, name: str) -> None:
    """Drop a person's schema, with all that is in it, and the role."""
    role = sql.Identifier(name)
    with _explained(url), connect(url) as connection, connection.transaction():
        pg_reader.drop(connection, name)
        there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [name]).fetchone()
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(role).as_string())
        if there is not None:
            # What else the role was given in this database, too.
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role).as_string())
            connection.execute(sql.SQL("DROP ROLE {}").format(role).as_string())


def _self(connection: Connection) -> str:
    row = connection.execute("SELECT current_user").fetchone()
    return str(row[0]) if row else ""


_MENTIONED = sql.SQL("SELECT {owner} FROM {schema}.grants WHERE guest = $1")
_GRANTED = sql.SQL(
    "SELECT {owner}, g.id, g.agent_id, g.rights, g.tools, a.name, a.description, a.model, a.style,"
    " a.created_at, a.updated_at, a.created_by FROM {schema}.grants g JOIN {schema}.agents a"
    " ON a.id = g.agent_id WHERE g.guest = $1 AND a.deleted_at IS NULL AND NOT a.set_aside"
)


def granted(connection: Connection, names: Sequence[str], guest: str) -> list[tuple[Any, ...]]:
    """Return what is granted to somebody in the schemas of *names*.

    Few statements, however many schemas there are: whose grants name the guest, and what these say.
    """
    found = connection.execute(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = 'grants' AND c.relkind = 'r' AND n.nspname = ANY($1::text[]) ORDER BY 1",
        [list(names)],
    ).fetchall()
    owners = [str(owner) for (owner,) in found]
    mentioned = sorted({str(row[0]) for row in _in_all(connection, _MENTIONED, owners, guest)})
    return _in_all(connection, _GRANTED, mentioned, guest)


def _in_all(
    connection: Connection, question: sql.SQL, owners: Sequence[str], guest: str
) -> list[tuple[Any, ...]]:
    """Return the answers of all schemas, of so many in a statement: it locks every table that it names."""
    rows: list[tuple[Any, ...]] = []
    for first in range(0, len(owners), _AT_ONCE):
        texts = [
            question.format(owner=sql.Literal(owner), schema=sql.Identifier(owner))
            for owner in owners[first : first + _AT_ONCE]
        ]
        text = sql.SQL(" UNION ALL ").join(texts).as_string(connection)
        rows += connection.execute(text, [guest], prepare=question is _MENTIONED).fetchall()
    return rows


class _explained:
    """Says what the database refuses an administrator, in one line without a password."""

    def __init__(self, url: str) -> None:
        self._place = address(url, Path()).place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise InvalidInputError(
                f"This role may not make or drop persons in {self._place}: name one with CREATEROLE, and"
                " CREATE on the database."
            ) from None
        if isinstance(error, psycopg.Error):
            explained = pg_errors.explain(error, self._place)
            raise explained if isinstance(explained, StoreError) else StoreError(str(explained))
