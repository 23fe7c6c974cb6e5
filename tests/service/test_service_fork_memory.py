"""Archival memory in forks and after rewinds: what was there, whatever becomes of it on the other side."""

from __future__ import annotations

import pytest
from agent_bench import Bench, ended

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory import citations
from letta_kernel.records import Passage
from letta_kernel.service import AgentService
from letta_kernel.store import archives


@pytest.fixture
def service(service: AgentService) -> AgentService:
    service.agents.create("ada")
    return service


def keep(service: AgentService, text: str, agent: str = "ada", **given: object) -> Passage:
    return service.passages.create(text, agent=agent, **given)[0]  # type: ignore[arg-type]


def listed(service: AgentService, agent: str, **filters: object) -> list[str]:
    found = service.passages.list(agent, newest_first=False, **filters)  # type: ignore[arg-type]
    return [one.content for one in found]


def found(service: AgentService, agent: str, query: str, **filters: object) -> list[str]:
    hits = service.passages.search(query, agent=agent, **filters)  # type: ignore[arg-type]
    return [hit.passage.content for hit in hits]


def count(service: AgentService, agent: str) -> int:
    state = service.agents.retrieve(agent)
    return service.database.run(lambda tx: archives.passage_count(tx, state.id))


def cited(service: AgentService, agent: str, passage: Passage) -> list[str]:
    hits = {passage.id: citations.Cited(1)}
    state = service.agents.retrieve(agent)
    shown = service.database.run(lambda tx: citations.shown(tx, hits, state.id))
    return [one["text"] for one in shown]


def sound(service: AgentService) -> None:
    assert [str(one) for one in service.store.check().findings] == []


CAT, DOG, OWL = (
    "The cat sleeps on the stove.",
    "The dog guards the gate.",
    "The owl hunts at night.",
)


def test_each_side_adds_for_itself(service: AgentService) -> None:
    keep(service, CAT)
    keep(service, DOG, tags=["pets"])
    service.forks.fork("ada", "eve")
    keep(service, OWL)
    assert listed(service, "eve") == [CAT, DOG]
    assert OWL not in found(service, "eve", "which animal hunts at night?")
    assert found(service, "eve", "where does the cat sleep?")[0] == CAT
    fox = "The fox steals chicken."
    keep(service, fox, "eve")
    assert listed(service, "eve") == [CAT, DOG, fox]
    assert found(service, "eve", "chicken")[0] == fox
    assert found(service, "ada", "chicken") != [fox]
    assert listed(service, "ada") == [CAT, DOG, OWL]
    assert (count(service, "ada"), count(service, "eve")) == (3, 3)
    assert found(service, "eve", "", tags=["pets"]) == [DOG]
    first, second, third = service.passages.list("eve", newest_first=False)
    assert [p.seq for p in (first, second, third)] == [1, 2, 3]
    assert service.passages.list("eve", after=first.id, newest_first=False) == [second, third]
    assert service.passages.list("eve", 1, before=third.id) == [second]
    # What is inherited is known: it is not kept twice.
    assert service.passages.remember(CAT, agent="eve")[1] is False
    sound(service)


def test_the_parent_deletes_edits_and_supersedes_behind_the_fork(service: AgentService) -> None:
    cat, dog, owl = keep(service, CAT), keep(service, DOG), keep(service, OWL)
    service.forks.fork("ada", "eve")
    service.passages.delete(cat.id, agent="ada")
    service.passages.tag([dog.id], ["pets"], agent="ada")
    new = keep(service, "The owl sleeps at noon.", supersedes=[owl.id])
    assert listed(service, "ada") == [DOG, OWL, new.content]
    assert CAT not in found(service, "ada", "cat stove")
    assert listed(service, "eve") == [CAT, DOG, OWL]
    assert found(service, "eve", "where does the cat sleep?")[0] == CAT
    assert found(service, "eve", "who hunts at night?")[0] == OWL
    assert found(service, "eve", "", tags=["pets"]) == []
    assert [p.id for p in service.passages.list("eve", newest_first=False)] == [
        cat.id,
        dog.id,
        owl.id,
    ]
    there = service.passages.retrieve(owl.id, agent="eve")
    assert (there.content, there.superseded_by) == (OWL, None)
    assert service.passages.retrieve(cat.id, agent="eve").content == CAT
    assert [cited(service, one, cat) for one in ("ada", "eve")] == [[], [CAT]]
    with pytest.raises(NotFoundError):
        service.passages.retrieve(cat.id, agent="ada")
    # Of the fork's fork the same holds.
    service.forks.fork("eve", "mia")
    service.passages.delete(dog.id, agent="ada")
    assert listed(service, "mia") == [CAT, DOG, OWL] == listed(service, "eve")
    sound(service)


