"""The indexes that PostgreSQL needs for the queries of a turn; DuckDB scans as quickly.

They are made after the migrations of `letta_kernel.store.migrations`, of which they name tables: an index
that is added comes to older projects with the next migration.
"""

from __future__ import annotations

INDEXES: list[str] = [
    f"CREATE INDEX IF NOT EXISTS {name} ON {columns}"
    for name, columns in (
        ("messages_agent", "messages (agent_id, seq)"),
        ("messages_step", "messages (step_id)"),
        ("passages_agent", "passages (agent_id, seq)"),
        ("runs_agent", "runs (agent_id, created_at)"),
        ("steps_run", "steps (run_id)"),
        ("steps_agent", "steps (agent_id)"),
        ("agents_name", "agents (name)"),
        ("agent_blocks_block", "agent_blocks (block_id)"),
        ("conversations_agent", "conversations (agent_id)"),
        ("outbox_index", "outbox (index_name, id)"),
        ("tools_name", "tools (name)"),
    )
]
