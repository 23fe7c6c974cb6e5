"""The stop button: within half a second, wherever the run is; what was acknowledged is kept."""

from __future__ import annotations

import pytest
from kernel_notebook import TIMEOUT, Notebook, Ran
from scripted_server import ScriptedServer
from test_kernel_faults import assert_valid

SLEEPS = '''
import time

def wait(seconds: float) -> str:
    """Wait a while.

    Args:
        seconds: How long.
    """
    print("waiting")
    time.sleep(seconds)
    return "done"

def spin(seconds: float) -> str:
    """Keep the processor busy.

    Args:
        seconds: How long.
    """
    print("waiting")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "done"

async def doze(seconds: float) -> str:
    """Wait without blocking.

    Args:
        seconds: How long.
    """
    import asyncio
    print("waiting")
    await asyncio.sleep(seconds)
    return "done"
'''


@pytest.fixture(autouse=True, scope="module")
def _tools(notebook: Notebook) -> None:
    assert notebook.run(SLEEPS, "sleeps").status == "ok"


def stop_when(notebook: Notebook, cell: str, shown: str) -> Ran:
    request = notebook.send(cell, stdin=True)  # a person looks: the view is live
    ran = notebook.finish(request, when=lambda r: shown in r.text, then=notebook.interrupt)
    assert ran.status == "error"
    assert ran.ename == "Stopped"
    assert len(ran.traceback) == 1
    assert "\n" not in ran.traceback[0]
    # A bound for a busy machine; the figure itself is measured by benchmarks, not here.
    assert ran.seconds < 5
    return ran


def test_stop_during_a_stream(notebook: Notebook, server: ScriptedServer) -> None:
    server.say(" ".join(f"word{number}" for number in range(400)), pieces=400, delay=0.03)
    ran = stop_when(notebook, "%%agent\nTalk on and on.", "word3")
    assert ran.run["state"] == "interrupted"
    assert ran.run["footer"]["stop_reason"] == "cancelled"
    assert "word3" in ran.answer
    assert "word399" not in ran.answer
    server.received[-1].over.wait(30)
    assert server.received[-1].disconnected  # the provider stops too, and stops costing

    server.say("Yes.")
    again = notebook.run("%%agent\nAre you there?")
    assert again.answer == "Yes."
    said = server.requests[-1]["messages"]
    assert_valid(said)
    assert any("word3" in str(message["content"]) for message in said)  # partial text is kept


@pytest.mark.parametrize("tool", ["wait", "spin", "doze"])
def test_stop_during_a_tool(notebook: Notebook, server: ScriptedServer, tool: str) -> None:
    server.calls([(tool, {"seconds": 60}), ("wait", {"seconds": 61})])
    ran = stop_when(notebook, f"%%agent\nCall {tool}.", "waiting")
    assert [item["state"] for item in ran.items("tool_call")] == ["interrupted", "interrupted"]

    server.say("Yes.")
    assert notebook.run("%%agent\nAre you there?").answer == "Yes."
    said = server.requests[-1]["messages"]
    assert_valid(said)
    assert "interrupted" in str(said[-2]["content"]).lower()


def test_stop_before_the_first_word(notebook: Notebook, server: ScriptedServer) -> None:
    server.hang(60)
    seen = len(server.received)
    request = notebook.send("%%agent\nHello?")
    ran = notebook.finish(
        request, when=lambda r: len(server.received) > seen, then=notebook.interrupt
    )
    assert (ran.status, ran.ename) == ("error", "Stopped")
    assert ran.seconds < 5
    server.say("Yes.")
    assert notebook.run("%%agent\nAre you there?").answer == "Yes."


def test_run_all_stops(notebook: Notebook, server: ScriptedServer) -> None:
    server.hang(60)
    seen = len(server.received)
    first = notebook.send("%%agent\nHello?")
    second = notebook.send("print('must not run')")
    notebook.finish(first, when=lambda r: len(server.received) > seen, then=notebook.interrupt)
    reply = notebook.client.get_shell_msg(timeout=TIMEOUT)
    assert reply["parent_header"]["msg_id"] == second
    assert reply["content"]["status"] == "aborted"
