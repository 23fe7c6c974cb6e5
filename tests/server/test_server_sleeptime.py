"""Sleep-time agents over REST, as Letta's SDK asks for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from scripted_wire import Answer, Call
from server_bench import Server, until

from letta_kernel.agent.prompts import SLEEPTIME


@pytest.fixture
def client(server: Server) -> Letta:
    server.service.sleeptime.quiet = 0.0
    return server.client()


def asleep(body: dict[str, Any]) -> bool:
    return "look after the memory of another agent" in str(body["messages"][0]["content"])


def test_another_agent_is_made_and_tidies_after_its_turns(server: Server, client: Letta) -> None:
    moves = [("memory_replace", {"label": "human", "old_string": "Bergen", "new_string": "Oslo"})]

    def answer(body: dict[str, Any]) -> Answer:
        if not asleep(body) or not moves:
            return Answer(text="Fine.")
        name, arguments = moves.pop()
        return Answer(calls=[Call("call_1", name, json.dumps(arguments))])

    server.scripted.default = answer
    ada = client.agents.create(
        name="ada",
        memory_blocks=[{"label": "human", "value": "Lives in Bergen"}],
        enable_sleeptime=True,
    )
    assert ada.enable_sleeptime
    assert [tool.name for tool in ada.tools] == ["conversation_search", "archival_memory_search"]
    group = ada.multi_agent_group
    assert group is not None
    assert (group.manager_type, group.manager_agent_id, group.sleeptime_agent_frequency) == (
        "sleeptime",
        ada.id,
        5,
    )
    assert ada.managed_group is not None
    sleeper = client.agents.retrieve(group.agent_ids[0])
    assert (sleeper.name, sleeper.agent_type) == ("ada-sleeptime", "sleeptime_agent")
    assert {block.label for block in sleeper.memory.blocks} == {"human", "memory_persona"}
    assert [one.id for one in sleeper.memory.blocks if one.label == "human"] == [
        one.id for one in ada.memory.blocks
    ]
    assert {"memory_replace", "memory_insert", "memory_rethink", "memory_finish_edits"} <= {
        tool.name for tool in sleeper.tools
    }
    for number in range(5):
        assert client.agents.blocks.retrieve("human", agent_id=ada.id).value == "Lives in Bergen"
        client.agents.messages.create(ada.id, messages=[{"role": "user", "content": f"{number}"}])
    until(lambda: "Oslo" in client.agents.blocks.retrieve("human", agent_id=ada.id).value)

    def counted() -> Any:
        found = client.agents.retrieve(ada.id).multi_agent_group
        return found and found.turns_counter == 0 and found.last_processed_message_id

    until(counted)
    client.agents.delete(ada.id)
    with pytest.raises(NotFoundError):
        client.agents.retrieve(sleeper.id)


def test_it_is_switched_on_and_off_by_an_update(server: Server, client: Letta) -> None:
    ada = client.agents.create(name="ada", memory_blocks=[{"label": "human", "value": "Kim"}])
    assert not ada.enable_sleeptime
    assert ada.multi_agent_group is None
    first = client.agents.update(ada.id, enable_sleeptime=True)
    again = client.agents.update(ada.id, enable_sleeptime=True, description="again")
    assert first.multi_agent_group is not None
    assert again.multi_agent_group is not None
    assert again.multi_agent_group.id == first.multi_agent_group.id
    client.patch(
        f"/v1/groups/{first.multi_agent_group.id}",
        cast_to=object,
        body={"manager_config": {"manager_type": "sleeptime", "sleeptime_agent_frequency": 2}},
    )
    standing = server.service.sleeptime.standing(ada.id)
    assert standing is not None
    assert standing.group.sleeptime_agent_frequency == 2
    off = client.agents.update(ada.id, enable_sleeptime=False)
    assert not off.enable_sleeptime
    assert off.multi_agent_group is None
    assert client.agents.blocks.retrieve("human", agent_id=ada.id).value == "Kim"


def test_a_sleep_time_agent_is_made_by_itself(server: Server, client: Letta) -> None:
    made = client.agents.create(
        name="tidier",
        agent_type="sleeptime_agent",
        memory_blocks=[{"label": "fact_block", "value": "Messi plays in Paris."}],
    )
    assert made.agent_type == "sleeptime_agent"
    assert made.system == SLEEPTIME
    assert [tool.name for tool in made.tools] == [
        "memory_replace",
        "memory_insert",
        "memory_rethink",
        "memory_finish_edits",
    ]
    server.scripted.call(
        "memory_replace", {"label": "fact_block", "old_string": "Paris", "new_string": "Miami"}
    )
    server.scripted.call("memory_finish_edits", {})
    client.agents.messages.create(made.id, messages=[{"role": "user", "content": "He moved."}])
    value = client.agents.blocks.retrieve("fact_block", agent_id=made.id).value
    assert value == "Messi plays in Miami."
    assert server.scripted.waiting == 0


def test_a_token_of_one_agent_lets_none_be_made(server: Server, client: Letta) -> None:
    ada = client.agents.create(name="ada")
    token = server.service.tokens.create("mine", "write", agent=ada.id)[1]
    mine = Letta(base_url=server.url, api_key=token, max_retries=0)
    with pytest.raises(UnprocessableEntityError):
        mine.agents.update(ada.id, enable_sleeptime=True)
