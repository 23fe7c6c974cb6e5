"""Filling a tool's arguments by copying from the message: nothing is made up, what is not there is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.models.demo import vocabulary
from letta_kernel.models.demo.tools import Parameter, ToolSpec, is_question, similarity

_DAY = (
    r"(?:next |this )?(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|tomorrow|yesterday|tonight"
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_PATTERNS = (
    ("quoted", r"\"([^\"\n]+)\"|`([^`\n]+)`|«([^»\n]+)»|(?<![\w'])'([^'\n]+)'(?![\w'])"),
    ("email", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    ("date", rf"\b(?:\d{{4}}-\d\d-\d\d|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|{_DAY}"
             rf"|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?)\b"),
    ("id", r"\b(?:\d{1,2}:\d{2}(?: ?[ap]m)?|\d{1,2} ?[ap]m)\b"),
    ("file", r"(?<![\w@./~-])~?(?:/?[\w.-]{1,99}/){0,20}[\w-]{1,99}\.[a-z]\w{0,5}\b"),
    ("file", r"(?<!\w)(?:/[\w.-]{1,99}){1,20}"),
    ("id", r"(?<![\w-])#?(?=[\w-]{0,60}\d)(?=[\w-]{0,60}[a-z])[a-z\d]{1,40}(?:[-_][a-z\d]{1,40}){0,9}\b"),
    ("id", r"\b[a-z]{1,40}(?:_[a-z0-9]{1,40}){1,9}\b"),
    ("number", r"(?<![\w.])[+-]?(?:\d{1,3}(?:,\d{3}){1,60}|\d{1,200})(?:\.\d{1,200})?(?![\w])"),
    ("number", rf"\b(?:{vocabulary.NUMBER_WORDS})\b(?= [a-z]|$)"),
)  # fmt: skip
_TYPED = [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _PATTERNS]
_NAME = re.compile(r"[^\W\da-z_][\w'-]*(?:(?: (?:de|van|von|la|of|the|du) | )[^\W\da-z_][\w'-]*)*")
_POLITE = re.compile(
    r"(?i)(?:(?:please|now|then|and|also|ok|okay|hey|hi|so|just|bitte)[, ]+|(?:can|could|would|will) you "
    r"(?:please |kindly |mind )?|i(?:'d| would)? (?:like|need|want) (?:you )?(?:to )?|let's )*"
)
_MEASURE = re.compile(r"(\d+(?:\.\d+)?)(?:st|nd|rd|th|[a-z°]{1,2}|min)", re.IGNORECASE)
_PAYLOAD = re.compile(r"(?::\s+|\b(?:saying|says|that says)(?: that)? )(\S[\s\S]*)$", re.IGNORECASE)

# How well a kind of span suits a kind of string parameter; a payload is what follows a colon.
_SUITS: dict[str, dict[str, float]] = {
    "quoted": {"text": 3, "thing": 2.8, "person": 2, "place": 2.2, "id": 2.2, "file": 2.4},
    "email": {"email": 5, "person": 3},
    "date": {"date": 5},
    "file": {"file": 4, "thing": 2.5, "text": 1.2, "id": 1},
    "id": {"id": 4, "thing": 2.2, "file": 1, "text": 0.6},
    "number": {"id": 3, "thing": 0.3, "date": 0.2},
    "name": {"person": 3.2, "place": 3.2, "thing": 2.4, "text": 1.8, "id": 0.8, "email": 1.7},
    "phrase": {"thing": 1.7, "place": 1.3, "text": 1.0, "person": 0.9, "file": 1.2},
    "payload": {"text": 3.4, "thing": 1.9},
}
_CUES = {
    "place": ("in", "at", "for", "of", "to", "from"), "person": ("to", "for", "with", "by", "of"),
    "date": ("on", "for"), "thing": ("of", "in", "for"), "text": ("called",),
}  # fmt: skip
_REQUIRED, _OPTIONAL = 0.9, 3.0  # what a span must score to fill a parameter


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the message that may be a value; ``lead`` are the words before it, nearest last."""

    kind: str
    start: int
    end: int
    text: str
    lead: tuple[str, ...] = ()
    follow: str = ""
    value: Any = None

    def overlaps(self, others: list[Span]) -> bool:
        """Tell whether it shares a character with one of *others*."""
        return any(self.start < other.end and other.start < self.end for other in others)


@dataclass(slots=True)
class Choice:
    """A tool, the arguments a message gives it, those it lacks, and how sure it is (0 to about 1)."""

    tool: ToolSpec
    arguments: dict[str, Any] = field(default_factory=dict)
    missing: list[Parameter] = field(default_factory=list)
    score: float = 0.0
    taken: list[Span] = field(default_factory=list)


