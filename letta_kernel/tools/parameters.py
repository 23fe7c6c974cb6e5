"""One parameter of a tool: its type, whether it must be given, and what the model is told about it."""

from __future__ import annotations

import ast
import datetime
import decimal
import enum
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from letta_kernel.tools.annotations import Resolver, UnresolvedError
from letta_kernel.tools.docstrings import Doc

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic.fields import FieldInfo

RESERVED = frozenset({"self", "agent_state"})
"""Parameters the model never sees: we fill them in."""

VARIABLE = ("rest", "options")
"""Kinds of parameters that take any number of arguments."""

MISSING: Any = object()

# What a default's own type tells of a parameter without a hint; bool is an int, so the order matters.
_PLAIN = (bool, int, float, str, dict, bytes, enum.Enum)
_KNOWN = (
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
    *(decimal.Decimal, uuid.UUID, pathlib.PurePath),
)
# What docstrings call types.
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("str", "string", "text"), str),
    **dict.fromkeys(("int", "integer"), int),
    **dict.fromkeys(("float", "number"), float),
    **dict.fromkeys(("bool", "boolean"), bool),
    **dict.fromkeys(("dict", "dictionary"), dict),
    **dict.fromkeys(("list", "array"), list),
}
_LIST_WORD = re.compile(r"(?:list|array|sequence)(?:\[(\w+)\]| of (\w+?)s?)")


@dataclass(slots=True)
class Parameter:
    """A parameter as the model fills it in.

    ``default`` is what to pass when the model leaves it out: `MISSING` means the function's own default
    does. ``nullable`` is true for ``Optional[X]``, which is never required.
    """

    name: str
    annotation: Any
    required: bool = True
    nullable: bool = False
    default: Any = MISSING
    description: str = ""
    kind: str = "normal"  # or "positional", "keyword", "rest" (*args), "options" (**kwargs)


def make_parameter(
    argument: ast.arg,
    default: ast.expr | None,
    kind: str,
    resolver: Resolver,
    doc: Doc,
) -> Parameter | None:
    """Read one parameter from the syntax tree; None for one that can be left out and has no usable type.

    Raises
    ------
    ToolError
        Its type is not known, and it must be given; to be put after "parameter 'x' ".
    """
    name = argument.arg
    field = _field_default(default, resolver)
    annotation: Any
    if argument.annotation is not None:
        try:
            annotation = resolver.resolve(argument.annotation)
        except UnresolvedError as error:
            if (default is None and kind not in VARIABLE) or resolver.defines(error.name):
                raise
            return None
    else:
        value = MISSING if default is None else resolver.value(default)
        annotation = hint_without(value, doc.types.get(name, ""))
    made = complete(name, annotation, default is not None, field, kind)
    made.description = doc.parameters.get(name) or made.description
    return made


def hint_without(default: Any, word: str) -> Any:
    """Return the type of a parameter without a hint: by its default, else by what its docstring says.

    Parameters
    ----------
    default
        Its default, or `MISSING`; of a pydantic ``Field`` what that has.
    word
        The type as the docstring has it.
    """
    if type(default).__name__ == "FieldInfo":
        default = default.get_default(call_default_factory=True)
    if isinstance(default, list | tuple | set | frozenset):
        inner = {type(one) for one in default}
        kind = inner.pop() if len(inner) == 1 else None
        holder = type(default) if type(default) in (list, tuple, set, frozenset) else list
        if kind in _PLAIN:
            return types.GenericAlias(holder, (kind, ...) if holder is tuple else (kind,))
        return list if holder is tuple else holder
    for kind in _PLAIN:
        if isinstance(default, kind):
            return type(default) if kind is enum.Enum else kind
    if isinstance(default, _KNOWN):
        return next(kind for kind in _KNOWN if isinstance(default, kind))
    return _by_word(word)


def _by_word(word: str) -> Any:
    word = re.split(r",| or |\|", word.strip().lower())[0].strip()
    listed = _LIST_WORD.fullmatch(word)
    if listed:
        inner = _WORDS.get(listed[1] or listed[2])
        return list if inner is None else types.GenericAlias(list, (inner,))
    return _WORDS.get(word, Any)


