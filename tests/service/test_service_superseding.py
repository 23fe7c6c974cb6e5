"""Passages that others replace: marked, found only when asked for, answered as they stood."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from passages_bench import ZONE, found, keep, listed

from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.records import AgentState, Passage
from letta_kernel.service import AgentService
from letta_kernel.store import passages


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> AgentState:
    return service.agents.create("ada", settings={"timezone": ZONE})


def test_what_is_superseded_is_kept_marked_and_found_only_when_asked_for(
    service: AgentService,
) -> None:
    old = keep(service, "Kim lives in Quebec.")
    assert found(service, "where does Kim live") == [old.content]
    new = keep(service, "Kim lives in Lisbon.", supersedes=[old.id])
    marked = service.passages.list("ada")[1]
    assert (marked.id, marked.superseded_by) == (old.id, new.id)
    assert marked.superseded_at is not None
    for query in ("where does Kim live", ""):
        assert found(service, query) == [new.content]
        assert set(found(service, query, include_superseded=True)) == {old.content, new.content}
    assert [one.id for one in listed(service, superseded=True)] == [old.id]
    assert [one.id for one in listed(service, superseded=False)] == [new.id]
    service.passages.delete(new.id, agent="ada")  # nothing would be left of it otherwise
    assert found(service, "where does Kim live") == [old.content]
    assert service.passages.list("ada") == [old]


def test_nothing_is_superseded_that_cannot_be(service: AgentService) -> None:
    service.agents.create("bob")
    theirs = keep(service, "Bob's.", "bob")
    first, second = keep(service, "One."), keep(service, "Two.")
    third = keep(service, "Three.", supersedes=[second.id])
    before = listed(service)
    for ids, line in (
        ([theirs.id], f"ada has no passage '{theirs.id}'"),
        (["passage-none"], "ada has no passage 'passage-none'"),
        ([first.id, "passage-none"], "ada has no passage 'passage-none'"),
        ([third.id], "cannot supersede itself"),
        ([first.id, third.id], "cannot supersede itself"),
    ):
        with pytest.raises(LettaError, match=line):
            service.passages.supersede(ids, third.id, agent="ada")
    with pytest.raises(InvalidInputError, match=f"'{third.id}' supersedes '{second.id}' already"):
        service.passages.supersede([third.id], second.id, agent="ada")
    with pytest.raises(InvalidInputError, match=f"superseded already, by '{third.id}'"):
        service.passages.supersede([second.id], first.id, agent="ada")
    with pytest.raises(NotFoundError, match="has no passage"):
        keep(service, "Four.", supersedes=[theirs.id])
    assert listed(service) == before
    service.passages.supersede([second.id, second.id], third.id, agent="ada")  # it is so already
    assert listed(service) == before


def test_the_agent_is_told_what_looks_replaced_and_says_which(service: AgentService) -> None:
    def insert(**arguments: Any) -> tuple[str, str]:
        outcome = service.tools.run("archival_memory_insert", arguments, agent="ada")
        return outcome.status, outcome.text

    old = keep(service, "Kim's phone number is 555 0199.")
    keep(service, "The boat is blue.")
    _, said = insert(content="Kim's phone number is 555 0142.")
    assert f"still hold: {old.id}: {old.content}." in said
    assert "blue" not in said
    assert listed(service, superseded=True) == []
    _, said = insert(content="Kim's phone number is 555 0142.", supersedes=[old.id])
    assert said.endswith(f"It supersedes {old.id}.")
    assert len(listed(service)) == 3
    assert [one.id for one in listed(service, superseded=True)] == [old.id]
    status, said = insert(content="Kim has no phone.", supersedes=["passage-none"])
    assert (status, said.count("\n")) == ("error", 0)
    assert "no passage 'passage-none'" in said
    assert len(listed(service)) == 3
    tool = {"query": "phone number of Kim", "include_superseded": True}
    hits = json.loads(service.tools.run("archival_memory_search", tool, agent="ada").text)
    assert [one["id"] for one in hits if "superseded_by" in one] == [old.id]


def test_the_agent_may_ask_what_held_at_a_day(service: AgentService) -> None:
    old = keep(service, "Kim lives in Quebec.")
    moment = datetime.now(ZoneInfo(ZONE)).isoformat()
    keep(service, "Kim lives in Lisbon.", supersedes=[old.id])
    tool = {"query": "where does Kim live", "as_of": moment}
    said = service.tools.run("archival_memory_search", tool, agent="ada").text
    assert "Quebec" in said
    assert "Lisbon" not in said
    tool["as_of"] = "2999-01-01"
    assert "in the future" in service.tools.run("archival_memory_search", tool, agent="ada").text


def test_what_was_said_before_can_be_said_again(service: AgentService) -> None:
    def insert(**arguments: Any) -> str:
        return service.tools.run("archival_memory_insert", arguments, agent="ada").text

    quebec, lisbon = "Kim lives in Quebec.", "Kim lives in Lisbon."
    old = keep(service, quebec)
    (new,), made = service.passages.remember(lisbon, agent="ada", supersedes=[old.id])
    (back,), made = service.passages.remember(quebec, agent="ada")
    assert (made, back.superseded_by) == (True, None)
    assert set(found(service, "where does Kim live")) == {quebec, lisbon}
    said = insert(content=quebec)  # said twice: the first is the same, not what it replaces
    assert f"still hold: {new.id}: {lisbon}. If" in said  # and no other
    assert insert(content=quebec, supersedes=[new.id]).endswith(f"It supersedes {new.id}.")
    assert {*found(service, "where does Kim live")} == {quebec}
    # The same text may replace all of the same text.
    same = [one.id for one in listed(service, superseded=False)]
    assert len(same) == 2
    (last,), made = service.passages.remember(quebec, agent="ada", supersedes=same)
    assert (made, [one.id for one in listed(service, superseded=False)]) == (True, [last.id])


def test_only_who_finds_the_successor_loses_sight_of_what_it_replaced(
    service: AgentService,
) -> None:
    bob = service.agents.create("bob")
    for name, agents in (("a", ["ada"]), ("b", ["ada", "bob"])):
        made = service.archives.create(name)
        for agent in agents:
            service.archives.attach(made.id, agent=agent)
    quebec, lisbon, porto = (f"Kim lives in {town}." for town in ("Quebec", "Lisbon", "Porto"))
    old = keep(service, quebec, "bob")
    new = keep(service, lisbon, supersedes=[old.id])
    for query in ("where does Kim live", ""):
        assert found(service, query) == [lisbon]
        assert found(service, query, "bob") == [quebec]
    (hit,) = service.passages.search("Kim", agent="bob", include_superseded=True)
    assert hit.passage.superseded_by is None
    both = service.passages.search("Kim", agent="ada", include_superseded=True)
    assert {one.passage.id: one.passage.superseded_by for one in both} == {
        old.id: new.id,
        new.id: None,
    }
    assert service.passages.list("bob", superseded=True) == []
    assert service.passages.list("bob", superseded=False)[0].superseded_by is None
    assert service.passages.retrieve(old.id, agent="bob").superseded_by is None
    assert service.passages.retrieve(old.id, agent="ada").superseded_by == new.id
    assert service.passages.remember(quebec, agent="bob") == ([old], False)
    own = Passage(agent_id=bob.id, content="Taxes are due.")
    service.database.run(lambda tx: passages.append(tx, [own]))
    with pytest.raises(InvalidInputError, match="not attached here"):  # ada would find it again
        service.passages.supersede([old.id], own.id, agent="bob")
    keep(service, porto, "bob", supersedes=[old.id])
    assert quebec not in (theirs := found(service, "where does Kim live", "bob"))
    assert theirs[0] == porto
    assert set(found(service, "where does Kim live")) == {lisbon, porto}


def test_searches_and_blocks_are_answered_as_they_stood(service: AgentService) -> None:
    midnight = datetime(2026, 3, 2, 5, tzinfo=UTC)  # in New York
    tick = timedelta(microseconds=1)
    first = keep(service, "Kim lives in Quebec.", created_at=midnight - tick)
    second = keep(service, "Kim lives in Lisbon.", created_at=midnight, supersedes=[first.id])
    superseded = "UPDATE passages SET superseded_at = $1 WHERE id = $2"
    service.database.run(lambda tx: tx.execute(superseded, (midnight + tick, first.id)))

    def stood(moment: Any, query: str = "where does Kim live") -> set[str]:
        return set(found(service, query, as_of=moment))

    for query in ("where does Kim live", ""):
        assert stood("2026-02-28", query) == set()
        assert stood("2026-03-01", query) == {first.content}  # the whole day, in New York
        assert stood(midnight - 2 * tick, query) == set()
        assert stood(midnight - tick, query) == {first.content}
        assert stood(midnight, query) == {first.content, second.content}
        assert stood(midnight + tick, query) == {second.content}
        assert stood("2026-03-02T05:00:00.000001Z", query) == {second.content}
        assert (
            stood(None, query)
            == stood(datetime.now(ZoneInfo(ZONE)).date(), query)
            == {second.content}
        )
    assert found(service, "Kim", as_of="2026-03-01", start="2026-03-02") == []
    for wrong in ("soon", "2026-02-30", "2999", datetime.now(UTC) + timedelta(hours=1)):
        with pytest.raises(InvalidInputError) as refused:
            stood(wrong)
        assert "\n" not in str(refused.value)
        with pytest.raises(InvalidInputError):
            service.messages.search("Kim", agent="ada", as_of=wrong)
        with pytest.raises(InvalidInputError):
            service.blocks.list("ada", as_of=wrong)

    service.blocks.upsert("human", "Kim", agent="ada")
    service.blocks.upsert("human", "Kim, of Lisbon", agent="ada")
    versions = "UPDATE block_versions SET created_at = $1 WHERE value = $2"
    for at, text in ((midnight - tick, "Kim"), (midnight, "Kim, of Lisbon")):
        service.database.run(lambda tx, at=at, text=text: tx.execute(versions, (at, text)))
    for moment, text in (
        ("2026-03-01", "Kim"),
        (midnight - tick, "Kim"),
        (midnight, "Kim, of Lisbon"),
        ("2026-03-02", "Kim, of Lisbon"),
    ):
        block = service.blocks.retrieve("human", agent="ada", as_of=moment)
        assert (block.value, block.version) == (text, 2 if text == "Kim" else 3)
    service.database.run(
        lambda tx: tx.execute(
            "UPDATE block_versions SET created_at = $1 WHERE version = 1 AND block_id = $2",
            (midnight - timedelta(days=9), block.id),
        )
    )
    assert service.blocks.retrieve("human", agent="ada", as_of="2026-02-25").value == ""
    assert [one.label for one in service.blocks.list("ada", as_of="2026-02-25")] == ["human"]
    with pytest.raises(
        InvalidInputError, match="no memory block 'human' at 2026-02-01: it was made"
    ):
        service.blocks.retrieve("human", agent="ada", as_of="2026-02-01")


def test_a_ring_that_restoring_would_close_stays_open(service: AgentService) -> None:
    a = keep(service, "A.")
    b = keep(service, "B.", supersedes=[a.id])
    c = keep(service, "C.", supersedes=[b.id])
    service.passages.forget([b.id], agent="ada")
    service.passages.supersede([c.id], a.id, agent="ada")
    service.passages.restore([b.id], agent="ada")
    assert [one.id for one in listed(service, superseded=False)] == [b.id]
    assert service.store.check().findings == []


def test_what_an_archive_had_replaced_stands_again_when_it_goes(service: AgentService) -> None:
    old = keep(service, "Kim lives in Quebec.")
    for number, what in enumerate(("deleted", "forgotten")):
        service.archives.create(f"shared{number}")
        service.archives.attach(f"shared{number}", agent="ada")
        new = service.passages.insert(
            [Passage(agent_id="", content="Lisbon.")], archive=f"shared{number}"
        )
        service.passages.supersede([old.id], new[0].id, agent="ada")
        if what == "forgotten":
            service.passages.forget([new[0].id], agent="ada")
        service.archives.delete(f"shared{number}")
        assert listed(service, superseded=True) == []
        assert service.store.check().findings == []
