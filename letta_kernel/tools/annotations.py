"""From the source text of an annotation to a type, without running any of that source.

A quoted or foreign annotation is checked first: only names known to be harmless may stand in it (builtins,
``typing``, ``datetime``, ``pydantic`` and the like, and the source's own aliases of them), and only
constructors that describe may be called. With a namespace, where the code has run already, its names count.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, Literal

from letta_kernel.errors import ToolError

# Modules whose names may be looked up while reading foreign source: importing them does nothing else. Those of
# the first are understood without an import too, for a cell may have been read where another imports them.
_COMMON = (
    *("typing", "collections.abc", "typing_extensions", "pydantic", "datetime", "pathlib"),
    *("decimal", "uuid", "fractions", "ipaddress", "re"),
)
_SAFE_MODULES = (*_COMMON, "collections", "enum", "numbers", "annotated_types")
_ALIASES = {"t": "typing", "tp": "typing", "dt": "datetime", "te": "typing_extensions"}
_DESCRIBING = {
    "typing": ("NewType",),
    "typing_extensions": ("Doc",),
    "annotated_types": (
        *("Gt", "Ge", "Lt", "Le", "Interval", "MultipleOf", "MinLen", "MaxLen", "Len", "Timezone"),
    ),
    "pydantic": (
        *("Field", "StringConstraints", "Strict", "Discriminator", "Tag", "conint", "confloat"),
        *("constr", "conbytes", "conlist", "conset", "confrozenset", "condecimal", "condate"),
    ),
}
_HARMLESS = (
    *(ast.Name, ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Subscript, ast.Attribute),
    *(ast.Call, ast.keyword, ast.expr_context, ast.UnaryOp, ast.USub, ast.BinOp, ast.BitOr),
)
_NOTHING: dict[str, Any] = {"__builtins__": {}}


class UnresolvedError(ToolError):
    """An annotation names something that only running the source (or the notebook) could supply."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} is not known: import or define it in the same source")
        self.name = name


