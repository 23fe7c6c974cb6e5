"""Agents of other people at the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_bench import Cli
from scripted_server import ScriptedServer
from server_bench import Server, serving

from letta_kernel.service import AgentService

ADA = "ann/ada"


@pytest.fixture
def ann(
    scripted: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Somebody's server with an agent, named in the environment as bob's."""
    monkeypatch.setenv("LETTA_USER", "ann")
    with (
        AgentService(tmp_path / "ann") as service,
        serving(service, scripted) as server,
    ):
        service.agents.create("ada", model="openai/scripted", human="Kim.")
        service.grants.grant("ada", "bob", "read", "talk")
        token = service.tokens.create("bob", "write", user="bob")[1]
        monkeypatch.setenv("LETTA_SERVER", server.url)
        monkeypatch.setenv("LETTA_SERVER_TOKEN", token)
        yield server


def test_it_is_listed_shown_and_talked_to(ann: Server, cli: Cli, scripted: ScriptedServer) -> None:
    assert cli.out("agent", "list").startswith(f"{ADA}\t")
    assert cli.json("agent", "list")[0]["ref"] == ADA
    assert "whose: ann" in cli.out("agent", "show", ADA)
    assert cli.out("memory", "show", ADA, "human") == "Kim.\n"
    scripted.say("Good morning, Bob.")
    sent = cli("send", ADA, "Good morning.")
    assert sent.stdout == "Good morning, Bob.\n"
    assert "It is ann's: what you say to it" in sent.stderr  # once, whatever comes next
    scripted.say("Evening.")
    sent = cli("send", ADA, "And?", "--events")
    assert "It is ann's" not in sent.stderr
    events = [json.loads(one) for one in sent.stdout.splitlines()]
    assert [events[0]["type"], events[-1]["type"]] == ["run_started", "run_ended"]
    assert cli.out("agent", "history", ADA, "--limit", "1").rstrip().endswith("Evening.")
    assert not cli.home.exists()  # nothing of it is an own project's


def test_tab_offers_them_and_persons(ann: Server, cli: Cli) -> None:
    for line, offered in {
        "letta-kernel send ann": {ADA},
        "letta-kernel agent show ": {ADA},
        "letta-kernel agent delete ": set(),  # which is its owner's
        "letta-kernel agent grant x a": {"ann"},
    }.items():
        done = cli(
            code=None,
            _LETTA_KERNEL_COMPLETE="complete_bash",
            COMP_WORDS=line,
            COMP_CWORD=str(len(line.split(" ")) - 1),
        )
        assert set(done.stdout.split()) == offered, line
        assert done.stderr == ""


def test_a_chat_at_a_terminal(ann: Server, cli: Cli, scripted: ScriptedServer) -> None:
    scripted.say("Good morning, Bob.")
    chat = cli.terminal("chat", ADA)
    chat.expect("It is ann's: what you say to it")
    chat.expect(f"{ADA}> ")
    chat.sendline("Good morning.")
    chat.expect("Good morning, Bob.")
    chat.expect(f"{ADA}> ")
    chat.sendline("/memory human")
    chat.expect("Kim.")
    chat.expect(f"{ADA}> ")
    chat.sendeof()
    chat.wait()
    assert chat.exitstatus == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ("agent", "delete", ADA, "--yes"),
            "ann/ada is ann's agent: from here it can be talked to",
        ),
        (("memory", "set", ADA, "human", "New"), "Ask ann for the rest."),
        (("send", ADA, "Hello.", "--model", "demo"), "ann/ada is ann's: with which model it"),
        (("send", "ann/eve", "Hello."), "ann/eve: "),
    ],
)
def test_what_is_not_possible_is_one_line(
    ann: Server, cli: Cli, words: tuple[str, ...], problem: str
) -> None:
    assert problem in cli.fails(*words)
