"""What in a message could be an argument: quotes, addresses, dates, numbers, ids, names, phrases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models.demo import words as lore

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_PATTERNS: list[tuple[str, re.Pattern[str]]] = [
    (
        "quoted",
        re.compile(
            r"\"([^\"\n]+)\"|`([^`\n]+)`|«([^»\n]+)»|"
            r"(?<![\w'])'([^'\n](?:[^\n]*?[^\s])??)'(?![\w'])"
        ),
    ),
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    ("url", re.compile(r"https?://[^\s,;]+[^\s,;.!?]")),
    (
        "date",
        re.compile(
            rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}"
            rf"|(?:{_WEEKDAY},? )?(?:the )?{_DAY} (?:of )?{_MONTH}\b(?:,? \d{{4}})?"
            rf"|(?:{_WEEKDAY},? )?{_MONTH} {_DAY}\b(?:,? \d{{4}}\b)?"
            rf"|(?:next |this |last |coming )?{_WEEKDAY}(?: next week)?"
            rf"|the day after tomorrow|today|tomorrow|yesterday|tonight"
            rf"|(?:next|this|last) (?:week|month|year|weekend))\b",
            re.IGNORECASE,
        ),
    ),
    (
        "time",
        re.compile(
            r"\b(?:\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\b\.?)?|\d{1,2} ?[ap]\.?m\b\.?|"
            r"\d{1,2} o'clock"
            r"|noon|midnight)",
            re.IGNORECASE,
        ),
    ),
    (
        "file",
        re.compile(
            r"(?<![\w@./~-])(?:[\w~.-]{0,99}/){0,20}[\w-]{1,99}\.(?:py|txt|csv|json|md|docx?|xlsx?|pdf|png|jpe?g|"
            r"ipynb|html?|ya?ml|"
            r"parquet|zip|wav|mp[34]|toml|sql)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "id",
        re.compile(
            r"(?<![\w-])#?(?=[\w-]{0,60}\d)(?=[\w-]{0,60}[A-Za-z])[A-Za-z0-9]{1,40}(?:[-_][A-Za-z0-9]{1,40}){0,9}\b"
        ),
    ),
    ("number", re.compile(r"(?<![\w.])([+-]?\d+(?:\.\d+)?) ?(?:%|percent\b)")),
    ("number", re.compile(r"(?<![\w.])([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?![\w])")),
]
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)", re.IGNORECASE)
_MEASURE = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z°]{1,3})")
_NUMBER_WORDS = re.compile(
    rf"\b(?:(?:a )?(?:{'|'.join(sorted(lore.NUMBER_WORDS, key=len, reverse=True))})"
    rf"(?:[ -](?:and )?(?:{'|'.join(sorted(lore.NUMBER_WORDS, key=len, reverse=True))}))*"
    r"|(?:third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth))\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(r" (?!(?:of|is|for|to|more|day)\b)[a-z]+\b")
_CURRENCIES = lore.word_set(
    """dollar dollars euro euros pound pounds yen franc francs rupee rupees peso pesos krona kronor krone
    kroner yuan won real reais ruble rubles rouble roubles zloty lira baht rand shekel shekels sterling
    forint dirham bitcoin"""
)
_CURRENCY_CODE = re.compile(
    r"\b(?:USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|CNY|INR|BRL|MXN|ZAR|KRW|TRY|"
    r"SGD|HKD|"
    r"THB|ILS|AED|BTC)\b",
    re.IGNORECASE,
)
_SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_SYMBOL = re.compile(r"[$€£¥₹]")
_NAME = re.compile(
    r"\b[A-ZÀ-ÖØ-ÞŁŚŽ][\w'’-]*(?:(?: (?:de|da|del|van|von|la|le|of|the|du|al|bin|&) | |-)"
    r"[A-ZÀ-ÖØ-ÞŁŚŽ][\w'’-]*)*"
)
_TOKEN = re.compile(r"[^\W_](?:[\w'-]*[\w])?|[^\w\s]")
_IMPERATIVE_LEAD = re.compile(
    r"^(?:(?:please|now|then|and|also|ok|okay|hey|hi|so|well|just|kindly)[, ]+|"
    r"(?:can|could|would|will) you (?:please |kindly |also |just )*|i(?:'d| would) like you to |"
    r"i want you to |"
    r"you (?:can|may|should) |let's |go ahead and )*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the message; *lead* are the (at most three) words before it, nearest last."""

    kind: str
    start: int
    end: int
    text: str
    value: Any = None
    lead: tuple[str, ...] = ()
    follow: str = ""

    def overlaps(self, other: Span) -> bool:
        """Tell whether the two share a character."""
        return self.start < other.end and other.start < self.end


