"""Anthropic's own protocol, over real HTTP: thoughts with signatures go back as they came."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from scripted_judges import anthropic
from scripted_server import ScriptedServer

from letta_kernel.models.base import (
    ModelError,
    ReasoningPiece,
    Reply,
    ResponseFormat,
    Retrying,
)

MODEL = "anthropic/claude-sonnet-5"


@pytest.fixture(autouse=True)
def _at_the_scripted_server(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", scripted.url.removesuffix("/v1"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")


def history(found: Reply) -> list[dict]:
    call = found.tool_calls[0]
    function = {"name": call.name, "arguments": call.arguments}
    return [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": found.text or None,
            "thinking_blocks": found.thinking,
            "tool_calls": [{"id": call.id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "3"},
    ]


def test_text_reasoning_calls_and_usage(scripted: ScriptedServer, ask: Callable) -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 7,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
    }
    scripted.calls([("add", {"a": 1}), ("now", {})], text="Let me see", reasoning="hm", usage=usage)
    *pieces, whole = ask(model=MODEL, tools=True, reasoning_effort="low")
    assert "".join(p.text for p in pieces if isinstance(p, ReasoningPiece)) == "hm"
    assert (whole.text, whole.reasoning, whole.finish_reason) == ("Let me see", "hm", "tool_calls")
    assert [(c.name, json.loads(c.arguments)) for c in whole.tool_calls] == [
        ("add", {"a": 1}),
        ("now", {}),
    ]
    assert (whole.usage.prompt_tokens, whole.usage.cached_tokens) == (130, 100)
    assert whole.usage.completion_tokens == 7
    assert whole.usage.cost is not None
    assert whole.usage.cost > 0
    record = scripted.received[0]
    assert record.path == "/v1/messages"
    assert record.headers["x-api-key"] == "sk-ant-test"
    assert record.body["stream"] is True
    assert record.body["tools"][0]["name"] == "add"


def test_signed_thoughts_go_back(scripted: ScriptedServer, reply: Callable) -> None:
    scripted.calls([("add", {"a": 1})], reasoning="secret plan", signature="U0lH")
    found = reply(model=MODEL, tools=True, reasoning_effort="low")
    reply(history(found), model=MODEL, tools=True, reasoning_effort="low")
    reply(history(found), model="openai/scripted", tools=True)
    content = scripted.requests[1]["messages"][1]["content"]
    assert content[0] == {"type": "thinking", "thinking": "secret plan", "signature": "U0lH"}
    assert content[1]["type"] == "tool_use"
    assert "thinking_blocks" not in scripted.requests[2]["messages"][2]


def test_thoughts_of_another_provider_stay_away(scripted: ScriptedServer, reply: Callable) -> None:
    scripted.calls([("add", {"a": 1})])
    messages = history(reply(model=MODEL, tools=True))
    messages[2]["thinking_blocks"] = [
        {"type": "thinking", "thinking": "t", "signature": "s", "provider": "bedrock"}
    ]
    reply(messages, model=MODEL, tools=True, reasoning_effort="low")
    kinds = [block["type"] for block in scripted.requests[1]["messages"][1]["content"]]
    assert kinds == ["tool_use"]


def test_the_prefix_and_the_history_are_marked_for_the_cache(
    scripted: ScriptedServer, reply: Callable
) -> None:
    scripted.calls([("add", {"a": 1})])
    reply(history(reply(model=MODEL, tools=True)), model=MODEL, tools=True)
    body = scripted.requests[1]
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert json.dumps(body).count("cache_control") == 2


def test_redacted_thoughts(scripted: ScriptedServer, reply: Callable) -> None:
    redacted = {"type": "redacted_thinking", "data": "xyz"}
    scripted.raw(
        [
            {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": redacted},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "text", "text": "a"},
            },
            {"type": "ping"},
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "text_delta", "text": "b"},
            },
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 2},
            },
            {"type": "message_stop"},
        ]
    )
    found = reply(model=MODEL)
    assert found.text == "ab"
    assert [(b["type"], b["data"]) for b in found.thinking] == [("redacted_thinking", "xyz")]
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (1, 2)


@pytest.mark.parametrize(
    ("finish", "expected"), [("length", "length"), ("refusal", "content_filter"), ("stop", "stop")]
)
def test_stop_reasons(
    scripted: ScriptedServer, reply: Callable, finish: str, expected: str
) -> None:
    scripted.say("text", finish=finish)
    assert reply(model=MODEL).finish_reason == expected


def test_errors(scripted: ScriptedServer, ask: Callable) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    scripted.fault(529, body=error)
    scripted.raw([{"type": "message_start", "message": {}}, error])
    scripted.truncate()
    scripted.say("at last")
    pieces = ask(model=MODEL)
    assert sum(isinstance(p, Retrying) for p in pieces) == 3
    assert pieces[-1].text == "at last"
    scripted.overflow("anthropic")
    with pytest.raises(ModelError) as caught:
        ask(model=MODEL)
    assert caught.value.kind == "context_overflow"
    scripted.fault(401, message="invalid x-api-key")
    with pytest.raises(ModelError, match="ANTHROPIC_API_KEY"):
        ask(model=MODEL)


def test_a_server_of_ones_own_needs_no_key(
    scripted: ScriptedServer, reply: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert reply(model=MODEL).text == "Done."
    assert "x-api-key" not in scripted.received[0].headers


def test_without_streaming(scripted: ScriptedServer, reply: Callable) -> None:
    body = {
        "type": "message",
        "content": [
            {"type": "text", "text": "whole"},
            {"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    scripted.raw([json.dumps(body)], content_type="application/json")
    found = reply(model=MODEL, tools=True)
    assert found.text == "whole"
    assert [(c.id, c.arguments) for c in found.tool_calls] == [("t", '{"a": 1}')]


def test_the_form_of_an_answer_is_said_as_the_provider_has_it(
    scripted: ScriptedServer, ask: Callable
) -> None:
    scripted.judge = anthropic
    scripted.say('{"n": 3}')
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    request = {"tools": True, "response_format": ResponseFormat("count", schema, strict=True)}
    assert ask(model=MODEL, reasoning_effort="low", **request)[-1].text == '{"n": 3}'
    body = scripted.received[0].body
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": schema}
    assert "json_mode" not in body
    scripted.fault(400, message="output_config.format: structured outputs are not supported")
    scripted.call("give_answer", {"n": 4})
    assert ask(model=MODEL, **request)[-1].text == '{"n": 4}'
    assert scripted.received[-1].body["tool_choice"]["type"] == "any"
