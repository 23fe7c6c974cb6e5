"""Agents as files through the official SDK."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from letta_client import NotFoundError, UnprocessableEntityError
from server_bench import Server

from letta_kernel.records import Tool


@pytest.fixture
def ada(server: Server) -> str:
    """The id of an agent that has said something and can add."""
    service = server.service
    state = service.agents.create(
        "ada", human="Kim", settings={"environment": {"API_KEY": "s3cret"}}, tags=["maths"]
    )
    tool = service.tools.upsert(Tool(name="add", source="def add(): return 1", kind="source"))
    service.tools.attach(tool.id, agent=state.id)
    server.scripted.say("Hello Kim")
    list(service.runs.send("ada", "Hi"))
    return state.id


@pytest.mark.parametrize("legacy", [False, True])
def test_an_agent_goes_out_and_comes_back(server: Server, ada: str, legacy: bool) -> None:
    client = server.client()
    text = client.agents.export_file(ada, use_legacy_format=legacy)
    data = json.loads(text)
    assert ("core_memory" in data) is legacy
    assert "s3cret" not in text
    came = client.agents.import_file(
        file=("ada.af", text.encode()),
        name="eve",
        model="google_ai/gemini-2.5-pro",
        secrets=json.dumps({"API_KEY": "mine"}),
    )
    (eve_id,) = came.agent_ids
    eve = server.service.agents.retrieve(eve_id)
    assert (eve.name, eve.model, eve.tags) == ("eve", "gemini/gemini-2.5-pro", ["maths"])
    assert eve.settings["environment"] == {"API_KEY": "mine"}
    assert [m.content for m in server.service.messages.history(eve_id)] == ["Hi", "Hello Kim"]
    assert [tool["name"] for tool in came.to_dict()["detached_tools"]] == ["add"]
    assert "add" not in [tool.name for tool in server.service.tools.list(eve_id)]
    assert "Kim" in server.service.blocks.retrieve("human", agent=eve_id).value


def test_without_messages_and_of_a_conversation(server: Server, ada: str) -> None:
    client = server.client()
    bare = json.loads(client.agents.export_file(ada, scrub_messages=True))
    assert [m["role"] for m in bare["agents"][0]["messages"]] == ["system"]
    one = server.service.conversations.create(ada).id
    server.scripted.say("There")
    list(server.service.runs.send(ada, "Here", conversation=one))
    text = client.agents.export_file(ada, conversation_id=one)
    came = client.agents.import_file(file=io.BytesIO(text.encode()), append_copy_suffix=True)
    copy = server.service.agents.retrieve(came.agent_ids[0])
    assert copy.name == "ada_copy"
    assert [m.content for m in server.service.messages.history(copy.id)] == ["Here", "There"]
    stripped = client.agents.import_file(file=io.BytesIO(text.encode()), strip_messages=True)
    assert server.service.messages.history(stripped.agent_ids[0]) == []


def test_what_cannot_be_read_changes_nothing(server: Server, ada: str) -> None:
    client = server.client()
    with pytest.raises(NotFoundError):
        client.agents.export_file("agent-x")
    files: list[Any] = [b"", b"{}", b"[" * 100_000, b"\xff", json.dumps({"agents": [{}]}).encode()]
    for data in files:
        with pytest.raises(UnprocessableEntityError):
            client.agents.import_file(file=("x.af", data))
    good = client.agents.export_file(ada).encode()
    with pytest.raises(UnprocessableEntityError):
        client.agents.import_file(file=("x.af", good), secrets="[1]")
    with pytest.raises(UnprocessableEntityError):
        client.agents.import_file(file=("x.af", good), model="nothing")
    reply = httpx.post(
        f"{server.url}/v1/agents/import", headers=server.headers, json={}, timeout=60
    )
    assert reply.status_code == 422
    assert len(server.service.agents.list()) == 1


def test_tools_of_a_file_replace_those_here_only_if_that_is_asked_for(
    server: Server, ada: str
) -> None:
    client, service = server.client(), server.service
    (add,) = [tool for tool in service.tools.list(ada) if tool.name == "add"]
    service.tools.upsert(add.model_copy(update={"tags": ["sums"], "requires_approval": True}))
    data = json.loads(client.agents.export_file(ada))
    (theirs,) = [tool for tool in data["tools"] if tool["name"] == "add"]
    theirs["source_code"] = "def add(): return 2"
    file = ("ada.af", json.dumps(data).encode())

    def source() -> str:
        return service.tools.retrieve(add.id).source

    came = client.agents.import_file(file=file)
    assert came.to_dict()["detached_tools"][0]["id"] != add.id
    assert source() == "def add(): return 1"
    service.tools.delete(str(came.to_dict()["detached_tools"][0]["id"]))
    came = client.agents.import_file(file=file, override_existing_tools=True)
    assert came.to_dict()["detached_tools"] == [{"id": add.id, "name": "add"}]
    now = service.tools.retrieve(add.id)
    assert (now.source, now.tags, now.network) == ("def add(): return 2", ["sums"], False)
    assert now.requires_approval, "what asked first still does"
    assert add.id in {tool.id for tool in service.tools.list(ada)}, "who had it keeps it"
    assert add.id not in {tool.id for tool in service.tools.list(came.agent_ids[0])}
