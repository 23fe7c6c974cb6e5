"""Servers with one store, each with an index in a folder of its own: what one does reaches all."""

from __future__ import annotations

from pathlib import Path

import postgres

from letta_kernel.memory import search
from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.records import AgentState
from letta_kernel.store import agents, check, indexes, passages, purge
from letta_kernel.store.database import Database

ADA = "agent-ada"


def elsewhere(database: Database, folder: Path) -> Archive:
    """What another server has of the same project, with its own folder."""
    made = Archive(database, folder, embedder("wordllama"))
    made.close()
    return made


def fill(archive, number):
    return [archive.insert(ADA, f"item {n} speaks of subject {n}")[0] for n in range(number)]


def ids_in(archive):
    return sorted(archive._index.table.lines_of(ADA, 0)["id"].to_pylist())


def stored_ids(database):
    return sorted(one.id for one in database.run(lambda tx: passages.page(tx, ADA, limit=1000)))


def found(archive, text):
    return archive.search(ADA, text, top_k=1)[0].passage.content


def test_an_index_that_nobody_follows_is_given_up_and_made_anew_if_it_returns(
    project, tmp_path, monkeypatch
):
    monkeypatch.setattr(search, "LARGE", 4)
    database, here = project.database, project.archive()
    there = elsewhere(database, tmp_path / "there")
    kept = fill(here, 6)
    here.catch_up()
    there.catch_up()
    before = there._index.table.name()
    here.update(kept[1].id, content="the walrus sings at noon")
    here.delete(kept[2].id)
    here.catch_up()
    assert database.run(indexes.outbox_length) == 2  # the other has not followed
    fill(here, 1)
    fresh = project.archive()
    fresh.catch_up()
    assert database.run(indexes.outbox_length) == 2  # it may yet
    database.run(lambda tx: tx.execute("UPDATE outbox SET created_at = '2020-01-01T00:00:00Z'"))
    fill(here, 1)
    again = project.archive()
    again.catch_up()
    assert again._index.table.name() == here._index.table.name()
    assert database.run(indexes.known) == [here._index.table.name()]
    here.delete(kept[3].id)
    here.catch_up()
    assert database.run(indexes.outbox_length) == 0  # nothing is noted for it
    assert found(there, "walrus at noon") == "the walrus sings at noon"
    assert there.catch_up() > 0
    assert there._index.table.name() != before
    assert ids_in(there) == ids_in(here) == stored_ids(database)
    assert there.catch_up() == 0
    assert found(there, "walrus at noon") == "the walrus sings at noon"


def test_a_purge_reaches_the_indexes_of_other_servers(project, tmp_path):
    database, here = project.database, project.archive()
    there = elsewhere(database, tmp_path / "there")
    (secret,) = here.insert(ADA, "the xylophonist hides")
    fill(here, 3)
    here.catch_up()
    there.catch_up()
    here.delete(secret.id)
    database.close()
    purge.purge(database)
    assert not _in_files(project.home, b"xylophonist")
    assert _in_files(tmp_path / "there", b"xylophonist")
    name = there._index.table.name()
    here.catch_up()
    there.catch_up()
    assert not _in_files(tmp_path / "there", b"xylophonist")
    assert there._index.table.name() == name
    assert ids_in(there) == stored_ids(database)
    assert database.run(indexes.outbox_length) == 0


def _in_files(folder, text):
    return any(text in one.read_bytes() for one in folder.rglob("*.lance/**/*") if one.is_file())


def test_a_repair_has_every_server_make_its_index_anew(tmp_path, cluster):
    database = Database(tmp_path / "here", store=cluster.url(postgres.project()))
    database.run(lambda tx: agents.add(tx, AgentState(id=ADA, name="ada")))
    here = elsewhere(database, database.home)
    there = elsewhere(database, tmp_path / "there")
    kept = fill(here, 3)
    here.catch_up()
    there.catch_up()
    before = there._index.table.name()
    with here._index.table.writing(1):
        here._index.table.remove(ADA, [kept[0].id])
    (finding,) = check.check(database, repair=True).findings
    assert "lacks 1 lines" in finding.text
    for one in (here, there):
        one.catch_up()
        assert ids_in(one) == stored_ids(database)
        assert one.catch_up() == 0
    assert there._index.table.name() != before
    database.close()
