"""Requests and prices made here and by the installed litellm: the same, or the one that drifted is found."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
from scripted_server import ScriptedServer

from letta_kernel.models import costs, keys, library, routes
from letta_kernel.models.base import ChatRequest
from letta_kernel.models.wire import shape

PICTURE = "data:image/png;base64,iVBORw0KGgo="
USER = {"role": "user", "content": "hi"}
CALLS = [
    {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
    {"id": "b", "type": "function", "function": {"name": "now", "arguments": ""}},
]
CHATS: dict[str, list[dict[str, Any]]] = {
    "one": [USER],
    "turns": [
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "a", "content": '{"status": "OK"}'},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
        {"role": "assistant", "content": "It is noon."},
        {"role": "user", "content": "Grüße, 世界"},
    ],
    "pictures": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": PICTURE}, "text": "a picture"},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": CALLS[:1]},
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [
                {"type": "text", "text": "found"},
                {"type": "image_url", "image_url": {"url": PICTURE}, "text": "another"},
            ],
        },
    ],
}
ODD_CHATS: dict[str, list[dict[str, Any]]] = {
    "blank": [
        USER,
        {"role": "assistant", "content": "\n\n", "tool_calls": CALLS[:1]},
        {"role": "tool", "tool_call_id": "a", "content": " \n"},
        {"role": "assistant", "content": None, "tool_calls": CALLS[1:]},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "assistant", "content": "", "tool_calls": CALLS[:1]},
        {"role": "tool", "tool_call_id": "a", "content": "done"},
        {"role": "assistant", "content": " "},
        {"role": "user", "content": "\n"},
    ],
    "parts": [
        {"role": "system", "content": [{"type": "text", "text": t} for t in ("Be", "brief.")]},
        {"role": "user", "name": "ada", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": [{"type": "text", "text": t} for t in ("ho", "\n", "ha")]},
        {
            "role": "user",
            "content": [{"type": "text", "text": " "}, {"type": "text", "text": "so"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": " "}], "tool_calls": CALLS[:1]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "\n"}]},
    ],
    "named": [USER | {"name": "ada"}],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"About {name}",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": "integer", "minimum": 1},
                    "more": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}},
                },
                "required": ["a"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("add", "now")
]
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "n",
        "schema": {"type": "object", "properties": {"x": {"type": "string"}}},
    },
}
PARAMS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.3, "max_tokens": 100, "top_p": None},
    {"temperature": 1, "max_completion_tokens": 50, "parallel_tool_calls": False},
    {"top_p": 0.5, "stop": ["END", " "], "parallel_tool_calls": True},
    {"seed": 7, "presence_penalty": 0.5, "frequency_penalty": 0.1, "logit_bias": {"1": 2}, "n": 1},
    {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "logprobs": True, "top_logprobs": 2},
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"reasoning_effort": "low"},
    {"reasoning_effort": "max"},
    {"response_format": FORM},
    {"response_format": {"type": "json_object"}, "max_tokens": 20},
    {"thinking": {"type": "enabled", "budget_tokens": 2000}},  # litellm's
    {"service_tier": "flex", "user": "u"},  # litellm's
]
CHOICES = [None, "auto", "required", "none", {"type": "function", "function": {"name": "now"}}]
MODELS = [
    *(f"openai/{name}" for name in (
        "gpt-4o", "gpt-4", "gpt-4.1", "gpt-5-mini", "gpt-5.1", "o1", "o3", "o3-mini", "unheard-of",
        "gpt-5-chat-latest", "gpt-5-search-api", "gpt-4o-audio-preview",
    )),
    *(f"openrouter/{name}" for name in (
        "openai/gpt-5-mini", "anthropic/claude-sonnet-5", "maker/model",
    )),
    "groq/openai/gpt-oss-120b", "groq/some", "mistral/mistral-medium-latest", "mistral/magistral-medium-latest",
    "cerebras/gpt-oss-120b", "deepinfra/openai/gpt-oss-120b", "nvidia_nim/openai/gpt-oss-120b",
    "nebius/some", "github/gpt-4o", "wandb/some", "groq/compound", "mistral/mistral-large-latest",
    "hosted_vllm/Qwen/Qwen3", "lm_studio/some", "llamafile/some",
    *(f"anthropic/claude-{name}" for name in (
        "sonnet-5", "sonnet-4-5", "haiku-4-5", "opus-4-6",
    )),
    *(f"gemini/gemini-{name}" for name in ("3.5-flash", "2.5-pro", "2.5-flash", "3.6-flash", "exp-1206")),
]  # fmt: skip
LITELLMS = {
    f"openai/{name}" for name in ("o1", "o3", "o3-mini", "gpt-5-search-api", "gpt-4o-audio-preview")
}
OLDER = tuple(map(int, version("litellm").split(".")[:2])) < (1, 110)
ELSEWHERE = "http://127.0.0.1:9/v1/"


def _both(name: str, chat: str, tools: bool, choice: Any, params: dict[str, Any], base: str) -> Any:
    """Return what is made here (None if litellm has to) and what litellm makes, of one call."""
    given = {**params, **({"api_base": base} if base else {})}
    request = ChatRequest((CHATS | ODD_CHATS)[chat], TOOLS if tools else [], choice, given)
    route = routes.resolve(name, request, given)
    form = routes._FORMS.get(route.wire_format)
    if form is None:
        return None, None
    made = []
    shaped = [shape(route.provider, route.model, request) for _ in range(2)]
    made.append(form(route.provider, route.model, route.base, route.key, shaped[0], given))
    if made[0] is None:
        return None, None
    made.append(route._by_litellm(shaped[1], given))
    return [_plain(route, *one) for one in made]


def _plain(route: routes.Route, url: str, headers: dict[str, Any], body: dict[str, Any]) -> Any:
    kept = {name.lower(): value for name, value in headers.items() if value is not None}
    if route.key is None and route.elsewhere:  # litellm invents one, which is taken out
        kept.pop("authorization", None)
        kept.pop("x-api-key", None)
    kept.pop("content-type", None)
    if "tools" not in body:
        body.pop("tool_choice", None)  # Anthropic refuses it then
    if OLDER:  # it left out an effort it knew nothing of, and named Gemini's own temperature
        body.pop("reasoning_effort", None)
        if body.get("generationConfig", {}).get("temperature") == 1:
            config = {k: v for k, v in body["generationConfig"].items() if k != "temperature"}
            body = {k: v for k, v in body.items() if k != "generationConfig"}
            body |= {"generationConfig": config} if config else {}
    return {"url": url, "headers": kept, "body": json.loads(json.dumps(body))}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in {name.partition("/")[0] for name in MODELS}:
        if variables := keys.VARIABLES.get(provider):
            monkeypatch.setenv(variables[0], "key-1")


@pytest.mark.parametrize("name", MODELS)
def test_requests_are_those_of_litellm(name: str) -> None:
    known = 0
    calls = itertools.chain(
        (
            (chat, tools, None, params)
            for chat in CHATS
            for tools in (True, False)
            for params in PARAMS
        ),
        (("one", True, choice, params) for choice in CHOICES for params in PARAMS[:4]),
        ((chat, True, None, {}) for chat in ODD_CHATS),
    )
    bases = ("", ELSEWHERE) if name.startswith("openai/") else ("",)
    for (chat, tools, choice, params), base in itertools.product(calls, bases):
        ours, theirs = _both(name, chat, tools, choice, params, base)
        assert ours == theirs, (chat, tools, choice, params, base)
        known += ours is not None
    assert known or name in LITELLMS


PROGRAM = """
import sys
from letta_kernel.models.base import Cancel, ChatRequest
from letta_kernel.models.registry import get_ready, open_model

