"""Groups: their members, what was said in them, and who has heard it."""

from __future__ import annotations

import pytest

from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Group, GroupMessage, Run
from letta_kernel.store import agent_deletion, agents, groups, invariants, messages, runs
from letta_kernel.store.database import Database, Tx


@pytest.fixture
def ben(database: Database, ada: AgentState) -> AgentState:
    return database.run(lambda tx: agents.add(tx, AgentState(name="ben")))


@pytest.fixture
def team(database: Database, ada: AgentState, ben: AgentState) -> Group:
    made = Group(name="team", agent_ids=[ben.id, ada.id], max_turns=3)
    return database.run(lambda tx: groups.add(tx, made))


def said(group: Group, text: str, sender: AgentState | None = None) -> GroupMessage:
    """What somebody says in a group, to be kept."""
    whose = {"sender_id": sender.id, "name": sender.name} if sender else {}
    return GroupMessage(group_id=group.id, content=text, **whose)


def test_a_group_comes_back_as_it_was_kept(database: Database, team: Group) -> None:
    assert database.run(lambda tx: groups.get(tx, team.id)) == team
    assert database.run(lambda tx: groups.named(tx, "team")) == team
    assert database.run(lambda tx: groups.named(tx, "")) is None
    hidden = Group(agent_ids=team.agent_ids[:1], hidden=True, manager_type="supervisor")
    hidden.manager_agent_id = team.agent_ids[1]
    database.run(lambda tx: groups.add(tx, hidden))

    def ids(tx: Tx, **wanted: object) -> list[str]:
        return [one.id for one in groups.list_all(tx, **wanted)]  # type: ignore[arg-type]

    assert database.run(ids) == [team.id]
    both = [team.id, hidden.id]
    assert database.run(lambda tx: ids(tx, hidden=True)) == both
    assert database.run(lambda tx: ids(tx, hidden=True, agent_id=team.agent_ids[1])) == both
    managed = {"hidden": True, "manager_agent_id": team.agent_ids[1]}
    assert database.run(lambda tx: ids(tx, **managed)) == [hidden.id]
    assert database.run(lambda tx: ids(tx, hidden=True, manager_type="supervisor")) == [hidden.id]


def test_nobody_is_told_twice(
    database: Database, team: Group, ada: AgentState, ben: AgentState
) -> None:
    def talk(tx: Tx) -> list[str]:
        for one in (said(team, "Hello, both"), said(team, "Hello, Ada", ben)):
            groups.say(tx, one)
        return [one.content for one in groups.unheard(tx, team.id, ada.id)]

    assert database.run(talk) == ["Hello, both", "Hello, Ada"]

    def hear(tx: Tx) -> list[Message]:
        new = groups.copies(groups.unheard(tx, team.id, ada.id), ada.id)
        return messages.append(tx, ada.id, new)

    heard = database.run(hear)
    assert [(one.name, one.sender_id) for one in heard] == [(None, None), ("ben", ben.id)]
    # Killed before it was noted: the copies themselves say so.
    assert database.run(lambda tx: groups.unheard(tx, team.id, ada.id)) == []
    mine = database.run(lambda tx: groups.unheard(tx, team.id, ben.id))
    assert [one.content for one in mine] == ["Hello, both"]
    database.run(lambda tx: groups.heard(tx, team.id, ben.id, 2))
    assert database.run(lambda tx: groups.unheard(tx, team.id, ben.id)) == []
    # What somebody forgot is not told anew.
    database.run(lambda tx: groups.heard(tx, team.id, ada.id, 2))
    database.run(lambda tx: messages.clear(tx, ada.id))
    assert database.run(lambda tx: groups.unheard(tx, team.id, ada.id)) == []


def test_what_was_answered_is_kept_once(database: Database, team: Group, ada: AgentState) -> None:
    run = Run(agent_id=ada.id, group_id=team.id)
    given = {"agent_id": ada.id, "run_id": run.id, "step_id": "step-1", "group_id": team.id}

    def answer(tx: Tx) -> list[Message]:
        runs.start(tx, run)
        new = [
            Message(**given, role="assistant", content=text, interrupted=text == "Cut o")
            for text in ("", "Here I am", "Cut o")
        ]
        messages.append(tx, ada.id, new)
        return groups.unkept_answers(tx, team.id, [ada.id])

    assert database.run(answer) == []  # it goes on

    def end(tx: Tx) -> list[str]:
        runs.finish(tx, run.model_copy(update={"status": "completed"}))
        found = groups.unkept_answers(tx, team.id, [ada.id])
        for one in found:
            kept = said(team, one.said, ada)
            groups.say(tx, kept.model_copy(update={"id": one.id}))
        return [one.content for one in found]

    assert database.run(end) == ["Here I am"]
    assert database.run(lambda tx: groups.unkept_answers(tx, team.id, [ada.id])) == []
    turns = database.run(lambda tx: groups.turns(tx, team.id, [ada.id], run.created_at))
    assert [one.id for one in turns] == [run.id]


def test_a_group_that_begins_anew_takes_its_turns_out_of_histories(
    database: Database, team: Group, ada: AgentState
) -> None:
    def talk(tx: Tx) -> None:
        before = Message(agent_id=ada.id, role="user", content="Before")
        groups.say(tx, said(team, "Hello"))
        copies = groups.copies(groups.unheard(tx, team.id, ada.id), ada.id)
        after = Message(agent_id=ada.id, role="user", content="After")
        messages.append(tx, ada.id, [before, *copies, after])
        runs.start(tx, Run(agent_id=ada.id, group_id=team.id, status="completed"))

    database.run(talk)
    ids = database.run(lambda tx: groups.spoken_ids(tx, team.id))
    assert [one.content for one in database.run(lambda tx: groups.spoken(tx, ids))] == ["Hello"]
    database.run(lambda tx: groups.forget(tx, team.id))
    left = database.run(lambda tx: messages.window(tx, ada.thread, 0))
    assert [one.content for one in left] == ["Before", "After"]
    assert database.run(lambda tx: groups.spoken_ids(tx, team.id)) == []
    assert database.run(invariants.find) == []


def test_who_goes_leaves_the_groups(
    database: Database, team: Group, ada: AgentState, ben: AgentState
) -> None:
    managed = Group(agent_ids=[ben.id], manager_type="supervisor", manager_agent_id=ada.id)
    database.run(lambda tx: groups.add(tx, managed))
    database.run(lambda tx: groups.heard(tx, team.id, ada.id, 1))
    database.run(lambda tx: agent_deletion.delete(tx, ada.id))
    left = database.run(lambda tx: groups.list_all(tx, hidden=True))
    assert [(one.id, one.agent_ids) for one in left] == [(team.id, [ben.id])]
    assert database.run(invariants.find) == []
    database.run(lambda tx: tx.execute("DELETE FROM agents WHERE id = $1", (ben.id,)))
    assert "groups" in [one.what for one in database.run(invariants.find)]
    database.run(invariants.mend)
    assert database.run(lambda tx: groups.list_all(tx, hidden=True)) == []