def test_a_fork_deletes_tags_and_supersedes_for_itself_alone(service: AgentService) -> None:
    cat, dog, owl = keep(service, CAT), keep(service, DOG), keep(service, OWL)
    service.forks.fork("ada", "eve")
    service.passages.delete(cat.id, agent="eve")
    tagged = service.passages.tag([dog.id], ["pets"], agent="eve")
    assert [(one.id, one.tags) for one in tagged] == [(dog.id, ["pets"])]
    new = keep(service, "The owl sleeps at noon.", "eve", supersedes=[owl.id])
    assert listed(service, "ada") == [CAT, DOG, OWL]
    assert found(service, "ada", "", tags=["pets"]) == []
    assert [p.superseded_by for p in service.passages.list("ada")] == [None] * 3
    assert listed(service, "eve") == [DOG, OWL, new.content]
    assert listed(service, "eve", superseded=False) == [DOG, new.content]
    assert found(service, "eve", "", tags=["pets"]) == [DOG]
    assert found(service, "eve", "dog gate").count(DOG) == 1  # and not as it was
    assert OWL not in found(service, "eve", "who hunts at night?")
    assert OWL in found(service, "eve", "who hunts at night?", include_superseded=True)
    assert service.passages.retrieve(owl.id, agent="eve").superseded_by == new.id
    service.passages.tag([dog.id], ["guards"], ["pets"], agent="eve")  # its own by now
    assert service.passages.retrieve(dog.id, agent="eve").tags == ["guards"]
    assert count(service, "eve") == 3
    # A fork of the fork goes on from all of it, and the fork goes on alone.
    service.forks.fork("eve", "mia")
    service.passages.restore([owl.id, cat.id], agent="eve")
    service.passages.tag([dog.id], ["old"], agent="eve")
    assert listed(service, "eve", superseded=False) == [CAT, DOG, OWL, new.content]
    assert listed(service, "mia", superseded=False) == [DOG, new.content]
    assert service.passages.retrieve(dog.id, agent="mia").tags == ["guards"]
    service.passages.delete(dog.id, agent="mia")
    assert listed(service, "mia", superseded=False) == [new.content]
    assert DOG in listed(service, "eve")
    other = keep(service, CAT, "mia")
    with pytest.raises(InvalidInputError, match="superseded already"):
        service.passages.supersede([owl.id], other.id, agent="mia")
    sound(service)


def test_what_is_forgotten_is_gone_everywhere_and_comes_back_everywhere(
    service: AgentService,
) -> None:
    cat, dog = keep(service, CAT), keep(service, DOG)
    service.forks.fork("ada", "eve")
    service.passages.tag([cat.id], ["parent"], agent="ada")
    service.passages.tag([cat.id], ["fork"], agent="eve")
    service.passages.forget([cat.id], agent="ada")
    assert listed(service, "ada") == listed(service, "eve") == [DOG]
    assert CAT not in found(service, "eve", "cat stove")
    service.passages.restore([cat.id], agent="ada")
    assert listed(service, "ada") == listed(service, "eve") == [CAT, DOG]
    assert service.passages.retrieve(cat.id, agent="ada").tags == ["parent"]
    assert service.passages.retrieve(cat.id, agent="eve").tags == ["fork"]
    # A fork forgets what is another's for itself, and cannot do so for good.
    service.passages.forget([dog.id], agent="eve")
    assert (listed(service, "ada"), listed(service, "eve")) == ([CAT, DOG], [CAT])
    assert [one.id for one, _ in service.passages.forgotten("eve")] == [dog.id]
    service.passages.restore([dog.id], agent="eve")
    assert listed(service, "eve") == [CAT, DOG]
    with pytest.raises(InvalidInputError, match="ada"):
        service.passages.forget([dog.id], agent="eve", now=True)
    # What the parent deleted and the fork still sees is forgotten by its id.
    service.passages.delete(dog.id, agent="ada")
    assert listed(service, "eve") == [CAT, DOG]
    sound(service)


