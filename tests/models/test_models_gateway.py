"""Streams of OpenAI-compatible servers, over real HTTP."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
from scripted_server import ScriptedServer

from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatRequest,
    ReasoningPiece,
    Reply,
    TextPiece,
)
from letta_kernel.models.registry import open_model

pytestmark = pytest.mark.usefixtures("scripted")


def chunk(delta: dict, finish: str | None = None, **more: object) -> dict:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def call_delta(index: int | None, call_id: str = "", name: str = "", arguments: str = "") -> dict:
    call: dict = {"function": {"name": name, "arguments": arguments}, "id": call_id}
    if index is not None:
        call["index"] = index
    return chunk({"tool_calls": [call]})


def test_text_comes_in_pieces_and_whole(scripted: ScriptedServer, ask) -> None:
    scripted.say("Hello there, friend")
    *pieces, whole = ask()
    assert [type(p) for p in pieces] == [TextPiece] * 4
    assert "".join(p.text for p in pieces) == whole.text == "Hello there, friend"
    assert whole.finish_reason == "stop"
    assert whole.model == "openai/scripted"
    assert whole.first_token is not None
    assert whole.usage.prompt_tokens > 0
    assert whole.usage.cost is None
    body = scripted.requests[0]
    assert body["model"] == "scripted"
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert "tools" not in body


def test_native_reasoning(scripted: ScriptedServer, ask) -> None:
    scripted.reason("thinking hard", "done")
    *pieces, whole = ask()
    assert "".join(p.text for p in pieces if isinstance(p, ReasoningPiece)) == "thinking hard"
    assert (whole.reasoning, whole.text) == ("thinking hard", "done")
    assert whole.usage.reasoning_tokens > 0


def test_only_reasoning_is_handed_on(scripted: ScriptedServer, reply) -> None:
    scripted.reason("I wonder")
    found = reply()
    assert (found.reasoning, found.text) == ("I wonder", "")
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("pieces", [1, 3, 7, 100])
def test_think_tags_become_reasoning(scripted: ScriptedServer, reply, pieces: int) -> None:
    scripted.say("<think>\nhm < 3 </thin\n</think>\n\nThe answer <think> is", pieces=pieces)
    found = reply()
    assert found.reasoning.strip() == "hm < 3 </thin"
    assert found.text == "The answer <think> is"


@pytest.mark.parametrize("text", ["<thin ice", "<", "  <b>bold</b>", "<think>never closed"])
def test_what_only_looks_like_a_think_tag(scripted: ScriptedServer, reply, text: str) -> None:
    scripted.say(text, pieces=50)
    found = reply()
    assert found.text + found.reasoning == text.removeprefix("<think>")
    assert bool(found.reasoning) == text.startswith("<think>")


def test_parallel_calls_interleaved(scripted: ScriptedServer, ask) -> None:
    scripted.calls([("add", {"a": 1, "b": [2, 3]}), ("join", {"words": "x y"}), ("now", {})])
    *pieces, whole = ask(tools=True)
    assert [c.name for c in whole.tool_calls] == ["add", "join", "now"]
    assert json.loads(whole.tool_calls[0].arguments) == {"a": 1, "b": [2, 3]}
    assert whole.finish_reason == "tool_calls"
    by_index: dict[int, str] = {}
    for piece in pieces:
        assert isinstance(piece, CallPiece)
        by_index[piece.index] = by_index.get(piece.index, "") + piece.arguments
    assert by_index == {i: c.arguments for i, c in enumerate(whole.tool_calls)}
    assert {p.id for p in pieces if p.id} == {c.id for c in whole.tool_calls}
    order = [p.index for p in pieces]
    assert order != sorted(order)
    assert scripted.requests[0]["tools"][0]["function"]["name"] == "add"


def test_two_calls_with_one_id_get_their_own(scripted: ScriptedServer, reply) -> None:
    scripted.calls([("add", {"a": 1}), ("add", {"a": 2})], ids=["same", "same"])
    first, second = reply(tools=True).tool_calls
    assert first.id == "same"
    assert second.id != "same"
    assert (first.arguments, second.arguments) == ('{"a": 1}', '{"a": 2}')


def test_calls_of_careless_servers(scripted: ScriptedServer, reply) -> None:
    """All with index 0; without index; without id; a name in pieces; a name repeated."""
    end = chunk({}, "stop")
    scripted.raw([call_delta(0, "a", "add", '{"a":1}'), call_delta(0, "b", "now", "{}"), end])
    assert [(c.id, c.name) for c in reply().tool_calls] == [("a", "add"), ("b", "now")]
    scripted.raw([call_delta(None, "a", "add", '{"a"'), call_delta(None, "", "", ":1}"), end])
    assert [(c.id, c.arguments) for c in reply().tool_calls] == [("a", '{"a":1}')]
    scripted.raw([call_delta(0, "", "add", "{}"), call_delta(1, "", "add", "{}"), end])
    one, two = reply().tool_calls
    assert one.id
    assert one.id != two.id
    scripted.raw(
        [call_delta(0, "a", "get_"), call_delta(0, "", "time"), call_delta(0, "", "", "{}"), end]
    )
    assert reply().tool_calls[0].name == "get_time"
    scripted.raw([call_delta(0, "a", "add", "{"), call_delta(0, "a", "add", "}"), end])
    found = reply()
    assert [(c.name, c.arguments) for c in found.tool_calls] == [("add", "{}")]
    assert found.finish_reason == "tool_calls"


@pytest.mark.parametrize("raw", ['{"a": 1', "not json", '{"a": 1}}', '["x"]'])
def test_malformed_arguments_are_handed_on_as_they_are(
    scripted: ScriptedServer, reply, raw: str
) -> None:
    scripted.call("add", raw)
    assert reply(tools=True).tool_calls[0].arguments == raw


@pytest.mark.parametrize(
    ("finish", "expected"),
    [("length", "length"), ("content_filter", "content_filter"), ("eos", "stop"), ("odd", "stop")],
)
def test_finish_reasons(scripted: ScriptedServer, reply, finish: str, expected: str) -> None:
    scripted.say("some text", finish=finish)
    found = reply()
    assert (found.text, found.finish_reason) == ("some text", expected)


def test_characters_cut_in_half(scripted: ScriptedServer, ask) -> None:
    scripted.raw([chunk({"content": "a\ud83d"}), chunk({"content": "\ude00b"}), chunk({}, "stop")])
    *pieces, whole = ask()
    assert whole.text == "a\U0001f600b"
    assert "".join(p.text for p in pieces) == whole.text
    whole.text.encode()


def test_bytes_that_are_not_utf8_are_replaced(scripted: ScriptedServer, reply) -> None:
    scripted.non_utf8("Gr\u00fc\u00dfe aus Wien")
    text = reply().text
    assert text.startswith("Gr")
    assert text.endswith("e aus Wien")
    assert "\ufffd" in text


def test_an_enormous_answer(scripted: ScriptedServer, reply) -> None:
    scripted.enormous(3_000_000, pieces=3)
    assert len(reply().text) == 3_000_000


def test_lines_split_anywhere_and_comments(scripted: ScriptedServer, reply) -> None:
    data = json.dumps(chunk({"content": "split well"})).encode()
    scripted.raw(
        [
            b": PROCESSING\n\nevent: ping\r\nretry: 5\r\nda",
            b"ta:" + data[:30],
            data[30:] + b"\r\n\r\ndata: ",
            json.dumps(chunk({}, "stop")).encode() + b"\n\n",
            b"data: [DONE]",
        ]
    )
    assert reply().text == "split well"


def test_a_stream_without_done_but_finished_is_whole(scripted: ScriptedServer, reply) -> None:
    scripted.raw([chunk({"content": "all"}), chunk({}, "stop")])
    assert reply().text == "all"
    scripted.raw([chunk({"content": "all"}), b"data: [DONE]\n\n"])
    assert reply().text == "all"


def test_a_server_that_does_not_stream(scripted: ScriptedServer, reply) -> None:
    message = {"role": "assistant", "content": "plain", "tool_calls": None}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    scripted.raw([json.dumps(body)], content_type="application/json")
    assert reply().text == "plain"


def test_content_in_parts(scripted: ScriptedServer, reply) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [thinking, {"type": "text", "text": "yes"}]
    scripted.raw([chunk({"content": parts}), chunk({}, "stop")])
    found = reply()
    assert (found.reasoning, found.text) == ("hm", "yes")


def test_usage_in_its_dialects_and_cost(scripted: ScriptedServer, reply) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    scripted.say("x", usage=usage)
    found = reply(model="openai/gpt-5-mini").usage
    assert (found.prompt_tokens, found.cached_tokens, found.reasoning_tokens) == (1000, 600, 40)
    assert found.cost == pytest.approx(400 * 0.25e-6 + 600 * 0.025e-6 + 100 * 2e-6)
    scripted.say("x", usage={"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "cost": 0.5})
    found = reply().usage
    assert (found.cached_tokens, found.cost) == (4, 0.5)


def test_parameters_in_the_models_words(scripted: ScriptedServer, ask) -> None:
    ask(tools=True, temperature=0.3, max_tokens=50, top_k=3)
    ask(
        tools=True,
        temperature=0.3,
        max_tokens=50,
        reasoning_effort="low",
        model="openai/gpt-5-mini",
    )
    plain, thinker = scripted.requests
    assert (plain["temperature"], plain["max_tokens"], plain["top_k"]) == (0.3, 50, 3)
    assert thinker["max_completion_tokens"] == 50
    assert thinker["reasoning_effort"] == "low"
    assert "temperature" not in thinker  # refused by this model, so it is left out


def test_the_callers_messages_are_not_touched(scripted: ScriptedServer) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u \ud800 \u00fc"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call],
            "thinking_blocks": [{"type": "x"}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]
    before = copy.deepcopy(messages)
    for model in ("openai/scripted", "groq/x", "anthropic/claude-x"):
        params = {"api_base": scripted.url, "retry": {"tries": 1}}
        list(open_model(model).stream(ChatRequest(messages, params=params), Cancel()))
        assert messages == before
    sent = scripted.requests[0]["messages"]
    assert "thinking_blocks" not in sent[2]
    assert sent[1]["content"] == "u ? \u00fc"


def test_one_connection_serves_all_calls(scripted: ScriptedServer, ask) -> None:
    ask()
    opened = scripted.connections
    for _ in range(5):
        ask()
    assert scripted.connections == opened


def test_no_key_is_sent_where_none_is_set(
    scripted: ScriptedServer, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    monkeypatch.delenv("OPENAI_API_KEY")
    ask()
    first, second = [r for r in scripted.received if r.path.endswith("/completions")]
    assert first.headers["authorization"] == "Bearer test"
    assert "authorization" not in second.headers


def test_other_providers_of_the_same_wire(
    scripted: ScriptedServer, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", scripted.url)
    monkeypatch.setenv("GROQ_API_KEY", "gsk-test")
    assert ask(model="hosted_vllm/qwen")[-1].text == "Done."
    assert ask(model="groq/some/model", api_base=scripted.url)[-1].text == "Done."
    assert [r["model"] for r in scripted.requests] == ["qwen", "some/model"]


def test_reasoning_goes_back_to_those_who_want_it(
    scripted: ScriptedServer, reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "test-key")
    scripted.calls([("add", {"a": 1})], reasoning="I should add")
    model = "deepseek/deepseek-chat"
    found = reply(model=model, api_base=scripted.url, tools=True)
    call = found.tool_calls[0]
    history = [
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": None,
            "thinking_blocks": found.thinking,
            "tool_calls": [
                {"id": call.id, "type": "function", "function": {"name": "add", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "1"},
    ]
    reply(history, model=model, api_base=scripted.url, tools=True)
    reply(history, tools=True)
    own, other = (r["messages"][1] for r in scripted.requests[1:])
    assert own["reasoning_content"] == "I should add"
    assert "reasoning_content" not in other
    assert "thinking_blocks" not in other


def test_openrouters_reasoning_details_go_back(
    scripted: ScriptedServer, reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "test-key")
    detail = {"type": "reasoning.text", "index": 0, "text": "ab", "signature": None}
    more = {"type": "reasoning.text", "index": 0, "text": "cd", "signature": "s"}
    scripted.raw(
        [
            chunk({"reasoning": "ab", "reasoning_details": [detail]}),
            chunk({"reasoning": "cd", "reasoning_details": [more]}),
            chunk({"content": "ok"}),
            chunk({}, "stop"),
        ]
    )
    model = "openrouter/maker/model"
    found = reply(model=model, api_base=scripted.url)
    assert found.reasoning == "abcd"
    history = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "ok", "thinking_blocks": found.thinking},
        {"role": "user", "content": "go on"},
    ]
    reply(history, model=model, api_base=scripted.url)
    sent = scripted.requests[1]["messages"][1]["reasoning_details"]
    assert sent == [{"type": "reasoning.text", "index": 0, "text": "abcd", "signature": "s"}]


def test_opening_a_model_imports_nothing_heavy() -> None:
    program = (
        "import sys; from letta_kernel.models.registry import open_model, choose_model;"
        "heavy = {'litellm', 'httpx', 'openai', 'numpy', 'tenacity'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "m = open_model('openai/gpt-5-mini'); assert m.context_window == 272000;"
        "assert m.supports_tools and m.supports_reasoning;"
        "assert not {'litellm', 'openai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nothing_is_printed(
    scripted: ScriptedServer, ask, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match="No provider is known"):
        ask(model="nobody/knows")
    ask()
    assert capfd.readouterr() == ("", "")


def test_a_reply_is_always_last_and_alone(scripted: ScriptedServer, ask) -> None:
    scripted.say("x")
    pieces = ask()
    assert [isinstance(p, Reply) for p in pieces] == [False] * (len(pieces) - 1) + [True]