for name in ("openai/gpt-5-mini", "anthropic/claude-sonnet-5", "gemini/gemini-3.5-flash"):
    get_ready(name)
    model = open_model(name)
    assert not model.loading
    *_, reply = model.stream(ChatRequest([{"role": "user", "content": "hi"}]), Cancel())
    assert reply.text == "Done." and reply.usage.cost > 0, reply
assert "litellm" not in sys.modules
"""


def test_an_answer_with_its_price_comes_without_litellm(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = scripted.url.removesuffix("/v1")
    for provider in ("ANTHROPIC", "GEMINI"):
        monkeypatch.setenv(f"{provider}_API_BASE", root)
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
    assert len(scripted.requests) == 3


def test_prices_are_those_of_litellm() -> None:
    litellm = library.litellm()
    counts = (
        (100, 10, 0, 0),
        (1000, 0, 400, 100),
        (300_000, 900, 280_000, 30_000),
        (900, 90, 950, 0),
    )
    checked = 0
    names = {
        f"{provider}/{name.removeprefix(f'{provider}/')}"
        for name, row in litellm.model_cost.items()
        if (provider := row.get("litellm_provider")) in costs._PLAIN_PRICES
        and row.get("mode") in ("chat", "responses")
    }
    for name, (prompt, completion, cached, written) in itertools.product(sorted(names), counts):
        provider, _, model = name.partition("/")
        tokens = {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": cached}
        row = costs._row(provider, model)
        assert row is not None, name
        if OLDER and (cached or written) and not row.keys() >= set(costs._RATES):
            continue  # it priced what is cached at nothing where no price is named
        if row["litellm_provider"] != provider:
            continue
        if (ours := costs._price(row, tokens, written)) is None:
            continue
        theirs = costs._price_of_litellm(provider, model, tokens, written)
        assert ours == pytest.approx(theirs, rel=1e-9), (name, tokens, written)
        checked += 1
    assert checked > 400
    once = {"prompt_tokens": 100, "completion_tokens": 10, "cached_tokens": 0}
    for name, row in list(litellm.model_cost.items())[
        ::10
    ]:  # models that others serve by that name
        if row.get("mode") == "chat" and row.get("litellm_provider") != "openai":
            assert costs._cost("openai/x", "openai", name, {}, once) is None
            assert costs._price_of_litellm("openai", name, once, 0) is None, name
