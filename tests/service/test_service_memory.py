"""Memory as a person reads and changes it."""

from __future__ import annotations

import pytest

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError
from letta_kernel.memory.blocks import CoreMemory
from letta_kernel.memory.edits import EditError
from letta_kernel.service import AgentService


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> None:
    service.create_agent("ada")


def test_a_block_is_written_made_and_deleted(service: AgentService) -> None:
    service.write_block("ada", "human", "Kim")
    service.write_block("ada", "plans", "Sail")
    assert service.block("ada", "plans").value == "Sail"
    service.delete_block("ada", "plans")
    with pytest.raises(NotFoundError, match="persona, human"):
        service.block("ada", "plans")


def test_an_edit_made_on_an_old_version_is_refused(service: AgentService) -> None:
    read = service.block("ada", "human")
    service.write_block("ada", "human", "by the agent")
    with pytest.raises(ConflictError):
        service.write_block("ada", "human", "by a person", expected_version=read.version)
    assert service.block("ada", "human").value == "by the agent"


def test_versions_undo_and_redo(service: AgentService) -> None:
    for value in ("one", "two", "three"):
        service.write_block("ada", "human", value)
    assert [v.value for v in service.block_versions("ada", "human")] == ["", "one", "two", "three"]
    assert service.undo_block("ada", "human").value == "two"
    assert service.undo_block("ada", "human").value == "one"
    assert service.redo_block("ada", "human").value == "two"


def test_a_block_too_long_is_refused(service: AgentService) -> None:
    service.change_block("ada", "human", limit=10)
    with pytest.raises(InvalidInputError, match="10 characters"):
        service.write_block("ada", "human", "x" * 11)
    assert service.block("ada", "human").value == ""


def test_a_read_only_block_refuses_the_agent_but_not_the_person(service: AgentService) -> None:
    service.change_block("ada", "human", read_only=True)
    memory = CoreMemory(service.database, service.agent("ada").id)
    with pytest.raises(EditError, match="read-only"):
        memory.edit("human", lambda v: "x", actor="agent")
    assert service.write_block("ada", "human", "Kim").value == "Kim"


def test_a_shared_block_is_seen_by_both(service: AgentService) -> None:
    service.create_agent("bob")
    service.write_block("ada", "team", "Sea birds")
    service.share_block("ada", "team", "bob")
    service.write_block("bob", "team", "Sea birds and seals")
    assert service.block("ada", "team").value == "Sea birds and seals"
    service.delete_agent("ada")
    assert service.block("bob", "team").value == "Sea birds and seals"


def test_archival_memory(service: AgentService) -> None:
    service.add_passage("ada", "The north cliff is closed because puffins nest there.", ["cliff"])
    service.add_passage("ada", "The boat leaves at nine on Mondays.")
    hit = service.search_passages("ada", "why is the cliff closed?")[0]
    assert "puffins" in hit.passage.content
    assert service.passages("ada")[0].content.startswith("The boat")
    service.delete_passage("ada", hit.passage.id)
    assert all(
        "puffins" not in h.passage.content for h in service.search_passages("ada", "cliff puffins")
    )
    with pytest.raises(NotFoundError):
        service.delete_passage("ada", "passage-none")
    with pytest.raises(InvalidInputError):
        service.add_passage("ada", "  ")
