"""What a live callable says of itself as a tool: its name, docstring, parameters and source."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from letta_kernel.errors import ToolError
from letta_kernel.tools.annotations import Resolver
from letta_kernel.tools.docstrings import Doc, parse_docstring
from letta_kernel.tools.parameters import MISSING, RESERVED, Parameter, complete, hint_without
from letta_kernel.tools.references import current, name_in, unwrapped, written_call

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Function = Callable[..., Any]

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_KINDS: dict[Any, str] = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "rest",
    inspect.Parameter.VAR_KEYWORD: "options",
}


def name_of(function: Function, namespace: Mapping[str, Any] | None = None) -> str:
    """Return the name a callable has, or the one it is found under in *namespace*.

    Raises
    ------
    ToolError
        It has none, as a lambda.
    """
    inner = _inner(function)
    name = getattr(function, "__name__", "") or getattr(inner, "__name__", "")
    if isinstance(name, str) and name and name != "<lambda>":
        return name
    found = name_in(current(function), namespace)
    if found:
        return found
    if not isinstance(inner, types.FunctionType):
        return type(inner).__name__
    raise ToolError(
        "a lambda has no name a model could call: give it one, as in tool(name='double')"
    )


def docstring_of(function: Function) -> str:
    """Return the docstring of a callable; that of the function inside a partial, or of ``__call__``."""
    inner = _inner(function)
    found = getattr(inner, "__doc__", None)
    if (call := written_call(inner)) is not None:
        found = call.__doc__ or found
    return found if isinstance(found, str) else ""


def doc_of(function: Function) -> Doc:
    """Return the docstring taken apart."""
    return parse_docstring(docstring_of(function))


def parameters_of(function: Function) -> list[Parameter]:
    """Return what a model fills in to call *function*, in order, with descriptions.

    Raises
    ------
    ToolError
        It says nothing of its parameters, or one that must be given has a type that is not known.
    """
    function = current(function)
    hints, doc = hints_of(function), doc_of(function)
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    found: list[Parameter] = []
    problems: list[str] = []
    for parameter in signature_of(function).parameters.values():
        name = parameter.name
        if name in RESERVED or name in fixed:  # what a partial fixes is not the model's to change
            continue
        default = MISSING if parameter.default is parameter.empty else parameter.default
        field: FieldInfo | None = default if type(default).__name__ == "FieldInfo" else None
        hint = hints.get(name, MISSING)
        variable = parameter.kind in _VARIABLE
        if isinstance(hint, ToolError):
            if default is MISSING and not variable:
                problems.append(f"parameter {name!r}: {hint}")
            continue  # it can be left out, and the model cannot give it
        if hint is MISSING:
            hint = hint_without(default, doc.types.get(name, ""))
        kind = _KINDS.get(parameter.kind, "normal")
        made = complete(name, hint, default is not MISSING, field, kind)
        made.description = doc.parameters.get(name) or made.description
        found.append(made)
    if problems:
        raise ToolError("; ".join(problems))
    return found


def signature_of(function: Function) -> inspect.Signature:
    """Return the signature of a callable.

    Raises
    ------
    ToolError
        It has none, as some builtins, or it is a method without its object.
    """
    try:
        found = inspect.signature(function)
    except (ValueError, TypeError):
        raise ToolError(
            "it does not tell its parameters; wrap it in a function of your own"
        ) from None
    inner = unwrapped(function)
    first = next(iter(found.parameters.values()), None)
    path = str(getattr(inner, "__qualname__", "")).rpartition("<locals>.")[2]
    owner, _, name = path.rpartition(".")
    if owner and first is not None and first.name == "self" and first.default is first.empty:
        mend = f"use that of an object: {owner.lower()}.{name}"
        raise ToolError(f"it is a method and needs its {owner}; {mend}")
    return found


def is_method(function: Function) -> bool:
    """Return whether this is a function of a class, not the method of an object."""
    try:
        signature_of(function)
    except ToolError:
        return isinstance(unwrapped(function), types.FunctionType)
    return False


def takes_anything(function: Function) -> bool:
    """Return whether a callable has only ``*args`` and ``**kwargs``, as wrappers have that hide another."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return False
    kinds = {one.kind for one in found}
    return inspect.Parameter.VAR_KEYWORD in kinds and kinds <= set(_VARIABLE)


def namespace_of(function: Function) -> dict[str, Any]:
    """Return the names a callable's code sees."""
    inner = _annotated(function)
    found = getattr(inner, "__globals__", None)
    return found if isinstance(found, dict) else {}


def hints_of(function: Function) -> dict[str, Any]:
    """Return the type of each parameter that has a hint; a `ToolError` where it cannot be found out."""
    target = _annotated(function)
    if isinstance(target, type):
        made_by = inspect.getattr_static(target, "__init__")
        return {**_hints(target), **(_hints(made_by) if inspect.isfunction(made_by) else {})}
    return _hints(target)


def source_of(function: Function) -> str:
    """Return the source of a plain function; empty for what could not run from its source alone."""
    function = current(function)
    inner = unwrapped(function)
    if not isinstance(inner, types.FunctionType) or isinstance(function, types.MethodType):
        return ""
    if "." in inner.__qualname__.rpartition("<locals>.")[2]:
        return ""
    try:
        source = textwrap.dedent(inspect.getsource(function)).strip("\n")
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError, ValueError):
        return ""
    whole = len(tree.body) == 1 and isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef)
    return source if whole and tree.body[0].name == inner.__code__.co_name else ""  # type: ignore[attr-defined]


def _inner(function: Function) -> Any:
    """Return what a partial, or several in each other, is made of."""
    function = current(function)
    while isinstance(function, functools.partial):
        function = current(function.func)
    return function


def _annotated(function: Function) -> Any:
    """Return the object that holds the annotations of a callable."""
    found = unwrapped(_inner(function))
    call = written_call(found)
    return found if call is None else unwrapped(call)


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:
        return _hints_one_by_one(target)


def _hints_one_by_one(target: Any) -> dict[str, Any]:
    """Resolve annotations singly where Python could not resolve all of them."""
    try:
        annotations = dict(getattr(target, "__annotations__", {}))
    except Exception:  # evaluated on demand from Python 3.14 on
        return {}
    resolver = Resolver(ast.Module([], []), getattr(target, "__globals__", {}))
    found: dict[str, Any] = {}
    for name, hint in annotations.items():
        try:
            tree = ast.parse(hint, mode="eval").body if isinstance(hint, str) else None
            found[name] = hint if tree is None else resolver.resolve(tree)
        except ToolError as error:
            found[name] = error
        except SyntaxError:
            found[name] = ToolError(f"{hint!r} is no type")
    return found
