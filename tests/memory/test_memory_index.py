import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from letta_kernel.memory import index, search
from letta_kernel.memory.archival import Archive
from letta_kernel.messages import Message
from letta_kernel.models.embedding import embedder
from letta_kernel.models.embedding_static import StaticEmbedder
from letta_kernel.records import AgentState, Passage
from letta_kernel.store import agent_deletion, agents, indexes, messages, passage_edits, passages
from letta_kernel.store.database import Database
from letta_kernel.store.vector_queries import condition
from letta_kernel.store.vectors import IndexBrokenError

ADA = "agent-ada"
CHILD = Path(__file__).with_name("memory_child.py")


def contents(hits):
    return [hit.passage.content for hit in hits]


def table_of(archive):
    return archive._index.table


def ids_in(archive, agent=ADA):
    return sorted(table_of(archive).lines_of(agent, 0)["id"].to_pylist())


def stored_ids(project, agent=ADA):
    found = project.database.run(lambda tx: passages.page(tx, agent, limit=10_000))
    return sorted(passage.id for passage in found)


def fill(archive, number, agent=ADA, first=0):
    return archive.insert_many(
        [
            Passage(
                agent_id=agent, content=f"item {n} speaks of subject {n}", source="s", position=n
            )
            for n in range(first, first + number)
        ]
    )


def test_the_index_follows_what_is_added_edited_and_deleted(project):
    archive = project.archive()
    kept = fill(archive, 30)
    assert archive.catch_up() == 30
    assert ids_in(archive) == stored_ids(project)
    archive.update(kept[3].id, content="the walrus sings")
    archive.delete(kept[4].id)
    fill(archive, 5, first=100)
    assert archive.catch_up() == 5
    assert ids_in(archive) == stored_ids(project)
    vector = embedder("wordllama").embed(["the walrus sings"])[0]
    found = table_of(archive).candidates(condition(ADA), ["walrus"], 5, vector, 1)()
    assert [candidate.id for candidate in found] == [kept[3].id, kept[3].id]
    assert project.database.run(lambda tx: tx.query("SELECT * FROM outbox")) == []
    assert archive.catch_up() == 0


def test_the_table_is_named_after_embedder_dimension_and_generation(project):
    archive = project.archive()
    fill(archive, 1)
    archive.catch_up()
    name = table_of(archive).name()
    assert "wordllama" in name
    assert "-256-" in name
    assert (project.home / "vectors" / f"{name}.lance").is_dir()


def test_the_background_thread_follows_by_itself(project):
    archive = Archive(project.database, project.home, embedder("wordllama"))
    fill(archive, 12)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if table_of(archive).name() and table_of(archive).count(ADA) == 12:
            break
        time.sleep(0.1)
    archive.close()
    assert ids_in(archive) == stored_ids(project)


def test_what_was_added_before_a_crash_is_not_added_twice(project):
    archive = project.archive()
    fill(archive, 20)
    archive.catch_up()
    name = table_of(archive).name()
    fill(archive, 10, first=20)
    archive.catch_up()
    project.database.run(  # as if the process had died before it could move the mark
        lambda tx: tx.execute("UPDATE index_marks SET seq = 20 WHERE index_name = $1", (name,))
    )
    again = project.archive()
    assert again.catch_up() == 0
    assert ids_in(again) == stored_ids(project)


@pytest.mark.parametrize("damage", ["deleted", "data", "versions", "pointer", "garbage"])
def test_a_deleted_or_broken_index_is_made_anew_and_search_goes_on(project, damage):
    archive = project.archive()
    fill(archive, 25)
    archive.catch_up()
    folder = project.home / "vectors"
    table = folder / f"{table_of(archive).name()}.lance"
    if damage == "deleted":
        shutil.rmtree(folder)
    elif damage == "data":
        for file in (table / "data").iterdir():
            file.unlink()
    elif damage == "versions":
        shutil.rmtree(table / "_versions")
    elif damage == "pointer":
        for file in folder.glob("*.json"):
            file.write_text("{not json")
    else:
        for file in (table / "data").iterdir():
            file.write_bytes(b"garbage" * 100)
    assert contents(archive.search(ADA, "subject 7", top_k=1)) == ["item 7 speaks of subject 7"]
    later = project.archive()
    fill(later, 1, first=50)
    later.catch_up()
    later.catch_up()
    assert ids_in(later) == stored_ids(project)
    marked = project.database.run(lambda tx: indexes.mark(tx, table_of(later).name(), ADA))
    assert marked == 26


