"""Groups in agent files: they go along with who manages them, and come back as they were or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from agent_bench import Bench, kept_whole

from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import GroupEnded
from letta_kernel.records import REST, SLEEPTIME_OF, Group
from letta_kernel.store import invariants

DESK = {"desk": "Tea at five"}


def team(bench: Bench, **options: Any) -> Group:
    """Make a supervisor's group, with a block that two of its agents and no stranger have."""
    service = bench.service
    service.agents.create("ada", model="openai/scripted", blocks=dict(DESK))
    for name in ("ben", "cho", "dan"):
        service.agents.create(name, model="openai/scripted")
    desk = service.blocks.retrieve("desk", agent="ada")
    return service.groups.create(
        ["cho", "ben"],
        name="team",
        description="Plan a trip.",
        manager_type="supervisor",
        manager="ada",
        shared_block_ids=[desk.id],
        **options,
    )


def check(bench: Bench) -> None:
    kept_whole(bench.service)
    assert bench.service.database.run(invariants.find) == []


def test_a_group_comes_back_with_its_agents(bench: Bench) -> None:
    service = bench.service
    made = team(bench, hidden=True)
    bench.server.say("Well.")
    cho_here = service.agents.retrieve("cho").id
    list(service.runs.send("ben", "North?", name="cho", sender_id=cho_here, group_id=made.id))
    data = json.loads(json.dumps(service.agent_files.export("ada")))
    assert [one["name"] for one in data["agents"]] == ["ada", "cho", "ben"]
    assert [one["group_ids"] for one in data["agents"]] == [["group-0"], [], []]
    assert [one["enable_sleeptime"] for one in data["agents"]] == [False] * 3
    assert [one["label"] for one in data["blocks"]].count("desk") == 1
    (entry,) = data["groups"]
    assert entry["agent_ids"] == ["agent-1", "agent-2"]
    assert entry["manager_config"] == {
        "manager_type": "supervisor",
        "manager_agent_id": "agent-0",
    }
    ids = [one["id"] for agent in data["agents"] for one in agent["messages"]]
    assert len(set(ids)) == len(ids)
    text = json.dumps(data)
    assert made.id not in text
    assert text.count(cho_here) == 1  # where it says of which agent it is the file

    came = service.agent_files.import_data(data, name="eve")
    assert [one.name for one in came.agents] == ["eve", "cho_copy", "ben_copy"]
    assert came.notes == []
    (group,) = came.groups
    eve, cho, ben = (one.id for one in came.agents)
    assert (group.name, group.agent_ids, group.manager_agent_id) == ("team_copy", [cho, ben], eve)
    for field in ("description", "manager_type", "hidden"):
        assert getattr(group, field) == getattr(made, field), field
    desk = service.blocks.upsert("desk", "Tea at six", agent="eve")
    assert group.shared_block_ids == [desk.id]
    assert service.blocks.retrieve("desk", agent="ben_copy").value == "Tea at six"
    assert service.blocks.retrieve("desk", agent="ben").value == "Tea at five"

    heard = service.messages.history("ben_copy")
    (north,) = [one for one in heard if one.role == "user"]
    assert (north.content, north.sender_id, north.group_id) == ("North?", cho, group.id)
    again = service.agent_files.export("eve")
    assert again["groups"] == [
        {**entry, "letta_kernel": {"name": "team_copy"}},
    ]
    bench.server.say("Now.")
    (*_, end) = service.groups.send("@team_copy", "And now?")
    assert isinstance(end, GroupEnded)
    check(bench)


def test_who_is_only_in_a_group_goes_alone(bench: Bench) -> None:
    team(bench)
    data = bench.service.agent_files.export("ben")
    assert ([one["name"] for one in data["agents"]], data["groups"]) == (["ben"], [])
    old = bench.service.agent_files.export("ada", form="legacy")
    assert [one["label"] for one in old["core_memory"]].count("desk") == 1
    assert bench.service.agent_files.import_data(old).groups == []


def test_who_tidies_a_memory_comes_along(bench: Bench) -> None:
    service = bench.service
    service.agents.create("ada", model="openai/scripted", human="Kim")
    service.sleeptime.enable("ada", every=3, review=True)
    ada = service.agents.retrieve("ada")
    data = service.agent_files.export("ada")
    assert [one["enable_sleeptime"] for one in data["agents"]] == [True, False]
    assert data["agents"][1]["agent_type"] == "sleeptime_agent"
    assert "sleeptime_of" not in json.dumps(data)
    came = service.agent_files.import_data(data, name="eve")
    assert came.notes == []
    standing = service.sleeptime.standing("eve")
    assert standing is not None
    assert (standing.group.sleeptime_agent_frequency, standing.group.sleeptime_propose_only) == (
        3,
        True,
    )
    assert standing.sleeper.id == came.agents[1].id
    assert standing.sleeper.looks_after == came.agent.id
    assert standing.turns == 0
    mine = service.sleeptime.standing("ada")
    assert mine is not None
    assert mine.sleeper.looks_after == ada.id
    names = {one.name for one in service.tools.list(mine.sleeper.id)}
    assert {one.name for one in service.tools.list(standing.sleeper.id)} == names
    service.agents.delete("eve")
    assert service.sleeptime.standing("ada") is not None
    check(bench)


