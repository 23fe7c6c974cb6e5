"""``{expression}`` in a message, filled in from the notebook as in an f-string.

A figure or an image goes with the message as a picture; the text says what and where it is.

A prompt is mostly prose, and prose holds braces that mean nothing of the kind: JSON, LaTeX, code.
So braces are filled only where their inside is a Python expression that uses a name or works something
out (``{name}``, ``{1 + 1}``, ``{"ab".upper()}``); literals (``{3}``, ``{"a": 1}``), f-strings and everything
else stay exactly as they were written. ``{{`` and ``}}`` stand for single braces.
"""

from __future__ import annotations

import ast
import builtins
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError
from letta_kernel.pictures.picture import Picture
from letta_kernel.pictures.values import picture_of

# What Python's own types take after the colon; anything else after a colon (`{color: red}`,
# `{k: v for k in xs}`) is a dictionary or a style sheet, not a format.
_NUMBER_FORMAT = re.compile(
    r"(?:.?[<>=^])?(?:[-+]|(?<=[<>=^]) )?z?#?0?\d*[_,]?(?:\.\d+)?[a-zA-Z%]?"
)
_DATE_FORMAT = re.compile(r"\S.*%[a-zA-Z].*|%[a-zA-Z].*")
_CONVERT: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}
_CONVERSION = re.compile(r"!([rsa])$")
_MARK = re.compile(r"[{}\\]")
_COMMAND = re.compile(r"\\(?:[A-Za-z@]+\*?|.)", re.DOTALL)
_GROUP_START = re.compile(r"[_^]?\{|\[")
_MATH = re.compile(r"\$\$|\\[(\[]|(?<![\\$])\$(?=\S)[^$\n]*?(?<=[^\s\\])\$(?!\d)")
_MATH_ENDS = {"$$": "$$", r"\(": r"\)", r"\[": r"\]"}
# Python code in a message: an f-string is the reader's to fill (`f'(x)` is the derivative of f).
_F_STRING = re.compile(r"(?<!\w)(?:[fF][rR]?|[rR][fF])(?:\"[^\"\n]*\"|'[^'\n]*'(?![\w(]))")
_LONGEST_FIELD = 500  # characters
_WORKING = (ast.BinOp, ast.BoolOp, ast.Compare, ast.Call, ast.Subscript, ast.IfExp, ast.JoinedStr)


@dataclass(slots=True)
class Filled:
    """A message with its expressions filled in; ``undefined`` lists the names that were missing.

    ``pictures`` are what its figures and images look like, in order.
    """

    text: str
    undefined: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def note(self) -> str:
        """One quiet line about what was left as it is, or an empty string."""
        if not self.undefined:
            return ""
        names = ", ".join(self.undefined)
        verb = "is" if len(self.undefined) == 1 else "are"
        return f"{names} {verb} not defined here, so the braces around it stay as written"


@dataclass(slots=True, frozen=True)
class _Field:
    """One ``{expression!conversion:spec}``, and where it ends (behind its closing brace)."""

    tree: ast.Expression
    conversion: str
    spec: str
    end: int


def fill(text: str, namespace: Mapping[str, Any]) -> Filled:
    """Fill the expressions of *text* from *namespace*.

    Parameters
    ----------
    text
        What the user wrote.
    namespace
        The notebook's variables.

    Raises
    ------
    InvalidInputError
        An expression raised something other than a missing name, or its value does not take the
        format asked for. The one line names the expression and the error.
    """
    return _Filler(text, namespace).run()


