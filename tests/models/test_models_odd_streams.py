"""Streams as careless servers and models make them: thoughts, names, calls and arguments told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripted_server import ScriptedServer

from letta_kernel.models.base import (
    Cancel,
    ChatRequest,
    Piece,
    ReasoningPiece,
    Reply,
    Reset,
    Retrying,
    TextPiece,
)
from letta_kernel.models.registry import open_model
from letta_kernel.models.wire import meant


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def part(index: Any, name: str | None, arguments: Any = "", call_id: str | None = None) -> dict:
    function = {"name": name, "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": call_id, "function": function}]})


END = chunk({}, "stop")


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def pieces(*names: str, model: str = "openai/scripted") -> list[Piece]:
    request = ChatRequest([{"role": "user", "content": "u"}], [tool(name) for name in names])
    return list(open_model(model).stream(request, Cancel()))


def reply(*names: str) -> Reply:
    last = pieces(*names)[-1]
    assert isinstance(last, Reply)
    return last


def made(found: Reply) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in found.tool_calls]


# Thoughts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 9, 100])
@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("I should greet.</think>Hello!", "I should greet.", "Hello!"),
        ("\nI should greet.\n</think>\n\nHello!", "I should greet.", "Hello!"),
        ("</think>\nHello!", "", "Hello!"),
        ("Only thoughts.</think>", "Only thoughts.", ""),
        ("Hm.</thinking>Hello!", "Hm.", "Hello!"),
        ("Hm.[/THINK]Hello!", "Hm.", "Hello!"),
        ("[THINK]Hm.[/THINK]Hello!", "Hm.", "Hello!"),
        ("<thinking>Hm.</thinking>Hello!", "Hm.", "Hello!"),
        (
            "<think>Hm.</think>It ends with </think>, you see.",
            "Hm.",
            "It ends with </think>, you see.",
        ),
        ("The tag `</think>` ends thoughts.", "", "The tag `</think>` ends thoughts."),
        ("```\n<think></think>\n```\nlike this", "", "```\n<think></think>\n```\nlike this"),
        ("a < b and </b>", "", "a < b and </b>"),
        ("Write <think>so</think>.", "", "Write <think>so</think>."),
    ],
)
def test_text_before_a_lone_closing_tag_is_thought(
    scripted: ScriptedServer, text: str, thought: str, said: str, size: int
) -> None:
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    scripted.raw([*(chunk({"content": one}) for one in parts), END])
    *shown, whole = pieces()
    assert isinstance(whole, Reply)
    assert (whole.reasoning.strip(), whole.text) == (thought, said)
    for number, piece in enumerate(shown):
        if isinstance(piece, Reset):
            shown = shown[number + 1 :]  # what came before is void
            break
    assert "".join(p.text for p in shown if isinstance(p, TextPiece)) == whole.text
    assert "".join(p.text for p in shown if isinstance(p, ReasoningPiece)) == whole.reasoning


def test_a_call_after_a_lone_closing_tag_stays(scripted: ScriptedServer) -> None:
    scripted.raw([chunk({"content": "Look.</think>"}), part(0, "find", '{"a": 1}', "x"), END])
    found = reply("find")
    assert (found.reasoning, found.text, made(found)) == ("Look.", "", [("find", '{"a": 1}')])


# Names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "find",
        "functions.find",
        "functions.find:0",
        "functions:find",
        "function.find",
        "functions/find",
        "functions_find",
        "find<|channel|>commentary",
        "find<|channel|>commentary json",
        "<|channel|>find",
        "find<|constrain|>json",
        "assistant<|channel|>commentary to=functions.find",
        "commentary to=functions.find",
        "default_api.find",
        "default_api:find",
        "tools.find",
        "tool.find",
        "find()",
        " find ",
        '"find"',
        "`find`",
        "Find",
    ],
)
def test_a_decorated_name_is_the_tool_that_remains(scripted: ScriptedServer, name: str) -> None:
    scripted.raw([part(0, name, "{}", "x"), END])
    *shown, whole = pieces("find", "find_all", "keep")
    assert isinstance(whole, Reply)
    assert made(whole) == [("find", "{}")]
    assert [p.name for p in shown if getattr(p, "name", "")] == ["find"]


@pytest.mark.parametrize(
    "name", ["search", "functions.search", "find.keep", "fin", "find_it", "", "functions."]
)
def test_where_no_one_tool_remains_the_name_stays(name: str) -> None:
    assert meant(name, ["find", "keep", "find_all"]) == name


def test_a_tool_called_as_a_mark_of_the_format_is_still_found() -> None:
    assert meant("find<|channel|>commentary", ["find", "commentary"]) == "find"
    assert (
        meant("functions.commentary", ["find", "commentary", "functions"]) == "functions.commentary"
    )
    assert meant("get-weather", ["get_weather"]) == "get_weather"
    assert meant("functions.get-weather", ["get_weather"]) == "get_weather"


# Calls -----------------------------------------------------------------------------------------------

ONE, TWO = '{"a": 1}', '{"a": 2}'


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([part(0, "find", ONE), part(0, "find", TWO)], [("find", ONE), ("find", TWO)]),
        ([part(0, "find", ONE), part(0, "keep", ONE)], [("find", ONE), ("keep", ONE)]),
        ([part(0, "find", ONE, "x"), part(0, "find", TWO, "x")], [("find", ONE), ("find", TWO)]),
        ([part(0, "find", ONE, "x"), part(0, "find", TWO, "y")], [("find", ONE), ("find", TWO)]),
        ([part(None, "find", ONE), part(None, "find", TWO)], [("find", ONE), ("find", TWO)]),
        ([part(0, "find", ONE), part(0, None, TWO)], [("find", ONE), ("find", TWO)]),
        ([part(0, "find", ONE), part(0, "find", ONE)], [("find", ONE)]),
        ([part(0, "find", ONE, "x"), part(0, "find", ONE, "x")], [("find", ONE)]),
        (
            [part(0, "find", ONE), part(0, "keep"), part(0, None, '{"a":'), part(0, None, " 2}")],
            [("find", ONE), ("keep", TWO)],
        ),
        (
            [part(0, "find", ONE), part(0, "find"), part(0, None, '{"a":'), part(0, None, " 2}")],
            [("find", ONE), ("find", TWO)],
        ),
        ([part(0, "find", "{}"), part(0, None, '{"a":'), part(0, None, " 1}")], [("find", ONE)]),
        ([part(0, "find", "{}"), part(0, None, ONE)], [("find", ONE)]),
        ([part(0, "find", '{"a":'), part(0, "find", " 1}")], [("find", ONE)]),
        ([part(0, "find", ONE), part(0, None, "\n"), part(0, "find")], [("find", ONE + "\n")]),
        ([part(0, "find", None)], [("find", "{}")]),
        ([part(0, "find", "")], [("find", "{}")]),
        ([part(0, "find", {"a": 1})], [("find", ONE)]),
        ([part(0, None, ONE, "x"), part(0, "functions.find", None)], [("find", ONE)]),
        ([chunk({"tool_calls": [None]}), part(0, "find", ONE)], [("find", ONE)]),
        ([chunk({"tool_calls": [{"index": 0, "function": None}]})], []),
        ([chunk({"function_call": {"name": "find", "arguments": ONE}})], [("find", ONE)]),
        ([chunk({"tool_calls": {"id": 7, "function": {"name": "find"}}})], [("find", "{}")]),
    ],
)
def test_calls_are_told_apart(
    scripted: ScriptedServer, parts: list[dict], expected: list[tuple[str, str]]
) -> None:
    scripted.raw([*parts, END])
    found = reply("find", "keep")
    assert made(found) == expected
    assert len({call.id for call in found.tool_calls}) == len(expected)


# The wire --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        ["\ufeff", chunk({"content": "Hi"}), END, "data: [DONE]\n\n"],
        [": ping\n\n", chunk({"content": "Hi"}), ": OPENROUTER PROCESSING\n\n", "data:\n\n", END],
        ["event: ping\ndata: {}\n\n", chunk({"content": "Hi"}), END],
        [chunk({"content": "Hi"}), "data:[DONE]"],
        [chunk({"content": "Hi"}), f"data: {json.dumps(END)}"],
        [chunk({"content": "Hi"}), "data: [DONE]\r\n\r\n"],
        [{"choices": None}, chunk({"content": "Hi", "tool_calls": None}), {"choices": []}, END],
    ],
)
def test_what_belongs_to_the_wire_is_no_answer(scripted: ScriptedServer, raw: list[Any]) -> None:
    scripted.raw(raw)
    assert reply().text == "Hi"
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        '{"error": "an error was encountered while running the model: CUDA error"}\n',
        '{"error": {"message": "overloaded", "code": 503}}\n',
        'data: {"error": {"message": "overloaded"}}\n\n',
        'event: error\ndata: {"error": "overloaded"}\n\n',
        'data: {"object": "error", "message": "overloaded", "code": 500}\n\n',
        'data: {"type": "error", "error": {"message": "overloaded"}}\n\n',
        'data: {"code": 500, "message": "overloaded"}\n\n',
    ],
)
def test_an_error_in_a_stream_is_tried_again(scripted: ScriptedServer, error: str) -> None:
    scripted.raw([chunk({"content": "Half"}), error])
    scripted.say("Whole")
    *shown, whole = pieces()
    assert isinstance(whole, Reply)
    assert whole.text == "Whole"
    assert [p for p in shown if isinstance(p, Retrying)]


@pytest.mark.parametrize(
    "error",
    ["an error was encountered while running the model: CUDA error", {"message": "overloaded"}],
)
def test_an_error_in_ollamas_stream_is_tried_again(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", scripted.url.removesuffix("/v1"))

    def lines(*given: dict[str, Any]) -> list[str]:
        return [json.dumps({"model": "small", **one}) + "\n" for one in given]

    def say(text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}, "done": False}

    for begun in ([say("Half")], []):
        scripted.raw(
            [*lines(*begun), json.dumps({"error": error}) + "\n"],
            content_type="application/x-ndjson",
        )
        end = {**say(""), "done": True, "done_reason": "stop"}
        scripted.raw(lines(say("Whole"), end), content_type="application/x-ndjson")
        *shown, whole = pieces(model="ollama/small")
        assert isinstance(whole, Reply)
        assert whole.text == "Whole"
        told = [p.reason for p in shown if isinstance(p, Retrying)]
        assert len(told) == 1
        assert "CUDA" in told[0] or "overloaded" in told[0]
