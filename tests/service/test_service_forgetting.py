"""Passages that are forgotten, brought back, selected and tagged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from passages_bench import ZONE, found, keep, listed

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory import terms
from letta_kernel.records import AgentState, Passage
from letta_kernel.service import AgentService
from letta_kernel.service.agent_file.parse import FilePassage
from letta_kernel.service.agent_file.read import passages_of as passages_of_file
from letta_kernel.store import passages, purge_due, settings


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> AgentState:
    return service.agents.create("ada", settings={"timezone": ZONE})


def test_an_agent_file_carries_what_is_superseded_and_nothing_forgotten(
    service: AgentService,
) -> None:
    old = keep(service, "Kim lives in Quebec.")
    keep(service, "Kim lives in Lisbon.", supersedes=[old.id])
    gone = keep(service, "A secret.")
    service.passages.forget([gone.id], agent="ada")
    data = service.agent_files.export("ada")
    assert "A secret." not in json.dumps(data)
    service.agent_files.import_data(json.loads(json.dumps(data)), name="copy")
    assert found(service, "where does Kim live", "copy") == ["Kim lives in Lisbon."]
    new, copied = service.passages.list("copy")
    assert (copied.superseded_by, copied.content) == (new.id, old.content)
    assert copied.superseded_at == listed(service, superseded=True)[0].superseded_at
    entries = data["agents"][0]["passages"]
    for wrong in (0, 2):  # itself, and none that there is
        entries[0]["superseded_by"] = wrong
        with pytest.raises(InvalidInputError, match="passage 0 is superseded by one that cannot"):
            service.agent_files.import_data(data, name="wrong")
    # One long chain, whose links are each looked at once; closed to a ring it is refused.
    links = [FilePassage(content=str(n), superseded_by=n + 1) for n in range(5_000)]
    whole = passages_of_file([*links, FilePassage(content="last")])
    assert [one.superseded_by for one in whole[:-1]] == [one.id for one in whole[1:]]
    with pytest.raises(InvalidInputError, match="passage 0 is superseded"):
        passages_of_file([*links, FilePassage(content="last", superseded_by=7)])


def test_what_is_forgotten_is_out_of_everything_and_can_be_restored(service: AgentService) -> None:
    old = keep(service, "Kim lives in Quebec.")
    new = keep(service, "Kim lives in Lisbon.", supersedes=[old.id])
    other = keep(service, "The boat is blue.")
    before = listed(service)
    with pytest.raises(NotFoundError, match="no passage 'passage-none'"):
        service.passages.forget([new.id, "passage-none"], agent="ada")
    assert listed(service) == before
    service.passages.forget([new.id], agent="ada")
    assert found(service, "where does Kim live", top_k=1) == [old.content]  # it stands again
    assert new.content not in found(service, "where does Kim live", include_superseded=True)
    assert [one.id for one, _ in service.passages.forgotten("ada")] == [new.id]
    with pytest.raises(NotFoundError, match="no passage"):
        service.passages.forget([new.id], agent="ada")
    service.passages.forget([old.id, other.id], agent="ada")
    assert listed(service) == []
    service.passages.restore([new.id, old.id, other.id], agent="ada")
    assert listed(service) == before
    assert found(service, "where does Kim live", top_k=1) == [new.content]
    service.passages.restore([old.id], agent="ada")  # not superseded any more
    assert listed(service, superseded=True) == []
    with pytest.raises(NotFoundError, match="no forgotten passage 'passage-none'"):
        service.passages.restore([old.id, "passage-none"], agent="ada")
    assert service.store.check().findings == []


def test_passages_are_selected_by_words_ids_tags_and_dates_and_tagged(
    service: AgentService,
) -> None:
    midnight = datetime(2026, 3, 1, 5, tzinfo=UTC)  # in New York
    first = keep(service, "Green tea.", created_at=midnight - timedelta(microseconds=1))
    second = keep(service, "Black TEA.", tags=["drink"], created_at=midnight)
    third = keep(service, "The ship sails on Friday.", tags=["trip"])

    def chosen(query: str = "", **more: Any) -> list[str]:
        return [one.id for one in service.passages.select(query, agent="ada", **more)]

    assert chosen("tea") == [second.id, first.id]
    assert chosen("when does the boat leave") == [third.id]  # nothing says just that
    assert chosen("volcanoes") == []
    assert chosen(f"{third.id} {first.id}") == [third.id, first.id]
    for ids, missing in (("passage-none",) * 2, (f"{first.id}, passage-nine", "passage-nine")):
        with pytest.raises(NotFoundError, match=f"ada has no passage '{missing}'"):
            chosen(ids)
    assert chosen(f"{third.id},{first.id}, {third.id}") == [third.id, first.id]
    assert chosen(before="2026-03-01") == [first.id]
    assert chosen(before="2026-03-02", tags=["drink"]) == [second.id]
    assert chosen("tea", before="2026-03-01") == [first.id]
    for nothing in ({}, {"before": "soon"}):
        with pytest.raises(InvalidInputError):
            chosen(**nothing)
    service.passages.tag([first.id, second.id], ["tea", "hot"], ["drink"], agent="ada")
    assert [one.tags for one in listed(service)] == [["trip"], ["tea", "hot"], ["tea", "hot"]]
    with pytest.raises(NotFoundError):
        service.passages.tag([first.id, "passage-none"], ["x"], agent="ada")
    assert found(service, "", tags=["x"]) == []
    before = listed(service)
    for wrong in ("", " ", "x" * 201):
        for refused in (
            lambda tag=wrong: service.passages.tag([first.id], [tag], agent="ada"),
            lambda tag=wrong: keep(service, "More.", tags=[tag]),
            lambda tag=wrong: service.passages.remember("Green tea.", [tag], agent="ada"),
        ):
            with pytest.raises(InvalidInputError, match="A tag"):
                refused()
    assert listed(service) == before
    service.passages.tag([first.id], ["x" * 200], agent="ada")
    service.passages.tag([first.id], [], ["x" * 200], agent="ada")
    many = [f"{'a' if n % 2 else 'b'}{n % 7}" for n in range(40)]
    ids = [keep(service, f"Number {n}.", tags=[tag]).id for n, tag in enumerate(many)]
    tagged = service.passages.tag(ids, ["new", "a1"], ["b2"], agent="ada")
    wanted = [[*dict.fromkeys([*([tag] if tag != "b2" else []), "new", "a1"])] for tag in many]
    assert [one.tags for one in tagged] == wanted
    assert [one.tags for one in listed(service)[:40]] == wanted[::-1]
    assert len(found(service, "number", tags=["new"], top_k=99)) == 40
    service.passages.forget(ids, agent="ada")
    service.passages.restore(ids, agent="ada")
    assert [one.tags for one in listed(service)[:40]] == wanted[::-1]
    service.passages.forget(ids, agent="ada")
    assert found(service, "tea", tags=["hot"], top_k=9) == ["Green tea.", "Black TEA."]


@pytest.mark.parametrize(
    ("words", "text", "stand"),
    [
        ("cat", "The Cat's asleep.", True),
        ("cat", "Education.", False),
        ("cat", "Concatenate, category, a scat; the cat", True),
        ("cat", "_cat_", True),
        ("cat 1", "cat 12", False),
        ("cafe", "cafe\u0301", False),
        ("(cat", "a(cat)", True),
        ("Émile", "émiles", False),
        ("猫", "黑猫睡觉", True),
        ("cat", "猫cat猫", True),
        ("고양이", "고양이가 잔다", True),
        ("кот", "который", False),
        ("", "anything", True),
    ],
)
def test_words_stand_in_a_text_as_words(words: str, text: str, stand: bool) -> None:
    assert terms.stand_in(words, text) is stand


def test_what_was_kept_again_is_not_restored_twice(service: AgentService, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("The ferry leaves at noon.\n")
    service.passages.add_files([tmp_path / "notes.md"], agent="ada")
    keep(service, "Kim likes tea.")
    twin = keep(service, "Kim likes tea.")  # meant so
    first = [one.id for one in listed(service)]
    service.passages.forget(first, agent="ada")
    assert len(service.passages.restore(first, agent="ada")) == 3
    service.passages.forget(first, agent="ada")
    assert service.passages.add_files([tmp_path / "notes.md"], agent="ada")[0].status == "added"
    assert [one.id for one in service.passages.restore(first, agent="ada")] == first[:2]
    assert len(listed(service)) == 3
    service.passages.forget([twin.id], agent="ada")
    keep(service, "Kim likes tea.")
    assert service.passages.restore([twin.id], agent="ada") == []
    gone = listed(service)[0]
    service.passages.delete(gone.id, agent="ada")  # cannot be restored, but goes from copies too
    noted = service.database.run(lambda tx: settings.get(tx, purge_due.NOTE))
    assert noted == json.dumps([gone.id])
    assert service.store.check().findings == []


def test_check_mends_what_does_not_fit(service: AgentService) -> None:
    a, b, c = (keep(service, text) for text in ("A.", "B.", "C."))
    rows = [(a.id, b.id), (b.id, a.id), (c.id, "passage-none")]

    def spoil(tx: Any) -> None:
        for one, by in rows:
            tx.execute(
                "UPDATE passages SET superseded_by = $2, superseded_at = now() WHERE id = $1",
                (one, by),
            )
        kept = json.dumps(a.model_dump(mode="json"))
        tx.execute("INSERT INTO forgotten VALUES ($1, 'agent-none', $2, now())", ("p", kept))

    service.database.run(spoil)
    long = [Passage(agent_id=a.agent_id, content=str(n)) for n in range(1_000)]
    for one, other in pairwise([*long, long[-9]]):
        one.superseded_by, one.superseded_at = other.id, one.created_at
    service.database.run(lambda tx: passages.append(tx, long))
    said = "\n".join(one.text for one in service.store.check(repair=True).findings)
    for part in ("in a ring: 11", "by what is gone: 1", "owners are gone: 1"):
        assert part in said
    assert service.store.check().findings == []
    marked = service.database.run(lambda tx: passages.superseded(tx, [a.agent_id]))
    assert {one for one, _ in marked} == {one.id for one in long[:-9]}  # they only led there
