"""How a database file is made and brought up to date."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from letta_kernel.errors import StoreError
from letta_kernel.ids import now
from letta_kernel.records import AgentState
from letta_kernel.store import agents, migrations, runs
from letta_kernel.store.database import Database

TABLES = [
    "access_tokens",
    "agent_archives",
    "agent_blocks",
    "agent_files",
    "agent_folders",
    "agent_identities",
    "agent_tools",
    "agents",
    "archives",
    "block_identities",
    "block_versions",
    "blocks",
    "branches",
    "claims",
    "configurations",
    "conversations",
    "counters",
    "feedback",
    "files",
    "folders",
    "forgotten",
    "grants",
    "group_agents",
    "group_messages",
    "groups",
    "identities",
    "index_marks",
    "known_grants",
    "leases",
    "line_links",
    "mcp_servers",
    "messages",
    "outbox",
    "passage_gaps",
    "passage_marks",
    "passage_versions",
    "passages",
    "people",
    "pictures",
    "proposals",
    "request_parts",
    "runs",
    "schema_version",
    "servers",
    "settings",
    "sleeps",
    "steps",
    "tool_versions",
    "tools",
    "users",
    "uses",
    "vector_tables",
]


@pytest.mark.duckdb
def test_a_new_database_has_all_tables_and_no_log(home: Path, database: Database) -> None:
    rows = database.run(
        lambda tx: tx.query("SELECT table_name FROM information_schema.tables ORDER BY table_name")
    )
    assert [row[0] for row in rows] == TABLES
    database.close()
    assert sorted(path.name for path in home.iterdir()) == [
        "backups",
        "letta.duckdb",
        "letta.lock",
    ]


def test_an_old_database_is_brought_up_to_date(
    home: Path, database: Database, ada: AgentState, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close()
    more = ["ALTER TABLE tools ADD COLUMN extra text; CREATE TABLE more (id text PRIMARY KEY)"]
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS + more)
    database.run(lambda tx: tx.execute("INSERT INTO more VALUES ('x')"))
    version = database.run(lambda tx: tx.one("SELECT version FROM schema_version"))
    assert version == (len(migrations.MIGRATIONS),)
    assert database.run(lambda tx: agents.get(tx, ada.id)) == ada


@pytest.mark.duckdb
def test_a_migration_that_fails_changes_nothing(
    home: Path, database: Database, ada: AgentState, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close()
    bad = ["CREATE TABLE more (id text)", "CREATE TABLE half (id text); SELECT no_such_function()"]
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS + bad)
        with pytest.raises(StoreError):
            database.run(lambda tx: tx.query("SELECT 1"))
    database.close()
    with duckdb.connect(database.path) as connection:
        names = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
        assert "more" in names  # the first of the two was finished
        assert "half" not in names
        found = connection.execute("SELECT version FROM schema_version").fetchone()
        assert found == (len(migrations.MIGRATIONS) + 1,)


@pytest.mark.duckdb
def test_remains_of_a_process_killed_while_making_it(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "letta.duckdb.new").write_bytes(b"half a file")
    (home / "letta.duckdb.new.wal").write_bytes(b"half a log")
    database = Database(home)
    assert database.run(lambda tx: tx.one("SELECT count(*) FROM agents")) == (0,)
    database.close()
    assert not list(home.glob("*.new*"))


@pytest.mark.duckdb  # no store in PostgreSQL was ever that old
def test_runs_of_before_that_went_on_from_an_approval_are_joined(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = next(n for n, sql in enumerate(migrations.MIGRATIONS) if "ADD COLUMN continues" in sql)
    made = now()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:before])
        old = Database(home)
        old.run(lambda tx: tx.execute("INSERT INTO leases VALUES ('a', NULL, 0, 1, false, NULL)"))
        for number, (name, reason) in enumerate(
            [("one", "requires_approval"), ("two", "end_turn"), ("three", "end_turn")]
        ):
            text = (
                "INSERT INTO runs (id, agent_id, status, stop_reason, model, steps, prompt_tokens,"
                " completion_tokens, cached_tokens, reasoning_tokens, created_at, created_by, fence)"
                " VALUES ($1, 'a', 'completed', $2, 'm', 2, 5, 1, 0, 0, $3, 'me', 1)"
            )
            begun = made + timedelta(seconds=number)
            old.run(lambda tx, t=text, v=(name, reason, begun): tx.execute(t, v))  # type: ignore[misc]
            for step, tokens in ((1, 5 * (name != "two")), (2, 5)):
                text = (
                    "INSERT INTO steps (id, run_id, agent_id, number, model, prompt_tokens,"
                    " completion_tokens, cached_tokens, reasoning_tokens, retrieved, tool_stats,"
                    " created_at) VALUES ($1, $2, 'a', $3, 'm', $4, 0, 0, 0, '[]', '[]', $5)"
                )
                values = (f"{name}-{step}", name, step, tokens, begun)
                old.run(lambda tx, t=text, v=values: tx.execute(t, v))  # type: ignore[misc]
        old.close()
    database = Database(home)
    found = database.run(lambda tx: runs.whole(tx, "a"))
    assert [(one.id, one.steps, one.stop_reason) for one in found] == [
        ("three", 2, "end_turn"),
        ("one", 3, "end_turn"),
    ]
    steps = database.run(lambda tx: runs.steps_of(tx, "two"))
    assert [step.number for step in steps] == [0, 1]
    database.close()
