"""What kind of thing a question asks for, and which lines have one: a time, a number, a name.

"When did Kim move?" is answered by a line with a time in it, among those that speak of Kim's move. Only
questions in English are told apart; any other query asks for nothing in particular.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from letta_kernel.memory import terms

TIME, NUMBER, NAME = MARKS = ("?time", "?number", "?name")
"""Terms beside a line's words that say it has one; no word of a text can be one of them."""

_MOST_CHARACTERS = 5_000  # of a line that are looked at
MANY_NAMES = 3
"""So many names are as good as more."""

_QUESTION = re.compile(
    r"\b(?:(when)|(how (?:many|much|long|often|old|far|tall|big|few))"
    r"|(who|whom|whose|where|which|what)|why|how)\b",
    re.IGNORECASE,
)
_TIMES = """yesterday today tonight tomorrow last next ago week month year weekend monday tuesday wednesday
    thursday friday saturday sunday january february march april may june july august september october
    november december"""
_NUMBERS = "one two three four five six seven eight nine ten once twice"
_TIME_STEMS = frozenset(terms.stem(word) for word in _TIMES.split())
_NUMBER_STEMS = frozenset(terms.stem(word) for word in _NUMBERS.split())
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")  # a capital not at the beginning of a sentence


def asked_for(query: str) -> str:
    """Return the mark of what *query* asks for, by its first question word; nothing if it has none."""
    found = _QUESTION.search(query)
    if found is None or found.lastindex is None:
        return ""
    return MARKS[found.lastindex - 1]


def offered(line: str, words: Iterable[str]) -> list[str]:
    """Return marks of what *line* offers: a time, a number, a name; *words* are the stems of its words."""
    line = line[:_MOST_CHARACTERS]
    time = [] if _TIME_STEMS.isdisjoint(words) else [TIME]
    number = not _NUMBER_STEMS.isdisjoint(words) or _DIGIT.search(line) is not None
    return [*time, *[NUMBER] * number, *[NAME] * min(len(_NAME.findall(line)), MANY_NAMES)]
