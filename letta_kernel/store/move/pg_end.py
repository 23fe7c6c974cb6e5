"""One end of a move that is a project in PostgreSQL.

While it is moved, and afterwards, triggers refuse what others write, also by connections that were open before.
As long as it is only read from, they do so while the mover's session lives: once that is gone, whatever became
of the mover, they let everybody in again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from letta_kernel import settings
from letta_kernel.concurrency import obey_stop
from letta_kernel.errors import (
    InvalidInputError,
    NotFoundError,
    ReadOnlyError,
    StoreBusyError,
    StoreError,
)
from letta_kernel.store import moved, pg_connection, pg_errors
from letta_kernel.store.driver import Conflict
from letta_kernel.store.move.end import PAGE_ROWS, End, planned, single
from letta_kernel.store.move.shapes import Row, Shape
from letta_kernel.store.moved import Note
from letta_kernel.store.pg_address import address
from letta_kernel.store.pg_connection import Connection
from letta_kernel.store.pg_transaction import Clock, Level, PgTx, begins, ends
from letta_kernel.store.transaction import Tx

_GUARD = "letta_move"
"""The function of the triggers."""
_LOCK = "hashtextextended('letta-kernel move ' || {schema}, 0)"
_POLL = 0.1  # seconds between two looks for a lock


class PgEnd(End):
    """The project that *url* names, as in ``LETTA_STORE``, for the project folder *home*."""

    def __init__(self, url: str, home: Path) -> None:
        self._address = address(url, home)
        if self._address.pooled:
            raise InvalidInputError(
                "A project is moved without a pooler: name the server itself, without pooler=transaction."
            )
        self.shown = self._address.shown
        self._schema = self._address.project
        self._said = ""
        self._open: Connection | None = None  # it has the lock, and writes
        self._reader: Connection | None = None
        self._guarded = False  # by triggers that end with this session

    def exists(self) -> bool:
        """Whether there is such a project."""
        with contextlib.closing(self._connected()) as connection, self._explained():
            return pg_connection.version(connection, self._schema) is not None

    def open(self, said: str, *, make: bool) -> None:
        """Take the move's lock of the project, and keep others from writing."""
        self._said = said
        self._open = self._connected()
        with self._explained():
            self._lock()
            if not make and pg_connection.version(self._open, self._schema) is None:
                raise NotFoundError(f"There is no project in {self.shown}.")
            self._open.execute("SET letta.move = 'mover'")
            refusal = pg_connection.bring_up_to_date(
                self._open, self._address, self._schema, moving=True
            )
            if refusal is not None:
                raise ReadOnlyError(refusal)
            self._settle(self._open)
            self._reader = self._connected()
            self._settle(self._reader)
            if self.note() is None:
                self._guard(
                    moved.BUSY,
                    f"{self.shown} cannot be written now: {said} goes on. Wait for its end.",
                    lasting=False,
                )

    def close(self) -> None:
        """Let others write again, unless a note stands in it, and let go of it."""
        opened, self._open = self._open, None
        reader, self._reader = self._reader, None
        for connection in (reader, opened):
            if connection is None:
                continue
            with contextlib.suppress(psycopg.Error):
                if connection is opened and self._guarded:
                    connection.execute(f"DROP FUNCTION IF EXISTS {_GUARD}() CASCADE")
            connection.close()
        self._guarded = False

    def note(self) -> Note | None:
        """Return what stands in it of a move."""
        row = self._query("SELECT value FROM settings WHERE key = $1", [moved.KEY])
        return moved.read(row[0][0] if row else None)

    def put_note(self, note: Note | None) -> None:
        """Keep a note, or none; connections that are open already learn of it when they write."""
        with self._explained():
            with self._connection.transaction():
                moved.keep(self._connection.execute, note)
            if note is None:
                self._connection.execute(f"DROP FUNCTION IF EXISTS {_GUARD}() CASCADE")
                self._guarded = False
            else:
                self._guard(moved.GONE, moved.line(note, self.shown), lasting=True)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Tx]:
        """Give a transaction that is only read."""
        begin, end = begins(self._schema, Level.LOOK), ends(self._schema)
        tx = PgTx(self._reading, begin, end, self.shown, Clock(), "It is being moved.")
        try:
            yield tx
        finally:
            tx.end()
            with contextlib.suppress(psycopg.Error):
                self._reading.execute("ROLLBACK")

    def count(self, shape: Shape) -> int:
        """Return how many rows of a table are to be copied."""
        found = self._query(f'SELECT count(*) FROM "{shape.name}" WHERE {shape.condition}')
        return int(found[0][0])

    def pages(self, shape: Shape) -> Iterator[Sequence[Row]]:
        """Yield the rows of a table, all as they were when the first was asked for."""
        reader, by = self._reading, _by(shape)
        of = f'FROM "{shape.name}" WHERE {shape.condition}{by}'
        with self._explained():
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                found = reader.execute(
                    f'SELECT count(*), coalesce(sum({_size(shape)}), 0) FROM "{shape.name}"'
                    f" WHERE {shape.condition}"
                ).fetchone()
                plan = single(*(found or (0, 0)))
                if plan is None:
                    plan = planned(self._sizes(shape, of))
                reader.execute(f"DECLARE moved_rows CURSOR FOR SELECT {shape.names} {of}")
                for page in plan:
                    self._connection.execute("SELECT 1")  # the right to be here alone is still ours
                    yield reader.execute(f"FETCH {page.rows} FROM moved_rows").fetchall()
            finally:
                with contextlib.suppress(psycopg.Error):
                    reader.execute("ROLLBACK")

    def _sizes(self, shape: Shape, of: str) -> Iterator[tuple[Row, int]]:
        self._reading.execute(f"DECLARE moved_sizes CURSOR FOR SELECT {_size(shape)} {of}")
        while rows := self._reading.execute(f"FETCH {PAGE_ROWS} FROM moved_sizes").fetchall():
            yield from (((), row[0]) for row in rows)
        self._reading.execute("CLOSE moved_sizes")

    def write(
        self, shape: Shape, rows: Sequence[Row], gone: Sequence[Row] = (), note: Note | None = None
    ) -> None:
        """Take out the rows with the keys *gone*, put in *rows*, keep *note*, and commit."""
        connection = self._connection
        where = " AND ".join(f'"{name}" = ${n}' for n, name in enumerate(shape.key, start=1))
        with self._explained(), connection.transaction():
            for key in gone:
                connection.execute(f'DELETE FROM "{shape.name}" WHERE {where}', list(key))
            if rows:
                into = f'COPY "{shape.name}" ({shape.names}) FROM STDIN'
                with connection.cursor() as cursor, cursor.copy(into) as copy:
                    for row in rows:
                        copy.write_row(row)
            if note is not None:
                moved.keep(connection.execute, note)

    def clear(self, shape: Shape) -> None:
        """Take out all rows of a table and commit."""
        with self._explained():
            self._connection.execute(f'DELETE FROM "{shape.name}" WHERE {shape.condition}')

    # -- connections -----------------------------------------------------------------------------------

    @property
    def _connection(self) -> Connection:
        if self._open is None:
            raise StoreError(f"{self.shown} is not open.")
        return self._open

    @property
    def _reading(self) -> Connection:
        if self._reader is None:
            raise StoreError(f"{self.shown} is not open.")
        return self._reader

    def _connected(self) -> Connection:
        connection = pg_connection.connect(self._address)
        if not self._schema:
            with self._explained():
                row = connection.execute("SELECT current_user").fetchone()
                self._schema = str(row[0] if row else "")
        return connection

    def _settle(self, connection: Connection) -> None:
        connection.execute(
            f"SET search_path = {sql.Identifier(self._schema).as_string()}; SET TimeZone = 'UTC';"
            " SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
            f" SET lock_timeout = '{int(settings.STORE_WAIT() * 1000)}ms'; SET letta.move = 'mover'"
        )

    def _query(self, text: str, params: Sequence[Any] = ()) -> list[Row]:
        with self._explained():
            return self._connection.execute(text, list(params)).fetchall()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            explained = pg_errors.explain(error, self.shown)
            if isinstance(explained, Conflict):
                explained = StoreBusyError(
                    f"{self.shown} is in use ({explained}): wait for who uses it, or end that."
                )
            elif isinstance(explained, pg_errors.ConnectionLost):
                explained = StoreError(f"The connection to {self.shown} broke: {explained}")
            raise explained from error

    # -- keeping others away ---------------------------------------------------------------------------

    def _lock(self) -> None:
        """Take the lock that one mover of this project has, for as long as the connection lives."""
        until = time.monotonic() + settings.STORE_WAIT()
        asked = f"SELECT pg_try_advisory_lock({_LOCK.format(schema='$1::text')})"
        while not (self._connection.execute(asked, [self._schema]).fetchone() or (False,))[0]:
            if time.monotonic() > until:
                raise StoreBusyError(
                    f"{self.shown} is being moved by another process: wait for its end, or stop it."
                )
            obey_stop()
            time.sleep(_POLL)

    def _guard(self, code: str, text: str, *, lasting: bool) -> None:
        """Refuse what others write, with *text*; if not *lasting*, only while this session lives."""
        free = "current_setting('letta.move', true) = 'mover'"
        if not lasting:
            free += f" OR pg_try_advisory_xact_lock_shared({_LOCK.format(schema=_quoted(self._schema))})"
        body = (
            f"BEGIN IF {free} THEN RETURN NULL; END IF;"
            f" RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = {_quoted(text)}; END"
        )
        connection = self._connection
        self._guarded = not lasting
        with self._explained():
            connection.execute(
                f"CREATE OR REPLACE FUNCTION {_GUARD}() RETURNS trigger LANGUAGE plpgsql AS {_quoted(body)}"
            )
            tables = self._query(
                "SELECT relname FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'"
                " AND NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgname = $2)",
                [sql.Identifier(self._schema).as_string(), _GUARD],
            )
            for (
                table,
            ) in tables:  # one by one: each waits for who writes to it, and holds nothing else
                connection.execute(
                    f'CREATE TRIGGER {_GUARD} BEFORE INSERT OR UPDATE OR DELETE ON "{table}"'
                    f" FOR EACH STATEMENT EXECUTE FUNCTION {_GUARD}()"
                )


def _quoted(text: str) -> str:
    return sql.Literal(text).as_string()


def _by(shape: Shape) -> str:
    """Return the order of a table's key, by which both engines and Python sort alike."""
    kinds = dict(shape.columns)
    keys = [f'"{one}"' + (' COLLATE "C"' if kinds[one] == "VARCHAR" else "") for one in shape.key]
    return f" ORDER BY {', '.join(keys)}" if keys else ""


def _size(shape: Shape) -> str:
    """Return how many bytes a row takes, about, as an expression."""
    parts = ["64"]
    for name, kind in shape.columns:
        if kind in ("BLOB", "VARCHAR"):
            parts.append(f'coalesce(octet_length("{name}"), 0)')
        elif kind in ("JSON", "VARCHAR[]"):
            parts.append(f'coalesce(octet_length("{name}"::text), 0)')
        else:
            parts.append("8")
    return " + ".join(parts)