def rank(text: str, tools: list[ToolSpec]) -> list[Choice]:
    """Return *tools* with what *text* gives them, the nearest first."""
    spans = find(text)
    typed = [span for span in spans if span.kind not in ("phrase", "name")]
    choices = []
    for tool in tools:
        choice = fill(tool, text, spans)
        names = [span for span in choice.taken if span.kind == "name"]
        # "the kettle" is a value, and yet speaks for boil_kettle: phrases count among the words, too.
        masked = _without(text, [*names, *typed]), _without(text, choice.taken)
        choice.score = max(similarity(tool, one) for one in masked)
        needed = len(tool.needed)
        choice.score += 0.14 * (needed - len(choice.missing)) / needed if needed else 0.05
        choice.score += 0.1 * (not choice.missing and any(p.choices for p in tool.needed))
        choice.score = 1.0 if "_" in tool.name and tool.name in text else choice.score
        choices.append(choice)
    return sorted(choices, key=lambda choice: -choice.score)


def choose(text: str, tools: list[ToolSpec]) -> Choice | None:
    """Return the tool *text* asks for, None where none comes near."""
    ranked = rank(text, tools) if text.strip() else []
    enough = 0.5 if is_question(text) else 0.45  # a question may be one of general knowledge
    return ranked[0] if ranked and ranked[0].score >= enough else None


def find(text: str) -> list[Span]:
    """Return every stretch of *text* that could be a value, typed ones first."""
    found: list[Span] = []
    for kind, pattern in _TYPED:
        for match in pattern.finditer(text):
            shown = next((g for g in match.groups() if g), match.group()).strip().lstrip("#")
            measure = _MEASURE.fullmatch(shown) if kind == "id" else None
            value = vocabulary.parse_number(measure[1] if measure else shown)
            real = "number" if measure else kind
            span = Span(real, *match.span(), shown, *_around(text, *match.span()), value)
            if not span.overlaps(found) and (real != "number" or value is not None):
                found.append(span)
    typed, first = list(found), _POLITE.match(text).end()  # type: ignore[union-attr]
    for match in _NAME.finditer(text):
        start, end = match.span()
        if start in (0, first) and len(text.split()) > 1:
            start += len(match.group().split()[0]) + 1  # a sentence begins with a capital
        name = re.sub(r"'s$", "", text[start:end]).strip()
        span = Span("name", start, start + len(name), name, *_around(text, start, end))
        if name.casefold() not in (*vocabulary.STOP, "") and not span.overlaps(typed):
            found.append(span)
    return [*found, *_phrases(text, typed, first)]


def _phrases(text: str, typed: list[Span], first: int) -> list[Span]:
    found: list[Span] = []
    run: list[re.Match[str]] = []
    for token in [*re.finditer(r"[^\W_][\w'-]*|[^\w\s]", text), None]:
        word = token.group().casefold() if token else ""
        inside = token and any(span.start <= token.start() < span.end for span in typed)
        verb = token and token.start() == first and len(text.split()) > 1
        stop = inside or verb or word in vocabulary.STOP
        if token and word[0].isalnum() and not stop:
            run.append(token)
        elif run:
            start, end = run[0].start(), run[-1].end()
            value = re.sub(r"'s$", "", text[start:end])
            end = start + len(value)
            found.append(Span("phrase", start, end, value, *_around(text, start, end)))
            run = []
    return found


def _around(text: str, start: int, end: int) -> tuple[tuple[str, ...], str]:
    before = vocabulary.words(
        re.split(r"[,;.!?](?=\s)|[()]", text[max(0, start - 60) : start])[-1]
    )[-3:]
    after = re.match(r"[\s-]*([^\W\d_]+|%|°)", text[end : end + 30])
    return tuple(before), after[1].casefold() if after else ""


def _without(text: str, spans: list[Span]) -> str:
    characters = list(text)
    for span in spans:
        characters[span.start : span.end] = " " * (span.end - span.start)
    return "".join(characters)


def fill(tool: ToolSpec, text: str, spans: list[Span] | None = None) -> Choice:
    """Return the arguments of *tool* that *text* gives."""
    # From the surest to the least: what has choices, what is listed, numbers, and text from what is left
    # over.
    spans = find(text) if spans is None else spans
    made = Choice(tool)
    strings = [p for p in tool.parameters if p.type == "string" and not p.choices]
    for parameter in tool.parameters:
        if parameter.choices or parameter.type == "boolean":
            _pick(parameter, text, made)
        elif parameter.type == "array":
            _collect(parameter, spans, made)
    _number([p for p in tool.parameters if p.type in ("number", "integer")], spans, made)
    if payload := _PAYLOAD.search(text):
        told = payload[1].rstrip(' "')
        spans = [Span("payload", payload.start(1), len(text), told), *spans]
    _assign(strings, spans, made)
    made.missing = [p for p in tool.needed if p.name not in made.arguments]
    names = [p.name for p in tool.parameters if p.name in made.arguments]
    made.arguments = {name: made.arguments[name] for name in names}
    return made


