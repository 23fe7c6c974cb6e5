"""Memory blocks, who has them, and their versions."""

from __future__ import annotations

import pytest

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError
from letta_kernel.records import AgentState, Block
from letta_kernel.store import agents, blocks
from letta_kernel.store.database import Database, Tx
from letta_kernel.users import current_user


@pytest.fixture
def human(database: Database, ada: AgentState) -> Block:
    return database.run(lambda tx: blocks.add(tx, Block(label="human", value="one"), ada.id))


def write(database: Database, block: Block, value: str, **more: object) -> Block:
    return database.run(
        lambda tx: blocks.write(tx, block.id, value, actor="agent-x", **more)  # type: ignore[arg-type]
    )


def value(database: Database, block: Block) -> str:
    found = database.run(lambda tx: blocks.get(tx, block.id))
    assert found is not None
    return found.value


def test_a_block_comes_back_as_it_was(database: Database, ada: AgentState) -> None:
    block = Block(
        label="persona", value="I am.\n", limit=99, description="d", read_only=True, tags=["t"],
        metadata={"k": [1, 2]},
    )  # fmt: skip
    database.run(lambda tx: blocks.add(tx, block, ada.id))
    assert database.run(lambda tx: blocks.get(tx, block.id)) == block
    assert database.run(lambda tx: blocks.find(tx, ada.id, "persona")) == block
    assert database.run(lambda tx: blocks.find(tx, ada.id, "other")) is None
    assert database.run(lambda tx: blocks.list_all(tx)) == [block]


def test_blocks_come_in_the_order_of_attaching(database: Database, ada: AgentState) -> None:
    made = [database.run(lambda tx, i=i: blocks.add(tx, Block(label=f"b{i}"))) for i in range(4)]  # type: ignore[misc]
    for i in (2, 0, 3, 1, 0):
        database.run(lambda tx, i=i: blocks.attach(tx, ada.id, made[i].id))  # type: ignore[misc]

    def labels() -> list[str]:
        return [block.label for block in database.run(lambda tx: blocks.of_agent(tx, ada.id))]

    assert labels() == ["b2", "b0", "b3", "b1"]
    database.run(lambda tx: blocks.detach(tx, ada.id, made[0].id))
    assert labels() == ["b2", "b3", "b1"]
    database.run(lambda tx: blocks.attach(tx, ada.id, made[0].id))
    assert labels() == ["b2", "b3", "b1", "b0"]


def test_writing_makes_a_version(database: Database, ada: AgentState, human: Block) -> None:
    written = write(database, human, "two\0", step_id="step-1", reason="told so")
    assert (written.value, written.version) == ("two", 2)
    assert written.updated_at > human.updated_at
    assert database.run(lambda tx: blocks.get(tx, human.id)) == written
    first, second = database.run(lambda tx: blocks.versions(tx, human.id))
    assert (first.version, first.value, first.actor) == (1, "one", current_user())
    assert (second.version, second.value, second.actor) == (2, "two", "agent-x")
    assert (second.step_id, second.reason) == ("step-1", "told so")
    assert second.created_at == written.updated_at


def test_two_writers_do_not_lose_each_others_text(database: Database, human: Block) -> None:
    write(database, human, "by the agent", expected_version=1)
    with pytest.raises(ConflictError, match="at version 2, you edited version 1"):
        write(database, human, "by a person", expected_version=1)
    assert value(database, human) == "by the agent"
    assert write(database, human, "both", expected_version=2).version == 3


def test_an_undo_is_noticed_by_other_writers(database: Database, human: Block) -> None:
    write(database, human, "two")
    write(database, human, "three")
    database.run(lambda tx: blocks.undo(tx, human.id, "me"))
    write(database, human, "four")
    with pytest.raises(ConflictError):
        write(database, human, "five", expected_version=3)


