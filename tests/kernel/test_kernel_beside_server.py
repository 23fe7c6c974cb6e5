"""A notebook and a server on one project at the same time: what one does, the other has at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from kernel_notebook import Notebook
from kernel_panel import Panel
from letta_client import Letta
from scripted_server import ScriptedServer

TOOL = '''
%agent new keeper
def lamp_state(room: str) -> str:
    """Say whether a lamp is lit.

    Args:
        room: Where the lamp is.
    """
    import os
    return f"the lamp of the {room} is lit, says {os.getpid()}"
'''


@pytest.fixture
def client(notebook: Notebook, server: ScriptedServer) -> Iterator[Letta]:
    """The SDK, on a server that is a process of its own in the notebook's project."""
    environment = os.environ | {
        "LETTA_HOME": str(notebook.home),
        "LETTA_MODEL": "openai/scripted",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "test",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "letta_kernel.cli", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        with Letta(base_url=where["url"], api_key=where["token"], max_retries=0) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_both_have_the_same_agents_at_the_same_time(
    notebook: Notebook, server: ScriptedServer, client: Letta
) -> None:
    panel = Panel(notebook).open()
    notebook.run(TOOL)
    [keeper] = [agent for agent in client.agents.list() if agent.name == "keeper"]

    # Said over REST: the notebook's panel hears of it, and the tool runs from its source in the sandbox.
    before = len(panel.heard)
    server.call("lamp_state", {"room": "tower"})
    server.call("core_memory_append", {"label": "human", "content": "Asked from afar."})
    server.say("It is lit.")
    answer = client.agents.messages.create(keeper.id, input="Is the lamp of the tower lit?")
    [result, _] = [m for m in answer.messages if m.message_type == "tool_return_message"]
    kernel = notebook.run("import os; print(os.getpid())").stdout.strip()
    assert result.tool_return.startswith("the lamp of the tower is lit, says ")
    assert kernel not in result.tool_return
    panel.until(
        lambda: (
            {"messages", "blocks"}
            <= {w for m in panel.of("changed") if m in panel.heard[before:] for w in m["what"]}
        )
    )
    said = [m["content"] for m in panel.ask("messages", agent="keeper", limit=10)]
    assert "Is the lamp of the tower lit?" in said
    assert "It is lit." in said
    [human] = [b for b in panel.ask("blocks", agent="keeper") if b["label"] == "human"]
    assert "Asked from afar." in human["value"]

    # Said in the notebook: REST has it, and the tool runs there.
    server.call("lamp_state", {"room": "hall"})
    server.say("That one too.")
    notebook.run("%%agent keeper\nAnd that of the hall?")
    texts = [getattr(m, "content", "") for m in client.agents.messages.list(keeper.id)]
    assert "That one too." in texts
    assert (
        f"the lamp of the hall is lit, says {kernel}"
        in server.requests[-1]["messages"][-1]["content"]
    )
    panel.close()
