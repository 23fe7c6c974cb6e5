"""From a function's source to the schema a model is shown; the sandbox helps where its text does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from letta_kernel.errors import ToolError
from letta_kernel.tools.annotations import Resolver, UnresolvedError
from letta_kernel.tools.options import ToolOptions
from letta_kernel.tools.sandbox import default_sandbox
from letta_kernel.tools.signature import parse_source, schema_here


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
