"""What a model, a provider or a tool does wrong: one clear line, and an agent that goes on."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer

CELL = '''
def half(number: float) -> float:
    """Halve a number.

    Args:
        number: What to halve.
    """
    if number < 0:
        raise ValueError("no negative numbers here")
    return number / 2
'''


@pytest.fixture(autouse=True, scope="module")
def _tool(notebook: Notebook) -> None:
    assert notebook.run(CELL, "half").status == "ok"


@pytest.fixture(autouse=True)
def _agent_stays_usable(
    notebook: Notebook, server: ScriptedServer, request: pytest.FixtureRequest
) -> Iterator[None]:
    """A new agent for each test; afterwards it answers, and every call in its history has a result."""
    notebook.run(f"%agent new {request.node.name.partition('[')[0]}")
    yield
    server.say("Still here.")
    ran = notebook.run("%%agent\nAre you there?")
    assert ran.status == "ok"
    assert ran.answer == "Still here."
    assert_valid(server.requests[-1]["messages"])


def assert_valid(messages: list[dict[str, Any]]) -> None:
    """Every call has exactly one result, right after it, and its arguments are JSON objects."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, messages
        for call in message.get("tool_calls") or []:
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            waiting.append(call["id"])
    assert not waiting, messages


def result(ran: Ran) -> dict[str, Any]:
    (item,) = ran.items("tool_call")
    return item


def shown_to_model(server: ScriptedServer) -> str:
    """The last tool result the model was shown."""
    found = [m for m in server.requests[-1]["messages"] if m["role"] == "tool"]
    return str(found[-1]["content"])


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("halve", {"number": 1}, "half"),
        ("half", '{"number": 1', "JSON"),
        ("half", '{"number": "many"}', "number"),
        ("half", {}, "number"),
        ("half", {"number": 1, "by": 2}, "by"),
        ("half", {"number": -1}, "no negative numbers here"),
    ],
)
def test_a_bad_call_is_a_result_the_model_can_act_on(
    notebook: Notebook, server: ScriptedServer, name: str, arguments: Any, said: str
) -> None:
    server.call(name, arguments)
    server.say("I see.")
    ran = notebook.run("%%agent\nHalve it.")
    assert ran.status == "ok"
    assert ran.answer == "I see."
    if name == "half" and arguments == '{"number": 1':
        # Cut short, but there is only one way to mend it: it may run, or be refused in words.
        assert result(ran)["state"] in ("ok", "error")
        return
    assert result(ran)["state"] == "error"
    assert said in shown_to_model(server)
    assert "\n" not in (result(ran)["error"] or "")


def test_a_raising_tool_shows_one_line(notebook: Notebook, server: ScriptedServer) -> None:
    server.call("half", {"number": -4})
    server.say("I see.")
    ran = notebook.run("%%agent\nHalve it.")
    assert result(ran)["error"] == "ValueError: no negative numbers here"
    assert "line 8, in half" in result(ran)["traceback"]  # in full, on demand
    assert "Traceback" not in ran.text


def test_an_endless_loop_ends_at_max_steps(notebook: Notebook, server: ScriptedServer) -> None:
    for number in range(4):
        server.call("half", {"number": number})
    ran = notebook.run("%%agent --max-steps 4\nNever stop.")
    assert ran.status == "ok"
    assert ran.run["footer"]["stop_reason"] == "max_steps"
    assert ran.run["footer"]["steps"] == 4


def test_the_fallback_that_answers_is_named(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.gguf"
    gone.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    notebook.run(f"%agent set fallbacks local/{gone}, demo")
    gone.unlink()
    server.fault(401)
    ran = notebook.run("%%agent\nWhat can you do?")
    assert (ran.run["model"], ran.run["label"]) == ("demo", "demo model: no language model")
    assert "Asking demo instead." in " ".join(ran.text.split())
    assert " demo " in notebook.run("%agent runs").text


def test_a_refused_key_names_the_variable(notebook: Notebook, server: ScriptedServer) -> None:
    server.fault(401)
    ran = notebook.run("%%agent\nHello?")
    assert (ran.status, ran.ename) == ("error", "AgentError")
    assert "OPENAI_API_KEY" in ran.evalue
    assert "OPENAI_API_KEY" in ran.run["footer"]["error"]
    assert ran.run["footer"]["error"].endswith("(%agent help key-refused)")
    assert len(ran.traceback) == 1
    assert "\n" not in ran.traceback[0]
    history = notebook.run("%agent history")
    assert "Hello?" in history.text  # what was said is not lost


def test_too_many_requests_waits_as_told(notebook: Notebook, server: ScriptedServer) -> None:
    server.fault(429, headers={"Retry-After": "1"})
    server.say("Now.")
    ran = notebook.run("%%agent\nHello?")
    assert ran.status == "ok"
    assert ran.answer == "Now."
    (notice,) = ran.notices
    assert "429" in notice["text"] or "rate" in notice["text"].lower()
    first, second = server.received[-2:]
    assert second.at - first.at >= 0.9


def test_a_truncated_stream_is_tried_again(notebook: Notebook, server: ScriptedServer) -> None:
    server.truncate("Half of an answ")
    server.say("A whole answer.")
    ran = notebook.run("%%agent\nHello?")
    assert ran.status == "ok"
    assert ran.answer == "A whole answer."
    assert ran.notices


def test_garbage_in_a_stream(notebook: Notebook, server: ScriptedServer) -> None:
    for _ in range(10):
        server.garbage()
    ran = notebook.run("%%agent\nHello?")
    assert ran.status == "error"
    assert ran.run["footer"]["stop_reason"] in ("invalid_llm_response", "llm_api_error")
    assert ran.run["footer"]["error"]
    assert "\n" not in ran.run["footer"]["error"]
    server._queue.clear()
