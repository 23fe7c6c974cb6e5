"""Functions in source text: found, and their signature and schema read, without running any of it."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from letta_kernel.errors import ToolError, nearest
from letta_kernel.tools.annotations import Resolver, UnresolvedError
from letta_kernel.tools.inputs import Inputs
from letta_kernel.tools.options import ToolOptions, checked_name, options_from_ast
from letta_kernel.tools.parameters import parse_docstring, read_parameters

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def parse_source(source: str) -> ast.Module:
    """Parse *source*.

    Raises
    ------
    ToolError
        When it is no valid Python; the text gives the line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are for whoever runs it
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ToolError(f"the source is not valid Python{line}: {what}") from None


def find_function(tree: ast.Module, name: str | None = None) -> FunctionNode:
    """Return the function called *name* (the last definition of it), or the last top-level one.

    Raises
    ------
    ToolError
        When there is none.
    """
    owner, _, last = (name or "").rpartition(".")
    body: list[ast.stmt] = tree.body
    for part in owner.split(".") if owner else ():
        classes = [one for one in body if isinstance(one, ast.ClassDef) and one.name == part]
        if not classes:
            raise ToolError(f"there is no class {part!r} in the source")
        body = classes[-1].body
    functions = [one for one in body if isinstance(one, FunctionNode)]
    found = [one for one in functions if not name or one.name == last]
    if not found and name and not owner:  # a method may be named alone where no other is meant
        classes = [one for one in tree.body if isinstance(one, ast.ClassDef)]
        inner = [one for two in classes for one in two.body if isinstance(one, FunctionNode)]
        found = [one for one in inner if one.name == name]
    if not found:
        if not name:
            raise ToolError("there is no top-level function in the source: write a 'def'")
        near = nearest(name, [one.name for one in functions])
        raise ToolError(f"there is no top-level function {name!r} in the source.{near}")
    return found[-1]


def signature_in(
    node: FunctionNode, resolver: Resolver
) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    """Return a function's parameters as `inspect` has them, and the types of those that have a hint.

    A default is its value where it can be told, else None. A type that is not known is a `ToolError`.
    """
    listed, kinds = node.args, inspect.Parameter
    positional = [*listed.posonlyargs, *listed.args]
    defaults = [None] * (len(positional) - len(listed.defaults)) + list(listed.defaults)
    rows: list[tuple[ast.arg, ast.expr | None, Any]] = [
        (
            one,
            default,
            kinds.POSITIONAL_ONLY if one in listed.posonlyargs else kinds.POSITIONAL_OR_KEYWORD,
        )
        for one, default in zip(positional, defaults, strict=True)
    ]
    if rows and rows[0][0].arg == "cls" and rows[0][0].annotation is None:
        del rows[0]
    rows += [(listed.vararg, None, kinds.VAR_POSITIONAL)] if listed.vararg else []
    keywords = zip(listed.kwonlyargs, listed.kw_defaults, strict=True)
    rows += [(one, default, kinds.KEYWORD_ONLY) for one, default in keywords]
    rows += [(listed.kwarg, None, kinds.VAR_KEYWORD)] if listed.kwarg else []
    hints: dict[str, Any] = {}
    for argument, _, _ in rows:
        if argument.annotation is not None:
            try:
                hints[argument.arg] = resolver.resolve(argument.annotation)
            except ToolError as error:
                hints[argument.arg] = error
    found = [
        kinds(one.arg, kind, default=kinds.empty if default is None else resolver.value(default))
        for one, default, kind in rows
    ]
    return found, hints


def schema_here(
    source: str,
    name: str | None,
    namespace: Mapping[str, Any] | None,
    strict: bool = False,
    options: ToolOptions | None = None,
) -> dict[str, Any]:
    """Do what `letta_kernel.tools.schema.schema_from_source` does without ever going to the sandbox.

    Raises
    ------
    UnresolvedError
        A class that the source itself defines can be told neither from its text nor from *namespace*.
    ToolError
        As `letta_kernel.tools.schema.schema_from_source`; mistakes that nothing else could mend are told first.
    """
    tree = parse_source(source)
    node = find_function(tree, name)
    options = options or options_from_ast(node)
    called = checked_name(options.name or node.name)
    doc = parse_docstring(ast.get_docstring(node, clean=False) or "")
    resolver = Resolver(tree.body, namespace)
    signature, hints = signature_in(node, resolver)
    later = {
        key: hint
        for key, hint in hints.items()
        if isinstance(hint, UnresolvedError) and resolver.defines(hint.name)
    }
    try:
        parameters = read_parameters(signature, {**hints, **dict.fromkeys(later, Any)}, doc)
        for unresolved in later.values():
            raise unresolved
        described = Inputs(parameters, namespace).schema(strict=strict)
    except UnresolvedError:
        raise
    except ToolError as error:
        raise ToolError(f"{called}: {error}") from None
    return {
        "name": called,
        "description": options.description or doc.description,
        "parameters": described,
        **({"strict": True} if strict else {}),
    }
