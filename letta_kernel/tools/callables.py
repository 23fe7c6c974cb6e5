"""What a live callable says of itself as a tool: its name, docstring, parameters and source."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from letta_kernel.errors import ToolError
from letta_kernel.tools.annotations import hints_of
from letta_kernel.tools.inputs import Inputs
from letta_kernel.tools.parameters import OPTIONS, REST, Parameter, parse_docstring, read_parameters
from letta_kernel.tools.references import current, name_in, same, snapshot, unwrapped, written_call

Function = Callable[..., Any]

_known: WeakKeyDictionary[Function, tuple[list[Any], Inputs]] = WeakKeyDictionary()


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


def inputs_of(function: Function) -> Inputs:
    """Return what a live callable takes, as it is now.

    Raises
    ------
    ToolError
        It cannot be called with JSON values at all.
    """
    plain = isinstance(function, types.FunctionType)
    parts = snapshot(function)[1:]  # without the function itself, which the cache must not keep
    known = _known.get(function) if plain else None
    if known is not None and same(known[0], parts):
        return known[1]
    made = Inputs(parameters_of(function), namespace_of(function))
    quoted = any(isinstance(one, str) for one in getattr(function, "__annotations__", {}).values())
    if plain and not quoted:  # quoted names may change their meaning
        _known[function] = parts, made
    return made


def parameters_of(function: Function) -> list[Parameter]:
    """Return what a model fills in to call *function*, in order, with descriptions.

    Raises
    ------
    ToolError
        It says nothing of its parameters, or one that must be given has a type that is not known.
    """
    function = current(function)
    target = _annotated(function)
    hints = hints_of(target)
    made_by = inspect.getattr_static(target, "__init__") if isinstance(target, type) else None
    if inspect.isfunction(made_by):
        hints.update(hints_of(made_by))
    # What a partial fixes is not the model's to change.
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    doc = parse_docstring(docstring_of(function))
    return read_parameters(signature_of(function).parameters.values(), hints, doc, fixed)


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
    return OPTIONS in kinds and kinds <= {REST, OPTIONS}


def namespace_of(function: Function) -> dict[str, Any]:
    """Return the names a callable's code sees."""
    inner = _annotated(function)
    found = getattr(inner, "__globals__", None)
    return found if isinstance(found, dict) else {}


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
