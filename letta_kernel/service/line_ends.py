"""The newest end of an agent's line: its steps and runs, what a rewind takes off it, and where it goes on."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.agent.decisions import pending_calls
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.messages import DID_NOT_HAPPEN, Message
from letta_kernel.records import AgentState, Inherited, OwnThread, Run
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.points import Point
from letta_kernel.store import (
    attachments,
    counters,
    lineage,
    messages,
    passage_versions,
    runs,
)
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Where

MOST_RUNS = 1000
"""Runs taken back that a rewind names at most: the newest."""


def steps_of_line(tx: Tx, state: AgentState, count: int) -> list[str]:
    """Return the ids of the newest steps in which something was said on an agent's line, newest first."""
    where = Where()
    lineage.of_thread(where, state.thread)
    rows = tx.query(
        f"SELECT step_id FROM messages {where} AND step_id IS NOT NULL GROUP BY step_id"
        f" ORDER BY max(seq) DESC LIMIT {where.place(count)}",
        where.params,
    )
    return [str(row[0]) for row in rows]


def line_of(tx: Tx, state: AgentState) -> list[Inherited]:
    """Return the whole line of an agent up to its newest message and passage."""
    passage = counters.last(tx, state.id, "passages")
    newest = messages.page(tx, state.id, limit=1, thread=OwnThread(state.id, (), state.first_seq))
    return lineage.line(state, passage, newest[0].seq if newest else 0)


def turn(tx: Tx, state: AgentState, point: Point) -> None:
    """Let an agent go on behind a point; its own begins anew behind the newest numbers, its and the line's."""
    messages.go_on_behind(tx, state.id, point.seq)
    counters.raise_to(tx, state.id, "passages", point.passage)
    state.inherits, rest = lineage.resumed(
        point.parts,
        state.id,
        messages.following(tx, state.id),
        counters.last(tx, state.id, "passages") + 1,
    )
    state.first_seq, state.first_passage = rest
    line = counters.take(tx, state.id, "lines")
    passage_versions.carry_marks(tx, state.id, point.line, point.moment, state.id, line)
    attachments.leave(tx, state.id, state.line)
    state.line = line
    state.window_start, state.summary_id = point.window_start, point.summary_id


def decline(tx: Tx, state: AgentState) -> None:
    """Answer the calls that wait for a person on the line that is left: they did not happen."""
    begin = messages.newest(tx, state.thread, state.window_start, characters=1)
    seen = messages.window(tx, state.thread, begin)
    asked = next((m for m in reversed(seen) if m.role == "assistant"), None)
    if asked is None:
        return
    told = [
        Message(
            agent_id=state.id,
            run_id=asked.run_id,
            step_id=asked.step_id,
            role="tool",
            content=DID_NOT_HAPPEN,
            name=call.name,
            tool_call_id=call.id,
            status="interrupted",
        )
        for call in pending_calls(seen)
    ]
    messages.append(tx, state.id, told)


def check_own(state: AgentState, point: Point) -> None:
    """Refuse to rewind an agent to a point in one of its conversations."""
    last = next((part for part in reversed(point.parts) if part.last >= part.first), None)
    if last is not None and last.thread.startswith("conv-"):
        raise InvalidInputError(
            f"{point.name} is in a conversation of {state.name}, which cannot be rewound.",
            remedy(Do.FORK_FROM, point.name),
        )


def last_run(tx: Tx, state: AgentState) -> Run | None:
    """Return the last run of an agent's line as a person counts them: its first part, before approvals."""
    where = Where()
    where.add("run_id IS NOT NULL")
    lineage.of_thread(where, state.thread)
    row = tx.one(f"SELECT run_id FROM messages {where} ORDER BY seq DESC LIMIT 1", where.params)
    run = runs.get(tx, row[0]) if row else None
    while run is not None and run.continues and (before := runs.get(tx, run.continues)):
        run = before
    return run


def to_undo(tx: Tx, state: AgentState) -> Run:
    """Return the run that an undo would take back; `NotFoundError` if there is none."""
    run = last_run(tx, state)
    if run is None:
        raise NotFoundError(f"{state.name} has no run that could be taken back.")
    return run


def runs_in(tx: Tx, parts: Sequence[Inherited]) -> list[Run]:
    """Return the runs that messages of these parts are of, the newest first."""
    if not parts:
        return []
    where = Where()
    lineage.of_parts(where, parts)
    rows = tx.query(
        f"SELECT run_id FROM messages {where} AND run_id IS NOT NULL GROUP BY run_id"
        f" ORDER BY max(seq) DESC LIMIT {where.place(MOST_RUNS)}",
        where.params,
    )
    ids = [str(row[0]) for row in rows]
    known = {run.id: run for run in runs.select(tx, "WHERE id = ANY($1::text[])", (ids,))}
    return [known[one] for one in ids if one in known]
