"""From a JSON schema back to types that check values: for tools whose code is not in this process."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from types import GenericAlias
from typing import Annotated, Any, Literal, Union

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


def annotation_of(schema: Any, definitions: Mapping[str, Any], level: int = 0) -> Any:
    """Return a type that accepts what *schema* accepts, as far as pydantic can tell; else ``Any``."""
    if not isinstance(schema, Mapping):
        return Any
    try:
        return _annotation(schema, definitions, level)
    except (
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
    ):  # a schema from elsewhere may be anything
        return Any


def _annotation(schema: Mapping[str, Any], definitions: Mapping[str, Any], level: int) -> Any:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if level >= _DEEPEST:
            return Any
        return annotation_of(definitions[reference.rpartition("/")[2]], definitions, level + 1)
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
