"""Tool calls that a model writes as text: how it is asked to, and how they are read.

Small and local models often write a call into their answer instead of making one. The forms read here are
the common ones: ``<tool_call>{...}</tool_call>`` and what other families of models have for it, a fenced or
bare JSON object or list with a name and arguments, and Python's ``name(key=value)``. Only names of tools
that were offered count. `PromptedTools` asks a model without tool calling for them in its prompt.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from letta_kernel.ids import new_id
from letta_kernel.messages import ToolCall
from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatModel,
    ChatRequest,
    Piece,
    Reply,
    Reset,
    Retrying,
    TextPiece,
)
from letta_kernel.models.images import joined, split, takes_images
from letta_kernel.models.wire import meant, turns

_TAGGED = re.compile(
    r"<(tool_call|function_call)>\s*(?P<body>.*?)\s*(?P<end></\1>|\Z)"
    r"|<function=(?P<name>[\w.:-]+)>\s*(?P<arguments>\{.*?\})\s*(?:</function>|\Z)"
    r"|(?:<\|python_tag\|>|\[TOOL_CALLS\])\s*(?P<rest>.*)",
    re.DOTALL,
)
_FENCED = re.compile(r"```(json|tool_call|tool_code|python)?[ \t]*\n(.*?)\n?```", re.DOTALL)
_NAME_KEYS = ("name", "tool", "function", "tool_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
_TAGS = ("<tool_call", "<function_call", "<function=", "<|python_tag|>", "[TOOL_CALLS]")
_OPENINGS = (*_TAGS, "```", "{", "[")
_MARK = re.compile("|".join(re.escape(mark) for mark in (*_TAGS, "```")))


def describe_tools(tools: list[dict[str, Any]]) -> str:
    """Return the text that tells a model which tools there are and how to write a call."""
    lines = [json.dumps(tool["function"], ensure_ascii=False) for tool in tools]
    return (
        "# Tools\n\nYou can call these tools:\n"
        + "\n".join(lines)
        + "\n\nTo call one, answer with nothing but this, and then wait for its result:\n"
        '<tool_call>{"name": "the tool", "arguments": {"an_argument": "its value"}}</tool_call>\n'
        "Otherwise answer in plain text."
    )


def may_be_call(text: str) -> bool:
    """Return whether a reply that begins with *text* may turn out to be a written call."""
    start = text.lstrip()
    return not start or any(
        start.startswith(opening) or opening.startswith(start) for opening in _OPENINGS
    )


def has_tag(text: str) -> bool:
    """Return whether *text* holds a call between tags, which nothing but a call is meant by."""
    return _TAGGED.search(text) is not None


def shown_length(text: str, names: Collection[str]) -> int:
    """Return how many characters of a reply that begins with *text* are no part of a written call."""
    start = text.lstrip()
    if not start or start[0] in "{[":
        return 0
    if any(name.startswith(start) or start.startswith(f"{name}(") for name in names):
        return 0
    at = 0
    while mark := _MARK.search(text, at):
        fence = _FENCED.match(text, mark.start())
        if fence is None or _of_fence(fence, text, names):
            return mark.start()
        at = fence.end()
    marks = (*_TAGS, "```")
    longest = max(map(len, marks)) - 1
    for size in range(min(longest, len(text) - at), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return len(text) - size
    return len(text)


def read_calls(
    text: str, names: Collection[str], *, any_name: bool = False
) -> tuple[str, list[ToolCall]]:
    """Find the calls written in *text*; return the text before them, and the calls in order.

    What follows a call is left out: its result was not known yet. With *any_name* a call between tags
    counts whatever it names, so that the model learns of its mistake.
    """
    for pattern in (_TAGGED, _FENCED):
        calls: list[ToolCall] = []
        first = len(text)
        for match in pattern.finditer(text):
            if pattern is _TAGGED:
                found = _of_tag(match, None if any_name else names)
                found = [one.model_copy(update={"name": meant(one.name, names)}) for one in found]
            else:
                found = _of_fence(match, text, names)
            if found:
                calls += found
                first = min(first, match.start())
        if calls:
            return text[:first].strip(), calls
    calls = _read(text, names)
    return ("", calls) if calls else (text, [])


def _of_tag(match: re.Match[str], names: Collection[str] | None) -> list[ToolCall]:
    if name := match["name"]:
        made = _from_entry({"name": name, "arguments": match["arguments"]}, names)
        return [made] if made else []
    body = match["body"] if match["rest"] is None else match["rest"]
    return _read(body, names, whole=bool(match["end"]))


def _of_fence(match: re.Match[str], text: str, names: Collection[str]) -> list[ToolCall]:
    language, body = match[1], match[2]
    alone = not text.replace(match[0], "", 1).strip()
    if not alone and language not in ("tool_call", "tool_code") and body.lstrip()[:1] not in "{[":
        return []  # Python in the middle of prose is an example
    return _read(body, names)


def _read(body: str, names: Collection[str] | None, *, whole: bool = False) -> list[ToolCall]:
    """Return the calls *body* consists of; brackets left open are closed if it is *whole*."""
    body = body.strip()
    try:
        value = from_json(body, allow_partial=whole)
    except ValueError:
        return _read_python(body, names or ())
    entries = value if isinstance(value, list) else [value]
    calls = [_from_entry(entry, names) for entry in entries]
    return [call for call in calls if call] if all(calls) else []


def _from_entry(entry: Any, names: Collection[str] | None) -> ToolCall | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("function"), dict):  # OpenAI's own nesting
        entry = entry["function"]
    given = [entry[key] for key in _NAME_KEYS if isinstance(entry.get(key), str)]
    if names is not None:
        given = [meant(one, names) for one in given]
    name = next((one for one in given if names is None or one in names), None)
    if not name:
        return None
    arguments: Any = next((entry[key] for key in _ARGUMENT_KEYS if key in entry), {})
    if isinstance(arguments, str):
        return ToolCall(id=new_id("call"), name=name, arguments=arguments)
    return ToolCall(
        id=new_id("call"), name=name, arguments=json.dumps(arguments, ensure_ascii=False)
    )


def _printed(node: ast.expr) -> ast.expr:
    """Return the call that *node* prints, as models write that were trained to run code."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and len(node.args) == 1
    ):
        return node.args[0]
    return node


