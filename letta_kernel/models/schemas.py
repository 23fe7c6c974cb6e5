"""The JSON schemas of tools in a form that every provider takes.

Each provider refuses something else: OpenAI arrays without ``items``, lists of schemas for tuples and
unions at the top; Anthropic keys beyond letters, digits, ``_``, ``.`` and ``-``; Gemini types in lists,
``const``, ``oneOf`` and most formats; the grammars of local servers patterns and long repetitions. One refused
schema fails the whole request, and with it every turn of the agent. So all get the same plain form:
references written out, one type a node, unions as ``anyOf``, choices as ``enum``. What the form cannot say
goes into the description; arguments are checked against the tool itself when it is called. Gemini, which has
fewer words than JSON Schema and refuses those it lacks, gets a form of its own (`for_gemini`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

_NODES = 5_000  # of one tool; references written out could make billions of a few
_DEEPEST = 24
_REPEATS = (
    1_000  # lengths beyond it are left to the tool: grammars and Gemini refuse long repetitions
)
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NOT_IN_KEY = re.compile(r"[^A-Za-z0-9_.-]+")
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_OTHER_TYPES = {
    "str": "string", "text": "string", "date": "string", "datetime": "string", "file": "string",
    "int": "integer", "long": "integer", "float": "number", "double": "number", "decimal": "number",
    "bool": "boolean", "list": "array", "tuple": "array", "set": "array",
    "dict": "object", "map": "object", "struct": "object", "none": "null", "nil": "null",
}  # fmt: skip
_OF_TYPE = {
    "properties": "object", "additionalProperties": "object", "items": "array", "prefixItems": "array",
    "minItems": "array", "maxItems": "array", "minLength": "string", "maxLength": "string",
    "pattern": "string", "format": "string", "minimum": "number", "maximum": "number",
    "exclusiveMinimum": "number", "exclusiveMaximum": "number", "multipleOf": "number",
}  # fmt: skip
NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SIZES = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}


@dataclass(slots=True)
class Portable:
    """A tool's parameters as they are sent; ``keys`` are the names that had to be changed, sent to own."""

    schema: Schema
    keys: dict[str, str] = field(default_factory=dict)


def portable(parameters: Any) -> Portable:
    """Return the schema of a tool's arguments in the form every provider takes; it never fails."""
    writer = _Writer(parameters if isinstance(parameters, Mapping) else {})
    made = writer.node(parameters, (), 0) or {}
    made = _joined(made, made.pop("anyOf", []))  # refused at the top
    made.pop("enum", None)
    properties = made.get("properties")
    made["type"] = "object"
    made["properties"] = properties if isinstance(properties, dict) else {}
    kept = ("type", "properties", "required", "additionalProperties", "description")
    return Portable(
        {key: made[key] for key in kept if key in made},
        {sent: own for own, sent in writer.keys.items()},
    )


