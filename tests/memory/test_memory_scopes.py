"""Who sees part of the lines finds what one would find who had no others; nothing is embedded twice."""

from __future__ import annotations

import random

import pytest
from test_memory_embedders import NOTES, Concepts
from test_memory_paths import QUERIES, talk

from letta_kernel.ids import now
from letta_kernel.memory import search
from letta_kernel.memory.filter import Filter
from letta_kernel.records import AgentState, Inherited
from letta_kernel.store import agents, passage_edits, passages, sights
from letta_kernel.store.scopes import Scope, Stretch

ADA, BOB, EVE = "agent-ada", "agent-bob", "agent-eve"
PART = 250


@pytest.mark.parametrize(
    ("large", "huge", "unread", "way"),
    [
        (4000, 200_000, 2000, "read"),
        (100, 10_000, 2000, "loaded"),
        (100, 200, 2000, "candidates"),
        (100, 10_000, 50, "scan"),
    ],
)
def test_what_is_out_of_scope_counts_for_nothing(
    project, monkeypatch: pytest.MonkeyPatch, large: int, huge: int, unread: int, way: str
) -> None:
    archive = project.archive()
    every = talk(random.Random(3))
    archive.insert_many(every)
    archive.insert_many(
        [p.model_copy(update={"agent_id": BOB, "id": f"b{p.id}"}) for p in every[:PART]]
    )
    if way in ("loaded", "candidates"):
        archive.catch_up()
    monkeypatch.setattr(search, "LARGE", large)
    monkeypatch.setattr(search, "HUGE", huge)
    monkeypatch.setattr(search, "_UNREAD", unread)
    archive = project.archive()
    scope = Scope((Stretch(1, PART),))
    texts = {p.id: p.content for p in every} | {f"b{p.id}": p.content for p in every}
    agreed = []
    for query in QUERIES.splitlines():
        seen = archive._engine.search(ADA, query, Filter(scope=scope), limit=10)
        alone = archive._engine.search(BOB, query, Filter(), limit=10)
        assert {hit.id for hit in seen} <= {p.id for p in every[:PART]}
        said, expected = ([texts[hit.id] for hit in hits] for hits in (seen, alone))
        assert (
            way == "candidates" or said[0] == expected[0]
        )  # there what is usual is learnt from all
        agreed.append(len(set(said) & set(expected)) / len(expected))
        if way == "read":
            assert said == expected
            assert [hit.relevance for hit in seen] == pytest.approx([h.relevance for h in alone])
    assert archive._engine._of(ADA).way == way
    assert sum(agreed) / len(agreed) > (0.7 if way == "candidates" else 0.9), agreed


def test_only_what_is_named_or_not_left_out_is_found(project) -> None:
    archive = project.archive()
    kept = archive.insert_many(talk(random.Random(4))[:40])
    one, other = kept[3].id, kept[5].id
    for scope in (Scope((Stretch(0),), only=frozenset([one, other])), Scope((Stretch(4, 6),))):
        left = Scope(scope.stretches, only=scope.only, without=frozenset([other]))
        for query in ("saw the walrus", "user assistant"):
            hits = archive._engine.search(ADA, query, Filter(scope=left), limit=10)
            assert other not in {hit.id for hit in hits}
            assert one in {hit.id for hit in hits}
            assert len(hits) <= 2


def test_what_is_moved_or_tagged_is_not_embedded_again(
    project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_EMBEDDING", Concepts.name)
    model = Concepts()
    archive = project.archive(model)
    kept = [archive.insert(ADA, note)[0] for note in NOTES]
    archive.catch_up()
    part = Inherited(
        agent=ADA,
        thread=ADA,
        first=0,
        last=-1,
        first_passage=1,
        last_passage=5,
        moment=now().isoformat(),
    )
    eve = AgentState(id=EVE, name="eve", inherits=[part], first_passage=6, first_seq=1)
    project.database.run(lambda tx: agents.add(tx, eve))
    fresh = Concepts()  # another process: it has nothing at hand
    archive = project.archive(fresh)

    def change(tx) -> None:
        passage_edits.delete(tx, kept[0].id)
        sight = sights.of_agent(tx, EVE)
        passage_edits.tag(tx, passages.get_many(tx, [kept[1].id], sight), ["post"], whose=sight)

    project.database.run(change)
    archive.catch_up()
    assert fresh.lines == []

    def first(agent: str, query: str) -> str:
        return str(archive.search(agent, query, top_k=1)[0].passage.content)

    assert first(EVE, "Wie alt ist mein Haustier?") == NOTES[0]
    assert first(EVE, "Was ist mit dem Geld?") == NOTES[1]
    assert first(ADA, "Wie alt ist mein Haustier?") != NOTES[0]
    (hit,) = archive.search(EVE, "Geld", tags=["post"])
    assert hit.passage.id == kept[1].id
    assert archive.search(ADA, "Geld", tags=["post"]) == []
    assert fresh.lines == []
