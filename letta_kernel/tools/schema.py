"""The schema a model is shown: of a live function as it is now, or of a function in source text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from letta_kernel.errors import ToolError
from letta_kernel.tools.annotations import UnresolvedError
from letta_kernel.tools.callables import docstring_of, inputs_of, name_of
from letta_kernel.tools.options import ToolOptions, checked_name, live_options
from letta_kernel.tools.parameters import parse_docstring
from letta_kernel.tools.sandbox import default_sandbox
from letta_kernel.tools.source import schema_here


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
        parameters = inputs_of(function).schema()
    except ToolError as error:
        raise ToolError(f"{name}: {error}") from None
    about = options.description or parse_docstring(docstring_of(function)).description
    return {"name": name, "description": about, "parameters": parameters}


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
    except UnresolvedError:  # only classes of foreign source need a process
        return default_sandbox().schema(source, name, strict=strict)
