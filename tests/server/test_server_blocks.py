"""Memory blocks through the SDK."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from letta_client import ConflictError, Letta, NotFoundError, UnprocessableEntityError
from server_bench import Server


@pytest.fixture
def client(server: Server) -> Letta:
    return server.client()


def test_a_block_is_made_read_changed_and_deleted(client: Letta) -> None:
    made = client.blocks.create(
        label="human",
        value="Ada",
        description="who she is",
        read_only=True,
        metadata={"from": "crm"},
        tags=["people"],
    )
    assert made.limit == 100_000
    assert (made.label, made.value, made.read_only) == ("human", "Ada", True)
    again = client.blocks.retrieve(made.id)
    assert again == made

    changed = client.blocks.update(made.id, value="Ada L.", limit=500, read_only=False, label="who")
    assert (changed.value, changed.limit, changed.label) == ("Ada L.", 500, "who")
    assert changed.description == "who she is"
    assert changed.metadata == {"from": "crm"}

    client.blocks.delete(made.id)
    with pytest.raises(NotFoundError, match=made.id):
        client.blocks.retrieve(made.id)
    with pytest.raises(NotFoundError):
        client.blocks.delete(made.id)


def test_text_over_the_limit_is_refused_with_the_field(client: Letta) -> None:
    client.blocks.create(label="full", value="x" * 100_000)
    for refused in (
        lambda: client.blocks.create(label="over", value="x" * 100_001),
        lambda: client.blocks.create(label="over", value="12345", limit=4),
    ):
        with pytest.raises(UnprocessableEntityError) as caught:
            refused()
        assert caught.value.body["detail"][0]["loc"] == ["body", "value"]  # type: ignore[index]
    small = client.blocks.create(label="small", value="1234", limit=4)
    with pytest.raises(UnprocessableEntityError, match="may hold 4"):
        client.blocks.update(small.id, value="12345")
    with pytest.raises(UnprocessableEntityError, match="limit"):
        client.blocks.update(small.id, limit=3)
    assert client.blocks.retrieve(small.id).value == "1234"
    assert [block.label for block in client.blocks.list()] == ["full", "small"]


def test_what_cannot_be_a_block_is_refused(client: Letta) -> None:
    for label in ("", " x", "x ", "a\nb", "a\tb", "a\u2028b", "x" * 201):
        with pytest.raises(UnprocessableEntityError, match="label"):
            client.blocks.create(label=label, value="")
    with pytest.raises(UnprocessableEntityError):
        client.blocks.create(label="x", value="", limit=0)
    with pytest.raises(UnprocessableEntityError):
        client.blocks.create(label="x", value="", limit=2**40)
    assert client.blocks.list().items == []


def test_blocks_are_listed_with_filters_and_in_pages(server: Server, client: Letta) -> None:
    agent = server.service.agents.create("ada")
    shared = client.blocks.create(
        label="project", value="The Analytical Engine", tags=["work", "math"]
    )
    client.blocks.create(label="notes", value="nothing yet", description="loose", tags=["work"])
    server.service.blocks.attach(shared.id, agent=agent.id)

    def labels(**filters: object) -> list[str | None]:
        return [block.label for block in client.blocks.list(**filters)]  # type: ignore[arg-type]

    assert labels() == ["persona", "human", "project", "notes"]
    assert labels(order="desc", limit=1) == ["notes", "project", "human", "persona"]
    assert labels(label="project") == ["project"]
    assert labels(label_search="OTE") == ["notes"]
    assert labels(value_search="analytical") == ["project"]
    assert labels(description_search="LOOSE") == ["notes"]
    assert labels(tags=["math", "work"]) == ["project", "notes"]
    assert labels(tags=["math", "work"], match_all_tags=True) == ["project"]
    assert labels(connected_to_agents_count_eq=[0]) == ["notes"]
    assert labels(connected_to_agents_count_gt=0) == ["persona", "human", "project"]
    assert labels(connected_to_agents_count_lt=1) == ["notes"]
    assert labels(templates_only=True) == []

    page = client.blocks.list(limit=2, before=shared.id)
    assert [block.label for block in page.items] == ["persona", "human"]
    with pytest.raises(UnprocessableEntityError, match="block-none"):
        client.blocks.list(after="block-none")


def test_an_agents_core_memory(server: Server, client: Letta) -> None:
    agent = server.service.agents.create("ada", persona="I count.", human="Ada")
    of = client.agents.blocks
    assert [block.label for block in of.list(agent.id)] == ["persona", "human"]
    assert [block.label for block in of.list(agent.id, order="desc", limit=1).items] == ["human"]
    assert of.retrieve("persona", agent_id=agent.id).value == "I count."
    changed = of.update("persona", agent_id=agent.id, value="I count and write.", limit=50)
    assert (changed.value, changed.limit) == ("I count and write.", 50)
    versions = server.service.blocks.versions("persona", agent=agent.id)
    assert [version.value for version in versions] == ["I count.", "I count and write."]

    with pytest.raises(NotFoundError, match="persona"):
        of.retrieve("personas", agent_id=agent.id)
    with pytest.raises(NotFoundError, match="agent-none"):
        of.list("agent-none")
    with pytest.raises(UnprocessableEntityError, match="may hold 50"):
        of.update("persona", agent_id=agent.id, value="x" * 51)


def test_blocks_are_attached_shared_and_detached(server: Server, client: Letta) -> None:
    ada, bob = (server.service.agents.create(name) for name in ("ada", "bob"))
    block = client.blocks.create(label="team", value="We meet on Mondays.")
    state = client.agents.blocks.attach(block.id, agent_id=ada.id)
    assert state.id == ada.id
    client.agents.blocks.attach(block.id, agent_id=bob.id)
    client.agents.blocks.update("team", agent_id=ada.id, value="We meet on Fridays.")
    assert client.agents.blocks.retrieve("team", agent_id=bob.id).value == "We meet on Fridays."
    assert {agent.name for agent in client.blocks.agents.list(block.id)} == {"ada", "bob"}
    server.scripted.call("memory_insert", {"label": "team", "new_string": "At nine."})
    server.scripted.say("Noted.")
    client.agents.messages.create(bob.id, messages=[{"role": "user", "content": "At nine."}])
    written = client.agents.blocks.retrieve("team", agent_id=ada.id)
    assert written.value == "We meet on Fridays.\nAt nine."
    assert [written.last_updated_by_id] == [
        one.last_updated_by_id for one in client.blocks.list(label="team")
    ]
    assert written.last_updated_by_id == bob.id
    assert len(client.blocks.agents.list(block.id, limit=1).items) == 1

    other = client.blocks.create(label="team", value="")
    with pytest.raises((UnprocessableEntityError, ConflictError), match="already"):
        client.agents.blocks.attach(other.id, agent_id=ada.id)
    client.agents.blocks.detach(block.id, agent_id=ada.id)
    assert [agent.name for agent in client.blocks.agents.list(block.id)] == ["bob"]
    with pytest.raises(NotFoundError):
        client.agents.blocks.detach(block.id, agent_id=ada.id)
    with pytest.raises(NotFoundError, match="block-none"):
        client.agents.blocks.attach("block-none", agent_id=ada.id)


def test_text_no_database_keeps_is_cleaned_not_a_defect(server: Server, client: Letta) -> None:
    import httpx

    found = httpx.post(
        f"{server.url}/v1/blocks/",
        headers=server.headers | {"Content-Type": "application/json"},
        content=b'{"label": "odd", "value": "a\\u0000b\\ud800c", "metadata": {"k\\udfff": "\\u0000"}}',
        timeout=60,
    )
    assert found.status_code == 200
    assert found.json()["value"] == "abc"
    for body in (b'{"label": "x", "value": "", "metadata": {"n": NaN}}', b"[" * 5000, b"[1]", b""):
        found = httpx.post(
            f"{server.url}/v1/blocks/",
            headers=server.headers | {"Content-Type": "application/json"},
            content=body,
            timeout=60,
        )
        assert found.status_code in (400, 422), body[:20]


def test_blocks_asynchronously(server: Server) -> None:
    async def main() -> None:
        async with server.async_client() as client:
            made = await asyncio.gather(
                *[client.blocks.create(label=f"b{n}", value=str(n)) for n in range(8)]
            )
            assert {block.value async for block in client.blocks.list(limit=3)} == {
                block.value for block in made
            }

    asyncio.run(main())


LABELS = [
    "system/human",
    "/note_directory",
    "my label",
    "a b/c?d#e%2Ff",
    'say "hi" & <b>',
    "名/前 ü",
]


def test_labels_of_any_text_are_reached_by_their_encoded_path(
    client: Letta, server: Server
) -> None:
    agent = client.agents.create(
        name="ada/one two", memory_blocks=[{"label": label, "value": "old"} for label in LABELS]
    )
    for label in LABELS:
        client.agents.blocks.update(label, agent_id=agent.id, value=f"new {label}")
        assert client.agents.blocks.retrieve(label, agent_id="ada/one two").value == f"new {label}"
    kept = {block.label: block.value for block in client.agents.blocks.list(agent.id)}
    assert kept == {label: f"new {label}" for label in LABELS}
    base = f"/v1/agents/{agent.id}/core-memory/blocks"
    for written in ("system/human", "system%2fhuman"):
        answer = httpx.get(f"{server.url}{base}/{written}", headers=server.headers)
        assert answer.json()["label"] == "system/human"

    loose = client.blocks.create(label="attach/detach", value="beside its siblings")
    client.agents.blocks.attach(loose.id, agent_id=agent.id)
    client.agents.blocks.update("attach/detach", agent_id=agent.id, value="still apart")
    assert client.blocks.retrieve(loose.id).value == "still apart"
    client.agents.blocks.detach(loose.id, agent_id=agent.id)
    with pytest.raises(NotFoundError, match="no/such"):
        client.agents.blocks.retrieve("no/such", agent_id=agent.id)
