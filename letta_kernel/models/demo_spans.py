"""What in a message could be an argument: quotes, addresses, dates, numbers, ids, names, phrases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models import demo_words as lore

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
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
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
            r"(?<![\w@])(?:[\w~.-]*/)*[\w-]+\.(?:py|txt|csv|json|md|docx?|xlsx?|pdf|png|jpe?g|"
            r"ipynb|html?|ya?ml|"
            r"parquet|zip|wav|mp[34]|toml|sql)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "id",
        re.compile(r"(?<!\w)#?(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*\b"),
    ),
    ("percent", re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)? ?(?:%|percent\b)")),
    ("number", re.compile(r"(?<![\w.])[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w])")),
]
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)", re.IGNORECASE)
_MEASURE = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z°]{1,3})")
_NUMBER_WORDS = re.compile(
    rf"\b(?:(?:a )?(?:{'|'.join(sorted(lore.NUMBER_WORDS, key=len, reverse=True))})"
    rf"(?:[ -](?:and )?(?:{'|'.join(sorted(lore.NUMBER_WORDS, key=len, reverse=True))}))*"
    r"|(?:third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth))\b",
    re.IGNORECASE,
)
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


def _typed(text: str) -> Iterator[Span]:
    taken: list[Span] = []

    def take(
        kind: str, start: int, end: int, value: Any = None, shown: str | None = None
    ) -> Iterator[Span]:
        lead, follow = _around(text, start, end)
        span = Span(
            kind, start, end, shown if shown is not None else text[start:end], value, lead, follow
        )
        if not _hit(span, taken):
            taken.append(span)
            yield span

    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if kind == "quoted":
                inner = next(group for group in match.groups() if group is not None)
                yield from take(kind, start, end, shown=inner.strip())
            elif kind in ("number", "percent"):
                number = lore.parse_number(
                    match.group().replace("percent", "").replace("%", "").strip()
                )
                digits = re.match(
                    r"[+-]?[\d.,]*\d", match.group()
                )  # "20 %": the unit is not part of it
                yield from take(
                    "number", start, start + (digits.end() if digits else end - start), number
                )
            elif kind == "id":
                yield from _id_or_number(match.group(), start, end, take)
            else:
                yield from take(kind, start, end)
    for match in _NUMBER_WORDS.finditer(text):
        if match.group().casefold() not in ("one", "thousand", "million", "hundred") or (
            re.match(r" (?:[a-z]+s|[a-z]+)\b", text[match.end() :])
            and not re.match(r" (?:of|is|for|to|more|day)\b", text[match.end() :])
        ):
            yield from take("number", *match.span(), lore.parse_number(match.group()))
    for match in _CURRENCY_CODE.finditer(text):
        yield from take("currency", *match.span(), shown=match.group().upper())
    for match in lore.WORD.finditer(text):
        if match.group().casefold() in _CURRENCIES:
            yield from take("currency", *match.span())
    for match in _SYMBOL.finditer(text):
        yield from take("currency", *match.span(), shown=_SYMBOLS[match.group()])


def _id_or_number(token: str, start: int, end: int, take: Any) -> Iterator[Span]:
    bare = token.removeprefix("#")
    if _ORDINAL.fullmatch(bare):
        yield from take("number", start, end, lore.parse_number(bare))
    elif (measure := _MEASURE.fullmatch(bare)) and measure[2].casefold() in _UNIT_SUFFIXES:
        yield from take("number", start, end, float(measure[1]))
    elif "-" in bare and re.match(r"(?:\d+|[a-z]+)-[a-z]+(?:-[a-z]+)*$", bare):
        # "20-sided", "two-day": the figure counts, the rest is its unit
        if digits := re.match(r"\d+", bare):
            yield from take("number", start, start + digits.end(), float(digits.group()))
    else:
        yield from take("id", start, end, shown=bare)


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
        sentence_start = start == 0 or start == first or bool(re.search(r"[.!?]\s+$", text[:start]))
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
    hard = [s for s in typed if s.kind != "id"]
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
        inside = any(s.start <= token.start() < s.end for s in hard)
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
