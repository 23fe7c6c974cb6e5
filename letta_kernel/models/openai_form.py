"""Requests in OpenAI's form without litellm, which takes seconds to import: the same ones that it would make.

What is not known here (another provider, a parameter, a family of models with rules of its own) gives None, and
litellm makes the request. `tests/models/test_models_direct.py` compares both for everything that is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from letta_kernel.models.facts import table_rows
from letta_kernel.models.wire import Shaped

Request = tuple[str, dict[str, Any], dict[str, Any]]
"""URL, headers and body."""


_CORE = frozenset({"temperature", "top_p", "max_tokens", "stop"})
_COMMON = _CORE | frozenset(
    ("max_completion_tokens", "presence_penalty", "frequency_penalty", "seed", "n", "logit_bias", "logprobs",
     "top_logprobs", "parallel_tool_calls", "response_format", "top_k", "min_p", "repetition_penalty",
     "chat_template_kwargs")
)  # fmt: skip
_EFFORT = frozenset({"reasoning_effort"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What one provider makes of requests: the parameters it takes, and those that are left out."""

    taken: frozenset[str] = _COMMON
    left_out: frozenset[str] = frozenset()
    more: Mapping[str, Any] | None = None  # in every body
    usage: bool = True  # it is asked for the tokens it counted; others tell them anyway
    pictures: bool = True
    choice: bool = True  # what is to be called is said as OpenAI says it
    nulls: bool = True  # where no picture is sent, fields of messages that hold nothing are
    parts: bool = True  # texts in parts and names of who speaks are sent as they are


RULES = {
    "openai": Rules(),
    "openrouter": Rules(_COMMON | _EFFORT, more={"usage": {"include": True}}),
    "hosted_vllm": Rules(_COMMON | _EFFORT),
    "lm_studio": Rules(left_out=_EFFORT),
    "llamafile": Rules(left_out=_EFFORT),
    "groq": Rules(_CORE, pictures=False, nulls=False),
    "mistral": Rules(_CORE, usage=False, choice=False, nulls=False, parts=False),
    "cerebras": Rules(_CORE, usage=False),
    "deepinfra": Rules(_CORE, usage=False, choice=False),
    "nvidia_nim": Rules(_CORE, usage=False),
    "nebius": Rules(_CORE),
    "github": Rules(_CORE),
    "wandb": Rules(_CORE),
}
_NO_FORMAT = frozenset({"gpt-4", "gpt-3.5-turbo-16k"})
_NOT_WHILE_REASONING = frozenset({"temperature"})
_REASONING = frozenset(("max_tokens", "max_completion_tokens", "seed", "reasoning_effort", "temperature",
                        "response_format", "parallel_tool_calls"))  # fmt: skip
_EFFORTS = frozenset({"low", "medium", "high"})  # refused by no model
_SERIES = re.compile(r"gpt-(\d+)(?:\.(\d+))?(?=[.-]|$)")
_O_SERIES = re.compile(r"o\d")


def by_responses(model: str, base: str, *, tools: bool, effort: str) -> bool | None:
    """Return whether OpenAI serves *model* by its Responses API only; None where litellm has to say."""
    if model.startswith("responses/"):  # asked for by name
        return True
    if urlsplit(base).hostname != "api.openai.com":
        return False
    row = next(filter(None, table_rows(f"openai/{model}")), None)
    if row is None or row.get("litellm_provider") != "openai" or row.get("mode") != "chat":
        return True if row is not None and row.get("mode") == "responses" else None
    if not _reasons(model):
        return False
    version = _SERIES.match(model)
    if version is None or effort == "none":
        return None
    return tools and (int(version[1]), int(version[2] or 0)) >= (5, 4)


