"""Classes for the types that a JSON schema names: what a tool's source says of them without having them."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from enum import Enum
from typing import Any, ForwardRef

from letta_kernel.tools.jsonschema import Definitions, annotation_of

KEPT_AS = "args_json_schema"
"""Where a tool's metadata keeps the schema that came with its source, if that names types."""


class _Named(Definitions):
    """Definitions of which those that become classes are referred to by their names."""

    def at(self, name: str, level: int) -> Any:
        return ForwardRef(name) if _becomes_class(self[name]) else super().at(name, level)


def _becomes_class(schema: Any) -> bool:
    return isinstance(schema, Mapping) and ("properties" in schema or "enum" in schema)


class SchemaModels:
    """The types that *schema*, of the arguments of a tool, names in its ``$defs``.

    Attributes
    ----------
    classes
        Models and enumerations by name; one that cannot be made is left out.
    """

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        given = schema or {}
        self.classes: dict[str, Any] = {}
        self._properties: Mapping[str, Any] = given.get("properties") or {}
        named = given.get("$defs") or {}
        self._definitions = _Named(named if isinstance(named, Mapping) else {})
        for name, one in self._definitions.items():
            if name.isidentifier() and not keyword.iskeyword(name) and _becomes_class(one):
                self._add(name, one)
        for made in list(self.classes.values()):
            if hasattr(made, "model_rebuild"):
                made.model_rebuild(raise_errors=False, _types_namespace=self.classes)

    def converted(self, name: str, value: Any) -> Any:
        """Return the JSON value of an argument as objects of these types, or as it is if it is none of them."""
        from pydantic import create_model

        if name not in self._properties or not self.classes:
            return value
        kind = annotation_of(self._properties[name], self._definitions)
        holder = create_model("Argument", value=(kind, ...))
        holder.model_rebuild(raise_errors=False, _types_namespace=self.classes)
        return holder.model_validate({"value": value}).value  # type: ignore[attr-defined]

    def _add(self, name: str, schema: Mapping[str, Any]) -> None:
        from pydantic import create_model

        try:
            if "enum" in schema:
                self.classes[name] = Enum(name, {str(one): one for one in schema["enum"]})
                return
            required = schema.get("required") or ()
            fields: dict[str, Any] = {}
            for field, one in schema["properties"].items():
                kind = annotation_of(one, self._definitions)
                if field in required:
                    fields[field] = (kind, ...)
                else:
                    fields[field] = (
                        (kind, one.get("default")) if "default" in one else (kind | None, None)
                    )
            self.classes[name] = create_model(name, **fields)
        except Exception:  # a schema from elsewhere may hold what pydantic takes for no field
            self.classes.pop(name, None)