class _Filler:
    def __init__(self, text: str, namespace: Mapping[str, Any]) -> None:
        self.text = text
        self.namespace = namespace
        self.undefined: list[str] = []
        self.pictures: list[Picture] = []
        self.closing = _matching_braces(text)
        self.math = _formulas(text)

    def run(self) -> Filled:
        if "{" not in self.text and "}" not in self.text:
            return Filled(self.text)
        text, out, at = self.text, [], 0
        code = [match.span() for match in _F_STRING.finditer(text)]
        while (mark := _MARK.search(text, at)) is not None:
            out.append(text[at : mark.start()])
            at = mark.start()
            if stop := _end_around(code, at):
                out.append(text[at:stop])
                at = stop
                continue
            if text[at] == "\\":
                stop = self.skip_command(at)
                out.append(text[at:stop])
                at = stop
            elif text[at] == "}":
                out.append("}")
                at += 2 if text.startswith("}}", at) else 1
            elif text.startswith("{{", at) and self.is_escape(at):
                out.append("{")
                at += 2
            else:
                filled, at = self.group(at)
                out.append(filled)
        out.append(text[at:])
        return Filled("".join(out), self.undefined, self.pictures)

    def group(self, at: int) -> tuple[str, int]:
        """Return what stands for the brace group at *at*, and where the text goes on."""
        found = None if self.in_script(at) else self.find_field(at)
        if found is not None and not (
            _nameless(found.tree) and self.text[:at].endswith(("_", "^"))
        ):
            return self.value(found, self.text[at : found.end]), found.end
        close = self.closing.get(at)
        if close is None:
            return "{", at + 1
        return self.text[at : close + 1], close + 1

    def is_escape(self, at: int) -> bool:
        """Is the ``{{`` at *at* an escape? Not where its braces close apart: ``{{1, 2}, {3}}``."""
        outer, inner = self.closing.get(at), self.closing.get(at + 1)
        return (outer is None and inner is None) or (
            outer is not None and inner is not None and outer == inner + 1
        )

    def in_script(self, at: int) -> bool:
        """Is the group at *at* a formula's subscript or superscript, as in ``$x_{i}$``?"""
        return at > 0 and self.text[at - 1] in "_^" and _end_around(self.math, at) > 0

    def skip_command(self, at: int) -> int:
        """Return where the backslash command at *at* ends, with every group that follows it."""
        match = _COMMAND.match(self.text, at)
        if match is None:
            return at + 1
        at = match.end()
        if not self.text[at - 1].isalpha() and self.text[at - 1] not in "*@":
            return at  # an escaped sign such as \{ or \$ takes no arguments
        while (start := _GROUP_START.match(self.text, at)) is not None:
            opening = start.end() - 1
            if self.text[opening] == "[":
                close = self.text.find("]", opening)
                if close < 0 or "\n" in self.text[opening:close]:
                    break
            elif opening in self.closing:
                close = self.closing[opening]
            else:
                break
            at = close + 1
        return at

    def find_field(self, at: int) -> _Field | None:
        """Return the expression that opens at *at*, if it is one. A field sits on one line."""
        stop = min(len(self.text), at + _LONGEST_FIELD)
        line_end = self.text.find("\n", at, stop)
        stop = stop if line_end < 0 else line_end
        parts = _split_field(self.text, at, stop)
        return None if parts is None else _parse_field(*parts)

    def value(self, found: _Field, written: str) -> str:
        missing = self.missing(found.tree)
        if missing:
            self.undefined.extend(name for name in missing if name not in self.undefined)
            return written
        try:
            value = eval(  # the notebook's own author wrote it, as in any cell
                compile(found.tree, "<message>", "eval"), dict(self.namespace)
            )
            plain = not found.conversion and not found.spec
            if plain and (picture := _picture(value)) is not None:
                self.pictures.append(picture)
                return picture.described
            if found.conversion:
                value = _CONVERT[found.conversion](value)
            spec = fill(found.spec, self.namespace).text if "{" in found.spec else found.spec
            return format(value, spec)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InvalidInputError(
                f"{written} could not be filled in ({what}); nothing was sent. "
                "Mend it, write {{ }} for plain braces, or use --raw.",
                page="braces",
            ) from error

    def missing(self, tree: ast.Expression) -> list[str]:
        """Return the names *tree* needs that the notebook does not have."""
        if isinstance(tree.body, ast.Name):  # `/users/{id}` means no builtin
            return [] if tree.body.id in self.namespace else [tree.body.id]
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        wanted = dict.fromkeys(node.id for node in names if isinstance(node.ctx, ast.Load))
        return [
            name
            for name in wanted
            if name not in bound and name not in self.namespace and not hasattr(builtins, name)
        ]


