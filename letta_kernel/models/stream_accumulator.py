"""Pieces of a streamed answer put together: what is shown as it comes, and the whole at the end."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from letta_kernel.messages import ToolCall, Usage
from letta_kernel.models.base import CallPiece, Piece, ReasoningPiece, Reply, Reset, TextPiece
from letta_kernel.models.wire import Shaped

_SURROGATE = re.compile("[\ud800-\udfff]")
# How models mark their thoughts in plain text.
_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>", "[THINK]": "[/THINK]"}
_CLOSING = re.compile("|".join(map(re.escape, _TAGS.values())))
_TAIL = max(map(len, _TAGS.values()))

FINISHED = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "pause_turn": "stop",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
}


class _Call:
    def __init__(self, number: int, call_id: str) -> None:
        self.number = number
        self.id = call_id
        self.given_id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.named_again = False  # after its arguments were whole

    @property
    def whole(self) -> str:
        """The arguments, if they are one whole JSON object."""
        text = "".join(self.arguments)
        return text if _is_object(text) else ""


class _Text:
    """Joins what was cut in the middle of a character beyond the basic plane."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._half = ""

    def add(self, text: str) -> str:
        text = self._half + text
        self._half = ""
        if not text.isascii() and _SURROGATE.search(text):
            if "\ud800" <= text[-1] <= "\udbff":
                text, self._half = text[:-1], text[-1]
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if text:
            self.parts.append(text)
        return text

    def tail(self, length: int) -> str:
        """Return about the last *length* characters."""
        found = ""
        for part in reversed(self.parts):
            found = part + found
            if len(found) >= length:
                break
        return found


