"""What we rely on inside litellm, name by name: each is there and does what our calls need of it.

pyproject.toml lets no newer litellm in than one this was run with; raise that bound once this passes.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripted_server import ScriptedServer

import letta_kernel.models
from letta_kernel import lazy_import
from letta_kernel.models import facts, gemini, library, tokens, transport
from letta_kernel.models.providers import CHAT_ADDRESSES
from letta_kernel.models.registry import providers

MODELS = Path(letta_kernel.models.__file__).parent
MESSAGES = [{"role": "user", "content": "hi"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
    }
]


@pytest.fixture(scope="module")
def litellm() -> ModuleType:
    return library.litellm()


def chat_config(litellm: ModuleType) -> None:
    for provider, model in [("anthropic", "claude-sonnet-5"), *((p, "m") for p in CHAT_ADDRESSES)]:
        config = litellm.utils.ProviderConfigManager.get_provider_chat_config(
            model, litellm.LlmProviders(provider)
        )
        base = "https://example.org/v1"
        limits = {"custom_llm_provider": provider, "api_base": base}
        headers = config.validate_environment({}, model, MESSAGES, {}, limits, "key-1", base)
        assert "key-1" in json.dumps(headers), provider
        assert config.get_complete_url(base, "key-1", model, {}, limits, True).startswith(base), (
            provider
        )
        body = config.transform_request(model, list(MESSAGES), {"max_tokens": 5}, limits, headers)
        assert body["messages"], provider
        assert body["max_tokens"] == 5, provider


def get_optional_params(litellm: ModuleType) -> None:
    made = litellm.utils.get_optional_params(
        model="claude-sonnet-5",
        custom_llm_provider="anthropic",
        tools=TOOLS,
        tool_choice="required",
        stream=True,
        stream_options={"include_usage": True},
        drop_params=True,
        max_tokens=5,
        seed=1,  # which it does not know
    )
    assert made["tools"][0]["name"] == "add"
    assert made["tool_choice"] == {"type": "any"}
    assert made["max_tokens"] == 5
    assert "seed" not in made


def responses_api_bridge_check(litellm: ModuleType) -> None:
    given: dict[str, Any] = {"custom_llm_provider": "openai", "tools": TOOLS, "api_base": None}
    check = litellm.main.responses_api_bridge_check
    assert check(model="o1-pro", reasoning_effort=None, **given)[0]["mode"] == "responses"
    assert check(model="gpt-4o", reasoning_effort=None, **given)[0].get("mode") != "responses"


def get_llm_provider(litellm: ModuleType) -> None:
    model, provider, _, base = litellm.get_llm_provider(model="groq/llama-3", api_base=None)
    assert (model, provider) == ("llama-3", "groq")
    assert str(base).startswith("https://")
    with pytest.raises(Exception, match="nobody"):
        litellm.get_llm_provider(model="nobody-knows-this", api_base=None)


def validate_environment(litellm: ModuleType) -> None:
    found = litellm.validate_environment(model="cohere/command-r")
    assert found["keys_in_environment"] is False
    assert found["missing_keys"] == ["COHERE_API_KEY"]


def cost_per_token(litellm: ModuleType) -> None:
    details = litellm.types.utils.PromptTokensDetailsWrapper(
        cached_tokens=50, cache_creation_tokens=0
    )
    usage = litellm.Usage(
        prompt_tokens=100,
        completion_tokens=10,
        total_tokens=110,
        prompt_tokens_details=details,
        cache_read_input_tokens=50,
        cache_creation_input_tokens=0,
    )
    entry = litellm.model_cost["gpt-4o"]
    parts = litellm.cost_per_token(model="gpt-4o", custom_llm_provider="openai", usage_object=usage)
    read, write = entry["cache_read_input_token_cost"], entry["output_cost_per_token"]
    wanted = 50 * entry["input_cost_per_token"] + 50 * read + 10 * write
    assert sum(parts) == pytest.approx(wanted)


def clients(litellm: ModuleType) -> None:
    """Settings of the module that hold while one of our calls is made."""
    cache = litellm.LLMClientCache()
    cache.set_cache("a", 1)
    assert cache.get_cache("a") == 1
    with library.our_settings():
        assert litellm.client_session is transport.client()
        assert litellm.sync_transport is transport.transport()
        from litellm.llms.custom_httpx.http_handler import HTTPHandler

        assert HTTPHandler().client._transport is transport.transport()
    for name in set(library._ours()) - {"sync_transport"}:  # which it only looks for
        assert hasattr(litellm, name), f"litellm has no setting {name} any more"


def calls(litellm: ModuleType) -> None:
    for function in (litellm.completion, litellm.embedding):
        taken = inspect.signature(function).parameters
        named = {"model", "timeout"} | ({"messages", "tools", "stream"} & set(taken))
        assert named <= set(taken)
        assert any(
            one.kind is one.VAR_KEYWORD for one in taken.values()
        )  # retries, keys, addresses


def gemini_parts(litellm: ModuleType) -> None:
    url, body = gemini.request_of(
        "gemini-3.5-flash", gemini.HOME, list(MESSAGES), {"temperature": 0.5}
    )
    assert re.fullmatch(
        rf"{gemini.HOME}/v1\w*/models/gemini-3.5-flash:streamGenerateContent.*", url
    )
    assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]
    assert body["generationConfig"]["temperature"] == 0.5
    assert lazy_import.load(gemini._URLS)


def files(litellm: ModuleType) -> None:
    """Read without importing litellm: its table of models, its tokenizer, the names of its providers."""
    folder = Path(str(litellm.__file__)).parent
    assert json.loads((folder / facts._TABLE).read_bytes()).keys() >= {"gpt-4o", "gpt-4o-mini"}
    assert (folder / tokens._FILE).stat().st_size > 1_000_000
    assert {"bedrock", "cohere", "vertex_ai", "ollama"} <= providers()


CONTRACTS: dict[str, Callable[[ModuleType], None]] = {
    "utils.ProviderConfigManager": chat_config,
    "LlmProviders": chat_config,
    "utils.get_optional_params": get_optional_params,
    "main": responses_api_bridge_check,
    "get_llm_provider": get_llm_provider,
    "validate_environment": validate_environment,
    "model_cost": cost_per_token,
    "Usage": cost_per_token,
    "types.utils.PromptTokensDetailsWrapper": cost_per_token,
    "cost_per_token": cost_per_token,
    "LLMClientCache": clients,
    "completion": calls,
    "embedding": calls,
    "llms.vertex_ai.gemini.transformation": gemini_parts,
    "llms.vertex_ai.common_utils": gemini_parts,
    "its files": files,
}


@pytest.mark.parametrize(
    "contract", dict.fromkeys(CONTRACTS.values()), ids=lambda one: one.__name__
)
def test_it_does_what_we_rely_on(
    contract: Callable[[ModuleType], None], litellm: ModuleType
) -> None:
    contract(litellm)


def test_a_stream_it_ends_itself_says_so(litellm: ModuleType, scripted: ScriptedServer) -> None:
    """What tells a cut answer from a whole one, and what a stream is closed by."""
    scripted.say("Whole.")
    with library.our_settings():
        stream = litellm.completion(
            model="openai/x", messages=MESSAGES, stream=True, api_base=scripted.url, api_key="k"
        )
        data = [next(stream).model_dump(exclude_none=True)]
        assert hasattr(stream.completion_stream, "close")
        data += [chunk.model_dump(exclude_none=True) for chunk in stream]
    assert (
        "".join(one["choices"][0]["delta"].get("content", "") for one in data if one["choices"])
        == "Whole."
    )
    assert stream.received_finish_reason == "stop"
    assert stream.intermittent_finish_reason in (None, "stop")


def test_its_errors_carry_what_we_read(litellm: ModuleType, scripted: ScriptedServer) -> None:
    for name in ("ContextWindowExceededError", "ContentPolicyViolationError", "Timeout"):
        assert issubclass(getattr(litellm, name), Exception)
    scripted.fault(429, message="Slow down.", headers={"retry-after": "7"})
    with library.our_settings(), pytest.raises(litellm.RateLimitError) as caught:
        litellm.completion(
            model="openai/x", messages=MESSAGES, api_base=scripted.url, api_key="k", max_retries=0
        )
    assert caught.value.status_code == 429
    assert "Slow down." in caught.value.message
    assert caught.value.response.headers["retry-after"] == "7"


def test_nothing_else_of_it_is_used() -> None:
    used = set()
    for path in [*MODELS.glob("*.py"), *(MODELS / "local").glob("*.py")]:
        text = path.read_text("utf-8")
        if "litellm" not in text or path.name == "embedding_static.py":
            continue
        text = re.sub(r'"""[\s\S]*?"""|#.*', "", text)
        used |= set(re.findall(r"\b(?:litellm\(\)|module|litellm)\.((?:[a-z_]+\.)*\w+)", text))
    assert used <= set(CONTRACTS), "name it in CONTRACTS, with what it has to do"
