"""Tool calls that a model writes as text: how it is asked to, and how they are read.

Small and local models often write a call into their answer instead of making one. The forms read here are
the common ones: ``<tool_call>{...}</tool_call>``, a fenced or bare JSON object or list with a name and
arguments, and Python's ``name(key=value)``. Only names of tools that were offered count.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection
from typing import Any

from letta_kernel.ids import new_id
from letta_kernel.messages import ToolCall

_TAGGED = re.compile(r"<(tool_call|function_call)>\s*(.*?)\s*(?:</\1>|\Z)", re.DOTALL)
_FENCED = re.compile(r"```(?:json|tool_call|tool_code|python)?\s*\n(.*?)\n?```", re.DOTALL)
_NAME_KEYS = ("name", "tool", "function", "tool_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
_OPENINGS = ("<tool_call", "<function_call", "```", "{", "[")


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


def read_calls(text: str, names: Collection[str]) -> tuple[str, list[ToolCall]]:
    """Find the calls written in *text*; return the text without them, and the calls in order."""
    tagged = [(m, m[2]) for m in _TAGGED.finditer(text)]
    fenced = [(m, m[1]) for m in _FENCED.finditer(text)] if not tagged else []
    rest, calls = text, []
    for match, body in tagged or fenced:
        found = _read(body, names)
        if found:
            calls += found
            rest = rest.replace(match[0], "", 1)
    if not calls:
        calls = _read(text, names)
        rest = "" if calls else text
    return rest.strip() if calls else text, calls


def _read(body: str, names: Collection[str]) -> list[ToolCall]:
    body = body.strip()
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _read_python(body, names)
    entries = value if isinstance(value, list) else [value]
    calls = [_from_entry(entry, names) for entry in entries]
    return [call for call in calls if call] if all(calls) else []


def _from_entry(entry: Any, names: Collection[str]) -> ToolCall | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("function"), dict):  # OpenAI's own nesting
        entry = entry["function"]
    name = next((entry[key] for key in _NAME_KEYS if entry.get(key) in names), None)
    if name is None:
        return None
    arguments: Any = next((entry[key] for key in _ARGUMENT_KEYS if key in entry), {})
    if isinstance(arguments, str):
        return ToolCall(id=new_id("call"), name=name, arguments=arguments)
    return ToolCall(
        id=new_id("call"), name=name, arguments=json.dumps(arguments, ensure_ascii=False)
    )


def _read_python(body: str, names: Collection[str]) -> list[ToolCall]:
    try:
        tree = ast.parse(body, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    nodes = tree.elts if isinstance(tree, ast.List) else [tree]
    calls = []
    for node in nodes:
        if not (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in names
            and not node.args
        ):
            return []
        try:
            values = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
            arguments = json.dumps(values, ensure_ascii=False)
        except (ValueError, TypeError):
            return []
        calls.append(ToolCall(id=new_id("call"), name=node.func.id, arguments=arguments))
    return calls