def fill_answer(parameter: Parameter, text: str) -> Any | None:
    """Return the value an answer to a question gives for the *parameter* that was asked for."""
    filled = fill(ToolSpec("", "", (parameter,)), text).arguments
    lead = r"(?i)^(?:it's|make it|use|the|in|at|on|for|to|from|please)\s+"
    bare = re.sub(lead, "", text.strip(" .!\"'"))
    free = bare if parameter.type == "string" and not parameter.choices else None
    return filled.get(parameter.name, free or None)


def _pick(parameter: Parameter, text: str, made: Choice) -> None:
    said = vocabulary.words(text)
    for choice in parameter.choices:
        parts = vocabulary.words(str(choice))
        if parts and all(any(vocabulary.same_word(part, word) for word in said) for part in parts):
            made.arguments.setdefault(parameter.name, choice)
    if parameter.choices:
        return
    own = [part for part in vocabulary.name_parts(parameter.name) if part not in vocabulary.STOP]
    if {"on", "off"} & set(said) and parameter.required:
        made.arguments[parameter.name] = "off" not in said
    elif any(vocabulary.same_word(word, part) for word in said for part in own):
        made.arguments[parameter.name] = not {"not", "no", "without", "don't"} & set(said)


def _collect(parameter: Parameter, spans: list[Span], made: Choice) -> None:
    kinds = ["quoted", "email", "name", "id"] if parameter.items == "string" else ["number"]
    for kind in kinds if parameter.items in ("string", "number", "integer") else []:
        found = [span for span in spans if span.kind == kind]
        values = [span.value if kind == "number" else span.text for span in found]
        if found and (parameter.items != "integer" or all(isinstance(one, int) for one in values)):
            made.arguments[parameter.name] = values
            made.taken.extend(found)
            return


def _number(parameters: list[Parameter], spans: list[Span], made: Choice) -> None:
    """Fill numbers: first those a word announces (``20 minutes``, ``width 640``), then in order."""
    # Twice over the parameters: a number with a word beside it must not go to a parameter that only came
    # first.
    free = [span for span in spans if span.kind == "number" and not span.overlaps(made.taken)]
    for cued in (True, False):
        for parameter in parameters:
            if parameter.name in made.arguments or not (cued or parameter.required):
                continue
            for span in free:
                said = [word for word in (span.follow, *span.lead[-2:]) if word]
                near = any(
                    vocabulary.same_word(word, own) for word in said for own in parameter.words
                )
                low = parameter.schema.get("minimum", span.value)
                fits = low <= span.value <= parameter.schema.get("maximum", span.value)
                fits = fits and (parameter.type == "number" or isinstance(span.value, int))
                if (near or not cued) and fits:
                    made.arguments[parameter.name] = span.value
                    made.taken.append(span)
                    free.remove(span)
                    break


def _assign(parameters: list[Parameter], spans: list[Span], made: Choice) -> None:
    """Fill texts: of all pairs of a parameter and a span that suit each other, the best first."""
    scored = []
    for at, parameter in enumerate(parameters):
        for span in spans:
            score = _suits(parameter, span, made.tool) - 0.02 * at
            if score >= (_REQUIRED if parameter.required else _OPTIONAL):
                scored.append((score, at, span))
    for _, at, span in sorted(scored, key=lambda entry: (-entry[0], entry[1], entry[2].start)):
        name = parameters[at].name
        if name not in made.arguments and not span.overlaps(made.taken):
            own = "|".join(
                map(re.escape, vocabulary.name_parts(name))
            )  # "column income" for column
            made.arguments[name] = re.sub(rf"^(?:{own}) (?=\S)", "", span.text, flags=re.IGNORECASE)
            made.taken.append(span)


def _suits(parameter: Parameter, span: Span, tool: ToolSpec) -> float:
    score = _SUITS[span.kind].get(parameter.kind, 0.0)
    before = [word for word in span.lead if word not in ("the", "a", "an", "my", "our")]
    own = vocabulary.name_parts(parameter.name)
    if any(vocabulary.same_word(word, part) for word in before[-2:] for part in own):
        score += 1.6 * (score > 0)
    elif before[-1:] and before[-1] in _CUES.get(parameter.kind, ()):
        score += 1.2 * (score > 0)
    about = [word for word, weight in tool.words if weight >= 0.8]
    inside = [
        any(vocabulary.same_word(word, one) for one in about)
        for word in vocabulary.words(span.text)
    ]
    if span.kind == "phrase" and all(inside):
        score -= 2.5  # "the heating", "the rows": what the tool is about, no value for it
    return score
