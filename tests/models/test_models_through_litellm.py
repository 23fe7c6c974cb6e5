"""Providers that litellm.completion serves: the same streams, faults and stops, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from scripted_server import ScriptedServer

from letta_kernel.models.base import Cancel, ChatRequest, ModelError, ReasoningPiece
from letta_kernel.models.registry import open_model

GEMINI = "gemini/gemini-3.5-flash"
OLLAMA = "ollama/small"
AZURE = "azure/mine"


@pytest.fixture(autouse=True)
def _at_the_scripted_server(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    root = scripted.url.removesuffix("/v1")
    monkeypatch.setenv("OLLAMA_HOST", root)
    monkeypatch.setenv("GEMINI_API_KEY", "test-key-gemini")
    monkeypatch.setenv("GEMINI_API_BASE", root)
    monkeypatch.setenv("AZURE_API_KEY", "test-key-azure")
    monkeypatch.setenv("AZURE_API_BASE", root)
    monkeypatch.setenv("AZURE_API_VERSION", "2025-01-01-preview")


def ollama(server: ScriptedServer, *messages: dict, done: bool = True) -> None:
    lines = [
        {"model": "small", "message": {"role": "assistant", **m}, "done": False} for m in messages
    ]
    if done:
        end = {"role": "assistant", "content": ""}
        counts = {"done_reason": "stop", "prompt_eval_count": 5, "eval_count": 7}
        lines.append({"model": "small", "message": end, "done": True, **counts})
    server.raw([json.dumps(line) + "\n" for line in lines], content_type="application/x-ndjson")


def gemini(parts: list[dict], finish: str | None = None) -> dict:
    candidate: dict = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
    return {"candidates": [candidate], "usageMetadata": counts}


def test_ollama(scripted: ScriptedServer, ask: Callable) -> None:
    ollama(scripted, {"content": "", "thinking": "hm"}, {"content": "Hel"}, {"content": "lo"})
    *pieces, whole = ask(model=OLLAMA)
    assert "".join(p.text for p in pieces if isinstance(p, ReasoningPiece)) == "hm"
    assert (whole.text, whole.model) == ("Hello", OLLAMA)
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (5, 7)
    assert scripted.received[-1].path == "/api/chat"
    assert scripted.requests[-1]["options"]["num_ctx"] == 8192
    assert open_model(OLLAMA).context_window == 8192


def test_ollamas_calls_have_ids_of_their_own(scripted: ScriptedServer, reply: Callable) -> None:
    calls = [{"function": {"name": "add", "arguments": {"a": n}}} for n in (1, 2)]
    ollama(scripted, {"content": "", "tool_calls": calls})
    found = reply(model=OLLAMA, tools=True).tool_calls
    assert [json.loads(c.arguments) for c in found] == [{"a": 1}, {"a": 2}]
    assert len({c.id for c in found}) == 2


def test_gemini_and_the_signature_of_its_call(scripted: ScriptedServer, reply: Callable) -> None:
    part = {"functionCall": {"name": "add", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    scripted.raw([gemini([{"text": "so", "thought": True}]), gemini([part], "STOP")])
    found = reply(model=GEMINI, tools=True)
    assert found.reasoning == "so"
    assert found.finish_reason == "tool_calls"
    assert found.usage.cost is not None
    call = found.tool_calls[0]
    history = [
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": None,
            "thinking_blocks": found.thinking,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "1"},
    ]
    scripted.raw([gemini([{"text": "Done"}], "STOP")])
    assert reply(history, model=GEMINI, tools=True).text == "Done"
    assert '"thoughtSignature": "c2ln"' in json.dumps(scripted.requests[1]["contents"])


def test_azure(scripted: ScriptedServer, reply: Callable) -> None:
    scripted.calls([("add", {"a": 1}), ("now", {})])
    found = reply(model=AZURE, tools=True)
    assert [(c.id, c.name) for c in found.tool_calls] == [
        ("call_0001", "add"),
        ("call_0002", "now"),
    ]
    assert scripted.received[0].headers["api-key"] == "test-key-azure"


def test_openais_responses(scripted: ScriptedServer, reply: Callable) -> None:
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    text = {"type": "output_text", "text": "Hello", "annotations": []}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    response = {"id": "r", "object": "response", "created_at": 1, "model": "scripted", "output": []}
    whole = {
        **response,
        "output": [{**item, "content": [text]}],
        "status": "completed",
        "usage": usage,
    }
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    scripted.raw(
        [
            {"type": "response.created", "response": {**response, "status": "in_progress"}},
            {"type": "response.output_text.delta", "delta": "Hel", **place},
            {"type": "response.output_text.delta", "delta": "lo", **place},
            {"type": "response.completed", "response": whole},
        ]
    )
    found = reply(model="openai/responses/gpt-5.4")
    assert found.text == "Hello"
    assert found.usage.prompt_tokens == 3
    assert scripted.received[-1].path == "/v1/responses"


@pytest.mark.parametrize("model", [OLLAMA, GEMINI, AZURE])
def test_a_truncated_stream_is_noticed(scripted: ScriptedServer, ask: Callable, model: str) -> None:
    if model == OLLAMA:
        ollama(scripted, {"content": "Hal"}, done=False)
    elif model == GEMINI:
        scripted.raw([gemini([{"text": "Hal"}])])
    else:
        scripted.truncate()
    with pytest.raises(ModelError) as caught:
        ask(model=model, retry={"tries": 1})
    assert caught.value.kind == "broken_stream"
    assert caught.value.partial is not None
    assert caught.value.partial.text.startswith("Hal")


@pytest.mark.parametrize("model", [OLLAMA, GEMINI, AZURE])
@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "no such key", "refused_key"),
        (404, "model 'small' not found", "unknown_model"),
        (429, "slow down", "rate_limit"),
        (500, "oops", "overloaded"),
        (503, "overloaded", "overloaded"),
        (400, "prompt is too long: 9 tokens > 8 maximum", "context_overflow"),
    ],
)
def test_statuses(
    scripted: ScriptedServer, ask: Callable, model: str, status: int, message: str, kind: str
) -> None:
    scripted.fault(status, message=message, headers={"Retry-After": "300"}, times=3)
    with pytest.raises(ModelError) as caught:
        ask(model=model, retry={"tries": 1})
    text = str(caught.value)
    assert caught.value.kind == kind
    assert message in text
    assert "litellm" not in text
    assert "\n" not in text


def test_retry_after_is_heard_through_litellm(scripted: ScriptedServer, ask: Callable) -> None:
    scripted.fault(429, headers={"Retry-After": "0.3"})
    scripted.raw([gemini([{"text": "Done"}], "STOP")])
    retry, *_, whole = ask(model=GEMINI)
    assert retry.seconds == pytest.approx(0.3)
    assert whole.text == "Done"


@pytest.mark.parametrize("model", [OLLAMA, GEMINI, AZURE])
def test_it_can_be_stopped(scripted: ScriptedServer, model: str) -> None:
    scripted.hang(30)
    cancel = Cancel()
    chat = open_model(model)
    threading.Thread(
        target=lambda: (scripted.wait_for(1).over.wait(0.15), cancel.cancel()), daemon=True
    ).start()
    with pytest.raises(ModelError) as caught:
        list(chat.stream(ChatRequest([{"role": "user", "content": "hi"}]), cancel))
    assert caught.value.kind == "cancelled"
    record = scripted.received[0]
    assert record.over.wait(20)
    assert record.disconnected


def test_closing_the_stream_ends_the_request(scripted: ScriptedServer) -> None:
    scripted.raw([gemini([{"text": "Hal"}]), 30])
    stream = open_model(GEMINI).stream(ChatRequest([{"role": "user", "content": "hi"}]), Cancel())
    next(stream)
    stream.close()
    assert scripted.received[0].over.wait(20)
    assert scripted.received[0].disconnected


def test_silence(scripted: ScriptedServer, ask: Callable) -> None:
    for model in (GEMINI, AZURE, OLLAMA):
        scripted.hang(30)
        with pytest.raises(ModelError) as caught:
            ask(model=model, retry={"first": 0.2, "tries": 1})
        assert caught.value.kind == "timeout"


def test_nothing_listens(ask: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(ModelError) as caught:
        ask(model=OLLAMA, retry={"tries": 1})
    assert caught.value.kind == "unreachable"
    assert "OLLAMA_HOST" in str(caught.value)


def test_it_is_quiet(
    scripted: ScriptedServer, ask: Callable, capfd: pytest.CaptureFixture[str]
) -> None:
    scripted.raw([gemini([{"text": "Done"}], "STOP")])
    ask(model=GEMINI)
    scripted.fault(400, message="odd")
    with pytest.raises(ModelError):
        ask(model=GEMINI, retry={"tries": 1})
    assert capfd.readouterr() == ("", "")
