"""Yes or no, and one of a few: how the demo model reads booleans and enumerations out of a message."""

from __future__ import annotations

import re

from letta_kernel.models.demo import words as lore
from letta_kernel.models.demo.parameters import Parameter, ToolSpec
from letta_kernel.models.demo.spans import Span

_OPPOSITES = [
    ("on", "off"), ("lock", "unlock"), ("locked", "unlocked"), ("enable", "disable"), ("open", "close"),
    ("activate", "deactivate"), ("start", "stop"), ("show", "hide"), ("mute", "unmute"), ("up", "down"),
    ("public", "private"), ("visible", "hidden"), ("yes", "no"), ("true", "false"), ("done", "undone"),
    ("daily", "once"), ("repeat", "once"), ("recurring", "once"), ("every", "once"),
    ("ascending", "descending"), ("increasing", "decreasing"), ("check", "uncheck"), ("approve", "reject"),
]  # fmt: skip
_NEGATION = re.compile(
    r"\b(?:no|not|don't|do not|doesn't|without|never|neither|nor|except|minus|skip|disable|"
    r"turn off)\W+(?:\w+\W+){0,2}$",
    re.IGNORECASE,
)


def choose(parameter: Parameter, text: str) -> Span | None:
    """Return the enumeration value that *text* mentions."""
    options = sorted(parameter.choices, key=lambda option: -len(str(option)))
    for option in options:
        spoken = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", str(option))))
        match = re.search(rf"(?<![\w]){spoken}(?![\w])", text, re.IGNORECASE)
        if match:
            return Span("choice", match.start(), match.end(), match.group(), option)
    for match in lore.WORD.finditer(text):
        word = match.group().casefold()
        if word in lore.STOP:
            continue
        for option in options:
            parts = lore.name_parts(str(option))
            if len(parts) == 1 and (
                lore.same_word(word, parts[0]) or lore.kinship(word, parts[0]) > 0.75
            ):
                return Span("choice", match.start(), match.end(), match.group(), option)
    return None


def decide(parameter: Parameter, text: str, tool: ToolSpec) -> Span | None:
    """Return True or False where *text* says so, as the value of a span; None where it says nothing."""
    yes, no = _vocabulary(parameter)
    lowered = text.casefold()
    for words, value in ((no, False), (yes, True)):
        for word in sorted(words, key=len, reverse=True):
            match = re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", lowered)
            if match:
                denied = bool(_NEGATION.search(lowered[: match.start()]))
                return Span("flag", match.start(), match.end(), match.group(), value is not denied)
    cues = {lore.stem(w) for w in parameter.cue_words - lore.GENERIC if len(w) > 2} - {
        lore.stem(w) for w in ("true", "false", "otherwise", "turn", "also", "email")
    }
    cues -= {lore.stem(w) for w in lore.name_parts(tool.name)}  # "pay …" does not say how to pay
    own = {lore.stem(w) for w in parameter.own_words if len(w) > 1}
    for match in lore.WORD.finditer(text):
        word = lore.stem(match.group())
        if word in own or (word in cues and not parameter.required):
            denied = bool(_NEGATION.search(lowered[: match.start()]))
            return Span("flag", match.start(), match.end(), match.group(), not denied)
    return None


def _vocabulary(parameter: Parameter) -> tuple[set[str], set[str]]:
    """Return the words for true and for false that the parameter's description and name suggest."""
    described = parameter.description.casefold()
    yes: set[str] = set()
    no: set[str] = set()
    for pattern, words in (
        (r"\btrue\b[^\w]*(?:for|to|if|means|when|:|=)?\s*(?:it is |to )?(\w+)", yes),
        (r"\bfalse\b[^\w]*(?:for|to|if|means|when|:|=)?\s*(?:it is |to )?(\w+)", no),
        (r"(\w+) if true\b", yes),
        (r"(\w+) if false\b", no),
    ):
        words.update(
            word for word in re.findall(pattern, described) if word not in ("the", "it", "a", "for")
        )
    known = {*lore.words(described), *parameter.own_words}
    for positive, negative in _OPPOSITES:
        if positive in known or positive in yes:
            yes.add(positive)
            no.add(negative)
    if parameter.own_words & {"repeat", "repeating", "recurring", "daily", "weekly"}:
        yes.update({"every day", "every morning", "every week", "each day", "daily", "weekly"})
        no.update({"once", "one time", "one-off"})
    return yes - no - {"every"}, no - {"true", "false"}
