"""Requests in Gemini's form without litellm: the same ones that it would make; see `openai_form`."""

from __future__ import annotations

import json
import re
from typing import Any

from letta_kernel.models.facts import table_rows
from letta_kernel.models.gemini import HOME
from letta_kernel.models.openai_form import Request
from letta_kernel.models.wire import Shaped

_TAKEN = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop_sequences",
    "parallel_tool_calls": "",  # it does so as it likes
}
_OLD = re.compile(r"gemini-([12](\.\d+)?|exp)(-|$)")
_DATA = re.compile(r"data:(image/(?:png|jpeg|webp));base64,(.*)", re.DOTALL)
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
# What Gemini takes in the place of a signature that a call from elsewhere does not have.
_UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="

Part = dict[str, Any]


class _UnknownError(Exception):
    """Something that litellm has to make the request of."""


def request(
    provider: str, model: str, base: str, key: str | None, shaped: Shaped, params: dict[str, Any]
) -> Request | None:
    """Return the request of a streamed call; None where litellm has to make it."""
    # Each None is something whose form only litellm knows; guessing it would cost a call that fails.
    row = table_rows(f"{provider}/{model}")[0] or {}
    sent = {k: v for k, v in params.items() if v is not None and k != "api_base"}
    able = row.get("mode") == "chat" and row.get("supports_system_messages")
    if not able or not sent.keys() <= _TAKEN.keys() or not model.startswith("gemini-"):
        return None
    try:
        system, contents = _conversation(shaped.messages(asked=False), new=not _OLD.match(model))
    except (_UnknownError, ValueError, RecursionError):
        return None
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["system_instruction"] = {"parts": system}
    if shaped.tools:
        declared = [_declared(tool["function"]) for tool in shaped.tools]
        body["tools"] = [{"function_declarations": declared}]
        if choice := _choice(shaped.tool_choice):
            body["toolConfig"] = {"functionCallingConfig": choice}
    if config := _config(row, sent):
        body["generationConfig"] = config
    version = "v1beta" if _OLD.match(model) else "v1alpha"
    root = f"{base}/{version}" if base == HOME else base
    url = f"{root}/models/{model}:streamGenerateContent?alt=sse"
    return url, {"x-goog-api-key": key}, body


def _config(row: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    ignored = ("temperature", "top_p") if row.get("supports_sampling_params") is False else ()
    made = {
        _TAKEN[name]: value for name, value in sent.items() if _TAKEN[name] and name not in ignored
    }
    if isinstance(stop := made.get("stop_sequences"), str):
        made["stop_sequences"] = [stop]
    return made


def _choice(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, dict):
        return {"mode": "ANY", "allowed_function_names": [choice["function"]["name"]]}
    return {"mode": _MODES[choice]} if choice in _MODES else None


def _declared(function: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": function["name"],
        "description": function["description"],
        "parameters": function["parameters"],
    }


def _conversation(chat: list[dict[str, Any]], *, new: bool) -> tuple[list[Part], list[Part]]:
    """Return the system's parts and the contents; *new*: of a model that knows ids and signatures of calls."""
    system: list[Part] = []
    contents: list[Part] = []
    names: dict[str, str] = {}
    before = ""
    for message in chat:
        role = message["role"]
        if role == "system":
            system.append({"text": _text(message.get("content"))})
            continue
        if role == "assistant":
            parts = _said(message, new=new)
            names = {c["id"]: c["function"]["name"] for c in message.get("tool_calls") or ()}
        elif role == "tool":
            parts = [_result(message, names[message["tool_call_id"]], new=new)]
        else:
            parts = _shown(message.get("content"))
        if before == role and role != "assistant":
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": "model" if role == "assistant" else "user", "parts": parts})
        before = role
    return system, contents


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return str(content or "")
    return "".join(part.get("text") or "" for part in content)


def _shown(content: Any) -> list[Part]:
    if not isinstance(content, list):
        return [{"text": content}]
    parts: list[Part] = []
    for part in content:
        if part.get("type") == "text":
            parts.append({"text": part["text"]})
            continue
        found = _DATA.fullmatch(str((part.get("image_url") or {}).get("url")))
        if found is None or set(part["image_url"]) != {"url"}:
            raise _UnknownError
        parts.append({"inline_data": {"data": found[2], "mime_type": found[1]}})
    if not any("text" in part for part in parts):
        parts.append({"text": " "})
    return parts


def _said(message: dict[str, Any], *, new: bool) -> list[Part]:
    content = message.get("content")
    fields = message.get("provider_specific_fields") or {}
    if isinstance(content, list) or fields.keys() - {"thought_signatures"}:
        raise _UnknownError
    calls = [
        _call(call, number, new=new) for number, call in enumerate(message.get("tool_calls") or ())
    ]
    if not new and any(call in calls[:number] for number, call in enumerate(calls)):
        raise _UnknownError  # alike, and nothing to tell them apart
    parts: list[Part] = []
    if (thought := message.get("reasoning_content")) is not None:
        parts.append({"thought": True, "text": thought})
    if content is not None:
        parts.append({"text": content})
        signed = (fields.get("thought_signatures") or [None])[0]
        if signed and signed not in [call.get("thoughtSignature") for call in calls]:
            parts[-1]["thoughtSignature"] = signed
    return parts + calls


def _call(call: dict[str, Any], number: int, *, new: bool) -> Part:
    function = call["function"]
    given = function.get("arguments") or ""
    made: Part = {
        "name": function["name"],
        "args": json.loads(given) if given else {"type": "object"},
    }
    if new:
        made["id"] = call["id"]
    signature = (call.get("provider_specific_fields") or {}).get("thought_signature")
    if signature is None and new and number == 0:
        signature = _UNSIGNED
    return {"function_call": made, **({"thoughtSignature": signature} if signature else {})}


def _result(message: dict[str, Any], name: str, *, new: bool) -> Part:
    text = message.get("content")
    if (
        not isinstance(text, str)
        or text[:5].lower() == "data:"
        or "$ref" in text
        or "\\u00" in text
    ):
        raise _UnknownError
    response: Any = None
    if text.strip()[:1] == "{":
        try:
            response = json.loads(text)
        except ValueError:
            response = None
    if not isinstance(response, dict):
        response = {"content": text}
    made: Part = {"name": name, "response": response}
    if new:
        made["id"] = message["tool_call_id"]
    return {"function_response": made}
