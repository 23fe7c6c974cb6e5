"""From a notebook cell's text to plain Python: magics and shell lines put aside; the packages it needs."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from importlib import metadata

from letta_kernel.errors import ToolError
from letta_kernel.remedies import Do, Remedy, remedy
from letta_kernel.tools.options import options_from_ast
from letta_kernel.tools.source import parse_source

# Cell magics whose body is Python run in the notebook's own namespace.
_PYTHON_MAGICS = {"time", "timeit", "capture", "prun", "python_here", "memray_flamegraph", "mprun"}
# ``x = !ls`` and ``x = %magic``
_ASSIGNED = re.compile(r"^(?P<left>[\w.,\s\[\]()*'\"]++=\s*+)[!%](?=[\w!%/.~{$ -]).*$")
# Square characters of lines that are tokenized: Python 3.11 takes so long for what is no Python.
_MOST_TOKENIZED = 40_000_000
_HELP = re.compile(r"^\s*\?{1,2}[\w.*%]+;?\s*$|^\s*%{0,2}[\w.*]+\?{1,2};?\s*$")


def python_of(cell: str) -> str | None:
    """Return the Python a cell runs in the notebook, or None if it runs none of its own.

    Lines that are not Python (``%magic``, ``!command``, ``name?``) become ``pass``, so that line
    numbers and indentation stay. The body of ``%%time`` or ``%%capture`` counts; that of ``%%agent``,
    ``%%bash`` or any other cell magic does not.
    """
    lines = cell.splitlines()
    first = next((at for at, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return None
    while lines[first].startswith("%%"):
        word = lines[first][2:].split(maxsplit=1)
        if not word or word[0] not in _PYTHON_MAGICS:
            return None
        lines[first] = ""
        rest = [at for at in range(first + 1, len(lines)) if lines[at].strip()]
        if not rest:
            return None
        first = rest[0]
    text = "\n".join(lines) + "\n"
    if parse(text) is not None:
        return text
    inside = _inside_strings(lines)
    result: list[str] = []
    continued = False  # a shell line or magic may go on after a backslash
    for at, line in enumerate(lines):
        stripped = line.lstrip()
        indent = line[: len(line) - len(stripped)]
        if at in inside:
            result.append(line)
            continue
        if continued:
            continued = line.endswith("\\")
            result.append("")
            continue
        assigned = _ASSIGNED.match(line)
        if stripped[:1] in ("%", "!") or _HELP.match(line):
            result.append(f"{indent}pass")
        elif assigned:
            result.append(f"{assigned['left']}None")
        elif stripped[:1] in (",", ";", "/") and re.match(r"[,;/][A-Za-z_]", stripped):
            result.append(f"{indent}pass")  # IPython's automatic quoting and calling
        else:
            result.append(line)
            continue
        continued = line.endswith("\\")
    return "\n".join(result) + "\n"


def parse(text: str) -> ast.Module | None:
    """Parse *text*; None if it is no Python."""
    try:
        return parse_source(text)
    except ToolError:
        return None


def _inside_strings(lines: list[str]) -> set[int]:
    """Return the indexes of lines that begin inside a string, where ``%`` and ``!`` mean themselves."""
    if sum(len(line) ** 2 for line in lines) > _MOST_TOKENIZED:
        return set()
    # Marks at the start of a line are no Python tokens: where they are in the way, they are blanked first.
    blanked = [re.sub(r"^(\s*)[%!?].*", r"\1pass", line) for line in lines]
    for text in (lines, blanked):
        inside: set[int] = set()
        try:
            for token in tokenize.generate_tokens(io.StringIO("\n".join(text) + "\n").readline):
                if token.type == tokenize.STRING and token.end[0] > token.start[0]:
                    inside.update(range(token.start[0], token.end[0]))
        except (tokenize.TokenError, SyntaxError):
            continue
        break
    return inside  # what could be read of what is not Python anyway


def _script_block(source: str) -> list[str] | None:
    """Return the lines of the first block of comments from ``# /// script`` to ``# ///`` (PEP 723)."""
    inside: list[str] | None = None
    for line in source.split("\n"):
        if inside is None:
            inside = [] if line.rstrip() == "# /// script" else None
        elif line.rstrip() == "# ///":
            return inside
        elif f"{line} ".startswith("# "):
            inside.append(line)
        else:
            inside = None
    return None


def declared(source: str, function: str | None = None) -> list[str]:
    """Return the requirements of *source*: of its ``# /// script`` block and its ``@tool(dependencies=…)``.

    Raises
    ------
    ToolError
        When the block cannot be read.
    """
    found: list[str] = []
    block = _script_block(source)
    if block:
        text = "\n".join(line[2:] for line in block)
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
