"""Finding the tools in a notebook cell: top-level functions with a docstring or ``@tool``, by reading it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import FunctionType, ModuleType
from typing import Any

from letta_kernel.errors import ToolError
from letta_kernel.records import Tool
from letta_kernel.tools.annotations import defined
from letta_kernel.tools.callables import namespace_of, source_of, takes_anything
from letta_kernel.tools.cells import parse, python_of
from letta_kernel.tools.options import ToolOptions, live_options, marks, options_from_ast
from letta_kernel.tools.references import Reference, same, snapshot, unwrapped
from letta_kernel.tools.schema import schema_from_source, schema_of
from letta_kernel.tools.source import FunctionNode

# Calls that may be made again elsewhere: they only make a type or a pattern.
_DESCRIBING = ("NewType", "TypeVar", "Field", "compile", "namedtuple", "Enum", "Path", "TypedDict")
_NO_TOOL = re.compile(r"#\s*no[ -]?tool\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A function that can be a tool.

    ``name`` is the function's in the notebook, ``tool_name`` what the model sees. ``source`` is the function
    with the imports, classes and helpers it needs put before it, as far as they could be found, so that it
    can run on its own; ``own_source`` is the function alone, as the author wrote it.
    """

    name: str
    tool_name: str
    source: str
    own_source: str
    options: ToolOptions
    schema: dict[str, Any]

    def record(self, **fields: Any) -> Tool:
        """Return the tool it makes, not kept yet; *fields* are those of a `Tool` and come first."""
        made = {
            **self.schema,
            "source": self.source,
            "metadata": {
                "own_source": self.own_source,
                "dependencies": list(self.options.dependencies),
            },
            **self.options.record_fields(),
        }
        return Tool(**{**made, **fields})


@dataclass(slots=True)
class Tracked:
    """A live callable that is a tool.

    Attributes
    ----------
    reference
        Where it is found again.
    name
        What it is called where it was found.
    tool
        The tool as it was kept last.
    seen
        A snapshot of what the tool was made from.
    """

    reference: Reference
    name: str
    tool: Tool
    seen: list[Any]

    @classmethod
    def of(cls, reference: Reference, name: str, tool: Tool) -> Tracked:
        """Track a callable from now on."""
        return cls(reference, name, tool, snapshot(reference.now()))

    def changed(
        self, namespace: Mapping[str, Any] | None, earlier: Mapping[str, str] | None = None
    ) -> Tool | None:
        """Return the tool as it has to be kept now; None if it is right as it is.

        Raises
        ------
        StaleToolError
            The callable is not there any more.
        ToolError
            What it is now cannot be a tool.
        """
        now = self.reference.now()
        seen = snapshot(now)
        if same(seen, self.seen):
            return None
        self.seen = seen
        if takes_anything(now):  # a wrapper: what it hides still takes what was known
            return None
        kept = self.tool
        found = found_in(now, self.name, namespace, earlier, kept.name)
        made = found.record(id=kept.id)
        if found.own_source == kept.metadata.get("own_source"):
            made.source = kept.source  # with what it needs, as it was found then
        taken = ("notebook", "cell_id", "kind", "created_at", "updated_at", "created_by")
        made = made.model_copy(update={field: getattr(kept, field) for field in taken})
        return None if made == kept else made


@dataclass(frozen=True, slots=True)
class Skipped:
    """A function that was meant as a tool but cannot be one; ``reason`` is one line."""

    name: str
    reason: str


@dataclass(slots=True)
class Discovery:
    """What a cell holds. ``functions`` are all names it defines at top level, tools or not."""

    found: list[Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)