def test_undo_and_redo_move_along_one_line(database: Database, human: Block) -> None:
    for text in ("two", "three"):
        write(database, human, text)

    def undo() -> str:
        return database.run(lambda tx: blocks.undo(tx, human.id, "me")).value

    def redo() -> str:
        return database.run(lambda tx: blocks.redo(tx, human.id, "me")).value

    with pytest.raises(InvalidInputError, match="nothing to redo"):
        redo()
    assert [undo(), undo()] == ["two", "one"]
    with pytest.raises(InvalidInputError, match="nothing to undo"):
        undo()
    assert [redo(), undo(), redo(), redo()] == ["two", "one", "two", "three"]
    assert undo() == "two"
    write(database, human, "other")  # a new line begins: "three" cannot be reached any more
    with pytest.raises(InvalidInputError, match="nothing to redo"):
        redo()
    assert [undo(), undo(), redo(), redo()] == ["two", "one", "two", "other"]
    assert value(database, human) == "other"
    history = database.run(lambda tx: blocks.versions(tx, human.id))
    assert [version.version for version in history] == list(range(1, len(history) + 1))
    assert history[-1].value == "other"
    assert history[-1].reason == "redo: text of version 11"
    assert history[-1].actor == "me"
    assert history[10].value == "other"


def test_a_shared_block_is_seen_by_all(database: Database, ada: AgentState, human: Block) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))
    database.run(lambda tx: blocks.attach(tx, bob.id, human.id))
    write(database, human, "new")
    for agent in (ada, bob):
        found = database.run(lambda tx, agent=agent: blocks.find(tx, agent.id, "human"))  # type: ignore[misc]
        assert found is not None
        assert found.value == "new"
    assert set(database.run(lambda tx: blocks.agents_with(tx, human.id))) == {ada.id, bob.id}


def test_labels_are_unique_per_agent(database: Database, ada: AgentState, human: Block) -> None:
    with pytest.raises(InvalidInputError, match="'human' already"):
        database.run(lambda tx: blocks.add(tx, Block(label="human"), ada.id))
    assert database.run(lambda tx: blocks.list_all(tx)) == [human]
    other = database.run(lambda tx: blocks.add(tx, Block(label="human")))  # nobody's yet
    with pytest.raises(InvalidInputError, match="'human' already"):
        database.run(lambda tx: blocks.attach(tx, ada.id, other.id))
    third = database.run(lambda tx: blocks.add(tx, Block(label="third"), ada.id))
    third.label = "human"
    with pytest.raises(InvalidInputError, match="'human' already"):
        database.run(lambda tx: blocks.update(tx, third))


def test_updating_leaves_the_text_alone(database: Database, human: Block) -> None:
    write(database, human, "two")
    human.description, human.limit, human.read_only, human.tags = "new", 7, True, ["t"]
    database.run(lambda tx: blocks.update(tx, human))
    found = database.run(lambda tx: blocks.get(tx, human.id))
    assert found is not None
    assert (found.description, found.limit, found.read_only, found.tags) == ("new", 7, True, ["t"])
    assert (found.value, found.version) == ("two", 2)


def test_deleting(database: Database, ada: AgentState, human: Block) -> None:
    assert database.run(lambda tx: blocks.delete(tx, human.id)) is True
    assert database.run(lambda tx: blocks.delete(tx, human.id)) is False
    assert database.run(lambda tx: blocks.of_agent(tx, ada.id)) == []
    assert database.run(lambda tx: blocks.versions(tx, human.id)) == []


def test_what_is_not_there(database: Database, ada: AgentState, human: Block) -> None:
    def attempts(tx: Tx) -> None:
        with pytest.raises(NotFoundError):
            blocks.write(tx, "block-none", "x", actor="me")
        with pytest.raises(NotFoundError):
            blocks.undo(tx, "block-none", "me")
        with pytest.raises(NotFoundError):
            blocks.attach(tx, ada.id, "block-none")
        with pytest.raises(NotFoundError):
            blocks.attach(tx, "agent-none", human.id)
        with pytest.raises(NotFoundError):
            blocks.update(tx, Block(label="ghost"))

    database.run(attempts)
