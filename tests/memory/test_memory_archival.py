import json
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from letta_kernel.errors import InvalidInputError
from letta_kernel.models.base import ModelError
from letta_kernel.records import Passage

ADA, BOB = "agent-ada", "agent-bob"


def contents(hits):
    return [hit.passage.content for hit in hits]


@pytest.fixture
def archive(project):
    return project.archive()


def keep(archive, *texts, agent=ADA, **more):
    return [archive.insert(agent, text, **more)[0] for text in texts]


def test_what_was_kept_is_found_by_its_words_and_by_its_meaning(archive):
    keep(
        archive,
        "The wifi password is swordfish",
        "My dog Rex was born in March",
        "Invoices are due on the tenth of each month",
    )
    assert contents(archive.search(ADA, "password for the wifi"))[0].startswith("The wifi")
    assert contents(archive.search(ADA, "what pet does he have"))[0].startswith("My dog")
    assert contents(archive.search(ADA, "birthdays of animals"))[0].startswith("My dog")


def test_a_hit_carries_the_passage_and_how_well_it_matches(archive):
    moment = datetime(2024, 2, 3, 4, 5, tzinfo=UTC)
    keep(archive, "The boiler was repaired", tags=["house"], created_at=moment)
    keep(archive, "Something else entirely")
    hits = archive.search(ADA, "boiler repaired")
    assert hits[0].passage.created_at == moment
    assert hits[0].passage.tags == ["house"]
    assert 0.5 < hits[0].score <= 1
    assert 0 <= hits[1].score < 0.2


def test_agents_do_not_see_each_others_passages(archive):
    keep(archive, "Ada's secret is a green door")
    keep(archive, "Bob's secret is a red door", agent=BOB)
    assert contents(archive.search(BOB, "secret door")) == ["Bob's secret is a red door"]
    assert archive.search("agent-nobody", "secret door") == []


def test_tags_filter_before_the_limit(archive):
    keep(archive, *(f"meeting notes number {n} about the budget" for n in range(30)))
    keep(archive, "budget of the garden", tags=["garden", "home"])
    keep(archive, "a shed for the tools", tags=["garden"])
    keep(archive, "a new kettle", tags=["home"])
    hits = archive.search(ADA, "budget", tags=["garden", "home"], top_k=3)
    assert set(contents(hits)) == {"budget of the garden", "a shed for the tools", "a new kettle"}
    both = archive.search(ADA, "budget", tags=["garden", "home"], match="all")
    assert contents(both) == ["budget of the garden"]
    assert archive.search(ADA, "budget", tags=["no such tag"]) == []


def test_dates_filter_and_a_day_as_end_is_taken_in_whole(archive):
    day = datetime(2024, 5, 3, tzinfo=UTC)
    for hours in (0, 12, 23.9, 24, 48):
        keep(archive, f"note after {hours} hours", created_at=day + timedelta(hours=hours))
    hits = archive.search(ADA, "note", start="2024-05-03", end="2024-05-03", timezone="UTC")
    assert set(contents(hits)) == {f"note after {hours} hours" for hours in (0, 12, 23.9)}
    later = archive.search(ADA, "note", start="2024-05-04T00:00", timezone="UTC")
    assert set(contents(later)) == {"note after 24 hours", "note after 48 hours"}
    west = archive.search(ADA, "note", end="2024-05-02", timezone="America/New_York")
    assert contents(west) == ["note after 0 hours"]


