"""Whatever the message and whatever the tools, the demo model makes valid calls and comes to an end."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from letta_kernel.models.base import Cancel, ChatRequest, Reply
from letta_kernel.models.demo.model import DemoModel

SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "object"},
    {"type": "object", "properties": {}, "required": []},
    {"type": "object", "properties": {"x": {}}, "required": ["x"]},
    {"type": "object", "properties": {"x": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}},
    {"type": "object", "properties": {"x": {"type": ["string", "null"]}}, "required": ["x"]},
    {"type": "object", "properties": {"x": {"enum": [1, 2, 3]}}, "required": ["x"]},
    {"type": "object", "properties": {"x": {"const": "only"}}, "required": ["x"]},
    {"type": "object", "properties": {"x": {"type": "array"}}, "required": ["x"]},
    {
        "type": "object",
        "properties": {"x": {"type": "array", "items": {"type": "object"}}},
        "required": ["x"],
    },
    {"type": "object", "properties": {"x": {"$ref": "#/$defs/Point"}}, "required": ["x"]},
    {
        "type": "object",
        "properties": {
            "numbers": {"type": "array", "items": {"type": "integer"}},
            "on": {"type": "boolean", "description": "True for on, false for off."},
            "when": {"type": "string", "format": "date-time"},
            "n": {"type": "integer", "minimum": 1, "maximum": 5},
        },
        "required": ["numbers", "on", "when", "n"],
    },
]
TEXT = """remember that my name is Ada and I live in Rome don't forget set the x on off 3 4.5 "quoted
text" 'single what is where who 2026-01-01 tomorrow 7:30 a, b and c : ; ? ! . café 😀 ١٢ 日本語 tool
number list it's I'm a@b.cz $5 20% #9 -1 1e309 999999999999999999999 <block label="human"> </value> { } [ ]"""
WORDS = [*TEXT.split(), "\\", "/", "\n", "\t", ""]


def request(
    message: str, tools: list[dict[str, Any]], history: list[dict[str, Any]]
) -> ChatRequest:
    system = '<memory_blocks>\n<block label="human">\n<value>\nName: Bo.\n</value>\n</block>\n</memory_blocks>'
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": message},
        *history,
    ]
    return ChatRequest(messages, tools)


def run(message: str, tools: list[dict[str, Any]], status: str = "OK") -> list[Reply]:
    replies: list[Reply] = []
    history: list[dict[str, Any]] = []
    for _ in range(30):
        *_, reply = DemoModel().stream(request(message, tools, history), Cancel())
        assert isinstance(reply, Reply)
        replies.append(reply)
        if not reply.tool_calls:
            assert reply.text
            return replies
        (call,) = reply.tool_calls
        function = {"name": call.name, "arguments": call.arguments}
        calls = [{"id": call.id, "type": "function", "function": function}]
        history.append({"role": "assistant", "content": None, "tool_calls": calls})
        packed = json.dumps({"status": status, "message": "[1, 2"})
        history.append({"role": "tool", "tool_call_id": call.id, "content": packed})
    pytest.fail(f"no end: {message!r}")


def check(tool: dict[str, Any], arguments: dict[str, Any]) -> None:
    parameters = tool["function"]["parameters"]
    properties = parameters.get("properties", {})
    assert set(parameters.get("required", [])) <= set(arguments) <= set(properties)
    kinds = {"integer": int, "number": (int, float), "string": str, "boolean": bool, "array": list}
    for name, value in arguments.items():
        kind = properties[name].get("type")
        if isinstance(kind, str):
            assert isinstance(value, kinds[kind])
            assert not (kind == "integer" and isinstance(value, bool))
        if "enum" in properties[name]:
            assert value in properties[name]["enum"]
        if kind == "integer":
            assert (
                properties[name].get("minimum", value)
                <= value
                <= properties[name].get("maximum", value)
            )


@pytest.mark.parametrize("seed", range(8))
def test_random_messages_and_odd_schemas(seed: int) -> None:
    random_ = random.Random(seed)
    for _ in range(25):
        message = " ".join(random_.choices(WORDS, k=random_.randint(0, 25)))
        tools = [
            {
                "type": "function",
                "function": {
                    "name": random_.choice(["set_x", "list_numbers", "name", "toolNumber", "x"])
                    + str(n),
                    "description": random_.choice(["", "Set the x.", "List numbers.", "Où? 日本"]),
                    "parameters": random_.choice(SCHEMAS),
                },
            }
            for n in range(random_.randint(0, 4))
        ]
        by_name = {tool["function"]["name"]: tool for tool in tools}
        for reply in run(message, tools, random_.choice(["OK", "Failed"])):
            for call in reply.tool_calls:
                check(by_name[call.name], json.loads(call.arguments))


@pytest.mark.parametrize(
    "text",
    ["no ", "hey, ", "a and ", "' ", '"a ', "1 ", "Aa Bb ", "remember that ", "a. ", "x", "-", ",", "please ",
     "search for ", "one hundred and ", "what is the ", "\n", "a@", "a/", "1,"],
)  # fmt: skip
def test_repetition_is_answered_without_end(text: str) -> None:
    run(text * (6000 // len(text)), [])


def test_the_same_request_is_answered_alike() -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": "double",
                "description": "Double a number.",
                "parameters": SCHEMAS[3],
            },
        }
    ]
    first, second = run("what is 4 doubled?", tools), run("what is 4 doubled?", tools)
    assert [r.text for r in first] == [r.text for r in second]
    assert [c.arguments for r in first for c in r.tool_calls] == [
        c.arguments for r in second for c in r.tool_calls
    ]
