"""Runs, steps, what they cost, and what they tell about tools."""

from __future__ import annotations

from datetime import timedelta

import pytest

from letta_kernel.errors import NotFoundError
from letta_kernel.ids import now
from letta_kernel.records import AgentState, Run, Step
from letta_kernel.store import agents, lease, runs
from letta_kernel.store.database import Database

ME = lease.process_owner()


def start(database: Database, agent: AgentState, **fields: object) -> Run:
    return database.run(lambda tx: runs.start(tx, Run(agent_id=agent.id, **fields)))  # type: ignore[arg-type]


def status(database: Database, run: Run) -> str:
    found = database.run(lambda tx: runs.get(tx, run.id))
    assert found is not None
    return found.status


def test_a_run_and_its_steps_come_back_as_they_were(database: Database, ada: AgentState) -> None:
    run = start(database, ada, model="demo", notebook="n.ipynb")
    assert database.run(lambda tx: runs.get(tx, run.id)) == run
    steps = [
        Step(
            run_id=run.id,
            agent_id=ada.id,
            number=number,
            prompt_tokens=10,
            cost=0.25,
            first_token=0.5,
            retrieved=[{"id": "passage-1", "score": 0.5}],
            tool_stats=[{"name": "f", "status": "ok", "seconds": 0.5}],
        )
        for number in (2, 1)
    ]
    for step in steps:
        database.run(lambda tx, step=step: runs.add_step(tx, step))  # type: ignore[misc]
    assert database.run(lambda tx: runs.steps_of(tx, run.id)) == steps[::-1]
    assert database.run(lambda tx: runs.get_step(tx, steps[0].id)) == steps[0]
    run.status, run.stop_reason, run.steps, run.cost = "completed", "end_turn", 2, 0.5
    run.ended_at, run.seconds = now(), 1.5
    database.run(lambda tx: runs.finish(tx, run))
    assert database.run(lambda tx: runs.get(tx, run.id)) == run
    assert database.run(lambda tx: runs.get(tx, "run-none")) is None


def test_pages(database: Database, ada: AgentState) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))
    made = [start(database, ada if number % 2 else bob) for number in range(6)]
    of_ada = database.run(lambda tx: runs.page(tx, ada.id))
    assert of_ada == [made[5], made[3], made[1]]
    assert database.run(lambda tx: runs.page(tx, ada.id, 1, made[5].id)) == [made[3]]
    assert database.run(lambda tx: runs.page(tx, None, 4)) == made[:1:-1]
    assert database.run(lambda tx: runs.page(tx, None, 9, made[1].id)) == [made[0]]


def test_an_unknown_agent_has_no_runs(database: Database) -> None:
    with pytest.raises(NotFoundError):
        database.run(lambda tx: runs.start(tx, Run(agent_id="agent-none")))
    assert database.run(lambda tx: runs.recover(tx, "agent-none")) == []


def test_statistics_of_tools(database: Database, ada: AgentState) -> None:
    run = start(database, ada)
    calls = [
        [{"name": "f", "status": "ok", "seconds": 1.0}],
        [],
        [
            {"name": "f", "status": "error", "seconds": 0.5, "error": "ValueError: bad"},
            {"name": "g", "status": "denied", "seconds": None},
        ],
        [{"name": "f", "status": "ok", "seconds": 0.25}],
    ]
    for number, stats in enumerate(calls):
        step = Step(run_id=run.id, agent_id=ada.id, number=number, tool_stats=stats)
        database.run(lambda tx, step=step: runs.add_step(tx, step))  # type: ignore[misc]
        if number == 2:
            assert database.run(lambda tx: runs.tool_stats(tx, ada.id))["f"].failing
    stats = database.run(lambda tx: runs.tool_stats(tx, ada.id))
    assert list(stats) == ["f", "g"]
    assert stats["f"] == runs.ToolStats("f", 3, 1, 1.75, "ValueError: bad")
    assert stats["g"] == runs.ToolStats("g", 1, 1, 0.0, "denied")


def test_runs_of_the_dead_are_marked_failed(database: Database, ada: AgentState) -> None:
    dead = ME.rsplit("|", 1)[0] + "|1"  # this process's number, but begun at another time
    database.run(lambda tx: agents.acquire(tx, ada.id, dead, 3600))
    abandoned = start(database, ada)
    finished = start(database, ada, status="completed")
    fence = database.run(lambda tx: agents.acquire(tx, ada.id, ME, 3600))
    mine = start(database, ada)
    assert database.run(lambda tx: runs.recover(tx, ada.id)) == [abandoned.id]
    assert database.run(lambda tx: runs.recover(tx, ada.id)) == []
    assert [status(database, run) for run in (abandoned, finished, mine)] == [
        "failed",
        "completed",
        "running",
    ]
    stored = database.run(lambda tx: runs.get(tx, abandoned.id))
    assert stored is not None
    assert stored.error == "The process that ran it ended."
    assert stored.ended_at is not None
    assert fence == 2


def test_runs_without_a_holder_are_dead(database: Database, ada: AgentState) -> None:
    database.run(lambda tx: agents.acquire(tx, ada.id, ME, 3600))
    run = start(database, ada)
    assert database.run(lambda tx: runs.recover(tx, ada.id)) == []
    database.run(lambda tx: agents.release(tx, ada.id, ME))
    assert database.run(lambda tx: runs.recover(tx, ada.id)) == [run.id]


def test_costs_add_up(database: Database, ada: AgentState) -> None:
    before = now()
    start(database, ada, cost=0.25, steps=2, prompt_tokens=10, notebook="a")
    start(database, ada, cost=0.5, steps=1, completion_tokens=5, notebook="b")
    start(database, ada, steps=1, cached_tokens=3, notebook="b")
    assert database.run(lambda tx: runs.cost(tx, ada.id)) == runs.Cost(3, 4, 10, 5, 3, 0.75)
    assert database.run(lambda tx: runs.cost(tx, notebook="b")).runs == 2
    assert database.run(lambda tx: runs.cost(tx, since=before)).runs == 3
    nothing = runs.Cost(0, 0, 0, 0, 0, None)
    assert database.run(lambda tx: runs.cost(tx, since=now() + timedelta(hours=1))) == nothing
