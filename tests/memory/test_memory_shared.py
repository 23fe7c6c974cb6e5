"""Archives that agents share: what an agent keeps and finds once it is attached to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from letta_kernel.records import SharedArchive
from letta_kernel.store import archives

if TYPE_CHECKING:
    from conftest import Project


@pytest.fixture
def shelf(project: Project) -> str:
    """The id of an archive nobody is attached to yet."""
    made = SharedArchive(id="archive-shelf", name="shelf")
    return project.database.run(lambda tx: archives.add(tx, made)).id


def test_an_agent_finds_its_own_and_its_archives_passages(project: Project, shelf: str) -> None:
    archive = project.archive()
    archive.insert("agent-ada", "The llamas of the north eat lichen.")
    archive.insert(shelf, "The llamas of the south eat grass.")
    archive.insert("agent-bob", "The llamas of the east eat cactus.")
    assert len(archive.search("agent-ada", "what do llamas eat")) == 1

    project.database.run(lambda tx: archives.attach(tx, "agent-ada", shelf))
    found = archive.search("agent-ada", "what do llamas eat")
    assert {hit.passage.agent_id for hit in found} == {"agent-ada", shelf}
    owners = [hit.passage.agent_id for hit in archive.search("agent-ada", "")]
    assert owners == [shelf, "agent-ada"]  # the newest first
    beside = archive.relevant("agent-ada", "which llamas eat grass in the south?")
    assert shelf in {hit.passage.agent_id for hit in beside}

    project.database.run(lambda tx: archives.detach(tx, "agent-ada", shelf))
    assert [hit.passage.agent_id for hit in archive.search("agent-ada", "llamas")] == ["agent-ada"]


def test_what_an_attached_agent_keeps_is_found_by_the_others(project: Project, shelf: str) -> None:
    archive = project.archive()
    for agent_id in ("agent-ada", "agent-bob"):
        project.database.run(lambda tx, agent_id=agent_id: archives.attach(tx, agent_id, shelf))
    (kept,) = archive.insert("agent-ada", "The password of the boat house is heron.")
    assert kept.agent_id == shelf
    (hit,) = archive.search("agent-bob", "boat house password")
    assert hit.passage.id == kept.id


def test_pages_over_several_archives_neither_miss_nor_repeat(project: Project, shelf: str) -> None:
    archive = project.archive()
    for number in range(9):
        owner = "agent-ada" if number % 2 else shelf
        archive.insert(owner, f"Observation {number}: a heron stood at the boat house.")
    project.database.run(lambda tx: archives.attach(tx, "agent-ada", shelf))
    for query in ("heron at the boat house", ""):
        pages = [archive.search("agent-ada", query, top_k=4, page=page) for page in range(4)]
        assert [len(page) for page in pages] == [4, 4, 1, 0]
        assert len({hit.passage.id for page in pages for hit in page}) == 9


def test_the_better_answer_comes_first_whichever_archive_it_is_in(
    project: Project, shelf: str
) -> None:
    archive = project.archive()
    archive.insert("agent-ada", "Lunch is at noon in the garden.")
    archive.insert("agent-ada", "The gardener is called Osei.")
    archive.insert(shelf, "The boat house key hangs behind the kitchen door.")
    project.database.run(lambda tx: archives.attach(tx, "agent-ada", shelf))
    best = archive.search("agent-ada", "where is the boat house key")[0]
    assert best.passage.agent_id == shelf


def test_an_archive_deleted_is_searched_no_more(project: Project, shelf: str) -> None:
    archive = project.archive()
    archive.insert(shelf, "The boat house key hangs behind the kitchen door.")
    project.database.run(lambda tx: archives.attach(tx, "agent-ada", shelf))
    assert archive.search("agent-ada", "boat house key")
    archive.catch_up()
    project.database.run(lambda tx: archives.delete(tx, shelf))
    assert archive.search("agent-ada", "boat house key") == []
    archive.catch_up()
    assert archive.search(shelf, "boat house key") == []
