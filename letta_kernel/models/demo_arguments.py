"""Filling a tool's arguments by copying from the message: nothing is made up, what is not there is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models import demo_words as lore
from letta_kernel.models.demo_flags import choose, decide
from letta_kernel.models.demo_parameters import Parameter, ToolSpec
from letta_kernel.models.demo_spans import Found, Span, find, imperative_start

ENOUGH = 1.6
"""What a span must score to fill a required parameter."""
SURE = 3.0
"""What it must score to fill an optional one."""

# How well a kind of span suits a kind of string parameter.
_SUITS: dict[str, dict[str, float]] = {
    "quoted": {
        "text": 3,
        "thing": 2.8,
        "person": 2.2,
        "place": 2.2,
        "id": 2.2,
        "file": 2.4,
        "date": 1,
    },
    "email": {"email": 5, "person": 3, "thing": 0.5},
    "url": {"thing": 2.5, "place": 1, "text": 1.5, "id": 2, "file": 2},
    "date": {"date": 5, "time": 1.2},
    "time": {"time": 5, "date": 0.8},
    "file": {"file": 4, "thing": 2.5, "text": 1.2, "id": 1},
    "id": {"id": 4, "thing": 2, "file": 1, "text": 0.6},
    "number": {"id": 3, "thing": 0.3, "date": 0.2},
    "currency": {"currency": 5, "thing": 0.2},
    "name": {
        "person": 3.2,
        "place": 3.2,
        "thing": 2.4,
        "text": 1.8,
        "id": 0.8,
        "email": 1.7,
        "file": 1,
    },
    "phrase": {"thing": 1.7, "place": 1.3, "text": 1.0, "person": 0.9, "id": 0.2, "file": 1.4},
    "payload": {"text": 3.2, "thing": 1.9},
}
# Heads that only say what kind of thing is named: "the age column" names "age".
_HEADS = frozenset(
    """column folder file word table city town document machine order user project function variable field
    tag topic genre language directory directories key customer currency country task series list playlist
    album dataset sheet""".split()
)


@dataclass(slots=True)
class Filled:
    """Arguments copied from a message, the required parameters nothing was found for, and what was used."""

    arguments: dict[str, Any] = field(default_factory=dict)
    missing: list[Parameter] = field(default_factory=list)
    used: list[tuple[int, int]] = field(default_factory=list)


def fill(tool: ToolSpec, text: str, found: Found | None = None) -> Filled:
    """Return the arguments of *tool* that *text* gives."""
    found = found or find(text)
    filled = Filled()
    chosen: list[Span] = []
    rest: list[Parameter] = []
    for parameter in tool.parameters:
        if parameter.choices:
            choice = choose(parameter, text)
            if choice is not None:
                filled.arguments[parameter.name] = choice.value
                chosen.append(choice)
        elif parameter.type == "boolean":
            flag = decide(parameter, text, tool)
            if flag is not None:
                filled.arguments[parameter.name] = flag.value
        else:
            rest.append(parameter)
    taken = list(chosen)
    for parameter in [p for p in rest if p.type == "array"]:
        _fill_list(parameter, found, taken, filled, alone=len(rest) == 1)
    _fill_numbers([p for p in rest if p.type in ("number", "integer")], found, taken, filled, tool)
    strings = [p for p in rest if p.type == "string"]
    about = _about(tool)
    _fill_pairs(strings, found, taken, filled, about)
    candidates = _candidates(strings, text, found, taken, tool)
    _assign(strings, candidates, taken, filled, tool)
    for parameter in [p for p in strings if p.required and p.name not in filled.arguments]:
        _fill_remainder(parameter, text, taken, filled, tool)
    filled.used.extend((span.start, span.end) for span in taken if span not in chosen)
    filled.missing = [p for p in tool.parameters if p.required and p.name not in filled.arguments]
    order = {parameter.name: at for at, parameter in enumerate(tool.parameters)}
    filled.arguments = dict(sorted(filled.arguments.items(), key=lambda item: order[item[0]]))
    return filled


def fill_answer(parameter: Parameter, text: str) -> Any | None:
    """Return the value an answer to a question gives for the one *parameter* that was asked for."""
    alone = ToolSpec("", "", (parameter,))
    filled = fill(alone, text)
    if parameter.name in filled.arguments:
        return filled.arguments[parameter.name]
    bare = re.sub(
        r"^(?:it's|it is|make it|use|the|in|at|on|for|to|from|called|please|say|let's say)\s+",
        "",
        text.strip(),
        flags=re.IGNORECASE,
    ).strip(" .!\"'")
    if parameter.type == "string" and not parameter.choices and bare and "?" not in bare:
        return bare
    if parameter.type == "array" and parameter.items and parameter.items.type == "string" and bare:
        return [
            item.strip() for item in re.split(r",\s*(?:and\s+)?|\s+and\s+", bare) if item.strip()
        ]
    if parameter.type == "boolean" and re.match(
        r"(?:yes|yep|sure|true|on|no|nope|false|off)\b", bare, re.I
    ):
        return bool(re.match(r"(?:yes|yep|sure|true|on)\b", bare, re.IGNORECASE))
    return None


# -- lists -------------------------------------------------------------------------------------------


def _fill_list(
    parameter: Parameter, found: Found, taken: list[Span], filled: Filled, alone: bool
) -> None:
    item = parameter.items
    if item is None or item.type in ("object", "array", "boolean"):
        return
    numeric = item.type in ("number", "integer")
    best: list[Span] = []
    for spans in found.lists:
        if (spans[0].kind == "number") != numeric or any(_overlaps(s, taken) for s in spans):
            continue
        if len(spans) > len(best):
            best = spans
    if not best:
        kinds = ("number",) if numeric else ("quoted", "email", "id")
        single = found.of(*kinds) or ([] if numeric else found.names)
        if not single and not numeric:
            single = [s for s in found.phrases if set(s.lead[-1:]) & set(parameter.prepositions)]
        if numeric and (alone or len(single) > 1):
            best = single
        elif single and not numeric:
            best = single[:1] if not parameter.required else single
        best = [s for s in best if not _overlaps(s, taken)]
    if not best:
        return
    if numeric:
        filled.arguments[parameter.name] = [_number(item, span.value) for span in best]
    else:
        filled.arguments[parameter.name] = [span.text for span in best]
    taken.extend(best)


# -- numbers -----------------------------------------------------------------------------------------


def _fill_numbers(
    parameters: list[Parameter], found: Found, taken: list[Span], filled: Filled, tool: ToolSpec
) -> None:
    spans = [span for span in found.of("number") if not _overlaps(span, taken)]
    scored: list[tuple[float, int, int]] = []
    for at, parameter in enumerate(parameters):
        for place, span in enumerate(spans):
            if span.value is None or (
                parameter.type == "integer" and span.value != int(span.value)
            ):
                continue
            if not _within(parameter, span.value):
                continue
            score = 1.0 + _number_cue(parameter, span)
            score -= 0.1 * abs(at - place)
            scored.append((score, at, place))
    done_parameters: set[int] = set()
    done_spans: set[int] = set()
    for score, at, place in sorted(scored, key=lambda entry: (-entry[0], entry[1], entry[2])):
        parameter = parameters[at]
        if at in done_parameters or place in done_spans:
            continue
        if not parameter.required and score < 2.4 and not _only_numeric(parameter, tool):
            continue
        if score < 0.3:
            continue
        done_parameters.add(at)
        done_spans.add(place)
        filled.arguments[parameter.name] = _number(parameter, spans[place].value)
        taken.append(spans[place])


def _only_numeric(parameter: Parameter, tool: ToolSpec) -> bool:
    return [p.name for p in tool.parameters if p.type in ("number", "integer")] == [parameter.name]


def _number_cue(parameter: Parameter, span: Span) -> float:
    score = 0.0
    near = span.follow
    if near and near in parameter.units:
        score += 3.0
    elif near and any(lore.same_word(near, cue) for cue in parameter.own_words):
        score += 3.0
    elif near and any(lore.same_word(near, cue) for cue in parameter.cue_words):
        score += 1.5
    for distance, word in enumerate(reversed(span.lead)):
        if any(lore.same_word(word, cue) for cue in parameter.own_words):
            score += 2.5 - 0.5 * distance
            break
        if (
            any(lore.same_word(word, cue) for cue in parameter.cue_words)
            and word not in lore.PREPOSITIONS
        ):
            score += 1.2 - 0.3 * distance
            break
    if span.lead and span.lead[-1] in parameter.prepositions:
        score += 1.5
    return score


def _within(parameter: Parameter, value: float) -> bool:
    low, high = parameter.schema.get("minimum"), parameter.schema.get("maximum")
    return not (
        (isinstance(low, (int, float)) and value < low)
        or (isinstance(high, (int, float)) and value > high)
    )


def _number(parameter: Parameter, value: float) -> int | float:
    return int(value) if parameter.type == "integer" else lore.figure(value)


def _fill_pairs(
    parameters: list[Parameter], found: Found, taken: list[Span], filled: Filled, about: set[str]
) -> None:
    """Give *height and weight*, *between Rome and Pisa* to parameters of one kind, in order."""
    needed = [p for p in parameters if p.required]
    if len(needed) < 2 or len({p.kind for p in needed}) > 1 or needed[0].kind in ("text", "date", "currency"):
        return
    for raw in found.lists:
        spans = [_bared(span, about, True) if span.kind == "phrase" else span for span in raw]
        if len(spans) == len(needed) and spans[0].kind != "number" and not any(_overlaps(s, taken) for s in spans):
            for parameter, span in zip(needed, spans, strict=True):
                filled.arguments[parameter.name] = span.text
                taken.append(span)
            return


# -- strings -----------------------------------------------------------------------------------------


def _candidates(
    parameters: list[Parameter], text: str, found: Found, taken: list[Span], tool: ToolSpec
) -> list[Span]:
    spans = [span for span in found.typed if span.kind != "number" or not _overlaps(span, taken)]
    about = _about(tool)
    places = any(p.kind in ("place", "person") for p in parameters)
    spans += [_head_stripped(span) for span in found.names]
    spans += [_head_stripped(_bared(span, about, places)) for span in found.phrases]
    if any(p.kind in ("text", "thing") for p in parameters):
        spans += _payloads(text)
    return [span for span in spans if span.text and not _overlaps(span, taken)]


def _bared(span: Span, about: set[str], both_ends: bool) -> Span:
    """Cut the tool's own words off a phrase: ``weather tokyo`` names Tokyo."""
    tokens = list(lore.WORD.finditer(span.text))
    first, last = 0, len(tokens)
    while first < last - 1 and _is_of(tokens[first].group(), about):
        first += 1
    while both_ends and last - 1 > first and _is_of(tokens[last - 1].group(), about):
        last -= 1
    if (first, last) == (0, len(tokens)):
        return span
    start, end = tokens[first].start(), tokens[last - 1].end()
    lead = (*span.lead, *(token.group().casefold() for token in tokens[:first]))[-3:]
    follow = tokens[last].group().casefold() if last < len(tokens) else span.follow
    return Span(span.kind, span.start + start, span.start + end, span.text[start:end], None, lead, follow)


