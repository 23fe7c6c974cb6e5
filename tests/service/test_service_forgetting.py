"""Passages that others replace, that are forgotten, brought back and removed for good."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.memory import terms
from letta_kernel.records import AgentState, Passage
from letta_kernel.service import AgentService
from letta_kernel.service.agent_file.parse import FilePassage
from letta_kernel.service.agent_file.read import passages_of as passages_of_file
from letta_kernel.store import automatic_backups, passages, purge, purge_due, settings
from letta_kernel.store.lock import HomeLock

ZONE = "America/New_York"


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> AgentState:
    return service.agents.create("ada", settings={"timezone": ZONE})


def keep(service: AgentService, text: str, agent: str = "ada", **more: Any) -> Passage:
    return service.passages.create(text, agent=agent, **more)[0]


def found(service: AgentService, query: str, agent: str = "ada", **more: Any) -> list[str]:
    return [hit.passage.content for hit in service.passages.search(query, agent=agent, **more)]


def listed(service: AgentService, **more: Any) -> list[Passage]:
    return service.passages.list("ada", 100, **more)


def home_of(service: AgentService) -> Path:
    return service.database.home


def where(service: AgentService, text: str) -> list[str]:
    """The files of the project in which the text can be read."""
    found = []
    for path in home_of(service).rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # some come and go
            if text.encode() in path.read_bytes():
                found.append(path.name)
    return found


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
        assert stood(None, query) == stood(datetime.now(UTC).date(), query) == {second.content}
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


def forget_since(service: AgentService, ids: list[str], days: float) -> None:
    """Forget passages as if that were so many days ago."""
    service.passages.forget(ids, agent="ada")
    at = datetime.now(UTC) - timedelta(days=days)
    service.database.run(
        lambda tx: tx.execute(
            "UPDATE forgotten SET forgotten_at = $1 WHERE id = ANY($2::text[])", (at, ids)
        )
    )
    os.utime(home_of(service) / "letta.duckdb.due", (at.timestamp(), time.time() - 1))


def test_after_thirty_days_no_file_of_the_project_has_it(
    service: AgentService, ada: AgentState
) -> None:
    index = service.passages._memories.of(ada)[0]
    index.close()  # it follows when it is told to
    kept = [keep(service, f"Zanzibar is number {n}.") for n in range(3)]
    gone = keep(service, "The word is quetzalcoatlus, or hexakosioi.")
    index.catch_up()
    joined: dict[str, Any] = {"id": kept[1].id, "content": f"Zanzibar {gone.content}"}
    joined["joined"] = [kept[1].id, gone.id]
    step = [
        {"id": gone.id, "content": gone.content},
        {"id": kept[0].id, "content": "Zanzibar", "joined": [kept[0].id, kept[1].id]},
        joined,
    ]
    service.database.run(
        lambda tx: tx.execute(
            "INSERT INTO steps (id, run_id, agent_id, number, model, prompt_tokens, completion_tokens,"
            " cached_tokens, reasoning_tokens, retrieved, tool_stats, created_at) VALUES ('step-1',"
            " 'run-1', $1, 1, '', 0, 0, 0, 0, CAST($2 AS json), '{}', CURRENT_TIMESTAMP)",
            (ada.id, json.dumps(step)),
        )
    )
    service.database.close()
    home = home_of(service)
    before = automatic_backups.before_change(home, 3)
    assert before is not None
    old = time.time() - 5 * automatic_backups.DAY
    os.utime(before, (old, old))
    (home / "backups" / "letta-20200101-000000.duckdb").write_bytes(b"quetzalcoatlus, torn")
    (home / "damaged-20200101-000000").mkdir()
    (home / "damaged-20200101-000000" / "letta.duckdb").write_bytes(b"quetzalcoatlus")
    (home / "before-restore-20200101.duckdb").write_bytes(before.read_bytes())
    (home / "before-restore-20200101.duckdb.wal").write_bytes(b"quetzalcoatlus, torn")
    assert len(where(service, "quetzalcoatlus")) >= 5

    forget_since(service, [gone.id], 29.9)
    service.database.close()
    assert service.passages.forgotten("ada") != []
    forget_since(service, [kept[2].id], 1)
    at = datetime.now(UTC) - timedelta(days=30, seconds=1)
    service.database.run(
        lambda tx: tx.execute("UPDATE forgotten SET forgotten_at = $1 WHERE id = $2", (at, gone.id))
    )
    temp = home / f".letta.duckdb.{os.getpid()}.part"  # a copy that somebody is making
    temp.write_bytes(b"")
    service.database.close()
    assert where(service, "quetzalcoatlus") != []
    assert [one.id for one, _ in service.passages.forgotten("ada")] == [kept[2].id]
    temp.unlink()
    os.utime(home / "letta.duckdb.due", (old, old))
    service.database.close()  # goes on with what was interrupted

    assert where(service, "quetzalcoatlus") == where(service, "hexakosioi") == []
    assert len(where(service, "Zanzibar")) >= 3  # store and copies are there
    assert (home / "before-restore-20200101.duckdb").exists()  # all but its log could be read
    assert before.stat().st_mtime == pytest.approx(old)
    assert found(service, "Zanzibar") == [one.content for one in kept[:2]]
    (row,) = service.database.run(lambda tx: tx.query("SELECT retrieved FROM steps"))
    assert [one["id"] for one in json.loads(row[0])] == [kept[0].id]
    assert (home / "letta.duckdb.due").stat().st_mtime > time.time() + 28 * automatic_backups.DAY
    index.catch_up()
    assert [one.what for one in service.store.check().findings] == ["runs"]  # the step has none

    assert service.passages.purge() == 1  # the other one, without waiting
    assert where(service, kept[2].content) == []
    assert not (home / "letta.duckdb.due").exists()
    service.store.restore(before)
    assert len(listed(service)) == 2  # a copy of before does not bring it back
    assert purge.purge(home) == 0


def test_copies_are_kept_when_there_is_no_room_and_a_killed_purge_holds_nothing_up(
    service: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(service, "Zanzibar.")
    gone = keep(service, "The word is quetzalcoatlus.")
    home = home_of(service)
    service.database.close()
    copy = automatic_backups.before_change(home, 3)
    assert copy is not None
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    dead = int(ended.stdout)
    left = [f".letta.duckdb.{pid}.purge.part" for pid in (os.getpid(), dead)]
    for name in (*left, f".letta.duckdb.{dead}.copy.part"):
        (home / name).write_bytes(b"quetzalcoatlus")

    real, calls = shutil.disk_usage, []

    def full(folder: Any) -> Any:  # there is room for the store, none for the copy
        calls.append(folder)
        return real(folder) if len(calls) == 1 else shutil._ntuple_diskusage(9, 9, 0)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", full)
        with pytest.raises(LettaError, match="no room"):
            service.passages.forget([gone.id], agent="ada", now=True)
    assert len(calls) == 2
    assert where(service, "quetzalcoatlus") == [copy.name]  # as it was, and later:
    data = copy.read_bytes()
    copy.unlink()
    os.mkfifo(copy)  # which is read when we write
    later = threading.Thread(target=service.database.close)
    later.start()
    while True:
        try:
            pipe = os.open(copy, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:  # nobody reads yet
            assert later.is_alive()
            time.sleep(0.01)
    os.set_blocking(pipe, True)
    lock = HomeLock(home)
    lock.acquire(60)  # others have the store meanwhile
    lock.release()
    with os.fdopen(pipe, "wb") as file:
        file.write(data)
    later.join()
    assert where(service, "quetzalcoatlus") == []
    assert copy.is_file()
    assert not (home / "letta.duckdb.due").exists()


def test_what_gone_owners_had_forgotten_goes_from_copies_too(service: AgentService) -> None:
    shared = service.archives.create("shared")
    service.archives.attach("shared", agent="ada")
    secret = keep(service, "The word is quetzalcoatlus.")  # the archive's
    service.agents.create("bob")
    other = keep(service, "The word is hexakosioi.", "bob")
    service.agents.create("eve")
    service.archives.attach("shared", agent="eve")
    home = home_of(service)
    service.database.close()
    copy = automatic_backups.before_change(home, 3)
    service.passages.forget([secret.id], agent="ada")
    service.passages.forget([other.id], agent="bob")
    service.archives.delete(shared.id)
    service.agents.delete("bob")
    assert copy is not None
    assert copy.name in where(service, "hexakosioi")
    (home / "letta.duckdb.due").unlink()  # as in a store that came from elsewhere
    service.store.restore(service.store.backup(home / "mine.duckdb")[0])
    service.agents.list()
    assert (home / "letta.duckdb.due").exists()
    (home / "mine.duckdb").unlink()
    service.database.close()
    assert where(service, "quetzalcoatlus") == where(service, "hexakosioi") == []
    assert not (home / "letta.duckdb.due").exists()


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