def test_purging_leaves_a_dated_gap(service: AgentService) -> None:
    cat = keep(service, CAT)
    keep(service, DOG)
    service.forks.fork("ada", "eve")
    service.passages.tag([cat.id], ["fork"], agent="eve")
    service.passages.forget([cat.id], agent="ada", now=True)
    assert listed(service, "ada") == listed(service, "eve") == [DOG]
    for agent in ("ada", "eve"):
        (gap,) = service.passages.gaps(agent)
        assert gap.passage_id == cat.id
        assert gap.made_at == cat.created_at
    service.close()
    for file in service.database.home.rglob("*"):
        assert not file.is_file() or b"cat sleeps" not in file.read_bytes(), file
    sound(service)


def say(bench: Bench, text: str = "Go on.") -> str:
    """Let ada take a step; return its id."""
    bench.server.say("Done.")
    run = ended(list(bench.service.runs.send("ada", text))).run_id
    return bench.service.steps.of_run(run)[-1].id


def test_a_rewind_and_redo_take_passages_along(bench: Bench) -> None:
    service = bench.service
    cat, dog = keep(service, CAT), keep(service, DOG)
    point = say(bench)
    owl = keep(service, OWL, supersedes=[dog.id])
    service.passages.delete(cat.id, agent="ada")
    service.passages.tag([dog.id], ["pets"], agent="ada")
    say(bench)
    after = listed(service, "ada")
    assert after == [DOG, OWL]
    service.forks.rewind("ada", point)
    assert listed(service, "ada") == listed(service, "ada", superseded=False) == [CAT, DOG]
    assert found(service, "ada", "where does the cat sleep?")[0] == CAT
    assert OWL not in found(service, "ada", "who hunts at night?")
    assert service.passages.retrieve(dog.id, agent="ada").tags == []
    # What it does there is of that line alone.
    service.passages.delete(dog.id, agent="ada")
    fox = keep(service, "The fox steals chicken.")
    assert listed(service, "ada") == [CAT, fox.content]
    say(bench)
    (end,) = service.forks.branches("ada")
    service.forks.rewind("ada", end.id)
    assert listed(service, "ada") == after
    assert service.passages.retrieve(dog.id, agent="ada").tags == ["pets"]
    assert service.passages.retrieve(dog.id, agent="ada").superseded_by == owl.id
    (other,) = service.forks.branches("ada")
    service.forks.rewind("ada", other.id)
    assert listed(service, "ada") == [CAT, fox.content]
    (end,) = service.forks.branches("ada")
    service.forks.forget_branch("ada", end.id)  # and what it alone had is deleted
    rows = service.database.run(lambda tx: tx.query("SELECT content FROM passages ORDER BY seq"))
    assert OWL not in [row[0] for row in rows]
    assert listed(service, "ada") == [CAT, fox.content]
    sound(service)
    service.passages.forget([cat.id], agent="ada")  # it is its own all the same: gone on every line
    assert listed(service, "ada") == [fox.content]
    assert len(service.passages.gaps("ada")) == 1
    sound(service)


def test_a_fork_at_an_earlier_step_has_what_was_there(bench: Bench) -> None:
    service = bench.service
    cat = keep(service, CAT)
    bench.server.call("archival_memory_insert", {"content": DOG, "tags": ["pets"]})
    first = say(bench)
    service.passages.delete(cat.id, agent="ada")
    keep(service, OWL)
    second = say(bench)
    service.forks.fork("ada", "eve", at=first)
    assert listed(service, "eve") == [CAT, DOG]
    service.forks.fork("ada", "mia", at=second)
    assert listed(service, "mia") == [DOG, OWL]
    keep(service, "The fox steals chicken.", "mia")
    service.forks.fork("mia", "kim", at=second)
    assert listed(service, "kim") == [DOG, OWL]
    sound(service)


