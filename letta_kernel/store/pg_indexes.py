"""The indexes that PostgreSQL needs for the queries of a turn; DuckDB scans as quickly.

They are made after the migrations of `letta_kernel.store.migrations`, of which they name tables: an index
that is added comes to older projects with the next migration.
"""

from __future__ import annotations

INDEXES: list[str] = [
    f"CREATE INDEX IF NOT EXISTS {name} ON {columns}"
    for name, columns in (
        ("messages_agent", "messages (agent_id, seq)"),
        ("messages_run", "messages (run_id)"),
        ("messages_step", "messages (step_id)"),
        ("passages_agent", "passages (agent_id, seq)"),
        ("passages_source", "passages (source) WHERE source IS NOT NULL"),
        ("passages_successor", "passages (superseded_by) WHERE superseded_by IS NOT NULL"),
        ("runs_agent", "runs (agent_id, created_at)"),
        ("runs_created", "runs (created_at)"),
        ("steps_run", "steps (run_id)"),
        ("steps_agent", "steps (agent_id)"),
        ("agents_name", "agents (name)"),
        ("agent_blocks_block", "agent_blocks (block_id)"),
        ("agent_archives_archive", "agent_archives (archive_id)"),
        ("conversations_agent", "conversations (agent_id)"),
        ("outbox_index", "outbox (index_name, id)"),
        ("tools_name", "tools (name)"),
        ("files_folder", "files (folder_id)"),
        ("branches_agent", "branches (agent_id)"),
        ("group_messages_group", "group_messages (group_id, seq)"),
        ("passage_versions_passage", "passage_versions (passage_id)"),
        ("passage_versions_owner", "passage_versions (owner_id)"),
        ("passage_marks_agent", "passage_marks (agent_id, line)"),
        ("proposals_agent", "proposals (agent_id)"),
        ("sleeps_agent", "sleeps (agent_id)"),
        ("uses_person", "uses (person, created_at)"),
        ("grants_agent", "grants (agent_id)"),
        # Few of many leases: every transaction looks whether a holder has died.
        ("leases_held", "leases (agent_id) WHERE owner IS NOT NULL"),
        ("leases_waiting", "leases (agent_id) WHERE waiting"),
        ("leases_posted", "leases (agent_id) WHERE posted IS NOT NULL"),
    )
]
