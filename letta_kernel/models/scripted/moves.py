"""Scripts as they are written: one move a line, one answer of the model a paragraph."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any, get_args

from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.models.base import ErrorKind

WORDS = ("say", "stream", "call", "think", "wait", "fail", "expect")
"""What a move may begin with."""

WHERE = ("last", "system", "conversation", "tools")
"""What of a request a check may look at."""

_CHECKS = {
    "contain": True, "contains": True, "include": True, "includes": True,
    "lack": False, "lacks": False, "exclude": False, "excludes": False,
}  # fmt: skip
_MOVE = re.compile(rf"({'|'.join(WORDS)})\b[ \t]*(?P<rest>.*)", re.DOTALL | re.IGNORECASE)
_CALL = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)\s*(?P<given>.*)", re.DOTALL)
_EXPECT = re.compile(r"(\w+)\s+(?:to\s+)?(\w+)\s*:?\s*(.*)", re.DOTALL)
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(?:s|seconds?)?")
_LONGEST_WAIT = 3_600.0  # seconds


@dataclass(frozen=True, slots=True)
class Text:
    """Words of the answer (or, with ``thought``, of its reasoning); ``pause`` in seconds between words."""

    line: int
    text: str
    thought: bool = False
    pause: float | None = None  # None: all at once


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: values by place and by name, or ``raw``, sent as it stands."""

    line: int
    name: str
    values: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds without a word."""

    line: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The model call fails; ``kind`` is one of `ModelError`'s."""

    line: int
    kind: ErrorKind
    text: str


@dataclass(frozen=True, slots=True)
class Expect:
    """A check of what the model is sent, before it answers."""

    line: int
    where: str
    wanted: bool  # False: it must not be there
    texts: tuple[str, ...]


Move = Text | Call | Wait | Fail | Expect


@dataclass(frozen=True, slots=True)
class Script:
    """The answers of a scripted model, in order; each is the moves of one model call."""

    name: str
    answers: tuple[tuple[Move, ...], ...]


def parse(text: str, name: str, first_line: int = 1) -> Script:
    """Return the script that *text* writes down.

    Parameters
    ----------
    text : moves; a line that begins with ``#`` is a comment, an indented line goes on with the one above.
    name : of the script, for errors.
    first_line : the number of the text's first line, for errors.

    Raises
    ------
    InvalidInputError
        A line is no move, in one line that names it.
    """
    answers: list[list[Move]] = []
    begun = False  # the paragraph has an answer
    for line, block in _blocks(text, first_line):
        if not block:
            begun = False
            continue
        move = _move(line, block)
        if not begun or _begins_another(answers[-1], move):
            answers.append([])
            begun = True
        answers[-1].append(move)
    if not answers:
        raise InvalidInputError(
            f"The script {name!r} has no moves: write a line such as  say: Hello.", page="script"
        )
    return Script(name, tuple(map(tuple, answers)))


def _blocks(text: str, first_line: int) -> list[tuple[int, str]]:
    """Return moves with the lines that continue them, and an empty one for each end of a paragraph."""
    found: list[tuple[int, str]] = []
    blank: list[str] = []  # empty lines that belong to a text if an indented line follows
    for number, line in enumerate(text.split("\n"), first_line):
        bare = line.strip()
        if not bare:
            blank.append("")
        elif line[0] in " \t" and found and found[-1][1]:
            at, begun = found[-1]
            found[-1] = (at, "\n".join([begun, *blank, bare]))
            blank = []
        elif bare.startswith("#"):
            continue
        else:
            if blank:
                found.append((number, ""))
                blank = []
            found.append((number, bare))
    return found


def _begins_another(answer: list[Move], move: Move) -> bool:
    """Tell whether *move* cannot belong to the answer above it: results come between a call and a word."""
    if isinstance(move, Expect):
        return any(not isinstance(one, Expect) for one in answer)
    if any(isinstance(one, Fail) for one in answer):
        return True
    called = any(isinstance(one, Call) for one in answer)
    return called and not isinstance(move, Call | Wait | Fail)


