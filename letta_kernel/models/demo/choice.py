"""Which of a user's own tools a message asks for: how near its words are, what it can fill."""

from __future__ import annotations

import re
from dataclasses import dataclass

from letta_kernel.models.demo import words as lore
from letta_kernel.models.demo.arguments import Filled, fill
from letta_kernel.models.demo.parameters import ToolSpec
from letta_kernel.models.demo.spans import Found, find

CALL = 0.50
"""A score from which a tool is called."""
CALL_FOR_QUESTION = 0.60
"""The same for a question, which may be one of general knowledge."""
SURE = 0.68
"""A score from which a tool wins over another reading of the message."""

_SHORTLIST = 6
_OPERATORS = (
    (re.compile(r"\d\s*\+\s*[\d(]"), "add plus sum"),
    (re.compile(r"\d\s*[-−–]\s+[\d(]|\d\s+[-−–]\s*[\d(]"), "subtract minus"),
    (re.compile(r"\d\s*(?:[*×·]|x)\s*[\d(]"), "multiply times"),
    (re.compile(r"\d\s*[/÷]\s*[\d(]"), "divide"),
    (re.compile(r"\d\s*(?:\^|\*\*)\s*[\d(]"), "power"),
    (re.compile(r"\d!"), "factorial"),
    (re.compile(r"\d ?%"), "percent"),
    (re.compile(r"√\s*\d"), "square root"),
)
_GENERAL = re.compile(
    r"^(?:what(?:'s| is| are| was| were| does| do)?|who(?:'s| is| was| wrote| \w+ed)?|why|"
    r"when did|where is|"
    r"how (?:do|does|did|many|long|old|tall|far|can)|which|is|are|does|do|did|explain|tell me|"
    r"define)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A tool, the arguments the message gives it, and how sure the choice is (0 to about 1)."""

    tool: ToolSpec
    filled: Filled
    score: float


def choose(text: str, tools: list[ToolSpec]) -> Choice | None:
    """Return the tool *text* asks for, or None where no tool comes near."""
    ranked = rank(text, tools)
    return ranked[0] if ranked and ranked[0].score >= enough(text) else None


def enough(text: str) -> float:
    """Return the score from which a tool is called; what may be a question of general knowledge needs more."""
    return CALL_FOR_QUESTION if _GENERAL.match(text) else CALL


def rank(text: str, tools: list[ToolSpec]) -> list[Choice]:
    """Return the tools nearest to *text*, best first."""
    if not tools or not text.strip():
        return []
    found = find(text)
    said = lore.content_words(_without_values(text, found)) + _operators(text)
    rough = sorted(
        tools,
        key=lambda tool: -(_named(tool, said) + _covered(tool, said) + _called_by_name(tool, text)),
    )
    choices = [_score(tool, text, found) for tool in rough[:_SHORTLIST]]
    return sorted(choices, key=lambda choice: -choice.score)


def _score(tool: ToolSpec, text: str, found: Found) -> Choice:
    filled = fill(tool, text, found)
    if _called_by_name(tool, text):
        return Choice(tool, filled, 1.0)
    said = lore.content_words(_masked(text, [*filled.used, *_values(found)])) + _operators(text)
    for start, end in filled.used:  # "the front door" is a value, and yet speaks for lock_door
        said += [
            word
            for word in lore.content_words(text[start:end])
            if any(lore.kinship(word, other) > 0.85 for other, _ in tool.words)
        ]
    if not said:
        return Choice(tool, filled, 0.0)
    named, covered = _named(tool, said), _covered(tool, said)
    near = max(0.0, float(lore.vector(" ".join(said)) @ lore.vector(tool.sentence)))
    score = 0.38 * covered + 0.34 * named + 0.28 * near
    needed = len(tool.needed)
    if needed:
        given = needed - len(filled.missing)
        score += 0.16 * given / needed
        if not filled.missing and any(p.choices and p.type == "string" for p in tool.needed):
            score += 0.16  # one of the few values it takes was named
        if filled.missing and _GENERAL.match(text):
            score -= 0.12 + 0.10 * len(filled.missing) / needed
    else:
        score += 0.06
    # Values the tool has no place for speak against it: "add 3 and 4" is not for a one-number tool.
    spare = [
        s for s in found.of("number", "quoted", "email") if not _inside(s.start, s.end, filled.used)
    ]
    score -= 0.06 * min(3, len(spare))
    return Choice(tool, filled, score)


def _covered(tool: ToolSpec, said: list[str]) -> float:
    """Return how much of what is said the tool's words account for, weighted by how telling each word is."""
    total = gained = 0.0
    for word in said:
        weight = _weight(word)
        total += weight
        gained += weight * max(
            (w * lore.kinship(word, other) for other, w in tool.words), default=0.0
        )
    return gained / total if total else 0.0


def _named(tool: ToolSpec, said: list[str]) -> float:
    """Return how much of the tool's name the message mentions."""
    parts = [part for part in lore.name_parts(tool.name) if part not in lore.STOP]
    telling = [part for part in parts if part not in lore.GENERIC] or parts
    if not telling or not said:
        return 0.0
    return sum(max(lore.kinship(word, part) for word in said) for part in telling) / len(telling)


def _weight(word: str) -> float:
    return 0.4 if word in lore.GENERIC else 1.0


def _called_by_name(tool: ToolSpec, text: str) -> bool:
    spoken = re.escape(tool.name)
    if "_" in tool.name or not tool.name.islower():
        return re.search(rf"(?<!\w){spoken}(?!\w)", text) is not None
    return (
        re.search(
            rf"(?:\b(?:use|call|run|invoke|apply|try)(?: the)?|`) ?{spoken}(?:`|\(| function\b|"
            rf" tool\b)",
            text,
        )
        is not None
    )


def _operators(text: str) -> list[str]:
    return [word for pattern, words in _OPERATORS if pattern.search(text) for word in words.split()]


def _values(found: Found) -> list[tuple[int, int]]:
    kinds = ("quoted", "email", "url", "date", "time", "file", "id", "number")
    return [(span.start, span.end) for span in found.of(*kinds)]


def _without_values(text: str, found: Found) -> str:
    return _masked(text, _values(found))


def _masked(text: str, holes: list[tuple[int, int]]) -> str:
    characters = list(text)
    for start, end in holes:
        characters[start:end] = " " * (min(end, len(characters)) - start)
    return "".join(characters)


def _inside(start: int, end: int, holes: list[tuple[int, int]]) -> bool:
    return any(a <= start and end <= b for a, b in holes)