def said(service: AgentService, agent: str, query: str = "", **filters: object) -> list[str]:
    hits = service.messages.search(query, agent=agent, roles=["user"], **filters)  # type: ignore[arg-type]
    return [hit.message.content for hit in hits]


def test_points_in_time_show_what_was_there_and_what_is_forgotten_since(bench: Bench) -> None:
    service = bench.service
    cat, dog = keep(service, CAT), keep(service, DOG)
    first = say(bench, "Alpha beta.")
    service.passages.delete(cat.id, agent="ada")
    keep(service, OWL)
    say(bench, "Gamma delta.")
    then = service.timeline.at("ada", first)
    assert [one.content for one in then.passages] == [DOG, CAT]
    assert then.gaps == []
    assert OWL not in found(service, "ada", "who hunts at night?", at=first)
    assert found(service, "ada", "where does the cat sleep?", at=first)[0] == CAT
    assert said(service, "ada", "Gamma delta", at=first) == ["Alpha beta."]
    assert service.timeline.diff(first, "now", agent="ada").passages == ([CAT], [OWL])
    service.passages.forget([dog.id], agent="ada")
    then = service.timeline.at("ada", first)
    assert [one.content for one in then.passages] == [CAT]
    assert [gap.passage_id for gap in then.gaps] == [dog.id]


def test_recall_finds_what_the_line_shows_and_nothing_else(bench: Bench) -> None:
    service = bench.service
    say(bench, "I like green tea.")
    second = say(bench, "I live in Lisbon.")
    say(bench, "I have a red boat.")
    side = service.conversations.create("ada")
    bench.server.say("Well.")
    ended(list(service.runs.send("ada", "A talk about green boats.", conversation=side.id)))
    service.forks.fork("ada", "eve", at=second)
    bench.server.say("So be it.")
    ended(list(service.runs.send("eve", "I sold the boat.")))
    assert said(service, "eve") == ["I sold the boat.", "I live in Lisbon.", "I like green tea."]
    assert sorted(said(service, "eve", "boat red green tea")) == sorted(said(service, "eve"))
    assert "I sold the boat." not in said(service, "ada", "boat")
    assert "I have a red boat." in said(service, "ada", "boat")
    service.forks.rewind("ada", second)
    talk = "A talk about green boats."  # its conversations are not rewound
    assert said(service, "ada") == [talk, "I live in Lisbon.", "I like green tea."]
    assert "I have a red boat." not in said(service, "ada", "red boat")
    service.forks.redo("ada")
    assert said(service, "ada", "red boat")[0] == "I have a red boat."
    sound(service)


def test_shared_archives_in_forks_and_rewinds(bench: Bench) -> None:
    service = bench.service
    service.agents.create("bob")
    team = service.archives.create("team")
    for agent in ("ada", "bob"):
        service.archives.attach(team.id, agent=agent)
    cat, dog = keep(service, CAT), keep(service, DOG, "bob")
    point = say(bench)
    keep(service, OWL)
    service.passages.delete(cat.id, agent="bob")
    say(bench)
    service.forks.fork("ada", "eve", at=point)
    assert sorted(listed(service, "eve")) == sorted([CAT, DOG])
    assert [one.name for one in service.archives.list("eve")] == ["team"]
    fox = keep(service, "The fox steals chicken.", "eve")  # is its own
    assert fox.content not in listed(service, "bob")
    service.passages.delete(dog.id, agent="eve")
    assert sorted(listed(service, "eve")) == sorted([CAT, fox.content])
    assert sorted(listed(service, "bob")) == sorted([DOG, OWL])
    # A rewind puts what came in between out of sight; the archive lives on, for all of them.
    service.forks.rewind("ada", point)
    assert sorted(listed(service, "ada")) == sorted([CAT, DOG])
    assert OWL not in found(service, "ada", "who hunts at night?")
    bear = keep(service, "The bear fishes salmon.", "bob")
    wolf = keep(service, "The wolf howls.")
    service.passages.delete(dog.id, agent="bob")
    assert sorted(listed(service, "ada")) == sorted([CAT, bear.content, wolf.content])
    assert sorted(listed(service, "bob")) == sorted([OWL, bear.content, wolf.content])
    assert sorted(listed(service, "eve")) == sorted([CAT, fox.content])
    (end,) = service.forks.branches("ada")
    service.forks.rewind("ada", end.id)
    assert sorted(listed(service, "ada")) == sorted([DOG, OWL])
    # Attached again, a fork shares it as it is.
    service.forks.fork("ada", "mia", at=point)
    service.archives.attach(team.id, agent="mia")
    assert sorted(listed(service, "mia")) == sorted(listed(service, "bob"))
    # Deleted, it is there for the fork that looks back, until that goes.
    service.archives.delete(team.id)
    assert service.archives.list() == []
    assert sorted(listed(service, "eve")) == sorted([CAT, fox.content])
    assert found(service, "eve", "where does the cat sleep?")[0] == CAT
    sound(service)
    service.agents.delete("eve")
    rows = service.database.run(
        lambda tx: tx.one("SELECT count(*) FROM passages WHERE agent_id LIKE 'archive%'")
    )
    assert rows == (0,)
    sound(service)