def _move(line: int, block: str) -> Move:
    match = _MOVE.match(block)
    if match is None:
        word = re.split(r"[\s:(]", block, maxsplit=1)[0]
        raise InvalidInputError(
            f"Line {line} is no move: {_short(block)!r}.{nearest(word.casefold(), WORDS)} A move begins with "
            f"{', '.join(WORDS[:-1])} or {WORDS[-1]}; indent a line that goes on with the one above.",
            page="script",
        )
    word, rest = match[1].casefold(), match["rest"]
    bare = rest.removeprefix(":").strip()
    match word:
        case "call":
            return _call(line, bare)
        case "expect":
            return _expect(line, bare)
        case "wait":
            return Wait(line, _seconds(line, bare))
        case "fail":
            kind, colon, told = rest.partition(":")
            if colon and kind.strip():
                return Fail(line, _kind(line, kind.strip()), told.strip() or "The call fails.")
            return Fail(line, "other", bare or "The call fails.")
        case "stream":
            pause, colon, told = rest.partition(":")
            if colon and (found := _TIME.fullmatch(pause.strip())):
                return Text(line, _given(line, word, told), pause=float(found[1]))
            return Text(line, _given(line, word, bare), pause=0.05)
        case _:
            return Text(line, _given(line, word, bare), thought=word == "think")


def _given(line: int, word: str, text: str) -> str:
    if not text.strip():
        raise InvalidInputError(
            f"Line {line}: {word} what? Write  {word}: some words.", page="script"
        )
    return text.strip()


def _seconds(line: int, text: str) -> float:
    found = _TIME.fullmatch(text)
    if found is None or float(found[1]) > _LONGEST_WAIT:
        raise InvalidInputError(
            f"Line {line}: wait takes seconds, such as  wait: 2  ({_LONGEST_WAIT:.0f} at most).",
            page="script",
        )
    return float(found[1])


def _kind(line: int, kind: str) -> ErrorKind:
    for known in get_args(ErrorKind):
        if kind == known:
            return known
    kinds = get_args(ErrorKind)
    raise InvalidInputError(
        f"Line {line}: a call cannot fail as {_short(kind)!r}.{nearest(kind, kinds)} "
        f"Kinds are {', '.join(kinds)}; without one, write  fail: some words.",
        page="script",
    )


def _call(line: int, text: str) -> Call:
    match = _CALL.fullmatch(text)
    if match is None:
        raise InvalidInputError(
            f"Line {line}: write a call as  call: name(argument=value).", page="script"
        )
    name, given = match["name"], match["given"].strip()
    if not given:
        return Call(line, name)
    if given[0] != "(":
        return Call(line, name, raw=given)
    try:
        made = ast.parse(f"_{given}", mode="eval").body
        if not isinstance(made, ast.Call) or not isinstance(made.func, ast.Name):
            raise ValueError
        values = tuple(ast.literal_eval(value) for value in made.args)
        named = tuple((one.arg or "", ast.literal_eval(one.value)) for one in made.keywords)
        json.dumps([values, named])
        if not all(key for key, _ in named):
            raise ValueError
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise InvalidInputError(
            f"Line {line}: {_short(text)!r} is no call. Its arguments are plain values, as in "
            f'call: {name}(text="some words", number=3).',
            page="script",
        ) from None
    return Call(line, name, values, named)


def _expect(line: int, text: str) -> Expect:
    match = _EXPECT.fullmatch(text)
    where, verb = (match[1].casefold(), match[2].casefold()) if match else ("", "")
    if match is None or where not in WHERE or verb not in _CHECKS or not match[3].strip():
        raise InvalidInputError(
            f"Line {line} is no check: {_short(text)!r}. Write  expect last contains: some words  (or lacks; "
            "last, system or conversation), or  expect tools include: name, name.",
            page="script",
        )
    wanted = match[3].strip()
    texts = wanted.replace(",", " ").split() if where == "tools" else [_unquoted(wanted)]
    return Expect(line, where, _CHECKS[verb], tuple(texts))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"" else text


def _short(text: str) -> str:
    first = text.split("\n")[0]
    return first if len(first) <= 60 else f"{first[:59]}…"
