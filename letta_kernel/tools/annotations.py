"""From the source text of an annotation to a type, without running any of that source.

An annotation is read as a tree and put together from names known to be harmless: builtins, ``typing``,
``datetime``, ``pydantic`` and the like, plus the source's own aliases of them. Only with a namespace (the
notebook's own, where the code has run already) is anything evaluated.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import operator
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, NewType, Union

from letta_kernel.errors import ToolError

# Modules whose names may be looked up while reading foreign source: importing them does nothing else.
_SAFE_MODULES = (
    "typing",
    "typing_extensions",
    "collections",
    "collections.abc",
    "datetime",
    "pathlib",
    "enum",
    "decimal",
    "uuid",
    "fractions",
    "ipaddress",
    "numbers",
    "re",
    "annotated_types",
    "pydantic",
)
_SAFE_BUILTINS = {
    name: getattr(builtins, name)
    for name in (
        *("str", "int", "float", "bool", "bytes", "complex", "object", "type", "None"),
        *("list", "dict", "tuple", "set", "frozenset"),
    )
    if name != "None"
}
# What a cell may call without importing it there: it was imported in another cell.
_WELL_KNOWN = {
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "pathlib": ("Path", "PurePath", "PosixPath", "PurePosixPath"),
    "decimal": ("Decimal",),
    "uuid": ("UUID",),
    "fractions": ("Fraction",),
    "ipaddress": ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network"),
    "re": ("Pattern",),
}
_MODULE_ALIASES = {"t": "typing", "tp": "typing", "dt": "datetime", "te": "typing_extensions"}
# Constructors that only describe: calling them with plain values has no effect outside the annotation.
_SAFE_CALLS = {
    "pydantic": (
        *("Field", "StringConstraints", "Strict", "Discriminator", "Tag"),
        *("conint", "confloat", "constr", "conbytes", "conlist", "conset", "confrozenset"),
        *("condecimal", "condate"),
    ),
    "annotated_types": (
        *("Gt", "Ge", "Lt", "Le", "Interval", "MultipleOf", "MinLen", "MaxLen", "Len", "Timezone"),
    ),
    "typing_extensions": ("Doc",),
}


class UnresolvedError(ToolError):
    """An annotation names something that only running the source (or the notebook) could supply."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} is not known: import or define it in the same source")
        self.name = name


