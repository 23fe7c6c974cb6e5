"""The ``@tool`` decorator: what an author may say about a tool beside its signature and docstring."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, overload

from letta_kernel.errors import ToolError, nearest
from letta_kernel.hooks import tool_marked
from letta_kernel.tools.references import MARK, Marked

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """What ``@tool(...)`` was given.

    Attributes
    ----------
    name
        The name the model sees; None: the function's own.
    description
        What the model is told; None: taken from the docstring.
    requires_approval
        A person must approve every call.
    runs_in
        ``notebook``: in the user's namespace; ``sandbox``: in a process of its own.
    parallel_safe
        Calls in one response may run at the same time, in threads; else one after the other.
    return_limit
        Characters of a result kept for the model.
    time_limit
        Seconds a call may take; None: no limit of its own (the sandbox has one).
    network
        Whether it has a network in the sandbox.
    dependencies
        Packages the tool needs (requirement strings), looked for before it runs in the sandbox;
        nothing is installed.
    tags
        Words to find the tool by.
    """

    name: str | None = None
    description: str | None = None
    requires_approval: bool = False
    runs_in: Literal["notebook", "sandbox"] = "notebook"
    parallel_safe: bool = False
    return_limit: int = 50_000
    time_limit: float | None = None
    network: bool = True
    dependencies: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def record_fields(self) -> dict[str, Any]:
        """Return what a tool's record (`letta_kernel.records.Tool`) takes over, name and text aside."""
        return {
            "requires_approval": self.requires_approval,
            "runs_in": self.runs_in,
            "parallel_safe": self.parallel_safe,
            "return_limit": self.return_limit,
            "time_limit": self.time_limit,
            "network": self.network,
            "tags": list(self.tags),
        }


def checked_name(name: str) -> str:
    """Return *name* if models can call a tool of this name.

    Raises
    ------
    ToolError
        When providers would refuse it.
    """
    if not _NAME.match(name):
        raise ToolError(
            f"{name!r} cannot be a tool's name (letters, digits, _ and -, at most 64): rename the "
            f"function or give @tool(name=…)"
        )
    return name


_KNOWN = [field.name for field in fields(ToolOptions)]


def make_options(given: Mapping[str, Any]) -> ToolOptions:
    """Check what ``@tool`` was given and return it as `ToolOptions`.

    Raises
    ------
    ToolError
        When an option is unknown or its value cannot be used; the text names it.
    """
    values = dict(given)
    for name, value in values.items():
        if name not in _KNOWN:
            raise ToolError(f"@tool has no option {name!r}.{nearest(name, _KNOWN)}")
        problem = _problem(name, value)
        if problem:
            raise ToolError(f"@tool({name}=…) must be {problem}, not {value!r}")
    for name in ("dependencies", "tags"):
        if name in values:
            values[name] = tuple(values[name])
    return ToolOptions(**values)


def _problem(name: str, value: Any) -> str | None:
    """Return what *value* should have been, or None if it is fine."""
    # One line a kind of option, as all of them are said to the author in the same words.
    if name in ("name", "description"):
        return None if value is None or (isinstance(value, str) and value) else "a string"
    if name in ("requires_approval", "parallel_safe", "network"):
        return None if isinstance(value, bool) else "True or False"
    if name == "runs_in":
        return None if value in ("notebook", "sandbox") else '"notebook" or "sandbox"'
    if name in ("dependencies", "tags"):
        fine = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        return None if fine else "a list of strings"
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        unit = "characters" if name == "return_limit" else "seconds"
        fine = name == "time_limit" and value is None
        return None if fine else f"a positive number of {unit}"
    if name == "return_limit" and not isinstance(value, int):
        return "a whole number of characters"
    return None


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    requires_approval: bool = False,
    runs_in: Literal["notebook", "sandbox"] = "notebook",
    parallel_safe: bool = False,
    return_limit: int = 50_000,
    time_limit: float | None = None,
    network: bool = True,
    dependencies: list[str] | tuple[str, ...] = (),
    tags: list[str] | tuple[str, ...] = (),
) -> Callable[[F], F]: ...


def tool(function: Any = None, /, **given: Any) -> Any:
    """Mark a callable as a tool, with options; a function itself stays as it is.

    Use it bare (``@tool``) or with options (``@tool(requires_approval=True)``); see `ToolOptions`. What cannot
    carry a mark, as a method of an object (``tool(station.temperature)``) or a builtin, is returned as
    something that can, and is called as it is.

    Raises
    ------
    ToolError
        When an option is unknown or its value cannot be used, or when what is marked cannot be called.
    """
    options = make_options(given)
    if function is not None:
        # Bare, it takes nothing back that an earlier mark said.
        return _mark(function, live_options(function) or options, sys._getframe(1).f_globals)
    return lambda target: _mark(target, options, sys._getframe(1).f_globals)


def _mark(target: Any, options: ToolOptions, namespace: dict[str, Any]) -> Any:
    inner = target.__func__ if isinstance(target, staticmethod | classmethod) else target
    if not callable(inner):
        raise ToolError(f"@tool marks what can be called, not {inner!r:.60}")
    try:
        setattr(inner, MARK, options)
    except (AttributeError, TypeError):
        target = inner = Marked(inner)
        setattr(inner, MARK, options)
    for tell in tool_marked:
        tell(inner, namespace)
    return target


def live_options(function: Any) -> ToolOptions | None:
    """Return the options a live callable was marked with, or the function a partial is made of; or None."""
    found = getattr(function, MARK, None)
    if found is None and isinstance(function, functools.partial):
        return live_options(function.func)
    return found if isinstance(found, ToolOptions) else None


def options_from_ast(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ToolOptions:
    """Read ``@tool(...)`` from a function's source without running anything.

    Raises
    ------
    ToolError
        When an option is unknown, unusable, or not written as a plain value.
    """
    for decorator in node.decorator_list:
        if not marks(decorator):
            continue
        call = decorator if isinstance(decorator, ast.Call) else None
        given: dict[str, Any] = {}
        for keyword in call.keywords if call else []:
            try:
                given[keyword.arg or "**"] = ast.literal_eval(keyword.value)
            except ValueError:
                raise ToolError(
                    f"@tool({keyword.arg or '**'}=…) of {node.name!r} must be written as a plain "
                    f"value, not {ast.unparse(keyword.value)!r}"
                ) from None
        return make_options(given)
    return ToolOptions()


def marks(decorator: ast.expr) -> bool:
    """Return whether a decorator is ``@tool``, with options or bare, by this name or a module's."""
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    word = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", None)
    return word == "tool"
