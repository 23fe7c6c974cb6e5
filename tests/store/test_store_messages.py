"""The history of an agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from letta_kernel.errors import ConflictError
from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import AgentState
from letta_kernel.store import agents, indexes, messages
from letta_kernel.store.database import Database

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def history(agent: AgentState, count: int) -> list[Message]:
    return [
        Message(
            agent_id=agent.id,
            role="user" if number % 2 else "assistant",
            content=f"m{number}",
            created_at=NEW_YEAR + timedelta(days=number),
        )
        for number in range(1, count + 1)
    ]


@pytest.fixture
def ten(database: Database, ada: AgentState) -> list[Message]:
    return database.run(lambda tx: messages.append(tx, ada.id, history(ada, 10)))


def test_a_message_comes_back_as_it_was(database: Database, ada: AgentState) -> None:
    full = Message(
        agent_id=ada.id,
        run_id="run-1",
        step_id="step-1",
        role="assistant",
        content="said 😀",
        reasoning="thought",
        thinking=[{"type": "thinking", "signature": "ab\\u0000c"}],
        tool_calls=[ToolCall(id="c1", name="f", arguments='{"a": 1}'), ToolCall(id="c2", name="g")],
        interrupted=True,
    )
    answer = Message(
        agent_id=ada.id, role="tool", tool_call_id="c1", name="f", status="error", content="no"
    )
    stored = database.run(lambda tx: messages.append(tx, ada.id, [full, answer]))
    assert [message.seq for message in stored] == [1, 2]
    assert stored[0] == full.model_copy(update={"seq": 1})
    assert database.run(lambda tx: messages.get(tx, full.id)) == stored[0]
    assert database.run(lambda tx: messages.window(tx, ada.thread, 0)) == stored
    assert database.run(lambda tx: messages.get(tx, "message-none")) is None


def test_what_append_returns_is_what_is_stored(database: Database, ada: AgentState) -> None:
    dirty = Message(
        agent_id=ada.id,
        role="tool",
        content="a\0b\ud800",
        reasoning="\0",
        thinking=[{"x\0": ["y\0", float("nan")]}],
        tool_calls=[ToolCall(id="c", name="f", arguments='{"a\0": "\udfff"}')],
    )
    (stored,) = database.run(lambda tx: messages.append(tx, ada.id, [dirty]))
    assert (stored.content, stored.reasoning) == ("ab", "")
    assert stored.tool_calls[0].arguments == '{"a": ""}'
    assert stored.thinking == [{"x": ["y", None]}]
    assert database.run(lambda tx: messages.get(tx, dirty.id)) == stored


def test_every_agent_counts_for_itself(database: Database, ada: AgentState) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))
    for agent in (ada, bob, ada):
        database.run(lambda tx, agent=agent: messages.append(tx, agent.id, history(agent, 3)))  # type: ignore[misc]
    assert [m.seq for m in database.run(lambda tx: messages.window(tx, ada.thread, 0))] == list(
        range(1, 7)
    )
    assert [m.seq for m in database.run(lambda tx: messages.window(tx, bob.thread, 0))] == [1, 2, 3]
    assert database.run(lambda tx: len(messages.page(tx, ada.id))) == 6
    everybody = database.run(lambda tx: messages.page(tx, None, limit=100))
    assert len(everybody) == 9
    older = database.run(lambda tx: messages.page(tx, None, limit=100, before=everybody[4].id))
    assert older == everybody[5:]


def test_a_message_is_stored_once(database: Database, ada: AgentState, ten: list[Message]) -> None:
    with pytest.raises(ConflictError):
        database.run(lambda tx: messages.append(tx, ada.id, [ten[0]]))
    assert database.run(lambda tx: len(messages.page(tx, ada.id))) == 10
    (following,) = database.run(lambda tx: messages.append(tx, ada.id, history(ada, 1)))
    assert following.seq == 11


def test_nothing_to_append(database: Database, ada: AgentState) -> None:
    assert database.run(lambda tx: messages.append(tx, ada.id, [])) == []
    assert database.run(lambda tx: messages.last(tx, ada.id)) is None


def test_many_at_once(database: Database, ada: AgentState) -> None:
    stored = database.run(lambda tx: messages.append(tx, ada.id, history(ada, 1234)))
    assert database.run(lambda tx: messages.window(tx, ada.thread, 1000)) == stored[999:]


def test_windows(database: Database, ada: AgentState, ten: list[Message]) -> None:
    assert database.run(lambda tx: messages.window(tx, ada.thread, 8)) == ten[7:]
    assert database.run(lambda tx: messages.last(tx, ada.id)) == ten[-1]
    wanted = [ten[5].id, "message-none", ten[2].id]
    assert database.run(lambda tx: messages.get_many(tx, wanted)) == [ten[5], ten[2]]


def test_where_the_newest_of_a_window_begin(database: Database, ada: AgentState) -> None:
    roles = ["user", "assistant", "tool", "tool", "assistant", "event", "user", "assistant"]
    said = [Message(agent_id=ada.id, role=role, content="x" * 8) for role in roles]  # type: ignore[arg-type]
    database.run(lambda tx: messages.append(tx, ada.id, said))  # ten characters each, with "[]"

    def begins(characters: int, first: int = 1) -> int:
        return database.run(
            lambda tx: messages.newest(tx, ada.thread, first, characters=characters)
        )

    found = [begins(characters) for characters in (1, 10, 11, 20, 21, 31, 41, 70, 71, 80, 81)]
    assert found == [8, 8, 7, 7, 5, 5, 2, 2, 1, 1, 1]
    assert [begins(characters, 4) for characters in (10, 50, 1000)] == [8, 4, 4]
    assert begins(5, 9) == 9


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"limit": 3}, [10, 9, 8]),
        ({"limit": 3, "newest_first": False}, [1, 2, 3]),
        ({"before": 4}, [3, 2, 1]),
        ({"after": 8, "newest_first": False}, [9, 10]),
        ({"after": 3, "before": 6}, [5, 4]),
        ({"roles": ["user"], "limit": 2}, [9, 7]),
        ({"roles": []}, []),
        ({"start": NEW_YEAR + timedelta(days=8)}, [10, 9, 8]),
        ({"end": NEW_YEAR + timedelta(days=3)}, [2, 1]),
        ({"run_id": "run-none"}, []),
        ({"before": "message-none"}, []),
    ],
)
def test_pages(
    database: Database,
    ada: AgentState,
    ten: list[Message],
    wanted: dict[str, object],
    expected: list[int],
) -> None:
    found = database.run(lambda tx: messages.page(tx, ada.id, **wanted))  # type: ignore[arg-type]
    assert [message.seq for message in found] == expected


def test_pages_by_id(database: Database, ada: AgentState, ten: list[Message]) -> None:
    def page(**wanted: object) -> list[int]:
        found = database.run(lambda tx: messages.page(tx, ada.id, **wanted))  # type: ignore[arg-type]
        return [message.seq for message in found]

    assert page(before=ten[3].id) == [3, 2, 1]
    assert page(after=ten[7].id, newest_first=False) == [9, 10]


def test_clearing(database: Database, ada: AgentState, ten: list[Message]) -> None:
    database.run(lambda tx: indexes.mark(tx, "recall", ada.id, "messages"))
    assert database.run(lambda tx: messages.clear(tx, ada.id)) == 10
    assert database.run(lambda tx: len(messages.page(tx, ada.id))) == 0
    (entry,) = database.run(lambda tx: indexes.outbox(tx, "recall"))
    assert (entry.item_id, entry.action) == (None, "delete")
    (following,) = database.run(lambda tx: messages.append(tx, ada.id, history(ada, 1)))
    assert following.seq == 11  # numbers are never used twice