class StreamAccumulator:
    """Takes what a provider's stream says and keeps both the pieces not yet handed on and the whole.

    *shaped* is the request that is answered: it knows our names of its tools.
    """

    def __init__(self, shaped: Shaped) -> None:
        self._shaped = shaped
        self.finish: str | None = None
        self.usage: dict[str, Any] | None = None
        self.thinking: list[dict[str, Any]] = []
        self._text = _Text()
        self._reasoning = _Text()
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._ids: set[str] = set()
        self._out: list[Piece] = []
        self._held = ""  # the beginning of the text while it may still become a <think> tag
        self._mode = "start"  # start, thinking, after, text
        self._closing = ""  # the tag that ends the thoughts
        self._may_have_thought = (
            True  # text may turn out to be a thought whose beginning is not marked
        )

    def take(self) -> list[Piece]:
        """Return the pieces that came since the last time."""
        out, self._out = self._out, []
        return out

    def reasoning(self, text: str) -> None:
        """Add native reasoning."""
        if text := self._reasoning.add(text):
            self._out.append(ReasoningPiece(text))

    def text(self, text: str) -> None:
        """Add text; a ``<think>`` section at its very beginning is reasoning.

        Where the beginning of the thoughts stands in the prompt, only ``</think>`` comes: all before it is
        reasoning then, though it was shown as text.
        """
        if self._mode == "text":
            self._say(text)
            return
        if self._mode == "after":  # blank lines between thoughts and answer belong to neither
            if text := text.lstrip():
                self._mode = "text"
                self._say(text)
            return
        self._held += text
        if self._mode == "start":
            beginning = self._held.lstrip()
            opened = next((tag for tag in _TAGS if beginning.startswith(tag)), None)
            if opened:
                self._mode, self._held = "thinking", beginning[len(opened) :]
                self._closing, self._may_have_thought = _TAGS[opened], False
            elif any(tag.startswith(beginning) for tag in _TAGS):
                return  # may still become the tag
            else:
                self._mode, held, self._held = "text", self._held, ""
                self._say(held)
                return
        inside, closed, after = self._held.partition(self._closing)
        if closed:
            self._mode, self._held = "after", ""
            self.reasoning(inside)
            self.text(after)
            return
        keep = _overlap(inside, self._closing)
        self._held = inside[len(inside) - keep :]
        self.reasoning(inside[: len(inside) - keep])

    def call(
        self, index: Any = None, call_id: str = "", name: str = "", arguments: str = ""
    ) -> None:
        """Add to a tool call: the one of that index, or id, or the last one if neither is given."""
        call = self._find(index, call_id, name)
        if call is not None and call.whole:
            match _relation(call, name, arguments):
                case "named":  # its name comes last
                    call.name = name
                    self._out.append(CallPiece(call.number, "", self._shaped.name(name), ""))
                    return
                case "repeated":
                    return
                case "another":
                    name, call = name or call.name, None
                case "instead":  # empty arguments stood for those that come now
                    call.arguments.clear()
        new_name = ""
        if call is None:
            call = self._begin(index, call_id)
            call.name = name
            new_name = self._shaped.name(name)
        elif name and name != call.name and not call.arguments:
            new_name = name  # a name may come in pieces
            call.name += name
        if arguments:
            call.arguments.append(arguments)
        first = not call.given_id and (call_id or new_name)
        call.given_id = call.given_id or call_id or call.id
        if first or new_name or arguments:
            self._out.append(CallPiece(call.number, call.id if first else "", new_name, arguments))

    def _find(self, index: Any, call_id: str, name: str) -> _Call | None:
        call = self._by_index.get(index) if index is not None else None
        if call is None and index is None:
            same = [c for c in self._calls if call_id and c.given_id == call_id]
            if same:
                call = same[-1]
            elif not call_id and not name and self._calls:
                call = self._calls[-1]
        # Some servers give every call of a turn the index 0: another id then means another call.
        if call and call_id and call.given_id not in ("", call_id) and name:
            return None
        return call

    def _begin(self, index: Any, call_id: str) -> _Call:
        own = call_id if call_id and call_id not in self._ids else f"call_{uuid.uuid4().hex[:24]}"
        self._ids.add(own)
        call = _Call(len(self._calls), own)
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _say(self, text: str) -> None:
        text = self._text.add(text)
        if not text:
            return
        self._out.append(TextPiece(text))
        if self._may_have_thought and _CLOSING.search(self._text.tail(len(text) + _TAIL)):
            self._take_for_thought()

    def _take_for_thought(self) -> None:
        """Take all text before a lone closing tag for reasoning, and show everything anew."""
        said = "".join(self._text.parts)
        closing = _CLOSING.search(said)
        if closing is None or said.count("`", 0, closing.start()) % 2:
            return  # the tag itself is talked about
        if any(tag in said[: closing.start()] for tag in _TAGS):
            return  # it is not alone
        self._may_have_thought = False
        self._text.parts.clear()
        self._reasoning.add(said[: closing.start()].strip())
        self._out = [Reset()]
        if reasoning := "".join(self._reasoning.parts):
            self._out.append(ReasoningPiece(reasoning))
        for call in self._calls:
            arguments = "".join(call.arguments)
            self._out.append(
                CallPiece(call.number, call.id, self._shaped.name(call.name), arguments)
            )
        self._mode = "after"
        self.text(said[closing.end() :])

    def end(self) -> None:
        """Let go of what was held back; what was left open inside ``<think>`` stays reasoning."""
        if self._held and self._mode == "start":
            self._mode, held, self._held = "text", self._held, ""
            self._say(held)
        elif self._held:
            held, self._held = self._held, ""
            self.reasoning(held)

    def reply(self, *, model: str, usage: Usage, first_token: float | None) -> Reply:
        """Return the whole answer."""
        calls = []
        for call in self._calls:
            name = self._shaped.name(call.name)
            arguments = self._shaped.arguments(name, "".join(call.arguments) or "{}")
            calls.append(ToolCall(id=call.id, name=name, arguments=arguments))
        finish = FINISHED.get((self.finish or "stop").lower(), "stop")
        if calls and finish == "stop":
            finish = "tool_calls"
        elif finish == "tool_calls" and not calls:
            finish = "stop"
        return Reply(
            text="".join(self._text.parts),
            reasoning="".join(self._reasoning.parts),
            thinking=self.thinking,
            tool_calls=calls,
            finish_reason=finish,
            usage=usage,
            model=model,
            first_token=first_token,
        )


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of *text* may be the beginning of *tag*."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0


def _relation(call: _Call, name: str, arguments: str) -> str:
    """Return what comes for a call whose arguments are whole: more of it, itself once more, another one.

    Some servers give all calls of a turn one index, or repeat a call when it is whole.
    """
    whole = call.whole
    if name and not call.name and not arguments.strip():
        return "named"
    if not arguments.strip():
        if name and name != call.name:
            return "another"
        call.named_again = call.named_again or bool(name)
        return "more"
    if not name and whole == "{}":
        return "instead"
    if _is_object(arguments):
        same = name in ("", call.name) and json.loads(arguments) == json.loads(whole)
        return "repeated" if same else "another"
    return "another" if name or call.named_again else "more"


def _is_object(text: str) -> bool:
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
