"""What kind of thing a question asks for, and which lines have one: a time, a number, a name.

"When did Kim move?" is answered by a line with a time in it, among those that speak of Kim's move. Only
questions in English are told apart; any other query asks for nothing in particular.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Kinds = tuple[float, float, float]
"""How much of each, from 0 to 1: a time, a number, a name."""

NOTHING: Kinds = (0.0, 0.0, 0.0)

_MOST_CHARACTERS = 5_000  # of a line that are looked at
_MANY_NAMES = 3  # so many are as good as more

_QUESTION = re.compile(
    r"\b(?:(when)|(how (?:many|much|long|often|old|far|tall|big|few))"
    r"|(who|whom|whose|where|which|what)|why|how)\b",
    re.IGNORECASE,
)
_TIMES = """yesterday today tonight tomorrow last next ago week month year weekend monday tuesday wednesday
    thursday friday saturday sunday january february march april may june july august september october
    november december"""
_NUMBERS = "one two three four five six seven eight nine ten once twice"
_TIME_WORDS, _NUMBER_WORDS = frozenset(_TIMES.split()), frozenset(_NUMBERS.split())
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")  # a capital not at the beginning of a sentence


def asked_for(query: str) -> Kinds:
    """Return what *query* asks for, by its first question word."""
    found = _QUESTION.search(query)
    if found is None:
        return NOTHING
    time, number, name = found.groups()
    return float(time is not None), float(number is not None), float(name is not None)


def offered(line: str, words: Iterable[str]) -> Kinds:
    """Return what *line* has of what may be asked for; *words* are its words, in lower case."""
    line = line[:_MOST_CHARACTERS]
    number = not _NUMBER_WORDS.isdisjoint(words) or _DIGIT.search(line) is not None
    names = min(len(_NAME.findall(line)), _MANY_NAMES) / _MANY_NAMES
    return float(not _TIME_WORDS.isdisjoint(words)), float(number), names
