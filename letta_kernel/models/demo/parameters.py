"""What a tool's parameters want: their type, the kind of thing, the words and prepositions that announce it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from letta_kernel.models.demo import words as lore

LOOP_ARGUMENTS = frozenset({"request_heartbeat", "thinking"})
"""Parameters the step loop adds for itself."""

# Name words that decide what kind of text a string parameter wants; the first kind that fits wins.
_KINDS: dict[str, frozenset[str]] = {
    "currency": frozenset({"currency", "currencies"}),
    "email": frozenset({"email", "mail", "recipient", "recipients", "cc", "bcc"}),
    "date": frozenset(
        {"date", "day", "deadline", "due", "when", "birthday", "weekday", "dates", "until"}
    ),
    "time": frozenset({"time", "hour", "clock", "datetime", "timestamp"}),
    "file": frozenset({"file", "filename", "path", "document"}),
    "id": frozenset(
        {
            "id",
            "sku",
            "code",
            "ref",
            "reference",
            "serial",
            "isbn",
            "uuid",
            "key",
            "ticker",
            "symbol",
            "number",
        }
    ),
    "text": lore.word_set(
        """text body message content contents note sentence phrase string summary comment title subject
        topic query question task todo reminder label prompt headline caption reason what paragraph
        description expression formula code_snippet heading motto slogan"""
    ),
    "place": lore.word_set(
        """city town place location country address destination origin start end region venue restaurant
        hotel airport station source target where street state departure arrival"""
    ),
    "person": lore.word_set(
        """person who user customer contact owner assignee attendee author people attendees guest name
        student employee colleague member players player participant participants"""
    ),
}
_PREPOSITIONS: dict[str, tuple[str, ...]] = {
    "from": ("from",),
    "origin": ("from",),
    "source": ("from",),
    "start": ("from",),
    "departure": ("from",),
    "old": (),
    "to": ("to", "into", "in"),
    "destination": ("to",),
    "target": ("to", "into"),
    "end": ("to",),
    "arrival": ("to",),
    "new": ("to", "into", "as"),
    "into": ("into", "to"),
    "by": ("by",),
    "divisor": ("by",),
    "exponent": ("of", "to"),
    "city": ("in", "for", "at", "of"),
    "location": ("in", "for", "at", "of"),
    "place": ("in", "for", "at"),
    "room": ("in", "for", "of"),
    "folder": ("in", "inside", "of"),
    "country": ("in", "of", "for"),
    "where": ("in", "at"),
    "date": ("on", "for"),
    "day": ("on", "for"),
    "when": ("on", "for", "at"),
    "time": ("at", "for"),
    "title": ("called", "named", "titled"),
    "name": ("called", "named"),
    "subject": ("about", "subject"),
    "topic": ("about", "on"),
    "body": ("saying", "says"),
    "message": ("saying", "says"),
    "text": ("saying", "says"),
    "person": ("to", "with", "for"),
    "recipient": ("to",),
    "people": ("with", "to"),
    "restaurant": ("at",),
    "venue": ("at",),
    "query": ("for", "about"),
    "tags": ("with", "as"),
    "guests": ("for",),
    "language": ("into", "to", "in"),
    "amount": (),
    "value": ("to",),
    "status": ("as", "to"),
    "degrees": ("to",),
    "temperature": ("to",),
    "threshold": ("above", "over", "than", "below", "under"),
    "limit": ("than", "to"),
    "minutes": ("for",),
    "duration": ("for",),
    "seconds": ("for",),
    "column": ("of",),
    "port": ("on", "at"),
    "customer": ("of", "for"),
    "user": ("for", "of"),
    "items": (),
}
_USUAL = {
    "place": ("in", "for", "at", "of"),
    "person": ("for", "to", "of", "with", "by"),
    "date": ("on", "for"),
    "time": ("at", "for"),
    "thing": ("of", "in", "for"),
}
_UNITS: dict[str, frozenset[str]] = {
    "kg": frozenset({"kg", "kilo", "kilos", "kilogram", "kilograms", "weight"}),
    "m": frozenset({"m", "metre", "metres", "meter", "meters", "height", "tall"}),
    "cm": frozenset({"cm", "centimetre", "centimetres", "centimeter", "centimeters"}),
    "km": frozenset({"km", "kilometre", "kilometres", "kilometer", "kilometers"}),
    "min": frozenset({"min", "mins", "minute", "minutes"}),
    "h": frozenset({"h", "hour", "hours", "hrs"}),
    "s": frozenset({"s", "sec", "secs", "second", "seconds"}),
    "deg": frozenset({"degree", "degrees", "celsius", "°c", "c", "°", "temperature"}),
    "pct": frozenset({"%", "percent", "percentage"}),
    "m2": frozenset({"square", "sqm", "area"}),
    "people": frozenset({"people", "persons", "guests", "adults", "of us"}),
    "year": frozenset({"year", "years", "age", "old"}),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool, with what announces its value in a message."""

    name: str
    type: str  # string, integer, number, boolean, array, object
    required: bool
    description: str
    schema: dict[str, Any]
    kind: str  # of a string: text, date, place ...; thing when nothing is known
    own_words: frozenset[str]  # of its name
    cue_words: frozenset[str]  # of its name and description, without generic ones
    prepositions: tuple[str, ...]
    units: frozenset[str]
    choices: tuple[Any, ...] = ()
    items: Parameter | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the demo model reads it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    extra_required: tuple[str, ...] = ()  # the loop's own arguments that must be given
    words: tuple[tuple[str, float], ...] = field(default=())  # what it is about, weighted
    sentence: str = ""

    @property
    def needed(self) -> tuple[Parameter, ...]:
        """The parameters a call cannot do without."""
        return tuple(p for p in self.parameters if p.required)


