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
    made = service.create_agent("ada", persona="I am Ada.", human="Kim", blocks={"notes": "n"})
    assert [(b.label, b.value) for b in service.blocks("ada")] == [
        ("persona", "I am Ada."),
        ("human", "Kim"),
        ("notes", "n"),
    ]
    assert [tool.name for tool in service.tools("ada")] == list(core.DEFAULT)
    assert service.agent(made.id).name == "ada"


def test_a_name_is_taken_once(service: AgentService) -> None:
    service.create_agent("ada")
    bob = service.create_agent("bob")
    with pytest.raises(InvalidInputError, match="already"):
        service.create_agent("ada")
    with pytest.raises(InvalidInputError, match="already"):
        service.update_agent(bob.id, name="ada")
    assert [agent.name for agent in service.agents()] == ["ada", "bob"]


def test_opening_makes_an_agent_or_finds_it_and_tells_what_differs(service: AgentService) -> None:
    asked = {"human": "Kim.", "tags": ["sea"], "model": "demo", "max_steps": None}
    opened = service.open_agent("ada", **asked)
    assert opened.made
    ada = opened.agent
    again = service.open_agent("ada", **asked)
    assert (again.agent, again.made, again.differs) == (ada, False, {})

    # What the agent has learned, undone and redone by a person, is no difference; what a person wrote is.
    def learn(tx: Tx) -> None:
        block = blocks.find(tx, ada.id, "human")
        assert block is not None
        blocks.write(tx, block.id, "Kim. Likes tea.", actor=ada.id, step_id="step-1")

    service.do(learn)
    assert service.open_agent("ada", **asked).differs == {}
    service.undo_block("ada", "human")
    service.redo_block("ada", "human")
    assert service.open_agent("ada", **asked).differs == {}
    service.write_block("ada", "human", "Lee.")
    differing = service.open_agent("ada", **{**asked, "tags": ["sea", "ice"], "style": "heartbeat"})
    assert differing.differs == {
        "human": ("Lee.", "Kim."),
        "tags": (["sea"], ["sea", "ice"]),
        "style": ("native", "heartbeat"),
    }
    assert service.block("ada", "human").value == "Lee."
    with pytest.raises(InvalidInputError, match="style"):
        service.open_agent("ada", style="baroque")


def test_a_fresh_agent_sets_the_one_of_its_name_aside(service: AgentService) -> None:
    first = service.open_agent("ada", human="Kim.").agent
    with pytest.raises(InvalidInputError):
        service.open_agent("ada", fresh=True, style="baroque")
    assert service.agent("ada").id == first.id
    opened = service.open_agent("ada", fresh=True)
    assert opened.made
    assert [one.id for one in opened.aside] == [first.id]
    assert service.agents() == [opened.agent]
    assert service.agent(first.id).set_aside
    back, others = service.bring_back(first.id)
    assert [one.id for one in others] == [opened.agent.id]
    assert service.agents() == [back]
    assert service.bring_back(first.id) == (back, [])
    service.delete_agent(first.id)
    with pytest.raises(NotFoundError, match=f"Set aside: {opened.agent.id} "):
        service.agent("ada")


def test_a_name_that_several_have_lists_their_ids(service: AgentService) -> None:
    first = service.create_agent("ada")
    second = service.create_agent("ada", namesakes="keep")
    with pytest.raises(InvalidInputError, match=rf"{second.id} \(made 20.*{first.id} \(made 20"):
        service.agent("ada")
    with pytest.raises(InvalidInputError, match="2 agents are called 'ada'"):
        service.open_agent("ada")
    assert service.agent("ada", newest=True).id == second.id
    assert service.agent(first.id).id == first.id


@pytest.mark.parametrize("name", ["", " ", " ada", "a\nb", "-x", "x" * 101, "a\x00b"])
def test_what_is_no_name_is_refused(service: AgentService, name: str) -> None:
    with pytest.raises(InvalidInputError):
        service.create_agent(name)
    assert service.agents() == []


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
        service.create_agent("ada", **settings)
    assert "Value error" not in str(refused.value)
    assert not str(refused.value).endswith("..")
    assert service.agents() == []


def test_an_unknown_agent_names_the_near_one(service: AgentService) -> None:
    service.create_agent("ada")
    with pytest.raises(NotFoundError, match="Did you mean 'ada'"):
        service.agent("adda")


def test_settings_are_merged_and_none_removes(service: AgentService) -> None:
    service.create_agent("ada", settings={"temperature": 0.5})
    service.update_agent("ada", settings={"seed": 1}, description="A test")
    assert service.agent("ada").settings == {"temperature": 0.5, "seed": 1}
    service.update_agent("ada", settings={"temperature": None})
    assert service.agent("ada").settings == {"seed": 1}
    with pytest.raises(InvalidInputError, match="Did you mean 'temperature'"):
        service.update_agent("ada", settings={"temperatur": 1})


def test_renaming_and_deleting(service: AgentService) -> None:
    service.create_agent("ada")
    service.create_agent("bob")
    with pytest.raises(InvalidInputError):
        service.update_agent("ada", name="bob")
    service.update_agent("ada", name="eve")
    service.delete_agent("eve")
    assert [a.name for a in service.agents()] == ["bob"]


def test_a_second_service_sees_the_same_project(service: AgentService) -> None:
    service.create_agent("ada")
    with AgentService(service.home) as other:
        other.write_block("ada", "human", "Kim")
        assert service.block("ada", "human").value == "Kim"


def test_settings_of_the_project(service: AgentService) -> None:
    assert service.setting("current") is None
    service.set_setting("current", "ada")
    assert service.setting("current") == "ada"
    service.set_setting("current", None)
    assert service.setting("current") is None


def test_the_project_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_HOME", str(tmp_path / "elsewhere"))
    with AgentService() as service:
        service.create_agent("ada")
    assert (tmp_path / "elsewhere" / "letta.duckdb").exists()
