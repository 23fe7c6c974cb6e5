"""What a local model writes is read alike however it is cut into pieces, and its grammar holds its schemas."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from letta_kernel.models.base import CallPiece, ReasoningPiece, Reply, TextPiece
from letta_kernel.models.local.format import ToolFormat, call_schema, describe, grammar
from letta_kernel.models.local.probe import loosened
from letta_kernel.models.local.reading import ReplyReader

TAGGED = ToolFormat("<tool_call>\n", "\n</tool_call>", thinks=True)
BARE = ToolFormat("", "", "name", "parameters")
PLAIN = ToolFormat("", "", "tool", "arguments", native=False)

ADD = json.dumps({"name": "add", "arguments": {"a": 1, "b": {"c": '}] " \\ <tool_call>'}}})


def read(
    form: ToolFormat | None, text: str, seed: int, reason: str = "stop"
) -> tuple[Reply, list[Any]]:
    reply, pieces = Reply(), []
    thinks = form is not None and form.thinks
    reader = ReplyReader(form, thinks, form is not None and form.thinking_opened, reply)
    random_ = random.Random(seed)
    at = 0
    while at < len(text):
        size = random_.randint(1, 7) if seed else len(text)
        pieces.extend(reader.take(text[at : at + size]))
        at += size
    reader.finish(reason)
    return reply, pieces


CASES: list[tuple[ToolFormat | None, str, str, str, list[tuple[str, str]]]] = [
    (None, "Hello <tool_call> there", "Hello <tool_call> there", "", []),
    (TAGGED, "Hello there", "Hello there", "", []),
    (TAGGED, "<think>\nHm, 1 < 2.\n</think>\n\nHello", "Hello", "Hm, 1 < 2.\n", []),
    (TAGGED, f"<tool_call>\n{ADD}\n</tool_call>", "", "", [("add", ADD[29:-1])]),
    (
        TAGGED,
        f"<think>Two.</think>\n<tool_call>\n{ADD}\n</tool_call>\n<tool_call>\n{ADD}\n</tool_call>",
        "",
        "Two.",
        [("add", ADD[29:-1]), ("add", ADD[29:-1])],
    ),
    (BARE, '{"name": "now", "parameters": {}}', "", "", [("now", "{}")]),
    (BARE, "It is noon.", "It is noon.", "", []),
    (PLAIN, '{"tool": "now", "arguments": {"zone": "UTC"}}', "", "", [("now", '{"zone": "UTC"}')]),
    (PLAIN, '{"answer": "It is \\"noon\\" \\u263c"}', 'It is "noon" ☼', "", []),
]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("form", "text", "said", "thought", "calls"), CASES)
def test_reading_does_not_depend_on_the_pieces(
    form: ToolFormat | None,
    text: str,
    said: str,
    thought: str,
    calls: list[tuple[str, str]],
    seed: int,
) -> None:
    reply, pieces = read(form, text, seed)
    assert reply.text == said
    assert reply.reasoning == thought
    assert [(call.name, call.arguments) for call in reply.tool_calls] == calls
    assert "".join(p.text for p in pieces if isinstance(p, TextPiece)) == said
    assert "".join(p.text for p in pieces if isinstance(p, ReasoningPiece)) == thought
    for index, call in enumerate(reply.tool_calls):
        streamed = [p for p in pieces if isinstance(p, CallPiece) and p.index == index]
        assert streamed[0].id == call.id
        assert "".join(p.arguments for p in streamed) == call.arguments
    assert reply.finish_reason == ("tool_calls" if calls else "stop")


def test_a_call_that_was_cut_off_says_so() -> None:
    reply, _ = read(TAGGED, '<tool_call>\n{"name": "add", "arguments": {"a": 1', 3, "length")
    assert reply.finish_reason == "length"
    assert reply.tool_calls[0].arguments == '{"a": 1'


def test_a_cut_off_call_behind_whole_ones_is_dropped() -> None:
    text = f'<tool_call>\n{ADD}\n</tool_call>\n<tool_call>\n{{"name": "add", "argu'
    reply, _ = read(TAGGED, text, 3, "length")
    assert reply.finish_reason == "tool_calls"
    assert len(reply.tool_calls) == 1


def test_definitions_of_two_tools_do_not_meet() -> None:
    def tool(name: str, kind: str) -> dict[str, Any]:
        point = {"type": "object", "properties": {"x": {"type": kind}}, "required": ["x"]}
        parameters = {
            "type": "object",
            "properties": {
                "at": {"$ref": "#/$defs/Point"},
                "many": {"items": {"$ref": "#/$defs/Point"}},
            },
            "$defs": {"Point": point},
        }
        return {"type": "function", "function": {"name": name, "parameters": parameters}}

    schema = call_schema(TAGGED, [tool("one", "integer"), tool("two", "string")])
    text = json.dumps(schema)
    references = set(re.findall(r'"#/\$defs/([^"]+)"', text))
    assert references == set(schema["$defs"]) == {"one.Point", "two.Point"}
    assert schema["$defs"]["one.Point"]["properties"]["x"] == {"type": "integer"}


def test_undeclared_arguments_are_forbidden_and_notes_left_out() -> None:
    parameters = {
        "type": "object",
        "properties": {"x": {"type": "integer", "title": "X", "default": 3, "minimum": 1}},
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    inner = call_schema(PLAIN, [tool])["properties"]["arguments"]
    assert inner["additionalProperties"] is False
    assert inner["properties"]["x"] == {"type": "integer", "minimum": 1}
    assert call_schema(PLAIN, [loosened(tool)])["properties"]["arguments"]["properties"]["x"] == {
        "type": "integer"
    }


def test_grammar_offers_what_may_be_said() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    free = grammar(TAGGED, [tool], must_call=False)
    assert "start: thought? (calls | answer)" in free
    assert "answer:" not in grammar(TAGGED, [tool], must_call=True)
    assert "calls:" not in grammar(PLAIN, [tool], must_call=False, may_call=False)
    assert '{"answer": "TEXT"}' in describe(PLAIN, [tool])
