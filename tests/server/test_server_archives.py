"""Archival memory, archives that agents share, and passage search through the SDK."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from server_bench import Server

KEY = "The boat house key hangs behind the kitchen door."
LUNCH = "Lunch is at noon in the garden, except on Sundays."


@pytest.fixture
def client(server: Server) -> Letta:
    return server.client()


@pytest.fixture
def ada(server: Server) -> str:
    return server.service.agents.create("ada").id


def test_an_agents_archival_memory(client: Letta, ada: str) -> None:
    of = client.agents.passages
    (key,) = of.create(ada, text=KEY, tags=["house", "key"])
    assert (key.text, key.tags) == (KEY, ["house", "key"])
    (lunch,) = of.create(ada, text=LUNCH, created_at=datetime(2020, 5, 1, tzinfo=UTC))
    assert lunch.created_at == datetime(2020, 5, 1, tzinfo=UTC)
    assert [one.text for one in of.list(ada)] == [KEY, LUNCH]
    assert [one.text for one in of.list(ada, ascending=False)] == [LUNCH, KEY]
    assert [one.text for one in of.list(ada, search="SUNDAYS")] == [LUNCH]
    assert [one.text for one in of.list(ada, after=key.id)] == [LUNCH]
    assert [one.text for one in of.list(ada, before=lunch.id, limit=1)] == [KEY]

    found = of.search(ada, query="where is the key to the boat house?")
    assert found.count == len(found.results)
    assert found.results[0].content == KEY
    assert of.search(ada, query="noon", tags=["house"]).results[0].id == key.id
    assert of.search(ada, query="noon", tags=["house", "no"], tag_match_mode="all").count == 0
    early = of.search(ada, query="key", end_datetime=datetime(2021, 1, 1, tzinfo=UTC))
    assert [one.id for one in early.results] == [lunch.id]
    assert of.search(ada, query="key", top_k=1).count == 1

    of.delete(str(key.id), agent_id=ada)
    assert [one.text for one in of.list(ada)] == [LUNCH]
    with pytest.raises(NotFoundError):
        of.delete(str(key.id), agent_id=ada)


def test_what_replaced_a_passage_is_said(client: Letta, ada: str) -> None:
    of = client.agents.passages
    (old,) = of.create(ada, text=KEY)
    (new,) = of.create(ada, text=LUNCH, extra_body={"supersedes": [old.id]})
    marks = [one.to_dict()["superseded_by"] for one in of.list(ada)]
    assert marks == [new.id, None]
    with pytest.raises(NotFoundError, match="passage-none"):
        of.create(ada, text="More.", extra_body={"supersedes": ["passage-none"]})
    assert len(of.list(ada)) == 2


def test_long_texts_become_several_passages(client: Letta, ada: str) -> None:
    made = client.agents.passages.create(ada, text=f"{KEY}\n\n" * 100)
    assert len(made) > 1
    assert len({one.source_id for one in made}) == 1


def test_what_is_wrong_with_a_passage_is_said(client: Letta, ada: str) -> None:
    of = client.agents.passages
    for text in ("", "  \n"):
        with pytest.raises(UnprocessableEntityError, match="text"):
            of.create(ada, text=text)
    with pytest.raises(UnprocessableEntityError, match="created_at"):
        of.create(ada, text=KEY, created_at="yesterday")
    with pytest.raises(UnprocessableEntityError, match="passage-none"):
        of.list(ada, after="passage-none")
    with pytest.raises(UnprocessableEntityError):
        of.search(ada, query="x", start_datetime="soon")
    with pytest.raises(NotFoundError, match="agent-none"):
        of.create("agent-none", text=KEY)
    with pytest.raises(UnprocessableEntityError, match="top_k"):
        of.search(ada, query="x", top_k=-1)


def test_an_archive_is_made_listed_changed_and_deleted(client: Letta, ada: str) -> None:
    first = client.archives.create(name="house", description="what one should know")
    second = client.archives.create(name="garden", embedding="wordllama")
    assert client.archives.retrieve(first.id) == first
    assert first.embedding_config is not None
    assert [one.name for one in client.archives.list()] == ["garden", "house"]
    assert [one.name for one in client.archives.list(order="asc", limit=1)] == ["house", "garden"]
    assert [one.id for one in client.archives.list(name="garden")] == [second.id]
    changed = client.archives.update(first.id, name="home")
    assert (changed.name, changed.description) == ("home", "what one should know")
    client.agents.archives.attach(second.id, agent_id=ada)
    assert [one.id for one in client.archives.list(agent_id=ada)] == [second.id]
    client.archives.delete(second.id)
    assert client.archives.list(agent_id=ada).items == []
    with pytest.raises(NotFoundError):
        client.archives.retrieve(second.id)
    with pytest.raises(UnprocessableEntityError, match="name"):
        client.archives.create(name=" ")
    with pytest.raises(NotFoundError):
        client.archives.delete("archive-none")


def test_passages_of_an_archive(server: Server, client: Letta) -> None:
    archive = client.archives.create(name="house")
    of = client.archives.passages
    one = of.create(archive.id, text=KEY, tags=["key"], metadata={"page": 3})
    assert (one.archive_id, one.metadata) == (archive.id, {"page": 3})
    many = of.create_many(
        archive.id, passages=[{"text": LUNCH, "created_at": "2020-05-01T10:00:00"}, {"text": "x"}]
    )
    assert [passage.text for passage in many] == [LUNCH, "x"]
    assert many[0].created_at == datetime(2020, 5, 1, 10, tzinfo=UTC)
    with pytest.raises(UnprocessableEntityError, match="Passage 1"):
        of.create_many(archive.id, passages=[{"text": "kept?"}, {"text": " "}])
    with pytest.raises(UnprocessableEntityError, match="50,000"):
        of.create(archive.id, text="x" * 50_001)

    path = f"{server.url}/v1/archives/{archive.id}/passages"
    listed = httpx.get(
        path, headers=server.headers, params={"order": "asc", "limit": 2}, timeout=60
    ).json()
    assert [passage["text"] for passage in listed] == [KEY, LUNCH]
    rest = httpx.get(
        path, headers=server.headers, params={"order": "asc", "after": listed[-1]["id"]}, timeout=60
    ).json()
    assert [passage["text"] for passage in rest] == ["x"]
    changed = httpx.patch(
        f"{path}/{one.id}", headers=server.headers, json={"text": "The key is lost."}, timeout=60
    ).json()
    assert (changed["text"], changed["tags"]) == ("The key is lost.", ["key"])

    of.delete(str(one.id), archive_id=archive.id)
    with pytest.raises(NotFoundError):
        of.delete(str(one.id), archive_id=archive.id)
    with pytest.raises(NotFoundError):
        of.create("archive-none", text=KEY)


def test_agents_share_an_archive(server: Server, client: Letta, ada: str) -> None:
    bob = server.service.agents.create("bob").id
    archive = client.archives.create(name="house")
    client.archives.passages.create(archive.id, text=KEY)
    for agent in (ada, bob):
        assert client.agents.passages.search(agent, query="boat house key").count == 0
        client.agents.archives.attach(archive.id, agent_id=agent)
        assert client.agents.passages.search(agent, query="boat house key").count == 1
    (kept,) = client.agents.passages.create(ada, text=LUNCH)
    assert kept.archive_id == archive.id
    assert client.agents.passages.search(bob, query="lunch").results[0].content == LUNCH
    assert {one.text for one in client.agents.passages.list(bob)} == {KEY, LUNCH}
    client.agents.archives.detach(archive.id, agent_id=bob)
    assert client.agents.passages.list(bob) == []
    with pytest.raises(NotFoundError):
        client.agents.archives.detach(archive.id, agent_id=bob)
    with pytest.raises(NotFoundError):
        client.agents.archives.attach("archive-none", agent_id=bob)


def test_passages_are_searched_across_agents_and_archives(
    server: Server, client: Letta, ada: str
) -> None:
    archive = client.archives.create(name="house")
    client.archives.passages.create(archive.id, text=KEY, tags=["key"])
    client.agents.passages.create(ada, text=LUNCH)
    found = client.passages.search(query="boat house key")
    assert found[0].passage.text == KEY
    assert 0 < found[0].score <= 1
    assert {one.passage.text for one in client.passages.search(query="")} == {KEY, LUNCH}
    mine = client.passages.search(query="boat house key or lunch", agent_id=ada)
    assert [one.passage.text for one in mine] == [LUNCH]
    theirs = client.passages.search(query="lunch key", archive_id=archive.id)
    assert [one.passage.text for one in theirs] == [KEY]
    assert [one.passage.text for one in client.passages.search(tags=["key"])] == [KEY]
    assert client.passages.search(query="key", start_date=datetime(2400, 1, 1, tzinfo=UTC)) == []
    assert len(client.passages.search(limit=1)) == 1
    with pytest.raises(UnprocessableEntityError, match="not both"):
        client.passages.search(agent_id=ada, archive_id=archive.id)
    with pytest.raises(NotFoundError):
        client.passages.search(query="x", archive_id="archive-none")


def test_archives_asynchronously(server: Server, ada: str) -> None:
    async def main() -> None:
        async with server.async_client() as client:
            archive = await client.archives.create(name="house")
            await asyncio.gather(
                *[client.archives.passages.create(archive.id, text=f"Fact {n}.") for n in range(6)]
            )
            await client.agents.archives.attach(archive.id, agent_id=ada)
            assert len(await client.agents.passages.list(ada)) == 6

    asyncio.run(main())
