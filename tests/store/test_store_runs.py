"""Runs, steps, what they cost, and what they tell about tools."""

from __future__ import annotations

from datetime import timedelta

import pytest

from letta_kernel.errors import NotFoundError
from letta_kernel.ids import now
from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Run, Step
from letta_kernel.store import agents, lease, messages, run_figures, runs
from letta_kernel.store.database import Database
from letta_kernel.totals import Cost, ToolStats

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
    assert database.run(lambda tx: runs.page(tx, None, 4)) == made[:1:-1]


def test_an_unknown_agent_has_no_runs(database: Database) -> None:
    with pytest.raises(NotFoundError):
        database.run(lambda tx: runs.start(tx, Run(agent_id="agent-none")))
    assert database.run(lambda tx: lease.recover(tx, "agent-none")) == []


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
            assert database.run(lambda tx: run_figures.tool_stats(tx, ada.id))["f"].failing
    stats = database.run(lambda tx: run_figures.tool_stats(tx, ada.id))
    assert list(stats) == ["f", "g"]
    assert stats["f"] == ToolStats("f", 3, 1, 1.75, "ValueError: bad")
    assert stats["g"] == ToolStats("g", 1, 1, 0.0, "denied")


def test_runs_of_the_dead_are_marked_failed(database: Database, ada: AgentState) -> None:
    dead = ME.rsplit("|", 1)[0] + "|1"  # this process's number, but begun at another time
    database.run(lambda tx: agents.acquire(tx, ada.id, dead, 3600))
    abandoned = start(database, ada)
    finished = start(database, ada, status="completed")
    fence = database.run(lambda tx: agents.acquire(tx, ada.id, ME, 3600))
    mine = start(database, ada)
    assert database.run(lambda tx: lease.recover(tx, ada.id)) == [abandoned.id]
    assert database.run(lambda tx: lease.recover(tx, ada.id)) == []
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
    assert database.run(lambda tx: lease.recover(tx, ada.id)) == []
    database.run(lambda tx: agents.release(tx, ada.id, ME))
    assert database.run(lambda tx: lease.recover(tx, ada.id)) == [run.id]


def test_costs_add_up(database: Database, ada: AgentState) -> None:
    before = now()
    start(database, ada, cost=0.25, steps=2, prompt_tokens=10, notebook="a")
    start(database, ada, cost=0.5, steps=1, completion_tokens=5, notebook="b")
    start(database, ada, steps=1, cached_tokens=3, notebook="b")
    assert database.run(lambda tx: run_figures.cost(tx, ada.id)) == Cost(3, 4, 10, 5, 3, 0.75)
    assert database.run(lambda tx: run_figures.cost(tx, notebook="b")).runs == 2
    assert database.run(lambda tx: run_figures.cost(tx, since=before)).runs == 3
    nothing = Cost(0, 0, 0, 0, 0, None)
    assert (
        database.run(lambda tx: run_figures.cost(tx, since=now() + timedelta(hours=1))) == nothing
    )


def test_a_run_and_those_that_went_on_from_it_are_one(database: Database, ada: AgentState) -> None:
    def ended(reason: str, **fields: object) -> Run:
        return start(database, ada, status="completed", stop_reason=reason, **fields)

    first = ended("requires_approval", steps=1, cost=0.5, seconds=1.0)
    second = ended("requires_approval", steps=2, continues=first.id, seconds=2.0)
    third = ended("end_turn", steps=1, continues=second.id, prompt_tokens=7, cost=0.25)
    after = ended("requires_approval")  # and then the conversation was begun anew
    last = ended("requires_approval")
    for run, numbers in ((first, [1]), (second, [0, 1, 2]), (third, [0, 1])):
        for number in numbers:
            step = Step(
                run_id=run.id, agent_id=ada.id, number=number, tool_stats=[{"name": f"{number}"}]
            )
            database.run(lambda tx, step=step: runs.add_step(tx, step))  # type: ignore[misc]
    database.run(
        lambda tx: tx.execute("UPDATE leases SET waiting = true WHERE agent_id = $1", (ada.id,))
    )
    found = database.run(lambda tx: runs.whole(tx, ada.id))
    assert [(one.id, one.stop_reason, one.waits) for one in found] == [
        (last.id, "requires_approval", True),
        (after.id, "requires_approval", False),
        (first.id, "end_turn", False),
    ]
    one = found[-1]
    assert (one.steps, one.prompt_tokens, one.cost, one.seconds) == (4, 7, 0.75, 3.0)
    assert one.created_at == first.created_at
    assert [run.id for run in database.run(lambda tx: runs.whole(tx, ada.id, 9, after.id))] == [
        first.id
    ]
    assert database.run(lambda tx: run_figures.cost(tx, ada.id)).runs == 3
    steps = database.run(lambda tx: runs.whole_steps(tx, first.id))
    assert [step.number for step in steps] == [1, 2, 3, 4]
    assert [s["name"] for s in steps[0].tool_stats] == ["1", "0"]  # what it asked for was let go on


def test_what_was_asked_stands_with_the_run(database: Database, ada: AgentState) -> None:
    run = start(database, ada)
    said = [("user", "How many birds?", None), ("event", "Go on.", "step-1")]
    added = [
        Message(agent_id=ada.id, run_id=run.id, role=role, content=text, step_id=step)  # type: ignore[arg-type]
        for role, text, step in said
    ]
    database.run(lambda tx: messages.append(tx, ada.id, added))
    (found,) = database.run(lambda tx: runs.whole(tx, ada.id))
    assert found.asked == "How many birds?"


def test_the_runs_that_a_call_asked_for_are_found_again(
    database: Database, ada: AgentState
) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))
    asking = start(database, ada)
    asked = [
        start(database, one, asked_by=asking.id, asked_call=call)
        for one, call in ((bob, "call_1"), (bob, "call_2"), (ada, "call_2"))
    ]

    def found(run_id: str, call_id: str) -> list[Run]:
        return database.run(lambda tx: runs.asked_for(tx, run_id, call_id))

    assert found(asking.id, "call_1") == asked[:1]
    assert found(asking.id, "call_2") == asked[1:]
    assert found(asked[0].id, "call_1") == []


def test_what_others_cost_is_counted_once(database: Database, ada: AgentState) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))

    def spend(agent: AgentState, cost: float, by: Run | None = None, **fields: object) -> Run:
        asked_by = by.id if by is not None else None
        return start(database, agent, cost=cost, asked_by=asked_by, asked_call="call_1", **fields)

    first = spend(ada, 1.0)
    answer = spend(bob, 2.0, first)
    spend(bob, 4.0, continues=answer.id)
    spend(ada, 8.0, answer)  # ada's own, which are counted as such
    spend(bob, 16.0, first, group_id="group-1")  # bob's turn in a group that ada supervises
    assert database.run(lambda tx: run_figures.asked_cost(tx, ada.id)) == 6.0
