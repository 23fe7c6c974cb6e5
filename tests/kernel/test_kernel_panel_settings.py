"""Settings that a front end tells the kernel, runs shown again from what is stored, conversations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_notebook import Notebook
from kernel_panel import Panel, PanelFailure
from scripted_server import ScriptedServer

MIME = "application/vnd.letta.run.v1+json"

GUARDED = '''
from letta_kernel import tool

@tool(requires_approval=True)
def post(text: str) -> str:
    """Post a text where everybody sees it.

    Args:
        text: what to post
    """
    return f"posted {text}"
'''


@pytest.fixture
def panel(notebook: Notebook) -> Iterator[Panel]:
    opened = Panel(notebook).open()
    yield opened
    opened.ask("settings", approval="ask", streaming=True, default_model="")
    opened.close()


def test_settings_are_taken_over_and_wrong_ones_are_not(panel: Panel) -> None:
    held = panel.ask("settings", default_model=" demo ", approval="wait", streaming=False)
    assert held == {"default_model": "demo", "approval": "wait", "streaming": False}
    wrong: dict[str, object]
    for wrong in ({"approval": "sometimes"}, {"streaming": "no"}, {"colour": "red"}):
        with pytest.raises(PanelFailure, match="InvalidInputError: settings: "):
            panel.ask("settings", **{"approval": "ask", **wrong})
    with pytest.raises(PanelFailure, match="There is no model 'nosuch'"):
        panel.ask("settings", default_model="nosuch", streaming=True)
    assert panel.ask("settings") == {**held, "streaming": True}


def test_the_approval_policy_decides_where_it_is_not_to_ask(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    notebook.run("%agent new poster\n")
    notebook.run(GUARDED, "cell-post")
    for policy, told in (("approve", "posted hello"), ("deny", "JupyterLab's settings")):
        panel.ask("settings", approval=policy)
        server.call("post", {"text": "hello"})
        server.say("So it is.")
        assert notebook.run("%%agent poster\nPost hello").status == "ok"
        assert told in server.requests[-1]["messages"][-1]["content"]
    panel.ask("settings", approval="wait")
    server.call("post", {"text": "hello"})
    ran = notebook.run("%%agent poster\nPost hello")
    assert [data[MIME]["state"] for data in ran.displays if MIME in data] == ["waiting"]
    assert panel.ask("pending", agent="poster")[0]["name"] == "post"


def test_without_streaming_a_run_is_shown_once(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    notebook.run("%agent new quiet")
    seen: list[str] = []
    notebook.on_display = lambda data: seen.append(data[MIME]["state"]) if MIME in data else None
    panel.ask("settings", streaming=False)
    server.say("All at once.")
    # A front end that takes input is one where somebody looks.
    assert notebook.run("%%agent quiet\nHello", answers=[]).status == "ok"
    assert seen == ["ended"]
    panel.ask("settings", streaming=True)
    server.say("As it comes.")
    notebook.run("%%agent quiet\nHello", answers=[])
    notebook.on_display = lambda data: None
    assert seen[1:] != ["ended"]
    assert seen[-1] == "ended"


def test_a_stored_run_is_shown_as_its_cell_showed_it(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    notebook.run("%agent new told-again --human 'Name: Lin'")
    server.call("core_memory_append", {"label": "human", "content": "Likes tea"})
    server.call("nonsense", {"a": 1})
    server.say("Noted: **tea**.")
    displays = notebook.run("%%agent told-again\nI like tea").displays
    [shown] = [data for data in displays if MIME in data]
    label = shown[MIME]["label"]
    again = panel.ask("run.view", run=shown[MIME]["run_id"], label=label)
    assert set(again) == set(shown)
    was, now = shown[MIME], again[MIME]
    for name in ("run_id", "agent", "model", "state", "prompt", "label"):
        assert now[name] == was[name], name
    for name in ("stop_reason", "error", "steps", "prompt_tokens", "completion_tokens", "cost"):
        assert now["footer"][name] == was["footer"][name], name
    kept = [item for item in was["items"] if item["kind"] != "notice"]  # those are not stored
    assert [item["kind"] for item in now["items"]] == [item["kind"] for item in kept]
    for before, after in zip(kept, now["items"], strict=True):
        for name in ("text", "name", "arguments", "state", "label", "before", "after", "version"):
            assert after.get(name) == before.get(name), (name, before, after)
    with pytest.raises(PanelFailure, match="There is no run 'run-none'"):
        panel.ask("run.view", run="run-none")


def test_a_run_whose_kernel_died_is_shown_as_failed(server: ScriptedServer, tmp_path: Path) -> None:
    env = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "test"}
    notebook = Notebook(tmp_path / ".letta", LETTA_MODEL="openai/scripted", **env)
    try:
        panel = Panel(notebook).open()
        notebook.run("%agent new mortal")
        server.call("core_memory_append", {"label": "human", "content": "Lin"})
        server.hang(60)
        notebook.send("%%agent mortal\nHello")
        panel.until(lambda: panel.events("tool_returned"))
        run = panel.until(lambda: panel.events("run_started"))[0]["run_id"]
        assert panel.ask("run.view", run=run)[MIME]["state"] == "running"
        panel.client.stop_channels()
        notebook.kill()
        notebook.start()
        panel = Panel(notebook).open()
        seen = panel.ask("run.view", run=run)[MIME]
        assert seen["state"] == "ended"
        assert seen["footer"]["error"]
        assert "core_memory_append" in [item.get("name") for item in seen["items"]]
        panel.close()
    finally:
        notebook.close()


def test_the_notebook_says_whom_it_talks_to(notebook: Notebook, panel: Panel) -> None:
    notebook.run("%agent new in-front")
    [own] = [a for a in panel.ask("agents") if a["name"] == "in-front"]
    assert panel.ask("notebook")["agent"] == own["id"]


def test_a_default_model_is_for_where_nothing_else_is_named(
    server: ScriptedServer, tmp_path: Path
) -> None:
    notebook = Notebook(tmp_path / ".letta", OPENAI_BASE_URL=server.url, OPENAI_API_KEY="test")
    try:
        panel = Panel(notebook).open()
        assert panel.ask("settings", default_model="openai/scripted")
        assert not (tmp_path / ".letta").exists()
        assert panel.ask("models")[0]["name"] == "openai/scripted"
        notebook.run("%agent new chooser\n%env LETTA_MODEL=demo")
        assert panel.ask("models")[0]["name"] == "demo"
        notebook.run("%env LETTA_MODEL=nosuch")
        made = notebook.run("%agent new doubter").text
        assert "Made doubter" in made
        assert "LETTA_MODEL: There is no model 'nosuch'" in made
        panel.close()
    finally:
        notebook.close()


def test_conversations_are_begun_talked_in_forked_and_deleted(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    notebook.run("%agent new chatter")
    notebook.run(GUARDED)

    def texts(conversation: str | None) -> list[str]:
        found = panel.ask("messages", agent="chatter", conversation=conversation)
        return [m["content"] for m in found if m["role"] in ("user", "assistant") and m["content"]]

    tea = panel.ask("conversation.create", agent="chatter", title="Tea")["id"]
    for said, answer in (("Which?", "Green."), ("How hot?", "Seventy.")):
        server.say(answer)
        panel.ask("talk", agent="chatter", text=said, conversation=tea)
    assert texts(tea) == ["Which?", "Green.", "How hot?", "Seventy."]
    assert texts(None) == []
    assert panel.until(lambda: panel.events("run_started"))[-1]["conversation"] == tea

    asked = {"agent": "chatter", "conversation": tea}
    messages = panel.ask("messages", **asked)
    fork = panel.ask("conversation.fork", before=messages[2]["id"], title="Tea (2)", **asked)["id"]
    assert texts(fork) == ["Which?", "Green."]
    assert texts(tea)[-1] == "Seventy.", "the old end stays"
    anew = panel.ask("conversation.fork", before=messages[0]["id"], **asked)["id"]
    assert texts(anew) == []
    whole = panel.ask("conversation.fork", **asked)["id"]
    assert texts(whole) == texts(tea)

    # A call that waits in one of them is decided there.
    server.call("post", {"text": "tea"})
    panel.ask("talk", agent="chatter", text="Post it", conversation=fork)
    [call] = panel.ask("pending", agent="chatter", conversation=fork)
    assert panel.ask("pending", agent="chatter") == []
    server.say("Posted.")
    yes = [{"call_id": call["id"], "approve": True}]
    panel.ask("approve", agent="chatter", conversation=fork, decisions=yes)
    assert texts(fork)[-1] == "Posted."

    panel.ask("conversation.rename", conversation=anew, title=" Coffee ")
    panel.ask("conversation.delete", conversation=tea)
    titles = [one["title"] for one in panel.ask("conversations", agent="chatter")]
    assert sorted(titles) == ["Coffee", "Tea", "Tea (2)"]
    assert texts(fork)[0] == "Which?", "what a fork shares stays"
    for method, wrong in (
        ("talk", {"agent": "chatter", "text": "x", "conversation": tea}),
        ("conversation.fork", {"agent": "chatter", "before": "message-none"}),
        ("conversation.rename", {"conversation": "conv-none", "title": "x"}),
    ):
        with pytest.raises(PanelFailure, match=r"NotFoundError|There is no conversation"):
            panel.ask(method, **wrong)