def complete(
    name: str, annotation: Any, has_default: bool, field: FieldInfo | None, kind: str = "normal"
) -> Parameter:
    """Work out from type and default whether a parameter must be given.

    What follows ``*`` is a list and what follows ``**`` an object, and both can be left out.
    """
    described = annotation
    if kind == "rest":
        annotation, has_default = types.GenericAlias(list, (annotation,)), True
    elif kind == "options":
        named = getattr(get_origin(annotation), "__name__", None) == "Unpack"
        named = named or str(get_origin(annotation)).endswith("Unpack")
        inner = types.GenericAlias(dict, (str, annotation))
        annotation, has_default = (get_args(annotation)[0] if named else inner), True
    nullable = is_nullable(annotation)
    made = Parameter(name, annotation, not has_default and not nullable, nullable, kind=kind)
    made.description = _described(described)
    if nullable and not has_default:
        made.default = None
    if (
        field is not None
    ):  # ``x: int = Field(3, description="…")``: Python would pass the Field itself
        made.annotation = Annotated[annotation, _without_default(field)]
        made.description = field.description or made.description
        made.required = field.is_required() and not nullable
        if not field.is_required():
            made.default = field.get_default(call_default_factory=True)
        elif nullable:
            made.default = None
    return made


def is_nullable(annotation: Any) -> bool:
    """Return whether *annotation* is ``Optional[X]`` or ``X | None``."""
    if get_origin(annotation) is Annotated:
        return is_nullable(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return type(None) in get_args(annotation)
    value = getattr(annotation, "__value__", None)  # an alias made by Python 3.12's ``type X = …``
    return value is not None and is_nullable(value)


def adapter(annotation: Any, namespace: Mapping[str, Any] | None) -> TypeAdapter[Any]:
    """Return pydantic's adapter of *annotation*; names quoted in it are looked up in *namespace*.

    Raises
    ------
    pydantic.errors.PydanticUserError
        When pydantic cannot describe the type.
    """
    from pydantic import TypeAdapter

    made: TypeAdapter[Any] = TypeAdapter(_modern(annotation, namespace or {}))
    if not made.pydantic_complete:  # a quoted name in it, or in a model of it, was not found yet
        made.rebuild(force=True, _types_namespace=dict(namespace or {}))
    return made


def type_name(annotation: Any) -> str:
    """Return *annotation* as an author would write it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("__main__.", "")


def _modern(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Replace ``typing.TypedDict`` classes, which pydantic refuses before Python 3.12, by newer ones."""
    if sys.version_info >= (3, 12):
        return annotation
    if is_typeddict(annotation) and type(annotation).__module__ == "typing":
        from typing import get_type_hints

        import typing_extensions

        try:
            hints = get_type_hints(annotation, include_extras=True)
        except NameError:  # quoted names, and no module of that name to find them in
            resolver = Resolver(ast.Module([], []), namespace)
            quoted = {
                k: getattr(v, "__forward_arg__", None)
                for k, v in annotation.__annotations__.items()
            }
            hints = {
                key: annotation.__annotations__[key]
                if text is None
                else resolver.resolve(ast.parse(text, mode="eval").body)
                for key, text in quoted.items()
            }
        wrapped = {
            key: (
                hint
                if get_origin(hint) in (typing_extensions.Required, typing_extensions.NotRequired)
                else typing_extensions.Required[_modern(hint, namespace)]
                if key in annotation.__required_keys__
                else typing_extensions.NotRequired[_modern(hint, namespace)]
            )
            for key, hint in hints.items()
        }
        made = typing_extensions.TypedDict(annotation.__name__, wrapped)  # type: ignore[misc]
        made.__doc__ = annotation.__doc__
        made.__module__ = annotation.__module__
        return made
    parts = get_args(annotation)
    if not parts or get_origin(annotation) is Literal:
        return annotation
    changed = [_modern(part, namespace) for part in parts]
    if all(new is old for new, old in zip(changed, parts, strict=True)):
        return annotation
    origin = get_origin(annotation)
    if origin is Annotated:
        return Annotated[changed[0], *annotation.__metadata__]
    if origin in (Union, types.UnionType):
        return Union[tuple(changed)]  # noqa: UP007 - built at run time
    return origin[tuple(changed)]


def _field_default(default: ast.expr | None, resolver: Resolver) -> FieldInfo | None:
    """Return the ``Field(...)`` a parameter has as its default, if it has one."""
    if not isinstance(default, ast.Call):
        return None
    function = default.func
    word = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if word != "Field":
        return None
    from pydantic.fields import FieldInfo

    found = resolver.resolve(default)
    return found if isinstance(found, FieldInfo) else None


def _without_default(field: FieldInfo) -> FieldInfo:
    from copy import copy

    from pydantic_core import PydanticUndefined

    bare = copy(field)
    bare.default, bare.default_factory = PydanticUndefined, None
    return bare


def _described(annotation: Any) -> str:
    """Return the description inside ``Annotated[...]``: a Field's, a Doc's or a plain string."""
    if get_origin(annotation) is not Annotated:
        return ""
    for extra in annotation.__metadata__:
        text = extra if isinstance(extra, str) else getattr(extra, "description", None)
        text = text or getattr(extra, "documentation", None)
        if isinstance(text, str) and text.strip():
            return text
    return ""
