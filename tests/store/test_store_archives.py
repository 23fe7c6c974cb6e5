"""Archives that agents share, and identities: attached, found, deleted."""

from __future__ import annotations

import pytest

from letta_kernel.errors import ConflictError, NotFoundError
from letta_kernel.records import AgentState, Block, Identity, Passage, SharedArchive
from letta_kernel.store import agent_deletion, archives, blocks, identities, passages
from letta_kernel.store.database import Database


def test_an_archive_comes_back_as_it_was_kept(database: Database) -> None:
    made = SharedArchive(name="papers", description="what we read", metadata={"shelf": 3})
    database.run(lambda tx: archives.add(tx, made))
    assert database.run(lambda tx: archives.get(tx, made.id)) == made
    changed = made.model_copy(update={"name": "books"})
    database.run(lambda tx: archives.save(tx, changed))
    found = database.run(lambda tx: archives.get(tx, made.id))
    assert found is not None
    assert found.name == "books"
    assert found.updated_at > made.updated_at


def test_archives_are_attached_in_order_and_counted(database: Database, ada: AgentState) -> None:
    first, second = SharedArchive(name="one"), SharedArchive(name="two")

    def work(tx) -> None:  # type: ignore[no-untyped-def]
        archives.add(tx, first)
        archives.add(tx, second)
        archives.attach(tx, ada.id, second.id)
        archives.attach(tx, ada.id, first.id)
        archives.attach(tx, ada.id, second.id)
        passages.append(
            tx,
            [
                Passage(agent_id=owner, content=owner, tags=tags)
                for owner, tags in (
                    (ada.id, ["mine", "all"]),
                    (first.id, ["all"]),
                    (first.id, ["first", "all"]),
                    (second.id, ["second"]),
                )
            ],
        )

    database.run(work)
    assert database.run(lambda tx: archives.of_agent(tx, ada.id)) == [second.id, first.id]
    assert database.run(lambda tx: archives.agents_with(tx, first.id)) == [ada.id]
    assert database.run(lambda tx: archives.passage_count(tx, ada.id)) == 4
    named = database.run(lambda tx: archives.passage_tags(tx, ada.id, 10))
    assert named == ["all", "first", "mine", "second"]
    assert database.run(lambda tx: archives.passage_tags(tx, ada.id, 2)) == ["all", "first"]
    names = [a.name for a in database.run(lambda tx: archives.list_all(tx, agent_id=ada.id))]
    assert names == ["one", "two"]
    database.run(lambda tx: archives.detach(tx, ada.id, second.id))
    assert database.run(lambda tx: archives.passage_count(tx, ada.id)) == 3
    assert database.run(lambda tx: archives.passage_tags(tx, ada.id, 2)) == ["all", "first"]


def test_deleting_an_archive_takes_its_passages_and_no_others(
    database: Database, ada: AgentState
) -> None:
    archive = SharedArchive(name="one")

    def work(tx) -> None:  # type: ignore[no-untyped-def]
        archives.add(tx, archive)
        archives.attach(tx, ada.id, archive.id)
        passages.append(tx, [Passage(agent_id=o, content="text") for o in (ada.id, archive.id)])
        archives.delete(tx, archive.id)

    database.run(work)
    assert database.run(lambda tx: archives.of_agent(tx, ada.id)) == []
    assert database.run(lambda tx: len(passages.page(tx, archive.id))) == 0
    assert database.run(lambda tx: len(passages.page(tx, ada.id))) == 1
    assert not database.run(lambda tx: archives.delete(tx, archive.id))


def test_deleting_an_agent_leaves_the_archive(database: Database, ada: AgentState) -> None:
    archive = SharedArchive(name="one")
    database.run(lambda tx: archives.add(tx, archive))
    database.run(lambda tx: archives.attach(tx, ada.id, archive.id))
    database.run(lambda tx: agent_deletion.delete(tx, ada.id))
    assert database.run(lambda tx: archives.agents_with(tx, archive.id)) == []
    assert database.run(lambda tx: archives.get(tx, archive.id)) is not None


def test_what_is_not_there_cannot_be_attached(database: Database, ada: AgentState) -> None:
    archive = database.run(lambda tx: archives.add(tx, SharedArchive(name="one")))
    with pytest.raises(NotFoundError, match="archive-none"):
        database.run(lambda tx: archives.attach(tx, ada.id, "archive-none"))
    with pytest.raises(NotFoundError, match="agent-none"):
        database.run(lambda tx: archives.attach(tx, "agent-none", archive.id))


def test_identities_have_a_key_of_their_own(database: Database, ada: AgentState) -> None:
    made = Identity(
        identifier_key="u-1",
        name="Grace Hopper",
        properties=[{"key": "seats", "value": 3, "type": "number"}],
    )
    database.run(lambda tx: identities.save(tx, made))
    assert database.run(lambda tx: identities.find(tx, "u-1")) == made
    with pytest.raises(ConflictError, match="u-1"):
        database.run(lambda tx: identities.save(tx, Identity(identifier_key="u-1", name="x")))
    found = database.run(lambda tx: identities.list_all(tx, name="HOPPER", identity_type="user"))
    assert [identity.id for identity in found] == [made.id]
    assert database.run(lambda tx: identities.list_all(tx, identity_type="org")) == []


def test_identities_belong_to_agents_and_blocks_until_these_go(
    database: Database, ada: AgentState
) -> None:
    block = Block(label="notes")
    made = Identity(identifier_key="u-1", name="Grace")

    def work(tx) -> None:  # type: ignore[no-untyped-def]
        blocks.add(tx, block)
        identities.save(tx, made)
        for _ in range(2):
            identities.attach(tx, "agent", ada.id, made.id)
            identities.attach(tx, "block", block.id, made.id)

    database.run(work)
    assert database.run(lambda tx: identities.owned(tx, "agent", made.id)) == [ada.id]
    assert database.run(lambda tx: identities.owned(tx, "block", made.id)) == [block.id]
    owned = database.run(lambda tx: identities.list_all(tx, owned=("agent", ada.id)))
    assert [identity.id for identity in owned] == [made.id]
    with pytest.raises(NotFoundError, match="no block"):
        database.run(lambda tx: identities.attach(tx, "block", "block-none", made.id))
    database.run(lambda tx: agent_deletion.delete(tx, ada.id))
    database.run(lambda tx: blocks.delete(tx, block.id))
    assert database.run(lambda tx: identities.owned(tx, "agent", made.id)) == []
    assert database.run(lambda tx: identities.owned(tx, "block", made.id)) == []
    assert database.run(lambda tx: identities.delete(tx, made.id))
