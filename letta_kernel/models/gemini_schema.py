"""Gemini's own form of schemas, which has fewer words than JSON Schema and refuses those it lacks."""

from __future__ import annotations

import json
from typing import Any

from letta_kernel.models.schemas import Schema, note

_FORMATS = {
    "string": {"date-time", "enum"},
    "integer": {"int32", "int64"},
    "number": {"float", "double"},
}
_ANYTHING: list[Schema] = [{"type": kind} for kind in ("string", "number", "boolean", "object")]


def for_gemini(schema: Any) -> Any:
    """Return a portable schema without what Gemini's own form of schemas lacks."""
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: for_gemini(one) for name, one in value.items()}
        if key == "properties"
        else for_gemini(value)
        if key == "items"
        else [for_gemini(one) for one in value if one.get("type") != "null"]
        if key == "anyOf"
        else value
        for key, value in schema.items()
        if key not in ("additionalProperties", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
                       "uniqueItems", "examples")
    }  # fmt: skip
    if made.get("type") == "null":  # no type there
        made |= {"type": "string", "nullable": True}
    kind = made.get("type")
    if (given := made.get("format")) and given not in _FORMATS.get(str(kind), ()):
        del made["format"]
        note(made, f"format: {given}")
    choices = made.get("enum")
    if choices is not None and not (kind == "string" and all(choices)):
        del made["enum"]
        note(made, "one of: " + ", ".join(json.dumps(one, ensure_ascii=False) for one in choices))
    if kind is None and "anyOf" not in made:
        made["anyOf"] = [dict(one) for one in _ANYTHING]
    if "anyOf" not in made:
        return made
    branches = made["anyOf"]
    for branch in branches:  # which must stand alone there
        if "description" in made:
            branch.setdefault("description", made["description"])
        if len(branches) < len(schema.get("anyOf", branches)):
            branch["nullable"] = True
    return branches[0] if len(branches) == 1 else {"anyOf": branches}