class _Writer:
    """Writes one schema out anew, its references followed."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.keys: dict[str, str] = {}  # own name to the one sent, where they differ
        self._nodes = 0

    def node(self, schema: Any, within: tuple[str, ...], depth: int) -> Schema | None:
        """Return *schema* written out; None for one that nothing fits.

        *within* are the references being written out: a definition that holds itself ends there.
        """
        # A node may say its kind by type, by choices, by branches or by none of them; each pair of these has
        # its own meaning.
        self._nodes += 1
        if schema is False:
            return None
        if not isinstance(schema, Mapping) or depth > _DEEPEST or self._nodes > _NODES:
            return {}
        schema, within = self._whole(schema, within, depth)
        made = _words(schema)
        branches = self._branches(schema, within, depth)
        kinds, null = _kinds(schema)
        choices = _choices(schema)
        if choices is not None:
            null = null or None in choices
            choices = [one for one in choices if one is not None]
            if not choices:
                return {**made, "type": "null"}
        if branches and not kinds and choices is None:
            branches += [{"type": "null"}] if null and {"type": "null"} not in branches else []
            if len(branches) == 1:
                return {**branches[0], **made}
            return {**made, "anyOf": branches}
        if not kinds and choices is not None:
            kinds = sorted({_kind_of(one) for one in choices}, key=_TYPES.index)
        if not kinds:
            found = [kind for key, kind in _OF_TYPE.items() if schema.get(key) is not None]
            kinds = found[:1]
        written = (self._typed(schema, kind, choices, within, depth) for kind in kinds)
        typed = [one for one in written if one is not None]
        if null and typed:
            typed.append({"type": "null"})
        elif null and not branches and schema.get("nullable") is not True:
            return {**made, "type": "null"}
        if len(typed) > 1:
            return {**made, "anyOf": typed}
        alone = {**(typed[0] if typed else {}), **made}
        if branches and alone.get("type") == "object":
            alone = _joined(alone, branches)
        _describe_pattern(schema, alone)
        return alone

    def _whole(
        self, schema: Mapping[str, Any], within: tuple[str, ...], depth: int
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Return *schema* with what it refers to, and all of ``allOf``, in one."""
        reference = schema.get("$ref")
        if isinstance(reference, str):
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            target = target_of(self.root, reference)
            if reference in within:  # it would never end: below, anything of that kind goes
                kind = target.get("type") if isinstance(target, Mapping) else None
                return {**({"type": kind} if isinstance(kind, str) else {}), **rest}, within
            within = (*within, reference)
            schema = {**(target if isinstance(target, Mapping) else {}), **rest}
            if "$ref" in schema and len(within) < _DEEPEST:
                return self._whole(schema, within, depth)
        parts = schema.get("allOf")
        if isinstance(parts, list) and parts:
            joined: Schema = {key: value for key, value in schema.items() if key != "allOf"}
            for part in parts:
                if isinstance(part, Mapping) and len(within) < _DEEPEST:
                    part, within = self._whole(part, within, depth + 1)
                    joined = _merged(joined, part)
            return joined, within
        return schema, within

    def _branches(
        self, schema: Mapping[str, Any], within: tuple[str, ...], depth: int
    ) -> list[Schema]:
        found: list[Schema] = []
        for key in ("anyOf", "oneOf"):
            given = schema.get(key)
            for one in given if isinstance(given, list) else ():
                made = self.node(one, within, depth + 1)
                for flat in made.get("anyOf", [made]) if made is not None else ():
                    if flat not in found:
                        found.append(flat)
        return found

    def _typed(
        self,
        schema: Mapping[str, Any],
        kind: str,
        choices: list[Any] | None,
        within: tuple[str, ...],
        depth: int,
    ) -> Schema | None:
        """Return what *schema* says of values of one type; None where none of its choices is one."""
        # Only the words of this one type are taken: a schema of several types becomes one of each, and no
        # provider takes others' words.
        made: Schema = {"type": kind}
        if choices is not None:
            fitting = [one for one in choices if _fits(one, kind)]
            if not fitting:
                return None
            made["enum"] = fitting
        if kind in ("integer", "number"):
            for key in NUMBERS:
                if is_number(schema.get(key)) and (key != "multipleOf" or schema[key] > 0):
                    made[key] = schema[key]
        for key in _SIZES.get(kind, ()):
            size: Any = schema.get(key)
            if is_number(size) and 0 <= size <= _REPEATS and size == int(size):
                made[key] = int(size)
        if kind in ("string", "integer", "number") and isinstance(schema.get("format"), str):
            made["format"] = schema["format"]
        if kind == "array":
            self._array(schema, made, within, depth)
        if kind == "object":
            self._object(schema, made, within, depth)
        return made

    def _array(
        self, schema: Mapping[str, Any], made: Schema, within: tuple[str, ...], depth: int
    ) -> None:
        items = schema.get("items")
        places = items if isinstance(items, list) else schema.get("prefixItems")
        if isinstance(places, list) and places:
            kinds: list[Schema] = []
            for place in places:
                one = self.node(place, within, depth + 1)
                for flat in one.get("anyOf", [one]) if one is not None else ():
                    if flat not in kinds:
                        kinds.append(flat)
            made["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if all(kinds) else {}
            if schema.get("minItems") == schema.get("maxItems") or "maxItems" not in schema:
                made["minItems"], made["maxItems"] = len(places), len(places)
        else:
            made["items"] = self.node(items if items is not None else {}, within, depth + 1) or {}
        if schema.get("uniqueItems") is True:
            made["uniqueItems"] = True

    def _object(
        self, schema: Mapping[str, Any], made: Schema, within: tuple[str, ...], depth: int
    ) -> None:
        given = schema.get("properties")
        needs = schema.get("required")
        needs = needs if isinstance(needs, list) else []
        properties: Schema = {}
        required = []
        for name, one in given.items() if isinstance(given, Mapping) else ():
            if not isinstance(name, str) or (written := self.node(one, within, depth + 1)) is None:
                continue
            properties[self._key(name)] = written
            if name in needs:
                required.append(self._key(name))
        if properties:
            made["properties"] = properties
        if required:
            made["required"] = required
        extra = schema.get("additionalProperties")
        if isinstance(extra, bool):
            made["additionalProperties"] = extra
        elif isinstance(extra, Mapping):
            made["additionalProperties"] = self.node(extra, within, depth + 1) or True

    def _key(self, name: str) -> str:
        """Return the name a property is sent under: its own unless some provider refuses that."""
        if _KEY.fullmatch(name):
            return name
        if name not in self.keys:
            plain = _NOT_IN_KEY.sub("_", name)[:56].strip("_") or "argument"
            number, sent = 1, f"{plain}_1"
            while sent in self.keys.values():
                number += 1
                sent = f"{plain}_{number}"
            self.keys[name] = sent
        return self.keys[name]


def target_of(root: Any, reference: str) -> Any:
    """Return what a reference within a schema points at; None for anchors, addresses and what is not there."""
    found: Any = root if reference == "#" or reference.startswith("#/") else None
    for part in unquote(reference[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _words(schema: Mapping[str, Any]) -> Schema:
    """Return what *schema* says about itself."""
    made: Schema = {
        k: schema[k] for k in ("title", "description") if isinstance(schema.get(k), str)
    }
    for key in ("default", "examples"):
        if (
            key in schema
            and _json(schema[key])
            and (key == "default" or isinstance(schema[key], list))
        ):
            made[key] = schema[key]
    return made


def _describe_pattern(schema: Mapping[str, Any], made: Schema) -> None:
    # Every engine knows another set of expressions, and an unknown one fails the request.
    if made.get("type") == "string" and isinstance(schema.get("pattern"), str):
        note(made, f"pattern: {schema['pattern'][:300]}")


def note(made: Schema, words: str) -> None:
    """Add *words* to the description of a schema."""
    said = made.get("description")
    made["description"] = f"{said} ({words})" if said else f"({words})"


def _kinds(schema: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the types *schema* names, null apart."""
    given = schema.get("type")
    named = given if isinstance(given, list) else [given]
    kinds: list[str] = []
    for one in named:
        kind = one.lower() if isinstance(one, str) else ""
        kind = _OTHER_TYPES.get(kind, kind)
        if kind in _TYPES and kind not in kinds:
            kinds.append(kind)
    null = "null" in kinds or schema.get("nullable") is True
    return [kind for kind in kinds if kind != "null"], null


def _choices(schema: Mapping[str, Any]) -> list[Any] | None:
    given = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(given, list):
        return None
    found: list[Any] = []
    for one in given:
        if is_scalar(one) and not any(one == other and type(one) is type(other) for other in found):
            found.append(one)
    return found or None


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Schema:
    """Return a schema that asks for both, as far as that can be said."""
    made = {**other, **one}
    for key in ("properties", "$defs", "definitions"):
        if isinstance(one.get(key), Mapping) and isinstance(other.get(key), Mapping):
            made[key] = {**one[key], **other[key]}
    needs = [s["required"] for s in (one, other) if isinstance(s.get("required"), list)]
    if needs:
        made["required"] = [name for need in needs for name in need]
    if one.get("additionalProperties") is False or other.get("additionalProperties") is False:
        made.pop("additionalProperties", None)  # each forbids what the other asks for
    return made


def _joined(made: Schema, branches: list[Schema]) -> Schema:
    """Return an object that takes what any of its branches takes; only what all need is needed."""
    if not branches:
        return made
    properties = dict(made.get("properties", {}))
    for branch in branches:
        for name, one in (branch.get("properties") or {}).items():
            known = properties.setdefault(name, one)
            either = [*known.get("anyOf", [known]), *one.get("anyOf", [one])]
            either = [kind for at, kind in enumerate(either) if kind not in either[:at]]
            properties[name] = either[0] if len(either) == 1 else {"anyOf": either}
    shared = set.intersection(*(set(branch.get("required") or ()) for branch in branches))
    needed = {*made.get("required", ()), *shared}
    joined = {**made, **({"properties": properties} if properties else {})}
    return {**joined, **({"required": [n for n in properties if n in needed]} if needed else {})}


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def _fits(value: Any, kind: str) -> bool:
    found = _kind_of(value)
    return found == kind or (kind == "number" and found == "integer")


def is_number(value: Any) -> bool:
    """Return whether *value* is a number JSON can say."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_scalar(value: Any) -> bool:
    """Return whether *value* is null, a truth value, a number or a text."""
    return value is None or isinstance(value, str | bool) or is_number(value)


def _json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


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
    if made.get("properties") == {}:  # refused there
        del made["properties"]
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
