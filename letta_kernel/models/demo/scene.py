"""What the demo model reads from a request: memory blocks, the last message, what was done about it since."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models.base import ChatRequest
from letta_kernel.models.demo.parameters import ToolSpec, read_tools
from letta_kernel.models.demo.words import tidy

_BLOCK = re.compile(r"<block\b(?P<attributes>[^>]*)>(?P<body>.*?)</block>", re.DOTALL)
_ATTRIBUTE = re.compile(r"\b([\w-]{1,40})=\s*\"([^\"]*)\"")
_VALUE = re.compile(r"<value>\n?(.*?)\n?</value>", re.DOTALL)
_RETRIEVED = re.compile(r"<retrieved_memory>(.*?)</retrieved_memory>\s*", re.DOTALL)
_PASSAGE = re.compile(r"^- (?:\[[^\]]*\] )?(.+)$", re.MULTILINE)
_NUDGES = frozenset({"heartbeat", "no_answer", "tool_rule"})
"""Events by which the step loop only says: go on."""


@dataclass(frozen=True, slots=True)
class Block:
    """A memory block as it stands in the prompt; *room* is how many characters it still takes."""

    label: str
    value: str
    read_only: bool = False
    room: int = 20_000


@dataclass(frozen=True, slots=True)
class Done:
    """A call made since the last message, and its result."""

    name: str
    arguments: dict[str, Any]
    ok: bool
    text: str


@dataclass(slots=True)
class Scene:
    """Everything an answer is made from."""

    message: str = ""
    blocks: list[Block] = field(default_factory=list)
    retrieved: list[str] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    last_call: Done | None = None  # the last one before the message
    before: list[tuple[str, str]] = field(default_factory=list)  # (user, answer), oldest first
    tools: dict[str, ToolSpec] = field(default_factory=dict)
    event: bool = False
    rule: str = ""  # a tool rule the loop reminded of
    passages: int | None = None  # in archival memory, where the prompt says

    def block(self, label: str) -> Block | None:
        """Return the block with that label."""
        return next((block for block in self.blocks if block.label == label), None)

    def has(self, *names: str) -> str | None:
        """Return the first of *names* that is offered."""
        return next((name for name in names if name in self.tools), None)


def read(request: ChatRequest) -> Scene:
    """Return the scene of *request*."""
    scene = Scene(tools=read_tools(request.tools))
    exchange: list[tuple[str, str]] = []
    asked: str | None = None
    answer = ""
    open_calls: dict[str, tuple[str, dict[str, Any]]] = {}
    for message in request.messages:
        role, content = message.get("role"), _text(message.get("content"))
        if role == "system":
            _read_system(content, scene)
        elif role == "user":
            text, event, retrieved = _unpack(content)
            if event in _NUDGES and asked is not None:
                scene.rule = text if event == "tool_rule" else scene.rule
                continue
            if asked is not None:
                exchange.append((asked, answer))
            asked, answer, open_calls = text, "", {}
            scene.last_call = scene.done[-1] if scene.done else scene.last_call
            scene.event, scene.retrieved, scene.done, scene.rule = bool(event), retrieved, [], ""
        elif role == "assistant":
            answer = content or answer
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                arguments = _arguments(function.get("arguments"))
                open_calls[str(call.get("id"))] = (str(function.get("name")), arguments)
                if function.get("name") == "send_message":
                    answer = str(arguments.get("message") or answer)
        elif role == "tool":
            name, arguments = open_calls.pop(str(message.get("tool_call_id")), ("", {}))
            if name and name != "send_message":
                ok, text = _result(content)
                scene.done.append(Done(name, arguments, ok, text))
    scene.message = tidy(asked or "")
    scene.before = exchange
    return scene


def _read_system(content: str, scene: Scene) -> None:
    if count := re.search(r"passages in archival memory: (\d+)", content):
        scene.passages = int(count[1])
    for match in _BLOCK.finditer(content):
        attributes = dict(_ATTRIBUTE.findall(match["attributes"]))
        value = _VALUE.search(match["body"])
        text = (
            value[1].replace("<\\/", "</") if value else ""
        )  # the prompt makes closing tags inert
        limit = attributes.get("chars_limit", "")
        room = int(limit) - len(text) if limit.isdigit() else 20_000
        read_only = attributes.get("read_only", "false").casefold() == "true"
        if label := attributes.get("label"):
            scene.blocks.append(Block(html.unescape(label), text, read_only, room))


def _text(content: Any) -> str:
    if isinstance(content, list):  # content in parts
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _unpack(content: str) -> tuple[str, str, list[str]]:
    """Return a user message's own text, the type of event it is (or empty), and retrieved passages."""
    retrieved: list[str] = []
    for match in _RETRIEVED.finditer(content):
        retrieved.extend(_PASSAGE.findall(match[1]))
    content = _RETRIEVED.sub("", content).strip()
    if content.startswith("{"):
        try:
            packed = json.loads(content)
        except ValueError:
            return content, "", retrieved
        if isinstance(packed, dict) and isinstance(packed.get("type"), str) and "message" in packed:
            kind = packed["type"]
            return str(packed["message"]), "" if kind == "user_message" else kind, retrieved
    return content, "", retrieved


def _arguments(raw: Any) -> dict[str, Any]:
    try:
        value = json.loads(raw or "{}") if isinstance(raw, str) else raw
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {k: v for k, v in value.items() if k not in ("request_heartbeat", "thinking")}


def _result(content: str) -> tuple[bool, str]:
    try:
        packed = json.loads(content)
    except ValueError:
        return True, content
    if isinstance(packed, dict) and "message" in packed and "status" in packed:
        return str(packed["status"]).casefold() in ("ok", "success"), str(packed["message"])
    return True, content
