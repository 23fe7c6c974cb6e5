"""A function's parameters and docstring as a JSON schema, as far as its source and names here tell.

Names, defaults, annotations and docstring are read from the syntax tree; pydantic describes the types. What
the source alone cannot tell (its own classes, say) is looked up in *namespace* where the source has run; source
from elsewhere never runs in this process (`letta_kernel.tools.schema` asks the sandbox then).
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from letta_kernel.errors import ToolError, nearest
from letta_kernel.tools import jsonschema
from letta_kernel.tools.annotations import Resolver, UnresolvedError
from letta_kernel.tools.docstrings import Doc, parse_docstring
from letta_kernel.tools.options import ToolOptions, options_from_ast
from letta_kernel.tools.parameters import RESERVED, Parameter, adapter, make_parameter, type_name

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def schema_here(
    source: str,
    name: str | None,
    namespace: Mapping[str, Any] | None,
    strict: bool = False,
    options: ToolOptions | None = None,
) -> dict[str, Any]:
    """Do what `schema_from_source` does without ever going to the sandbox.

    Raises
    ------
    UnresolvedError
        When a type can be told neither from the source's text nor from *namespace*.
    ToolError
        As `schema_from_source`.
    """
    tree = parse_source(source)
    node = find_function(tree, name)
    options = options or options_from_ast(node)
    return _schema_of(node, Resolver(tree, namespace), namespace, options, strict)


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


def _schema_of(
    node: FunctionNode,
    resolver: Resolver,
    namespace: Mapping[str, Any] | None,
    options: ToolOptions,
    strict: bool,
) -> dict[str, Any]:
    name = checked_name(options.name or node.name)
    doc = parse_docstring(ast.get_docstring(node, clean=False) or "")
    found = read_parameters(node, resolver, doc)
    schema: dict[str, Any] = {
        "name": name,
        "description": options.description or doc.description,
        "parameters": describe(found, namespace, strict=strict, tool=name),
    }
    if strict:
        schema["strict"] = True
    return schema


def read_parameters(node: FunctionNode, resolver: Resolver, doc: Doc) -> list[Parameter]:
    """Return the parameters a model fills in, with their types; ``self`` and ``agent_state`` are ours.

    Raises
    ------
    UnresolvedError
        When a type is not known here; other mistakes are told first.
    ToolError
        One line that names every parameter with a mistake.
    """
    problems: list[str] = []
    unresolved: UnresolvedError | None = None
    found: list[Parameter] = []
    for argument, default, kind in _arguments(node):
        try:
            made = make_parameter(argument, default, kind, resolver, doc)
            found += [] if made is None else [made]
        except UnresolvedError as error:
            if not resolver.defines(error.name):
                problems.append(f"parameter {argument.arg!r}: {error}")
            unresolved = unresolved or error
        except ToolError as error:
            problems.append(f"parameter {argument.arg!r} {error}")
    if problems:
        raise ToolError(f"{node.name}: {'; '.join(problems)}")
    if unresolved:
        raise unresolved
    return found


def _arguments(node: FunctionNode) -> list[tuple[ast.arg, ast.expr | None, str]]:
    """Return every parameter with its default and kind, in order, without the reserved ones."""
    listed = node.args
    positional = [*listed.posonlyargs, *listed.args]
    defaults = [None] * (len(positional) - len(listed.defaults)) + list(listed.defaults)
    result: list[tuple[ast.arg, ast.expr | None, str]] = []
    for at, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        if at == 0 and argument.arg == "cls" and argument.annotation is None:
            continue
        kind = "positional" if at < len(listed.posonlyargs) else "normal"
        result.append((argument, default, kind))
    result += [(listed.vararg, None, "rest")] if listed.vararg else []
    for argument, default in zip(listed.kwonlyargs, listed.kw_defaults, strict=True):
        result.append((argument, default, "keyword"))
    result += [(listed.kwarg, None, "options")] if listed.kwarg else []
    return [one for one in result if one[0].arg not in RESERVED]


def describe(
    parameters: list[Parameter],
    namespace: Mapping[str, Any] | None,
    *,
    strict: bool = False,
    tool: str = "",
) -> dict[str, Any]:
    """Return the JSON schema of *parameters*: ``type``, ``properties``, ``required``, maybe ``$defs``.

    Raises
    ------
    ToolError
        When a type cannot be described to a model, or not strictly.
    """
    from pydantic import TypeAdapter

    start = f"{tool}: " if tool else ""
    usable: list[Parameter] = []
    inputs: list[Any] = []
    for one in parameters:
        made = usable_adapter(one, namespace, start)
        if made is not None:
            usable.append(one)
            inputs.append((one.name, "validation", made))
    schemas, rest = TypeAdapter.json_schemas(inputs, ref_template="#/$defs/{model}")
    definitions = {
        key: jsonschema.without_titles(value) for key, value in rest.get("$defs", {}).items()
    }
    properties: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    for one in usable:
        raw = jsonschema.without_titles(schemas[one.name, "validation"])
        raw.pop("default", None)
        schema, recursive = jsonschema.inlined(raw, definitions)
        if strict:
            where = f"{start}parameter {one.name!r}"
            schema = jsonschema.strict(schema, where)
            recursive = {key: jsonschema.strict(part, where) for key, part in recursive.items()}
            schema = schema if one.required else jsonschema.nullable(schema)
        else:
            schema = jsonschema.loose(schema)
            schema = jsonschema.without_null(schema) if one.nullable else schema
            recursive = {key: jsonschema.loose(part) for key, part in recursive.items()}
        kept.update(recursive)
        # What a class says of itself is better than nothing.
        about = one.description or schema.get("description", "")
        properties[one.name] = {**schema, "description": about}
    result: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": [one.name for one in usable if strict or one.required],
    }
    if strict:
        result["additionalProperties"] = False
    if kept:
        result["$defs"] = kept
    return result


def usable_adapter(
    parameter: Parameter, namespace: Mapping[str, Any] | None, start: str = ""
) -> TypeAdapter[Any] | None:
    """Return what checks values of a parameter; None where no model can give any and none is needed.

    Raises
    ------
    ToolError
        It must be given, and its type cannot be written as JSON. *start* stands before the text.
    """
    try:
        made = adapter(parameter.annotation, namespace)
        made.json_schema()
    except Exception as error:
        if not parameter.required:
            return None
        raise ToolError(
            f"{start}parameter {parameter.name!r} {_undescribable(parameter, error)}"
        ) from None
    return made


def _undescribable(parameter: Parameter, error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    if "not fully defined" in first or "is not defined" in first:
        return f"has a type that is not fully defined: {first}"
    return (
        f"has the type {type_name(parameter.annotation)}, which cannot be written as JSON; use str, int, "
        f"float, bool, list, dict, a date, an Enum, a dataclass or a pydantic model"
    )
