"""What became of a call that asked other agents, where its process ended before it could say so."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel import agent_messages
from letta_kernel.messages import ReturnStatus, ToolCall
from letta_kernel.records import Run
from letta_kernel.store import messages, runs
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import load

_MOST = 1_000  # messages of an answer


def result_of(tx: Tx, run_ids: Sequence[str], call: ToolCall) -> tuple[str, ReturnStatus] | None:
    """Return the result that a call of one of these runs has after all, and how it ended.

    None if it has asked nobody. No agent is asked again.
    """
    if call.name not in (*agent_messages.TOOLS, agent_messages.SPAWN):
        return None
    found = [run for one in run_ids for run in runs.asked_for(tx, one, call.id)]
    if call.name == agent_messages.NOTIFY:
        sent = found or _is_posted(tx, [f"{one}/{call.id}" for one in run_ids])
        return (agent_messages.SENT, "ok") if sent else None
    replies = [_reply(tx, run) for run in found]
    if not replies:
        return None
    if call.name == agent_messages.BROADCAST:
        return agent_messages.as_text(replies), "ok"
    if "response" in replies[0]:
        return agent_messages.as_text(replies[0]), "ok"
    return replies[0]["error"], "error"


def _reply(tx: Tx, run: Run) -> dict[str, str]:
    row = tx.one("SELECT name FROM agents WHERE id = $1", (run.agent_id,))
    name = str(row[0]) if row else "the agent"
    kept = messages.page(tx, run.agent_id, run_id=run.id, limit=_MOST, newest_first=False)
    said = [one.said for one in kept if one.role == "assistant" and one.said.strip()]
    if run.stop_reason == "requires_approval":
        calls = [call.name for one in kept[-1:] for call in one.tool_calls]
        return agent_messages.reply(
            run.agent_id, name, [], agent_messages.waits_for_approval(name, calls)
        )
    if run.status == "completed":
        return agent_messages.reply(run.agent_id, name, said)
    problem = f"{name} was asked, and had not answered when the process ended."
    return agent_messages.reply(run.agent_id, name, [], problem)


def _is_posted(tx: Tx, ids: Sequence[str]) -> bool:
    rows = tx.query("SELECT posted FROM leases WHERE posted IS NOT NULL")
    waiting = [one for row in rows for one in load(row[0]) if isinstance(one, dict)]
    return any(one["id"] in ids for one in waiting)