def test_pages_follow_one_another_without_gap_or_repetition(archive):
    keep(archive, *(f"recipe {n} with apples and {n} eggs" for n in range(25)))
    everything = contents(archive.search(ADA, "apples recipe", top_k=100))
    pages = [contents(archive.search(ADA, "apples recipe", page=n)) for n in range(4)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert [text for page in pages for text in page] == everything
    assert len(set(everything)) == 25


def test_an_empty_query_lists_the_newest_first(archive):
    keep(archive, "first", "second", "third", tags=["t"])
    assert contents(archive.search(ADA, "  ", top_k=2)) == ["third", "second"]
    assert contents(archive.search(ADA, "", top_k=2, page=1)) == ["first"]
    assert contents(archive.search(ADA, "", tags=["other"])) == []


@pytest.mark.parametrize(
    "query",
    [
        '"unbalanced AND (title:x^2 OR *) NOT ~',
        "'; DROP TABLE passages; --",
        "😀🚀",
        "what is it",
        "東京タワー",
        "Привет, как дела?",
        "\x00\ud800",
        "word " * 20_000,
        "a" * 200_000,
        "%_\\",
        "{braces} [brackets] /regex.*/",
    ],
)
def test_no_query_can_break_a_search(archive, query):
    keep(archive, "a plain passage", "東京タワーは高い", "Привет из Москвы")
    assert len(archive.search(ADA, query)) == 3


def test_other_languages_are_found_by_their_words(archive):
    keep(archive, "東京タワーは高い", "今日は雨が降った", "Вчера шёл снег", "Gestern war ich müde")
    assert contents(archive.search(ADA, "雨"))[0] == "今日は雨が降った"
    assert contents(archive.search(ADA, "東京"))[0] == "東京タワーは高い"
    assert contents(archive.search(ADA, "снег"))[0] == "Вчера шёл снег"
    assert contents(archive.search(ADA, "mude"))[0] == "Gestern war ich müde"


def test_a_line_is_found_through_what_was_said_around_it(archive):
    dialogue = [
        "Ann: Where did you learn to play the cello?",
        "Tom: From my grandmother, in Leeds.",
        "Ann: Lovely.",
    ]
    other = [f"Ann: The weather on day {n} was mild and we walked." for n in range(20)]
    archive.insert_many(
        [
            Passage(agent_id=ADA, content=text, source="talk", position=n)
            for n, text in enumerate(dialogue + other)
        ]
    )
    found = contents(archive.search(ADA, "Who taught Tom to play the cello?", top_k=1))
    assert found == ["Tom: From my grandmother, in Leeds."]


def test_a_text_of_any_size_becomes_ordered_passages_of_one_source(archive):
    text = "\n\n".join(f"Chapter {n}. " + f"It tells of matter {n}. " * 30 for n in range(20))
    made = archive.insert(ADA, text, tags=["book"])
    assert len(made) > 10
    assert {passage.source for passage in made} == {made[0].source}
    assert made[0].source is not None
    assert [passage.position for passage in made] == list(range(len(made)))
    assert all(passage.tags == ["book"] for passage in made)
    assert "matter 13" in contents(archive.search(ADA, "matter 13", top_k=1))[0]
    assert archive.insert(ADA, "short")[0].source is None


def test_what_cannot_be_kept_changes_nothing(archive):
    with pytest.raises(InvalidInputError):
        archive.insert(ADA, " \n ")
    good = Passage(agent_id=ADA, content="fine")
    with pytest.raises(InvalidInputError):
        archive.insert_many([good, Passage(agent_id=ADA, content=" ")])
    assert archive.search(ADA, "") == []
    assert archive.insert_many([]) == []


def test_arguments_without_sense_are_refused(archive):
    for wrong in ({"page": -1}, {"top_k": -1}, {"match": "some"}, {"start": "soon"}):
        with pytest.raises(InvalidInputError):
            archive.search(ADA, "x", **wrong)
    assert archive.search(ADA, "x", top_k=0) == []


def test_deleted_and_edited_passages_are_so_at_once(archive):
    kept, gone = keep(archive, "the red bicycle is in the cellar", "the blue bicycle was sold")
    assert len(archive.search(ADA, "bicycle")) == 2
    assert archive.delete(gone.id)
    assert not archive.delete(gone.id)
    archive.update(kept.id, content="the green scooter is in the attic", tags=["new"])
    assert contents(archive.search(ADA, "bicycle scooter")) == ["the green scooter is in the attic"]
    assert len(archive.search(ADA, "scooter", tags=["new"])) == 1


def test_another_instance_on_the_same_project_sees_every_change(project):
    one, other = project.archive(), project.archive()
    (first,) = keep(one, "the meeting is on Tuesday")
    assert contents(other.search(ADA, "meeting")) == ["the meeting is on Tuesday"]
    other.update(first.id, content="the meeting is on Friday")
    assert contents(one.search(ADA, "meeting")) == ["the meeting is on Friday"]
    keep(other, "the party is on Sunday")
    one.delete(first.id)
    assert contents(other.search(ADA, "meeting party")) == ["the party is on Sunday"]


def test_only_what_matches_well_is_worth_showing_unasked(archive):
    keep(
        archive,
        "Grandmother's apple cake needs six apples and cinnamon",
        "The tax number of the company is 12345",
        "Tom is allergic to nuts",
    )
    shown = contents(archive.relevant(ADA, "What is our company's tax number?"))
    assert shown == ["The tax number of the company is 12345"]
    assert archive.relevant(ADA, "Hello, how are you today?") == []
    assert archive.relevant(ADA, "") == []


def test_what_is_shown_unasked_stays_within_its_budget(archive):
    keep(archive, *(f"Project Falcon milestone {n}: " + "details " * 50 for n in range(20)))
    shown = archive.relevant(ADA, "Project Falcon milestone details", budget_tokens=300)
    assert 1 <= len(shown) <= 3
    assert sum(len(hit.passage.content) for hit in shown) <= 1200
    assert archive.relevant(ADA, "Project Falcon milestone", budget_tokens=10) == []


class Failing:
    """An embedding model that is down until told otherwise."""

    name = "test/failing"
    dimension = 4
    down = True

    def embed(self, texts):
        if self.down:
            raise ModelError("unreachable", "The embedding model is down.")
        return np.tile(np.float32([1, 0, 0, 0]), (len(texts), 1))


def test_words_still_find_things_while_the_embedding_model_is_down(project, monkeypatch):
    monkeypatch.setenv("LETTA_EMBEDDING", Failing.name)
    archive = project.archive(Failing())
    keep(archive, "the boiler was repaired in May", "the roof leaks")
    assert contents(archive.search(ADA, "boiler"))[0] == "the boiler was repaired in May"
    with pytest.raises(ModelError):
        archive.catch_up()


def test_threads_insert_and_search_at_once(archive):
    errors = []

    def work(number):
        try:
            for n in range(15):
                archive.insert(ADA, f"thread {number} item {n} {json.dumps(number * 100 + n)}")
                hits = archive.search(ADA, f"thread {number} item {n}", top_k=50)
                assert f"thread {number} item {n} {number * 100 + n}" in contents(hits)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(archive.search(ADA, "item", top_k=100)) == 45
