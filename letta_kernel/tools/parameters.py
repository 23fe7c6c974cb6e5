"""The parameters of a tool: their types, which must be given, and what its docstring says about each."""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import pathlib
import re
import types
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from letta_kernel.errors import ToolError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

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


RESERVED = frozenset({"self", "agent_state"})
"""Parameters the model never sees: we fill them in."""

REST, OPTIONS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
"""Kinds of parameters that take any number of arguments."""

MISSING: Any = object()

# What a default's own type tells of a parameter without a hint; bool is an int, so the order matters.
_PLAIN = (bool, int, float, str, dict, bytes, enum.Enum)
_KNOWN = (
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
    *(decimal.Decimal, uuid.UUID, pathlib.PurePath),
)
# What docstrings call types.
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("str", "string", "text"), str),
    **dict.fromkeys(("int", "integer"), int),
    **dict.fromkeys(("float", "number"), float),
    **dict.fromkeys(("bool", "boolean"), bool),
    **dict.fromkeys(("dict", "dictionary"), dict),
    **dict.fromkeys(("list", "array"), list),
}
_LIST_WORD = re.compile(r"(?:list|array|sequence)(?:\[(\w+)\]| of (\w+?)s?)")


@dataclass(slots=True)
class Parameter:
    """A parameter as the model fills it in.

    ``default`` is what to pass when the model leaves it out: `MISSING` means the function's own default
    does. ``nullable`` is true for ``Optional[X]``, which is never required.
    """

    name: str
    annotation: Any
    required: bool = True
    nullable: bool = False
    default: Any = MISSING
    description: str = ""
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD


def read_parameters(
    signature: Iterable[inspect.Parameter],
    hints: Mapping[str, Any],
    doc: Doc,
    hidden: Collection[str] = (),
) -> list[Parameter]:
    """Return the parameters a model fills in; ``self`` and ``agent_state`` are ours.

    Parameters
    ----------
    signature
        As `inspect` has them.
    hints
        The types of those that have a hint; a `ToolError` where one cannot be found out.
    doc
        The function's docstring: descriptions, and types where there is no hint.
    hidden
        Those that are no model's to give.

    Raises
    ------
    ToolError
        A type that is needed is not known; one line that names every such parameter.
    """
    found: list[Parameter] = []
    problems: list[str] = []
    for one in signature:
        if one.name in RESERVED or one.name in hidden:
            continue
        default = MISSING if one.default is one.empty else one.default
        hint = hints.get(one.name, MISSING)
        if isinstance(hint, ToolError):
            if default is MISSING and one.kind not in (REST, OPTIONS):
                problems.append(f"parameter {one.name!r}: {hint}")
            continue  # it can be left out, and the model cannot give it
        if hint is MISSING:
            hint = hint_without(default, doc.types.get(one.name, ""))
        made = _parameter(one.name, hint, default, one.kind)
        made.description = doc.parameters.get(one.name) or made.description
        found.append(made)
    if problems:
        raise ToolError("; ".join(problems))
    return found


def hint_without(default: Any, word: str) -> Any:
    """Return the type of a parameter without a hint: by its default, else by what its docstring says.

    Parameters
    ----------
    default
        Its default, or `MISSING`; of a pydantic ``Field`` what that has.
    word
        The type as the docstring has it.
    """
    # A default tells its type surely, a docstring's word perhaps; the type of what a list holds only if all
    # of it has one.
    if (field := _field(default)) is not None:
        default = field.get_default(call_default_factory=True)
    if isinstance(default, list | tuple | set | frozenset):
        inner = {type(one) for one in default}
        kind = inner.pop() if len(inner) == 1 else None
        holder = next(one for one in (list, tuple, set, frozenset) if isinstance(default, one))
        if kind in _PLAIN:
            return types.GenericAlias(holder, (kind, ...) if holder is tuple else (kind,))
        return list if holder is tuple else holder
    for kind in (*_PLAIN, *_KNOWN):
        if isinstance(default, kind):
            return type(default) if kind is enum.Enum else kind
    word = re.split(r",| or |\||\(", word.strip().lower())[0].strip()
    listed = _LIST_WORD.fullmatch(word)
    if listed:
        inner_kind = _WORDS.get(listed[1] or listed[2])
        return list if inner_kind is None else types.GenericAlias(list, (inner_kind,))
    return _WORDS.get(word, Any)


def _parameter(name: str, annotation: Any, default: Any, kind: Any) -> Parameter:
    """Work out from type and default whether a parameter must be given.

    What follows ``*`` is a list and what follows ``**`` an object, and both can be left out.
    """
    about = _described(annotation)
    if kind is REST:
        annotation = types.GenericAlias(list, (annotation,))
    elif kind is OPTIONS:
        named = str(get_origin(annotation)).endswith("Unpack")
        inner = types.GenericAlias(dict, (str, annotation))
        annotation = get_args(annotation)[0] if named else inner
    left_out = default is not MISSING or kind in (REST, OPTIONS)
    nullable = is_nullable(annotation)
    made = Parameter(name, annotation, not (left_out or nullable), nullable, MISSING, about, kind)
    if nullable and not left_out:
        made.default = None
    field = _field(default)
    if field is not None:  # ``x: int = Field(3, ge=1)``: Python would pass the Field itself
        made.annotation = Annotated[annotation, *field.metadata, _without_default(field)]
        made.description = field.description or made.description
        made.required = field.is_required() and not nullable
        if not field.is_required():
            made.default = field.get_default(call_default_factory=True)
        elif nullable:
            made.default = None
    return made


def is_nullable(annotation: Any) -> bool:
    """Return whether *annotation* is ``Optional[X]`` or ``X | None``."""
    if get_origin(annotation) is Annotated:
        return is_nullable(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return type(None) in get_args(annotation)
    value = getattr(annotation, "__value__", None)  # an alias made by Python 3.12's ``type X = …``
    return value is not None and is_nullable(value)


def _field(default: Any) -> FieldInfo | None:
    """Return the pydantic ``Field(…)`` a default is, if it is one; without importing pydantic for it."""
    return default if type(default).__name__ == "FieldInfo" else None


def _without_default(field: FieldInfo) -> FieldInfo:
    """Return what a ``Field(…)`` says beside its default and limits."""
    from pydantic import Field

    more: FieldInfo = Field(examples=field.examples, json_schema_extra=field.json_schema_extra)
    return more


def _described(annotation: Any) -> str:
    """Return the description inside ``Annotated[...]``: a Field's, a Doc's or a plain string."""
    for extra in getattr(annotation, "__metadata__", ()):
        text = extra if isinstance(extra, str) else getattr(extra, "description", None)
        text = text or getattr(extra, "documentation", None)
        if isinstance(text, str) and text.strip():
            return text
    return ""
