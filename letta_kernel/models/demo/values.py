"""Numbers and enumerations: which figure of a message belongs to which parameter, and what is a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models.demo import words as lore
from letta_kernel.models.demo.parameters import Parameter, ToolSpec
from letta_kernel.models.demo.spans import Found, Span


@dataclass(slots=True)
class Filled:
    """Arguments copied from a message, the required parameters nothing was found for, and what was used."""

    arguments: dict[str, Any] = field(default_factory=dict)
    missing: list[Parameter] = field(default_factory=list)
    used: list[tuple[int, int]] = field(default_factory=list)


def fill_list(
    parameter: Parameter, found: Found, taken: list[Span], filled: Filled, alone: bool
) -> None:
    """Fill a list parameter with the longest enumeration that suits its items."""
    item = parameter.items
    if item is None or item.type in ("object", "array", "boolean"):
        return
    numeric = item.type in ("number", "integer")
    best: list[Span] = []
    for spans in found.lists:
        if (spans[0].kind == "number") != numeric or any(overlaps(s, taken) for s in spans):
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
        best = [s for s in best if not overlaps(s, taken)]
    if not best:
        return
    if item.type == "integer" and any(span.value != int(span.value) for span in best):
        return
    if numeric:
        filled.arguments[parameter.name] = [_number(item, span.value) for span in best]
    else:
        filled.arguments[parameter.name] = [span.text for span in best]
    taken.extend(best)


def fill_numbers(
    parameters: list[Parameter], found: Found, taken: list[Span], filled: Filled, tool: ToolSpec
) -> None:
    """Give each figure to the parameter whose unit, name or preposition is nearest, else in order."""
    spans = [span for span in found.of("number") if not overlaps(span, taken)]
    scored: list[tuple[float, int, int]] = []
    for at, parameter in enumerate(parameters):
        for place, span in enumerate(spans):
            if parameter.type == "integer" and span.value != int(span.value):
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
    if (near and near in parameter.units) or (
        near and any(lore.same_word(near, cue) for cue in parameter.own_words)
    ):
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


def fill_pairs(
    parameters: list[Parameter], found: Found, taken: list[Span], filled: Filled, about: set[str]
) -> None:
    """Give *height and weight*, *between Rome and Pisa* to parameters of one kind, in order."""
    needed = [p for p in parameters if p.required]
    if (
        len(needed) < 2
        or len({p.kind for p in needed}) > 1
        or needed[0].kind in ("text", "date", "currency")
    ):
        return
    for raw in found.lists:
        spans = [bared(span, about, True) if span.kind == "phrase" else span for span in raw]
        if (
            len(spans) == len(needed)
            and spans[0].kind != "number"
            and not any(overlaps(s, taken) for s in spans)
        ):
            for parameter, span in zip(needed, spans, strict=True):
                filled.arguments[parameter.name] = span.text
                taken.append(span)
            return


def overlaps(span: Span, taken: list[Span]) -> bool:
    """Tell whether any of *taken* shares a character with *span*."""
    return any(span.overlaps(other) for other in taken)


def own_words_of(tool: ToolSpec) -> set[str]:
    """Return the words that say what a tool is about."""
    return {word for word, weight in tool.words if weight >= 0.35}


def is_of(word: str, about: set[str]) -> bool:
    """Tell whether a word is a form of one of *about*."""
    return any(lore.same_word(word, other) for other in about)


def bared(span: Span, about: set[str], both_ends: bool) -> Span:
    """Cut the tool's own words off a phrase: ``weather tokyo`` names Tokyo."""
    tokens = list(lore.WORD.finditer(span.text))
    first, last = 0, len(tokens)
    while first < last - 1 and is_of(tokens[first].group(), about):
        first += 1
    while both_ends and last - 1 > first and is_of(tokens[last - 1].group(), about):
        last -= 1
    if (first, last) == (0, len(tokens)):
        return span
    start, end = tokens[first].start(), tokens[last - 1].end()
    lead = (*span.lead, *(token.group().casefold() for token in tokens[:first]))[-3:]
    follow = tokens[last].group().casefold() if last < len(tokens) else span.follow
    return Span(
        span.kind, span.start + start, span.start + end, span.text[start:end], None, lead, follow
    )