@dataclass(slots=True)
class Found:
    """All spans of a message, typed ones never overlapping each other."""

    text: str
    typed: list[Span] = field(default_factory=list)
    names: list[Span] = field(default_factory=list)
    phrases: list[Span] = field(default_factory=list)
    lists: list[list[Span]] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Span]:
        """Return the typed spans of these kinds."""
        return [span for span in self.typed if span.kind in kinds]


def find(text: str) -> Found:
    """Return every span of *text* that could be an argument."""
    found = Found(text)
    found.typed = sorted(_typed(text), key=lambda span: span.start)
    found.phrases = list(_phrases(text, found.typed))
    found.names = [
        span for span in _names(text) if not _hit(span, found.of("quoted", "email", "date"))
    ]
    found.lists = list(_lists(text, found))
    return found


def imperative_start(text: str) -> int:
    """Return where the first word after politeness (*please*, *can you*) begins."""
    match = _IMPERATIVE_LEAD.match(text)
    return match.end() if match else 0


class _Collector:
    """Takes typed spans in order of precedence; what overlaps an earlier one is dropped."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: list[Span] = []
        self._taken = bytearray(len(text))

    def take(self, kind: str, start: int, end: int, value: Any = None, shown: str = "") -> None:
        if any(self._taken[start:end]) or (kind == "number" and value is None):
            return
        self._taken[start:end] = b"\1" * (end - start)
        lead, follow = _around(self.text, start, end)
        self.spans.append(
            Span(kind, start, end, shown or self.text[start:end], value, lead, follow)
        )


def _typed(text: str) -> list[Span]:
    found = _Collector(text)
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if kind == "quoted":
                inner = next(group for group in match.groups() if group is not None)
                found.take(kind, start, end, shown=inner.strip())
            elif kind == "number":
                digits = match[1]  # "20 %": the unit is not part of it
                found.take(kind, start, start + len(digits), lore.parse_number(digits))
            elif kind == "id":
                _take_id(found, match.group(), start, end)
            else:
                found.take(kind, start, end)
    for match in _NUMBER_WORDS.finditer(text):
        word = match.group().casefold()
        if word not in ("one", "thousand", "million", "hundred") or _COUNTED.match(
            text, match.end()
        ):
            found.take("number", *match.span(), lore.parse_number(word))
    for match in _CURRENCY_CODE.finditer(text):
        found.take("currency", *match.span(), shown=match.group().upper())
    for match in lore.WORD.finditer(text):
        if match.group().casefold() in _CURRENCIES:
            found.take("currency", *match.span())
    for match in _SYMBOL.finditer(text):
        found.take("currency", *match.span(), shown=_SYMBOLS[match.group()])
    return found.spans


def _take_id(found: _Collector, token: str, start: int, end: int) -> None:
    bare = token.removeprefix("#")
    if _ORDINAL.fullmatch(bare):
        found.take("number", start, end, lore.parse_number(bare))
    elif (measure := _MEASURE.fullmatch(bare)) and measure[2].casefold() in _UNIT_SUFFIXES:
        found.take("number", start, end, lore.parse_number(measure[1]))
    elif re.fullmatch(r"(?:\d+|[a-z]+)(?:-[a-z]+)+", bare):
        # "20-sided", "two-day": the figure counts, the rest is its unit
        if digits := re.match(r"\d+", bare):
            found.take("number", start, start + digits.end(), lore.parse_number(digits.group()))
    else:
        found.take("id", start, end, shown=bare)


_UNIT_SUFFIXES = {
    "kg",
    "g",
    "m",
    "cm",
    "mm",
    "km",
    "mi",
    "s",
    "min",
    "h",
    "ms",
    "c",
    "f",
    "°c",
    "°f",
    "°",
    "x",
    "l",
    "ml",
}


def _around(text: str, start: int, end: int) -> tuple[tuple[str, ...], str]:
    clause = re.split(r"[,;:.!?](?=\s)|[()]", text[max(0, start - 60) : start])[-1]
    before = lore.words(clause)[-3:]
    if not before:  # "port: 80", "to, 22"
        before = lore.words(text[max(0, start - 30) : start])[-1:]
    after = re.match(r"[\s-]*([^\W\d_]+|%|°\w?)", text[end : end + 30])
    return tuple(before), after[1].casefold() if after else ""


def _hit(span: Span, others: Iterable[Span]) -> bool:
    return any(span.overlaps(other) for other in others)


def _names(text: str) -> Iterator[Span]:
    first = imperative_start(text)
    for match in _NAME.finditer(text):
        start, end = match.span()
        value = match.group()
        sentence_start = (
            start == 0 or start == first or text[:start].rstrip().endswith((".", "!", "?"))
        )
        if sentence_start:
            # A capital letter at the start of a sentence says nothing: drop its first word.
            head = re.match(r"[\w'’-]+\s*", value)
            if head is None:
                continue
            if head.end() == len(value) and (
                value.casefold() in lore.STOP or not _lone_name(text, start, end)
            ):
                continue
            if head.end() < len(value) and head.group().strip().casefold() in lore.STOP | _VERBISH:
                start += head.end()
                value = text[start:end]
        value = re.sub(r"'s$", "", value)
        if not value or value.casefold() in lore.STOP or value in ("I", "I'm"):
            continue
        lead, follow = _around(text, start, start + len(value))
        yield Span("name", start, start + len(value), value, None, lead, follow)


_VERBISH = lore.word_set(
    """find search email mail call book schedule convert translate add set turn send tell check look compute
    count give show play start stop open close lock make put list remind invite share ask write draw"""
)


def _lone_name(text: str, start: int, end: int) -> bool:
    """Tell whether the first word of a sentence is all of it (an answer such as ``Helsinki.``)."""
    after = text[end:]
    return not text[:start].strip() and (
        not after.strip(" .!?") or bool(re.match(r"(?:,|,? and|,? or) +[A-ZÀ-Þ]", after))
    )


def _phrases(text: str, typed: list[Span]) -> Iterator[Span]:
    """Yield runs of content words: what stands between prepositions, pronouns, figures and commas."""
    hard = bytearray(len(text))
    for span in typed:
        if span.kind != "id":
            hard[span.start : span.end] = b"\1" * (span.end - span.start)
    run: list[re.Match[str]] = []
    first = imperative_start(text)

    def close() -> Iterator[Span]:
        if run:
            start, end = run[0].start(), run[-1].end()
            lead, follow = _around(text, start, end)
            value = re.sub(r"'s$", "", text[start:end])
            yield Span("phrase", start, start + len(value), value, None, lead, follow)
            run.clear()

    for token in _TOKEN.finditer(text):
        word = token.group()
        inside = hard[token.start()]
        gap = bool(run) and text[run[-1].end() : token.start()].strip(" ") != ""
        verb = (
            token.start() == first
            and len(text.split()) > 1
            and text[token.end() : token.end() + 1] != ","
        )
        if (
            inside
            or not word[0].isalnum()
            or word.casefold() in lore.STOP | lore.PREPOSITIONS
            or verb
            or (word.endswith("ly") and len(word) > 5)
        ):
            yield from close()
            continue
        if gap:
            yield from close()
        run.append(token)
    yield from close()


_SEPARATOR = re.compile(r"\s*(?:,\s*(?:and|or|&)?|\band\b|\bor\b|&)\s*", re.IGNORECASE)


def _lists(text: str, found: Found) -> Iterator[list[Span]]:
    """Yield enumerations: at least two names, phrases, quotes or numbers joined by commas or *and*."""
    for items in (
        found.of("quoted"),
        found.of("number"),
        found.of("email"),
        found.of("id"),
        found.names,
        found.phrases,
    ):
        run: list[Span] = []
        for span in sorted(items, key=lambda span: span.start):
            between = text[run[-1].end : span.start] if run else ""
            joined = _SEPARATOR.sub("", between)
            if run and between.strip() and joined.strip(" '\"`") in ("", "the", "a", "an", "some"):
                run.append(span)
                continue
            if len(run) > 1:
                yield run
            run = [span]
        if len(run) > 1:
            yield run
