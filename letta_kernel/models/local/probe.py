"""Which schemas the engine really holds a model to: it ignores, silently, a grammar it cannot compile."""

from __future__ import annotations

import json
from typing import Any

from letta_kernel.models.base import Cancel
from letta_kernel.models.local.engine import Engine
from letta_kernel.models.local.format import ToolFormat, call_schema

_MARK = "zq"  # no model begins a reply with it, unless a grammar makes it
_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})


def holdable(
    engine: Engine, form: ToolFormat, tools: list[dict[str, Any]], prompt: str, cancel: Cancel
) -> tuple[list[dict[str, Any]], int | None]:
    """Return *tools* with schemas the engine enforces, loosened only where it refuses a tool's own.

    The answer is remembered per engine and set of tools. Trying costs two tokens: it is done behind
    *prompt*, which is read for the reply anyway. The number is how many tokens of the prompt were known
    from before, None where nothing had to be tried.
    """
    key = json.dumps([tool["function"] for tool in tools], sort_keys=True)
    if key in engine.held:
        return engine.held[key], None
    enforced, known = _enforced(engine, form, tools, prompt, cancel)
    if enforced:
        kept = tools
    else:
        kept = [
            tool if _enforced(engine, form, [tool], prompt, cancel)[0] else loosened(tool)
            for tool in tools
        ]
    engine.held[key] = kept
    return kept, known


def _enforced(
    engine: Engine, form: ToolFormat, tools: list[dict[str, Any]], prompt: str, cancel: Cancel
) -> tuple[bool, int]:
    schema = json.dumps(call_schema(form, tools), ensure_ascii=False)
    grammar = f'%llguidance {{}}\nstart: "{_MARK}" call\ncall: %json {schema}'
    body = {
        "prompt": prompt,
        "grammar": grammar,
        "max_tokens": 2,
        "temperature": 0,
        "cache_prompt": True,
    }
    text, known = "", 0
    for chunk in engine.complete(body, cancel):
        text += (chunk.get("choices") or [{}])[0].get("text") or ""
        details = (chunk.get("usage") or {}).get("prompt_tokens_details") or {}
        known = details.get("cached_tokens", known)
    return text.startswith(_MARK[0]), known


def loosened(tool: dict[str, Any]) -> dict[str, Any]:
    """Return *tool* with only the names and plain types of its parameters."""
    function = tool["function"]
    parameters = function.get("parameters") or {}
    properties = {}
    for name, schema in (parameters.get("properties") or {}).items():
        kind = schema.get("type") if isinstance(schema, dict) else None
        properties[name] = {"type": kind} if isinstance(kind, str) and kind in _TYPES else {}
    plain = {
        "type": "object",
        "properties": properties,
        "required": [name for name in parameters.get("required") or [] if name in properties],
    }
    return {**tool, "function": {**function, "parameters": plain}}
