"""Memory as a person reads and changes it."""

from __future__ import annotations

import pytest

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError
from letta_kernel.memory.blocks import CoreMemory
from letta_kernel.memory.edits import EditError
from letta_kernel.service import AgentService


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> None:
    service.agents.create("ada")


def test_a_block_is_written_made_and_deleted(service: AgentService) -> None:
    service.blocks.upsert("human", "Kim", agent="ada")
    service.blocks.upsert("plans", "Sail", agent="ada")
    assert service.blocks.retrieve("plans", agent="ada").value == "Sail"
    service.blocks.delete("plans", agent="ada")
    with pytest.raises(NotFoundError, match="persona, human"):
        service.blocks.retrieve("plans", agent="ada")


def test_an_edit_made_on_an_old_version_is_refused(service: AgentService) -> None:
    read = service.blocks.retrieve("human", agent="ada")
    service.blocks.upsert("human", "by the agent", agent="ada")
    with pytest.raises(ConflictError):
        service.blocks.upsert("human", "by a person", agent="ada", expected_version=read.version)
    assert service.blocks.retrieve("human", agent="ada").value == "by the agent"


def test_versions_undo_and_redo(service: AgentService) -> None:
    for value in ("one", "two", "three"):
        service.blocks.upsert("human", value, agent="ada")
    assert [v.value for v in service.blocks.versions("human", agent="ada")] == [
        "",
        "one",
        "two",
        "three",
    ]
    assert service.blocks.undo("human", agent="ada").value == "two"
    assert service.blocks.undo("human", agent="ada").value == "one"
    assert service.blocks.redo("human", agent="ada").value == "two"


def test_a_block_too_long_is_refused(service: AgentService) -> None:
    service.blocks.update("human", agent="ada", limit=10)
    with pytest.raises(InvalidInputError, match="10 characters"):
        service.blocks.upsert("human", "x" * 11, agent="ada")
    assert service.blocks.retrieve("human", agent="ada").value == ""


def test_a_read_only_block_refuses_the_agent_but_not_the_person(service: AgentService) -> None:
    service.blocks.update("human", agent="ada", read_only=True)
    memory = CoreMemory(service.database, service.agents.retrieve("ada").id)
    with pytest.raises(EditError, match="read-only"):
        memory.edit("human", lambda v: "x", actor="agent")
    assert service.blocks.upsert("human", "Kim", agent="ada").value == "Kim"


def test_a_shared_block_is_seen_by_both(service: AgentService) -> None:
    service.agents.create("bob")
    service.blocks.upsert("team", "Sea birds", agent="ada")
    service.blocks.attach(service.blocks.retrieve("team", agent="ada").id, agent="bob")
    service.blocks.upsert("team", "Sea birds and seals", agent="bob")
    assert service.blocks.retrieve("team", agent="ada").value == "Sea birds and seals"
    service.agents.delete("ada")
    assert service.blocks.retrieve("team", agent="bob").value == "Sea birds and seals"


def test_archival_memory(service: AgentService) -> None:
    service.passages.create(
        "The north cliff is closed because puffins nest there.", ["cliff"], agent="ada"
    )
    service.passages.create("The boat leaves at nine on Mondays.", agent="ada")
    hit = service.passages.search("why is the cliff closed?", agent="ada")[0]
    assert "puffins" in hit.passage.content
    assert service.passages.list("ada")[0].content.startswith("The boat")
    service.passages.delete(hit.passage.id, agent="ada")
    assert all(
        "puffins" not in h.passage.content
        for h in service.passages.search("cliff puffins", agent="ada")
    )
    with pytest.raises(NotFoundError):
        service.passages.delete("passage-none", agent="ada")
    with pytest.raises(InvalidInputError):
        service.passages.create("  ", agent="ada")


def test_standing_instructions_get_a_block_of_their_own_when_first_needed(
    service: AgentService,
) -> None:
    def run(name: str, **arguments: str) -> tuple[str, str]:
        outcome = service.tools.run(name, {"label": "instructions", **arguments}, agent="ada")
        return outcome.status, outcome.text

    labels = [block.label for block in service.blocks.list("ada")]
    assert labels == ["persona", "human"]
    assert run("core_memory_replace", old_content="a", new_content="b")[0] == "error"
    assert run("core_memory_append", content="x" * 5_001)[0] == "error"
    assert [block.label for block in service.blocks.list("ada")] == labels
    wish = "Always give versions when I ask about libraries."
    assert run("core_memory_append", content=wish)[0] == "ok"
    assert run("memory_insert", new_string="Never use tabs.")[0] == "ok"
    block = service.blocks.retrieve("instructions", agent="ada")
    assert (block.value, block.limit) == (f"{wish}\nNever use tabs.", 5_000)
    assert wish in service.runs.system_prompt("ada")
    status, text = run("core_memory_append", content="x" * 5_000)
    assert status == "error"
    assert "join those that say the same" in text
    assert "archival" not in text
    service.blocks.update("instructions", agent="ada", read_only=True)
    assert run("core_memory_append", content="More.")[0] == "error"


def test_standing_instructions_have_one_limit_by_whichever_way_they_are_made(
    service: AgentService,
) -> None:
    create = {"command": "create", "path": "/memories/instructions", "file_text": "Always sail."}
    written = {"core_memory_append": {"label": "instructions", "content": "Always sail."}}
    for name, arguments in ({"memory": create} | written).items():
        service.agents.create(name)
        service.tools.attach("memory", agent=name)
        assert service.tools.run(name, arguments, agent=name).status == "ok"
    service.agents.create("by hand")
    service.blocks.upsert("instructions", "Always sail.", agent="by hand")
    service.agents.create("given", blocks={"instructions": "Always sail.", "notes": "n"})
    for name in ("memory", "core_memory_append", "by hand", "given"):
        assert service.blocks.retrieve("instructions", agent=name).limit == 5_000
    assert service.blocks.retrieve("notes", agent="given").limit == 20_000
    with pytest.raises(InvalidInputError, match="may hold 5,000 characters"):
        service.blocks.upsert("instructions", "x" * 5_001, agent="by hand")
    service.blocks.update("instructions", agent="by hand", limit=10_000)
    service.blocks.upsert("instructions", "x" * 5_001, agent="by hand")