def discover(
    cell_source: str,
    namespace: Mapping[str, Any] | None,
    earlier: Mapping[str, str] | None = None,
    wanted: Collection[str] = (),
) -> Discovery:
    """Find the tools a cell defines.

    Top-level ``def`` and ``async def`` with a docstring count; ``_private`` names and those marked
    ``# no tool`` do not. With ``@tool`` a function needs no docstring, and may have any name. A cell that is
    no Python has none.

    Parameters
    ----------
    cell_source
        The cell's text, magics and all.
    namespace
        The notebook's names after the cell ran; None for a cell that did not run here.
    earlier
        Definitions of cells that ran before (see `definitions`), for tools that need them.
    wanted
        Names that count without a docstring too, because somebody asked for them.
    """
    result = Discovery()
    python = python_of(cell_source)
    if python is None or (tree := parse(python)) is None:
        return result
    lines = python.splitlines()
    last = {one.name: one for one in tree.body if isinstance(one, FunctionNode)}
    for name, node in last.items():
        result.functions.append(name)
        meant = name in wanted or any(map(marks, node.decorator_list))
        told = not name.startswith("_") and bool((ast.get_docstring(node) or "").strip())
        if not (meant or told):
            continue
        if _marked(node, lines) or _deleted(name, node, tree):
            continue
        try:
            result.found.append(_found(node, tree, python, namespace, earlier or {}))
        except ToolError as error:
            reason = str(error)
            for start in (f"{name}: ", f"{_seen_name(node)}: "):
                reason = reason.removeprefix(start)
            result.skipped.append(Skipped(name, reason))
    return result


def definitions(cell_source: str) -> dict[str, str]:
    """Return the source of each top-level function, class, import and constant of a cell, by name."""
    python = python_of(cell_source)
    if python is None or (tree := parse(python)) is None:
        return {}
    return {name: _text(node, python) for name, node in defined(tree.body).items()}


def _found(
    node: FunctionNode,
    tree: ast.Module,
    python: str,
    namespace: Mapping[str, Any] | None,
    earlier: Mapping[str, str],
) -> Found:
    live = (namespace or {}).get(node.name)
    options = live_options(live) or options_from_ast(node)
    own = _text(node, python)
    # What the function says itself is the truth, unless a decorator put something in its place that
    # says nothing.
    if isinstance(unwrapped(live), FunctionType) and not takes_anything(live):  # type: ignore[arg-type]
        schema = schema_of(live, options)  # type: ignore[arg-type]
    else:
        schema = schema_from_source(python, node.name, namespace, options=options)
    source = _alone(own, node, tree, python, namespace, earlier)
    return Found(node.name, schema["name"], source, own, options, schema)


def found_in(
    function: Callable[..., Any],
    name: str,
    namespace: Mapping[str, Any] | None = None,
    earlier: Mapping[str, str] | None = None,
    tool_name: str | None = None,
) -> Found:
    """Return what makes a live callable a tool; *name* is what it is called where it was found.

    *tool_name* is the name it has as a tool already; else it is its own. Its source is that of a plain
    function; it is empty for a method, a lambda and the like, which cannot run without the process they
    are in.

    Raises
    ------
    ToolError
        It cannot be a tool.
    """
    if not callable(function):
        raise ToolError(f"{function!r:.60} cannot be called")
    options = live_options(function) or ToolOptions()
    options = replace(options, name=tool_name or options.name)
    schema = schema_of(function, options, namespace)
    own = source = source_of(function)
    if own and (tree := parse(own)) is not None:
        (node,) = (one for one in tree.body if isinstance(one, FunctionNode))
        names = {**namespace_of(function), **(namespace or {})}
        source = _alone(own, node, tree, own, names, earlier or {})
    if not source and options.runs_in == "sandbox":
        raise ToolError(
            f"{schema['name']}: it cannot run in the sandbox, which needs the source of a function"
        )
    return Found(name, schema["name"], source, own, options, schema)


def _seen_name(node: FunctionNode) -> str:
    try:
        return options_from_ast(node).name or node.name
    except ToolError:
        return node.name


