"""What people thought of steps."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.records import Feedback, Step
from letta_kernel.store.database import Tx


def of_steps(tx: Tx, step_ids: Sequence[str]) -> dict[str, Feedback]:
    """Return what there is, by the id of the step."""
    if not step_ids:
        return {}
    rows = tx.query(
        "SELECT step_id, opinion, tags FROM feedback WHERE step_id = ANY($1::text[])",
        (list(step_ids),),
    )
    return {row[0]: Feedback(row[1], list(row[2])) for row in rows}


def put(tx: Tx, step: Step, opinion: str | None, tags: Sequence[str] | None = None) -> Feedback:
    """Keep an opinion of a step; *tags* of None leaves those there are."""
    known = of_steps(tx, [step.id]).get(step.id, Feedback())
    kept = Feedback(opinion, list(known.tags if tags is None else tags))
    tx.execute(
        "INSERT INTO feedback (step_id, agent_id, opinion, tags) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (step_id) DO UPDATE SET opinion = excluded.opinion, tags = excluded.tags",
        (step.id, step.agent_id, kept.opinion, kept.tags),
    )
    return kept
