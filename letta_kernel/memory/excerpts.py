"""What a reader gets of a search: hits in a budget of tokens, long ones cut, neighbours joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from letta_kernel.memory import chunking, terms
from letta_kernel.models.tokens import estimate

Item = TypeVar("Item")
Cost = Callable[[Item, str, list[int]], int]
"""Tokens of a hit with a text; what is shown already that it joins has so many parts each."""

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
_ASIDE = 25  # tokens of what stands beside a hit where a reader does not say: its number, its time


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: lines of one source beside each other belong together; None is nowhere."""

    source: str | None
    position: int


@dataclass(slots=True)
class Excerpt(Generic[Item]):
    """The part of a hit that is shown, with those of its neighbours, in reading order."""

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
    cost: Cost[Item] | None = None,
) -> list[Excerpt[Item]]:
    """Return as many of *hits*, best first, as fit into a budget of tokens.

    Parameters
    ----------
    read
        Returns the text of a hit and where it stands.
    cost
        Returns how many tokens a reader is shown of a hit with its text, what stands beside it included.
    """
    cost = cost or _plain
    words = _words(query)
    made: list[Excerpt[Item]] = []
    beside: dict[Place, Excerpt[Item]] = {}
    room = budget
    for hit in hits:
        if room < 2 * _ASIDE:
            break
        text, place = read(hit)
        near = (Place(place.source, place.position + step) for step in (-1, 1))
        joined = [beside[one] for one in near if place.source is not None and one in beside]
        sizes = [len(one.parts) for one in joined]
        most = min(_LONGEST, room - cost(hit, "", sizes))
        text = cut(text, words, max(_ASIDE, most))
        takes = cost(hit, text, sizes)
        if takes > room:
            continue
        room -= takes
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
    start = text[: 8 * most]  # enough to know: counting a whole book takes long
    taken = tokens(start) * len(text) // max(1, len(start))
    if taken <= most:
        return text
    return _around(text, words, max(20, most * len(text) // taken))


def around(query: str, text: str, characters: int) -> str:
    """Return *text*, or so many characters of it at most, around what a query asks for."""
    return text if len(text) <= characters else _around(text, _words(query), characters - 4)


def _words(query: str) -> frozenset[str]:
    return frozenset(terms.terms(query, singles=True)) - terms.COMMON


def _around(text: str, words: frozenset[str], room: int) -> str:
    pieces = chunking.sentences(text, room)
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
    before = "… " if first and not found.startswith("…") else ""
    after = " …" if last + 1 < len(pieces) and not found.endswith("…") else ""
    return before + found + after


def tokens(text: str) -> int:
    """Return a count that is rather too high: no text may take more than its budget."""
    return max(estimate(text), len(text) // 4)


def _plain(_: object, text: str, joined: list[int]) -> int:
    return tokens(text) + (1 if joined else _ASIDE)