def _read_python(body: str, names: Collection[str]) -> list[ToolCall]:
    try:
        tree = ast.parse(body, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    nodes = tree.elts if isinstance(tree, ast.List) else [tree]
    calls = []
    for node in nodes:
        node = _printed(node)
        if not isinstance(node, ast.Call) or node.args:
            return []
        try:
            name = meant(ast.unparse(node.func), names)
            if not isinstance(node.func, ast.Name | ast.Attribute) or name not in names:
                return []
            values = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
            arguments = json.dumps(values, ensure_ascii=False)
        except (ValueError, TypeError, RecursionError):
            return []
        calls.append(ToolCall(id=new_id("call"), name=name, arguments=arguments))
    return calls


class PromptedTools:
    """A model without tool calling, made to look like one that has it."""

    supports_tools = True

    def __init__(self, inner: ChatModel) -> None:
        self._inner = inner
        self.name = inner.name
        self.label = inner.label
        self.context_window = inner.context_window
        self.supports_reasoning = inner.supports_reasoning
        self.supports_images = takes_images(inner)

    def count_tokens(self, text: str) -> int:
        """Return the tokens of *text* in the inner model's counting."""
        return self._inner.count_tokens(text)

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Stream the inner model's reply; text that turns out to be a call is not shown as text."""
        if not request.tools:
            yield from self._inner.stream(request, cancel)
            return
        names = {tool["function"]["name"] for tool in request.tools}
        plain = with_written(request)
        text, shown = "", 0
        with closing(self._inner.stream(plain, cancel)) as pieces:
            for piece in pieces:
                if isinstance(piece, TextPiece):
                    text += piece.text
                    if (safe := shown_length(text, names)) > shown:
                        yield TextPiece(text[shown:safe])
                        shown = safe
                elif isinstance(piece, Reply):
                    yield from _finish(piece, text[shown:], names)
                else:
                    if isinstance(piece, Retrying | Reset):
                        text, shown = "", 0
                    yield piece


def with_written(request: ChatRequest) -> ChatRequest:
    """Return *request* with its tools described in the prompt, and calls and results as text."""
    tell = request.on_send
    return replace(
        request,
        messages=as_text(request.messages, describe_tools(request.tools)),
        tools=[],
        tool_choice=None,
        on_send=None if tell is None else lambda sent: tell(replace(sent, written=True)),
    )


def _finish(reply: Reply, held: str, names: set[str]) -> Generator[Piece, None, None]:
    rest, calls = read_calls(reply.text, names, any_name=True)
    if not calls:
        if held:
            yield TextPiece(held)
        yield reply
        return
    for index, call in enumerate(calls):
        yield CallPiece(index, call.id, call.name, call.arguments)
    yield replace(reply, text=rest, tool_calls=calls, finish_reason="tool_calls")


def as_text(messages: list[dict[str, Any]], tools: str) -> list[dict[str, Any]]:
    """Return a chat with tool calls and results written out, and *tools* added to the system prompt."""
    plain: list[dict[str, Any]] = []
    for message in messages:
        content, images = split(message.get("content"))
        if message["role"] == "system" and not plain:
            plain.append({**message, "content": f"{content}\n\n{tools}"})
            continue
        if not plain:
            plain.append({"role": "system", "content": tools})
        if message["role"] == "tool":
            written = f"<tool_response>{content}</tool_response>"
            plain.append({"role": "user", "content": joined(written, images)})
        elif message.get("tool_calls"):
            calls = "\n".join(
                f'<tool_call>{{"name": "{call["function"]["name"]}", '
                f'"arguments": {call["function"]["arguments"]}}}</tool_call>'
                for call in message["tool_calls"]
            )
            plain.append({"role": "assistant", "content": f"{content}\n{calls}".strip()})
        else:
            plain.append({"role": message["role"], "content": message.get("content") or ""})
    return turns(plain)
