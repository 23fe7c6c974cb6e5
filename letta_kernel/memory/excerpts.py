"""What a reader gets of a search: hits in a budget of tokens, long ones cut, neighbours joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from letta_kernel.memory import terms
from letta_kernel.models.tokens import estimate

Item = TypeVar("Item")

RELEVANT = 0.4
"""From this relevance on, of 0 to 1, a hit is worth a reader's time. Of the evidence found on LoCoMo, BEAM and
MemDaily 99 to 100 % has it, and nothing does for nine in ten queries about something else."""
BUDGET = 2000
"""Tokens of a tool's result."""
MOST = 40
"""Hits that are looked at for it."""
_LONGEST = (
    120  # tokens of one hit. On half of BEAM, any / all in 2,000: 80 90/66, 120 89/64, 240 89/60
)
_ASIDE = 25  # tokens of what stands beside a hit: its id, its time
_SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?]+(?=\s|$)|[。！？]+|\n+|$)\s*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: lines of one source beside each other belong together; None is nowhere."""

    source: str | None
    position: int


@dataclass(slots=True)
class Excerpt(Generic[Item]):
    """What is shown of a hit and of the hits beside it, in reading order."""

    best: Item
    parts: list[tuple[Place, str, Item]]

    @property
    def text(self) -> str:
        """The lines, each cut to what matched."""
        return "\n".join(text for _, text, _ in self.parts)


def fit(
    query: str,
    hits: Sequence[Item],
    read: Callable[[Item], tuple[str, Place]],
    budget: int = BUDGET,
) -> list[Excerpt[Item]]:
    """Return what of *hits*, best first, a budget of tokens holds.

    Parameters
    ----------
    read
        Returns the text of a hit and where it stands.
    """
    words = frozenset(terms.terms(query, singles=True)) - terms.COMMON
    made: list[Excerpt[Item]] = []
    beside: dict[Place, Excerpt[Item]] = {}
    room = budget
    for hit in hits:
        if room < 2 * _ASIDE:
            break
        text, place = read(hit)
        text = cut(text, words, min(_LONGEST, room - _ASIDE))
        near = (Place(place.source, place.position + step) for step in (-1, 1))
        joined = [beside[one] for one in near if place.source is not None and one in beside]
        cost = _tokens(text) + (0 if joined else _ASIDE)
        if made and cost > room:
            continue
        room -= cost
        if not joined:
            joined = [Excerpt(hit, [])]
            made += joined
        first, *others = sorted(joined, key=made.index)
        first.parts.append((place, text, hit))
        for other in others:  # the line between two closes the gap
            if other is not first:
                first.parts += other.parts
                made.remove(other)
        first.parts.sort(key=lambda part: part[0].position)
        beside.update((part[0], first) for part in first.parts)
    return made


def cut(text: str, words: frozenset[str], most: int) -> str:
    """Return *text*, or what of it is around the most of *words* in about *most* tokens, with … at cuts."""
    start = text[: 8 * most]  # enough to tell, for counting a whole book takes long
    tokens = _tokens(start) * len(text) // max(1, len(start))
    if tokens <= most:
        return text
    room = max(20, most * len(text) // tokens)
    pieces = [found.group() for found in _SENTENCE.finditer(text) if found.group()]
    pieces = [piece[at : at + room] for piece in pieces for at in range(0, len(piece), room)]
    worth = [len(words.intersection(terms.terms(piece, singles=True))) for piece in pieces]
    first = last = max(range(len(pieces)), key=worth.__getitem__)
    room -= len(pieces[first])
    while True:
        ways = [
            at for at in (first - 1, last + 1) if 0 <= at < len(pieces) and len(pieces[at]) <= room
        ]
        if not ways:
            break
        at = max(ways, key=lambda at: (worth[at], at))
        room -= len(pieces[at])
        first, last = min(first, at), max(last, at)
    found = "".join(pieces[first : last + 1]).strip()
    return f"{'… ' if first else ''}{found}{' …' if last + 1 < len(pieces) else ''}"


def _tokens(text: str) -> int:
    """Return a count that is rather too high: no text may take more than its budget."""
    return max(estimate(text), len(text) // 4)