class Resolver:
    """Turns annotation nodes of one source into types.

    Parameters
    ----------
    tree
        The parsed source; its imports and aliases are understood.
    namespace
        Where the source has run already, or None if nothing may be evaluated.
    """

    def __init__(self, tree: ast.Module, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace = namespace
        self._imports: dict[str, str] = {}
        self._defined: dict[str, ast.AST] = {}
        self._busy: set[str] = set()
        for node in _statements(tree.body):
            self._remember(node)

    def defines(self, name: str) -> bool:
        """Return whether the source itself defines or imports *name* (dotted: its first part)."""
        first = name.partition(".")[0]
        return first in self._imports or first in self._defined

    def resolve(self, node: ast.expr) -> Any:
        """Return the type (or the harmless value) that *node* stands for.

        Raises
        ------
        UnresolvedError
            When a name is not known here.
        ToolError
            When the annotation is not one at all.
        """
        copy = ast.parse(ast.unparse(node), mode="eval").body  # unquoting changes the tree
        node = ast.fix_missing_locations(_Unquote().visit(copy))
        try:
            return self._build(node)
        except UnresolvedError:
            if self._namespace is None:
                raise
        try:
            code = compile(ast.Expression(node), "<annotation>", "eval")
            return eval(code, {"__builtins__": {}}, _Lookup(self))
        except UnresolvedError:
            raise
        except Exception as error:
            text = f"{ast.unparse(node)!r} is no type ({type(error).__name__}: {error})"
            raise ToolError(text) from None

    def value(self, node: ast.expr) -> Any:
        """Return the value of a default where it can be told without running the source; else None."""
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            pass
        if isinstance(node, ast.Name) and self._namespace is None:
            constant = self._defined.get(node.id)
            if isinstance(constant, ast.expr) and not isinstance(constant, ast.Name):
                return self.value(constant)
        try:
            return self.resolve(node)
        except ToolError:
            return None

    def name(self, name: str) -> Any:
        """Return what *name* means in the source: namespace first, then imports, then common names."""
        if self._namespace is not None and name in self._namespace:
            return self._namespace[name]
        if name in self._imports:
            return self._imported(name)
        if name in self._defined:
            return self._alias(name)
        if name in _SAFE_BUILTINS:
            return _SAFE_BUILTINS[name]
        if self._namespace is not None and hasattr(builtins, name):
            return getattr(builtins, name)
        for module, names in _WELL_KNOWN.items():
            if name in names:
                return getattr(importlib.import_module(module), name)
        for module in ("typing", "collections.abc", "typing_extensions", "pydantic"):
            if name in getattr(importlib.import_module(module), "__all__", ()):
                return _member(module, name)
        if name in _MODULE_ALIASES:
            return importlib.import_module(_MODULE_ALIASES[name])
        if name in _SAFE_MODULES:
            return importlib.import_module(name)
        raise UnresolvedError(name)

    def _remember(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    self._imports[alias.asname] = alias.name
                else:
                    top = alias.name.partition(".")[0]
                    self._imports[top] = top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name != "*":
                    module = "." * node.level + (node.module or "")
                    self._imports[alias.asname or alias.name] = f"{module}:{alias.name}"
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self._defined[node.name] = node
            self._imports.pop(node.name, None)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self._defined[target.id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            self._defined[node.target.id] = node.value
        elif type(node).__name__ == "TypeAlias":  # ``type X = …`` of Python 3.12
            self._defined[node.name.id] = node.value  # type: ignore[attr-defined]

    def _imported(self, name: str) -> Any:
        module, _, member = self._imports[name].partition(":")
        if module not in _SAFE_MODULES:
            if member and f"{module}.{member}" in _SAFE_MODULES:
                return importlib.import_module(f"{module}.{member}")
            raise UnresolvedError(name)
        return _member(module, member) if member else importlib.import_module(module)

    def _alias(self, name: str) -> Any:
        """Return the type a top-level assignment of the source gives *name*, if it can be read."""
        node = self._defined[name]
        if not isinstance(node, ast.expr) or name in self._busy:
            raise UnresolvedError(name)
        self._busy.add(name)
        try:
            return self._build(_Unquote().visit(node))
        except UnresolvedError:
            raise UnresolvedError(name) from None
        finally:
            self._busy.discard(name)

    def _build(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.name(name)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Tuple(elts=parts):
                return tuple(self._build(part) for part in parts)
            case ast.List(elts=parts):
                return [self._build(part) for part in parts]
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return {
                    self._build(k): self._build(v) for k, v in zip(keys, values, strict=True) if k
                }
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return Union[self._build(left), self._build(right)]  # noqa: UP007 - built at run time
            case ast.Subscript(value=value, slice=inner):
                return self._subscript(self._build(value), self._build(inner), node)
            case ast.Call():
                return self._call(node)
        raise UnresolvedError(ast.unparse(node))

    def _attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Name):
            owner_name = node.value.id
            known = self.defines(owner_name) or owner_name in (self._namespace or ())
            # ``datetime.date`` means the module, also where nothing was imported here.
            if owner_name in _SAFE_MODULES and not known:
                return _member(owner_name, node.attr)
        owner = self._build(node.value)
        if isinstance(owner, ModuleType) and owner.__name__ in _SAFE_MODULES:
            return _member(owner.__name__, node.attr)
        raise UnresolvedError(ast.unparse(node))

    def _subscript(self, owner: Any, inner: Any, node: ast.AST) -> Any:
        try:
            return operator.getitem(owner, inner)
        except Exception as error:
            raise ToolError(f"{ast.unparse(node)!r} is no type ({error})") from None

    def _call(self, node: ast.Call) -> Any:
        function = self._build(node.func)
        if function is not NewType and not any(
            function is getattr(importlib.import_module(module), name, None)
            for module, names in _SAFE_CALLS.items()
            for name in names
        ):
            raise UnresolvedError(ast.unparse(node.func))
        if any(keyword.arg is None for keyword in node.keywords):
            raise UnresolvedError(ast.unparse(node))
        args = [self._build(argument) for argument in node.args]
        try:
            return function(*args, **{k.arg or "": self._build(k.value) for k in node.keywords})
        except UnresolvedError:
            raise
        except Exception as error:
            raise ToolError(f"{ast.unparse(node)!r} cannot be used ({error})") from None


class _Lookup(Mapping[str, Any]):
    """The names an annotation may use, as `eval` wants them."""

    def __init__(self, resolver: Resolver) -> None:
        self._name: Callable[[str], Any] = resolver.name

    def __getitem__(self, name: str) -> Any:
        return self._name(name)  # UnresolvedError, unlike KeyError, ends the evaluation

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Unquote(ast.NodeTransformer):
    """Replaces quoted annotations by what they quote, but not the strings of ``Literal`` or metadata."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, str):
            return node
        try:
            return self.visit(ast.parse(node.value.strip(), mode="eval").body)
        except SyntaxError:
            raise ToolError(f"{node.value!r} is no type") from None

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        word = node.value.attr if isinstance(node.value, ast.Attribute) else None
        word = word or getattr(node.value, "id", None)
        if word == "Literal":
            return node
        if word == "Annotated" and isinstance(node.slice, ast.Tuple) and node.slice.elts:
            node.slice.elts[0] = self.visit(node.slice.elts[0])
            return node
        return self.generic_visit(node)  # type: ignore[return-value]

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return node


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


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield top-level statements, those under ``if`` and ``try`` (as in TYPE_CHECKING) included."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements(node.body)
            yield from _statements(node.orelse)
        elif isinstance(node, ast.Try):
            yield from _statements(node.body)
            for handler in node.handlers:
                yield from _statements(handler.body)
