"""Agents of other people in the panel: what a kernel, or a Jupyter server, answers it about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving, until

from letta_kernel.errors import ConflictError, InvalidInputError, LettaError
from letta_kernel.notebook.panel import rpc
from letta_kernel.notebook.panel.registry import RequestContext
from letta_kernel.notebook.panel.shared_runs import SharedRuns
from letta_kernel.service import AgentService

ADA = "shared:ann/ada"
SLOW = 20  # pieces, of half a second


class Panel:
    """What bob's panel asks, in a folder without a project."""

    def __init__(self, service: AgentService) -> None:
        self.runs = SharedRuns()
        self._context = RequestContext(service, shared=self.runs)

    def ask(self, method: str, /, **params: Any) -> Any:
        return rpc.answer(self._context, method, params)

    def told(self, run: str) -> list[str]:
        """Return the kinds of events of a run that has ended."""
        until(lambda: (log := self.runs.log.run(run)) is not None and log.over)
        log = self.runs.log.run(run)
        assert log is not None
        assert log.agent_id == ADA
        return [one.event.type for one in log.read(behind=0)]  # type: ignore[union-attr]


@pytest.fixture
def ann(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Ann's server with an agent, which bob may read and talk with."""
    monkeypatch.setenv("LETTA_USER", "ann")
    service.agents.create("ada", model="openai/scripted", human="Kim.", description="of many")
    service.grants.grant("ada", "bob", "read", "talk")
    with serving(service, scripted) as server:
        monkeypatch.setenv("LETTA_SERVER", server.url)
        token = service.tokens.create("bob", "write", user="bob")[1]
        monkeypatch.setenv("LETTA_SERVER_TOKEN", token)
        yield server


@pytest.fixture
def panel(ann: Server, tmp_path: Path) -> Iterator[Panel]:
    with AgentService(tmp_path / "bob" / ".letta") as service:
        yield Panel(service)
        assert not (tmp_path / "bob").exists()


def test_an_agent_is_listed_read_talked_with_and_stopped(ann: Server, panel: Panel) -> None:
    found = panel.ask("shared")
    (one,) = found["agents"]
    assert (one["id"], one["name"], one["answers"]) == (ADA, "ann/ada", "openai/scripted")
    assert one["shared"] == {"owner": "ann", "rights": ["read", "talk"], "tools": []}
    assert (found["problem"], found["server"]) == ("", ann.url)
    assert ann.service.tokens.list()  # bob's, of which the page gets nothing
    assert "lk-" not in json.dumps(found)

    ann.scripted.say("Good morning, Bob.", pieces=3)
    kinds = panel.told(panel.ask("talk", agent=ADA, text="Good morning.")["run"])
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
    history = panel.ask("messages", agent=ADA, limit=9, roles=["user", "assistant"])
    assert [(one["content"], one["name"]) for one in history] == [
        ("Good morning.", None),  # bob himself
        ("Good morning, Bob.", None),
    ]
    assert panel.ask("pending", agent=ADA) == []
    ann.scripted.say("This takes a very long time.", pieces=SLOW, delay=0.5)
    run = panel.ask("talk", agent=ADA, text="Tell me.")["run"]
    assert panel.ask("cancel", run=run) is True
    assert panel.told(run)[-1] == "run_ended"
    assert ann.service.runs.list()[0].stop_reason == "cancelled"


def test_blocks_are_read_and_with_write_given_another_text(ann: Server, panel: Panel) -> None:
    blocks = {one["label"]: one for one in panel.ask("blocks", agent=ADA)}
    assert (blocks["human"]["value"], blocks["human"]["read_only"]) == ("Kim.", True)
    ann.service.grants.grant("ada", "bob", "write")
    panel.ask("shared", fresh=True)
    (block,) = [one for one in panel.ask("blocks", agent=ADA) if one["label"] == "human"]
    assert block["read_only"] is False
    how = {"agent": ADA, "label": "human", "expected_version": block["version"]}
    assert panel.ask("block.write", value="Kim, of Bob.", **how)["version"] > block["version"]
    with pytest.raises(ConflictError):  # of what was read before, by whomever it was written since
        panel.ask("block.write", value="Kim again.", **how)
    assert ann.service.blocks.retrieve("human", agent="ada").value == "Kim, of Bob."


def test_what_a_guest_may_not_do_is_one_line(ann: Server, panel: Panel) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^ann/ada is ann's agent: .* Ask ann for the rest"
    ):
        panel.ask("agent.rename", agent=ADA, name="eve")
    ann.service.grants.grant("ada", "bob", "read")
    with pytest.raises(LettaError, match=r"^ann/ada: This token may read, not talk\.$"):
        panel.ask("talk", agent=ADA, text="Hello.")
    ann.service.grants.revoke("ada", "bob")
    assert panel.ask("shared", fresh=True)["agents"] == []
    with pytest.raises(LettaError, match="There is no agent 'ann/ada'"):
        panel.ask("messages", agent=ADA)


def test_a_server_that_is_not_there_is_a_line_beside_the_list(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_SERVER", "http://127.0.0.1:9")
    found = panel.ask("shared")
    assert found["agents"] == []
    assert "http://127.0.0.1:9 cannot be reached" in found["problem"]
    monkeypatch.delenv("LETTA_SERVER")
    assert panel.ask("shared")["problem"] == ""
    with pytest.raises(LettaError, match="LETTA_SERVER says where it is"):
        panel.ask("blocks", agent=ADA)
