"""Runs (turns) and their steps, and what they were asked and did."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from letta_kernel import agent_messages
from letta_kernel.errors import NotFoundError
from letta_kernel.records import Beside, Run, Step, WholeRun
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import R, Table, Where, load

_RUNS = Table("runs", Run)
_OUTCOME = (  # what is known of a run at its end only; no value changes to None, no count to 0
    "status",
    "model",
    "stop_reason",
    "error",
    "steps",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "first_token",
    "seconds",
    "ended_at",
)
_LONGEST_ASKED = 300  # characters
_STEPS = Table("steps", Step, json=("retrieved", "tool_stats", "request"), parts={"beside": Beside})

get, select, get_step, add_step = _RUNS.get, _RUNS.select, _STEPS.get, _STEPS.add


def start(tx: Tx, run: Run, fence: int | None = None) -> Run:
    """Insert a run that begins now; *fence* is its lease's, read if it is not given."""
    if fence is None:
        row = tx.one("SELECT fence FROM leases WHERE agent_id = $1", (run.agent_id,))
        if row is None:
            raise NotFoundError(f"There is no agent {run.agent_id}.")
        fence = int(row[0])
    _RUNS.insert(tx, [run], fence=fence)
    return run


def finish(tx: Tx, run: Run) -> Run:
    """Write how a run that `start` wrote stands or ended."""
    values = {field: getattr(run, field) for field in _OUTCOME}
    same = [
        field
        for field, value in values.items()
        if value is None or (value == 0 and type(value) is int)
    ]
    _RUNS.change(tx, run, [field for field in _OUTCOME if field not in same])
    return run


def page(tx: Tx, agent_id: str | None, limit: int = 50) -> list[Run]:
    """Return runs, newest first: of one agent or (None) of all."""
    where = Where()
    if agent_id is not None:
        where.add("agent_id = {}", agent_id)
    tail = f"{where} ORDER BY created_at DESC, id DESC LIMIT {where.place(limit)}"
    return _RUNS.select(tx, tail, where.params)


def whole(tx: Tx, agent_id: str, limit: int = 50, before: str | None = None) -> list[WholeRun]:
    """Return an agent's runs as a person counts them, newest first, older than the run *before*."""
    where = Where()
    where.add("agent_id = {}", agent_id)
    where.add("continues IS NULL")
    if before is not None:
        where.beyond("runs", "created_at", "<", before)
    tail = f"{where} ORDER BY created_at DESC, id DESC LIMIT {where.place(limit)}"
    first = _RUNS.select(tx, tail, where.params)
    if not first:
        return []
    later = _RUNS.select(
        tx,
        "WHERE agent_id = $1 AND continues IS NOT NULL AND created_at >= $2 ORDER BY created_at",
        (agent_id, first[-1].created_at),
    )
    after = {run.continues: run for run in later}
    asked = _asked(tx, agent_id, [run.id for run in first])
    waiting = _waiting(tx, agent_id)
    edits = _edits(tx, agent_id, [run.id for run in (*first, *later)])
    found = []
    for run in first:
        one = WholeRun(**dict(run), asked=asked.get(run.id, ""), edits=edits.get(run.id, 0))
        last = run
        while (following := after.get(last.id)) is not None:
            last = following
            _go_on(one, last)
            one.edits += edits.get(last.id, 0)
        one.waits = last.id in waiting
        found.append(one)
    return found


def _go_on(one: WholeRun, run: Run) -> None:
    """Add *run*, which continued *one* after an approval."""
    for name in (
        "steps",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "reasoning_tokens",
    ):
        setattr(one, name, getattr(one, name) + getattr(run, name))
    for name in ("cost", "seconds"):
        parts = [value for value in (getattr(one, name), getattr(run, name)) if value is not None]
        setattr(one, name, sum(parts) if parts else None)
    for name in ("status", "stop_reason", "error", "ended_at"):
        setattr(one, name, getattr(run, name))
    one.model = run.model or one.model


def _asked(tx: Tx, agent_id: str, run_ids: list[str]) -> dict[str, str]:
    """Return the beginning of what was said to the agent in each of these runs, by run id."""
    rows = tx.query(
        "SELECT run_id, left(content, $3::integer) FROM messages WHERE agent_id = $1"
        " AND run_id = ANY($2::text[]) AND step_id IS NULL AND role IN ('user', 'event') ORDER BY seq",
        (agent_id, run_ids, _LONGEST_ASKED),
    )
    return {row[0]: agent_messages.bare(row[1]) for row in rows}


def _edits(tx: Tx, agent_id: str, run_ids: list[str]) -> dict[str, int]:
    """Return how often a person changed something by hand in those of these runs where they did."""
    rows = tx.query(
        "SELECT run_id, sum(json_array_length(edits)) FROM messages WHERE agent_id = $1"
        " AND run_id = ANY($2::text[]) AND edits IS NOT NULL GROUP BY run_id",
        (agent_id, run_ids),
    )
    return {row[0]: int(row[1]) for row in rows}


