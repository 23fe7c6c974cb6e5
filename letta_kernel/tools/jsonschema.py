"""JSON schemas as providers want them: no titles, nested models inlined, loose or strict; and back.

A tool whose code is not in this process has only its schema: `annotation_of` makes types of it.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import GenericAlias
from typing import Annotated, Any, Literal, Union

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

    # Each refusal names what is open and how to close it: providers answer such a schema with an error about
    # all tools.
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


_FORMATS: dict[str, Any] = {
    "date": datetime.date,
    "date-time": datetime.datetime,
    "time": datetime.time,
    "duration": datetime.timedelta,
    "uuid": uuid.UUID,
}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_LENGTHS = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
_ITEMS = {"minItems": "min_length", "maxItems": "max_length"}
_DEEPEST = 8  # levels of a recursive definition that are checked here; its own code checks all


class Definitions(dict[str, Any]):
    """Definitions of a schema, and the types made of them so far, by name and level.

    Without these, definitions that refer to each other several times each take time without end.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.made: dict[tuple[str, int], Any] = {}

    def at(self, name: str, level: int) -> Any:
        """Return the type of the definition *name*, met *level* references deep."""
        if (name, level) not in self.made:
            self.made[name, level] = annotation_of(self[name], self, level)
        return self.made[name, level]


def annotation_of(schema: Any, definitions: Mapping[str, Any], level: int = 0) -> Any:
    """Return a type that accepts what *schema* accepts, as far as pydantic can tell; else ``Any``."""
    if not isinstance(schema, Mapping):
        return Any
    if not isinstance(definitions, Definitions):
        definitions = Definitions(definitions)
    try:
        return _annotation(schema, definitions, level)
    except (
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
    ):  # a schema from elsewhere may be anything
        return Any


def _annotation(schema: Mapping[str, Any], definitions: Definitions, level: int) -> Any:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if level >= _DEEPEST:
            return Any
        return definitions.at(reference.rpartition("/")[2], level + 1)
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    if "const" in schema:
        return Literal[schema["const"]]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return _either(annotation_of(one, definitions, level) for one in branches)
    kind = schema.get("type")
    if isinstance(kind, list):
        return _either(annotation_of({**schema, "type": one}, definitions, level) for one in kind)
    match kind:
        case "string":
            # A date has no length; what it must look like its type checks already.
            kind = _FORMATS.get(schema.get("format", ""))
            return kind if kind is not None else _bounded(str, schema, _LENGTHS)
        case "integer":
            return _bounded(int, schema, _BOUNDS)
        case "number":
            return _either([_bounded(int, schema, _BOUNDS), _bounded(float, schema, _BOUNDS)])
        case "boolean":
            return bool
        case "null":
            return None
        case "array":
            return _array(schema, definitions, level)
        case "object":
            return _object(schema, definitions, level)
    return Any


def _either(kinds: Iterable[Any]) -> Any:
    return Union[tuple(kinds)]  # noqa: UP007 - built at run time


def _array(schema: Mapping[str, Any], definitions: Mapping[str, Any], level: int) -> Any:
    if "prefixItems" in schema:
        places = [annotation_of(one, definitions, level) for one in schema["prefixItems"]]
        if schema.get("minItems") == schema.get("maxItems") == len(places):
            return GenericAlias(tuple, tuple(places))
        return list
    return _bounded(
        GenericAlias(list, annotation_of(schema.get("items", {}), definitions, level)),
        schema,
        _ITEMS,
    )


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any], level: int) -> Any:
    import typing_extensions
    from pydantic import with_config

    properties = schema.get("properties")
    extra = schema.get("additionalProperties", True)
    if not properties:
        return GenericAlias(dict, (str, annotation_of(extra, definitions, level) if extra else Any))
    required = schema.get("required", ())
    fields = {
        name: (typing_extensions.Required if name in required else typing_extensions.NotRequired)[
            annotation_of(one, definitions, level)
        ]
        for name, one in properties.items()
    }
    made = typing_extensions.TypedDict("Fields", fields)  # type: ignore[misc]
    return with_config({"extra": "forbid" if extra is False else "allow"})(made)


def _bounded(kind: Any, schema: Mapping[str, Any], keywords: Mapping[str, str]) -> Any:
    from pydantic import Field, TypeAdapter
    from pydantic_core import SchemaError

    found = {ours: schema[theirs] for theirs, ours in keywords.items() if theirs in schema}
    if "pattern" in found:
        try:
            TypeAdapter(Annotated[str, Field(pattern=found["pattern"])])
        except SchemaError:  # look-around and the like, which pydantic's engine does not know
            del found["pattern"]
    return Annotated[kind, Field(**found)] if found else kind
