"""What a process that ended in the middle of a run left behind is brought to an end.

Nothing is run again. A call that had begun may have had its effect; any other open one has had none, for what
changes this store is committed together with the call's result.
"""

from __future__ import annotations

from typing import Any

from letta_kernel.ids import now
from letta_kernel.messages import DID_NOT_HAPPEN, MAY_HAVE_HAPPENED, Message
from letta_kernel.store import lease, messages
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import load

UNANSWERED = "The process ended before you had answered."
"""What the model is told, and the person sees, after the last message of a run that was cut off."""

_FAILED = "The process that ran it ended."


def held(tx: Tx) -> list[tuple[str, str]]:
    """Return the threads that somebody holds, each with its owner, who may be dead."""
    return [
        (str(row[0]), str(row[1]))
        for row in tx.query("SELECT agent_id, owner FROM leases WHERE owner IS NOT NULL")
    ]


def recover_thread(tx: Tx, thread_id: str) -> None:
    """Take a thread from its dead owner and bring what was left of its run to an end."""
    tx.execute(
        "UPDATE leases SET owner = NULL, expires_at = NULL, fence = fence + 1 WHERE agent_id = $1",
        (thread_id,),
    )
    row = tx.one("SELECT agent_id FROM conversations WHERE id = $1", (thread_id,))
    recover(tx, *((str(row[0]), thread_id) if row else (thread_id, None)))


def recover(tx: Tx, agent_id: str, conversation_id: str | None = None) -> list[str]:
    """Mark as failed the runs of a thread that nobody runs any more, and return their ids.

    A run belongs to whoever held the thread's lease when it started. If somebody alive holds it
    still, only older runs are dead. Their open calls get a result, and what was not answered is marked.
    """
    thread_id = conversation_id or agent_id
    row = tx.one(
        "SELECT owner, fence, expires_at, begun, waiting FROM leases WHERE agent_id = $1",
        (thread_id,),
    )
    if row is None:
        return []
    owner, fence, expires_at, begun, waiting = row
    alive = owner is not None and expires_at > now() and not lease.is_dead(owner)
    rows = tx.query(
        "UPDATE runs SET status = 'failed', stop_reason = 'error', ended_at = $3, error = $4"
        " WHERE agent_id = $1 AND status IN ('created', 'running') AND fence < $2"
        " AND conversation_id IS NOT DISTINCT FROM $5::text RETURNING id",
        (agent_id, fence if alive else fence + 1, now(), _FAILED, conversation_id),
    )
    dead = [str(row[0]) for row in rows]
    if dead:
        _add_up(tx, dead)
        if not waiting:
            _close(tx, agent_id, conversation_id, dead, load(begun) or [])
        tx.execute("UPDATE leases SET begun = NULL WHERE agent_id = $1", (thread_id,))
    return dead


def _add_up(tx: Tx, run_ids: list[str]) -> None:
    """Give runs what their steps took, which is written at a run's end otherwise."""
    tx.execute(
        "UPDATE runs SET steps = taken.steps, prompt_tokens = taken.prompt_tokens,"
        " completion_tokens = taken.completion_tokens, cached_tokens = taken.cached_tokens,"
        " reasoning_tokens = taken.reasoning_tokens, cost = taken.cost"
        " FROM (SELECT run_id, max(number) AS steps, sum(prompt_tokens) AS prompt_tokens,"
        " sum(completion_tokens) AS completion_tokens, sum(cached_tokens) AS cached_tokens,"
        " sum(reasoning_tokens) AS reasoning_tokens, sum(cost) AS cost FROM steps"
        " WHERE run_id = ANY($1::text[]) GROUP BY run_id) AS taken WHERE runs.id = taken.run_id",
        (run_ids,),
    )


def _close(
    tx: Tx, agent_id: str, conversation_id: str | None, dead: list[str], begun: list[str]
) -> None:
    tail = messages.since_answer(tx, agent_id, conversation_id)
    if not tail:
        return
    last = tail[-1]
    answered = {message.tool_call_id for message in tail}
    calls = [call for call in tail[0].tool_calls if call.id not in answered]
    if (
        last.run_id not in dead and not calls
    ):  # calls may be another run's, which asked for approval
        return
    if last.role == "assistant" and not calls:
        return  # all was said; only the run's end was not written
    shared: dict[str, Any] = {"agent_id": agent_id, "run_id": last.run_id}
    added = [
        Message(
            **shared,
            step_id=last.step_id,
            role="tool",
            content=MAY_HAVE_HAPPENED if call.id in begun else DID_NOT_HAPPEN,
            name=call.name,
            tool_call_id=call.id,
            status="interrupted",
        )
        for call in calls
    ]
    added.append(
        Message(
            **shared, step_id=last.step_id, role="event", name="interrupted", content=UNANSWERED
        )
    )
    messages.append(tx, agent_id, added, conversation_id=conversation_id)