def begun(tx: Tx, step_ids: Collection[str]) -> list[Sequence[Any]]:
    """Return of each of these steps its id, its run, agent and conversation, and the message that began it.

    Of the message, its id and beginning, None where it is gone; a run that went on after an approval began with
    the one it goes on from.
    """
    rows = tx.query(
        "WITH RECURSIVE back AS ("
        "SELECT s.id, s.run_id, s.agent_id, r.conversation_id, r.id AS first, r.continues, 0 AS depth"
        " FROM steps s JOIN runs r ON r.id = s.run_id WHERE s.id = ANY($1::text[])"
        " UNION ALL SELECT b.id, b.run_id, b.agent_id, b.conversation_id, r.id, r.continues, b.depth + 1"
        " FROM back b JOIN runs r ON r.id = b.continues WHERE b.depth < 1000)"
        " SELECT b.id, b.run_id, b.agent_id, b.conversation_id, m.id, left(m.content, $2::integer)"
        " FROM back b LEFT JOIN messages m ON m.run_id = b.first AND m.step_id IS NULL"
        " AND m.role IN ('user', 'event') ORDER BY b.depth, m.seq NULLS FIRST",
        (list(step_ids), _LONGEST_ASKED),
    )
    return [
        (*ids, agent_messages.bare(said or ""))
        for *ids, said in {row[0]: row for row in rows}.values()
    ]


def _waiting(tx: Tx, agent_id: str) -> set[str]:
    """Return the runs that wait for a person's approval: the last one of each thread that does."""
    rows = tx.query(
        "SELECT DISTINCT ON (conversation_id) id FROM runs WHERE agent_id = $1"
        " AND coalesce(conversation_id, agent_id) IN (SELECT agent_id FROM leases WHERE waiting)"
        " ORDER BY conversation_id, created_at DESC, id DESC",
        (agent_id,),
    )
    return {row[0] for row in rows}


def first_of(tx: Tx, run_id: str) -> str:
    """Return the id of the run that a run goes on with after approvals; its own if it is the first."""
    while (found := get(tx, run_id)) is not None and found.continues:
        run_id = found.continues
    return run_id


def beginning(tx: Tx, text: str, most: int = 10) -> list[str]:
    """Return the ids of steps and runs that begin with *text*, with or without ``step-`` or ``run-``."""
    rows = tx.query(
        "SELECT id FROM (SELECT id FROM steps UNION ALL SELECT id FROM runs) AS known"
        " WHERE left(id, length($1)) = $1 OR left(id, length($1) + 5) = 'step-' || $1"
        " OR left(id, length($1) + 4) = 'run-' || $1 ORDER BY id LIMIT $2",
        (text, most),
    )
    return [str(row[0]) for row in rows]


def chain(tx: Tx, run: Run) -> list[Run]:
    """Return a run and those that went on from it after approvals, in order."""
    found = [run]
    while later := _RUNS.select(tx, "WHERE continues = $1 ORDER BY created_at", (found[-1].id,)):
        found.append(later[0])
    return found


def asked_for(tx: Tx, asked_by: str, call_id: str | None = None) -> list[Run]:
    """Return the runs that a tool call of the run *asked_by* asked for, one of each agent, in order.

    Without *call_id*, those of all its calls.
    """
    return _RUNS.select(
        tx,
        "WHERE asked_by = $1 AND ($2::text IS NULL OR asked_call = $2) ORDER BY created_at, id",
        (asked_by, call_id),
    )


def depth(tx: Tx, run_id: str, most: int) -> int:
    """Return how many runs of other agents led to this one, each asking for the next; *most* at most."""
    count, run = 0, get(tx, run_id)
    while run is not None and count < most:
        count += run.continues is None and run.asked_by is not None
        before = run.continues or run.asked_by
        run = get(tx, before) if before else None
    return count


def newest(tx: Tx, agent_id: str | None = None) -> dict[str, Run]:
    """Return the last run of one agent or of each, by agent id."""
    found = _RUNS.select(
        tx,
        "WHERE id IN (SELECT DISTINCT ON (agent_id) id FROM runs"
        " WHERE $1::text IS NULL OR agent_id = $1 ORDER BY agent_id, created_at DESC, id DESC)",
        (agent_id,),
    )
    return {run.agent_id: run for run in found}


