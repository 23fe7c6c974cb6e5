"""Filling a tool's arguments by copying from the message: nothing is made up, what is not there is missing."""

from __future__ import annotations

import re
from typing import Any

from letta_kernel.models.demo import words as lore
from letta_kernel.models.demo.flags import choose, decide
from letta_kernel.models.demo.parameters import Parameter, ToolSpec
from letta_kernel.models.demo.spans import Found, Span, find, imperative_start
from letta_kernel.models.demo.texts import head_stripped, payloads, shaped, trimmed
from letta_kernel.models.demo.values import (
    Filled,
    bared,
    fill_list,
    fill_numbers,
    fill_pairs,
    is_of,
    overlaps,
    own_words_of,
)

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
_BODIES = frozenset({"body", "text", "message", "content", "contents", "note"})


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
        fill_list(parameter, found, taken, filled, alone=len(rest) == 1)
    fill_numbers([p for p in rest if p.type in ("number", "integer")], found, taken, filled, tool)
    strings = [p for p in rest if p.type == "string"]
    about = own_words_of(tool)
    fill_pairs(strings, found, taken, filled, about)
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


def _candidates(
    parameters: list[Parameter], text: str, found: Found, taken: list[Span], tool: ToolSpec
) -> list[Span]:
    spans = [span for span in found.typed if span.kind != "number" or not overlaps(span, taken)]
    about = own_words_of(tool)
    places = any(p.kind in ("place", "person") for p in parameters)
    spans += [head_stripped(span) for span in found.names]
    spans += [head_stripped(bared(span, about, places)) for span in found.phrases]
    if any(p.kind in ("text", "thing") for p in parameters):
        spans += payloads(text)
    return [span for span in spans if span.text and not overlaps(span, taken)]


def _assign(
    parameters: list[Parameter],
    candidates: list[Span],
    taken: list[Span],
    filled: Filled,
    tool: ToolSpec,
) -> None:
    about = own_words_of(tool)
    scored = []
    # "weather tokyo": the only thing named is for the only thing needed
    alone = (
        len(tool.needed) == 1
        and len(candidates) == 1
        and tool.needed[0].kind in ("place", "person", "thing")
    )
    enough = 1.0 if alone else ENOUGH
    for at, parameter in enumerate(parameters):
        for place, span in enumerate(candidates):
            score = _suits(parameter, span, at)
            if span.kind == "phrase" and all(is_of(word, about) for word in lore.words(span.text)):
                score -= (
                    2.5  # "the heating", "the rows": what the tool is about, not a value for it
                )
            if score >= (enough if parameter.required else SURE):
                scored.append((score, at, place))
    for _score, at, place in sorted(
        scored, key=lambda entry: (-entry[0], entry[1], candidates[entry[2]].start)
    ):
        parameter, span = parameters[at], candidates[place]
        if parameter.name in filled.arguments:
            continue
        span = trimmed(span, taken)
        if not span.text or overlaps(span, taken):
            continue
        filled.arguments[parameter.name] = shaped(parameter, span)
        taken.append(span)


def _suits(parameter: Parameter, span: Span, rank: int) -> float:
    base = _SUITS[span.kind].get(parameter.kind, 0.0)
    if parameter.kind == "currency" and span.kind != "currency":
        return 0.0
    if span.kind == "currency" and span.lead and span.lead[-1][:1].isdigit():
        # "100 dollars in pounds": what stands at the amount is what it is in
        base += -2.0 if "to" in parameter.prepositions else 2.0
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
    if span.kind == "payload" and parameter.own_words & _BODIES:
        cue += 0.6
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


def _fill_remainder(
    parameter: Parameter, text: str, taken: list[Span], filled: Filled, tool: ToolSpec
) -> None:
    """Take what follows the verb and the tool's own words, for a text nothing announces."""
    if parameter.kind != "text":
        return
    start = imperative_start(text)
    about = own_words_of(tool)
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
    if at == 0 or at >= len(tokens) or ("?" in text and len(tool.needed) > 1):
        return
    begin = tokens[at].start()
    rest = Span("payload", begin, len(text), text[begin:].rstrip(" .!?"))
    rest = trimmed(rest, taken)
    covered = any(rest.start <= span.start < rest.start + len(rest.text) for span in taken)
    question = re.match(
        r"(?:what|who|why|how|when|where|which|is|are|does|do)\b", text, re.IGNORECASE
    )
    if not rest.text or covered or question:
        return
    filled.arguments[parameter.name] = rest.text
    taken.append(Span("payload", rest.start, rest.start + len(rest.text), rest.text))