def _picture(value: Any) -> Picture | None:
    """Return the picture that *value* is or draws; a path is text, as it always was, and so is a dictionary."""
    return None if isinstance(value, Path | dict) else picture_of(value)


def _formulas(text: str) -> list[tuple[int, int]]:
    """Return where formulas are; an opening is looked for an end of its kind once in vain, not each time."""
    spans: list[tuple[int, int]] = []
    unclosed: set[str] = set()
    at = 0
    while (found := _MATH.search(text, at)) is not None:
        closing, at = _MATH_ENDS.get(found[0]), found.end()
        if closing is None:
            spans.append(found.span())
        elif closing not in unclosed:
            if (end := text.find(closing, at + 1)) < 0:
                unclosed.add(closing)
            else:
                at = end + len(closing)
                spans.append((found.start(), at))
    return spans


def _end_around(spans: list[tuple[int, int]], at: int) -> int:
    """Return the end of the one of *spans*, in order, that *at* is inside of; 0 if it is in none."""
    before = bisect_left(spans, (at,)) - 1
    return spans[before][1] if before >= 0 and at < spans[before][1] else 0


def _matching_braces(text: str) -> dict[int, int]:
    """Map each opening brace that is closed to its closing one."""
    pairs: dict[int, int] = {}
    open_at: list[int] = []
    for match in re.finditer(r"\\[{}\\]|[{}]", text):
        if match.group() == "{":
            open_at.append(match.start())
        elif match.group() == "}" and open_at:
            pairs[open_at.pop()] = match.start()
    return pairs


def _split_field(text: str, opening: int, stop: int) -> tuple[str, str | None, int] | None:
    """Return expression, format and end of the field that opens at *opening*, minding strings.

    None where no closing brace is found before *stop*.
    """
    # Python's own parser cannot be asked: it knows no end of an expression within prose. So brackets and
    # quotes are counted here.
    depth, quote, at, colon = 0, "", opening + 1, None
    while at < stop:
        sign = text[at]
        if quote:
            if sign == "\\":
                at += 1
            elif text.startswith(quote, at):
                at += len(quote) - 1
                quote = ""
        elif sign in "'\"" and colon is None:
            quote = sign * 3 if text.startswith(sign * 3, at) else sign
            at += len(quote) - 1
        elif sign == "}" and depth == 0:
            expression = text[opening + 1 : at if colon is None else colon]
            return expression, None if colon is None else text[colon + 1 : at], at + 1
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == ":" and depth == 0 and colon is None:
            colon = at
        at += 1
    return None


def _parse_field(expression: str, spec: str | None, end: int) -> _Field | None:
    """Return a field, or None if the expression is none (see the rules at the top)."""
    conversion = ""
    match = _CONVERSION.search(expression)
    if match is not None:
        conversion, expression = match.group(1), expression[: match.start()]
    source = expression.strip()
    if not source or not _is_format(spec):
        return None
    try:
        tree = ast.parse(source, mode="eval")
        compile(tree, "<message>", "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(tree.body, ast.Tuple):  # `import {a, b} from`, the set {a, b}
        return None
    if _nameless(tree) and not any(isinstance(node, _WORKING) for node in ast.walk(tree)):
        return None  # a literal: `[a-z]{3}`, 10^{-3}
    return _Field(tree, conversion, spec or "", end)


def _nameless(tree: ast.AST) -> bool:
    return not any(isinstance(node, ast.Name) for node in ast.walk(tree))


def _is_format(spec: str | None) -> bool:
    if spec is None or "{" in spec:
        return spec is None or re.fullmatch(r"[^\s{}]*(?:\{[^{}:]+\}[^\s{}]*)+", spec) is not None
    return bool(_NUMBER_FORMAT.fullmatch(spec) or _DATE_FORMAT.fullmatch(spec))