def test_an_index_restored_from_an_older_copy_is_noticed(project, tmp_path):
    archive = project.archive()
    fill(archive, 10)
    archive.catch_up()
    shutil.copytree(project.home / "vectors", tmp_path / "copy")
    fill(archive, 10, first=10)
    archive.catch_up()
    shutil.rmtree(project.home / "vectors")
    shutil.copytree(tmp_path / "copy", project.home / "vectors")
    later = project.archive()
    later.catch_up()
    assert ids_in(later) == stored_ids(project)


def test_a_deleted_agent_leaves_nothing_in_the_index(project):
    archive = project.archive()
    fill(archive, 5)
    fill(archive, 5, agent="agent-bob")
    archive.catch_up()
    project.database.run(lambda tx: passage_edits.drop_owner(tx, ADA))
    archive.catch_up()
    assert ids_in(archive) == []
    assert len(ids_in(archive, "agent-bob")) == 5
    assert archive.search(ADA, "subject") == []


def test_many_small_adds_are_tidied_up(project, monkeypatch):
    from letta_kernel.store import vectors

    monkeypatch.setattr(vectors, "_FRAGMENTS", 20)
    archive = project.archive()
    for n in range(25):
        fill(archive, 1, first=n)
        archive.catch_up()
    table = table_of(archive)._table()
    assert table.stats()["fragment_stats"]["num_fragments"] < 10
    assert ids_in(archive) == stored_ids(project)


def test_a_table_of_many_rows_gets_a_vector_index_and_finds_the_same(project, monkeypatch):
    from letta_kernel.store import vectors

    monkeypatch.setattr(vectors, "_ANN_ROWS", 300)
    archive = project.archive()
    fill(archive, 400)
    archive.insert(ADA, "the walrus sings at noon")
    archive.catch_up()
    table = table_of(archive)
    columns = {column for index in table._table().list_indices() for column in index.columns}
    assert {"vector", "words"} <= columns
    vector = embedder("wordllama").embed(["walruses are singing at midday"])[0]
    (found,) = table.candidates(condition(ADA), [], 0, vector, 1)()
    assert found.likeness > 0.4
    assert found.id == archive.search(ADA, "walrus")[0].passage.id
    assert not table.tidy()
    fill(archive, 1300, first=1000)
    archive.catch_up()
    assert table._keeper.look().trained == 1701


