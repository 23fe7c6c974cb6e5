"""The vector index in an object storage: who may write to it, what is seen of it, and what if it is away."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import postgres
import pytest
from object_storage import Gate, environment

from letta_kernel.cli import checks
from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.memory import search
from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.records import AgentState, Passage
from letta_kernel.service import AgentService, moving
from letta_kernel.service.moving import Move
from letta_kernel.store import agents, check, forgetting, lease, passages, purge
from letta_kernel.store.database import Database
from letta_kernel.store.index_storage import remote
from letta_kernel.store.vectors import IndexAwayError, VectorTable

ADA = "agent-ada"


def fill(archive, number, first=0):
    return archive.insert_many(
        [
            Passage(agent_id=ADA, content=f"item {n} speaks of subject {n}", source="s", position=n)
            for n in range(first, first + number)
        ]
    )


def contents(hits):
    return [hit.passage.content for hit in hits]


def table_of(archive) -> VectorTable:
    return archive._index.table


def ids_in(archive):
    return sorted(table_of(archive).lines_of(ADA, 0)["id"].to_pylist())


def stored_ids(database):
    found = database.run(lambda tx: passages.page(tx, ADA, limit=10_000))
    return sorted(passage.id for passage in found)


def row(database):
    (found,) = database.run(
        lambda tx: tx.query(
            "SELECT place, CAST(pointer AS text), owner, expires_at, fence FROM vector_tables"
        )
    )
    return found


def expire(database):
    database.run(lambda tx: tx.execute("UPDATE vector_tables SET expires_at = $1", (tx.now(),)))


@pytest.fixture
def other(project, bucket) -> Iterator[Archive]:
    """What another server has of the same project."""
    database = Database(project.home)
    made = Archive(database, project.home, embedder("wordllama"))
    made.close()
    yield made
    database.close()


def test_the_index_in_a_bucket_follows_and_leaves_nothing_in_the_folder(
    project, bucket, object_storage
):
    archive = project.archive()
    kept = fill(archive, 30)
    assert archive.catch_up() == 30
    archive.update(kept[3].id, content="the walrus sings")
    archive.delete(kept[4].id)
    fill(archive, 5, first=100)
    assert archive.catch_up() == 5
    assert ids_in(archive) == stored_ids(project.database)
    assert project.database.run(lambda tx: tx.query("SELECT * FROM outbox")) == []
    assert archive.catch_up() == 0
    assert not (project.home / "vectors").exists()
    place, _, owner, *_ = row(project.database)
    assert place.startswith(f"s3://{bucket}/letta/home-")
    assert owner is None
    assert place == table_of(archive).place()
    assert {name.split("/")[1] for name in object_storage.names(bucket)} == {place.rsplit("/")[-1]}
    assert table_of(archive).size() > 30 * 256 * 4


@pytest.mark.parametrize("way", ["loaded", pytest.param("candidates", marks=pytest.mark.slow)])
def test_what_is_found_and_in_which_order_is_the_same(
    project, object_storage, monkeypatch, tmp_path, way
):
    monkeypatch.setattr(search, "LARGE", 60)
    if way == "candidates":
        monkeypatch.setattr(search, "HUGE", 100)
    local = project.archive()
    fill(local, 150)
    for n, text in enumerate(("my dog ran after the postman", "the walrus sings at noon")):
        local.insert(ADA, text, tags=[f"t{n}"])
    questions = ("subject 77", "puppies and cats", "walrus at midday", "item 3 of subject 9")

    def asked(archive):
        found = [archive.search(ADA, one, top_k=20) for one in questions]
        assert archive._engine._agents[ADA].way == way
        return [[(hit.passage.id, round(hit.score, 6)) for hit in hits] for hits in found]

    local.catch_up()
    want = asked(local)
    name = object_storage.bucket()
    for key, value in environment(object_storage.endpoint, name).items():
        monkeypatch.setenv(key, value)
    away = project.archive()
    away.catch_up()
    assert asked(away) == want
    assert object_storage.names(name)


def test_two_servers_see_at_once_what_either_keeps_edits_and_forgets(
    project, other, bucket, monkeypatch
):
    monkeypatch.setattr(search, "LARGE", 60)
    one = project.archive()
    fill(one, 100)
    one.catch_up()
    assert contents(other.search(ADA, "subject 77", top_k=1)) == ["item 77 speaks of subject 77"]
    (walrus,) = one.insert(ADA, "the walrus sings at noon")
    assert contents(other.search(ADA, "walrus", top_k=1)) == ["the walrus sings at noon"]
    other.catch_up()
    assert contents(one.search(ADA, "walrus", top_k=1)) == ["the walrus sings at noon"]
    other.update(walrus.id, content="the ostrich sings at noon")
    assert contents(one.search(ADA, "ostrich", top_k=1)) == ["the ostrich sings at noon"]
    one.catch_up()
    one.delete(walrus.id)
    assert "the ostrich sings at noon" not in contents(other.search(ADA, "ostrich"))
    other.catch_up()
    assert ids_in(one) == ids_in(other) == stored_ids(project.database)
    assert other._engine._agents[ADA].way == "loaded"


@pytest.mark.parametrize("damage", [pytest.param("everything", marks=pytest.mark.slow), "data"])
def test_an_index_whose_objects_were_deleted_is_made_anew(
    project, bucket, object_storage, damage, monkeypatch
):
    monkeypatch.setattr(search, "LARGE", 20)
    archive = project.archive()
    fill(archive, 25)
    archive.catch_up()
    before = table_of(archive).name()
    object_storage.delete(bucket, "" if damage == "everything" else "/data/")
    assert contents(archive.search(ADA, "subject 7", top_k=1)) == ["item 7 speaks of subject 7"]
    later = project.archive()
    fill(later, 1, first=50)
    later.catch_up()
    assert table_of(later).name() != before
    assert ids_in(later) == stored_ids(project.database)


@pytest.fixture
def gate(project, bucket, object_storage, monkeypatch) -> Iterator[Gate]:
    """The way to the bucket, which can be shut."""
    made = Gate(object_storage.endpoint)
    monkeypatch.setenv("LETTA_INDEX_ENDPOINT", made.endpoint)
    monkeypatch.setattr("letta_kernel.store.index_storage._PAUSES", (1000.0,))
    yield made
    made.close()


def asked_again():
    """Have the storage asked now whether it answers again, and wait until it does."""
    storage = remote()
    storage._sooner.set()
    until(lambda: not storage._away)


def until(holds, seconds=30):
    latest = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < latest
        time.sleep(0.02)


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_storage_that_is_away_is_said_once_and_nothing_is_lost(
    project, gate, monkeypatch, caplog
):
    monkeypatch.setattr(search, "LARGE", 60)
    archive = project.archive()
    kept = fill(archive, 100)
    archive.catch_up()
    name = table_of(archive).name()
    gate.shut()
    fresh = project.archive()
    for number in (5, 77):
        found = contents(fresh.search(ADA, f"subject {number}", top_k=1))
        assert found == [f"item {number} speaks of subject {number}"]
    fill(fresh, 3, first=200)
    fresh.update(kept[7].id, content="the walrus sings at noon")
    assert fresh.catch_up() == 0
    assert contents(fresh.search(ADA, "walrus", top_k=1)) == ["the walrus sings at noon"]
    (said,) = warnings(caplog)
    assert "cannot be reached: no connection" in said
    gate.open = True
    assert fresh.catch_up() == 0  # it is not asked again at once
    asked_again()
    assert fresh.catch_up() == 3
    assert table_of(fresh).name() == name  # nothing was made anew
    assert ids_in(fresh) == stored_ids(project.database)
    assert contents(project.archive().search(ADA, "walrus", top_k=1)) == [
        "the walrus sings at noon"
    ]
    assert "can be reached again" in caplog.text
    assert "secret-of-the-tests" not in caplog.text
    assert "AKIATESTINGTESTING00" not in caplog.text


def test_what_waited_is_taken_in_by_itself_once_the_storage_is_back(project, gate):
    archive = Archive(project.database, project.home, embedder("wordllama"))
    fill(archive, 5)
    until(lambda: ids_in_or_none(archive) == stored_ids(project.database))
    gate.shut()
    archive.insert(ADA, "the walrus sings at noon")
    until(lambda: remote()._waiting)
    assert contents(archive.search(ADA, "walrus", top_k=1)) == ["the walrus sings at noon"]
    gate.open = True
    asked_again()  # nobody searches, and nothing is new
    until(lambda: ids_in(archive) == stored_ids(project.database))
    archive.close()


def ids_in_or_none(archive):
    return ids_in(archive) if table_of(archive).name() else None


def test_a_storage_that_says_nothing_holds_up_one_question(project, gate, monkeypatch, caplog):
    monkeypatch.setattr(search, "LARGE", 20)
    archive = project.archive()
    fill(archive, 25)
    archive.catch_up()
    monkeypatch.setattr("letta_kernel.store.index_storage.ANSWER", 0.5)
    gate.held = True
    found = contents(project.archive().search(ADA, "subject 7", top_k=1))
    assert found == ["item 7 speaks of subject 7"]
    (said,) = warnings(caplog)
    assert "cannot be reached: no answer in time" in said
    monkeypatch.setattr("letta_kernel.store.index_storage.ANSWER", 1000.0)  # nobody waits again
    found = contents(project.archive().search(ADA, "subject 9", top_k=1))
    assert found == ["item 9 speaks of subject 9"]
    assert project.archive().catch_up() == 0
    gate.held = False
    asked_again()
    fill(archive, 1, first=70)
    assert archive.catch_up() == 1


def refuse(object_storage, bucket, code, *methods):
    for method in methods:
        object_storage.refused[bucket, method] = code


def test_a_storage_that_only_lets_read_is_read(
    project, bucket, object_storage, monkeypatch, caplog
):
    monkeypatch.setattr(search, "LARGE", 20)
    archive = project.archive()
    kept = fill(archive, 25)
    archive.catch_up()
    refuse(object_storage, bucket, "AccessDenied", "PUT", "POST", "DELETE")
    fill(archive, 3, first=50)
    archive.delete(kept[2].id)
    assert archive.catch_up() == 0
    assert archive.catch_up() == 0
    reader = project.archive()
    assert contents(reader.search(ADA, "subject 51", top_k=1)) == ["item 51 speaks of subject 51"]
    assert reader._engine._agents[ADA].way == "loaded"
    (said,) = warnings(caplog)
    assert "cannot be written: AccessDenied. Searches read from the store what it lacks" in said
    object_storage.refused.clear()
    remote()._until = 0.0
    assert archive.catch_up() == 3
    assert ids_in(archive) == stored_ids(project.database)
    assert "can be written again" in warnings(caplog)[-1]


def test_keys_that_are_refused_are_said_and_not_named(
    project, bucket, object_storage, monkeypatch, caplog
):
    monkeypatch.setattr(search, "LARGE", 20)
    archive = project.archive()
    fill(archive, 25)
    archive.catch_up()
    name = table_of(archive).name()
    refuse(object_storage, bucket, "InvalidAccessKeyId", "GET", "PUT", "POST", "HEAD", "DELETE")
    fresh = project.archive()
    assert contents(fresh.search(ADA, "subject 7", top_k=1)) == ["item 7 speaks of subject 7"]
    fill(fresh, 1, first=50)
    assert fresh.catch_up() == 0
    finding = checks._index(project.home)
    assert (finding.state, finding.text.count("InvalidAccessKeyId")) == ("wrong", 1)
    project.database.close()
    report = check.check(project.database)
    assert report.findings == []
    assert report.unseen.startswith("The vector index was not compared: s3://")
    with pytest.raises(StoreError, match=r"cannot be written now: .* InvalidAccessKeyId") as failed:
        purge.discard_indexes(project.database)
    told = caplog.text + str(finding) + report.unseen + str(failed.value)
    assert "AKIATESTINGTESTING00" not in told
    assert "secret-of-the-tests" not in told
    object_storage.refused.clear()
    asked_again()
    assert fresh.catch_up() == 1
    assert table_of(fresh).name() == name


@pytest.mark.slow
def test_many_search_while_tables_are_made_tidied_and_dropped(
    project, other, bucket, monkeypatch, caplog
):
    monkeypatch.setattr(search, "LARGE", 20)
    monkeypatch.setattr(search, "HUGE", 30)
    monkeypatch.setattr("letta_kernel.store.vectors._FRAGMENTS_AWAY", 2)
    archive = project.archive()
    fill(archive, 40)
    archive.catch_up()
    done = threading.Event()

    def seek(one):
        number = 0
        while not done.is_set() or number < 3:
            assert contents(one.search(ADA, "subject 7", top_k=1)) == ["item 7 speaks of subject 7"]
            number += 1
        return number

    def write(one, first):
        for n in range(2):
            fill(one, 2, first=first + 10 * n)
            one.catch_up()  # which tidies up
        with table_of(one).writing(30) as mine:
            assert mine
            one._index._give_up()
        one.catch_up()

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(seek, one) for one in (project.archive(), other)]
        writers = [pool.submit(write, archive, 100), pool.submit(write, project.archive(), 200)]
        try:
            for one in writers:
                one.result()
        finally:
            done.set()
        assert min(one.result() for one in readers) >= 3
    archive.catch_up()
    assert ids_in(archive) == stored_ids(project.database)


# -- who may write


def test_one_writes_at_a_time_and_the_right_of_one_that_is_silent_goes_to_the_next(
    project, other, bucket
):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    with table_of(archive).writing(1) as mine, table_of(other).writing(0.3) as theirs:
        assert (mine, theirs) == (True, False)
    with table_of(archive).writing(1) as mine:
        expire(project.database)
        with table_of(other).writing(1) as theirs:
            assert (mine, theirs) == (True, True)
            fence = row(project.database)[-1]
        assert row(project.database)[2] is None
    assert row(project.database)[-1] == fence


def test_the_right_of_a_process_that_ended_is_free_at_once(project, bucket):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    host, pid, _ = lease.process_owner().split("|")

    def held_by(owner):
        project.database.run(
            lambda tx: tx.execute(
                "UPDATE vector_tables SET owner = $1, expires_at = '2099-01-01T00:00:00Z'", (owner,)
            )
        )

    held_by(f"elsewhere|{pid}|1/x")  # of another machine nothing is known
    with table_of(archive).writing(0.3) as mine:
        assert not mine
    held_by(f"{host}|{pid}|1/x")  # the process that had this number has ended
    with table_of(archive).writing(0.3) as mine:
        assert mine


def test_a_writer_that_was_silent_publishes_nothing_and_its_table_goes(
    project, other, bucket, object_storage
):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    slow, quick = table_of(archive), table_of(other)
    with slow.writing(1):
        expire(project.database)
        with quick.writing(1):
            name = quick.create(256, 1)
            for change in (lambda: slow.create(256, 1), slow.drop):
                with pytest.raises(IndexAwayError):
                    change()
            with pytest.raises(IndexAwayError):
                slow.add(archive._index._rows(ADA, [], 0) or [object()])
    assert slow.name() == quick.name() == name
    assert {one.split("/")[2] for one in object_storage.names(bucket)} == {f"{name}.lance"}


@pytest.mark.slow
def test_rows_added_by_a_writer_that_had_lost_its_right_are_there_once_in_the_end(
    project, other, bucket, monkeypatch
):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    fill(archive, 20, first=10)
    slow = table_of(archive)
    add = slow.add

    def silent(rows):
        """Add them, but only after another has taken over and added the same."""
        monkeypatch.setattr(slow, "add", add)
        expire(project.database)
        other.catch_up()
        slow._keeper._right.lost = False
        slow._keeper._right.until = time.monotonic() + 9
        add(rows)

    monkeypatch.setattr(slow, "add", silent)
    assert archive.catch_up() == 0
    assert len(ids_in(archive)) == 45  # twenty are there twice
    other.catch_up()
    assert ids_in(archive) == stored_ids(project.database)
    assert project.database.run(lambda tx: tx.query("SELECT * FROM outbox")) == []


@pytest.mark.slow
def test_a_table_that_was_overwritten_without_the_right_is_used_by_nobody(project, other, bucket):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    slow, name = table_of(archive), table_of(archive).name()
    with slow.writing(1):
        expire(project.database)
        with table_of(other).writing(1):
            pass
        with pytest.raises(IndexAwayError):
            slow.renew(lambda batch: batch, 1)
    other.catch_up()
    assert table_of(other).name() not in (None, name)
    assert ids_in(other) == stored_ids(project.database)


@pytest.mark.slow
def test_tables_that_killed_writers_left_are_removed(project, bucket, object_storage, monkeypatch):
    monkeypatch.setattr("letta_kernel.store.vectors._FRAGMENTS_AWAY", 2)
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    table = table_of(archive)
    left = f"{table.stem}-256-0badc0de"
    table._connect().create_table(left, schema=table._table().schema)
    assert left in str(object_storage.names(bucket))
    for n in range(3):
        fill(archive, 1, first=50 + n)
        archive.catch_up()
    assert {one.split("/")[2] for one in object_storage.names(bucket)} == {f"{table.name()}.lance"}


# -- projects, copies, forgetting


@pytest.mark.duckdb
def test_a_copy_of_a_project_has_a_place_of_its_own(project, bucket, tmp_path, object_storage):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    project.database.close()
    shutil.copytree(project.home, tmp_path / "copy")
    project.home.rename(tmp_path / "moved")
    copied = Database(tmp_path / "copy")
    twin = Archive(copied, tmp_path / "copy", embedder("wordllama"))
    twin.close()
    assert table_of(twin).name() is None
    fill(twin, 2, first=90)
    assert twin.catch_up() == 7
    moved = Database(tmp_path / "moved")
    same = Archive(moved, tmp_path / "moved", embedder("wordllama"))
    same.close()
    assert same.catch_up() == 0
    assert len(ids_in(same)) == 5
    assert len(ids_in(twin)) == 7
    assert len({one.split("/")[1] for one in object_storage.names(bucket)}) == 2
    copied.close()
    moved.close()


@pytest.mark.duckdb
def test_a_project_that_moves_has_an_index_of_its_own_wherever_it_is(
    project, object_storage, tmp_path, cluster, monkeypatch
):
    """From a folder to a server with a bucket, and to another folder; whatever was there before."""

    def opened(home, store=""):
        database = Database(home, store=store)
        archive = Archive(database, home, embedder("wordllama"))
        archive.close()
        return database, archive

    def moved(home, to, store=""):
        planned = Move(home, str(to), store).plan()
        done = Move(home, str(to), store).run(lambda share, told: None)
        assert done.index == planned.index
        return done

    home, server, new = project.home, cluster.url(postgres.project()), tmp_path / "new"
    archive = project.archive()
    kept = fill(archive, 30)
    archive.catch_up()
    (home / "skills").mkdir()
    project.database.close()

    bucket = object_storage.bucket()
    for key, value in environment(object_storage.endpoint, bucket).items():
        monkeypatch.setenv(key, value)
    done = moved(home, server)
    assert done.index == (
        f"The search index is made anew in s3://{bucket}/letta when it is needed (30 passages are embedded"
        " again)."
    )
    assert (done.kept, done.copied, done.left) == (["skills"], [], [])
    database, there = opened(home, server)
    there.update(kept[3].id, content="the walrus sings")
    there.delete(kept[4].id)
    assert there.catch_up() == 29
    assert contents(there.search(ADA, "walrus", top_k=1)) == ["the walrus sings"]
    database.close()
    place = table_of(there).place()

    done = moved(home, new, server)
    assert done.index.endswith(f"; the old one stays in {place}.")
    assert done.copied == ["skills"]
    database, away = opened(new)
    assert away.catch_up() == 29
    assert ids_in(away) == stored_ids(database)
    assert len({one.split("/")[1] for one in object_storage.names(bucket)}) == 2
    database.close()

    # Now without the bucket: an index of what was there before is in both folders.
    monkeypatch.delenv("LETTA_INDEX")
    moving.back(home, server)
    database, local = opened(home, server)
    local.catch_up()
    assert contents(local.search(ADA, "walrus", top_k=1)) == ["the walrus sings"]
    database.close()
    moving.back(home, "")
    database, again = opened(home)
    again.delete(kept[5].id)
    again.catch_up()
    assert ids_in(again) == stored_ids(database)
    assert len(ids_in(local)) == 29, "two stores of one folder have one index"
    database.close()
    shutil.copytree(home / "vectors", new / "vectors")
    (new / "letta.duckdb").unlink()
    moved(home, new)
    assert not list((new / "vectors").glob("*"))
    database, last = opened(new)
    assert last.catch_up() == 29
    assert ids_in(last) == stored_ids(database)
    database.close()


def test_a_restored_copy_in_postgresql_begins_anew(bucket, object_storage, tmp_path, cluster):
    name = postgres.project()
    database = Database(tmp_path, store=cluster.url(name))
    database.run(lambda tx: agents.add(tx, AgentState(id=ADA, name="ada")))
    archive = Archive(database, tmp_path, embedder("wordllama"))
    archive.close()
    fill(archive, 5)
    archive.catch_up()
    before = table_of(archive).name()
    place = table_of(archive).place()
    assert place.rpartition("/")[2].startswith(name.replace("_", "-") + "-")
    copy = str(tmp_path / "copy")
    where = ["--host", str(cluster.folder), "--username", "postgres", "--schema", name]
    programs = postgres.programs()
    dump = [programs / "pg_dump", *where, "--format=custom", "--file", copy, "postgres"]
    subprocess.run(dump, check=True)
    (later,) = fill(archive, 1, first=70)
    archive.catch_up()
    database.close()
    clean = ["--clean", "--if-exists", "--single-transaction", "--dbname", "postgres", copy]
    subprocess.run([programs / "pg_restore", *where, *clean], check=True)
    restored = Database(tmp_path, store=cluster.url(name))
    again = Archive(restored, tmp_path, embedder("wordllama"))
    again.close()
    assert later.id not in stored_ids(restored)
    assert table_of(again).name() is None
    again.catch_up()
    assert ids_in(again) == stored_ids(restored)
    assert (table_of(again).name(), table_of(again).place()) != (before, place)
    restored.close()


def test_what_is_purged_is_in_no_object(project, bucket, object_storage):
    archive = project.archive()
    fill(archive, 5)
    (secret,) = archive.insert(ADA, "the xylophonist hides")
    archive.catch_up()
    assert b"xylophonist" in object_storage.read(bucket)
    project.database.run(lambda tx: forgetting.forget(tx, [secret.id]))
    archive.catch_up()
    assert b"xylophonist" in object_storage.read(bucket)  # in an older version
    project.database.close()
    assert purge.purge(project.database) == 1
    assert b"xylophonist" not in object_storage.read(bucket)
    assert ids_in(archive) == stored_ids(project.database)
    archive.search(ADA, "subject")


def test_a_purge_waits_for_a_storage_that_is_away_and_leaves_no_older_table(
    project, bucket, object_storage, monkeypatch
):
    archive = project.archive()
    (secret,) = archive.insert(ADA, "the xylophonist hides")
    archive.catch_up()
    with table_of(archive).writing(1):  # an embedder that was used before, or a table given up
        table = table_of(archive)
        older = f"{table.stem}-256-0badc0de"
        table._connect().create_table(older, data=table._table().to_arrow())
    project.database.run(
        lambda tx: tx.execute(
            "INSERT INTO vector_tables (place, stem, fence) VALUES ($1, 'passages-other-abc123', 0)",
            (table.place(),),
        )
    )
    table._connect().create_table(
        "passages-other-abc123-256-0badc0de", data=table._table().to_arrow()
    )
    archive.delete(secret.id)
    project.database.close()
    # A project in a file is one whatever is set for others.
    monkeypatch.setenv("LETTA_STORE", "postgresql://nobody@127.0.0.1:1/none")
    refuse(object_storage, bucket, "AccessDenied", "DELETE", "POST")
    with pytest.raises(StoreError) as failed:
        purge.purge(project.database)
    assert "AccessDenied" in str(failed.value) or "cannot be removed" in str(failed.value)
    assert "\n" not in str(failed.value)
    object_storage.refused.clear()
    remote()._until = 0.0
    purge.purge(project.database)
    assert b"xylophonist" not in object_storage.read(bucket)


def test_what_a_project_has_in_a_bucket_goes_with_it(project, bucket, object_storage):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    assert object_storage.names(bucket)
    project.database.close()
    with AgentService(project.home) as service:
        service.store.discard_index()
    assert object_storage.names(bucket) == []


def test_an_index_in_the_folder_stays_there_where_that_is_said(bucket, object_storage, tmp_path):
    database = Database(tmp_path / "own", index="")
    database.run(lambda tx: agents.add(tx, AgentState(id=ADA, name="ada")))
    archive = Archive(database, database.home, embedder("wordllama"))
    archive.close()
    fill(archive, 5)
    archive.catch_up()
    assert table_of(archive).place() == str(tmp_path / "own" / "vectors")
    assert object_storage.names(bucket) == []
    database.close()


def test_a_check_compares_what_is_in_the_bucket(project, bucket, object_storage):
    archive = project.archive()
    fill(archive, 5)
    archive.catch_up()
    assert check.check(project.database).findings == []
    with table_of(archive).writing(1):
        table_of(archive).remove(ADA, stored_ids(project.database)[:2])
    project.database.close()
    (found,) = check.check(project.database, repair=True).findings
    assert "lacks 2 lines" in found.text
    project.database.run(lambda tx: None)
    assert table_of(archive).name() is None
    archive.catch_up()
    assert ids_in(archive) == stored_ids(project.database)


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIA:SeCrEt@bucket/x",
        "s3://bucket/x?key=SeCrEt",
        "/SeCrEt",
        "s3://",
        "ftp://SeCrEt",
        "s3://bucket/../SeCrEt",
        "s3://bucket/a b",
        "file:///SeCrEt",
    ],
)
def test_a_place_that_is_none_is_refused_in_one_line(monkeypatch, text):
    monkeypatch.setenv("LETTA_INDEX", text)
    with pytest.raises(InvalidInputError) as refused:
        remote()
    assert "SeCrEt" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_storages_are_passed_on_without_what_is_for_s3(monkeypatch):
    monkeypatch.setenv("LETTA_INDEX", "az://container/letta")
    assert remote().root == "az://container/letta"
    assert not [name for name in remote().options if name.startswith("aws")]
    monkeypatch.setenv("LETTA_INDEX_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(InvalidInputError, match="LETTA_INDEX_ENDPOINT is for s3:// alone"):
        remote()


def test_what_an_error_of_the_storage_says_has_no_key_in_it(bucket, monkeypatch):
    storage = remote()
    assert storage is not None
    said = [
        "Signature=abcdef0123 for AKIATESTINGTESTING00 with secret-of-the-tests",
        "<Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIATESTINGTESTING00</AWSAccessKeyId>",
        "cannot decode https://me:pass@host/x?X-Amz-Credential=AKIATESTINGTESTING00/x&sig=AbC",
    ]
    texts = [str(storage.failure(RuntimeError(one))) for one in said]
    for secret in ("AKIATESTINGTESTING00", "secret-of-the-tests", "abcdef", "pass@", "AbC"):
        assert secret not in " ".join(texts)
    assert "SignatureDoesNotMatch" in texts[1]
    storage.works()
