"""From a function's source to the schema a model is shown; the sandbox helps where its text does not tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from letta_kernel.errors import ToolError
from letta_kernel.tools.annotations import Resolver, UnresolvedError
from letta_kernel.tools.callables import doc_of, name_of, namespace_of, parameters_of
from letta_kernel.tools.options import ToolOptions, live_options
from letta_kernel.tools.sandbox import default_sandbox
from letta_kernel.tools.signature import checked_name, describe, parse_source, schema_here


def schema_of(
    function: Callable[..., Any],
    options: ToolOptions | None = None,
    namespace: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the OpenAI function schema of a live callable, as it is now.

    Parameters
    ----------
    function
        A function, a bound method, a partial, a builtin, an object with ``__call__``.
    options
        What ``@tool(...)`` said; None: what *function* carries.
    namespace
        Where a name is looked for that it lacks itself.

    Returns
    -------
    dict
        ``name``, ``description`` and ``parameters``.

    Raises
    ------
    ToolError
        One line on why it cannot be a tool; it begins with the name.
    """
    options = options or live_options(function) or ToolOptions()
    name = checked_name(options.name or name_of(function, namespace))
    try:
        parameters = parameters_of(function)
    except ToolError as error:
        raise ToolError(f"{name}: {error}") from None
    return {
        "name": name,
        "description": options.description or doc_of(function).description,
        "parameters": describe(parameters, namespace_of(function), tool=name),
    }


def schema_from_source(
    source: str,
    name: str | None = None,
    namespace: Mapping[str, Any] | None = None,
    strict: bool = False,
    *,
    options: ToolOptions | None = None,
) -> dict[str, Any]:
    """Return the OpenAI function schema of a function in *source*.

    Parameters
    ----------
    source
        Python source; it is parsed, never run in this process.
    name
        Which function (``Class.method`` for a method); None: the last top-level one.
    namespace
        Where *source* has run already (the notebook's own names); annotations are looked up there. None for
        source from elsewhere: what plain names cannot tell is then worked out in the sandbox.
    strict
        Make the strict form for providers' structured output.
    options
        What ``@tool(...)`` said, where it is known already; None: read from the source.

    Returns
    -------
    dict
        ``name``, ``description`` and ``parameters`` (and ``strict`` in the strict form).

    Raises
    ------
    ToolError
        One line that names the parameter and says how to mend it.
    """
    try:
        return schema_here(source, name, namespace, strict, options)
    except UnresolvedError as missing:
        if not Resolver(parse_source(source)).defines(missing.name):
            raise ToolError(str(missing)) from None
    # Only classes of foreign source need a process.
    return default_sandbox().schema(source, name, strict=strict)
