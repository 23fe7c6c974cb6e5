"""Calls and their results: in runs of this store every call has a result, and every result answers a call.

Messages that came from outside, in agent files or by themselves, stay as they were: they belong to no run.
"""

from __future__ import annotations

import json

from letta_kernel.messages import MAY_HAVE_HAPPENED, Message
from letta_kernel.store import messages
from letta_kernel.store.database import Tx


def unpaired(tx: Tx) -> tuple[list[str], list[tuple[Message, list[str]]]]:
    """Return results that answer no call, by id, and messages with their calls that have no result."""
    lost: list[str] = []
    lacking: list[tuple[str, list[str]]] = []
    opened: dict[str, tuple[str, set[str]]] = {}  # by thread
    outside: set[str] = set()  # calls that came in, which a run here may have answered
    for id_, thread, role, calls, answers, ours in tx.query(
        "SELECT id, coalesce(conversation_id, agent_id), role, CAST(tool_calls AS text), tool_call_id,"
        " run_id IS NOT NULL FROM messages WHERE role = 'tool' OR CAST(tool_calls AS text) <> '[]'"
        " ORDER BY agent_id, seq"
    ):
        asked, waiting = opened.get(thread, ("", set()))
        if role == "tool":
            if answers in waiting:
                waiting.discard(answers)
            elif ours and answers not in outside:
                lost.append(id_)
            continue
        if waiting:
            lacking.append((asked, sorted(waiting)))
        asked_for = {call["id"] for call in json.loads(calls)}
        opened[thread] = id_, asked_for if ours else set()
        outside |= set() if ours else asked_for
    going_on = {
        row[0] for row in tx.query("SELECT agent_id FROM leases WHERE waiting OR owner IS NOT NULL")
    }
    for thread, (asked, waiting) in opened.items():
        if waiting and thread not in going_on:
            lacking.append((asked, sorted(waiting)))
    asking = messages.get_many(tx, [one for one, _ in lacking])
    return lost, [(one, calls) for one, (_, calls) in zip(asking, lacking, strict=True)]


def answer(tx: Tx, _: list[str]) -> None:
    """Give calls that have no result one, where a number is free behind them; else take the call away."""
    for asked, lacking in unpaired(tx)[1]:
        taken = {
            row[0]
            for row in tx.query("SELECT seq FROM messages WHERE agent_id = $1", (asked.agent_id,))
        }
        (next_seq,) = tx.one(
            "SELECT next_seq FROM leases WHERE agent_id = $1", (asked.agent_id,)
        ) or (0,)
        for call in [call for call in asked.tool_calls if call.id in lacking]:
            given = Message(
                agent_id=asked.agent_id,
                conversation_id=asked.conversation_id,
                run_id=asked.run_id,
                step_id=asked.step_id,
                role="tool",
                content=MAY_HAVE_HAPPENED,
                name=call.name,
                tool_call_id=call.id,
                status="interrupted",
            )
            behind = range(asked.seq + 1, asked.seq + 1 + len(asked.tool_calls))
            free = next((seq for seq in behind if seq not in taken), None)
            if free is not None:
                messages.append(
                    tx, asked.agent_id, [given], first=free if free < next_seq else None
                )
                taken.add(free)
            else:
                left = [one.model_dump() for one in asked.tool_calls if one.id != call.id]
                asked.tool_calls = [one for one in asked.tool_calls if one.id != call.id]
                tx.execute(
                    "UPDATE messages SET tool_calls = $2 WHERE id = $1",
                    (asked.id, json.dumps(left)),
                )


def free(tx: Tx, broken: list[str]) -> None:
    """Keep results that answer no call as events."""
    tx.execute(
        "UPDATE messages SET role = 'event', tool_call_id = NULL, status = NULL"
        " WHERE id = ANY($1::text[])",
        (broken,),
    )
