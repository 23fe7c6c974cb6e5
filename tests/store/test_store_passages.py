"""Archival memory, and how indexes follow it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from letta_kernel.records import AgentState, Passage
from letta_kernel.store import agents, indexes, passage_edits, passages
from letta_kernel.store.database import Database

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def six(database: Database, ada: AgentState) -> list[Passage]:
    made = [
        Passage(
            agent_id=ada.id,
            content=f"p{number}",
            tags=["even" if number % 2 == 0 else "odd", "all"],
            source="book" if number < 5 else None,
            position=number,
            metadata={"n": number},
            created_at=NEW_YEAR + timedelta(days=number),
        )
        for number in range(6)
    ]
    return database.run(lambda tx: passages.append(tx, made))


def contents(found: list[Passage]) -> list[str]:
    return [passage.content for passage in found]


def test_passages_come_back_as_they_were(
    database: Database, ada: AgentState, six: list[Passage]
) -> None:
    assert [passage.seq for passage in six] == [1, 2, 3, 4, 5, 6]
    assert database.run(lambda tx: passages.get(tx, six[2].id)) == six[2]
    assert database.run(lambda tx: passages.get(tx, "passage-none")) is None
    wanted = [six[4].id, "passage-none", six[0].id]
    assert database.run(lambda tx: passages.get_many(tx, wanted)) == [six[4], six[0]]
    assert database.run(lambda tx: len(passages.page(tx, ada.id))) == 6


def test_agents_are_numbered_apart(database: Database, ada: AgentState) -> None:
    bob = database.run(lambda tx: agents.add(tx, AgentState(name="bob")))
    mixed = [Passage(agent_id=a.id, content="x\0") for a in (ada, bob, ada, bob, ada)]
    stored = database.run(lambda tx: passages.append(tx, mixed))
    assert [passage.seq for passage in stored] == [1, 1, 2, 2, 3]
    assert stored[0].content == "x"


@pytest.mark.parametrize(
    "odd", [[], ["a,b", "ü", "a b"], [""], ["", ""], ["x\x1fy"], ["{a}", '"', "\\"]]
)
@pytest.mark.parametrize("count", [1, 7, 1200])
def test_tags_of_many_at_once(
    database: Database, ada: AgentState, odd: list[str], count: int
) -> None:
    made = [
        Passage(agent_id=ada.id, content=f"{n}", tags=odd if n % 3 else [f"t{n}"], position=n)
        for n in range(count)
    ]
    stored = database.run(lambda tx: passages.append(tx, made))
    assert [passage.tags for passage in stored] == [passage.tags for passage in made]
    kept = database.run(lambda tx: passages.page(tx, ada.id, limit=5000, newest_first=False))
    assert kept == stored


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"limit": 2}, "54"),
        ({"limit": 2, "newest_first": False}, "01"),
        ({"tags": ["even"]}, "420"),
        ({"tags": ["even", "odd"]}, "543210"),
        ({"tags": ["even", "all"], "match": "all", "limit": 2}, "42"),
        ({"tags": ["even", "odd"], "match": "all"}, ""),
        ({"before": 3}, "10"),
        ({"after": 4}, "54"),
        ({"source": "book", "limit": 1}, "4"),
        ({"start": NEW_YEAR + timedelta(days=4)}, "54"),
        ({"end": NEW_YEAR + timedelta(days=1)}, "0"),
    ],
)
def test_pages(
    database: Database,
    ada: AgentState,
    six: list[Passage],
    wanted: dict[str, object],
    expected: str,
) -> None:
    found = database.run(lambda tx: passages.page(tx, ada.id, **wanted))  # type: ignore[arg-type]
    assert contents(found) == [f"p{digit}" for digit in expected]


def test_pages_by_id(database: Database, ada: AgentState, six: list[Passage]) -> None:
    found = database.run(lambda tx: passages.page(tx, ada.id, before=six[3].id, after=six[0].id))
    assert contents(found) == ["p2", "p1"]


def test_changing(database: Database, ada: AgentState, six: list[Passage]) -> None:
    changed = database.run(lambda tx: passage_edits.update(tx, six[0].id, content="n\0ew", tags=[]))
    assert changed is not None
    assert (changed.content, changed.tags, changed.metadata) == ("new", [], {"n": 0})
    assert database.run(lambda tx: passages.get(tx, six[0].id)) == changed
    assert database.run(lambda tx: passage_edits.update(tx, "passage-none", content="x")) is None


def test_deleting(database: Database, ada: AgentState, six: list[Passage]) -> None:
    assert database.run(lambda tx: passage_edits.delete(tx, six[5].id)) is True
    assert database.run(lambda tx: passage_edits.delete(tx, six[5].id)) is False
    assert database.run(lambda tx: passage_edits.delete_source(tx, ada.id, "book")) == 5
    assert database.run(lambda tx: len(passages.page(tx, ada.id))) == 0
    (following,) = database.run(
        lambda tx: passages.append(tx, [Passage(agent_id=ada.id, content="x")])
    )
    assert following.seq == 7  # numbers are never used twice


def test_an_index_follows_by_its_mark(
    database: Database, ada: AgentState, six: list[Passage]
) -> None:
    assert database.run(lambda tx: indexes.mark(tx, "index", ada.id)) == 0
    database.run(lambda tx: indexes.move_mark(tx, "index", ada.id, 4))
    database.run(lambda tx: indexes.move_mark(tx, "index", ada.id, 2))  # never back
    assert database.run(lambda tx: indexes.mark(tx, "index", ada.id)) == 4
    database.run(lambda tx: indexes.move_mark(tx, "index", ada.id, 6))
    assert database.run(lambda tx: indexes.mark(tx, "index", ada.id)) == 6


def test_edits_reach_every_known_index(
    database: Database, ada: AgentState, six: list[Passage]
) -> None:
    database.run(
        lambda tx: passage_edits.delete(tx, six[0].id)
    )  # before any index knows of the agent
    for index in ("one", "two"):
        database.run(lambda tx, index=index: indexes.mark(tx, index, ada.id))  # type: ignore[misc]
    database.run(lambda tx: indexes.mark(tx, "recall", ada.id, "messages"))
    database.run(lambda tx: passage_edits.update(tx, six[1].id, content="new"))
    database.run(lambda tx: passage_edits.delete(tx, six[2].id))
    database.run(lambda tx: passage_edits.delete_source(tx, ada.id, "book"))
    expected = [("update", six[1].id), ("delete", six[2].id)]
    expected += [("delete", passage.id) for passage in (six[1], six[3], six[4])]

    def waiting(index: str, limit: int = 100) -> list[indexes.OutboxEntry]:
        return database.run(lambda tx: indexes.outbox(tx, index, limit))

    for index in ("one", "two"):
        entries = waiting(index)
        assert [(entry.action, entry.item_id) for entry in entries[:2]] == expected[:2]
        assert {(entry.action, entry.item_id) for entry in entries} == set(expected)
    assert waiting("recall") == []
    done = [entry.id for entry in waiting("one", 3)]
    database.run(lambda tx: indexes.outbox_done(tx, done))
    assert len(waiting("one")) == 2
    assert len(waiting("two")) == 5
    database.run(lambda tx: indexes.forget_index(tx, "two"))
    assert waiting("two") == []
    database.run(lambda tx: passage_edits.drop_owner(tx, ada.id))
    assert waiting("one")[-1].item_id is None
    assert waiting("two") == []