def find(
    tx: Tx,
    *,
    agent_ids: Collection[str] = (),
    statuses: Collection[str] = (),
    stop_reason: str | None = None,
    conversation_id: str | None = None,
    thread_id: str | None = None,
    created_by: str | None = None,
    before: str | None = None,
    after: str | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> list[Run]:
    """Return runs that meet all conditions, in the order in which they began.

    *before* and *after* are ids of runs, in the order asked for; before one, the nearest are wanted. A thread
    is named by its conversation's id, an agent's own by the agent's.
    """
    where = Where()
    if agent_ids:
        where.add("agent_id = ANY({}::text[])", list(agent_ids))
    if statuses:
        where.add("status = ANY({}::text[])", list(statuses))
    if stop_reason is not None:
        where.add("stop_reason = {}", stop_reason)
    if conversation_id is not None:
        where.add("conversation_id = {}", conversation_id)
    if thread_id is not None:
        where.add("coalesce(conversation_id, agent_id) = {}", thread_id)
    if created_by is not None:
        where.add("created_by = {}", created_by)
    return _part(tx, _RUNS, where, before, after, limit, newest_first)


def find_steps(
    tx: Tx,
    *,
    agent_id: str | None = None,
    run_id: str | None = None,
    model: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    opinion: str | None = None,
    has_opinion: bool | None = None,
    tags: Collection[str] = (),
    before: str | None = None,
    after: str | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> list[Step]:
    """Return steps that meet all conditions, as `find` does for runs."""
    where = Where()
    for column, value in (("agent_id", agent_id), ("run_id", run_id), ("model", model)):
        if value is not None:
            where.add(f"{column} = {{}}", value)
    if start is not None:
        where.add("created_at >= {}", start)
    if end is not None:
        where.add("created_at < {}", end)
    thought = "id IN (SELECT step_id FROM feedback WHERE "
    if opinion is not None:
        where.add(f"{thought}opinion = {{}})", opinion)
    if tags:
        where.add(f"{thought}tags && {{}}::text[])", list(tags))
    if has_opinion is not None:
        where.add(f"{'' if has_opinion else 'NOT '}{thought}opinion IS NOT NULL)")
    return _part(tx, _STEPS, where, before, after, limit, newest_first)


def _part(
    tx: Tx,
    table: Table[R],
    where: Where,
    before: str | None,
    after: str | None,
    limit: int,
    newest_first: bool,
) -> list[R]:
    backwards = before is not None and after is None
    earlier, later = (">", "<") if newest_first else ("<", ">")
    for other, sign in ((before, earlier), (after, later)):
        if other is not None:
            where.beyond(table.name, "created_at", sign, other)
    way = "DESC" if newest_first != backwards else "ASC"
    tail = f"{where} ORDER BY created_at {way}, id {way} LIMIT {where.place(limit)}"
    found = table.select(tx, tail, where.params)
    return found[::-1] if backwards else found


def asking(tx: Tx, step_ids: Collection[str]) -> set[str]:
    """Return those of these steps that ended by asking for approval."""
    rows = tx.query(
        "SELECT id FROM steps WHERE id = ANY($1::text[]) AND stop_reason = 'requires_approval'",
        (list(step_ids),),
    )
    return {row[0] for row in rows}


def end_step(tx: Tx, step: Step) -> None:
    """Write how a step ended that `add_step` wrote when its calls began."""
    _STEPS.change(tx, step, ("seconds", "stop_reason", "error", "tool_stats", "passages"))


def steps_of(tx: Tx, run_id: str) -> list[Step]:
    """Return the steps of a run in their order."""
    return _STEPS.select(tx, "WHERE run_id = $1 ORDER BY number", (run_id,))


def steps_of_many(tx: Tx, run_ids: Sequence[str]) -> list[Step]:
    """Return the steps of these runs, those of each in their order."""
    tail = "WHERE run_id = ANY($1::text[]) ORDER BY run_id, number"
    return _STEPS.select(tx, tail, (list(run_ids),))


def beside_of(
    tx: Tx, agent_ids: Collection[str], run_ids: Collection[str]
) -> dict[str, list[Beside]]:
    """Return what was placed beside the messages that these runs began with, by run id."""
    rows = tx.query(
        "SELECT run_id, beside FROM steps WHERE agent_id = ANY($1::text[]) AND run_id = ANY($2::text[])"
        " AND number = 1 AND beside::text <> '[]'",
        (list(agent_ids), list(run_ids)),
    )
    return {row[0]: [Beside.model_construct(**one) for one in load(row[1])] for row in rows}


def whole_steps(tx: Tx, run_id: str) -> list[Step]:
    """Return the steps of a run and of those that went on from it, numbered through.

    Calls that a person approved belong to the step that asked for them.
    """
    run = get(tx, run_id)
    found: list[Step] = []
    for one in chain(tx, run) if run is not None else []:
        for step in steps_of(tx, one.id):
            if step.number == 0 and found:
                asked = found[-1]
                asked.tool_stats = [*asked.tool_stats, *step.tool_stats]
                asked.seconds = (asked.seconds or 0.0) + (step.seconds or 0.0)
                asked.error = step.error or asked.error
            else:
                step.number = len(found) + 1
                found.append(step)
    return found