class Resolver:
    """Turns annotation nodes of one source into types.

    Parameters
    ----------
    body
        The statements of the source; its imports and aliases are understood.
    namespace
        Where the source has run already, or None if nothing of it may be evaluated.
    """

    def __init__(
        self, body: Iterable[ast.stmt] = (), namespace: Mapping[str, Any] | None = None
    ) -> None:
        self._namespace = namespace
        self._defined = defined(_statements(body))
        self._busy: set[str] = set()

    def defines(self, name: str) -> bool:
        """Return whether the source itself defines or imports *name* (dotted: its first part)."""
        return name.partition(".")[0] in self._defined

    def resolve(self, node: ast.expr) -> Any:
        """Return the type that *node* stands for.

        Raises
        ------
        UnresolvedError
            When a name is not known here.
        ToolError
            When the annotation is not one at all.
        """
        text, names = ast.unparse(node), dict[str, Any]()
        try:
            self._look(node, names, checked=self._namespace is None)
            holder = SimpleNamespace(__annotations__={"it": ast.unparse(node)})
            while True:
                try:
                    return typing.get_type_hints(holder, _NOTHING, names, include_extras=True)["it"]
                except NameError as error:  # quoted inside an alias
                    missing = str(error.name)
                    if missing in names:
                        raise UnresolvedError(missing) from None
                    names[missing] = self.name(missing)
        except ToolError:
            raise
        except Exception as error:
            raise ToolError(f"{text!r} is no type ({type(error).__name__}: {error})") from None

    def value(self, node: ast.expr) -> Any:
        """Return the value of a default where it can be told without calling anything; else None."""
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            pass
        constant = getattr(self._defined.get(getattr(node, "id", "")), "value", None)
        if self._namespace is None and isinstance(constant, ast.expr):
            return None if isinstance(constant, ast.Name) else self.value(constant)
        calls = any(isinstance(one, ast.Call) for one in ast.walk(node))
        try:
            return self._evaluated(node, checked=calls or self._namespace is None)
        except Exception:
            return None

    def knows(self, name: str) -> bool:
        """Return whether *name* has a meaning of the source's own."""
        return name in (self._namespace or ()) or name in self._defined

    def name(self, path: str) -> Any:
        """Return what a name means: in the namespace, in the source, then commonly; dotted, in a module.

        Raises
        ------
        UnresolvedError
            It is not known, or not known to be harmless.
        """
        first, _, rest = path.partition(".")
        if rest:
            # ``datetime.date`` means the module, also where nothing was imported here.
            module = first in _SAFE_MODULES and not self.knows(first)
            found = importlib.import_module(first) if module else self.name(first)
            for part in rest.split("."):
                if not isinstance(found, ModuleType) or found.__name__ not in _SAFE_MODULES:
                    raise UnresolvedError(path)
                found = _member(found.__name__, part)
            return found
        if self._namespace is not None and path in self._namespace:
            return self._namespace[path]
        if path in self._defined:
            return self._written(path, self._defined[path])
        if hasattr(builtins, path):  # also ``open``: what only describes is called, nothing else
            return getattr(builtins, path)
        if path in _common():
            return _member(_common()[path], path)
        module_name = _ALIASES.get(path, path)
        if module_name in _SAFE_MODULES:
            return importlib.import_module(module_name)
        raise UnresolvedError(path)

    def _written(self, name: str, node: ast.stmt) -> Any:
        """Return the harmless type that a statement of the source gives *name*."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            module, member = _origin(node, name)
            if member and f"{module}.{member}" in _SAFE_MODULES:
                return importlib.import_module(f"{module}.{member}")
            if module not in _SAFE_MODULES:
                raise UnresolvedError(name)
            return _member(module, member) if member else importlib.import_module(module)
        value = getattr(node, "value", None)
        if value is None or name in self._busy:
            raise UnresolvedError(name)
        self._busy.add(name)
        try:
            return self._evaluated(value, checked=True)
        except UnresolvedError:
            raise UnresolvedError(name) from None
        finally:
            self._busy.discard(name)

    def _evaluated(self, node: ast.expr, checked: bool) -> Any:
        names: dict[str, Any] = {}
        self._look(node, names, checked)
        return eval(compile(ast.Expression(node), "<annotation>", "eval"), _NOTHING, names)

    def _look(
        self, node: ast.AST, names: dict[str, Any], checked: bool, typed: bool = True
    ) -> None:
        """Put into *names* what an annotation needs; *checked*: refuse what is not known to be harmless.

        Where it is *typed*, a string quotes a type; in ``Literal``, metadata and calls it means itself.
        """
        if checked and not isinstance(node, _HARMLESS):
            raise UnresolvedError(ast.unparse(node))
        inside = [(part, typed) for part in ast.iter_child_nodes(node)]
        match node:
            case ast.Name(id=name) if name not in names:
                names[name] = self.name(name)
            case ast.Constant(value=str()) if typed:
                inside = [(_unquoted(node), True)]
            case ast.BinOp(left=left, right=right) if typed:
                # Python cannot join a quoted type to another.
                node.left, node.right = _unquoted(left), _unquoted(right)
                inside = [(node.left, True), (node.right, True)]
            case ast.Attribute():
                path = ast.unparse(node)
                first = path.partition(".")[0]
                if first in _SAFE_MODULES and not self.knows(first):
                    names[first] = importlib.import_module(first)
                if checked:
                    self.name(path)
            case ast.Call(func=function, args=given):
                found = self.name(ast.unparse(function)) if checked else None
                if checked and not _only_describes(found):
                    raise UnresolvedError(ast.unparse(function))
                # Of the strings in a call these quote types: pydantic would evaluate them.
                called = getattr(found, "__name__", "")
                quoted = given[1:] if called == "NewType" else given if called[:3] == "con" else []
                names_of_types = [k.value for k in node.keywords if k.arg in ("tp", "item_type")]
                inside = [(one, one in quoted) for one in given]
                inside += [(k.value, k.value in names_of_types) for k in node.keywords]
                inside.append((function, False))
            case ast.Subscript(value=owner, slice=ast.expr() as given):
                parts = given.elts if isinstance(given, ast.Tuple) else [given]
                # By what it is: an import may give another thing the name "Literal".
                found = None
                with contextlib.suppress(UnresolvedError):
                    found = self.name(ast.unparse(owner))
                kept = 0 if found is Literal else 1 if found is Annotated else len(parts)
                inside = [(one, typed and at < kept) for at, one in enumerate(parts)]
                inside.append((owner, typed))
        for part, quotes in inside:
            self._look(part, names, checked, quotes)


def hints_of(target: Any, namespace: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the types a function or class is annotated with; a `ToolError` where one cannot be found out.

    Names are looked up in the function's own module, those of a class without one in *namespace*.
    """
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # one that is not known loses all of them: each is looked at by itself
        pass
    try:
        annotations = dict(getattr(target, "__annotations__", {}))
    except Exception:  # evaluated on demand from Python 3.14 on
        return {}
    resolver = Resolver((), getattr(target, "__globals__", namespace or {}))
    for name, hint in annotations.items():
        text = getattr(hint, "__forward_arg__", hint)
        if isinstance(text, str):
            try:
                annotations[name] = resolver.resolve(ast.parse(text, mode="eval").body)
            except SyntaxError:
                annotations[name] = ToolError(f"{text!r} is no type")
            except ToolError as error:
                annotations[name] = error
    return annotations


