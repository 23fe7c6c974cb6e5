"""The debugger through a real kernel: in words, by what a page sends, headless, and stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel_notebook import TIMEOUT, Notebook, Ran
from scripted_server import ScriptedServer

from letta_kernel.notebook.debugger import as_move, as_question
from letta_kernel.service import ContextPart
from letta_kernel.service.debug import Editable, Stop

ADD = '''
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return a + b
'''


@pytest.fixture
def adds(notebook: Notebook, server: ScriptedServer) -> Notebook:
    """A notebook whose new agent can add and is about to."""
    notebook.run("%agent new ada")
    notebook.run(ADD, "add")
    server.call("add", {"a": 2, "b": 3})
    server.say("It is 5.")
    return notebook


@pytest.fixture(autouse=True)
def _nobody_left(notebook: Notebook, server: ScriptedServer) -> Iterator[None]:
    yield
    notebook.run("%agent delete ada --yes")
    server.forget()
    server.received.clear()


def test_of_what_a_page_says_only_what_it_may_say_is_taken() -> None:
    said = {"action": "format", "changes": {"result": "x", "error": 7}, "name": "n" * 1000}
    move = as_move(said)
    assert (move.action, move.changes, len(move.name)) == ("step", {"result": "x"}, 200)
    assert as_move({"action": "stop", "changes": [1]}).changes == {}
    texts = [Editable(str(n), "user", "long " * 50_000 if n == 3 else "x") for n in range(300)]
    parts = [ContextPart("tools", 9, "y" * 60_000)]
    told = as_question(Stop("a", "r", "s", 1, "request", "before", "", parts, texts))
    assert len(told["texts"]) == 200
    assert told["texts"][-1]["key"] == "299"
    assert told["parts"][0]["text"].endswith("10,000 more characters]")


def test_words(adds: Notebook, server: ScriptedServer) -> None:
    answers = [
        "?",
        "show memory blocks",
        "tea",
        "1 = What is 40 + 2?",
        "s",  # the request goes out
        "s",
        'arguments = {"a": 40, "b": 2}',
        "",
        'result = "42,\\nI think"',
        "c",
    ]
    ran = adds.run("%%agent --step\nWhat is 2 + 3?", answers=answers)
    assert ran.status == "ok"
    for said in ("before the model call · step 1", "<memory_blocks>", "none of the answers"):
        assert said in ran.stdout
    assert "after the call of add" in ran.stdout
    assert server.requests[0]["messages"][-1]["content"] == "What is 40 + 2?"
    assert "42,\\nI think" in server.requests[1]["messages"][-1]["content"]
    marks = {item["label"]: item for item in ran.items("edited")}
    assert list(marks) == ["request: user", "arguments: add", "result: add"]
    assert marks["result: add"]["before"] == "42"
    assert "edited by hand" in ran.displays[-1]["text/html"]
    assert "edited by hand (3)" in adds.run("%agent runs").text


def test_debug_is_on_for_a_notebook_until_it_is_off(adds: Notebook, server: ScriptedServer) -> None:
    assert "stop at each step" in adds.run("%agent debug on").text
    ran = adds.run("%%agent\nWhat is 2 + 3?", answers=["q"])
    assert (ran.status, ran.ename) == ("error", "Stopped")
    assert server.requests == []
    assert "do not stop" in adds.run("%agent debug off").text
    assert "Stopped" not in adds.run("%%agent\nWhat is 2 + 3?", answers=[]).stdout


def test_breakpoints(adds: Notebook) -> None:
    assert "tool:add" in adds.run("%agent break on tool:add").text
    assert "word:it is 5" in adds.run("%agent break on word:it is 5").text
    ran = adds.run("%%agent\nWhat is 2 + 3?", answers=["c", "c"])
    assert ran.status == "ok"
    assert "before the call of add · step 1 · breakpoint tool:add" in ran.stdout
    assert "breakpoint word:it is 5" in ran.stdout
    listed = adds.run("%agent break list").text
    assert "tool:add" in listed
    assert "2 (word:it is 5)" in adds.run("%agent break off 7").text
    adds.run("%agent break off 1")
    assert "tool:add" not in adds.run("%agent break").text
    assert "no breakpoint" in adds.run("%agent break off").text
    assert "is no breakpoint" in adds.run("%agent break on shape:round").text
    assert {"on", "off"} <= set(adds.complete("%agent break "))
    assert "tool:add" in adds.complete("%agent break on tool:")
    assert adds.complete("%agent debug o") == ["on", "off"]
    assert "--step" in adds.complete("%%agent --s")


def test_headless_nothing_stops(adds: Notebook) -> None:
    adds.run("%agent break on tool:add")
    ran = adds.run("%%agent --step\nWhat is 2 + 3?")
    assert (ran.status, ran.answer) == ("ok", "It is 5.")


def test_the_stop_button_ends_a_run_that_waits(adds: Notebook, server: ScriptedServer) -> None:
    request = adds.send("%%agent --step\nWhat is 2 + 3?", stdin=True)

    def asked(_: Ran) -> bool:
        return adds.client.stdin_channel.msg_ready()

    ran = adds.finish(request, when=asked, then=adds.interrupt)
    assert (ran.status, ran.ename) == ("error", "Stopped")
    assert ran.run["state"] == "interrupted"
    assert ran.run["footer"]["stop_reason"] == "cancelled"
    assert adds.run("%%agent\nAgain?").status == "ok"


def test_a_run_that_waits_as_its_kernel_is_killed_is_recovered(
    adds: Notebook, server: ScriptedServer
) -> None:
    request = adds.send("%%agent --step\nWhat is 2 + 3?", stdin=True)
    asked = {}
    while asked.get("parent_header", {}).get("msg_id") != request:  # not what was asked before
        asked = adds.client.stdin_channel.get_msg(timeout=TIMEOUT)
    adds.kill()
    adds.start()
    assert adds.run("%%agent ada\nAgain?").status == "ok"
    assert "The process that ran it ended." in adds.run("%agent runs").text
