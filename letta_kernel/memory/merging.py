"""Two texts that came from one, put together line by line; and a text's changes, taken one by one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

_MOST = 4_000  # lines that are compared; a longer text counts as changed as a whole


@dataclass(frozen=True, slots=True)
class Hunk:
    """A run of lines of a text, from line *start* up to *end* (counted from 0), and what takes their place."""

    start: int
    end: int
    old: tuple[str, ...]
    new: tuple[str, ...]


def hunks(before: str, after: str) -> list[Hunk]:
    """Return what makes *after* of *before*, in order; nothing where they are the same."""
    old, new = lines_of(before), lines_of(after)
    if before == after:
        return []
    if max(len(old), len(new)) > _MOST:
        return [Hunk(0, len(old), tuple(old), tuple(new))]
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [
        Hunk(a, b, tuple(old[a:b]), tuple(new[c:d]))
        for kind, a, b, c, d in codes
        if kind != "equal"
    ]


def with_hunks(before: str, after: str, chosen: Collection[int]) -> str:
    """Return *before* with those of its changes to *after* whose numbers, from 0 on, are *chosen*."""
    picked = [one for number, one in enumerate(hunks(before, after)) if number in chosen]
    return _applied(lines_of(before), picked)


def merged(base: str, ours: str, theirs: str) -> str | None:
    """Return *theirs* with what *ours* changed of *base*; None where both changed the same lines otherwise.

    Lines that both put in at one place both stay, theirs first.
    """
    if ours == base:
        return theirs
    if theirs in (base, ours):
        return ours
    # Theirs first, so that of two insertions at one place theirs comes first.
    both = [*hunks(base, theirs), *(one for one in hunks(base, ours))]
    every = sorted(dict.fromkeys(both), key=lambda one: (one.start, one.end))
    for one, following in pairwise(every):
        if following.start < one.end or (one.start == following.start and one.end != one.start):
            return None
    return _applied(lines_of(base), every)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text; an empty one has none."""
    return text.split("\n") if text else []


def _applied(lines: Sequence[str], changes: Sequence[Hunk]) -> str:
    made: list[str] = []
    at = 0
    for one in changes:
        made += [*lines[at : one.start], *one.new]
        at = one.end
    return "\n".join([*made, *lines[at:]])
