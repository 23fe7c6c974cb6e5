"""Messages of all agents, tags and identities through the SDK."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from server_bench import Server


@pytest.fixture
def client(server: Server) -> Letta:
    return server.client()


def talk(server: Server, name: str, said: str, answer: str) -> str:
    """Let a new agent answer once, and return its id."""
    agent = server.service.agents.create(name)
    server.scripted.say(answer)
    for _ in server.service.runs.send(agent.id, said):
        pass
    return agent.id


def test_messages_of_all_agents_are_listed_and_looked_up(server: Server, client: Letta) -> None:
    talk(server, "ada", "Where is the key?", "Behind the door.")
    talk(server, "bob", "When is lunch?", "At noon.")
    shown = client.messages.list()
    assert [(m.message_type, getattr(m, "content", "")) for m in shown] == [
        ("assistant_message", "At noon."),
        ("user_message", "When is lunch?"),
        ("assistant_message", "Behind the door."),
        ("user_message", "Where is the key?"),
    ]
    assert [m.id for m in client.messages.list(order="asc")] == [m.id for m in shown[::-1]]
    assert [m.id for m in client.messages.list(limit=1, after=shown[0].id)] == [shown[1].id]
    assert [m.id for m in client.messages.list(limit=1, before=shown[2].id)] == [shown[1].id]
    asked = client.messages.list(include_return_message_types=["user_message"])
    assert [m.id for m in asked] == [shown[1].id, shown[3].id]
    (one,) = client.messages.retrieve(shown[0].id)
    assert one == shown[0]
    with pytest.raises(NotFoundError):
        client.messages.retrieve("message-none")
    with pytest.raises(UnprocessableEntityError, match="message-none"):
        client.messages.list(before="message-none")
    with pytest.raises(NotFoundError):
        client.messages.list(conversation_id="conv-none")


def test_messages_are_searched(server: Server, client: Letta) -> None:
    ada = talk(server, "ada", "Where is the boat house key?", "Behind the door.")
    bob = talk(server, "bob", "When is lunch?", "At noon, in the garden.")
    found = client.messages.search(query="boat house key")
    assert found[0].content == "Where is the boat house key?"  # type: ignore[union-attr]
    assert (found[0].message_type, found[0].agent_id) == ("user_message", ada)
    assert {m.agent_id for m in client.messages.search(query="lunch door", agent_id=bob)} == {bob}
    assert len(client.messages.search(query="", limit=3)) == 3
    assert client.messages.search(query="key", end_date="2001-01-01T00:00:00Z") == []
    assert client.messages.search(query="key", conversation_id="default", agent_id=ada)
    with pytest.raises(NotFoundError):
        client.messages.search(query="x", agent_id="agent-none")
    with pytest.raises(NotFoundError):
        client.messages.search(query="x", conversation_id="conv-none")
    with pytest.raises(UnprocessableEntityError, match="limit"):
        client.messages.search(query="x", limit=0)


def test_tags_of_all_agents(server: Server, client: Letta) -> None:
    server.service.agents.create("ada", tags=["work", "Math"])
    server.service.agents.create("bob", tags=["work", "garden"])
    assert client.tags.list() == ["Math", "garden", "work"]
    assert client.tags.list(order="desc", limit=2) == ["work", "garden"]
    assert client.tags.list(after="Math", limit=1) == ["garden"]
    assert client.tags.list(query_text="MA") == ["Math"]
    assert client.tags.list(name="wor") == ["work"]


def test_identities(server: Server, client: Letta) -> None:
    agent = server.service.agents.create("ada")
    block = client.blocks.create(label="notes", value="")
    web = httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=60)
    made = web.post(
        "/identities/",
        json={
            "identifier_key": "u-1",
            "name": "Grace",
            "identity_type": "user",
            "block_ids": [block.id],
            "properties": [{"key": "seats", "value": 3, "type": "number"}],
        },
    ).json()
    assert made["block_ids"] == [block.id]
    assert web.post("/identities/", json={**made, "name": "x"}).status_code == 409

    client.agents.identities.attach(made["id"], agent_id=agent.id)
    assert web.get(f"/identities/{made['id']}").json()["agent_ids"] == [agent.id]
    agents = web.get(f"/identities/{made['id']}/agents").json()
    assert [one["name"] for one in agents] == ["ada"]
    assert [one.id for one in client.blocks.list(identity_id=made["id"])] == [block.id]
    assert [one.id for one in client.blocks.list(identifier_keys=["u-1"])] == [block.id]
    assert [one["id"] for one in web.get(f"/identities/{made['id']}/blocks").json()] == [block.id]
    client.agents.identities.detach(made["id"], agent_id=agent.id)
    assert web.get(f"/identities/{made['id']}").json()["agent_ids"] == []
    with pytest.raises(NotFoundError):
        client.agents.identities.detach(made["id"], agent_id=agent.id)
    with pytest.raises(NotFoundError, match="identity-none"):
        client.agents.identities.attach("identity-none", agent_id=agent.id)

    changed = web.patch(f"/identities/{made['id']}", json={"name": "Grace H.", "block_ids": []})
    assert (changed.json()["name"], changed.json()["block_ids"]) == ("Grace H.", [])
    replaced = web.put(
        "/identities/", json={"identifier_key": "u-1", "name": "G", "identity_type": "org"}
    ).json()
    assert (replaced["id"], replaced["identity_type"]) == (made["id"], "org")
    told = web.put(
        f"/identities/{made['id']}/properties",
        json=[
            {"key": "a", "value": "b", "type": "string"},
            {"key": "a", "value": "c", "type": "string"},
        ],
    ).json()
    assert [one["value"] for one in told["properties"]] == ["c"]
    assert web.get("/identities/", params={"name": "g", "identity_type": "org"}).json() == [told]
    assert web.get("/identities/count").json() == 1
    bad = web.post(
        "/identities/", json={"identifier_key": " ", "name": "x", "identity_type": "user"}
    )
    assert bad.status_code == 422
    missing = {"identifier_key": "k", "name": "x", "identity_type": "user", "agent_ids": ["none"]}
    assert web.post("/identities/", json=missing).status_code == 404
    assert web.get("/identities/count").json() == 1
    assert web.delete(f"/identities/{made['id']}").status_code == 200
    assert web.get(f"/identities/{made['id']}").status_code == 404


def test_looking_asynchronously(server: Server) -> None:
    talk(server, "ada", "Where is the key?", "Behind the door.")

    async def main() -> None:
        async with server.async_client() as client:
            shown, found = await asyncio.gather(
                client.messages.list(), client.messages.search(query="key")
            )
            assert len(shown) == 2
            assert found

    asyncio.run(main())
