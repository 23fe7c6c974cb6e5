"""Where a callable is found again, so that a tool is what it is now: redefined, reloaded, patched or gone."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from letta_kernel.errors import ToolError

Function = Callable[..., Any]

MARK = "__letta_tool__"
"""Name of the attribute that holds the `letta_kernel.tools.options.ToolOptions` of what ``tool`` marked."""

# What makes a function what it is, beside its annotations.
_STATE = ("__code__", "__defaults__", "__kwdefaults__", "__doc__", "__signature__", MARK)


class StaleToolError(ToolError):
    """The function behind a tool is gone, or belongs to a class that was defined anew; one line.

    Attributes
    ----------
    gone
        Whether its name is, so that nobody can mean it any more.
    """

    page = "tool-stale"

    def __init__(self, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.gone = gone


class Reference:
    """A way to a callable.

    Parameters
    ----------
    find
        Returns it as it is now, or raises `StaleToolError`.
    """

    def __init__(self, find: Callable[[], Function]) -> None:
        self._find = find

    def now(self) -> Function:
        """Return the callable as it is now.

        Raises
        ------
        StaleToolError
            There is none any more.
        """
        return current(self._find())


def reference_by_name(namespace: Mapping[str, Any], name: str) -> Reference:
    """Return the way to what a name of a namespace stands for: a notebook's own, say."""

    def find() -> Function:
        found = namespace.get(name)
        if not callable(found):
            raise StaleToolError(f"{name} is stale: its name was deleted", gone=True)
        return found

    return Reference(find)


def _reference_by_path(module: str, path: str) -> Reference:
    """Return the way to what a module's name, or an attribute of it, stands for."""

    def find() -> Function:
        found = _at(module, path)
        if not callable(found):
            where = "" if module == "__main__" else f" in {module}"
            text = f"{path} is stale: there is no such function{where} any more"
            raise StaleToolError(text, gone=True)
        return found

    return Reference(find)


def _reference_to_method(owner: Any, name: str) -> Reference:
    """Return the way to a method, looked up anew each time: its class may have been patched."""
    kind = type(owner)
    kept = _at(kind.__module__, kind.__qualname__) is kind

    def find() -> Function:
        found = getattr(owner, name, None)
        if not callable(found):
            about = owner.__name__ if isinstance(owner, type) else f"its {type(owner).__name__}"
            raise StaleToolError(f"{name} is stale: {about} has no such method")
        # Where the class itself was patched, or the object given the new class, there is nothing to say.
        newer = _at(kind.__module__, kind.__qualname__)
        if kept and type(owner) is kind and newer is not kind:
            ours = _shape(found)
            if ours is None or ours != _shape(getattr(newer, name, None)):
                raise StaleToolError(
                    f"{name} is stale: {kind.__name__} was defined anew after it became a tool; make it "
                    f"a tool again, from a new {kind.__name__}"
                )
        return found

    return Reference(find)


def _reference_to_partial(made: functools.partial[Any]) -> Reference:
    """Return the way to a ``functools.partial``, of the function as it is now."""
    reference = reference_to(made.func)

    def find() -> Function:
        inner = reference.now()
        same_one = inner is made.func
        return made if same_one else functools.partial(inner, *made.args, **made.keywords)

    return Reference(find)


