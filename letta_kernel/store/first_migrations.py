"""The first twelve entries of `letta_kernel.store.migrations`: the tables as they were before pictures."""

from __future__ import annotations

from letta_kernel.ids import LOCAL_USER

FIRST: list[str] = [
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
]
"""They bring a new database to version 12. None may be added, taken out or changed."""
