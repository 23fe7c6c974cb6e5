"""What an MCP server says of its tools, made fit to keep and to show to a model: names, texts, schemas.

All of it is the server's and is trusted with nothing: it is cut to size, freed of characters that hide
things, and its schemas keep only what providers and our own argument check know, without any reference.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from letta_kernel.errors import ToolError
from letta_kernel.models.schemas import NUMBERS, is_number, is_scalar, target_of
from letta_kernel.tools.jsonschema import Schema, annotation_of

DESCRIPTION = 4_000
"""Characters of a tool's description that are kept."""

SCHEMA = 30_000
"""Characters a tool's schema may have once it is cleaned; a larger one would crowd the context window."""

_NOTE = 1_000  # characters of the description of one argument
_NODES = 3_000  # schemas within a schema; references written out could make billions of a few
_DEEPEST = 20
_CHOICES = 500  # values of an enum
_VALUE = 1_000  # characters of a default or an example
_NAME = 64  # characters of a tool's name that every provider takes

_TYPES = {"string", "integer", "number", "boolean", "null", "array", "object"}
_SIZES = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BRANCHES = ("anyOf", "oneOf", "allOf")
_JOINERS = "\u200c\u200d"  # invisible, but some scripts and emoji need them


def plain_text(text: str, limit: int) -> str:
    """Return *text* without control and invisible characters, in at most *limit* characters."""
    kept = "".join(
        c for c in text if c in "\n\t" or c in _JOINERS or unicodedata.category(c)[0] != "C"
    ).strip()
    return kept if len(kept) <= limit else f"{kept[: limit - 1]}…"


def tool_name(server: str, name: str, taken: Collection[str]) -> str:
    """Return a name models can call for the tool *name* of *server*, unlike any in *taken*.

    It is the tool's own if that is free, else ``server__tool``, else the same with a number.
    """
    own = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-") or "tool"
    if own[0].isalpha() and own[:_NAME] not in taken:
        return own[:_NAME]
    long = f"{server}__{own}"[:_NAME]
    number, made = 1, long
    while made in taken:
        number += 1
        made = f"{long[: _NAME - len(str(number)) - 1]}_{number}"
    return made


def clean_schema(schema: Any) -> Schema:
    """Return the JSON schema of a tool's arguments as models and `parse_arguments` can use it.

    Raises
    ------
    ToolError
        When it is too large.
    """
    cleaner = _Cleaner(schema if isinstance(schema, Mapping) else {})
    found = cleaner.clean(cleaner.root)
    properties: Schema = dict(found.get("properties", {}))
    required = set(found.get("required", ()))
    for key in _BRANCHES:  # providers refuse them at the top
        branches = [one for one in found.get(key, ()) if "properties" in one]
        for branch in branches:
            for name, one in branch["properties"].items():
                properties.setdefault(name, one)
        needs = [set(branch.get("required", ())) for branch in branches]
        if needs:
            required |= set.union(*needs) if key == "allOf" else set.intersection(*needs)
    made: Schema = {
        "type": "object",
        "properties": {name: _checkable(one) for name, one in properties.items()},
        "required": [name for name in properties if name in required],
    }
    if found.get("additionalProperties", False) is not False:
        made["additionalProperties"] = found["additionalProperties"]
    size = len(json.dumps(made, ensure_ascii=False))
    if size > SCHEMA:
        raise ToolError(f"its schema has {size:,} characters (at most {SCHEMA:,} are taken)")
    return made


def _checkable(schema: Schema) -> Schema:
    """Return *schema*, or one that takes anything where no check of arguments can be made from it."""
    from pydantic import TypeAdapter

    try:
        TypeAdapter(annotation_of(schema, {}))
    except Exception:  # limits that do not fit their type: pydantic has many errors for it
        return {key: schema[key] for key in ("description",) if key in schema}
    return schema


