"""What runs and their steps add up to: costs, how tools went, and what people thought of steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from letta_kernel.records import Step
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import load
from letta_kernel.totals import Cost, Feedback, ToolStats


def tool_stats(tx: Tx, agent_id: str) -> dict[str, ToolStats]:
    """Return how each tool an agent has called went, by name, most called first.

    Every entry of a step's ``tool_stats`` counts as a call; any status but "ok" as a failure, with
    its ``error`` if it has one.
    """
    found: dict[str, ToolStats] = {}
    for (text,) in tx.query(
        "SELECT tool_stats FROM steps WHERE agent_id = $1 AND tool_stats::text <> '[]'"
        " ORDER BY created_at",
        (agent_id,),
    ):
        for call in load(text):
            name = str(call.get("name", ""))
            old = found.get(name) or ToolStats(name, 0, 0, 0.0, None)
            failed = call.get("status", "ok") != "ok"
            found[name] = ToolStats(
                name,
                old.calls + 1,
                old.failures + failed,
                old.seconds + (call.get("seconds") or 0.0),
                (call.get("error") or call["status"]) if failed else old.last_error,
                call.get("status") == "error",
            )
    return dict(sorted(found.items(), key=lambda item: (-item[1].calls, item[0])))


def cost(
    tx: Tx,
    agent_id: str | None = None,
    notebook: str | None = None,
    since: datetime | None = None,
) -> Cost:
    """Add up runs: of one agent, one notebook, since a moment; None stands for all.

    One that went on after an approval is one run.
    """
    row = tx.one(
        "SELECT count(*) FILTER (WHERE continues IS NULL), coalesce(sum(steps), 0),"
        " coalesce(sum(prompt_tokens), 0),"
        " coalesce(sum(completion_tokens), 0), coalesce(sum(cached_tokens), 0), sum(cost) FROM runs"
        " WHERE ($1::text IS NULL OR agent_id = $1) AND ($2::text IS NULL OR notebook = $2)"
        " AND ($3::timestamptz IS NULL OR created_at >= $3)",
        (agent_id, notebook, since),
    )
    assert row is not None
    counts = [int(value) for value in row[:5]]
    return Cost(counts[0], counts[1], counts[2], counts[3], counts[4], row[5])


def asked_cost(tx: Tx, agent_id: str) -> float:
    """Return the US dollars that runs of others took which this agent's runs asked for, and those in turn.

    In a group each agent pays for its own turns, whoever asked for them.
    """
    row = tx.one(
        "WITH RECURSIVE asked AS ("
        "SELECT r.id, r.agent_id, r.cost FROM runs r JOIN runs a ON a.id = r.asked_by"
        " WHERE a.agent_id = $1 AND r.group_id IS NULL"
        " UNION SELECT r.id, r.agent_id, r.cost FROM runs r JOIN asked"
        " ON (r.asked_by = asked.id OR r.continues = asked.id) AND r.group_id IS NULL)"
        " SELECT coalesce(sum(cost), 0) FROM asked WHERE agent_id <> $1",
        (agent_id,),
    )
    return float(row[0]) if row else 0.0


def feedback_of(tx: Tx, step_ids: Sequence[str]) -> dict[str, Feedback]:
    """Return what there is, by the id of the step."""
    if not step_ids:
        return {}
    rows = tx.query(
        "SELECT step_id, opinion, tags FROM feedback WHERE step_id = ANY($1::text[])",
        (list(step_ids),),
    )
    return {row[0]: Feedback(row[1], list(row[2])) for row in rows}


def rate(tx: Tx, step: Step, opinion: str | None, tags: Sequence[str] | None = None) -> Feedback:
    """Keep an opinion of a step; *tags* of None leaves those there are."""
    known = feedback_of(tx, [step.id]).get(step.id, Feedback())
    kept = Feedback(opinion, list(known.tags if tags is None else tags))
    tx.execute(
        "INSERT INTO feedback (step_id, agent_id, opinion, tags) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (step_id) DO UPDATE SET opinion = excluded.opinion, tags = excluded.tags",
        (step.id, step.agent_id, kept.opinion, kept.tags),
    )
    return kept