class Marked:
    """Stands for a callable that cannot carry a mark of its own: a method, a builtin.

    It is called as that is, and looks the method up anew each time.
    """

    def __init__(self, function: Function) -> None:
        self._reference = reference_to(function)
        for name in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))

    @property
    def __wrapped__(self) -> Function:
        return self._reference.now()

    def stands_for(self, function: Function) -> bool:
        """Return whether it is *function* that this calls now."""
        try:
            return bool(self.__wrapped__ == function)
        except StaleToolError:
            return False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what it stands for."""
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.__wrapped__!r}>"


def current(function: Function) -> Function:
    """Return the callable that *function* stands for, if it is a `Marked` one."""
    return function.__wrapped__ if isinstance(function, Marked) else function


def reference_to(function: Function, namespace: Mapping[str, Any] | None = None) -> Reference:
    """Return the way to *function* that follows it through most changes.

    Parameters
    ----------
    function
        Any callable.
    namespace
        Names of a notebook under which it may be found, if it has no place in a module.
    """
    function = current(function)
    path = _path_of(function)
    if path is not None:
        return _reference_by_path(*path)
    name = name_in(function, namespace)
    if isinstance(function, functools.partial) and type(function) is functools.partial:
        return reference_by_name(namespace or {}, name) if name else _reference_to_partial(function)
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        attribute = _attribute_of(owner, function)
        if attribute is not None:
            return _reference_to_method(owner, attribute)
    if name is not None:
        return reference_by_name(namespace or {}, name)
    if written_call(function) is None:
        return Reference(lambda: function)
    call = _reference_to_method(function, "__call__")
    return Reference(lambda: (call.now(), function)[1])


def unwrapped(function: Any) -> Any:
    """Return what decorators put others around; itself where that has no end, as with some proxies."""
    try:
        return inspect.unwrap(function)
    except Exception:
        return function


def written_call(thing: Any) -> types.FunctionType | None:
    """Return the ``__call__`` of an object whose class has one written in Python, or None."""
    if isinstance(thing, types.FunctionType | types.MethodType | type):
        return None
    found = inspect.getattr_static(type(thing), "__call__", None)
    return found if isinstance(found, types.FunctionType) else None


def name_in(function: Function, namespace: Mapping[str, Any] | None) -> str | None:
    """Return a name under which *namespace* holds *function*, or something that stands for it."""
    for name, value in list((namespace or {}).items()):
        if name.startswith("_"):
            continue
        if value is function or (isinstance(value, Marked) and value.stands_for(function)):
            return name
    return None


def snapshot(function: Function) -> list[Any]:
    """Return what makes *function* what it is; compare two with `same`.

    Code, defaults and docstring may be changed without the function becoming another object.
    """
    parts: list[Any] = []
    for _ in range(50):  # decorators, partials and methods around each other
        function = current(function)
        if isinstance(function, types.MethodType):
            parts.append(function.__self__)
            function = function.__func__
        elif isinstance(function, functools.partial):
            parts += [*function.args, *function.keywords.items(), len(function.args)]
            function = function.func
        elif (call := written_call(function)) is not None:
            parts.append(function)
            function = call
        parts.append(function)
        parts += [getattr(function, name, None) for name in _STATE]
        try:
            parts += list(getattr(function, "__annotations__", {}).items())
        except (
            Exception
        ):  # evaluated on demand from Python 3.14 on, and by names that may be missing
            parts.append(None)
        inner = getattr(function, "__wrapped__", None)
        if not callable(inner):
            break
        function = inner
    return parts


def same(one: list[Any], two: list[Any]) -> bool:
    """Return whether two snapshots are of an unchanged callable."""

    def equal(a: Any, b: Any) -> bool:
        if isinstance(a, tuple) and isinstance(b, tuple):
            return len(a) == len(b) and all(map(equal, a, b))
        return a is b or (isinstance(a, str | int) and type(a) is type(b) and a == b)

    return len(one) == len(two) and all(map(equal, one, two))


def _path_of(function: Any) -> tuple[str, str] | None:
    """Return the module and the path in it where *function* itself is found, or None."""
    module = getattr(function, "__module__", None)
    path = getattr(function, "__qualname__", None)
    if isinstance(function, types.MethodType) and not isinstance(function.__self__, type):
        return None
    if not isinstance(module, str) or not isinstance(path, str) or "<" in path:
        return None
    found = _at(module, path)
    if found is function or (isinstance(found, types.MethodType) and found == function):
        return module, path
    return None


def _at(module: str, path: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _attribute_of(owner: Any, method: Any) -> str | None:
    """Return the attribute of *owner* that is *method*; a patched one has another name of its own."""
    own = getattr(method, "__name__", "")
    if getattr(owner, own, None) == method:
        return own
    function = getattr(method, "__func__", None)
    kind = type(owner)
    return next((one for one in dir(kind) if inspect.getattr_static(kind, one) is function), None)


def _shape(function: Any) -> Any:
    """Return what a function does, wherever its lines stand; None where that cannot be told."""

    def shape(code: types.CodeType) -> Any:
        inner = [
            shape(c) if isinstance(c, types.CodeType) else (type(c), c) for c in code.co_consts
        ]
        return code.co_code, code.co_names, code.co_varnames, inner

    code = getattr(unwrapped(getattr(function, "__func__", function)), "__code__", None)
    return shape(code) if isinstance(code, types.CodeType) else None