def request(
    provider: str, model: str, base: str, key: str | None, shaped: Shaped, params: dict[str, Any]
) -> Request | None:
    """Return the request of a streamed call; None where litellm has to make it."""
    # Each None is something whose form only litellm knows; guessing it would cost a call that fails.
    rules = RULES.get(provider)
    if rules is None:
        return None
    sent = {k: v for k, v in params.items() if v is not None and k != "api_base"}
    made = _openai(model, sent) if provider == "openai" else _parameters(provider, rules, sent)
    messages = shaped.messages(asked=False)
    parted = [m for m in messages if isinstance(m.get("content"), list)]
    if made is None or not all(_is_plain(m, pictures=rules.pictures) for m in parted):
        return None
    if shaped.tools and shaped.tool_choice is not None and not rules.choice:
        return None
    if not rules.parts and any(m.get("name") or _is_in_parts(m) for m in messages):
        return None
    if not rules.nulls and not shaped.has_images:
        messages = [{k: v for k, v in m.items() if v is not None} for m in messages]
    tools = shaped.tools
    if provider == "hosted_vllm":
        if any(m["role"] == "assistant" and isinstance(m.get("content"), list) for m in messages):
            return None
        tools = [_open(tool) for tool in tools]
    body: dict[str, Any] = {"model": model, "messages": messages}
    if tools:
        body["tools"] = tools
        if shaped.tool_choice is not None:
            body["tool_choice"] = shaped.tool_choice
    body |= {"stream": True, **made}
    if rules.usage:
        body["stream_options"] = {"include_usage": True}
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    return _url(base), headers, body


def _parameters(provider: str, rules: Rules, sent: dict[str, Any]) -> dict[str, Any] | None:
    if not sent.keys() <= rules.taken | rules.left_out:
        return None
    made = {name: value for name, value in sent.items() if name not in rules.left_out}
    if provider == "openrouter" and made.get("reasoning_effort") == "max":
        made["reasoning_effort"] = "xhigh"
    return {**made, **(rules.more or {})}


def _openai(model: str, sent: dict[str, Any]) -> dict[str, Any] | None:
    row = table_rows(f"openai/{model}")[1] or {}
    listed = row.get("litellm_provider") == "openai"
    if listed and _O_SERIES.match(model):
        return None
    if not _reasons(model):
        if not sent.keys() <= _COMMON | _EFFORT or (listed and "audio" in model):
            return None
        left_out = _EFFORT if listed else frozenset()
        if model in _NO_FORMAT:
            left_out |= {"response_format"}
        return {name: value for name, value in sent.items() if name not in left_out}
    able = ("supports_function_calling", "supports_tool_choice", "supports_response_schema",
            "supports_parallel_function_calling", "supports_system_messages")  # fmt: skip
    if (
        not all(row.get(name) for name in able)
        or "search" in model
        or not sent.keys() <= _REASONING
    ):
        return None
    if sent.get("reasoning_effort", "low") not in _EFFORTS:
        return None
    if "temperature" in sent and row.get("supports_none_reasoning_effort"):
        return None  # it depends on what it does when no effort is named
    made = {k: v for k, v in sent.items() if k not in _NOT_WHILE_REASONING or v == 1}
    if "max_tokens" in made:
        most = made.pop("max_tokens")
        made.setdefault("max_completion_tokens", most)
    return made


def _reasons(model: str) -> bool:
    """Whether *model* is one of OpenAI's that reason, of the series since GPT-5."""
    return ("gpt-5" in model or "gpt-6" in model) and "gpt-5-chat" not in model


def _is_plain(message: Mapping[str, Any], *, pictures: bool) -> bool:
    """Whether a message holds only what goes out as it is."""
    content = message.get("content")
    return not isinstance(content, list) or all(
        part.get("type") == "text"
        or (
            pictures
            and part.get("type") == "image_url"
            and set(part.get("image_url") or ()) <= {"url", "detail"}
        )
        for part in content
    )


def _is_in_parts(message: Mapping[str, Any]) -> bool:
    """Whether a message holds texts in parts, and no picture."""
    content = message.get("content")
    return isinstance(content, list) and all(part.get("type") == "text" for part in content)


def _open(value: Any) -> Any:
    """Return a tool without the words that older versions of vLLM refuse."""
    if isinstance(value, list):
        return [_open(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _open(one)
        for name, one in value.items()
        if name != "strict" and not (name == "additionalProperties" and one is False)
    }


def _url(base: str) -> str:
    base = base.rstrip("/")
    return base if "chat/completions" in base else f"{base}/chat/completions"
