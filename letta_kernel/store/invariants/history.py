"""Rules about histories: their numbers, the leases and runs over them, calls and their results."""

from __future__ import annotations

from letta_kernel.store import call_pairs, lease, runs
from letta_kernel.store.database import Tx
from letta_kernel.store.invariants.rule import Rule, link


def _end(tx: Tx, broken: list[str]) -> None:
    for run_id in broken:
        run = runs.get(tx, run_id)
        if run is not None and run_id not in lease.recover(tx, run.agent_id, run.conversation_id):
            tx.execute(
                "UPDATE runs SET status = 'failed', stop_reason = 'error', ended_at = created_at"
                " WHERE id = $1",
                (run_id,),
            )


_ASKED_TWICE = (
    "id IN (SELECT r.id FROM runs r JOIN runs o ON o.asked_by = r.asked_by AND o.asked_call = r.asked_call"
    " AND o.agent_id = r.agent_id AND (o.created_at, o.id) < (r.created_at, r.id))"
)
# The run that asked may be gone with its agent.
_HALF_ASKED = "(asked_by IS NULL) <> (asked_call IS NULL)"
_THREADS = "SELECT id FROM agents UNION SELECT id FROM conversations"
_LAST = "SELECT agent_id, max(seq) AS last FROM {} GROUP BY agent_id"
NUMBERS = (
    Rule(
        "leases",
        "agents or conversations have no lease",
        f"SELECT id FROM ({_THREADS}) t WHERE id NOT IN (SELECT agent_id FROM leases)",
        "give them one",
        (
            "INSERT INTO leases (agent_id, fence, next_seq, waiting) SELECT id, 0, 1, false FROM"
            f" ({_THREADS}) t WHERE id NOT IN (SELECT agent_id FROM leases)",
        ),
    ),
    link("leases", "agent_id", f"({_THREADS}) t"),
    Rule(
        "leases",
        "leases are older than runs under them",
        "SELECT l.agent_id FROM leases l JOIN (SELECT coalesce(conversation_id, agent_id) AS id,"
        " max(fence) AS fence FROM runs GROUP BY 1) r ON r.id = l.agent_id WHERE r.fence > l.fence",
        "count on from those",
        (
            "UPDATE leases SET fence = r.fence + 1 FROM (SELECT coalesce(conversation_id, agent_id)"
            " AS id, max(fence) AS fence FROM runs GROUP BY 1) r"
            " WHERE r.id = leases.agent_id AND r.fence > leases.fence",
        ),
    ),
    Rule(
        "messages",
        "agents would number a message as one that is there",
        f"SELECT l.agent_id FROM leases l JOIN ({_LAST.format('messages')}) m"
        " ON m.agent_id = l.agent_id WHERE m.last >= l.next_seq",
        "count on from the last one",
        (
            f"UPDATE leases SET next_seq = m.last + 1 FROM ({_LAST.format('messages')}) m"
            " WHERE m.agent_id = leases.agent_id AND m.last >= leases.next_seq",
        ),
    ),
    Rule(
        "passages",
        "owners would number a passage as one that is there",
        f"SELECT p.agent_id FROM ({_LAST.format('passages')}) p LEFT JOIN counters c ON"
        " c.owner_id = p.agent_id AND c.kind = 'passages' WHERE p.last > coalesce(c.value, 0)",
        "count on from the last one",
        (
            f"INSERT INTO counters SELECT agent_id, 'passages', last FROM ({_LAST.format('passages')}) p"
            " ON CONFLICT (owner_id, kind) DO UPDATE SET value = greatest(counters.value, excluded.value)",
        ),
    ),
    *(
        Rule(
            table,
            f"numbers stand before two {table} of an owner",
            f"SELECT agent_id || ' ' || seq FROM {table} GROUP BY agent_id, seq HAVING count(*) > 1",
        )
        for table in ("messages", "passages")
    ),
    Rule(
        "messages",
        "histories lack messages in their midst",
        # A deleted conversation leaves its runs, and a gap in the numbers.
        "SELECT agent_id FROM messages GROUP BY agent_id"
        " HAVING count(DISTINCT seq) < max(seq) - min(seq) + 1 AND agent_id NOT IN"
        " (SELECT agent_id FROM runs WHERE conversation_id IS NOT NULL"
        " AND conversation_id NOT IN (SELECT id FROM conversations))"
        " AND agent_id NOT IN (SELECT agent_id FROM conversations)"
        # A group that began anew took its turns out of histories.
        " AND agent_id NOT IN (SELECT agent_id FROM runs WHERE group_id IS NOT NULL)"
        # Of one that was cleared or deleted, what forks share is left.
        " AND agent_id NOT IN (SELECT id FROM agents WHERE first_seq > 0 OR deleted_at IS NOT NULL)",
    ),
    Rule(
        "runs",
        "runs go on that nobody runs",
        "SELECT r.id FROM runs r LEFT JOIN leases l ON l.agent_id = coalesce(r.conversation_id,"
        " r.agent_id) WHERE r.status IN ('created', 'running') AND l.owner IS NULL",
        "bring them to an end",
        _end,
    ),
    Rule(
        "runs",
        "a tool call has asked one agent twice",
        f"SELECT id FROM runs WHERE {_ASKED_TWICE}",
        "let the later ones stand as runs of their own",
        (f"UPDATE runs SET asked_by = NULL, asked_call = NULL WHERE {_ASKED_TWICE}",),
    ),
    Rule(
        "runs",
        "runs name no call, or no run, that asked for them",
        f"SELECT id FROM runs WHERE {_HALF_ASKED}",
        "let them stand as runs of their own",
        (f"UPDATE runs SET asked_by = NULL, asked_call = NULL WHERE {_HALF_ASKED}",),
    ),
)

CALLS = (
    Rule(
        "calls",
        "results answer no call",
        lambda tx: call_pairs.unpaired(tx)[0],
        "keep them as events",
        call_pairs.free,
    ),
    Rule(
        "calls",
        "messages have calls without a result",
        lambda tx: [one.id for one, _ in call_pairs.unpaired(tx)[1]],
        "say there that it may have happened",
        call_pairs.answer,
    ),
)
