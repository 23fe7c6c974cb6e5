"""Agents and their leases."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from letta_kernel.errors import AgentBusyError, ConflictError, InvalidInputError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Block, Passage, Run, Step, Tool, ToolRule
from letta_kernel.store import (
    agent_deletion,
    agents,
    blocks,
    indexes,
    lease,
    messages,
    passages,
    runs,
    tools,
)
from letta_kernel.store.database import Database, Tx

ME = lease.process_owner()


def test_an_agent_comes_back_as_it_was(database: Database) -> None:
    bob = AgentState(
        name="bob",
        description="a tester",
        model="demo",
        style="heartbeat",
        settings={"temperature": 0.5, "nested": {"a": [1, None]}},
        tool_rules=[ToolRule(type="max_count_per_step", tool_name="f", max_count_limit=2)],
        tags=["x", "y"],
        metadata={"who": "ü\"'"},
    )
    database.run(lambda tx: agents.add(tx, bob))
    assert database.run(lambda tx: agents.get(tx, bob.id)) == bob
    assert database.run(lambda tx: agents.named(tx, "bob")) == [bob]
    assert database.run(lambda tx: agents.get(tx, "agent-none")) is None
    assert database.run(lambda tx: agents.named(tx, "nobody")) == []


def test_ids_tell_namesakes_apart_and_one_set_aside_frees_its_name(
    database: Database, ada: AgentState
) -> None:
    other = database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    assert database.run(lambda tx: agents.named(tx, "ada")) == [ada, other]
    aside = ada.model_copy(update={"set_aside": True})
    database.run(lambda tx: agents.save(tx, aside))
    assert database.run(lambda tx: agents.named(tx, "ada")) == [other]
    assert database.run(lambda tx: agents.named(tx, "ada", set_aside=True)) == [aside]
    assert database.run(agents.list_all) == [other]
    assert database.run(lambda tx: agents.list_all(tx, set_aside=True)) == [aside, other]
    assert database.run(lambda tx: agents.get(tx, ada.id)) == aside


def test_saving(database: Database, ada: AgentState) -> None:
    before = ada.updated_at
    ada.name, ada.tags, ada.window_start = "ada2", ["t"], 5
    database.run(lambda tx: agents.save(tx, ada))
    stored = database.run(lambda tx: agents.get(tx, ada.id))
    assert stored == ada
    assert ada.updated_at > before
    database.run(lambda tx: agents.set_window(tx, ada.id, 9, "message-x"))
    stored = database.run(lambda tx: agents.get(tx, ada.id))
    assert stored is not None
    assert (stored.window_start, stored.summary_id, stored.name) == (9, "message-x", "ada2")
    with pytest.raises(NotFoundError):
        database.run(lambda tx: agents.save(tx, AgentState(name="ghost")))


def test_listing(database: Database) -> None:
    made = [AgentState(name=f"Agent {i}", tags=["even"] if i % 2 == 0 else []) for i in range(6)]
    made[0].tags.append("first")
    for agent in made:
        database.run(lambda tx, agent=agent: agents.add(tx, agent))  # type: ignore[misc]

    def listed(**wanted: object) -> list[int]:
        found = database.run(lambda tx: agents.list_all(tx, **wanted))  # type: ignore[arg-type]
        return [int(agent.name[-1]) for agent in found]

    assert listed() == [0, 1, 2, 3, 4, 5]
    assert listed(newest_first=True) == [5, 4, 3, 2, 1, 0]
    assert listed(tags=["even", "first"]) == [0, 2, 4]
    assert listed(tags=["even", "first"], match="all") == [0]
    assert listed(text="aGENT 3") == [3]
    assert listed(text="%") == []


def test_deleting_takes_all_that_is_only_its_own(database: Database, ada: AgentState) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))
    own = database.run(lambda tx: blocks.add(tx, Block(label="human"), ada.id))
    shared = database.run(lambda tx: blocks.add(tx, Block(label="team"), ada.id))
    loose = database.run(lambda tx: blocks.add(tx, Block(label="loose")))
    tool = database.run(lambda tx: tools.save(tx, Tool(name="f")))
    run = Run(agent_id=ada.id)
    step = Step(run_id=run.id, agent_id=ada.id, number=1)

    def fill(tx):  # type: ignore[no-untyped-def]
        blocks.attach(tx, bob.id, shared.id)
        tools.attach(tx, ada.id, tool.id)
        for agent in (ada, bob):
            messages.append(tx, agent.id, [Message(agent_id=agent.id, role="user", content="hi")])
            passages.append(tx, [Passage(agent_id=agent.id, content="fact")])
            indexes.mark(tx, "p-index", agent.id)
            indexes.mark(tx, "m-index", agent.id, "messages")
        runs.start(tx, run)
        runs.add_step(tx, step)

    database.run(fill)
    assert database.run(lambda tx: agent_deletion.delete(tx, ada.id)) is True
    assert database.run(lambda tx: agent_deletion.delete(tx, ada.id)) is False

    def look(tx):  # type: ignore[no-untyped-def]
        assert agents.get(tx, ada.id) is None
        assert blocks.get(tx, own.id) is None
        assert blocks.versions(tx, own.id) == []
        assert blocks.get(tx, shared.id) == shared
        assert blocks.agents_with(tx, shared.id) == [bob.id]
        assert blocks.get(tx, loose.id) == loose
        assert tools.get(tx, tool.id) == tool
        assert tools.agents_with(tx, tool.id) == []
        assert runs.get(tx, run.id) is None
        assert runs.get_step(tx, step.id) is None
        for table in ("messages", "passages", "index_marks", "leases"):
            left = tx.query(f"SELECT DISTINCT agent_id FROM {table}")
            assert left == [(bob.id,)], table
        assert tx.query("SELECT DISTINCT owner_id FROM counters WHERE kind = 'passages'") == [
            (bob.id,)
        ]
        for index in ("p-index", "m-index"):  # the indexes are told, each once
            (entry,) = indexes.outbox(tx, index)
            assert (entry.agent_id, entry.item_id, entry.action) == (ada.id, None, "delete")

    database.run(look)


def test_one_holder_at_a_time(database: Database, ada: AgentState) -> None:
    mine, another = f"{ME}/run-1", f"{ME}/run-2"
    fence = database.run(lambda tx: agents.acquire(tx, ada.id, mine, 60))
    assert database.run(lambda tx: agents.acquire(tx, ada.id, mine, 60)) == fence  # it has it
    with pytest.raises(AgentBusyError, match="'ada' is in the middle of a run here"):
        database.run(lambda tx: agents.acquire(tx, ada.id, another, 60))
    database.run(lambda tx: agents.release(tx, ada.id, another))  # not its own: nothing happens
    database.run(lambda tx: agents.check_fence(tx, ada.id, fence))
    with pytest.raises(AgentBusyError):
        database.run(lambda tx: agents.acquire(tx, ada.id, another, 60))
    database.run(lambda tx: agents.release(tx, ada.id, mine))
    assert database.run(lambda tx: agents.acquire(tx, ada.id, another, 60)) == fence + 1
    with pytest.raises(ConflictError, match="taken over"):
        database.run(lambda tx: agents.check_fence(tx, ada.id, fence))
    with pytest.raises(ConflictError):
        database.run(lambda tx: agents.renew(tx, ada.id, mine, fence, 60))


def test_a_lease_ends_by_itself_unless_renewed(database: Database, ada: AgentState) -> None:
    elsewhere = "another-host|1234|5678/run"  # of which nothing can be known but its lease
    fence = database.run(lambda tx: agents.acquire(tx, ada.id, elsewhere, -1))
    database.run(lambda tx: agents.renew(tx, ada.id, elsewhere, fence, 60))
    with pytest.raises(AgentBusyError, match="another program on another-host: wait"):
        database.run(lambda tx: agents.acquire(tx, ada.id, ME, 60))
    database.run(lambda tx: agents.renew(tx, ada.id, elsewhere, fence, -1))
    assert database.run(lambda tx: agents.acquire(tx, ada.id, ME, 60)) == fence + 1


def test_leases_of_agents_that_are_gone(database: Database, ada: AgentState) -> None:
    fence = database.run(lambda tx: agents.acquire(tx, ada.id, ME, 60))
    database.run(lambda tx: agent_deletion.delete(tx, ada.id))
    with pytest.raises(ConflictError, match="deleted"):
        database.run(lambda tx: agents.check_fence(tx, ada.id, fence))
    with pytest.raises(NotFoundError):
        database.run(lambda tx: agents.acquire(tx, ada.id, ME, 60))


def test_times_are_utc(database: Database, ada: AgentState) -> None:
    stored = database.run(lambda tx: agents.get(tx, ada.id))
    assert stored is not None
    assert stored.created_at.utcoffset() == timedelta(0)
    assert stored.created_at <= now()


def test_who_waits_longest_comes_first(database: Database, ada: AgentState) -> None:
    holder = f"{ME}/run-0"
    other = "another-host|12|34/run-1"
    database.run(lambda tx: agents.acquire(tx, ada.id, holder, 60))
    for owner, notebook in ((other, "b.ipynb"), (f"{ME}/run-2", "c.ipynb")):
        database.run(lambda tx, o=owner, n=notebook: lease.stand(tx, ada.id, o, n))  # type: ignore[misc]
    database.run(lambda tx: agents.release(tx, ada.id, holder))
    for late in (f"{ME}/run-2", f"{ME}/run-3"):
        with pytest.raises(AgentBusyError, match=r"in the notebook 'b\.ipynb' on another-host"):
            database.run(lambda tx, o=late: agents.begin(tx, ada.id, o, 60, 1))  # type: ignore[misc]
    database.run(lambda tx: agents.begin(tx, ada.id, other, 60, 1))
    database.run(lambda tx: agents.release(tx, ada.id, other))
    with pytest.raises(AgentBusyError):
        database.run(lambda tx: agents.begin(tx, ada.id, f"{ME}/run-3", 60, 1))
    database.run(lambda tx: lease.leave(tx, ada.id, f"{ME}/run-2"))
    left: list[str] = []
    database.run(
        lambda tx: agents.begin(tx, ada.id, f"{ME}/run-3", 60, 1, lambda: left.append("a run"))
    )
    assert not left  # it was given back


def test_those_who_do_not_come_back_hold_nobody_up(database: Database, ada: AgentState) -> None:
    gone = ME.rsplit("|", 1)[0] + "|1/run-1"  # this process's number, but begun at another time
    database.run(lambda tx: lease.stand(tx, ada.id, gone, None))
    database.run(lambda tx: lease.stand(tx, ada.id, "another-host|12|34/run-1", None))
    silent = (now() - timedelta(seconds=60)).isoformat()
    text = database.run(
        lambda tx: tx.one("SELECT queue FROM leases WHERE agent_id = $1", (ada.id,))
    )
    assert text is not None
    entries = [{**one, "at": silent} for one in json.loads(text[0])]
    assert [one["owner"] for one in entries] == [
        "another-host|12|34/run-1"
    ]  # the dead one is dropped
    database.run(
        lambda tx: tx.execute(
            "UPDATE leases SET queue = $2 WHERE agent_id = $1", (ada.id, json.dumps(entries))
        )
    )
    assert database.run(lambda tx: agents.begin(tx, ada.id, ME, 60, 1)).fence == 1


def test_where_a_run_left_the_lease_is_known_without_asking_and_only_as_long_as_it_is_so(
    database: Database, ada: AgentState
) -> None:
    """Numbers and fences stay right whoever else writes there."""
    neighbour = Database(database.home)  # as another process has it
    numbers: list[int] = []
    fences: list[int] = []
    owner = f"{ME}/run-1"

    def said(tx: Tx, first: int | None) -> None:
        stored = messages.append(
            tx, ada.id, [Message(agent_id=ada.id, role="user", content="x")], first
        )
        numbers.append(stored[0].seq)

    def run(tx: Tx) -> None:
        head = agents.begin(tx, ada.id, owner, 60, 1)
        said(tx, head.seq)
        fences.append(head.fence)

    def undone(tx: Tx) -> None:
        agents.advance(tx, ada.id, fences[-1], 60, 5, waiting=True)
        raise InvalidInputError("not this")

    def end(tx: Tx) -> None:
        said(tx, agents.advance(tx, ada.id, fences[-1], 60, 1, end=True, waiting=False).seq)

    def whole() -> None:
        database.run(run)
        with pytest.raises(InvalidInputError):
            database.run(undone)
        database.run(end)

    def by_the_neighbour() -> None:
        neighbour.run(lambda tx: agents.begin(tx, ada.id, "another-host|1|2/run-9", 60, 0))
        with pytest.raises(AgentBusyError):
            database.run(run)
        neighbour.run(lambda tx: agents.release(tx, ada.id, "another-host|1|2/run-9"))

    def in_line() -> None:
        database.run(lambda tx: lease.stand(tx, ada.id, "another-host|1|2/run-8", None))
        with pytest.raises(AgentBusyError):
            database.run(run)
        database.run(lambda tx: lease.leave(tx, ada.id, "another-host|1|2/run-8"))

    def ended_already() -> None:
        for late in (end, undone):
            with pytest.raises(ConflictError, match="had ended already"):
                database.run(late)

    def taken_by_hand() -> None:
        database.run(run)
        database.run(lambda tx: agents.take_by_hand(tx, ada.id))
        with pytest.raises(ConflictError, match="released, or taken over"):
            database.run(end)

    def in_the_middle_of_a_run() -> None:
        database.run(run)
        with pytest.raises(AgentBusyError):
            database.run(lambda tx: agents.begin(tx, ada.id, f"{ME}/run-2", 60, 1))
        database.run(lambda tx: said(tx, None))
        database.run(end)

    between = [
        *(ended_already, by_the_neighbour, in_line, taken_by_hand, in_the_middle_of_a_run),
        lambda: database.run(lambda tx: said(tx, None)),
        lambda: neighbour.run(lambda tx: said(tx, None)),
    ]
    whole()
    for others in between:
        others()
        whole()
        whole()
    neighbour.close()
    kept = [message.seq for message in database.run(lambda tx: messages.window(tx, ada.thread, 0))]
    assert kept == numbers == sorted(set(numbers))
    assert fences == sorted(set(fences))
    row = database.run(lambda tx: tx.one("SELECT next_seq, owner, waiting FROM leases"))
    assert row == (numbers[-1] + 1, None, False)
