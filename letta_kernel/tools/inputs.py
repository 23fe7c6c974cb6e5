"""What a tool takes, as one pydantic model: its JSON schema and the check of a call come from it."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from letta_kernel.errors import ToolError
from letta_kernel.tools import jsonschema
from letta_kernel.tools.annotations import hints_of
from letta_kernel.tools.parameters import Parameter

if TYPE_CHECKING:
    from pydantic import BaseModel


class Inputs:
    """The parameters of a tool and the pydantic model that describes and checks them.

    Parameters
    ----------
    parameters
        In order.
    namespace
        Where names quoted in their types are looked up.

    Attributes
    ----------
    parameters
        All of them.
    usable
        Those a model can give; the others have a default that only code can make.
    model
        Has one field for each of these, which goes by the parameter's name as its alias: a name may be one that
        pydantic keeps for itself.

    Raises
    ------
    ToolError
        One that must be given has a type that cannot be written as JSON.
    """

    def __init__(
        self, parameters: Sequence[Parameter], namespace: Mapping[str, Any] | None = None
    ) -> None:
        self.parameters = self.usable = list(parameters)
        names = dict(namespace or {})
        try:
            self.model, self._described = _modelled(self.usable, names)
        except Exception:
            self.usable = [one for one in parameters if _is_usable(one, names)]
            self.model, self._described = _modelled(self.usable, names)

    def schema(self, *, strict: bool = False) -> dict[str, Any]:
        """Return the JSON schema: ``type``, ``properties``, ``required``, maybe ``$defs``.

        Raises
        ------
        ToolError
            A type has no strict form.
        """
        whole = jsonschema.without_titles(self._described)
        definitions = whole.get("$defs", {})
        properties: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        for one in self.usable:
            raw = whole["properties"][one.name]
            raw.pop("default", None)
            schema, recursive = jsonschema.inlined(raw, definitions)
            if strict:
                where = f"parameter {one.name!r}"
                schema = jsonschema.strict(schema, where)
                recursive = {key: jsonschema.strict(part, where) for key, part in recursive.items()}
                schema = schema if one.required else jsonschema.nullable(schema)
            else:
                schema = jsonschema.loose(schema)
                schema = jsonschema.without_null(schema) if one.nullable else schema
                recursive = {key: jsonschema.loose(part) for key, part in recursive.items()}
            kept.update(recursive)
            # What a class says of itself is better than nothing.
            properties[one.name] = {
                **schema,
                "description": one.description or schema.get("description", ""),
            }
        result: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": [one.name for one in self.usable if strict or one.required],
        }
        if strict:
            result["additionalProperties"] = False
        if kept:
            result["$defs"] = kept
        return result


def _modelled(
    parameters: Sequence[Parameter], namespace: dict[str, Any]
) -> tuple[type[BaseModel], dict[str, Any]]:
    from pydantic import Field, create_model

    fields: dict[str, Any] = {
        f"p{at}": (
            modern(one.annotation, namespace),
            Field(... if one.required else None, alias=one.name),
        )
        for at, one in enumerate(parameters)
    }
    # In a module that is none, so that no name of ours is taken for one that is quoted in a type. Unknown
    # names are not forbidden: dataclasses in it would take that for themselves.
    model = create_model("Arguments", __module__="<arguments>", **fields)
    if not model.__pydantic_complete__:  # a name quoted in a type was not found yet
        model.model_rebuild(force=True, _types_namespace=namespace)
    return model, model.model_json_schema()


def _is_usable(parameter: Parameter, namespace: dict[str, Any]) -> bool:
    try:
        _modelled([parameter], namespace)
    except Exception as error:
        if parameter.required:
            raise ToolError(
                f"parameter {parameter.name!r} {_undescribable(parameter, error)}"
            ) from None
        return False
    return True


def _undescribable(parameter: Parameter, error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    if "not fully defined" in first or "is not defined" in first:
        return f"has a type that is not fully defined: {first}"
    kind = parameter.annotation
    plain = isinstance(kind, type) and not get_args(kind)
    name = kind.__name__ if plain else str(kind).replace("typing.", "").replace("__main__.", "")
    return (
        f"has the type {name}, which cannot be written as JSON; use str, int, float, bool, list, dict, "
        f"a date, an Enum, a dataclass or a pydantic model"
    )


def modern(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Replace ``typing.TypedDict`` classes, which pydantic refuses before Python 3.12, by newer ones."""
    if sys.version_info >= (3, 12):
        return annotation
    if is_typeddict(annotation) and type(annotation).__module__ == "typing":
        from typing import NotRequired, Required

        from typing_extensions import TypedDict

        fields: dict[str, Any] = {}
        for key, hint in hints_of(annotation, namespace).items():
            if isinstance(hint, ToolError):
                raise hint
            if get_origin(hint) not in (Required, NotRequired):
                needed = Required if key in annotation.__required_keys__ else NotRequired
                hint = needed[modern(hint, namespace)]
            fields[key] = hint
        made = TypedDict(annotation.__name__, fields)  # type: ignore[misc]
        made.__doc__, made.__module__ = annotation.__doc__, annotation.__module__
        return made
    parts, origin = get_args(annotation), get_origin(annotation)
    changed = [] if origin is Literal else [modern(part, namespace) for part in parts]
    if all(new is old for new, old in zip(changed, parts, strict=False)):
        return annotation
    if origin is Annotated:
        return Annotated[changed[0], *annotation.__metadata__]
    if origin in (Union, types.UnionType):
        return Union[tuple(changed)]  # noqa: UP007 - built at run time
    return origin[tuple(changed)]
