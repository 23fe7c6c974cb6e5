"""What a docstring says to a model: the description and each parameter's, in any of three styles."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_PARAMETERS = {
    "args",
    "arguments",
    "parameters",
    "params",
    "keyword args",
    "keyword arguments",
    "other parameters",
}
# Sections that tell a reader of the code something, but the caller of a tool nothing.
_DROPPED = {
    "returns",
    "return",
    "yields",
    "yield",
    "raises",
    "raise",
    "exceptions",
    "except",
    "warns",
    "attributes",
    "methods",
    "receives",
    "see also",
    "references",
    "todo",
}
_KEPT = {"example", "examples", "note", "notes", "warning", "warnings", "usage", "important"}
_GOOGLE_HEADER = re.compile(r"(?P<title>[A-Z][A-Za-z]*(?: [A-Za-z]+)?)\s*:\s*$")
_NUMPY_RULE = re.compile(r"[-=]{3,}\s*$")
_REST_FIELD = re.compile(r":(?P<kind>[a-z]+)(?:\s+[^:]*)?:(?:\s|$)")
_REST_TYPE = re.compile(r":type\s+(?P<name>\w+)\s*:\s*(?P<type>.+)")
_REST_PARAMETERS = {"param", "parameter", "arg", "argument", "key", "keyword"}
_REST_KINDS = _REST_PARAMETERS | {
    *("attribute", "attr", "type"),
    *("return", "returns", "rtype", "yield", "yields", "raise", "raises", "except", "exception"),
    *("var", "ivar", "cvar", "meta"),
}


@dataclass(slots=True)
class Doc:
    """A docstring taken apart: ``description`` for the tool, ``parameters`` and their ``types`` by name."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)


def parse_docstring(text: str) -> Doc:
    """Take a Google, NumPy or reST docstring apart; line breaks inside a description stay.

    The description is everything that is not about parameters, results or errors: the summary and the
    body with one blank line between them, then notes and examples. A section of parameters that cannot be
    read stays in it, for the model to read as it is.
    """
    lines = [line.rstrip() for line in inspect.cleandoc(text).splitlines()]
    if lines and _GOOGLE_HEADER.match(
        lines[0]
    ):  # cleandoc took its entries' indentation for margin
        lines[1:] = [f"    {line}" if line else line for line in lines[1:]]
    doc = Doc()
    chunks: list[str] = []
    plain: list[str] = []
    at = 0

    def end_plain() -> None:
        chunk = "\n".join(plain).strip("\n")
        if chunk:
            # Only the first gap is ours to mend; blank lines further down may be part of an example.
            summary, gap, rest = chunk.partition("\n\n")
            chunks.append(f"{summary}{gap}{rest.lstrip(chr(10))}" if not chunks else chunk)
        plain.clear()

    while at < len(lines):
        title, style = _header(lines, at)
        if style is None:
            plain.append(lines[at])
            at += 1
            continue
        start = at + (2 if style == "numpy" else 1)
        stop = _section_end(lines, start if style != "rest" else at + 1, style)
        body = lines[start:stop] if style != "rest" else lines[at:stop]
        at = stop
        if title in (_REST_PARAMETERS if style == "rest" else _PARAMETERS):
            end_plain()
            if not _take_parameters(doc, body, style):
                unread = body if style == "rest" else ["Args:", *body]
                chunks.append("\n".join(unread).strip("\n"))
        elif style == "rest" and (typed := _REST_TYPE.match(body[0])):
            doc.types[typed["name"]] = typed["type"]
            end_plain()
        elif style == "rest" or title in _DROPPED:
            end_plain()
        else:
            end_plain()
            heading = lines[start - (2 if style == "numpy" else 1)].rstrip(": ")
            content = "\n".join(body).strip("\n")
            chunks.append(f"{heading}:\n{content}")
    end_plain()
    doc.description = "\n\n".join(chunks)
    return doc


def _header(lines: list[str], at: int) -> tuple[str, str | None]:
    """Return the section title (lower case) and style that begin at line *at*, or no style."""
    line = lines[at]
    following = lines[at + 1] if at + 1 < len(lines) else ""
    title = line.strip().lower()
    if line and not line[0].isspace():
        if _NUMPY_RULE.match(following) and title in _PARAMETERS | _DROPPED | _KEPT:
            return title, "numpy"
        found = _REST_FIELD.match(line)
        if found and found["kind"] in _REST_KINDS:
            return found["kind"], "rest"
        google = _GOOGLE_HEADER.match(line)
        if google and google["title"].lower() in _PARAMETERS | _DROPPED | _KEPT:
            body = next((one for one in lines[at + 1 :] if one), "")
            if body[:1].isspace() or google["title"].lower() in _PARAMETERS:
                return google["title"].lower(), "google"
    return "", None


def _section_end(lines: list[str], start: int, style: str) -> int:
    """Return the index of the first line after the section whose body begins at *start*."""
    for at in range(start, len(lines)):
        line = lines[at]
        if not line or (line[0].isspace() and style != "numpy"):
            continue
        if style == "numpy":  # NumPy bodies are not indented: only another header ends them
            if _header(lines, at)[1] == "numpy":
                return at
        elif style == "google" or _header(lines, at)[1] == "rest" or not lines[at - 1]:
            return at
    return len(lines)


def _take_parameters(doc: Doc, body: list[str], style: str) -> bool:
    """Let docstring-parser read one section of parameters, or one reST field, into *doc*.

    Returns
    -------
    bool
        False if it cannot be read.
    """
    from docstring_parser import ParseError
    from docstring_parser.google import GoogleParser
    from docstring_parser.numpydoc import NumpydocParser
    from docstring_parser.rest import parse as parse_rest

    if not any(body):
        return True
    try:
        if style == "google":
            # The leading text keeps cleandoc from taking the entries' indentation away.
            parsed = GoogleParser().parse("\n".join(["-", "", "Args:", *_without_bullets(body)]))
        elif style == "numpy":
            parsed = NumpydocParser().parse("\n".join(["Parameters", "----------", *body]))
        else:
            parsed = parse_rest("\n".join(body))
    except (ParseError, IndexError):  # the latter where a reST field has no name
        return False
    for parameter in parsed.params:
        text = (parameter.description or "").strip("\n")
        for name in parameter.arg_name.split(","):
            if text.strip():
                doc.parameters[name.strip(" `*")] = text
            if parameter.type_name:
                doc.types[name.strip(" `*")] = parameter.type_name
    return True


def _without_bullets(body: list[str]) -> list[str]:
    """Take list marks away from entries written as ``- name: description``."""
    first = next((line for line in body if line), "")
    indent = first[: len(first) - len(first.lstrip())]
    if not first.lstrip().startswith(("- ", "* ")):
        return body
    mark = re.compile(re.escape(indent) + r"[-*] ")
    return [mark.sub(indent, line, count=1) for line in body]