def test_a_file_does_not_say_whose_memory_here_is_tidied(bench: Bench) -> None:
    service = bench.service
    service.agents.create("ada", model="openai/scripted")
    data = service.agent_files.export("ada")
    agent = data["agents"][0]
    agent["agent_type"], agent["enable_sleeptime"] = "sleeptime_agent", True
    mine = service.agents.retrieve("ada").id
    agent["metadata"][REST] = {SLEEPTIME_OF: mine}
    came = service.agent_files.import_data(data)
    assert came.agent.looks_after is None
    assert any("Nobody tidies" in note for note in came.notes)


def entry(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = data["groups"][0]
    return found


def tidied_twice(data: dict[str, Any]) -> None:
    config = {"manager_type": "sleeptime", "manager_agent_id": "agent-0"}
    other = {"manager_type": "sleeptime", "manager_agent_id": "agent-1"}
    data["groups"] = [
        {"id": "group-0", "agent_ids": ["agent-1"], "manager_config": config},
        {"id": "group-1", "agent_ids": ["agent-0"], "manager_config": other},
    ]


BROKEN: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda data: entry(data).update(agent_ids=["agent-9"]), "does not hold"),
    (lambda data: entry(data).update(agent_ids=["agent-1", "agent-1"]), "named twice"),
    (lambda data: entry(data).update(agent_ids=["agent-0"]), "not one of the members"),
    (lambda data: entry(data).update(agent_ids=["agent-1"] * 1001), "agent_ids"),
    (lambda data: entry(data).update(agent_ids=7), "agent_ids"),
    (lambda data: entry(data).update(description="x" * 10_001), "description"),
    (lambda data: entry(data).update(shared_block_ids=["block-99"]), "does not hold"),
    (lambda data: entry(data).update(manager_config={"manager_type": "supervisor"}), "needs an"),
    (lambda data: entry(data).update(manager_config={"max_turns": "many"}), "max_turns"),
    (lambda data: entry(data).update(manager_config={"max_turns": 0}), "max_turns"),
    (lambda data: entry(data)["manager_config"].update(manager_agent_id=["x"]), "does not hold"),
    (lambda data: entry(data).update(id="agent-1"), "two things"),
    (lambda data: data["agents"][1].update(id="agent-0"), "ids of their own"),
    (lambda data: data.update(groups=[entry(data)] * 51), "groups"),
    (lambda data: data.update(groups=["x"]), "groups"),
    (tidied_twice, "tidies"),
]


@pytest.mark.parametrize(("breaks", "said"), BROKEN)
def test_a_broken_group_makes_nothing(
    bench: Bench, breaks: Callable[[dict[str, Any]], Any], said: str
) -> None:
    service = bench.service
    team(bench)
    data = json.loads(json.dumps(service.agent_files.export("ada")))
    breaks(data)
    with pytest.raises(InvalidInputError, match=said) as error:
        service.agent_files.import_data(data)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert len(service.agents.list()) == 4
    assert len(service.groups.list(hidden=True)) == 1
    check(bench)


def test_a_group_of_another_kind_is_left_out_and_said_so(bench: Bench) -> None:
    service = bench.service
    team(bench)
    data = service.agent_files.export("ada")
    config = {"manager_type": "voice_sleeptime\n", "manager_agent_id": "agent-0"}
    data["groups"] = [
        {"id": "group-0", "agent_ids": ["agent-1"], "manager_config": config},
        {"id": "group-1", "agent_ids": []},
        {"id": "group-2", "agent_ids": ["agent-2", "agent-1"], "manager_config": {"max_turns": 2}},
    ]
    data["blocks"].append({"id": "block-77", "label": "extra", "value": "v"})
    data["groups"][2]["shared_block_ids"] = ["block-77"]
    came = service.agent_files.import_data(data)
    (group,) = came.groups
    assert (group.manager_type, group.max_turns, group.name) == ("round_robin", 2, "")
    assert group.agent_ids == [came.agents[2].id, came.agents[1].id]
    assert service.blocks.retrieve("extra", agent=came.agents[1].id).value == "v"
    assert len(came.notes) == 2
    assert "voice_sleeptime" in came.notes[0]
    assert "no agents" in came.notes[1]
    check(bench)