def test_two_processes_insert_search_and_index_at_once(project):
    command = [sys.executable, str(CHILD), str(project.home)]
    environment = os.environ | {"PYTHONPATH": str(Path(search.__file__).parents[2])}
    children = [
        subprocess.Popen(
            [*command, name, "10"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in ("red", "blue")
    ]
    for child in children:
        out, err = child.communicate(timeout=100)
        assert out.strip() == "done", err
    archive = project.archive()
    archive.catch_up()
    assert len(stored_ids(project)) == 20
    assert ids_in(archive) == stored_ids(project)
    assert len(archive.search(ADA, "process wrote item", top_k=100)) == 20


# -- many lines: they come from LanceDB, or it names candidates


@pytest.fixture(params=["loaded", "loaded without vectors", "candidates"])
def large(project, monkeypatch, request):
    """An archive that counts as large, or as huge, with 200 passages."""
    monkeypatch.setattr(search, "LARGE", 60)
    if request.param == "candidates":
        monkeypatch.setattr(search, "HUGE", 100)
    if request.param == "loaded without vectors":  # there would be too many of them
        monkeypatch.setattr(search, "_QUANTISED", 1000)
    archive = project.archive()
    fill(archive, 200)
    archive.insert(ADA, "my dog ran after the postman")
    archive.insert(ADA, "the walrus sings at noon", tags=["zoo"])
    archive.catch_up()
    yield archive
    known = archive._engine._agents[ADA]
    assert known.way == request.param.partition(" ")[0]
    assert (known.quantised is not None) == (request.param == "loaded")


def test_a_large_archive_is_searched_by_words_meaning_tags_and_pages(large):
    assert contents(large.search(ADA, "walrus"))[0] == "the walrus sings at noon"
    assert contents(large.search(ADA, "subject 77", top_k=1)) == ["item 77 speaks of subject 77"]
    assert contents(large.search(ADA, "puppies and cats"))[0] == "my dog ran after the postman"
    assert contents(large.search(ADA, "subject", tags=["zoo"])) == ["the walrus sings at noon"]
    assert large.search(ADA, "subject", tags=["it's"]) == []
    assert large.search(ADA, "subject", start="2031-01-01") == []
    large.insert(ADA, "the gnu hums", tags=["plain"])
    assert contents(large.search(ADA, "antelope music", tags=["plain"])) == ["the gnu hums"]
    pages = [contents(large.search(ADA, "speaks of subject", page=n)) for n in range(2)]
    assert len(pages[0]) == len(pages[1]) == 10
    assert not set(pages[0]) & set(pages[1])


def test_a_large_archive_finds_what_the_index_does_not_have_yet(large):
    (new,) = large.insert(ADA, "the tapir dances at midnight")
    assert contents(large.search(ADA, "tapir"))[0] == "the tapir dances at midnight"
    walrus = large.search(ADA, "walrus")[0].passage
    large.update(walrus.id, content="the ostrich sings at noon")
    assert contents(large.search(ADA, "ostrich"))[0] == "the ostrich sings at noon"
    assert "walrus" not in "".join(contents(large.search(ADA, "walrus")))
    large.delete(new.id)
    assert "the tapir dances at midnight" not in contents(large.search(ADA, "tapir"))
    large.catch_up()
    assert contents(large.search(ADA, "ostrich"))[0] == "the ostrich sings at noon"
    assert "walrus" not in "".join(contents(large.search(ADA, "walrus")))
    assert "the tapir dances at midnight" not in contents(large.search(ADA, "tapir"))


def test_a_large_archive_is_searched_while_it_is_indexed(large):
    errors = []
    done = threading.Event()

    def index():
        try:
            for n in range(15):
                fill(large, 3, first=1000 + 3 * n)
                large.catch_up()
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=index)
    thread.start()
    while not done.is_set():
        assert contents(large.search(ADA, "walrus", top_k=1)) == ["the walrus sings at noon"]
        assert contents(large.search(ADA, "subject 77", top_k=1)) == [
            "item 77 speaks of subject 77"
        ]
    thread.join()
    assert errors == []


class Counting(StaticEmbedder):
    """The offline embedder, which counts the texts of more than one word."""

    embedded = 0

    def embed(self, texts):
        self.embedded += sum(" " in text for text in texts)
        return super().embed(texts)


def test_a_search_leaves_most_of_what_is_not_indexed_yet_to_the_index(project, monkeypatch):
    for name, number in (("LARGE", 60), ("_EMBEDDED", 20), ("_AT_ONCE", 50)):
        monkeypatch.setattr(search, name, number)
    counting = Counting()
    archive = project.archive(counting)

    def found(query):
        before = counting.embedded
        hits = contents(archive.search(ADA, query, top_k=1))
        return hits, counting.embedded - before

    fill(archive, 200)
    archive.insert(ADA, "my dog ran after the postman")
    known = archive._engine._of(ADA)
    for _ in range(2):  # it is complete at once, and no search embeds more than a few of the lines
        hits, made = found("subject 177")
        assert hits == ["item 177 speaks of subject 177"]
        assert made <= 21
        assert (known.way, known.behind) == ("read", True)
    archive.catch_up()
    assert found("puppies and cats")[0] == ["my dog ran after the postman"]
    assert (known.way, known.behind) == ("loaded", False)
    fill(archive, 50, first=200)
    archive.insert(ADA, "the cook burnt the soup")
    hits, made = found("subject 240")
    assert (hits, made) == (["item 240 speaks of subject 240"], 21)
    assert known.behind
    archive.catch_up()
    assert found("kitchen")[0] == ["the cook burnt the soup"]
    assert (known.way, known.behind, len(known.corpus)) == ("loaded", False, 252)


def test_very_many_new_lines_are_scanned_until_the_index_has_them(project, monkeypatch):
    for name, number in (("LARGE", 60), ("_UNREAD", 50), ("_AT_ONCE", 50), ("_SEARCHES", 3)):
        monkeypatch.setattr(search, name, number)
    archive = project.archive()
    known = archive._engine._of(ADA)

    def first(query, **more):
        return contents(archive.search(ADA, query, **more))[0]

    fill(archive, 30)
    assert first("subject 7") == "item 7 speaks of subject 7"
    assert known.way == "read"
    fill(archive, 170, first=30)
    archive.insert(ADA, "my dog ran after the postman")
    for number in (177, 5):  # new ones and those read before
        assert first(f"subject {number}") == f"item {number} speaks of subject {number}"
        assert known.way == "scan"
    assert len(archive.search(ADA, "subject", top_k=150)) == 150
    archive.catch_up()
    assert first("puppies and cats") == "my dog ran after the postman"
    assert known.way == "loaded"
    fill(archive, 70, first=200)  # where no index follows, all are read after a few searches
    ways = []
    for number in range(200, 205):
        assert first(f"subject {number}") == f"item {number} speaks of subject {number}"
        ways.append(known.way)
    assert ways == ["scan"] * 3 + ["read"] * 2
    assert archive.search(ADA, "subject 204", page=1, top_k=1)


def test_a_large_archive_without_its_index_is_scored_line_by_line(project, monkeypatch):
    monkeypatch.setattr(search, "LARGE", 60)
    archive = project.archive()
    fill(archive, 100)
    archive.catch_up()
    assert contents(archive.search(ADA, "subject 77", top_k=1)) == ["item 77 speaks of subject 77"]
    folder = project.home / "vectors" / f"{table_of(archive).name()}.lance" / "data"
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(IndexBrokenError):
        table_of(archive).lines_of(ADA, 0)
    fresh = project.archive()
    assert contents(fresh.search(ADA, "subject 78", top_k=1)) == ["item 78 speaks of subject 78"]


def test_what_the_first_search_needs_can_be_loaded_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "LARGE", 20)
    monkeypatch.setattr(search, "_MANY", 20)
    database = Database(tmp_path / "home")
    archive = Archive(database, tmp_path / "home", embedder("wordllama"))
    fill(archive, 50)
    archive.catch_up()
    archive.prepare(ADA)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(archive._engine._of(ADA).corpus) < 50:
        time.sleep(0.05)
    assert len(archive._engine._of(ADA).corpus) == 50
    assert contents(archive.search(ADA, "subject 7", top_k=1)) == ["item 7 speaks of subject 7"]
    archive.close()
    database.close()