class _Cleaner:
    """Copies the known parts of a schema, references written out."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.nodes = 0

    def clean(self, schema: Any, within: tuple[str, ...] = (), depth: int = 0) -> Schema:
        """Return a clean copy; *within* are the references that are being written out."""
        self.nodes += 1
        if self.nodes > _NODES:
            raise ToolError("its schema is too large")
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return {}
        made = _words(schema)
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in within:
            # A recursive definition ends where it begins anew: below that, anything goes.
            target = self.clean(target_of(self.root, reference), (*within, reference), depth + 1)
            made = {**target, **made}
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            made["properties"] = {
                name: self.clean(one, within, depth + 1)
                for name, one in properties.items()
                if isinstance(name, str) and name == plain_text(name, 200)
            }
            needs = schema.get("required")
            names = needs if isinstance(needs, list) else []
            made["required"] = [name for name in made["properties"] if name in names]
        extra = schema.get("additionalProperties")
        if isinstance(extra, bool):
            made["additionalProperties"] = extra
        elif isinstance(extra, Mapping):
            made["additionalProperties"] = self.clean(extra, within, depth + 1)
        items = schema.get("items")
        if isinstance(items, Mapping):
            made["items"] = self.clean(items, within, depth + 1)
        places = items if isinstance(items, list) else schema.get("prefixItems")
        if isinstance(places, list) and places:
            made["prefixItems"] = [self.clean(one, within, depth + 1) for one in places]
        for key in _BRANCHES:
            branches = schema.get(key)
            if isinstance(branches, list) and branches:
                made[key] = [self.clean(one, within, depth + 1) for one in branches]
        if schema.get("nullable") is True and "type" not in schema:
            return _or_null(made)
        return made


def _words(schema: Mapping[str, Any]) -> Schema:
    """Return the keywords of *schema* that hold no schemas, as far as they mean something."""
    # Each keyword is checked by itself: a server that has one wrong loses that one, and not its tool.
    made: Schema = {}
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    kinds = [one.lower() for one in kinds if isinstance(one, str) and one.lower() in _TYPES]
    if schema.get("nullable") is True and kinds and "null" not in kinds:
        kinds.append("null")
    if kinds:
        made["type"] = kinds[0] if len(kinds) == 1 else kinds
    if isinstance(schema.get("description"), str):
        made["description"] = plain_text(schema["description"], _NOTE)
    choices = schema.get("enum")
    if (
        isinstance(choices, list)
        and 0 < len(choices) <= _CHOICES
        and all(map(_short_scalar, choices))
    ):
        made["enum"] = list(choices)
    if "const" in schema and _short_scalar(schema["const"]):
        made["const"] = schema["const"]
    for key in ("default", "examples"):
        if key in schema and _small(schema[key]):
            made[key] = schema[key]
    for key in NUMBERS:
        value = schema.get(key, "")
        if is_number(value) and (key != "multipleOf" or value > 0):
            made[key] = value
    for key in _SIZES:
        value = schema.get(key, "")
        if is_number(value) and value >= 0 and value == int(value):
            made[key] = int(value)
    for key, limit in (("format", 40), ("pattern", 500)):
        value = schema.get(key)
        if isinstance(value, str) and len(value) <= limit:
            made[key] = value
    if isinstance(schema.get("uniqueItems"), bool):
        made["uniqueItems"] = schema["uniqueItems"]
    return made


def _or_null(made: Schema) -> Schema:
    """Return *made*, whose type stands in what it holds or refers to, as one that takes null too."""
    words: Schema = {key: made.pop(key) for key in ("description", "default") if key in made}
    return {**words, "anyOf": [made, {"type": "null"}]} if made else words


def _short_scalar(value: Any) -> bool:
    return is_scalar(value) and (not isinstance(value, str) or len(value) <= _VALUE)


def _small(value: Any) -> bool:
    try:
        return len(json.dumps(value, allow_nan=False)) <= _VALUE
    except (ValueError, TypeError, RecursionError):
        return False
