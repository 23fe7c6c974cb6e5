"""What the demo model reads from a request: memory blocks, the last message, what was done about it since."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models.base import BESIDE, ChatRequest
from letta_kernel.models.demo.tools import ToolSpec, read_tools
from letta_kernel.models.demo.vocabulary import tidy

_BLOCK = re.compile(r"<block\b(?P<attributes>[^>]*)>(?P<body>.*?)</block>", re.DOTALL)
_ATTRIBUTE = re.compile(r"\b([\w-]{1,40})=\s*\"([^\"]*)\"")
_VALUE = re.compile(r"<value>\n?(.*?)\n?</value>", re.DOTALL)
_RETRIEVED = re.compile(r"<retrieved_memory>(.*?)</retrieved_memory>\s*", re.DOTALL)
_PASSAGE = re.compile(r"^- (?:\[[^\]]*\] ){0,2}(.+)$", re.MULTILINE)
_NUDGES = frozenset(
    {"heartbeat", "no_answer", "response_format", "tool_rule"}
)  # by which the step loop only says: go on


@dataclass(frozen=True, slots=True)
class Block:
    """A memory block as it stands in the prompt; *room* is how many characters it still takes."""

    label: str
    value: str
    read_only: bool
    room: int


@dataclass(frozen=True, slots=True)
class Done:
    """A call made since the last message, and its result."""

    name: str
    arguments: dict[str, Any]
    ok: bool
    text: str


@dataclass(slots=True)
class Scene:
    """Everything an answer is made from; ``before`` are the exchanges so far, the oldest first."""

    message: str = ""
    system: str = ""
    blocks: list[Block] = field(default_factory=list)
    retrieved: list[str] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    before: list[tuple[str, str]] = field(default_factory=list)
    tools: dict[str, ToolSpec] = field(default_factory=dict)


def read(request: ChatRequest) -> Scene:
    """Return the scene of *request*."""
    # The history is one list with four roles; what counts is the last message, so all that is about an
    # earlier one is put away.
    scene = Scene(tools=read_tools(request.tools))
    asked, answer = None, ""
    calls: dict[str, tuple[str, dict[str, Any]]] = {}
    for message in request.messages:
        role, content = message.get("role"), _text(message.get("content"))
        if role == "system":
            scene.system += content
            scene.blocks += [_block(match) for match in _BLOCK.finditer(content)]
        elif role == "user":
            passages = [
                p for match in _RETRIEVED.finditer(content) for p in _PASSAGE.findall(match[1])
            ]
            content = _RETRIEVED.sub("", BESIDE.sub("", content)).strip()
            packed = _object(content)
            if packed.get("type") in _NUDGES and asked is not None:
                continue
            if asked is not None:
                scene.before.append((asked, answer))
            asked = str(packed["message"]) if "message" in packed and "type" in packed else content
            answer, calls, scene.done, scene.retrieved = "", {}, [], passages
        elif role == "assistant":
            answer = content or answer
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                given = _object(function.get("arguments"))
                given = {
                    k: v for k, v in given.items() if k not in ("request_heartbeat", "thinking")
                }
                calls[str(call.get("id"))] = (str(function.get("name")), given)
                if function.get("name") == "send_message":
                    answer = str(given.get("message") or answer)
        elif role == "tool":
            name, given = calls.pop(str(message.get("tool_call_id")), ("", {}))
            packed = _object(content)
            ok = str(packed.get("status", "ok")).casefold() in ("ok", "success")
            if name and name != "send_message":
                told = packed["message"] if {"message", "status"} <= set(packed) else content
                scene.done.append(Done(name, given, ok, str(told)))
    scene.message = tidy(asked or "")
    return scene


def _block(match: re.Match[str]) -> Block:
    attributes = dict(_ATTRIBUTE.findall(match["attributes"]))
    value = _VALUE.search(match["body"])
    text = value[1].replace("<\\/", "</") if value else ""  # the prompt makes closing tags inert
    limit = attributes.get("chars_limit", "")
    room = int(limit) - len(text) if limit.isdigit() else 20_000
    read_only = attributes.get("read_only", "").casefold() == "true"
    return Block(html.unescape(attributes.get("label", "")), text, read_only, room)


def _text(content: Any) -> str:
    if isinstance(content, list):  # content in parts
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _object(raw: Any) -> dict[str, Any]:
    try:
        value = json.loads(raw or "{}") if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
