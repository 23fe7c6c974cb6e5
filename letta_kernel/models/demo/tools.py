"""Tools as the demo model reads them, and how near a message is to what they are about."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from letta_kernel.models.demo import vocabulary

LOOP_ARGUMENTS = frozenset({"request_heartbeat", "thinking"})  # which the step loop adds
CORE = vocabulary.word_set(  # chosen by what a message says of memory, never by similarity
    """send_message core_memory_append core_memory_replace memory memory_insert memory_replace
    memory_rethink memory_apply_patch memory_finish_edits archival_memory_insert
    archival_memory_search conversation_search"""
)
_GENERIC = vocabulary.word_set(  # words of names and descriptions that many tools share
    """get set make do compute calculate return run find name returns use new current whole value one
    two first second which whether something e.g number list say look up"""
)

# What a string parameter wants, by the words of its name or, failing that, its description.
_KINDS = {
    "email": "email mail recipient recipients cc bcc",
    "date": "date day deadline due when birthday weekday until",
    "file": "file filename path document",
    "id": "id sku code reference serial isbn key ticker number",
    "text": "text body message content note sentence phrase string summary comment title subject topic "
    "query question task todo reminder prompt headline description expression paragraph",
    "place": "city town place location country address destination origin region venue restaurant "
    "hotel airport station street where",
    "person": "person who user customer contact owner assignee author people guest student player",
}
_QUESTION = re.compile(
    r"(?i)(?:what|who|why|when|where|how|which|is|are|does|do|did|explain|tell me|define|was|wer|warum|"
    r"wie|wo|quel|quelle|qui|pourquoi|comment|combien|où)\b"
)
_SIGNS = {" + ": "add", " - ": "subtract", " * ": "multiply", " / ": "divide", " ^ ": "power"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool; ``kind`` is what a string wants, ``words`` what announces its value."""

    name: str
    type: str  # string, integer, number, boolean, array, object
    required: bool
    description: str
    schema: dict[str, Any]
    kind: str
    words: frozenset[str]
    choices: tuple[Any, ...]
    items: str  # the type of an array's


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool: its parameters without those of the step loop, and what it is about, weighted."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    extra_required: tuple[str, ...] = ()  # the loop's own arguments that must be given
    words: tuple[tuple[str, float], ...] = ()

    @property
    def needed(self) -> tuple[Parameter, ...]:
        """The parameters a call cannot do without."""
        return tuple(p for p in self.parameters if p.required)


def read_tools(tools: list[dict[str, Any]]) -> dict[str, ToolSpec]:
    """Return the offered tools by name."""
    return {one.name: one for one in (_spec(json.dumps(t.get("function", t))) for t in tools)}


@lru_cache(maxsize=512)
def _spec(text: str) -> ToolSpec:
    function = json.loads(text)
    schema, name = function.get("parameters") or {}, str(function.get("name", ""))
    told = str(function.get("description") or "").strip().split("\n")[0]
    required = set(schema.get("required") or ())
    properties = {
        k: v for k, v in (schema.get("properties") or {}).items() if k not in LOOP_ARGUMENTS
    }
    parameters = tuple(_parameter(key, value, key in required) for key, value in properties.items())
    about = [(vocabulary.name_parts(name), 1.0), (vocabulary.content_words(told), 0.9)]
    for one in parameters:
        choices = vocabulary.content_words(" ".join(map(str, one.choices)))
        about += [
            ([*vocabulary.name_parts(one.name), *choices], 0.8),
            (vocabulary.content_words(one.description), 0.6),
        ]
    weights: dict[str, float] = {}
    for found, weight in about:
        for word in found:
            weights.setdefault(word, weight * (0.4 if word in _GENERIC else 1.0))
    extra = tuple(sorted(required & LOOP_ARGUMENTS))
    return ToolSpec(name, told, parameters, extra, tuple(weights.items()))


def _parameter(name: str, given: Any, required: bool) -> Parameter:
    schema: dict[str, Any] = given if isinstance(given, dict) else {}
    for option in schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or ():
        if isinstance(option, dict) and option.get("type") != "null":
            schema = {**option, **schema}  # the first alternative that is not null counts
            break
    told, parts = str(schema.get("description") or ""), vocabulary.name_parts(name)
    choices = tuple(schema.get("enum") or ([schema["const"]] if "const" in schema else ()))
    inner = schema.get("items")
    kind = str(schema.get("format") or "").removesuffix("-time")
    if kind not in ("date", "time", "email"):
        said = [*reversed(parts), *vocabulary.words(told)]
        kinds = (k for word in said for k, known in _KINDS.items() if word in known.split())
        kind = next(kinds, "thing")
    return Parameter(
        name,
        _type(schema, choices),
        required and "default" not in schema,
        told,
        schema,
        kind,
        frozenset({*parts, *vocabulary.content_words(told)} - _GENERIC | set(parts)),
        choices,
        _type(inner, ()) if isinstance(inner, dict) else "string",
    )


def _type(schema: dict[str, Any], choices: tuple[Any, ...]) -> str:
    if "$ref" in schema:
        return "object"  # never filled: there is nothing to read its form from
    wanted = schema.get("type")
    if isinstance(wanted, list):
        wanted = next((t for t in wanted if t != "null"), "string")
    names = {bool: "boolean", int: "integer", float: "number"}
    return str(wanted or names.get(type(choices[0]) if choices else str, "string"))


def is_question(text: str) -> bool:
    """Tell whether *text* asks rather than tells."""
    return text.rstrip().endswith("?") or _QUESTION.match(text) is not None


def similarity(tool: ToolSpec, text: str) -> float:
    """Return how near *text*, without its values, is to what *tool* is about, 0 to about 1."""
    said = [
        *vocabulary.content_words(text),
        *(word for sign, word in _SIGNS.items() if sign in text),
    ]
    if not said:
        return 0.0
    total = gained = 0.0
    for word in said:
        weight = 0.4 if word in _GENERIC else 1.0
        total += weight
        nearest = max(
            (w * vocabulary.nearness(word, other) for other, w in tool.words), default=0.0
        )
        gained += weight * nearest
    parts = vocabulary.content_words(" ".join(vocabulary.name_parts(tool.name)))
    parts = [part for part in parts if part not in _GENERIC] or parts
    hit = sum(max(vocabulary.nearness(word, part) for word in said) for part in parts) / max(
        1, len(parts)
    )
    about = f"{' '.join(vocabulary.name_parts(tool.name))}. {tool.description}"
    near = max(0.0, float(vocabulary.vector(" ".join(said[:60])) @ vocabulary.vector(about)))
    return 0.4 * gained / total + 0.35 * hit + 0.25 * near
