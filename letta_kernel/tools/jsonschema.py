"""JSON schemas as providers want them: no titles, nested models inlined, a loose and a strict form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from letta_kernel.errors import ToolError

Schema = dict[str, Any]

_REF = "#/$defs/"
_MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")  # name -> schema
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "contains", "propertyNames")
# Strict structured output knows these keywords; other ones are checked when the tool is called.
_STRICT_KEYWORDS = {
    *("type", "description", "enum", "const", "anyOf", "items", "properties", "required"),
    *("additionalProperties", "$ref", "pattern", "format", "multipleOf", "maximum", "minimum"),
    *("exclusiveMaximum", "exclusiveMinimum", "minItems", "maxItems"),
}
_STRICT_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"),
}


def mapped(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a copy of *schema* with *change* applied to the schemas directly inside it."""

    def one(value: Any) -> Any:
        return change(value) if isinstance(value, dict) else value

    result = dict(schema)
    for key in _MAPS:
        if key in schema:
            result[key] = {name: one(value) for name, value in schema[key].items()}
    for key in _LISTS:
        if key in schema:
            result[key] = [one(value) for value in schema[key]]
    for key in _SINGLE:
        if key in schema:
            result[key] = one(schema[key])
    return result


def without_titles(schema: Schema) -> Schema:
    """Return *schema* without ``title`` and ``discriminator``, which only repeat what names say."""
    result = mapped(schema, without_titles)
    result.pop("title", None)
    result.pop("discriminator", None)  # its mapping points at definitions that are inlined
    return result


def inlined(schema: Schema, definitions: dict[str, Schema]) -> tuple[Schema, dict[str, Schema]]:
    """Put definitions in the place of references; return also those that must stay, being recursive."""
    recursive = {name for name in definitions if name in _reachable(definitions[name], definitions)}

    def inline(part: Schema) -> Schema:
        name = str(part.get("$ref", "")).removeprefix(_REF)
        if not name:
            return mapped(part, inline)
        if name in recursive or name not in definitions:
            return part
        beside = {key: value for key, value in part.items() if key != "$ref"}
        return inline({**definitions[name], **beside})

    result = inline(schema)
    needed = _reachable(result, definitions) & recursive
    return result, {name: mapped(definitions[name], inline) for name in sorted(needed)}


def _reachable(schema: Schema, definitions: dict[str, Schema]) -> set[str]:
    """Return the names of all definitions *schema* refers to, directly or not."""
    found: set[str] = set()

    def look(part: Schema) -> Schema:
        name = str(part.get("$ref", "")).removeprefix(_REF)
        if name in definitions and name not in found:
            found.add(name)
            look(definitions[name])
        return mapped(part, look)

    look(schema)
    return found


def without_null(schema: Schema) -> Schema:
    """Return X's schema for that of ``Optional[X]``; any other schema stays as it is."""
    branches = schema.get("anyOf", ())
    rest = [branch for branch in branches if branch.get("type") != "null"]
    if not rest or len(rest) == len(branches):
        return schema
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(rest) == 1:
        return {**rest[0], **beside}
    return {"anyOf": rest, **beside}


def loose(schema: Schema) -> Schema:
    """Return the ordinary form: inside models, a field that may be left out need not offer null.

    ``required`` is present wherever there are properties.
    """
    result = mapped(schema, loose)
    if "properties" in result:
        result.setdefault("required", [])
    required = result.get("required", ())
    for name, field in result.get("properties", {}).items():
        if name not in required and isinstance(field, dict):
            plain = without_null(field)
            if plain is not field and plain.get("default", 0) is None:
                plain = {key: value for key, value in plain.items() if key != "default"}
            result["properties"][name] = plain
    return result


def strict(schema: Schema, where: str) -> Schema:
    """Return the form for structured output: every field required, nothing left open.

    Raises
    ------
    ToolError
        When the type has no strict form; the text starts with *where* and says what to do.
    """

    def refuse(what: str, mend: str) -> ToolError:
        return ToolError(f"{where} has no strict form: {what}; {mend}, or leave strict out")

    if "oneOf" in schema:
        schema = {**schema, "anyOf": schema["oneOf"]}
    if "allOf" in schema or "not" in schema or "patternProperties" in schema:
        raise refuse("its schema combines others", "use a model with named fields")
    if "prefixItems" in schema or schema.get("maxItems") == 0:
        raise refuse("a tuple's places differ", "use a model with named fields or list[...]")
    result = {key: value for key, value in schema.items() if key in _STRICT_KEYWORDS}
    if result.get("format") not in _STRICT_FORMATS:
        result.pop("format", None)
    kind = schema.get("type")
    if kind == "object":
        extra = schema.get("additionalProperties", "properties" not in schema)
        if extra is not False and (extra or "properties" not in schema):
            raise refuse("a dictionary may hold any keys", "use a model with named fields")
        result["properties"] = {
            name: strict(field, f"{where}, field {name!r}")
            for name, field in schema.get("properties", {}).items()
        }
        result["required"] = list(result["properties"])
        result["additionalProperties"] = False
    elif kind == "array":
        if not schema.get("items"):
            raise refuse("its items may be anything", "say of what, as in list[str]")
        result["items"] = strict(schema["items"], where)
    elif "anyOf" in schema:
        result["anyOf"] = [strict(branch, where) for branch in schema["anyOf"]]
    elif not {"type", "enum", "const", "$ref"} & schema.keys():
        raise refuse("it may be anything", "name a type")
    return result


def nullable(schema: Schema) -> Schema:
    """Return *schema* with null allowed, as the strict form wants it of what may be left out."""
    if "anyOf" in schema:
        if any(branch.get("type") == "null" for branch in schema["anyOf"]):
            return schema
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if isinstance(schema.get("type"), str) and not {"enum", "const"} & schema.keys():
        return {**schema, "type": [schema["type"], "null"]}
    inner = {key: value for key, value in schema.items() if key != "description"}
    beside = {key: value for key, value in schema.items() if key == "description"}
    return {"anyOf": [inner, {"type": "null"}], **beside}
