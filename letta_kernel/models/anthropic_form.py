"""Requests in Anthropic's form without litellm: the same ones that it would make; see `openai_form`."""

from __future__ import annotations

import json
import re
from typing import Any

from letta_kernel.models.facts import table_rows
from letta_kernel.models.openai_form import Request
from letta_kernel.models.wire import Shaped

_TAKEN = frozenset(
    ("max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "parallel_tool_calls")
)  # fmt: skip
_DATA = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.*)", re.DOTALL)
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}

Block = dict[str, Any]


def request(
    provider: str, model: str, base: str, key: str | None, shaped: Shaped, params: dict[str, Any]
) -> Request | None:
    """Return the request of a streamed call; None where litellm has to make it."""
    row = table_rows(f"{provider}/{model}")[1] or {}
    sent = {k: v for k, v in params.items() if v is not None and k != "api_base"}
    if row.get("litellm_provider") != "anthropic" or not sent.keys() <= _TAKEN:
        return None
    chat = _conversation(shaped.messages(asked=False))
    optional = _parameters(row, sent)
    if chat is None or optional is None or (key or "").startswith("sk-ant-oat"):
        return None
    system, messages = chat
    called = any(one.get("type") == "tool_use" for m in messages for one in m["content"])
    if called and not shaped.tools:
        return None  # it wants some then
    body = {"model": model, "messages": messages, **optional, "stream": True}
    if system:
        body["system"] = system
    if shaped.tools:
        body["tools"] = [_tool(tool["function"]) for tool in shaped.tools]
        choice = _choice(row, shaped.tool_choice, sent.get("parallel_tool_calls"))
        if choice is not None:
            body["tool_choice"] = choice
    headers = {"anthropic-version": "2023-06-01", "accept": "application/json", "x-api-key": key}
    return f"{base}/v1/messages", headers, body


def _parameters(row: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any] | None:
    most = sent.get("max_completion_tokens", sent.get("max_tokens", row.get("max_output_tokens")))
    if not isinstance(most, int) or {"max_tokens", "max_completion_tokens"} <= sent.keys():
        return None
    made: dict[str, Any] = {"max_tokens": most}
    free = row.get("supports_sampling_params") is not False
    for name in ("temperature", "top_p"):
        if name in sent and (free or (name == "temperature" and sent[name] == 1)):
            made[name] = sent[name]
    stop = sent.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if kept := [one for one in stops if not one.isspace()]:
        made["stop_sequences"] = kept
    return made


def _choice(row: dict[str, Any], choice: Any, parallel: bool | None) -> dict[str, Any] | None:
    made: dict[str, Any] | None = None
    if isinstance(choice, dict):
        made = {"type": "tool", "name": choice["function"]["name"]}
    elif choice in _CHOICES:
        made = {"type": _CHOICES[choice]}
    if parallel is not None and choice != "none":
        made = {**(made or {"type": "auto"}), "disable_parallel_tool_use": not parallel}
    if made and made["type"] in ("any", "tool") and row.get("supports_forced_tool_use") is False:
        made.pop("name", None)
        made["type"] = "auto"
    return made


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": function["name"],
        "input_schema": function["parameters"],
        "type": "custom",
        "description": function["description"],
    }


def _conversation(chat: list[dict[str, Any]]) -> tuple[list[Block], list[Block]] | None:
    """Return the system's blocks and the messages; None if something in them is not known here."""
    system: list[Block] = []
    messages: list[Block] = []
    for message in chat:
        role, content = message["role"], message.get("content")
        blocks = _blocks(content)
        if blocks is None:
            return None
        if role == "system":
            system += blocks
            continue
        if role == "tool":
            result = content if isinstance(content, str) else blocks
            blocks = [
                {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": result}
            ]
        elif role == "assistant":
            uses = _uses(message.get("tool_calls") or [])
            if uses is None or message.get("provider_specific_fields"):
                return None
            blocks = [*(message.get("thinking_blocks") or []), *blocks, *uses]
        side = "assistant" if role == "assistant" else "user"
        if messages and messages[-1]["role"] == side:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": side, "content": blocks})
    return system, messages


def _blocks(content: Any) -> list[Block] | None:
    if not isinstance(content, list):
        return [{"type": "text", "text": content}] if (content or "").strip() else []
    blocks: list[Block] = []
    for part in content:
        if part.get("type") == "text":
            if part["text"].strip():  # it refuses blank ones
                blocks.append({"type": "text", "text": part["text"]})
            continue
        found = _DATA.fullmatch(str((part.get("image_url") or {}).get("url")))
        if found is None:
            return None
        source = {"type": "base64", "media_type": found[1], "data": found[2]}
        blocks.append({"type": "image", "source": source})
    return blocks


def _uses(calls: list[dict[str, Any]]) -> list[Block] | None:
    blocks: list[Block] = []
    for call in calls:
        function = call["function"]
        try:
            given = json.loads(function.get("arguments") or "{}")
        except (ValueError, RecursionError):
            return None
        if not isinstance(given, dict):
            return None
        blocks.append(
            {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given}
        )
    return blocks
