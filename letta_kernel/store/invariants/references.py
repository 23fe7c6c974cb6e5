"""Rules about references: the owner, block, conversation or run that a row names exists."""

from __future__ import annotations

from functools import partial

from letta_kernel.records import AgentState, Block, Conversation, Folder, Run, SharedArchive
from letta_kernel.store import agents, archives, blocks, conversations, folders, groups, runs
from letta_kernel.store.database import Tx
from letta_kernel.store.invariants.rule import OWNERS, Rule, link
from letta_kernel.store.mapping import dump, load

_AGENTS = "SELECT id FROM agents"
# Rows of these tables show that an agent has existed.
_HAVE_AGENTS = ("messages", "runs", "conversations", "agent_blocks", "agent_files")


def _owners_gone(tx: Tx) -> list[str]:
    parts = [f"SELECT agent_id FROM {table}" for table in _HAVE_AGENTS]
    parts.append("SELECT replace(agent_id, '/past', '') AS agent_id FROM passages")
    sql = f"SELECT DISTINCT agent_id FROM ({' UNION '.join(parts)}) t WHERE agent_id NOT IN ({OWNERS})"
    return [str(row[0]) for row in tx.query(sql)]


def _name(gone: str) -> str:
    return f"recovered-{gone[-6:]}"


def _bring_owners_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        if one.startswith("archive-"):
            archives.add(tx, SharedArchive(id=one, name=_name(one)))
        elif one.startswith("folder-"):
            folders.add(tx, Folder(id=one, name=_name(one)))
        else:
            tx.execute("DELETE FROM leases WHERE agent_id = $1", (one,))
            tx.execute("DELETE FROM counters WHERE owner_id = $1", (one,))
            agents.add(tx, AgentState(id=one, name=_name(one)))


def _bring_blocks_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        last = blocks.versions(tx, one)[-1]
        label = _name(one)
        block = Block(id=one, label=label, value=last.value, limit=max(len(last.value), 20_000))
        tx.execute("DELETE FROM block_versions WHERE block_id = $1 AND version = 1", (one,))
        blocks.add(tx, block)


def _bring_conversations_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        row = tx.one("SELECT agent_id FROM messages WHERE conversation_id = $1", (one,))
        tx.execute("DELETE FROM leases WHERE agent_id = $1", (one,))
        if row is not None:
            conversations.add(tx, Conversation(id=one, agent_id=row[0], summary="recovered"))


def _bring_runs_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        row = tx.one(
            "SELECT agent_id, min(created_at) FROM steps WHERE run_id = $1 GROUP BY 1", (one,)
        )
        assert row is not None
        run = Run(id=one, agent_id=row[0], status="failed", created_at=row[1], ended_at=row[1])
        runs.start(tx, run, fence=0)


def _groups_lacking(tx: Tx) -> list[str]:
    there = {row[0] for row in tx.query(_AGENTS)}
    return [
        one.id for one in groups.list_all(tx, hidden=True) if not there.issuperset(one.everyone)
    ]


def _let_members_go(tx: Tx, broken: list[str]) -> None:
    there = {row[0] for row in tx.query(_AGENTS)}
    for group in groups.list_all(tx, hidden=True):
        for gone in {*group.everyone} - there if group.id in broken else ():
            groups.without(tx, gone)


def _lost_lines(table: str, tx: Tx) -> list[str]:
    """Return the rows of *table* whose line has a part of an agent that is gone."""
    there = {row[0] for row in tx.query(_AGENTS)} | {""}
    rows = tx.query(
        f"SELECT id, CAST(inherits AS text) FROM {table} WHERE CAST(inherits AS text) <> '[]'"
    )
    return [
        str(one)
        for one, text in rows
        if any(part.get("agent", "") not in there for part in load(text))
    ]


def _cut_lines(table: str, tx: Tx, broken: list[str]) -> None:
    there = {row[0] for row in tx.query(_AGENTS)} | {""}
    for one, text in tx.query(
        f"SELECT id, CAST(inherits AS text) FROM {table} WHERE id = ANY($1::text[])", (broken,)
    ):
        left = [part for part in load(text) if part.get("agent", "") in there]
        tx.execute(f"UPDATE {table} SET inherits = $2 WHERE id = $1", (one, dump(left)))


_NO_CONFIGURATION = (
    "configuration IS NOT NULL AND configuration NOT IN (SELECT id FROM configurations)"
)
_NO_SUMMARY = "summary_id IS NOT NULL AND summary_id NOT IN (SELECT id FROM messages)"
REFERENCES = (
    Rule(
        "agents",
        "owners of messages or passages are gone",
        _owners_gone,
        "bring them back by the name recovered-…",
        _bring_owners_back,
    ),
    Rule(
        "blocks",
        "memory blocks are gone, their versions not",
        "SELECT DISTINCT block_id FROM block_versions WHERE block_id NOT IN (SELECT id FROM blocks)",
        "bring them back with their last text",
        _bring_blocks_back,
    ),
    Rule(
        "conversations",
        "conversations are gone, their messages not",
        "SELECT DISTINCT conversation_id FROM messages WHERE conversation_id IS NOT NULL"
        " AND conversation_id NOT IN (SELECT id FROM conversations)",
        "bring them back",
        _bring_conversations_back,
    ),
    Rule(
        "runs",
        "runs are gone, their steps not",
        "SELECT DISTINCT run_id FROM steps WHERE run_id NOT IN (SELECT id FROM runs)",
        "bring them back without their figures",
        _bring_runs_back,
    ),
    *(
        link(table, "agent_id", "agents")
        for table in (
            *("agent_blocks", "agent_tools", "agent_archives", "agent_folders"),
            *("agent_identities", "agent_files", "feedback"),
        )
    ),
    link("agent_blocks", "block_id", "blocks"),
    link("agent_tools", "tool_id", "tools"),
    link("agent_archives", "archive_id", "archives"),
    link("agent_folders", "folder_id", "folders"),
    link("agent_files", "file_id", "files"),
    link("agent_identities", "identity_id", "identities"),
    link("block_identities", "block_id", "blocks"),
    link("block_identities", "identity_id", "identities"),
    link("files", "folder_id", "folders"),
    link("passage_marks", "agent_id", "agents"),
    link("feedback", "step_id", "steps"),
    link("branches", "agent_id", "agents"),
    *(
        Rule(
            table,
            f"lines of {table} go through agents that are gone",
            partial(_lost_lines, table),
            "let them begin behind those",
            partial(_cut_lines, table),
        )
        for table in ("agents", "branches", "conversations")
    ),
    Rule(
        "steps",
        "steps name a configuration that is gone",
        f"SELECT id FROM steps WHERE {_NO_CONFIGURATION}",
        "let them go without",
        (f"UPDATE steps SET configuration = NULL WHERE {_NO_CONFIGURATION}",),
    ),
    link("request_parts", "agent_id", "agents"),
    link("sleeps", "agent_id", "agents"),
    link("proposals", "sleep_id", "sleeps"),
    link("group_messages", "group_id", "groups"),
    link("group_agents", "group_id", "groups"),
    link("group_agents", "agent_id", "agents"),
    Rule(
        "groups",
        "groups have members, or a manager, that are gone",
        _groups_lacking,
        "go on without them",
        _let_members_go,
    ),
    *(
        Rule(
            table,
            f"{table} begin their window with a summary that is gone",
            f"SELECT id FROM {table} WHERE {_NO_SUMMARY}",
            "let them go without",
            (f"UPDATE {table} SET summary_id = NULL WHERE {_NO_SUMMARY}",),
        )
        for table in ("agents", "conversations")
    ),
)
