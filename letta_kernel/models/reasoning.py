"""What goes back to a provider with the history: its own signed thoughts, and marks for its prompt cache."""

from __future__ import annotations

from typing import Any

# Providers that want a model's reasoning back together with its tool calls.
_REASONING_BACK = frozenset({"deepseek", "moonshot", "zai", "together_ai", "minimax", "dashscope"})


def messages_for(
    provider: str, messages: list[dict[str, Any]], *, asked: bool
) -> list[dict[str, Any]]:
    """Return *messages* as each provider finds its own thoughts in them again, and only those.

    What has none is the same object.

    ``thinking_blocks`` are what `Reply.thinking` held. *asked*: reasoning is asked for in this call.
    """
    prepared = []
    for message in messages:
        if "thinking_blocks" in message:
            message = dict(message)
            if blocks := message.pop("thinking_blocks"):
                _give_back(provider, message, blocks, asked)
        prepared.append(message)
    return prepared


def _give_back(
    provider: str, message: dict[str, Any], blocks: list[dict[str, Any]], asked: bool
) -> None:
    # Each provider signs something else (a thought, a message, a call) and refuses a history in which it
    # stands elsewhere.
    own = []
    for block in blocks:
        if block.get("provider") == provider and (asked or not block.get("asked")):
            own.append({k: v for k, v in block.items() if k not in ("provider", "asked")})
    signed = [b for b in own if b.get("type") in ("thinking", "redacted_thinking")]
    if signed:
        message["thinking_blocks"] = signed
    details = [b for b in own if str(b.get("type", "")).startswith("reasoning.")]
    if details:
        message["reasoning_details"] = details
    for block in own:
        if block.get("type") == "plain":
            message["reasoning_content"] = block["text"]
        elif block.get("type") == "message_fields":
            message["provider_specific_fields"] = block["fields"]
        elif block.get("type") == "call_fields":
            message["tool_calls"] = [
                {**call, "provider_specific_fields": block["fields"]}
                if call.get("id") == block["id"]
                else call
                for call in message.get("tool_calls") or ()
            ]


def reasoning_to_keep(
    provider: str, thinking: list[dict[str, Any]], reasoning: str, *, calls: bool, asked: bool
) -> list[dict[str, Any]]:
    """Return what must go back with the history, marked with whose it is."""
    kept = list(thinking)
    if calls and reasoning and provider in _REASONING_BACK:
        kept.append({"type": "plain", "text": reasoning})
    mark = {"provider": provider, **({"asked": True} if asked else {})}
    return [{**block, **mark} for block in kept]


def mark_cache(body: dict[str, Any]) -> None:
    """Ask Anthropic to keep the system prompt with the tools, and the history up to here."""
    mark = {"type": "ephemeral"}
    system = body.get("system")
    if isinstance(system, list) and system:
        system[-1] = {**system[-1], "cache_control": mark}
    messages = body.get("messages")
    if messages and isinstance(messages[-1].get("content"), list) and messages[-1]["content"]:
        content = messages[-1]["content"]
        if content[-1].get("type") in ("text", "image", "tool_result"):
            content[-1] = {**content[-1], "cache_control": mark}