def _marked(node: FunctionNode, lines: list[str]) -> bool:
    """Return whether ``# no tool`` stands on the def line, a decorator's, or directly above."""
    start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    head = range(start - 1, max(node.body[0].lineno - 1, node.lineno))
    if any(_NO_TOOL.search(lines[at]) for at in head if at < len(lines)):
        return True
    above = lines[start - 2].strip() if start >= 2 else ""
    return above.startswith("#") and bool(_NO_TOOL.search(above))


def _deleted(name: str, node: FunctionNode, tree: ast.Module) -> bool:
    """Return whether the cell itself deletes the function again."""
    return any(
        isinstance(one, ast.Delete)
        and one.lineno > node.lineno
        and any(isinstance(target, ast.Name) and target.id == name for target in one.targets)
        for one in tree.body
    )


def _text(node: ast.stmt, python: str) -> str:
    """Return the source of *node*, decorators included."""
    lines = python.splitlines()
    start = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    return "\n".join(lines[start - 1 : node.end_lineno])


def _names(node: ast.AST) -> list[str]:
    """Return the names *node* mentions, quoted annotations included, in order."""
    found: dict[str, None] = {}
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            found[part.id] = None
        elif (
            isinstance(part, ast.Constant) and isinstance(part.value, str) and len(part.value) < 200
        ):
            # Could be a quoted annotation; a word too many does no harm.
            found.update(dict.fromkeys(re.findall(r"[A-Za-z_]\w*", part.value)))
    return list(found)


def _alone(
    own: str,
    node: FunctionNode,
    tree: ast.Module,
    python: str,
    namespace: Mapping[str, Any] | None,
    earlier: Mapping[str, str],
) -> str:
    """Return a function's source after the statements it needs: of the cell, of earlier cells, or imports."""
    here = defined(tree.body)
    futures = [
        _text(one, python)
        for one in tree.body
        if isinstance(one, ast.ImportFrom) and one.module == "__future__"
    ]
    done: set[str] = {node.name}
    order: list[str] = []

    def need(name: str) -> None:
        if name in done:
            return
        done.add(name)
        statement: ast.stmt | None = here.get(name)
        text = _text(statement, python) if statement is not None else None
        if text is None and name in earlier:
            text = earlier[name]
            statement = _parsed(text)
        if text is None:
            text = _import_of(name, namespace)
            statement = _parsed(text) if text else None
        if text is None or statement is None or not _movable(statement):
            return
        for inner in _names(statement):
            need(inner)
        if text not in order:
            order.append(text)

    for name in _names(node):
        need(name)
    before = [*futures, *(text for text in order if text not in futures)]
    return "\n".join([*before, "", "", own]) if before else own


def _movable(statement: ast.stmt) -> bool:
    """Return whether a statement may be run again elsewhere: definitions, imports, plain constants."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        value = statement.value
        return value is not None and not any(
            isinstance(part, ast.Await)
            or (
                isinstance(part, ast.Call)
                and ast.unparse(part.func).rpartition(".")[2] not in _DESCRIBING
            )
            for part in ast.walk(value)
        )
    return True


def _parsed(text: str) -> ast.stmt | None:
    tree = parse(text)
    return tree.body[0] if tree and tree.body else None


def _import_of(name: str, namespace: Mapping[str, Any] | None) -> str | None:
    """Return the import that would bring *name* back, for modules and what comes from them."""
    # Many things know a module that does not give them back: the import counts only if it leads to this very
    # value.
    if namespace is None or name not in namespace or name.startswith("_"):
        return None
    value = namespace[name]
    if isinstance(value, ModuleType):
        path = value.__name__
        return f"import {path}" if path == name else f"import {path} as {name}"
    module = getattr(value, "__module__", None)
    original = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(module, str) or module in ("__main__", "builtins"):
        return None
    if module == "typing" and not isinstance(original, str):
        original = getattr(value, "_name", None)
    if not isinstance(original, str) or "." in original or not original.isidentifier():
        return None
    import sys

    if getattr(sys.modules.get(module), original, None) is not value:
        return None
    return f"from {module} import {original}" + (f" as {name}" if original != name else "")