def read_tools(tools: list[dict[str, Any]]) -> dict[str, ToolSpec]:
    """Return the offered tools by name."""
    specs = [_spec(json.dumps(tool.get("function", tool), sort_keys=False)) for tool in tools]
    return {spec.name: spec for spec in specs}


@lru_cache(maxsize=512)
def _spec(text: str) -> ToolSpec:
    function = json.loads(text)
    schema = function.get("parameters") or {}
    properties = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    parameters = tuple(
        _parameter(name, prop if isinstance(prop, dict) else {}, name in required)
        for name, prop in properties.items()
        if name not in LOOP_ARGUMENTS
    )
    description = str(function.get("description") or "").strip()
    name = str(function.get("name", ""))
    return ToolSpec(
        name,
        description,
        parameters,
        tuple(sorted(required & LOOP_ARGUMENTS)),
        _about(name, description, parameters),
        f"{' '.join(lore.name_parts(name))}. {description.split(chr(10))[0]}",
    )


def _about(
    name: str, description: str, parameters: tuple[Parameter, ...]
) -> tuple[tuple[str, float], ...]:
    weights: dict[str, float] = {}

    def put(word: str, weight: float) -> None:
        if word in lore.STOP and weight < 1.0:
            return
        if word in lore.GENERIC:
            weight *= 0.4
        weights[word] = max(weight, weights.get(word, 0.0))

    for word in lore.name_parts(name):
        put(word, 1.0)
    for word in lore.content_words(_without_examples(description.split("\n\n")[0])):
        put(word, 0.9)
    for parameter in parameters:
        for word in lore.name_parts(parameter.name):
            put(word, 0.8)
        for word in lore.content_words(_without_examples(parameter.description)):
            put(word, 0.6)
        for choice in parameter.choices:
            for word in lore.words(str(choice)):
                put(word, 0.8)
    return tuple(weights.items())


