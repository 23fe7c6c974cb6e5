"""The messages of agent files: ours as Letta writes them, Letta's as we keep them.

Letta packs what is no plain text (events, summaries, results) as JSON in the text; we keep it bare. What it has
no word for, such as a call that was interrupted, goes under a key of our own, which it passes over.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from letta_kernel.agent.context import package_event, package_result
from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import now
from letta_kernel.messages import Edit, Message, ReturnStatus, ToolCall
from letta_kernel.pictures.picture import Picture, check, from_base64, marked
from letta_kernel.service.agent_file.parse import OURS, FileMessage
from letta_kernel.tools.output import kept

_STATUSES: tuple[ReturnStatus, ...] = ("ok", "error", "interrupted", "denied")
MAX_NAME = 200  # characters of a call's id or name
MAX_EDITS = 1_000  # of one message


def to_file(message: Message, message_id: str, agent_id: str, model: str | None) -> dict[str, Any]:
    """Return *message* as an entry of a file."""
    entry: dict[str, Any] = {
        "type": "message",
        "id": message_id,
        "agent_id": agent_id,
        "role": message.role,
        "content": [],
        "name": message.name or message.speaker or None,
        "model": model,
        "sender_id": message.sender_id,
        "group_id": message.group_id,
        "tool_calls": None,
        "tool_call_id": None,
        "tool_returns": [],
        "created_at": message.created_at.isoformat(),
    }
    ours: dict[str, Any] = {"interrupted": True} if message.interrupted else {}
    text = message.content
    match message.role:
        case "assistant":
            entry["content"] = _thoughts(message)
            entry["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in message.tool_calls
            ] or None
        case "tool":
            text = package_result(message)
            entry["tool_call_id"] = message.tool_call_id
            entry["tool_returns"] = [
                {
                    "tool_call_id": message.tool_call_id,
                    "status": "success" if message.status == "ok" else "error",
                    "func_response": text,
                    "stdout": [message.stdout] if message.stdout else None,
                    "stderr": [message.stderr] if message.stderr else None,
                }
            ]
            if message.status not in ("ok", "error"):
                ours["status"] = message.status
        case "event" | "summary":
            entry["role"], entry["name"] = "user", None
            named = message.model_copy(update={"name": "system_alert"})
            text = package_event(named if message.role == "summary" else message)
            ours["role"] = message.role
        case "user" if text.startswith("{"):
            ours["role"] = "user"  # a person's own JSON is not taken for something packed
    if text or not entry["content"]:
        entry["content"].append({"type": "text", "text": text, "signature": None})
    entry["content"] += [_image(picture) for picture in message.pictures if picture.data]
    if message.edits:
        ours["edits"] = [edit.model_dump() for edit in message.edits]
    if ours:
        entry[OURS] = ours
    return entry


def _image(picture: Picture) -> dict[str, Any]:
    data = base64.b64encode(picture.data).decode("ascii")
    source = {"type": "base64", "media_type": picture.media_type, "data": data, "detail": None}
    return {"type": "image", "source": source}


def _thoughts(message: Message) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for block in message.thinking:
        if block.get("type") == "redacted_thinking":
            parts.append({"type": "redacted_reasoning", "data": str(block.get("data", ""))})
        elif block.get("thinking"):
            parts.append(_reasoning(str(block["thinking"]), block.get("signature")))
    if message.reasoning and not any(part["type"] == "reasoning" for part in parts):
        parts.insert(0, _reasoning(message.reasoning, None))
    return parts


def _reasoning(text: str, signature: str | None) -> dict[str, Any]:
    return {"type": "reasoning", "is_native": True, "reasoning": text, "signature": signature}


def from_file(entry: FileMessage, *, summary: bool = False) -> list[Message]:
    """Return the messages a file's *entry* stands for: one, none, or one per result it carries.

    *summary*: it stands where the summary of what went before does.
    """
    shared: dict[str, Any] = {"agent_id": "", "created_at": entry.created_at or now()}
    ours = entry.ours or {}
    shared |= {"sender_id": _short(entry.sender_id), "group_id": _short(entry.group_id)}
    text, reasoning, thinking, calls, pictures = _read_parts(entry)
    interrupted = ours.get("interrupted") is True
    match entry.role:
        case "assistant" | "approval":
            if entry.role == "approval" and not calls:
                return []  # an answer to a request; what came of it is in the results
            return [
                Message(
                    role="assistant",
                    content=text,
                    reasoning=reasoning,
                    thinking=thinking,
                    tool_calls=calls,
                    interrupted=interrupted,
                    edits=_edits(ours),
                    **shared,
                )
            ]
        case "tool" | "function":
            return _results(entry, text, pictures, ours, shared)
        case "system":
            return [Message(role="system", content=text, **shared)]
        case "summary":
            return [Message(role="summary", content=_unpacked(text)[1], **shared)]
    kind, bare = (None, text) if ours.get("role") == "user" else _unpacked(text)
    if ours.get("role") == "summary" or (summary and kind == "system_alert"):
        return [Message(role="summary", content=bare, **shared)]
    shared["pictures"], bare = pictures, marked(bare, pictures)
    if kind in (None, "user_message"):
        return [Message(role="user", content=bare, name=_short(entry.name), **shared)]
    name = None if kind == "system_event" else _short(kind)
    return [Message(role="event", content=bare, name=name, **shared)]


def _results(
    entry: FileMessage,
    text: str,
    pictures: list[Picture],
    ours: dict[str, Any],
    shared: dict[str, Any],
) -> list[Message]:
    returns = entry.tool_returns or []
    if len(returns) <= 1:
        one = returns[0] if returns else {}
        returns = [{"tool_call_id": entry.tool_call_id, **one, "func_response": text}]
    made: list[Message] = []
    for one in returns:
        status, content = _unpacked_result(_text(one.get("func_response")))
        if one.get("status") in ("success", "error"):
            status = "ok" if one["status"] == "success" else "error"
        if ours.get("status") in _STATUSES:
            status = ours["status"]
        made.append(
            Message(
                role="tool",
                content=marked(content, pictures),
                pictures=pictures,
                name=_short(entry.name),
                tool_call_id=_short(_text(one.get("tool_call_id") or entry.tool_call_id)),
                status=status,
                stdout=_printed(one.get("stdout")),
                stderr=_printed(one.get("stderr")),
                edits=None if made else _edits(ours),
                **shared,
            )
        )
        pictures = []  # they are the first one's
    return made


def _edits(ours: dict[str, Any]) -> list[Edit] | None:
    """Return what a person changed of a message by hand; what is none is passed over."""
    found = ours.get("edits")
    made = []
    for one in found[:MAX_EDITS] if isinstance(found, list) else ():
        with suppress(ValueError):
            made.append(Edit.model_validate(one))
    return made or None


def _printed(lines: Any) -> str:
    return kept("".join(map(_text, lines))) if isinstance(lines, list) else ""


def _read_parts(
    entry: FileMessage,
) -> tuple[str, str, list[dict[str, Any]], list[ToolCall], list[Picture]]:
    """Return text, reasoning, signed thoughts, calls and pictures."""
    # One case a kind of part, as several versions of Letta have written them.
    texts, thoughts, signed = [], [], []
    pictures: list[Picture] = []
    calls = [_call(call.get("id"), call.get("function")) for call in entry.tool_calls or ()]
    parts: Sequence[dict[str, Any]] = (
        [{"type": "text", "text": entry.content}]
        if isinstance(entry.content, str)
        else entry.content or ()
    )
    for part in parts:
        match part.get("type"):
            case "text":
                texts.append(_text(part.get("text")))
            case "reasoning" | "summarized_reasoning":
                thought = _text(part.get("reasoning") or _joined(part.get("summary")))
                thoughts.append(thought)
                if part.get("signature"):
                    signature = _text(part["signature"])
                    signed.append({"type": "thinking", "thinking": thought, "signature": signature})
            case "redacted_reasoning":
                signed.append({"type": "redacted_thinking", "data": _text(part.get("data"))})
            case "tool_call" if not entry.tool_calls:
                arguments = part.get("input")
                function = {"name": part.get("name"), "arguments": json.dumps(arguments or {})}
                calls.append(_call(part.get("id"), function))
            case "tool_return":
                texts.append(_text(part.get("content")))
            case "image":
                found = _picture(part, pictures)
                if isinstance(found, str):
                    texts.append(found)
                else:
                    pictures.append(found)
    return "\n".join(texts), "\n".join(thoughts), signed, calls, pictures


def _picture(part: dict[str, Any], before: Sequence[Picture]) -> Picture | str:
    """Return the picture of a *part*, or words for one that is not taken over."""
    source = part.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(data, str) or not data:
        return "[an image that the agent file does not hold]"
    try:
        picture = from_base64(data)
        check([*before, picture])
    except InvalidInputError as error:
        return f"[an image that is not taken over: {error.text}]"
    return picture


def _call(call_id: Any, function: Any) -> ToolCall:
    given = function if isinstance(function, dict) else {}
    arguments = given.get("arguments")
    return ToolCall(
        id=_short(_text(call_id)) or "call",
        name=_short(_text(given.get("name"))) or "unnamed",
        arguments=arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
    )


def _unpacked(text: str) -> tuple[str | None, str]:
    """Return kind and message of what Letta packed as JSON; (None, *text*) for anything else."""
    read = _object(text)
    if isinstance(read.get("type"), str) and isinstance(read.get("message"), str):
        return read["type"], read["message"]
    if isinstance(read.get("type"), str) and isinstance(read.get("reason"), str):
        return read["type"], read["reason"]  # a heartbeat
    return None, text


def _unpacked_result(text: str) -> tuple[ReturnStatus, str]:
    read = _object(text)
    if read.get("status") in ("OK", "Failed") and "message" in read:
        status: ReturnStatus = "ok" if read["status"] == "OK" else "error"
        return status, _text(read["message"])
    return "ok", text


def _object(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _joined(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else _text(value)


def _short(text: str | None) -> str | None:
    return text[:MAX_NAME] if text else None
