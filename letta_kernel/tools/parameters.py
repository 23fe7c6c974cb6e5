"""The parameters of a tool: their types, which must be given, and what the model is told about each."""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import pathlib
import re
import types
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from letta_kernel.errors import ToolError
from letta_kernel.tools.docstrings import Doc

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

RESERVED = frozenset({"self", "agent_state"})
"""Parameters the model never sees: we fill them in."""

REST, OPTIONS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
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
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD


def read_parameters(
    signature: Iterable[inspect.Parameter],
    hints: Mapping[str, Any],
    doc: Doc,
    hidden: Collection[str] = (),
) -> list[Parameter]:
    """Return the parameters a model fills in; ``self`` and ``agent_state`` are ours.

    Parameters
    ----------
    signature
        As `inspect` has them.
    hints
        The types of those that have a hint; a `ToolError` where one cannot be found out.
    doc
        The function's docstring: descriptions, and types where there is no hint.
    hidden
        Those that are no model's to give.

    Raises
    ------
    ToolError
        A type that is needed is not known; one line that names every such parameter.
    """
    found: list[Parameter] = []
    problems: list[str] = []
    for one in signature:
        if one.name in RESERVED or one.name in hidden:
            continue
        default = MISSING if one.default is one.empty else one.default
        hint = hints.get(one.name, MISSING)
        if isinstance(hint, ToolError):
            if default is MISSING and one.kind not in (REST, OPTIONS):
                problems.append(f"parameter {one.name!r}: {hint}")
            continue  # it can be left out, and the model cannot give it
        if hint is MISSING:
            hint = hint_without(default, doc.types.get(one.name, ""))
        made = _parameter(one.name, hint, default, one.kind)
        made.description = doc.parameters.get(one.name) or made.description
        found.append(made)
    if problems:
        raise ToolError("; ".join(problems))
    return found


def hint_without(default: Any, word: str) -> Any:
    """Return the type of a parameter without a hint: by its default, else by what its docstring says.

    Parameters
    ----------
    default
        Its default, or `MISSING`; of a pydantic ``Field`` what that has.
    word
        The type as the docstring has it.
    """
    if (field := _field(default)) is not None:
        default = field.get_default(call_default_factory=True)
    if isinstance(default, list | tuple | set | frozenset):
        inner = {type(one) for one in default}
        kind = inner.pop() if len(inner) == 1 else None
        holder = next(one for one in (list, tuple, set, frozenset) if isinstance(default, one))
        if kind in _PLAIN:
            return types.GenericAlias(holder, (kind, ...) if holder is tuple else (kind,))
        return list if holder is tuple else holder
    for kind in (*_PLAIN, *_KNOWN):
        if isinstance(default, kind):
            return type(default) if kind is enum.Enum else kind
    word = re.split(r",| or |\||\(", word.strip().lower())[0].strip()
    listed = _LIST_WORD.fullmatch(word)
    if listed:
        inner_kind = _WORDS.get(listed[1] or listed[2])
        return list if inner_kind is None else types.GenericAlias(list, (inner_kind,))
    return _WORDS.get(word, Any)


def _parameter(name: str, annotation: Any, default: Any, kind: Any) -> Parameter:
    """Work out from type and default whether a parameter must be given.

    What follows ``*`` is a list and what follows ``**`` an object, and both can be left out.
    """
    about = _described(annotation)
    if kind is REST:
        annotation = types.GenericAlias(list, (annotation,))
    elif kind is OPTIONS:
        named = str(get_origin(annotation)).endswith("Unpack")
        inner = types.GenericAlias(dict, (str, annotation))
        annotation = get_args(annotation)[0] if named else inner
    left_out = default is not MISSING or kind in (REST, OPTIONS)
    nullable = is_nullable(annotation)
    made = Parameter(name, annotation, not (left_out or nullable), nullable, MISSING, about, kind)
    if nullable and not left_out:
        made.default = None
    field = _field(default)
    if field is not None:  # ``x: int = Field(3, ge=1)``: Python would pass the Field itself
        made.annotation = Annotated[annotation, *field.metadata, _without_default(field)]
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


def _field(default: Any) -> FieldInfo | None:
    """Return the pydantic ``Field(…)`` a default is, if it is one; without importing pydantic for it."""
    return default if type(default).__name__ == "FieldInfo" else None


def _without_default(field: FieldInfo) -> FieldInfo:
    """Return what a ``Field(…)`` says beside its default and limits."""
    from pydantic import Field

    more: FieldInfo = Field(examples=field.examples, json_schema_extra=field.json_schema_extra)
    return more


def _described(annotation: Any) -> str:
    """Return the description inside ``Annotated[...]``: a Field's, a Doc's or a plain string."""
    for extra in getattr(annotation, "__metadata__", ()):
        text = extra if isinstance(extra, str) else getattr(extra, "description", None)
        text = text or getattr(extra, "documentation", None)
        if isinstance(text, str) and text.strip():
            return text
    return ""
