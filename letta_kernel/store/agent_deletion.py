"""Deleting agents: what is only theirs goes at once, what forks share of them with the last of those."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from letta_kernel.ids import now
from letta_kernel.records import AgentState, Inherited
from letta_kernel.store import (
    agents,
    attachments,
    blocks,
    branches,
    counters,
    groups,
    indexes,
    passage_edits,
    passage_versions,
    pictures,
    purge_due,
)
from letta_kernel.store.database import Tx

_OWNED = (
    *("messages", "passages", "runs", "steps", "agent_blocks", "agent_tools", "leases"),
    *("agent_archives", "agent_identities", "conversations", "feedback"),
    *("agent_folders", "agent_files", "access_tokens", "grants", "sleeps", "proposals", "branches"),
    *("request_parts", "line_links"),
)
_OF_HISTORY = (
    *("messages", "passages", "runs", "steps", "feedback", "conversations", "leases"),
    "request_parts",
)
"""Of these, what forks may share."""


def delete(tx: Tx, agent_id: str) -> bool:
    """Delete an agent with all that is only its own; False if there is none.

    Its messages, passages, runs and steps go, and the blocks no other agent has. The indexes are
    told. What forks share of its history stays for as long as the last of them.
    """
    state = agents.get(tx, agent_id)
    if state is None:
        return False
    lent = {part.agent for part in state.inherits} - {"", agent_id}
    if parts := branches.shared(tx, agent_id):
        _leave_to_forks(tx, state, parts)
    else:
        _remove(tx, agent_id)
    let_go(tx, lent)
    return True


def let_go(tx: Tx, agent_ids: Collection[str]) -> None:
    """Delete what nobody reads any more: of these agents' cleared histories, and deleted agents altogether.

    To be called where a fork, or an end of one, that shared theirs has gone.
    """
    for lender in filter(None, (agents.get(tx, one) for one in sorted(agent_ids))):
        if lender.first_seq:
            branches.tidy(tx, lender)
    while True:
        rows = tx.query("SELECT id FROM agents WHERE deleted_at IS NOT NULL")
        gone = [str(row[0]) for row in rows if not branches.shared(tx, row[0])]
        if not gone:
            break
        for one in gone:
            _remove(tx, one)
    attachments.sweep(tx)


def _leave_to_forks(tx: Tx, state: AgentState, parts: Sequence[Inherited]) -> None:
    """Take from an agent all that forks do not share of it, and let nobody find it."""
    agent_id = state.id
    _drop_blocks(tx, agent_id)
    groups.without(tx, agent_id)
    shared = {part.thread for part in parts}
    tx.execute("DELETE FROM branches WHERE agent_id = $1", (agent_id,))
    tx.execute(
        "DELETE FROM leases WHERE agent_id IN (SELECT id FROM conversations WHERE agent_id = $1"
        " AND NOT id = ANY($2::text[]))",
        (agent_id, list(shared)),
    )
    tx.execute(
        "DELETE FROM conversations WHERE agent_id = $1 AND NOT id = ANY($2::text[])",
        (agent_id, list(shared)),
    )
    tx.execute(
        "UPDATE conversations SET deleted_at = $2, summary_id = NULL WHERE agent_id = $1",
        (agent_id, now()),
    )
    branches.sweep(tx, agent_id)
    passage_edits.leave_to_forks(tx, agent_id, parts)
    for table in ("runs", "steps"):
        column = "id" if table == "runs" else "run_id"
        tx.execute(
            f"DELETE FROM {table} WHERE agent_id = $1 AND {column} NOT IN"
            " (SELECT run_id FROM messages WHERE agent_id = $1 AND run_id IS NOT NULL)",
            (agent_id,),
        )
    for table in _OWNED:
        if table not in _OF_HISTORY:
            tx.execute(f"DELETE FROM {table} WHERE agent_id = $1", (agent_id,))
    tx.execute(
        "UPDATE leases SET owner = NULL, expires_at = NULL, waiting = false, queue = NULL,"
        " posted = NULL, begun = NULL WHERE agent_id = $1",
        (agent_id,),
    )
    state.settings, state.inherits, state.deleted_at = {}, [], now()
    state.summary_id = None  # it may be behind what they share
    agents.save(tx, state)


def _drop_blocks(tx: Tx, agent_id: str) -> None:
    """Delete the blocks that no other agent has."""
    for (block_id,) in tx.query(
        "SELECT block_id FROM agent_blocks WHERE agent_id = $1 AND block_id NOT IN"
        " (SELECT block_id FROM agent_blocks WHERE agent_id <> $1)",
        (agent_id,),
    ):
        blocks.delete(tx, block_id)


def _remove(tx: Tx, agent_id: str) -> None:
    tx.execute("DELETE FROM agents WHERE id = $1", (agent_id,))
    _drop_blocks(tx, agent_id)
    groups.without(tx, agent_id)
    passage_edits.unmark_of(tx, agent_id)
    purge_due.drop(tx, agent_id)
    indexes.drop_agent(tx, agent_id)
    tx.execute(
        "DELETE FROM leases WHERE agent_id IN (SELECT id FROM conversations WHERE agent_id = $1)",
        (agent_id,),
    )
    for table in _OWNED:
        tx.execute(f"DELETE FROM {table} WHERE agent_id = $1", (agent_id,))
    passage_versions.drop_owner(tx, agent_id)
    counters.forget(tx, agent_id)
    pictures.sweep(tx)
