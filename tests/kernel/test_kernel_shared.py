"""Agents of other people in a notebook: listed, talked to, stopped, looked at; all else is one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_notebook import Notebook
from scripted_server import ScriptedServer
from server_bench import Server, serving

from letta_kernel.records import Tool
from letta_kernel.service import AgentService

ADA = "ann/ada"


@pytest.fixture(scope="module")
def ann(server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Somebody's server with an agent, which has a tool that asks first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.url)
        patch.setenv("OPENAI_API_KEY", "test")
        patch.setenv("LETTA_USER", "ann")
        with (
            AgentService(tmp_path_factory.mktemp("ann") / "home") as service,
            serving(service, server) as serves,
        ):
            agent = service.agents.create("ada", model="openai/scripted", human="Kim.")
            tool = Tool(
                name="ring",
                description="Ring.",
                parameters={"type": "object", "properties": {}},
                source='def ring() -> str:\n    """Ring."""\n    return "ding"\n',
                kind="source",
                runs_in="sandbox",
                requires_approval=True,
            )
            service.tools.attach(service.tools.upsert(tool).id, agent=agent.id)
            service.grants.grant("ada", "bob", "read", "talk", tools=["ring"])
            yield serves


@pytest.fixture(scope="module")
def bob(
    ann: Server, server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Notebook]:
    """Somebody else's notebook, which knows of that server."""
    opened = Notebook(
        tmp_path_factory.mktemp("bob") / ".letta",
        LETTA_MODEL="openai/scripted",
        OPENAI_BASE_URL=server.url,
        OPENAI_API_KEY="test",
        LETTA_SERVER=ann.url,
        LETTA_SERVER_TOKEN=ann.service.tokens.create("bob", "write", user="bob")[1],
        LETTA_USER="bob",
    )
    yield opened
    opened.close()


def test_an_agent_of_somebody_else_s_in_cells(bob: Notebook, server: ScriptedServer) -> None:
    listed = bob.run("%agent list").text
    assert ADA in listed
    assert "shared with you" in listed
    assert "read, talk" in listed
    chosen = bob.run(f"%agent use {ADA}").text
    assert f"%%agent talks to {ADA} now." in chosen
    assert "ann and whoever runs the server can read it" in chosen
    server.say("Good morning, Bob.", pieces=4)
    ran = bob.run("%%agent\nGood morning, {1 + 1} of you.")
    assert ran.status == "ok", ran
    assert ran.answer == "Good morning, Bob."
    assert ran.run["agent"] == ADA
    assert server.requests[-1]["messages"][-1]["content"] == "Good morning, 2 of you."
    assert bob.complete("%%agent ann") == bob.complete("%agent use ann") == [ADA]
    assert bob.complete("%agent show --agent ann") == []  # where it is a word by position
    assert bob.complete("%agent history --agent ann") == [ADA]
    assert bob.complete("%agent delete ann") == []  # which is its owner's
    assert bob.complete("%agent grant ada an") == ["ann"]
    history = bob.run("%agent history").text
    assert "Good morning, Bob." in history
    shown = bob.run("%agent show").text
    assert "whose: ann" in shown
    assert "Kim." in bob.run("%agent memory human").text
    assert "Kim." in bob.run(f"%agent memory --agent {ADA}").text


def test_it_is_talked_to_after_a_restart_until_another_is_chosen(
    bob: Notebook, server: ScriptedServer
) -> None:
    bob.run(f"%agent use {ADA}")
    bob.restart()
    server.say("Still here.")
    ran = bob.run("%%agent\nAnd now?")
    assert ran.answer == "Still here."
    assert "is ann's: what you say to it" not in ran.text  # it was said when that was chosen
    bob.run("%agent new own")
    bob.run("%agent grant own eve talk")
    assert "eve" in bob.run("%agent grants").text
    server.say("I am yours.")
    assert bob.run("%%agent\nWho are you?").run["agent"] == "own"
    server.say("I am ann's.")
    assert bob.run(f"%%agent {ADA}\nWho are you?").answer == "I am ann's."
    server.say("I am yours.")
    assert bob.run("%%agent\nWho are you?").run["agent"] == "own"


def test_a_call_is_asked_about_and_the_stop_button_ends_the_run(
    bob: Notebook, ann: Server, server: ScriptedServer
) -> None:
    server.call("ring")
    server.say("It rang.")
    ran = bob.run(f"%%agent {ADA}\nRing.", answers=["y"])
    assert ran.status == "ok", ran
    assert ran.answer == "It rang."
    assert "ding" in ran.text
    server.say("This takes a very long time.", pieces=20, delay=0.5)
    request = bob.send(f"%%agent {ADA}\nTell me.", stdin=True)
    ran = bob.finish(request, when=lambda ran: "This" in ran.text, then=bob.interrupt)
    assert ran.ename == "Stopped"
    assert ran.traceback == ["Stopped; what was said and done so far is kept."]
    assert ann.service.runs.list()[0].stop_reason == "cancelled"


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (f"%agent archival add TEXT --agent {ADA}", "ann/ada is ann's agent: from here it can be"),
        (f"%agent tools --agent {ADA}", "Ask ann for the rest."),
        (f"%agent memory human New --agent {ADA}", "Ask ann for the rest."),
        (f"%agent delete {ADA} --yes", "Ask ann for the rest."),
        ("%agent show ann/eve", "There is no agent 'ann/eve'"),
        ("%%agent ann/eve\nHello.", "There is no agent 'ann/eve'"),
        (f"%%agent {ADA} --model demo\nHello.", "--model is for agents of your own"),
        (f"%%agent {ADA} --as rows list[int]\nHello.", "--as is for agents of your own"),
    ],
)
def test_what_is_not_possible_is_one_line(bob: Notebook, cell: str, problem: str) -> None:
    ran = bob.run(cell)
    assert ran.status == "error", ran
    assert len(ran.traceback) == 1
    assert problem in ran.traceback[0]


def test_python_talks_to_it_too(bob: Notebook, server: ScriptedServer) -> None:
    server.say("Hello from Python.")
    ran = bob.run(
        "from letta_kernel import Agent\n"
        f"ada = Agent('{ADA}')\n"
        "run = ada.send('Hello.')\n"
        "print(run.text, '|', ada.messages[-1].content, '|', ada.blocks['human'], '|', ada)"
    )
    assert ran.stdout.strip() == (
        "Hello from Python. | Hello from Python. | Kim. | <Agent 'ann/ada', shared by ann>"
    ), ran


def test_a_server_that_is_not_there_leaves_own_agents_alone(
    server: ScriptedServer, tmp_path: Path
) -> None:
    alone = Notebook(
        tmp_path / ".letta",
        LETTA_MODEL="openai/scripted",
        OPENAI_BASE_URL=server.url,
        OPENAI_API_KEY="test",
        LETTA_SERVER="http://127.0.0.1:9",
        LETTA_SERVER_TOKEN="x",
    )
    try:
        listed = alone.run("%agent list")
        assert listed.status == "ok"
        assert "http://127.0.0.1:9 cannot be reached" in listed.text
        server.say("Mine.")
        assert alone.run("%%agent own\nHello.").answer == "Mine."
        ran = alone.run(f"%%agent {ADA}\nHello.")
        assert len(ran.traceback) == 1
        assert "cannot be reached" in ran.traceback[0]
    finally:
        alone.close()
