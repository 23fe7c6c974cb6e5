"""Agents as a whole: made, found, changed, reset, deleted; bad input changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.service import AgentService
from letta_kernel.store import blocks
from letta_kernel.store.database import Tx
from letta_kernel.tools import core


def test_a_new_agent_has_its_blocks_and_the_memory_tools(service: AgentService) -> None:
    made = service.agents.create("ada", persona="I am Ada.", human="Kim", blocks={"notes": "n"})
    assert [(b.label, b.value) for b in service.blocks.list("ada")] == [
        ("persona", "I am Ada."),
        ("human", "Kim"),
        ("notes", "n"),
    ]
    assert [tool.name for tool in service.tools.list("ada")] == list(core.DEFAULT)
    assert service.agents.retrieve(made.id).name == "ada"


def test_a_name_is_taken_once(service: AgentService) -> None:
    service.agents.create("ada")
    bob = service.agents.create("bob")
    with pytest.raises(InvalidInputError, match="already"):
        service.agents.create("ada")
    with pytest.raises(InvalidInputError, match="already"):
        service.agents.update(bob.id, name="ada")
    assert [agent.name for agent in service.agents.list()] == ["ada", "bob"]


def test_opening_makes_an_agent_or_finds_it_and_tells_what_differs(service: AgentService) -> None:
    asked = {"human": "Kim.", "tags": ["sea"], "model": "demo", "max_steps": None}
    opened = service.agents.open("ada", **asked)
    assert opened.made
    ada = opened.agent
    again = service.agents.open("ada", **asked)
    assert (again.agent, again.made, again.differs) == (ada, False, {})

    # What the agent has learned, undone and redone by a person, is no difference; what a person wrote is.
    def learn(tx: Tx) -> None:
        block = blocks.find(tx, ada.id, "human")
        assert block is not None
        blocks.write(tx, block.id, "Kim. Likes tea.", actor=ada.id, step_id="step-1")

    service.database.run(learn)
    assert service.agents.open("ada", **asked).differs == {}
    service.blocks.undo("human", agent="ada")
    service.blocks.redo("human", agent="ada")
    assert service.agents.open("ada", **asked).differs == {}
    service.blocks.upsert("human", "Lee.", agent="ada")
    differing = service.agents.open(
        "ada", **{**asked, "tags": ["sea", "ice"], "style": "heartbeat"}
    )
    assert differing.differs == {
        "human": ("Lee.", "Kim."),
        "tags": (["sea"], ["sea", "ice"]),
        "style": ("native", "heartbeat"),
    }
    assert service.blocks.retrieve("human", agent="ada").value == "Lee."
    with pytest.raises(InvalidInputError, match="style"):
        service.agents.open("ada", style="baroque")


def test_a_fresh_agent_sets_the_one_of_its_name_aside(service: AgentService) -> None:
    first = service.agents.open("ada", human="Kim.").agent
    with pytest.raises(InvalidInputError):
        service.agents.open("ada", fresh=True, style="baroque")
    assert service.agents.retrieve("ada").id == first.id
    opened = service.agents.open("ada", fresh=True)
    assert opened.made
    assert [one.id for one in opened.aside] == [first.id]
    assert service.agents.list() == [opened.agent]
    assert service.agents.retrieve(first.id).set_aside
    back, others = service.agents.restore(first.id)
    assert [one.id for one in others] == [opened.agent.id]
    assert service.agents.list() == [back]
    assert service.agents.restore(first.id) == (back, [])
    service.agents.delete(first.id)
    with pytest.raises(NotFoundError, match=f"Set aside: {opened.agent.id} "):
        service.agents.retrieve("ada")


def test_a_name_that_several_have_lists_their_ids(service: AgentService) -> None:
    first = service.agents.create("ada")
    second = service.agents.create("ada", namesakes="keep")
    with pytest.raises(InvalidInputError, match=rf"{second.id} \(made 20.*{first.id} \(made 20"):
        service.agents.retrieve("ada")
    with pytest.raises(InvalidInputError, match="2 agents are called 'ada'"):
        service.agents.open("ada")
    assert service.agents.retrieve("ada", newest=True).id == second.id
    assert service.agents.retrieve(first.id).id == first.id


@pytest.mark.parametrize("name", ["", " ", " ada", "a\nb", "-x", "x" * 101, "a\x00b"])
def test_what_is_no_name_is_refused(service: AgentService, name: str) -> None:
    with pytest.raises(InvalidInputError):
        service.agents.create(name)
    assert service.agents.list() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"style": "baroque"},
        {"max_steps": 0},
        {"max_steps": True},
        {"settings": {"temperature": 9}},
        {"settings": {"tempreature": 1}},
        {"settings": {"timezone": "Mars/Olympus"}},
        {"blocks": {"two\nlines": "x"}},
        {"human": "x" * 20_001},
    ],
)
def test_bad_settings_are_refused_and_nothing_is_made(
    service: AgentService, settings: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        service.agents.create("ada", **settings)
    assert "Value error" not in str(refused.value)
    assert not str(refused.value).endswith("..")
    assert service.agents.list() == []


def test_an_unknown_agent_names_the_near_one(service: AgentService) -> None:
    service.agents.create("ada")
    with pytest.raises(NotFoundError, match="Did you mean 'ada'"):
        service.agents.retrieve("adda")


def test_settings_are_merged_and_none_removes(service: AgentService) -> None:
    service.agents.create("ada", settings={"temperature": 0.5})
    service.agents.update("ada", settings={"seed": 1}, description="A test")
    assert service.agents.retrieve("ada").settings == {"temperature": 0.5, "seed": 1}
    service.agents.update("ada", settings={"temperature": None})
    assert service.agents.retrieve("ada").settings == {"seed": 1}
    with pytest.raises(InvalidInputError, match="Did you mean 'temperature'"):
        service.agents.update("ada", settings={"temperatur": 1})


def test_renaming_and_deleting(service: AgentService) -> None:
    service.agents.create("ada")
    service.agents.create("bob")
    with pytest.raises(InvalidInputError):
        service.agents.update("ada", name="bob")
    service.agents.update("ada", name="eve")
    service.agents.delete("eve")
    assert [a.name for a in service.agents.list()] == ["bob"]


def test_a_second_service_sees_the_same_project(service: AgentService) -> None:
    service.agents.create("ada")
    with AgentService(service.home) as other:
        other.blocks.upsert("human", "Kim", agent="ada")
        assert service.blocks.retrieve("human", agent="ada").value == "Kim"


def test_settings_of_the_project(service: AgentService) -> None:
    assert service.settings.get("current") is None
    service.settings.put("current", "ada")
    assert service.settings.get("current") == "ada"
    service.settings.put("current", None)
    assert service.settings.get("current") is None


@pytest.mark.duckdb
def test_the_project_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_HOME", str(tmp_path / "elsewhere"))
    with AgentService() as service:
        service.agents.create("ada")
    assert (tmp_path / "elsewhere" / "letta.duckdb").exists()
