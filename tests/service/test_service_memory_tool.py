"""The ``memory`` tool: blocks as files under /memories."""

from __future__ import annotations

from typing import Any

import pytest

from letta_kernel.service import AgentService


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> None:
    service.agents.create("ada", human="Kim\nlikes tea")
    service.tools.attach("memory", agent="ada")


def call(service: AgentService, **arguments: Any) -> tuple[str, str]:
    outcome = service.tools.run("memory", arguments, agent="ada")
    return outcome.status, outcome.text


def test_create_edit_rename_delete(service: AgentService) -> None:
    made = call(service, command="create", path="/memories/plans", file_text="Sail")
    assert made[0] == "ok"
    call(
        service, command="str_replace", path="/memories/plans", old_string="Sail", new_string="Row"
    )
    call(service, command="insert", path="/memories/plans", insert_text="Rest", insert_line=-1)
    assert service.blocks.retrieve("plans", agent="ada").value == "Row\nRest"
    call(service, command="rename", old_path="/memories/plans", new_path="/memories/trips")
    assert service.blocks.retrieve("trips", agent="ada").value == "Row\nRest"
    call(service, command="rename", path="/memories/trips", description="where we go")
    assert service.blocks.retrieve("trips", agent="ada").description == "where we go"
    call(
        service,
        command="rename",
        old_path="/memories/trips",
        new_path="/memories/tours",
        description="all of them",
    )
    assert service.blocks.retrieve("tours", agent="ada").description == "all of them"
    call(service, command="delete", path="/memories/tours")
    assert [b.label for b in service.blocks.list("ada")] == ["persona", "human"]


def test_a_label_with_slashes_is_a_path_of_its_own(service: AgentService) -> None:
    service.blocks.upsert("/note_directory", "notes", agent="ada")
    call(service, command="create", path="/memories/notes/to day", file_text="Sail")
    call(service, command="rename", old_path="notes/to day", new_path="/memories/notes/now")
    call(service, command="insert", path="/memories//note_directory", insert_text="now")
    call(service, command="insert", path="/note_directory", insert_text="here")
    call(service, command="insert", path="/memories/note_directory/", insert_text="no such")
    kept = {block.label: block.value for block in service.blocks.list("ada")}
    assert kept["notes/now"] == "Sail"
    assert kept["/note_directory"] == "notes\nnow\nhere"
    assert set(kept) == {"persona", "human", "notes/now", "/note_directory"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"command": "create", "path": "/memories/human"}, "already"),
        ({"command": "create"}, "needs path"),
        ({"command": "delete", "path": "/memories/none"}, "no memory block"),
        ({"command": "str_replace", "path": "/memories/human"}, "needs old_string"),
        ({"command": "create", "path": "/memories/"}, "/memories/<label>"),
        ({"command": "rename", "path": "/memories/human"}, "needs new_path, or"),
        ({"command": "rename", "path": "/memories/human", "new_path": ""}, "needs new_path"),
        ({"command": "explode", "path": "/memories/human"}, "command"),
    ],
)
def test_what_cannot_be_done_says_why(
    service: AgentService, arguments: dict[str, Any], words: str
) -> None:
    status, text = call(service, **arguments)
    assert status == "error"
    assert words in text
    assert service.blocks.retrieve("human", agent="ada").value == "Kim\nlikes tea"
    assert len(service.blocks.list("ada")) == 2