def _head_stripped(span: Span) -> Span:
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
    r"(?::\s+|\b(?:(?:that )?(?:says?|saying|reads?|reading)|with the (?:text|message|content|body)|"
    r"the (?:text|phrase|sentence|string|message|words)|called|named|titled|entitled)[:,]?\s+(?!of\b)"
    r"|\b(?:task|job|chore) (?:of|to)\s+)",
    re.IGNORECASE,
)
_WORD_CUE = re.compile(r"\bthe (?:word|letter|name|string)\s+(?=[\w'-]+)", re.IGNORECASE)
_TASK_CUE = re.compile(
    r"\b(?:remind|ask|tell|told|get|want|remember|forget) (?:me |him |her |them |us |[A-Z]\w+ )?(?:to|about|of) ",
)
_TAIL = re.compile(
    r"(?:,? (?:on|at|for|by|from|to|into|in|with|due|and|before|until|every|please|thanks?)|[,.!?\s])+$",
    re.IGNORECASE,
)


def _payloads(text: str) -> list[Span]:
    """Return free texts a cue announces (``: …``, ``saying …``, ``remind me to …``)."""
    found = []
    for pattern in (_PAYLOAD_CUES, _TASK_CUE):
        for match in pattern.finditer(text):
            start = match.end()
            if text[start : start + 1] in "\"'`":
                continue  # the quotation itself is the candidate
            end = len(text)
            following = re.search(
                r"(?:,| and| with)? (?:(?:the )?(?:subject|body|text|title|message)\b|saying\b|called\b)",
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


def _assign(
    parameters: list[Parameter],
    candidates: list[Span],
    taken: list[Span],
    filled: Filled,
    tool: ToolSpec,
) -> None:
    about = _about(tool)
    scored = []
    # "weather tokyo": the only thing named is for the only thing needed
    alone = len(tool.needed) == 1 and len(candidates) == 1 and tool.needed[0].kind in ("place", "person", "thing")
    enough = 1.0 if alone else ENOUGH
    for at, parameter in enumerate(parameters):
        for place, span in enumerate(candidates):
            score = _suits(parameter, span, at)
            if span.kind == "phrase" and all(
                _is_of(word, about) for word in lore.words(span.text)
            ):
                score -= (
                    1.5  # "the heating", "the rows": what the tool is about, not a value for it
                )
            if score >= (enough if parameter.required else SURE):
                scored.append((score, at, place))
    for _score, at, place in sorted(
        scored, key=lambda entry: (-entry[0], entry[1], candidates[entry[2]].start)
    ):
        parameter, span = parameters[at], candidates[place]
        if parameter.name in filled.arguments:
            continue
        span = _trimmed(span, taken)
        if not span.text or _overlaps(span, taken):
            continue
        filled.arguments[parameter.name] = _shaped(parameter, span)
        taken.append(span)


def _trimmed(span: Span, taken: list[Span]) -> Span:
    """Cut from a free text the tail that other parameters have taken (`` … on Sunday``)."""
    if span.kind not in ("payload", "phrase"):
        return span
    end = span.end
    for other in sorted(taken, key=lambda s: -s.start):
        if other.start > span.start and other.end >= end - 2 and other.start < end:
            cut = _TAIL.sub("", span.text[: other.start - span.start])
            end = span.start + len(cut)
            span = Span(span.kind, span.start, end, cut, None, span.lead, span.follow)
    return span


def _suits(parameter: Parameter, span: Span, rank: int) -> float:
    base = _SUITS[span.kind].get(parameter.kind, 0.0)
    if parameter.kind == "currency" and span.kind != "currency":
        return 0.0
    if base <= 0.0:
        return 0.0
    cue = 0.0
    lead = span.lead[-1] if span.lead else ""
    for distance, word in enumerate(reversed(span.lead[-3:])):
        if word in lore.PREPOSITIONS and word not in parameter.own_words:
            continue
        if any(lore.same_word(word, own) for own in parameter.own_words):
            cue = max(cue, 2.4 - 0.6 * distance)
        elif any(lore.same_word(word, other) for other in parameter.cue_words):
            cue = max(cue, 0.8 - 0.2 * distance)
    if span.follow and any(lore.same_word(span.follow, own) for own in parameter.own_words):
        cue += 1.5
    nearest = next(
        (w for w in reversed(span.lead) if w not in ("the", "a", "an", "my", "our", "your")), ""
    )
    if nearest in parameter.prepositions:
        cue += 1.6 - 0.2 * parameter.prepositions.index(nearest)
    elif nearest in ("from", "to", "into", "by") and parameter.prepositions:
        cue -= 0.8
    inside = lore.words(span.text)
    if span.kind in ("phrase", "name") and any(
        lore.same_word(word, own) for word in inside for own in parameter.own_words
    ):
        cue += (
            0.9 if len(inside) > 1 else -3.0
        )  # "front door" is a door; "the door" says nothing new
    if span.kind == "phrase" and lead in ("about",) and parameter.kind == "text":
        cue += 0.6
    return base + cue - 0.02 * rank


def _shaped(parameter: Parameter, span: Span) -> str:
    text = span.text.strip()
    described = parameter.description.upper()
    if span.kind == "date" and "YYYY-MM-DD" in described:
        return _iso_date(text)
    if span.kind == "number":
        return re.sub(r"^#", "", text)
    if span.kind == "time" and ("HH:MM" in described or parameter.schema.get("format") == "time"):
        return _clock(text)
    return re.sub(r"^the\s+", "", text, flags=re.IGNORECASE) if span.kind == "date" else text


_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


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


def _fill_remainder(
    parameter: Parameter, text: str, taken: list[Span], filled: Filled, tool: ToolSpec
) -> None:
    """Take what follows the verb and the tool's own words, for a text nothing announces."""
    if parameter.kind != "text":
        return
    start = imperative_start(text)
    about = _about(tool)
    tokens = list(lore.WORD.finditer(text, start))
    at = 0
    while at < len(tokens):
        word = tokens[at].group().casefold()
        if word in lore.STOP | lore.PREPOSITIONS or any(
            lore.same_word(word, other) for other in about
        ):
            at += 1
            continue
        break
    if at == 0 or at >= len(tokens) or "?" in text and len(tool.needed) > 1:
        return
    begin = tokens[at].start()
    rest = Span("payload", begin, len(text), text[begin:].rstrip(" .!?"))
    rest = _trimmed(rest, taken)
    covered = any(rest.start <= span.start < rest.start + len(rest.text) for span in taken)
    question = re.match(
        r"(?:what|who|why|how|when|where|which|is|are|does|do)\b", text, re.IGNORECASE
    )
    if not rest.text or covered or question:
        return
    filled.arguments[parameter.name] = rest.text
    taken.append(Span("payload", rest.start, rest.start + len(rest.text), rest.text))


def _overlaps(span: Span, taken: list[Span]) -> bool:
    return any(span.overlaps(other) for other in taken)


def _about(tool: ToolSpec) -> set[str]:
    return {word for word, weight in tool.words if weight >= 0.35}


def _is_of(word: str, about: set[str]) -> bool:
    return any(lore.same_word(word, other) for other in about)