def _parameter(name: str, schema: dict[str, Any], required: bool) -> Parameter:
    schema = _concrete(schema)
    kind_of_value = _type(schema)
    description = str(schema.get("description") or "")
    parts = lore.name_parts(name)
    choices = (
        tuple(schema["enum"])
        if "enum" in schema
        else (schema["const"],)
        if "const" in schema
        else ()
    )
    items = None
    if kind_of_value == "array":
        inner = schema.get("items")
        items = _parameter(name, inner if isinstance(inner, dict) else {}, True)
    return Parameter(
        name=name,
        type=kind_of_value,
        required=required and "default" not in schema,
        description=description,
        schema=schema,
        kind=_kind(parts, description, schema),
        own_words=frozenset(parts),
        cue_words=frozenset(
            word
            for word in (*parts, *lore.content_words(_without_examples(description)))
            if word not in lore.GENERIC and (word not in lore.STOP or word in parts)
        ),
        prepositions=_prepositions(parts, description)
        or _USUAL.get(_kind(parts, description, schema), ()),
        units=frozenset().union(
            *(
                aliases
                for aliases in _UNITS.values()
                if aliases & {*parts, *lore.words(re.sub(r"\bper \w+", "", description))}
            )
        ),
        choices=choices,
        items=items,
    )


def _without_examples(description: str) -> str:
    return re.sub(
        r"[,;(]?\s*\b(?:such as|e\.g\.|for example|for instance|like)\b[^.;)]*", "", description
    )


def _concrete(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the first alternative that is not null, with the outer description and default."""
    for key in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(key) or ():
            if isinstance(option, dict) and option.get("type") != "null":
                outer = {k: v for k, v in schema.items() if k != key}
                return {**option, **outer}
    return schema


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return "object"  # never filled: there is nothing to read its form from
    wanted = schema.get("type")
    if isinstance(wanted, list):
        wanted = next((t for t in wanted if t != "null"), "string")
    if wanted is None:
        values = schema.get("enum") or [schema.get("const")]
        wanted = {bool: "boolean", int: "integer", float: "number"}.get(type(values[0]), "string")
    return str(wanted)


def _kind(parts: list[str], description: str, schema: dict[str, Any]) -> str:
    form = str(schema.get("format") or "")
    if form in ("date", "time", "email"):
        return form
    if form == "date-time":
        return "date"
    said = set(lore.words(description))
    if parts and parts[0] == "to" and (len(parts) == 1 or parts[-1] in ("address", "email")):
        return "place" if said & {"city", "place", "airport", "station", "journey"} else "email"
    for part in reversed(parts):  # the last word of a name is its head: event_date is a date
        for kind, known in _KINDS.items():
            if part in known or lore.stem(part) in known:
                return _refined(kind, part, said)
    for kind in ("currency", "email", "date", "time", "file", "place", "person", "text"):
        if said & _KINDS[kind] - {
            "start",
            "end",
            "name",
            "what",
            "user",
            "when",
            "source",
            "target",
            "until",
        }:
            return kind
    return "thing"


def _refined(kind: str, part: str, said: set[str]) -> str:
    if part == "name" and said & (_KINDS["place"] | {"area"}):
        return "place"
    if part in ("name", "label", "topic", "key", "number", "code") and kind in (
        "person",
        "text",
        "id",
    ):
        return kind if part != "name" or said & _KINDS["person"] - {"name", "user"} else "thing"
    if part in ("start", "end") and said & {"date", "day", "when"}:
        return "date"
    if part in ("start", "end") and said & {"time", "hour"}:
        return "time"
    return kind


def _prepositions(parts: list[str], description: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in parts:
        found.extend(_PREPOSITIONS.get(part, _PREPOSITIONS.get(lore.stem(part), ())))
    # "the number to subtract from", "the number to divide by", "the currency to convert into"
    ending = lore.words(description)[-1:]
    if ending and ending[0] in lore.PREPOSITIONS:
        found.insert(0, ending[0])
    return tuple(dict.fromkeys(found))
