"""How a local model writes a tool call, and the grammar that lets it write nothing but valid ones.

A chat template that knows tools shows, when it renders a call of ours, how its model was trained to write one
(``<tool_call>…</tool_call>`` and the like). A model whose template knows none is asked for JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from letta_kernel.models.local.engine import Engine

MOST_CALLS = 4
"""Calls a model may write in one reply."""

_NAME, _KEY, _VALUE, _TEXT, _NEXT = "mark_tool", "mark_key", "mark_value", "marktext", "marknext"


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How calls are written: *opening*, a JSON object with these two keys, *closing*.

    ``native`` is False for the plain JSON asked of a model that was not trained on tools; its answers come as
    ``{"answer": …}``, so that choosing between a call and an answer is choosing a key.
    """

    opening: str
    closing: str
    name_key: str = "name"
    arguments_key: str = "arguments"
    native: bool = True
    thinks: bool = False  # reasons in <think> before it answers
    thinking_opened: bool = False  # the template has written the opening tag itself

    def write(self, name: str, arguments: dict[str, Any]) -> str:
        """Return a call as the model would have written it."""
        body = json.dumps({self.name_key: name, self.arguments_key: arguments}, ensure_ascii=False)
        return f"{self.opening}{body}{self.closing}"


ANSWER = "answer"


def thinks(template: str) -> bool:
    """Tell whether a chat template is of a model that reasons before it answers."""
    return "<think>" in template


def learn(engine: Engine) -> ToolFormat:
    """Return how the model of *engine* writes calls, read off its own chat template."""
    template = str(engine.properties.get("chat_template", ""))
    abilities = engine.properties.get("chat_template_caps") or {}
    reasons = thinks(template)
    asked = [{"role": "user", "content": "Hello"}]
    prompt = engine.apply_template(asked, [])
    opened = reasons and prompt.rstrip().endswith("<think>")
    found = None
    if abilities.get("supports_tools"):
        found = _read_call(engine, bool(abilities.get("supports_object_arguments")))
    if found is None:
        return ToolFormat("", "", "tool", "arguments", False, reasons, opened)
    opening, closing, name_key, arguments_key = found
    return ToolFormat(opening, closing, name_key, arguments_key, True, reasons, opened)


def _read_call(engine: Engine, as_object: bool) -> tuple[str, str, str, str] | None:
    arguments: Any = {_KEY: _VALUE} if as_object else json.dumps({_KEY: _VALUE})
    parameters = {"type": "object", "properties": {_KEY: {"type": "string"}}, "required": [_KEY]}
    tool = {
        "type": "function",
        "function": {"name": _NAME, "description": "", "parameters": parameters},
    }
    call = {
        "id": "call00000",
        "type": "function",
        "function": {"name": _NAME, "arguments": arguments},
    }
    user = {"role": "user", "content": "Hello"}
    after = [
        {"role": "tool", "tool_call_id": "call00000", "name": _NAME, "content": _TEXT},
        {"role": "user", "content": _NEXT},
    ]
    called = engine.apply_template(
        [user, {"role": "assistant", "content": "", "tool_calls": [call]}, *after], [tool]
    )
    said = engine.apply_template(
        [user, {"role": "assistant", "content": _TEXT}, {"role": "user", "content": _NEXT}], [tool]
    )
    start = _same_start(called, said)
    ending = said.partition(_TEXT)[2].partition(_NEXT)[0]  # what ends a turn and opens the next
    for at in [match.start() for match in re.finditer(r"\{", called[start:])]:
        try:
            value, length = json.JSONDecoder().raw_decode(called[start + at :])
        except ValueError:
            continue
        keys = _keys(value)
        if keys is None:
            continue
        opening = called[start : start + at]
        rest = called[start + at + length :]
        closing = rest[: _end(rest, ending)]
        if "[" in opening.replace("<tool_call>[", ""):
            return None  # opened by a control token, which no grammar over text can ask for
        return opening.lstrip(), closing.rstrip(), *keys
    return None