def test_files_as_they_were(bench: Bench) -> None:
    service = bench.service
    folder = service.folders.create("notes")
    service.folders.attach(folder.id, agent="ada")
    file = service.files.create("a.txt", CAT.encode(), folder=folder.id)
    point = say(bench)
    service.files.create("a.txt", DOG.encode(), folder=folder.id, duplicates="replace")
    service.files.create("b.txt", OWL.encode(), folder=folder.id)
    say(bench)

    def read(agent: str) -> list[str]:
        return sorted(one.content for _, one, _ in service.files.of_agent(agent))

    def sought(agent: str) -> list[str]:
        state = service.agents.retrieve(agent)
        hits = service.files._agent_files(state.id).search("which animal?")
        return sorted(hit.passage.content for _, hit in hits)

    service.forks.fork("ada", "eve", at=point)
    assert read("eve") == sought("eve") == [CAT]
    assert read("ada") == sought("ada") == sorted([DOG, OWL])
    assert service.files.open(file.id, agent="eve") == []
    service.forks.rewind("ada", point)
    assert read("ada") == sought("ada") == [CAT]
    service.folders.delete(folder.id)
    assert read("ada") == []
    assert read("eve") == sought("eve") == [CAT]
    sound(service)
    service.agents.delete("eve")
    sound(service)


def test_a_deleted_agent_leaves_its_forks_whole(bench: Bench) -> None:
    service = bench.service
    cat = keep(service, CAT)
    keep(service, DOG)
    point = say(bench)
    keep(service, OWL)
    service.forks.fork("ada", "eve", at=point)
    ada = service.agents.retrieve("ada").id
    service.agents.delete("ada")
    assert listed(service, "eve") == [CAT, DOG]
    assert found(service, "eve", "where does the cat sleep?")[0] == CAT
    left = "SELECT count(*) FROM passages WHERE agent_id IN ($1, $1 || '/past')"
    assert service.database.run(lambda tx: tx.one(left, (ada,))) == (2,)
    # Whose it was can forget nothing any more: the fork may, and a file of it is whole.
    file = service.agent_files.export("eve")
    assert [p["content"] for p in file["agents"][0]["passages"]] == [CAT, DOG]
    service.passages.forget([cat.id], agent="eve", now=True)
    assert listed(service, "eve") == [DOG]
    sound(service)
    service.agents.delete("eve")
    assert service.database.run(lambda tx: tx.one(left, (ada,))) == (0,)
    sound(service)


def test_what_was_edited_before_the_point_can_be_edited_behind_it(bench: Bench) -> None:
    service = bench.service
    cat = keep(service, CAT)
    first = say(bench)
    service.passages.tag([cat.id], ["pets"], agent="ada")
    point = say(bench)
    service.passages.tag([cat.id], ["stove"], agent="ada")
    say(bench)
    service.forks.rewind("ada", point)
    assert service.passages.tag([cat.id], ["warm"], agent="ada")[0].tags == ["pets", "warm"]
    (there,) = service.passages.list("ada")
    assert (there.id, there.tags) == (cat.id, ["pets", "warm"])
    assert found(service, "ada", "", tags=["stove"]) == []
    service.forks.rewind("ada", first)
    assert [one.tags for one in service.passages.list("ada")] == [[]]
    sound(service)
