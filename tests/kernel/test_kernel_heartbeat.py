"""An agent of heartbeat style looks to a person as any other does: live, searched and kept."""

from __future__ import annotations

from kernel_notebook import Notebook
from kernel_panel import Panel
from scripted_server import ScriptedServer


def test_answers_are_text_wherever_they_are_read(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new hal --style heartbeat")
    server.call("send_message", {"thinking": "A question.", "message": "It is in the attic."})
    ran = notebook.run("%%agent\nWhere is the kettle?")
    kinds = [item["kind"] for item in ran.run["items"] if item["kind"] != "notice"]
    assert kinds == ["reasoning", "answer"]
    assert ran.answer == "It is in the attic."
    assert "It is in the attic." in notebook.run("%agent search attic").text
    kept = notebook.run("%agent history").text
    assert "It is in the attic." in kept
    assert "→ send_message" not in kept


def test_an_answer_that_could_not_be_given_is_shown_as_a_call(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new hal2 --style heartbeat")
    server.call("send_message", {"thinking": "Hm."})
    server.call("send_message", {"thinking": "", "message": "Now it is right."})
    ran = notebook.run("%%agent\nHello?")
    (call,) = ran.items("tool_call")
    assert (call["name"], call["state"]) == ("send_message", "error")
    assert ran.answer == "Now it is right."


def test_the_panel_reads_it_as_text_too(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new hal3 --style heartbeat")
    server.call("send_message", {"thinking": "A greeting.", "message": "Good morning."})
    run = notebook.run("%%agent\nHello?").run["run_id"]
    panel = Panel(notebook).open()
    try:
        said = [m for m in panel.ask("messages", agent="hal3") if m["role"] == "assistant"]
        kept = panel.ask("run.view", run=run, label="")
    finally:
        panel.close()
    assert [(m["content"], m["tool_calls"]) for m in said] == [("Good morning.", [])]
    items = kept["application/vnd.letta.run.v1+json"]["items"]
    assert [item["kind"] for item in items] == ["reasoning", "answer"]