def _same_start(one: str, other: str) -> int:
    """Return where two renderings part: where what the assistant says begins."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)


def _keys(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return None
    names = [key for key, item in value.items() if item == _NAME]
    arguments = [key for key, item in value.items() if item == {_KEY: _VALUE}]
    return (names[0], arguments[0]) if names and arguments else None


def _end(rest: str, ending: str) -> int:
    """Return where a call ends and what ends every turn begins."""
    for length in range(len(ending), 0, -1):
        at = rest.find(ending[:length])
        if at >= 0 and (length > 2 or length == len(ending)):
            return at
    return rest.find("<|") if "<|" in rest else len(rest)


# -- grammars ------------------------------------------------------------------------------------------


def grammar(
    form: ToolFormat,
    tools: list[dict[str, Any]],
    *,
    must_call: bool,
    may_call: bool = True,
    budget: int = 1_024,
) -> str:
    """Return the grammar of a reply: calls of *tools* with valid arguments, or (unless *must_call*) text.

    A model that was not trained on tools rambles: what it writes is bounded to fit into *budget* tokens, so
    that it comes to its end. A trained one is told when it is cut off.
    """
    lines = ["%llguidance {}"]
    body = "answer" if not may_call else "calls" if must_call else "calls | answer"
    if form.thinks and form.thinking_opened:
        lines.append(f"start: /([^<]|<[^\\/])*/ {_quoted('</think>')} /\\s{{0,4}}/ ({body})")
    elif form.thinks:
        lines.append(f"start: thought? ({body})")
        lines.append(
            f"thought: {_quoted('<think>')} /([^<]|<[^\\/])*/ {_quoted('</think>')} /\\s{{0,4}}/"
        )
    else:
        lines.append(f"start: {body}")
    if may_call:
        schema = call_schema(form, tools)
        if not form.native:
            schema = _bounded(schema, max(40, budget // (2 * _most_texts(tools))))
        one = " ".join(
            part
            for part in (
                _quoted(form.opening) if form.opening else "",
                f"%json {json.dumps(schema, ensure_ascii=False)}",
                _quoted(form.closing) if form.closing else "",
            )
            if part
        )
        lines.append(f"one: {one}")
        several = form.native and form.opening
        lines.append(
            f"calls: one (/\\s{{0,2}}/ one){{0,{MOST_CALLS - 1}}}" if several else "calls: one"
        )
    if not must_call:
        lines.append(f"answer: {_answer(form, budget)}")
    return "\n".join(lines)


def _most_texts(tools: list[dict[str, Any]]) -> int:
    """Return how many texts the call with the most of them has."""
    counts = [
        len((tool["function"].get("parameters") or {}).get("properties") or {}) for tool in tools
    ]
    return max([1, *counts])


def _answer(form: ToolFormat, budget: int) -> str:
    if not form.native:
        schema = {
            "type": "object",
            "properties": {
                ANSWER: {"type": "string", "minLength": 1, "maxLength": max(40, budget)}
            },
            "required": [ANSWER],
            "additionalProperties": False,
            **_COMPACT,
        }
        return f"%json {json.dumps(schema)}"
    first = (form.opening or "{")[0]
    return f"/[^{re.escape(first)}\\s](.|\\n)*/"


def _bounded(schema: Any, most: int) -> Any:
    """Give texts and lists that may be of any length a bound, so that a call is whole within its tokens."""
    if isinstance(schema, list):
        return [_bounded(item, most) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: value if key in ("enum", "const", "required") else _bounded(value, most)
        for key, value in schema.items()
    }
    kinds = made.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds:
        made.setdefault("maxLength", max(most, made.get("minLength", 0)))
    if "array" in kinds:
        if "items" in schema:
            made["items"] = _bounded(schema["items"], max(8, most // _MOST_ITEMS))
        made.setdefault("maxItems", max(_MOST_ITEMS, made.get("minItems", 0)))
    return made


_MOST_ITEMS = 8
_COMPACT = {
    "x-guidance": {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
}


def call_schema(form: ToolFormat, tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the JSON schema of one call of any of *tools*."""
    definitions: dict[str, Any] = {}
    choices = []
    for tool in tools:
        function = tool["function"]
        parameters = _strict(
            _hoisted(function.get("parameters") or {}, function["name"], definitions)
        )
        parameters.setdefault("type", "object")
        if not parameters.get("properties"):
            parameters = {"type": "object", "properties": {}, "additionalProperties": False}
        choices.append(
            {
                "type": "object",
                "properties": {
                    form.name_key: {"const": function["name"]},
                    form.arguments_key: parameters,
                },
                "required": [form.name_key, form.arguments_key],
                "additionalProperties": False,
            }
        )
    schema: dict[str, Any] = choices[0] if len(choices) == 1 else {"anyOf": choices}
    return {**schema, **({"$defs": definitions} if definitions else {}), **_COMPACT}


_KEPT = frozenset(
    [
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "additionalProperties",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "prefixItems",
        "$ref",
    ]
)


def _hoisted(schema: dict[str, Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Move a schema's own definitions to the top, under names that cannot meet another tool's."""
    own = {**schema.get("definitions", {}), **schema.get("$defs", {})}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: re.sub(r"^#/(?:\$defs|definitions)/", f"#/$defs/{name}.", item)
                if key == "$ref" and isinstance(item, str)
                else renamed(item)
                for key, item in value.items()
            }
        return [renamed(item) for item in value] if isinstance(value, list) else value

    for key, value in own.items():
        definitions[f"{name}.{key}"] = _strict(renamed(value))
    rest = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    moved: dict[str, Any] = renamed(rest)
    return moved


def _strict(schema: Any) -> Any:
    """Keep what the engine can hold a model to, and forbid properties that were never declared."""
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in _KEPT:
            continue
        if key == "properties":
            kept[key] = {name: _strict(item) for name, item in value.items()}
        elif key in ("items", "additionalProperties"):
            kept[key] = _strict(value)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            kept["anyOf" if key == "oneOf" else key] = [_strict(item) for item in value]
        else:
            kept[key] = value
    if kept.get("properties"):
        kept.setdefault("additionalProperties", False)
    return kept


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def describe(form: ToolFormat, tools: list[dict[str, Any]]) -> str:
    """Return the words that tell a model which was not trained on tools what it has and how to call it."""
    lines = ["You can call these tools:"]
    for tool in tools:
        function = tool["function"]
        summary = " ".join(str(function.get("description") or "").split("\n\n")[0].split())
        parameters = function.get("parameters") or {}
        properties = parameters.get("properties") or {}
        shown = ", ".join(
            f"{name}: {item.get('type', 'any') if isinstance(item, dict) else 'any'}"
            for name, item in properties.items()
        )
        lines.append(f"- {function['name']}({shown}): {summary}")
    example = json.dumps({form.name_key: "NAME", form.arguments_key: {"PARAMETER": "VALUE"}})
    lines.append(
        f"Reply with one JSON object only: {example} to call a tool, or "
        f"{json.dumps({ANSWER: 'TEXT'})} to answer the user."
    )
    return "\n".join(lines)
