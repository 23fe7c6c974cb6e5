"""Agents as a whole: made, found, changed, reset, deleted; bad input changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.service import AgentService
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
    with pytest.raises(InvalidInputError, match="already"):
        service.create_agent("ada")
    assert len(service.agents()) == 1


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
        {"blocks": {"has space": "x"}},
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
