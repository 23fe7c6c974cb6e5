"""Tools and who has them."""

from __future__ import annotations

import pytest

from letta_kernel.errors import NotFoundError
from letta_kernel.records import AgentState, Tool
from letta_kernel.store import agents, tools
from letta_kernel.store.database import Database


def save(database: Database, **fields: object) -> Tool:
    return database.run(lambda tx: tools.save(tx, Tool(**fields)))  # type: ignore[arg-type]


def names(database: Database, agent: AgentState) -> list[str]:
    return [tool.name for tool in database.run(lambda tx: tools.of_agent(tx, agent.id))]


def test_a_tool_comes_back_as_it_was(database: Database) -> None:
    tool = save(
        database,
        name="add",
        description="Add.",
        parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        source="def add(a: int) -> int:\n    return a\n",
        requires_approval=True,
        time_limit=1.5,
        notebook="n.ipynb",
        cell_id="c1",
        tags=["t"],
        metadata={"line": 3},
    )
    assert database.run(lambda tx: tools.get(tx, tool.id)) == tool
    assert database.run(lambda tx: tools.get(tx, "tool-none")) is None


def test_saving_again_writes_it_over(database: Database, ada: AgentState) -> None:
    tool = save(database, name="f", source="old")
    database.run(lambda tx: tools.attach(tx, ada.id, tool.id))
    again = save(database, id=tool.id, name="f", source="new")
    assert again.created_at == tool.created_at
    assert again.updated_at > tool.updated_at
    assert database.run(lambda tx: tools.of_agent(tx, ada.id)) == [again]
    assert len(database.run(tools.list_all)) == 1


def test_finding_by_name(database: Database) -> None:
    mine = save(database, name="f", notebook="mine.ipynb")
    other = save(database, name="f", notebook="other.ipynb")
    assert database.run(lambda tx: tools.find(tx, "f")) == other
    assert database.run(lambda tx: tools.find(tx, "f", "mine.ipynb")) == mine
    assert database.run(lambda tx: tools.find(tx, "f", "none.ipynb")) is None
    assert database.run(lambda tx: tools.find(tx, "g")) is None


def test_listing(database: Database) -> None:
    b, a, c = (save(database, name=name) for name in "bac")
    assert database.run(tools.list_all) == [a, b, c]


def test_a_second_tool_of_a_name_replaces_the_first(database: Database, ada: AgentState) -> None:
    first, other, second = (save(database, name=name) for name in ("f", "g", "f"))
    for tool in (first, other, first, second):
        database.run(lambda tx, tool=tool: tools.attach(tx, ada.id, tool.id))  # type: ignore[misc]
    assert database.run(lambda tx: tools.of_agent(tx, ada.id)) == [other, second]
    assert database.run(lambda tx: tools.get(tx, first.id)) == first  # still there for others
    other.name = "f"
    database.run(lambda tx: tools.save(tx, other))
    assert [tool.id for tool in database.run(lambda tx: tools.of_agent(tx, ada.id))] == [other.id]


def test_detaching_and_deleting(database: Database, ada: AgentState) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))
    tool = save(database, name="f")
    for agent in (ada, bob):
        database.run(lambda tx, agent=agent: tools.attach(tx, agent.id, tool.id))  # type: ignore[misc]
    assert set(database.run(lambda tx: tools.agents_with(tx, tool.id))) == {ada.id, bob.id}
    database.run(lambda tx: tools.detach(tx, ada.id, tool.id))
    assert (names(database, ada), names(database, bob)) == ([], ["f"])
    assert database.run(lambda tx: tools.delete(tx, tool.id)) is True
    assert database.run(lambda tx: tools.delete(tx, tool.id)) is False
    assert names(database, bob) == []


def test_what_is_not_there(database: Database, ada: AgentState) -> None:
    tool = save(database, name="f")
    with pytest.raises(NotFoundError):
        database.run(lambda tx: tools.attach(tx, ada.id, "tool-none"))
    with pytest.raises(NotFoundError):
        database.run(lambda tx: tools.attach(tx, "agent-none", tool.id))
