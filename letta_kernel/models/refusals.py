"""What a model refuses though it could do without: tried once more without it, and remembered.

Servers differ in which parameters they know, and refuse the others instead of passing over them. What one model
refused is kept for the life of the process, by its address, and not sent to it again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Any

from letta_kernel.models.errors import Endpoint, ProviderError
from letta_kernel.remedies import sentence

MOST = 6
"""How many things one call may learn that its model refuses."""

# What cannot be left out, and what is no parameter of its own.
_NEEDED = frozenset(
    ("model", "messages", "contents", "tools", "stream", "system", "systemInstruction", "input", "prompt",
     "generationConfig", "options", "api_base")
)  # fmt: skip
FORMATS = (
    "response_format", "output_format", "response_schema", "responseSchema", "responseJsonSchema",
    "output_config",
)  # fmt: skip
"""What a request says the form of its answer with, most telling first."""
# Where a refusal names several (a temperature beside a top_p, a tool choice while thinking), the first goes.
_ORDER = (
    "stream_options",
    "parallel_tool_calls",
    "tool_choice",
    "top_p",
    "top_k",
    "seed",
    "temperature",
)
_LAST = ("reasoning_effort", "thinking", "reasoning")
_RENAMED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_OTHER_WORDS = {
    "tool_choice": ("toolConfig", "tool choice"),
    "reasoning_effort": ("thinkingConfig", "thinking_level", "thinkingLevel", "output_config"),
    "max_completion_tokens": ("maxOutputTokens",),
}
_STATUSES = (400, 404, 405, 415, 422, 500, 501)
_REFUSING = re.compile(
    r"unsupported|not\s+(?:\w+\s+)?(?:support|allow|permit|accept|compatible|recogni|available|enabled|implemented)"
    r"|(?:do|does|did|can|may|is|are)(?:n[o']?t| not)\s+(?:be\s+)?(?:\w+\s+)?"
    r"(?:support|allow|permit|accept|take|set|used|specified|enabled|exist|recogni)"
    r"|unrecogni[sz]ed|unknown|unexpected|extra (?:inputs|fields|arguments)|extra_forbidden"
    r"|incompatible|deprecated|only the default|cannot (?:both )?be|no longer|may only be set|may not be"
    r"|mutually exclusive|cannot find field|additional propert|must be (?:unset|omitted)"
    r"|invalid (?:argument|parameter|field|input) (?:name|supplied)",
    re.IGNORECASE,
)
_NO_TOOLS = re.compile(
    r"(?:not|n't) support (?:\w+ )?(?:tools?\b|tool[- _](?:use|call)|function[- _]?call)"
    r"|no endpoints found that support tool|unsupported param(?:eter)?:? [`'\"]?tools\b"
    r"|(?<!\w)(?:tools?|functions?)(?:[- _](?:param\w*|use|call\w*))?[`'\"]? (?:is|are|requires?)\b.{0,60}"
    r"(?:not (?:\w+ )?(?:supported|enabled|available|implemented)|unsupported|--)"
    r"|--enable-auto-tool-choice|--tool-call-parser|--jinja"
    r"|tool (?:use|calling) (?:is )?(?:not|un)\s?(?:supported|available)"
    # The parameter itself is unknown there (`tools.0.name` and `tools[0]` are about one tool).
    r"|(?:unrecogni[sz]ed|unknown|unsupported|unexpected)\b[^.]{0,60}[`'\" :]tools[`'\"]?(?![.\[\w-])"
    r"|[\[(][`'\"]body[`'\"], ?[`'\"]tools[`'\"][\])]",
    re.IGNORECASE,
)
_NO_SYSTEM = re.compile(
    r"system[`'\"]? (?:role|message|prompt|instruction)s?.{0,40}not (?:\w+ )?(?:supported|enabled|allowed)"
    r"|(?:not|n't) support.{0,12}[`'\" ]system\b|developer instruction is not enabled"
    r"|(?:unknown|unsupported|unexpected) role:? [`'\"]?system",
    re.IGNORECASE,
)
_NO_RESULTS = re.compile(
    r"roles must alternate|invalid content type|unexpected role.{0,4}tool\b"
    r"|only user(?:,| and) (?:system and )?assistant roles"
    r"|(?:unknown|unsupported|invalid) role:? [`'\"]?tool\b",
    re.IGNORECASE,
)
_NO_FORMAT = re.compile(
    r"(?:response|output)[_ ]?(?:format|schema|mime)|response_?json_?schema|json[_ ](?:schema|mode)"
    r"|structured[_ ]output",
    re.IGNORECASE,
)
_NO_IMAGES = re.compile(
    r"image|vision|multi-?modal|content[^.]{0,40} must be (?:a |of type )?str",
    re.IGNORECASE,
)
_ONE_OF_BOTH = re.compile(r"either content or tool_calls,? but not both", re.IGNORECASE)
_SCHEMA_OF = re.compile(
    r"(?:for|of|in) (?:the )?(?:function|tool) [`'\"]([A-Za-z0-9_-]{1,64})[`'\"]", re.I
)
_PLACE_OF = re.compile(r"(?:function_declarations|functionDeclarations)\[(\d+)\]|\btools[.\[](\d+)")
_FLAGS = {
    "--enable-auto-tool-choice": "start the server with --enable-auto-tool-choice and --tool-call-parser",
    "--jinja": "start the server with --jinja",
}


@dataclass(slots=True)
class Refused:
    """What one model does not take."""

    parameters: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)  # parameters that have another name there
    tools: set[str] = field(default_factory=set)  # whose schemas it refuses, by the names sent
    system: bool = False  # the system role
    results: bool = False  # calls and results, though tools may be offered
    both: bool = False  # text and calls in one message
    images: bool = False  # pictures

    def told(self) -> dict[str, Any]:
        """Return what is known, as JSON values; empty where nothing was refused."""
        if self == _NOTHING:  # as a rule, at each call
            return {}
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in known.items()
            if value
        }

    @classmethod
    def of(cls, told: dict[str, Any]) -> Refused:
        """Return what `told` has said."""
        sets = {name: set(told.get(name, ())) for name in ("parameters", "tools")}
        return cls(**{**told, **sets})

    def learn(
        self,
        error: ProviderError,
        endpoint: Endpoint,
        parameters: Collection[str],
        tools: list[str],
        *,
        system: bool,
        images: bool = False,
    ) -> str | None:
        """Take from *error* what to leave out; return why in one line, "" if nobody misses it, else None.

        Parameters
        ----------
        parameters, tools : names of what was sent, tools in order.
        system : whether a system message was sent.
        images : whether pictures were sent.

        Raises
        ------
        ProviderError
            When the model takes no tools at all: one line that says what to do.
        """
        if error.status not in _STATUSES or error.kind in ("context_overflow", "content_filter"):
            return None
        if images and _NO_IMAGES.search(error.said):
            self.images = True
            return f"{sentence(error.text)} Images are described to it."
        if tools and _NO_TOOLS.search(error.said):
            raise no_tools(error, endpoint)
        if system and not self.system and _NO_SYSTEM.search(error.said):
            self.system = True
            return ""
        if tools and not self.results and _NO_RESULTS.search(error.said):
            self.results = True
            return ""
        if not self.both and _ONE_OF_BOTH.search(error.said):
            self.both = True
            return ""
        form = next((name for name in FORMATS if name in parameters), None)
        if form and form not in self.parameters and _NO_FORMAT.search(error.said):
            # Of `output_config` the rest may stay.
            self.parameters.add("output_format" if form == "output_config" else form)
            return f"{sentence(error.text)} The answer is asked for by a tool instead."
        if tool := self._tool(error, tools):
            self.tools.add(tool)
            return f"{sentence(error.text)} The tool {tool} is left out."
        if not _REFUSING.search(error.said):
            return None
        found = [name for name in parameters if _names(error.said, name)]
        found.sort(key=lambda name: _ORDER.index(name) if name in _ORDER else 50 + (name in _LAST))
        for name in found:
            if name in self.parameters or name in _NEEDED:
                continue
            other = _RENAMED.get(name)
            if other and other in error.said and self.renamed.get(other) != name:
                self.renamed[name] = other
                return ""
            self.parameters.add(name)
            ours = name in ("stream_options", "parallel_tool_calls")
            return "" if ours else f"{sentence(error.text)} It is asked without {name}."
        return None

    def _tool(self, error: ProviderError, tools: list[str]) -> str | None:
        """Return the tool whose schema the provider names as broken."""
        if error.status not in (400, 422):
            return None
        named = _SCHEMA_OF.search(error.said)
        if named and named[1] in tools:
            return named[1]
        at = _PLACE_OF.search(error.said)
        number = int(at[1] or at[2]) if at else len(tools)
        return tools[number] if number < len(tools) else None


_NOTHING = Refused()


def no_tools(error: ProviderError, endpoint: Endpoint) -> ProviderError:
    """Return the error for a model that takes no tools, with what to do about it."""
    flags = [advice for flag, advice in _FLAGS.items() if flag in error.said]
    ways = [
        *flags,
        "choose another model",
        "set tool_calls to written, so that it writes them as text",
    ]
    said = error.said.strip()
    return ProviderError(
        "other",  # a fallback may take them
        f"{endpoint.model} takes no tools ({error.status}): {', or '.join(ways)}. It said: {said}",
        lasting=True,
    )


def _names(said: str, name: str) -> bool:
    """Whether a refusal speaks of the parameter *name*, as it is or in the provider's spelling."""
    camel = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)
    words = {name, camel, snake, *_OTHER_WORDS.get(name, ())}
    return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", said) for word in words)


_known: dict[tuple[str, str], Refused] = {}
_lock = threading.Lock()


def refused_by(base: str, model: str) -> Refused:
    """Return what the model at that address has refused so far, to read and to add to."""
    with _lock:
        return _known.setdefault((base, model), Refused())
