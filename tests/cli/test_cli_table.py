"""Commands that a terminal shares with notebooks, in one process: what they print, and in a pipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from letta_kernel.cli import output
from letta_kernel.cli.root import build
from letta_kernel.errors import LettaError

SERVER = Path(__file__).parent.parent / "tools" / "mcp_server.py"


class Shell:
    """Runs commands over one project."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str) -> str:
        output.console.cache_clear()  # it keeps the streams of its process
        done = CliRunner().invoke(
            build(),
            [*words[:2], "--home", str(self.home), *words[2:]],
            catch_exceptions=False,
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    opened = Shell(tmp_path_factory.mktemp("project") / ".letta")
    opened("agent", "new", "ada", "--model", "demo", "--instructions", "Be brief.")
    opened("send", "ada", "My name is Kim.")
    return opened


def test_what_was_said_and_what_it_took(shell: Shell) -> None:
    rows = [line.split("\t") for line in shell("agent", "history", "ada").splitlines()]
    assert ["user", "My name is Kim."] in [row[2:] for row in rows]
    assert "user" in {one["role"] for one in shell.json("agent", "history", "ada")}
    found = shell.json("agent", "search", "ada", "Kim", "--role", "user")
    assert found[0]["message"]["content"].endswith("My name is Kim.")
    assert [run["stop_reason"] for run in shell.json("agent", "runs", "ada")] == ["end_turn"]
    assert shell.json("agent", "cost", "ada")["ada"]["runs"] == 1
    assert shell.json("agent", "cost")["this project"]["runs"] == 1
    shown = shell("agent", "show", "ada")
    assert "project: " in shown
    assert "My name is Kim." in shown, "its last runs"
    parts = shell.json("agent", "context", "ada")["parts"]
    assert sum(part["tokens"] for part in parts) > 0
    assert "Be brief." in shell("agent", "context", "ada", "--text")


def test_settings_of_all_kinds(shell: Shell) -> None:
    assert "temperature is 0.3 now" in shell("agent", "set", "ada", "temperature", "0.3")
    assert "tags is sea, birds now" in shell("agent", "set", "ada", "tags", "sea,birds")
    assert shell.json("agent", "set", "ada")["temperature"] == 0.3
    assert "back at its default" in shell("agent", "set", "ada", "temperature", "default")
    with pytest.raises(LettaError, match="letta-kernel agent set ada temperature VALUE"):
        shell("agent", "set", "ada", "temperature")


def test_rules_and_approvals(shell: Shell) -> None:
    tool = shell.json("tool", "list", "--agent", "ada")[0]["name"]
    shell("rule", "add", "ada", "max_count_per_step", tool, "2")
    assert "from now on" in shell("tool", "approve", "ada", tool, "on")
    assert [one["type"] for one in shell.json("rule", "list", "ada")] == [
        "max_count_per_step",
        "requires_approval",
    ]
    assert shell("rule", "list", "ada").splitlines()[0].split("\t")[1:3] == [
        "max_count_per_step",
        tool,
    ]
    shell("rule", "remove", "ada", tool)
    assert shell.json("rule", "list", "ada") == []
    assert shell("rule", "list", "ada") == "", "nothing is no row"
    with pytest.raises(LettaError, match="letta-kernel rule add ada max_count_per_step TOOL N"):
        shell("rule", "add", "ada", "max_count_per_step", tool, "often")


def test_servers_whose_tools_it_can_call(shell: Shell) -> None:
    command = (sys.executable, str(SERVER))
    said = shell("mcp", "add", "ada", "test", "--env", "GREETING=hello", "--", *command)
    assert "ada can call add, search" in said
    [row] = shell.json("mcp", "list")
    assert (row["name"], "hello" in row["where"]) == ("test", False)
    assert shell("tool", "run", "ada", "add", "a=2", "b=3").strip() == "5"
    assert "had tools of it" in shell("mcp", "remove", "test")


def test_a_conversation_is_forgotten(shell: Shell) -> None:
    assert "ada sees this summary" in shell("agent", "compact", "ada")
    assert "ada has forgotten the conversation" in shell("agent", "reset", "ada")
    assert "=== history" not in shell("agent", "context", "ada", "--text")
