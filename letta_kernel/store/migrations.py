"""The tables, as a numbered list of SQL; `opening` brings a database file up to date with it.

The same text is meant for PostgreSQL: plain types, no foreign keys, no identity columns. Never
change an entry of `MIGRATIONS` once it has been released; append another.
"""

from __future__ import annotations

from letta_kernel.store.first_migrations import FIRST

SEAL = "-- Secrets are sealed."
REWRITE = "-- The file is written anew, so that nothing stays in it of what was taken out."
"""What no SQL can do; `opening` does it."""

MIGRATIONS: list[str] = [
    *FIRST,
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
    """
    ALTER TABLE tools ADD COLUMN network boolean DEFAULT true;
    """,
    """
    ALTER TABLE steps ADD COLUMN beside json DEFAULT '[]';
    """,
    SEAL,
    REWRITE,
    """
    CREATE TABLE access_tokens (
        id text PRIMARY KEY,
        name text NOT NULL,
        digest text NOT NULL,
        agent_id text,
        rights text NOT NULL,
        expires_at timestamptz,
        used_at timestamptz,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    """,
    """
    ALTER TABLE passages ADD COLUMN step_id text;
    ALTER TABLE passages ADD COLUMN reason text;
    """,
    """
    ALTER TABLE messages ADD COLUMN stdout text DEFAULT '';
    ALTER TABLE messages ADD COLUMN stderr text DEFAULT '';
    ALTER TABLE messages ADD COLUMN elsewhere boolean DEFAULT false;
    ALTER TABLE messages ADD COLUMN asked text[] DEFAULT ARRAY[]::text[];
    ALTER TABLE agent_tools ADD COLUMN asks boolean;
    """,
    """
    ALTER TABLE passages ADD COLUMN superseded_by text;
    ALTER TABLE passages ADD COLUMN superseded_at timestamptz;
    CREATE TABLE forgotten (
        id text PRIMARY KEY,
        agent_id text NOT NULL,
        passage json NOT NULL,
        forgotten_at timestamptz NOT NULL
    );
    """,
    """
    ALTER TABLE messages ADD COLUMN sender_id text;
    ALTER TABLE messages ADD COLUMN group_id text;
    ALTER TABLE runs ADD COLUMN asked_by text;
    ALTER TABLE runs ADD COLUMN asked_call text;
    """,
    """
    ALTER TABLE messages ADD COLUMN otid text;
    """,
    """
    ALTER TABLE mcp_servers ADD COLUMN sse boolean DEFAULT false;
    """,
    """
    CREATE TABLE groups (
        id text PRIMARY KEY,
        name text NOT NULL,
        description text NOT NULL,
        manager_type text NOT NULL,
        agent_ids text[] NOT NULL,
        shared_block_ids text[] NOT NULL,
        manager_agent_id text,
        termination_token text,
        max_turns integer,
        sleeptime_agent_frequency integer,
        sleeptime_propose_only boolean,
        turns_counter integer,
        last_processed_message_id text,
        hidden boolean NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE group_messages (
        id text PRIMARY KEY,
        group_id text NOT NULL,
        seq bigint NOT NULL,
        sender_id text,
        name text NOT NULL,
        content text NOT NULL,
        pictures json NOT NULL,
        run_id text,
        created_at timestamptz NOT NULL
    );
    CREATE TABLE group_agents (
        group_id text NOT NULL,
        agent_id text NOT NULL,
        heard bigint NOT NULL,
        PRIMARY KEY (group_id, agent_id)
    );
    ALTER TABLE runs ADD COLUMN group_id text;
    """,
    """
    CREATE TABLE sleeps (
        id text PRIMARY KEY,
        group_id text NOT NULL,
        agent_id text NOT NULL,
        sleeper_id text NOT NULL,
        message_id text NOT NULL,
        upto bigint NOT NULL,
        upto_id text NOT NULL,
        review boolean NOT NULL,
        owner text NOT NULL,
        status text NOT NULL,
        run_id text,
        note text NOT NULL,
        told boolean NOT NULL,
        created_at timestamptz NOT NULL,
        ended_at timestamptz
    );
    CREATE TABLE proposals (
        id text PRIMARY KEY,
        sleep_id text NOT NULL,
        agent_id text NOT NULL,
        kind text NOT NULL,
        block_id text,
        label text NOT NULL,
        version bigint NOT NULL,
        before text NOT NULL,
        after text NOT NULL,
        reason text NOT NULL,
        tags text[] NOT NULL,
        supersedes text[] NOT NULL,
        step_id text,
        status text NOT NULL,
        created_at timestamptz NOT NULL,
        decided_at timestamptz
    );
    """,
    """
    ALTER TABLE agents ADD COLUMN inherits json DEFAULT '[]';
    ALTER TABLE agents ADD COLUMN first_seq bigint DEFAULT 0;
    ALTER TABLE agents ADD COLUMN first_passage bigint DEFAULT 0;
    ALTER TABLE agents ADD COLUMN purpose text DEFAULT '';
    ALTER TABLE agents ADD COLUMN deleted_at timestamptz;
    ALTER TABLE conversations ADD COLUMN first_seq bigint DEFAULT 0;
    ALTER TABLE steps ADD COLUMN configuration text;
    ALTER TABLE steps ADD COLUMN window_start bigint;
    ALTER TABLE steps ADD COLUMN summary_id text;
    ALTER TABLE steps ADD COLUMN passages bigint;
    CREATE TABLE configurations (
        id text PRIMARY KEY,
        value json NOT NULL,
        created_at timestamptz NOT NULL
    );
    CREATE TABLE tool_versions (
        id text PRIMARY KEY,
        tool json NOT NULL,
        created_at timestamptz NOT NULL
    );
    CREATE TABLE branches (
        id text PRIMARY KEY,
        agent_id text NOT NULL,
        inherits json NOT NULL,
        window_start bigint NOT NULL,
        summary_id text,
        configuration text NOT NULL,
        blocks json NOT NULL,
        reason text NOT NULL,
        left_at bigint NOT NULL,
        run_id text,
        step_id text,
        created_at timestamptz NOT NULL
    );
    """,
    """
    ALTER TABLE steps ADD COLUMN request json DEFAULT '{}';
    CREATE TABLE request_parts (
        agent_id text NOT NULL,
        id text NOT NULL,
        value json NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (agent_id, id)
    );
    """,
    """
    ALTER TABLE messages ADD COLUMN edits json;
    """,
    """
    ALTER TABLE passages ADD COLUMN kept_at timestamptz;
    ALTER TABLE agents ADD COLUMN line bigint DEFAULT 0;
    ALTER TABLE branches ADD COLUMN line bigint DEFAULT 0;
    ALTER TABLE agent_archives ADD COLUMN seen json;
    ALTER TABLE agent_folders ADD COLUMN seen json;
    ALTER TABLE archives ADD COLUMN deleted_at timestamptz;
    ALTER TABLE folders ADD COLUMN deleted_at timestamptz;
    ALTER TABLE files ADD COLUMN deleted_at timestamptz;
    CREATE TABLE passage_versions (
        id text PRIMARY KEY,
        passage_id text NOT NULL,
        owner_id text NOT NULL,
        seq bigint NOT NULL,
        place bigint NOT NULL,
        since timestamptz,
        until timestamptz
    );
    CREATE TABLE passage_marks (
        agent_id text NOT NULL,
        line bigint NOT NULL,
        passage_id text NOT NULL,
        gone boolean NOT NULL,
        superseded_by text,
        marked_at timestamptz NOT NULL
    );
    CREATE TABLE passage_gaps (
        passage_id text PRIMARY KEY,
        owner_id text NOT NULL,
        seq bigint NOT NULL,
        created_at timestamptz NOT NULL,
        forgotten_at timestamptz NOT NULL
    );
    """,
    """
    CREATE TABLE line_links (
        agent_id text NOT NULL,
        line bigint NOT NULL,
        what text NOT NULL,
        owner_id text NOT NULL,
        seen json
    );
    """,
    """
    ALTER TABLE access_tokens ADD COLUMN "user" text;
    ALTER TABLE access_tokens ADD COLUMN teach boolean DEFAULT false;
    CREATE TABLE grants (
        id text PRIMARY KEY,
        agent_id text NOT NULL,
        guest text NOT NULL,
        rights text[] NOT NULL,
        tools text[] NOT NULL,
        conversation_id text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE people (
        id text PRIMARY KEY,
        name text NOT NULL,
        tokens_a_day bigint,
        dollars_a_day double precision,
        runs_at_once bigint,
        told_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        created_by text NOT NULL
    );
    CREATE TABLE uses (
        id text PRIMARY KEY,
        person text NOT NULL,
        owner text NOT NULL,
        agent_id text NOT NULL,
        tokens bigint NOT NULL,
        cost double precision,
        created_at timestamptz NOT NULL,
        ended_at timestamptz
    );
    CREATE TABLE known_grants (
        owner text PRIMARY KEY,
        stamp text NOT NULL,
        grants json NOT NULL
    );
    """,
    """
    ALTER TABLE leases ADD COLUMN stop text;
    ALTER TABLE runs ADD COLUMN background boolean DEFAULT false;
    CREATE TABLE claims (
        name text PRIMARY KEY,
        owner text NOT NULL,
        expires_at timestamptz NOT NULL,
        stop text
    );
    CREATE TABLE servers (
        id text PRIMARY KEY,
        owner text NOT NULL,
        address text NOT NULL,
        started_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL
    );
    """,
    """
    CREATE TABLE vector_tables (
        place text NOT NULL,
        stem text NOT NULL,
        pointer json,
        owner text,
        expires_at timestamptz,
        fence bigint NOT NULL,
        PRIMARY KEY (place, stem)
    );
    """,
]
"""Entry *n* brings a database from version *n* to *n* + 1."""