def test_deleting_an_agent_tells_the_index(tmp_path):
    database = Database(tmp_path / "home")
    archive = Archive(database, tmp_path / "home", embedder("wordllama"))
    archive.close()
    from letta_kernel.records import AgentState

    state = AgentState(name="ada")
    database.run(lambda tx: agents.add(tx, state))
    fill(archive, 3, agent=state.id)
    archive.catch_up()
    database.run(lambda tx: agent_deletion.delete(tx, state.id))
    archive.catch_up()
    assert ids_in(archive, state.id) == []
    database.close()


def test_a_search_that_was_stopped_loses_no_edited_line(project, monkeypatch):
    archive = project.archive()
    (old,) = archive.insert(ADA, "the walrus sings at noon")
    archive.catch_up()
    assert contents(archive.search(ADA, "walrus")) == ["the walrus sings at noon"]
    archive.update(old.id, content="the ostrich sings at noon")
    vectors = archive._engine.vectors
    embed = type(vectors).if_possible

    def stopped(self, texts):
        if "the ostrich sings at noon" in texts:
            raise KeyboardInterrupt
        return embed(self, texts)

    monkeypatch.setattr(type(vectors), "if_possible", stopped)
    with pytest.raises(KeyboardInterrupt):
        archive.search(ADA, "ostrich")
    monkeypatch.setattr(type(vectors), "if_possible", embed)
    assert contents(archive.search(ADA, "ostrich")) == ["the ostrich sings at noon"]


def test_a_conversation_is_indexed_once_it_is_long_and_then_in_large_parts(project, monkeypatch):
    monkeypatch.setitem(index._FROM, "messages", 40)
    recall = project.recall()
    follow = recall._index

    def say(number, agent=ADA):
        said = [Message(agent_id=agent, role="user", content=f"said {n}") for n in range(number)]
        project.database.run(lambda tx: messages.append(tx, agent, said))
        return follow.catch_up(least=10)  # as the background thread does

    assert [say(30), say(9)] == [0, 0]
    assert table_of(recall).name() is None
    bob = project.database.run(lambda tx: agents.add(tx, AgentState(name="bob"))).id
    assert [say(39, bob), say(1), say(9), say(1)] == [0, 40, 0, 10]
    assert [say(9), follow.catch_up()] == [0, 9]  # asked for, all of it is
    assert [say(9), say(1, bob), say(9, bob)] == [0, 40, 0]
    assert say(1) == 10 + 0
    elsewhere = Database(project.home)  # as another process
    elsewhere.run(lambda tx: messages.clear(tx, ADA))
    elsewhere.close()
    assert [follow.catch_up(least=10), table_of(recall).count(ADA)] == [0, 0]
