"""Groups over REST: the paths and fields of Letta's SDK, whose own transport is used."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from letta_client import APIStatusError, Letta, NotFoundError, UnprocessableEntityError
from server_bench import Server, until

from letta_kernel.records import Tool
from letta_kernel.tools.schema import schema_from_source

Plain = dict[str, Any]


class Groups:
    """What the SDK's ``client.groups`` did, through its own transport."""

    def __init__(self, client: Letta) -> None:
        self.client = client

    def create(self, **body: Any) -> Plain:
        return self.client.post("/v1/groups/", cast_to=object, body=body)  # type: ignore[return-value]

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/v1/groups/{path}", cast_to=object, options={"params": query})

    def patch(self, path: str, **body: Any) -> Any:
        return self.client.patch(f"/v1/groups/{path}", cast_to=object, body=body)

    def send(self, group: Plain, **body: Any) -> Any:
        return self.client.post(f"/v1/groups/{group['id']}/messages", cast_to=object, body=body)


@pytest.fixture
def client(server: Server) -> Letta:
    return server.client()


@pytest.fixture
def groups(client: Letta) -> Groups:
    return Groups(client)


@pytest.fixture
def ids(client: Letta) -> list[str]:
    return [client.agents.create(name=name).id for name in ("ada", "ben", "cho")]


def test_a_group_is_made_looked_up_changed_and_deleted(
    client: Letta, groups: Groups, ids: list[str]
) -> None:
    block = client.blocks.create(label="plan", value="North.").id
    made = groups.create(
        agent_ids=ids[:2],
        description="Plans trips",
        manager_config={"manager_type": "round_robin", "max_turns": 4},
        shared_block_ids=[block],
    )
    assert (made["manager_type"], made["max_turns"], made["agent_ids"]) == (
        "round_robin",
        4,
        ids[:2],
    )
    assert made["shared_block_ids"] == [block]
    assert "plan" in [one.label for one in client.agents.blocks.list(ids[1])]
    assert groups.get(made["id"]) == made
    config = {"manager_type": "round_robin", "max_turns": 5}
    changed = groups.patch(made["id"], description="Plans more", manager_config=config)
    assert (changed["description"], changed["max_turns"]) == ("Plans more", 5)
    assert groups.patch(made["id"], agent_ids=ids)["agent_ids"] == ids
    with pytest.raises(UnprocessableEntityError, match="make another group"):
        groups.patch(made["id"], manager_config={"manager_type": "dynamic"})
    config = {"manager_type": "dynamic", "manager_agent_id": ids[2], "termination_token": "Over"}
    other = groups.create(agent_ids=ids[:2], description="", manager_config=config)
    assert (other["manager_agent_id"], other["termination_token"]) == (ids[2], "Over")
    assert [one["id"] for one in groups.get("", order="asc")] == [made["id"], other["id"]]
    assert [one["id"] for one in groups.get("", manager_type="dynamic")] == [other["id"]]
    page = groups.get("", order="asc", after=made["id"], limit=1)
    assert [one["id"] for one in page] == [other["id"]]
    assert groups.get("count") == 2
    manager = client.agents.retrieve(ids[2])
    assert manager.managed_group is not None
    assert manager.multi_agent_group is not None
    assert manager.managed_group.id == manager.multi_agent_group.id == other["id"]
    assert client.agents.retrieve(ids[0]).managed_group is None
    found = client.get(f"/v1/agents/{ids[0]}/groups", cast_to=object)
    assert {one["id"] for one in found} == {made["id"], other["id"]}  # type: ignore[attr-defined]
    client.delete(f"/v1/groups/{made['id']}", cast_to=object)
    with pytest.raises(NotFoundError):
        groups.get(made["id"])


@pytest.mark.parametrize(
    "given",
    [
        {"agent_ids": []},
        {"agent_ids": ["agent-1"]},
        {"manager_config": {"manager_type": "voice_sleeptime", "manager_agent_id": "agent-1"}},
        {"manager_config": {"manager_type": "swarm"}},
        {"manager_config": {"manager_type": "supervisor"}},
        {"shared_block_ids": ["block-1"]},
    ],
)
def test_what_is_no_group_is_refused(groups: Groups, ids: list[str], given: Plain) -> None:
    with pytest.raises(APIStatusError) as refused:
        groups.create(**{"agent_ids": ids, "description": "", **given})
    assert refused.value.status_code in (404, 422)
    assert groups.get("count") == 0


