"""Pieces of a streamed answer put together: what is shown as it comes, and the whole at the end."""

from __future__ import annotations

import re
import uuid
from typing import Any

from letta_kernel.messages import ToolCall, Usage
from letta_kernel.models.base import CallPiece, Piece, ReasoningPiece, Reply, TextPiece

_SURROGATE = re.compile("[\ud800-\udfff]")
_OPEN, _CLOSE = "<think>", "</think>"

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


class Assembly:
    """Takes what a provider's stream says and keeps both the pieces not yet handed on and the whole."""

    def __init__(self) -> None:
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

    def take(self) -> list[Piece]:
        """Return the pieces that came since the last time."""
        out, self._out = self._out, []
        return out

    @property
    def empty(self) -> bool:
        """Whether neither text nor a tool call has come (reasoning does not count)."""
        return not self._text.parts and not self._calls and not self._held

    def reasoning(self, text: str) -> None:
        """Add native reasoning."""
        if text := self._reasoning.add(text):
            self._out.append(ReasoningPiece(text))

    def text(self, text: str) -> None:
        """Add text; a ``<think>`` section at its very beginning is reasoning."""
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
            if beginning.startswith(_OPEN):
                self._mode, self._held = "thinking", beginning[len(_OPEN) :]
            elif _OPEN.startswith(beginning):
                return  # may still become the tag
            else:
                self._mode, held, self._held = "text", self._held, ""
                self._say(held)
                return
        inside, closed, after = self._held.partition(_CLOSE)
        if closed:
            self._mode, self._held = "after", ""
            self.reasoning(inside)
            self.text(after)
            return
        keep = _overlap(inside, _CLOSE)
        self._held = inside[len(inside) - keep :]
        self.reasoning(inside[: len(inside) - keep])

    def call(
        self, index: Any = None, call_id: str = "", name: str = "", arguments: str = ""
    ) -> None:
        """Add to a tool call: the one of that index, or id, or the last one if neither is given."""
        call = self._find(index, call_id, name)
        new_name = ""
        if call is None:
            call = self._begin(index, call_id)
            new_name = call.name = name
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
        if text := self._text.add(text):
            self._out.append(TextPiece(text))

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
        calls = [
            ToolCall(id=c.id, name=c.name, arguments="".join(c.arguments) or "{}")
            for c in self._calls
        ]
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
