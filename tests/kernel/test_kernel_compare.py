"""Comparisons and subagents in a notebook: seen side by side, kept by a button or by words, stopped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kernel_notebook import Notebook
from kernel_panel import Panel
from scripted_server import Answer, ScriptedServer
from scripted_wire import Call

PANEL = "application/vnd.letta.panel.v1+json"


def answers(body: dict[str, Any]) -> Answer:
    """Say what the model's name, or the message, says is to be said."""
    model, last = body["model"], body["messages"][-1]
    if model == "slow":
        return Answer(text="Late.", before=60.0)
    if last["role"] == "user" and model == "keeper":
        added = '{"label": "human", "content": "Likes figs."}'
        return Answer(calls=[Call("call_1", "core_memory_append", added)])
    if last["role"] == "user" and last["content"].endswith("Go."):
        tasks = (json.dumps({"task": f"Say {word}."}) for word in ("one", "two"))
        return Answer(calls=[Call(f"call_{n}", "spawn", task) for n, task in enumerate(tasks)])
    return Answer(text=f"I am {model}.")


@pytest.fixture(autouse=True, scope="module")
def _ada(notebook: Notebook, server: ScriptedServer) -> None:
    server.default = answers
    notebook.run("%agent new ada --model openai/own --human Kim.")


def shown(bundles: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one for one in reversed(bundles) if one.get(PANEL, {}).get("kind") == "compare")


def test_a_comparison_is_shown_and_one_is_kept_by_a_button(notebook: Notebook) -> None:
    line = "%%compare --models openai/plain,openai/keeper --repeat 2 --as found"
    ran = notebook.run(f"{line}\nDo you like {{'fi' + 'gs'}}?")
    assert ran.status == "ok", ran.text
    seen = shown(ran.displays)
    assert seen[PANEL]["choices"] == [1, 2, 3, 4]
    assert "memory differs from 1" in seen["text/html"]
    assert "%agent keep N" in seen["text/html"]
    told = notebook.run("print(found.comparison.text, [r['answer'] for r in found.rows])").text
    assert told.strip() == (
        "Do you like figs? ['I am plain.', 'I am plain.', 'I am keeper.', 'I am keeper.']"
    )
    assert "keeper" not in notebook.run("%agent list").text
    later: list[dict[str, Any]] = []
    panel = Panel(notebook).open()
    try:
        said = panel.ask("compare.keep", id=seen[PANEL]["id"], number=3)
        assert said == {"said": "Run 3 was kept: ada goes on from there."}
    finally:
        panel.close()
    notebook.on_display = later.append
    assert "Likes figs." in notebook.run("%agent memory human").text
    assert "I am keeper." in notebook.run("%agent history").text
    again = notebook.run("found")
    assert again.displays[-1][PANEL]["choices"] == []
    refused = notebook.run("%agent keep 1")
    assert "No comparison waits for a decision" in refused.text


def test_words_keep_none_and_what_makes_no_sense_is_one_line(notebook: Notebook) -> None:
    before = notebook.run("%agent history").text
    ran = notebook.run("%%compare ada --memory on,off --tools on,off\nWho am I?")
    assert ran.status == "ok", ran.text
    assert "memory off · tools off" in ran.text
    assert "All were thrown away." in notebook.run("%agent keep none").text
    assert notebook.run("%agent history").text == before
    for line, why in (
        ("%%compare", "One run is no comparison"),
        ("%%compare --memory maybe,off", "--memory is on or off"),
        ("%%compare --settings colour=red,own", "There is no setting 'colour'"),
        ("%%compare --models openai/a,openai/b --as 1x", "--as needs a variable"),
        ("%%compare ada --agents ada,bob", "not both"),
    ):
        refused = notebook.run(f"{line}\nHello")
        assert refused.status == "error"
        assert why in refused.evalue + refused.text
    assert "--repeat" in notebook.complete("%%compare ada --re")


def test_the_stop_button_ends_a_comparison(notebook: Notebook, server: ScriptedServer) -> None:
    seen = len(server.received)
    request = notebook.send("%%compare --models openai/slow,openai/slow2\nHello")
    ran = notebook.finish(
        request, when=lambda r: len(server.received) >= seen + 2, then=notebook.interrupt
    )
    assert (ran.status, ran.ename) == ("error", "Stopped")
    assert "thrown away" in ran.text
    assert "No comparison waits" in notebook.run("%agent keep none").text


def test_subagents_stand_in_the_call_and_in_the_list_of_runs(notebook: Notebook) -> None:
    notebook.run("%agent new bea --model openai/chief")
    notebook.run("%agent tools attach spawn")
    ran = notebook.run("%%agent\nGo.")
    assert ran.status == "ok", ran.text
    calls = ran.items("tool_call")
    assert [one["name"] for one in calls] == ["spawn", "spawn"]
    for call in calls:
        (inner,) = call["asked"]
        assert inner["agent"].startswith("bea › ")
        assert [one["text"] for one in inner["items"] if one["kind"] == "answer"] == ["I am chief."]
    told = notebook.run("%agent runs").text
    assert "bea › 1" in told
    assert "Say two." in told
    assert "bea ›" not in notebook.run("%agent list").text
