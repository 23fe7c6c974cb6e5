"""The whole way of one message, and what is left of it after kill -9."""

from __future__ import annotations

from kernel_notebook import Notebook
from scripted_server import ScriptedServer

FUNCTION = '''
RATE = 1.5

def price(item: str, count: int = 1) -> float:
    """Look up what something costs.

    Args:
        item: What to buy.
        count: How many.
    """
    assert isinstance(count, int)
    return count * RATE
'''


def offered(request: dict[str, object]) -> list[str]:
    return [tool["function"]["name"] for tool in request["tools"]]  # type: ignore[index,attr-defined]


def test_remembers_and_calls_then_survives_kill_9(
    notebook: Notebook, server: ScriptedServer
) -> None:
    made = notebook.run(FUNCTION, "cell-price")
    assert made.displays == []  # nobody asked for agents yet

    server.calls(
        [
            ("core_memory_append", {"label": "human", "content": "Kim likes tea."}),
            ("price", {"item": "tea", "count": "3"}),
        ]
    )
    server.say("Three teas cost **4.5**.")
    ran = notebook.run("%%agent\nI like tea. What do {2 + 1} and {1 + RATE * 2:.0f} teas cost?")
    assert ran.status == "ok"
    assert "Made the agent 'agent'" in ran.text
    assert "with price" in ran.text
    assert ran.answer == "Three teas cost **4.5**."
    assert [item["state"] for item in ran.items("tool_call")] == ["ok", "ok"]
    assert "4.5" in ran.items("tool_call")[1]["result"]
    assert ran.items("memory")[0]["after"] == "Kim likes tea."
    assert ran.run["footer"]["stop_reason"] == "end_turn"
    assert ran.run["prompt"] == "I like tea. What do 3 and 4 teas cost?"
    first = server.requests[0]
    assert "price" in offered(first)
    assert first["messages"][-1]["content"].endswith("and 4 teas cost?")

    notebook.kill()
    notebook.start()

    server.call("price", {"item": "tea", "count": 2})
    server.say("3.0 again.")
    seen = len(server.requests)
    ran = notebook.run("%%agent\nAnd two?")
    assert ran.status == "ok"
    assert ran.run["agent"] == "agent"  # this notebook's last
    system = server.requests[seen]["messages"][0]["content"]
    assert "Kim likes tea." in system
    assert "price" in offered(server.requests[seen])
    said = [message["content"] for message in server.requests[seen]["messages"][1:]]
    assert "Three teas cost **4.5**." in said
    call = ran.items("tool_call")[0]
    assert call["runs_in"] == "sandbox"  # its cell has not run in this kernel
    assert call["state"] == "ok"
    assert "3.0" in call["result"]

    notebook.run(FUNCTION.replace("1.5", "10"), "cell-price")
    server.call("price", {"item": "tea", "count": 2})
    server.say("Twenty.")
    ran = notebook.run("%%agent\nAnd now?")
    call = ran.items("tool_call")[0]
    assert call["runs_in"] == "notebook"
    assert "20" in call["result"]


def test_the_saved_cell_holds_no_widget(notebook: Notebook, server: ScriptedServer) -> None:
    server.say("Hello.")
    ran = notebook.run("%%agent\nHello?")
    saved = [bundle for bundle in ran.displays if "application/vnd.letta.run.v1+json" in bundle]
    assert len(saved) == 1
    assert set(saved[0]) == {"application/vnd.letta.run.v1+json", "text/html", "text/plain"}
    assert "Hello." in saved[0]["text/plain"]


def test_two_kernels_on_one_project(notebook: Notebook, server: ScriptedServer) -> None:
    other = Notebook(notebook.home, **{k: v for k, v in notebook.env.items() if k != "LETTA_HOME"})
    try:
        notebook.run("%agent new shared")
        other.run("%agent use shared")
        server.call("core_memory_append", {"label": "human", "content": "Met in one kernel."})
        server.say("Noted.")
        assert notebook.run("%%agent\nRemember where we met.").answer == "Noted."
        server.say("In one kernel.")
        assert other.run("%%agent\nWhere did we meet?").answer == "In one kernel."
        assert "Met in one kernel." in server.requests[-1]["messages"][0]["content"]
        assert "Met in one kernel." in other.run("%agent memory human").text
    finally:
        other.close()
