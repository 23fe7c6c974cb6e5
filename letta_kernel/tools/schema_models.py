"""Classes for the types that a JSON schema names: what a tool's source says of them without having them."""

from __future__ import annotations

import builtins
import keyword
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from enum import Enum
from typing import Any, ForwardRef, Optional

from letta_kernel.tools.arguments import ToolArgumentError, described
from letta_kernel.tools.jsonschema import Definitions, annotation_of

KEPT_AS = "args_json_schema"
"""Where a tool's metadata keeps the schema that came with its source, if that names types."""
MOST_MEMBERS = 10_000
"""Values of an enumeration that becomes a class; those of a larger one stay as they are."""
_COMBINED = {"allOf", "anyOf", "oneOf", "$ref", "patternProperties"}


class _Named(Definitions):
    """Definitions of which those that are *classes* are referred to by their names.

    Attributes
    ----------
    met : whether a type that was made with these refers to one of them.
    """

    def __init__(self, given: Mapping[str, Any], classes: Mapping[str, Any]) -> None:
        super().__init__(given)
        self._classes = classes
        self.met = False

    def at(self, name: str, level: int) -> Any:
        if name not in self._classes:
            return super().at(name, level)
        self.met = True
        return ForwardRef(name)


class SchemaModels:
    """The types that *schema*, of the arguments of a tool, names in its ``$defs``.

    Attributes
    ----------
    classes
        Models and enumerations by name; one that cannot be made, or not with all its fields, is left out and
        its values stay what JSON has.
    names
        What a source may mean by the name of each definition: its class, else anything.
    """

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        given = schema or {}
        found, named = given.get("properties"), given.get("$defs")
        self._properties: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        self._given: Mapping[str, Any] = named if isinstance(named, Mapping) else {}
        self._filling: set[str] = set()
        self.classes: dict[str, Any] = {}
        wanted = [name for name, one in self._given.items() if _may_be_class(name, one)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fields that hide a method of models
            # Without one that cannot be made the others are others, too.
            while len(self._make(wanted)) < len(wanted):
                wanted = list(self.classes)
        self.names = {name: self.classes.get(name, Any) for name in self._given if _is_free(name)}

    def converted(self, tool: str, name: str, value: Any) -> Any:
        """Return the JSON value of an argument as objects of these types, or as it is if it is none of them.

        Raises
        ------
        ToolArgumentError
            It does not fit; one line that lists every bad field.
        """
        from pydantic import ValidationError

        definitions = _Named(self._given, self.classes)
        try:
            kind = annotation_of(self._properties.get(name), definitions)
            return self._as(kind, name)(value) if definitions.met else value
        except ValidationError as error:
            problems = "; ".join(described({name: value}, error))
            raise ToolArgumentError(f"{tool}: {problems}.") from None
        except Exception:  # a schema that makes no type, as where it is too deep
            return value

    def _make(self, wanted: Sequence[str]) -> dict[str, Any]:
        """Make the classes that are *wanted* and return those that could be made."""
        self.classes = dict.fromkeys(wanted)
        definitions = _Named(self._given, self.classes)
        made: dict[str, Any] = {}
        for name in wanted:
            with suppress(Exception):  # a schema from elsewhere may hold what makes no class
                made[name] = self._class(name, definitions)
        self.classes = dict(made)
        for name, one in made.items() if len(made) == len(wanted) else ():
            try:
                if not issubclass(one, Enum):
                    one.model_rebuild(_types_namespace=made)
            except Exception:
                del self.classes[name]
        return self.classes

    def _class(self, name: str, definitions: _Named) -> Any:
        from pydantic import ConfigDict, Field, create_model

        schema = self._given[name]
        if "enum" in schema:
            return _enumeration(name, schema["enum"])
        required = schema.get("required", ())
        fields: dict[str, Any] = {}
        for field, one in schema["properties"].items():
            kind = annotation_of(one, definitions)
            if field in required:
                fields[field] = (kind, ...)
            elif one.get("default") is None:
                fields[field] = (Optional[kind], None)  # noqa: UP045 - the kind may be a name
            else:
                default = self._default(name, field, kind, one["default"])
                fields[field] = (kind, Field(default_factory=default))
        extra = schema.get("additionalProperties")
        config = ConfigDict(
            extra="ignore" if extra is None else "forbid" if extra is False else "allow"
        )
        made: Any = create_model(name, __config__=config, **fields)
        if made.model_fields.keys() != fields.keys():
            raise ValueError("some of its names mean something else to a model")
        return made

    def _default(self, owner: str, field: str, kind: Any, value: Any) -> Callable[[], Any]:
        """Return what makes a default of its JSON *value*, which stays as it is where it does not fit."""

        def make() -> Any:
            if owner in self._filling:  # a default that has itself inside
                return deepcopy(value)
            self._filling.add(owner)
            try:
                return self._as(kind, field)(deepcopy(value))
            except ValueError:
                return deepcopy(value)
            finally:
                self._filling.discard(owner)

        return make

    def _as(self, kind: Any, name: str) -> Callable[[Any], Any]:
        """Return what turns JSON values into a *kind* that refers to classes by name; *name* is for errors."""
        from pydantic import Field, create_model

        holder: Any = create_model("Argument", value=(kind, Field(alias=name)))
        holder.model_rebuild(_types_namespace=self.classes)
        return lambda value: holder.model_validate({name: value}).value


def _is_free(name: str) -> bool:
    """Return whether a source may have this name for a type of its own; ``list`` and the like are Python's."""
    hides = name.startswith("__") or (name.islower() and hasattr(builtins, name))
    return name.isidentifier() and not keyword.iskeyword(name) and not hides


def _may_be_class(name: str, schema: Any) -> bool:
    """Return whether a definition may become a class of this name without anything lost."""
    if not _is_free(name) or not isinstance(schema, Mapping) or _COMBINED & schema.keys():
        return False
    if "enum" in schema:
        return isinstance(schema["enum"], list) and 0 < len(schema["enum"]) <= MOST_MEMBERS
    fields = schema.get("properties")
    return isinstance(fields, Mapping) and all(
        one.isidentifier() and not one.startswith("_") and not keyword.iskeyword(one)
        for one in fields
    )


def _enumeration(name: str, values: Sequence[Any]) -> type[Enum]:
    """Return the enumeration of *values*, which are equal to its members where they are all texts."""
    members = []
    for number, value in enumerate(values):
        text = str(value)
        usual = text and text != "mro" and not text.startswith("_")
        members.append((text if usual else f"value_{number}", value))
    texts = all(isinstance(value, str) for value in values)
    made: Any = Enum(name, members, type=str) if texts else Enum(name, members)
    if len(made) < len(values):
        raise ValueError("some of its values are equal")
    return made