def test_a_message_to_a_group_is_answered_by_all(
    server: Server, client: Letta, groups: Groups, ids: list[str]
) -> None:
    made = groups.create(agent_ids=ids, description="Plans trips")
    for text in ("North", "South", "West"):
        server.scripted.reason("Hm.", text)
    answer = groups.send(made, messages=[{"role": "user", "content": "Where to?"}])
    kinds = [(one["message_type"], one["name"]) for one in answer["messages"]]
    assert kinds == [
        (kind, name)
        for name in ("ada", "ben", "cho")
        for kind in ("reasoning_message", "assistant_message")
    ]
    assert [one["sender_id"] for one in answer["messages"][::2]] == ids
    assert answer["stop_reason"]["stop_reason"] == "end_turn"
    usage = answer["usage"]
    assert usage["step_count"] == len(usage["run_ids"]) == 3
    assert {client.runs.retrieve(run).agent_id for run in usage["run_ids"]} == {*ids}
    listed = groups.get(f"{made['id']}/messages", order="asc")
    assert [(one["message_type"], one["name"]) for one in listed] == [
        ("user_message", None),
        *kinds,
    ]
    newest = groups.get(f"{made['id']}/messages", limit=1)
    assert [one["content"] for one in newest if "content" in one] == ["West"]
    older = groups.get(f"{made['id']}/messages", before=listed[1]["id"], order="asc")
    assert [one["content"] for one in older] == ["Where to?"]
    heard = [m for m in client.agents.messages.list(ids[0], order="asc") if m.sender_id]
    assert [(one.name, one.content) for one in heard] == [  # type: ignore[union-attr]
        ("ben", "ben: South"),
        ("cho", "cho: West"),
    ]
    groups.patch(f"{made['id']}/reset-messages")
    assert groups.get(f"{made['id']}/messages") == []


def test_a_group_streams_each_with_its_name(
    server: Server, client: Letta, groups: Groups, ids: list[str]
) -> None:
    config = {"manager_type": "supervisor", "manager_agent_id": ids[2]}
    made = groups.create(agent_ids=ids[:2], description="", manager_config=config)
    for tokens in (False, True):
        server.scripted.call("send_message_to_all_agents_in_group", {"message": "Well?"})
        for text in ("Yes it is", "No it is not", "They differ"):
            server.scripted.say(text, pieces=3)
        with _stream(server, made["id"], tokens) as lines:
            told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        said: dict[str, str] = {}
        for one in told:
            if one["message_type"] == "assistant_message":
                said[one["name"]] = said.get(one["name"], "") + one["content"]
        assert said == {"ada": "Yes it is", "ben": "No it is not", "cho": "They differ"}
        assert [one["message_type"] for one in told][-2:] == ["stop_reason", "usage_statistics"]
        numbers = [one["seq_id"] for one in told if one.get("seq_id")]
        assert numbers == sorted({*numbers})


@contextmanager
def _stream(server: Server, group_id: str, tokens: bool) -> Iterator[list[str]]:
    """The lines of a stream."""
    url = f"{server.url}/v1/groups/{group_id}/messages/stream"
    body = {"input": "Is it?", "stream_tokens": tokens, "include_pings": False}
    with httpx.stream("POST", url, json=body, headers=server.headers, timeout=30) as answer:
        assert answer.status_code == 200
        yield list(answer.iter_lines())


def test_a_member_that_waits_for_approval_is_told_and_goes_on(
    server: Server, client: Letta, groups: Groups, ids: list[str]
) -> None:
    source = 'def pay(euros: int) -> str:\n    """Pay."""\n    return "paid"\n'
    tool = server.service.tools.upsert(
        Tool(**schema_from_source(source), source=source, requires_approval=True, kind="source")
    )
    server.service.tools.attach(tool.id, agent=ids[0])
    made = groups.create(agent_ids=ids[:2], description="")
    server.scripted.call("pay", {"euros": 5})
    answer = groups.send(made, input="Pay, please")
    assert answer["stop_reason"]["stop_reason"] == "requires_approval"
    assert answer["messages"][-1]["message_type"] == "approval_request_message"
    call = answer["messages"][-1]["tool_call"]["tool_call_id"]
    with pytest.raises(APIStatusError) as refused:
        groups.send(made, input="And?")
    assert refused.value.status_code == 409
    for text in ("Not paid", "A pity"):
        server.scripted.say(text)
    word = {"type": "approval", "tool_call_id": call, "approve": False, "reason": "Too much"}
    answer = groups.send(made, messages=[{"type": "approval", "approvals": [word]}])
    said = [
        one["content"] for one in answer["messages"] if one["message_type"] == "assistant_message"
    ]
    assert said == ["Not paid", "A pity"]


def test_a_turn_is_ended_from_outside(server: Server, groups: Groups, ids: list[str]) -> None:
    made = groups.create(agent_ids=ids, description="")
    server.scripted.say("A long, long answer", pieces=10, delay=0.2)
    answers: list[Any] = []
    sender = threading.Thread(target=lambda: answers.append(groups.send(made, input="Talk")))
    sender.start()
    until(lambda: server.scripted.requests)
    ended = groups.client.post(f"/v1/groups/{made['id']}/cancel", cast_to=object)
    assert ended == {"cancelled": True}
    sender.join(30)
    assert answers[0]["stop_reason"]["stop_reason"] == "cancelled"
    assert len(server.scripted.requests) == 1


def test_a_model_that_fails_is_an_error_with_the_agents_name(
    server: Server, groups: Groups, ids: list[str]
) -> None:
    made = groups.create(agent_ids=ids, description="")
    server.scripted.fault(400, message="On strike")
    with pytest.raises(APIStatusError, match=r"ada: .*On strike"):
        groups.send(made, input="Hello")
    with pytest.raises(APIStatusError, match="one message at a time"):
        groups.send(made, messages=[{"role": "user", "content": "a"}] * 2)
    with pytest.raises(APIStatusError, match="empty"):
        groups.send(made, input=" ")
