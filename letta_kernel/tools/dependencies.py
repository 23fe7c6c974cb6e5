"""What packages a tool says it needs, and which of them are not here."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import metadata

from letta_kernel.errors import ToolError
from letta_kernel.remedies import Do, Remedy, remedy
from letta_kernel.tools.cells import parse
from letta_kernel.tools.options import options_from_ast

_BLOCK = re.compile(r"(?m)^# /// script\s*$\n(?P<body>(?:^#(?: .*)?$\n?)+?)^# ///\s*$")


def declared(source: str, function: str | None = None) -> list[str]:
    """Return the requirements of *source*: of its ``# /// script`` block and its ``@tool(dependencies=…)``.

    Raises
    ------
    ToolError
        When the block cannot be read.
    """
    found: list[str] = []
    block = _BLOCK.search(source)
    if block:
        text = "\n".join(
            line[2:] if line[:2] == "# " else "" for line in block["body"].splitlines()
        )
        try:
            listed = tomllib.loads(text).get("dependencies", [])
        except tomllib.TOMLDecodeError as error:
            raise ToolError(f"the '# /// script' block is not valid TOML: {error}") from None
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ToolError("dependencies in the '# /// script' block must be a list of strings")
        found += listed
    tree = parse(source)
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            options = options_from_ast(node)
            if function is None or function in (node.name, options.name):
                found += options.dependencies
    return list(dict.fromkeys(found))


def missing(requirements: list[str]) -> tuple[str, Remedy] | None:
    """Return what is missing, in words that follow a tool's name, and what installs it; None if all is here."""
    from packaging.requirements import InvalidRequirement, Requirement

    problems: list[str] = []
    wanted: list[str] = []
    for text in requirements:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            raise ToolError(
                f"{text!r} is no requirement (write for example 'requests>=2')"
            ) from None
        if one.marker is not None and not one.marker.evaluate():
            continue
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{one} (not installed)")
            wanted.append(text)
            continue
        if not one.specifier.contains(version, prereleases=True):
            problems.append(f"{one} ({version} is installed)")
            wanted.append(text)
    if not problems:
        return None
    return f"needs {', '.join(problems)}.", remedy(Do.INSTALL_PACKAGES, *wanted)
