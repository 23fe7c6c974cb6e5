"""Texts in a message: what a cue announces, where it ends, and the form a parameter wants it in."""

from __future__ import annotations

import re

from letta_kernel.models.demo import words as lore
from letta_kernel.models.demo.parameters import Parameter
from letta_kernel.models.demo.spans import Span

# Heads that only say what kind of thing is named: "the age column" names "age".
# Heads that only say what kind of thing is named: "the age column" names "age".
_HEADS = lore.word_set(
    """column folder file word table city town document machine order user project function variable field
    tag topic genre language directory directories key customer currency country task series list playlist
    album dataset sheet"""
)


def head_stripped(span: Span) -> Span:
    """Return a phrase without a head that only says what kind of thing is named."""
    parts = span.text.split()
    if len(parts) > 1 and parts[-1].casefold() in _HEADS:
        kept = " ".join(parts[:-1])
        return Span(
            span.kind,
            span.start,
            span.start + len(kept),
            kept,
            None,
            span.lead,
            parts[-1].casefold(),
        )
    if len(parts) > 1 and parts[0].casefold() in _HEADS:  # "machine Anna", "column price"
        start = span.start + len(parts[0]) + 1
        return Span(
            span.kind,
            start,
            span.end,
            " ".join(parts[1:]),
            None,
            (*span.lead, parts[0].casefold()),
            span.follow,
        )
    return span


_PAYLOAD_CUES = re.compile(
    r"(?::\s+|\b(?:(?:that )?(?:says?|saying|reads?|reading)|with the (?:text|message|content|"
    r"body)|"
    r"the (?:text|phrase|sentence|string|message|words)|called|named|titled|"
    r"entitled)[:,]?\s+(?!of\b)"
    r"|\b(?:task|job|chore) (?:of|to)\s+)",
    re.IGNORECASE,
)


_WORD_CUE = re.compile(r"\bthe (?:word|letter|name|string)\s+(?=[\w'-]+)", re.IGNORECASE)


_TASK_CUE = re.compile(
    r"\b(?:remind|ask|tell|told|get|want|remember|forget) (?:me |him |her |them |us |"
    r"[A-Z]\w+ )?(?:to|about|of) ",
)


_TAIL = re.compile(
    r"(?:,? (?:on|at|for|by|from|to|into|in|with|due|and|before|until|every|please|thanks?)|"
    r"[,.!?\s])+$",
    re.IGNORECASE,
)


def payloads(text: str) -> list[Span]:
    """Return free texts a cue announces (``: …``, ``saying …``, ``remind me to …``)."""
    found = []
    for pattern in (_PAYLOAD_CUES, _TASK_CUE):
        for match in pattern.finditer(text):
            start = match.end()
            if text[start : start + 1] in "\"'`":
                continue  # the quotation itself is the candidate
            end = len(text)
            following = re.search(
                r"(?:,| and| with)? (?:(?:the )?(?:subject|body|text|title|message)\b|saying\b|"
                r"called\b)",
                text[start:],
                re.IGNORECASE,
            )
            if following and following.start() > 0:
                end = start + following.start()
            body = text[start:end].rstrip(" .!?,;")
            cue = lore.words(match.group()) or lore.words(text[: match.start()])[-1:]
            before = lore.words(text[max(0, match.start() - 40) : match.start()])[-2:]
            if body:
                found.append(
                    Span("payload", start, start + len(body), body, None, (*before, *cue)[-3:], "")
                )
    for match in _WORD_CUE.finditer(text):
        if word := lore.WORD.match(text, match.end()):
            lead = tuple(lore.words(match.group()))
            found.append(Span("payload", word.start(), word.end(), word.group(), None, lead, ""))
    return found


def trimmed(span: Span, taken: list[Span]) -> Span:
    """Cut from a free text the tail that other parameters have taken (`` … on Sunday``)."""
    if span.kind not in ("payload", "phrase"):
        return span
    end = span.end
    for other in sorted(taken, key=lambda s: -s.start):
        if other.start > span.start and other.end >= end - 2 and other.start < end:
            cut = span.text[: other.start - span.start]
            cut = cut[:-60] + _TAIL.sub("", cut[-60:])
            end = span.start + len(cut)
            span = Span(span.kind, span.start, end, cut, None, span.lead, span.follow)
    return span


def shaped(parameter: Parameter, span: Span) -> str:
    """Return a span in the form the parameter describes (a date as YYYY-MM-DD, a time as HH:MM)."""
    text = span.text.strip()
    described = parameter.description.upper()
    if span.kind == "date" and "YYYY-MM-DD" in described:
        return _iso_date(text)
    if span.kind == "number":
        return re.sub(r"^#", "", text)
    if span.kind == "time" and ("HH:MM" in described or parameter.schema.get("format") == "time"):
        return _clock(text)
    return re.sub(r"^the\s+", "", text, flags=re.IGNORECASE) if span.kind == "date" else text


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def _iso_date(text: str) -> str:
    day = re.search(r"\b(\d{1,2})(?:st|nd|rd|th)?\b(?!\d)", text)
    year = re.search(r"\b\d{4}\b", text)
    month = next(
        (n for n, m in enumerate(_MONTHS, 1) if re.search(rf"\b{m}", text, re.IGNORECASE)), None
    )
    if day and year and month and "-" not in text:
        return f"{year[0]}-{month:02d}-{int(day[1]):02d}"
    return text


def _clock(text: str) -> str:
    match = re.match(r"(\d{1,2})(?::(\d{2}))? ?([ap])\.?m", text, re.IGNORECASE)
    if match:
        hour = int(match[1]) % 12 + (12 if match[3].casefold() == "p" else 0)
        return f"{hour:02d}:{match[2] or '00'}"
    if match := re.match(r"(\d{1,2}) o'clock", text):
        return f"{int(match[1]):02d}:00"
    return {"noon": "12:00", "midnight": "00:00"}.get(text.casefold(), text)