@cache
def _common() -> dict[str, str]:
    """Return the module of each name that is understood without an import."""
    found: dict[str, str] = {}
    for module in _COMMON:
        loaded = importlib.import_module(module)
        for name in getattr(loaded, "__all__", vars(loaded)):
            found.setdefault(name, module)
    return found


def _unquoted(node: ast.expr) -> ast.expr:
    """Return what a quoted type quotes; another node as it is."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return node
    try:
        return ast.parse(node.value.strip(), mode="eval").body
    except SyntaxError:
        raise ToolError(f"{node.value!r} is no type") from None


def _only_describes(function: Any) -> bool:
    """Return whether calling this with plain values has no effect outside the annotation."""
    return any(
        function is getattr(importlib.import_module(module), name, None)
        for module, names in _DESCRIBING.items()
        for name in names
    )


def _member(module: str, name: str) -> Any:
    """Return a public class or form of a safe module; nothing that could do harm when called."""
    if f"{module}.{name}" in _SAFE_MODULES:
        return importlib.import_module(f"{module}.{name}")
    found = getattr(importlib.import_module(module), name, None)
    # ImportString imports whatever it is given, once a value is validated.
    private = name.startswith("_") or name == "ImportString"
    if found is None or private or isinstance(found, ModuleType):
        raise UnresolvedError(f"{module}.{name}")
    return found


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield top-level statements, those under ``if`` and ``try`` (as in TYPE_CHECKING) included."""
    for node in body:
        yield node
        for part in ("body", "handlers", "orelse") if isinstance(node, ast.If | ast.Try) else ():
            inner = getattr(node, part, [])
            yield from _statements(
                [s for h in inner for s in h.body] if part == "handlers" else inner
            )


def defined(body: Iterable[ast.stmt]) -> dict[str, ast.stmt]:
    """Return the statement that gives each name its meaning, the last one where there are several."""
    result: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            result[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                result[alias.asname or alias.name.partition(".")[0]] = node
        elif isinstance(node, ast.Assign):
            result.update((one.id, node) for one in node.targets if isinstance(one, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            result[node.target.id] = node
        elif type(node).__name__ == "TypeAlias":  # ``type X = …`` of Python 3.12
            result[node.name.id] = node  # type: ignore[attr-defined]
    return result


def _origin(node: ast.Import | ast.ImportFrom, name: str) -> tuple[str, str]:
    """Return the module an import brings *name* from, and what it is called there (none: the module itself)."""
    if isinstance(node, ast.Import):
        return next((one.name for one in node.names if one.asname == name), name), ""
    member = next(one.name for one in node.names if (one.asname or one.name) == name)
    return "." * node.level + (node.module or ""), member
