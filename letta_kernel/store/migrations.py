"""The tables, as a numbered list of SQL, and how a database file is made and brought up to date.

The same text is meant for PostgreSQL: plain types, no foreign keys, no identity columns. Never
change an entry of `MIGRATIONS` once it has been released; append another.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import duckdb

from letta_kernel.errors import StoreError
from letta_kernel.ids import LOCAL_USER
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import problems

MIGRATIONS: list[str] = [
    f"""
    CREATE TABLE users (
        id text PRIMARY KEY,
        name text NOT NULL,
        created_at timestamptz NOT NULL
    );
    INSERT INTO users VALUES ('{LOCAL_USER}', 'local', CURRENT_TIMESTAMP);

    CREATE TABLE agents (
        id text PRIMARY KEY,
        name text NOT NULL,
        description text NOT NULL,
        model text,
        embedding text,
        style text NOT NULL,
        instructions text NOT NULL,
        max_steps integer NOT NULL,
        settings json NOT NULL,
        tool_rules json NOT NULL,
        tags text[] NOT NULL,
        metadata json NOT NULL,
        window_start bigint NOT NULL,
        summary_id text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE leases (
        agent_id text PRIMARY KEY,
        owner text,
        fence bigint NOT NULL,
        next_seq bigint NOT NULL,
        waiting boolean NOT NULL,
        expires_at timestamptz
    );
    CREATE TABLE counters (
        owner_id text NOT NULL,
        kind text NOT NULL,
        value bigint NOT NULL,
        PRIMARY KEY (owner_id, kind)
    );

    CREATE TABLE blocks (
        id text PRIMARY KEY,
        label text NOT NULL,
        value text NOT NULL,
        "limit" integer NOT NULL,
        description text NOT NULL,
        read_only boolean NOT NULL,
        tags text[] NOT NULL,
        metadata json NOT NULL,
        version integer NOT NULL,
        shown integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE agent_blocks (
        agent_id text NOT NULL,
        block_id text NOT NULL,
        position bigint NOT NULL,
        PRIMARY KEY (agent_id, block_id)
    );
    CREATE TABLE block_versions (
        block_id text NOT NULL,
        version integer NOT NULL,
        value text NOT NULL,
        actor text NOT NULL,
        step_id text,
        reason text NOT NULL,
        created_at timestamptz NOT NULL,
        undo_to integer,
        redo_to integer,
        PRIMARY KEY (block_id, version)
    );

    CREATE TABLE messages (
        id text PRIMARY KEY,
        agent_id text NOT NULL,
        seq bigint NOT NULL,
        run_id text,
        step_id text,
        role text NOT NULL,
        content text NOT NULL,
        reasoning text NOT NULL,
        thinking json NOT NULL,
        tool_calls json NOT NULL,
        tool_call_id text,
        name text,
        status text,
        interrupted boolean NOT NULL,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE tools (
        id text PRIMARY KEY,
        name text NOT NULL,
        description text NOT NULL,
        parameters json NOT NULL,
        source text NOT NULL,
        kind text NOT NULL,
        runs_in text NOT NULL,
        requires_approval boolean NOT NULL,
        parallel_safe boolean NOT NULL,
        return_limit integer NOT NULL,
        time_limit double precision,
        notebook text,
        cell_id text,
        tags text[] NOT NULL,
        metadata json NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE agent_tools (
        agent_id text NOT NULL,
        tool_id text NOT NULL,
        position bigint NOT NULL,
        PRIMARY KEY (agent_id, tool_id)
    );

    CREATE TABLE runs (
        id text PRIMARY KEY,
        agent_id text NOT NULL,
        status text NOT NULL,
        stop_reason text,
        error text,
        model text NOT NULL,
        steps integer NOT NULL,
        prompt_tokens bigint NOT NULL,
        completion_tokens bigint NOT NULL,
        cached_tokens bigint NOT NULL,
        reasoning_tokens bigint NOT NULL,
        cost double precision,
        first_token double precision,
        seconds double precision,
        created_at timestamptz NOT NULL,
        ended_at timestamptz,
        created_by text NOT NULL,
        notebook text,
        fence bigint NOT NULL
    );
    CREATE TABLE steps (
        id text PRIMARY KEY,
        run_id text NOT NULL,
        agent_id text NOT NULL,
        number integer NOT NULL,
        model text NOT NULL,
        stop_reason text,
        error text,
        prompt_tokens bigint NOT NULL,
        completion_tokens bigint NOT NULL,
        cached_tokens bigint NOT NULL,
        reasoning_tokens bigint NOT NULL,
        cost double precision,
        first_token double precision,
        seconds double precision,
        retrieved json NOT NULL,
        tool_stats json NOT NULL,
        created_at timestamptz NOT NULL
    );

    CREATE TABLE passages (
        id text PRIMARY KEY,
        agent_id text NOT NULL,
        seq bigint NOT NULL,
        content text NOT NULL,
        tags text[] NOT NULL,
        source text,
        position bigint NOT NULL,
        metadata json NOT NULL,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE index_marks (
        index_name text NOT NULL,
        agent_id text NOT NULL,
        kind text NOT NULL,
        seq bigint NOT NULL,
        PRIMARY KEY (index_name, agent_id)
    );
    CREATE TABLE outbox (
        id bigint PRIMARY KEY,
        index_name text NOT NULL,
        agent_id text NOT NULL,
        item_id text,
        action text NOT NULL,
        created_at timestamptz NOT NULL
    );

    CREATE TABLE settings (
        key text PRIMARY KEY,
        value text NOT NULL
    );
    """,
    """
    CREATE TABLE mcp_servers (
        id text PRIMARY KEY,
        name text NOT NULL,
        command text[] NOT NULL,
        url text NOT NULL,
        environment json NOT NULL,
        headers json NOT NULL,
        start_limit double precision NOT NULL,
        time_limit double precision NOT NULL,
        return_limit integer NOT NULL,
        requires_approval boolean NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    """,
    """
    CREATE TABLE archives (
        id text PRIMARY KEY,
        name text NOT NULL,
        description text NOT NULL,
        embedding text,
        metadata json NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE agent_archives (
        agent_id text NOT NULL,
        archive_id text NOT NULL,
        position bigint NOT NULL,
        PRIMARY KEY (agent_id, archive_id)
    );
    CREATE TABLE identities (
        id text PRIMARY KEY,
        identifier_key text NOT NULL,
        name text NOT NULL,
        identity_type text NOT NULL,
        properties json NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE agent_identities (
        agent_id text NOT NULL,
        identity_id text NOT NULL,
        PRIMARY KEY (agent_id, identity_id)
    );
    CREATE TABLE block_identities (
        block_id text NOT NULL,
        identity_id text NOT NULL,
        PRIMARY KEY (block_id, identity_id)
    );
    """,
    """
    CREATE TABLE conversations (
        id text PRIMARY KEY,
        agent_id text NOT NULL,
        summary text,
        description text,
        model text,
        settings json NOT NULL,
        hidden boolean NOT NULL,
        inherits json NOT NULL,
        window_start bigint NOT NULL,
        summary_id text,
        last_message_at timestamptz,
        archived_at timestamptz,
        deleted_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    ALTER TABLE messages ADD COLUMN conversation_id text;
    ALTER TABLE runs ADD COLUMN conversation_id text;
    """,
    """
    CREATE TABLE feedback (
        step_id text PRIMARY KEY,
        agent_id text NOT NULL,
        opinion text,
        tags text[] NOT NULL
    );
    """,
    """
    CREATE TABLE folders (
        id text PRIMARY KEY,
        name text NOT NULL,
        description text NOT NULL,
        instructions text NOT NULL,
        embedding text,
        metadata json NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE files (
        id text PRIMARY KEY,
        folder_id text NOT NULL,
        name text NOT NULL,
        original_name text NOT NULL,
        media_type text NOT NULL,
        size bigint NOT NULL,
        chunks integer NOT NULL,
        content text NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE agent_folders (
        agent_id text NOT NULL,
        folder_id text NOT NULL,
        position bigint NOT NULL,
        PRIMARY KEY (agent_id, folder_id)
    );
    CREATE TABLE agent_files (
        agent_id text NOT NULL,
        file_id text NOT NULL,
        is_open boolean NOT NULL,
        start_line integer,
        end_line integer,
        used_at timestamptz NOT NULL,
        PRIMARY KEY (agent_id, file_id)
    );
    """,
    """
    ALTER TABLE agents ADD COLUMN set_aside boolean DEFAULT false;
    """,
    """
    ALTER TABLE runs ADD COLUMN continues text;
    ALTER TABLE leases ADD COLUMN queue text;
    """,
    """
    UPDATE runs SET continues = earlier.id
    FROM (
        SELECT id AS later, lag(id) OVER thread AS id, lag(stop_reason) OVER thread AS reason
        FROM runs
        WINDOW thread AS (PARTITION BY agent_id, conversation_id ORDER BY created_at, id)
    ) AS earlier
    WHERE runs.id = earlier.later AND earlier.reason = 'requires_approval' AND EXISTS (
        SELECT 1 FROM steps
        WHERE run_id = runs.id AND number = 1 AND prompt_tokens = 0 AND completion_tokens = 0
    );
    UPDATE steps SET number = number - 1
    WHERE run_id IN (SELECT id FROM runs WHERE continues IS NOT NULL);
    UPDATE runs SET steps = greatest(steps - 1, 0) WHERE continues IS NOT NULL;
    """,
    """
    ALTER TABLE mcp_servers ADD COLUMN folder text DEFAULT '';
    """,
    """
    ALTER TABLE leases ADD COLUMN begun text;
    """,
    """
    ALTER TABLE leases ADD COLUMN posted text;
    """,
    """
    CREATE TABLE pictures (
        id text PRIMARY KEY,
        media_type text NOT NULL,
        data bytea NOT NULL,
        thumbnail bytea NOT NULL,
        created_at timestamptz NOT NULL
    );
    ALTER TABLE messages ADD COLUMN pictures json DEFAULT '[]';
    """,
]
"""Entry *n* brings a database from version *n* to *n* + 1."""


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
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer letta-kernel (schema {version}, this one knows"
            f" {len(MIGRATIONS)}).",
            remedy(Do.UPDATE),
        )
    if version == len(MIGRATIONS):
        return
    for number in range(version, len(MIGRATIONS)):
        connection.execute("BEGIN")
        try:
            connection.execute(MIGRATIONS[number])
            connection.execute("UPDATE schema_version SET version = $1", [number + 1])
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            raise
    connection.execute("CHECKPOINT")  # tables made in the log alone cost every later open
