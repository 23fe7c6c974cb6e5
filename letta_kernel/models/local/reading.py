"""Reads a local model's reply as it streams: thoughts, calls with their arguments, text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic_core import from_json

from letta_kernel.ids import new_id
from letta_kernel.messages import ToolCall
from letta_kernel.models.base import CallPiece, Piece, ReasoningPiece, Reply, TextPiece
from letta_kernel.models.local.format import ANSWER, ToolFormat

_OPEN, _CLOSE = "<think>", "</think>"


class ReplyReader:
    """Takes text as it comes and yields the pieces it makes, filling *reply*.

    Parameters
    ----------
    form : how calls are written; None where no tools were offered and all is text.
    """

    def __init__(
        self, form: ToolFormat | None, thinks: bool, thinking_opened: bool, reply: Reply
    ) -> None:
        self._form = form
        self._reply = reply
        self._text = ""  # what is not yet told apart
        self._thinking: bool | None = None if thinks else False
        if thinking_opened:
            self._thinking = True
        self._call: _Call | None = None
        self._plain = form is None

    def take(self, text: str) -> Iterator[Piece]:
        """Add *text*; yield the pieces that are certain by now."""
        self._text += text
        if self._thinking is None:
            start = self._text.lstrip()
            if _OPEN.startswith(start[: len(_OPEN)]) and len(start) < len(_OPEN):
                return
            self._thinking = start.startswith(_OPEN)
            if self._thinking:
                self._text = start[len(_OPEN) :]
        if self._thinking:
            yield from self._take_thought()
        if not self._thinking:
            yield from self._take_rest()

    def _take_thought(self) -> Iterator[Piece]:
        before, closed, after = self._text.partition(_CLOSE)
        if closed:
            self._thinking = False
            self._text = after.lstrip()
            thought = before
        else:
            held = _held_back(self._text, _CLOSE)
            thought, self._text = (
                self._text[: len(self._text) - held],
                self._text[len(self._text) - held :],
            )
        if not self._reply.reasoning:
            thought = thought.lstrip()
        if thought:
            self._reply.reasoning += thought
            yield ReasoningPiece(thought)

    def _take_rest(self) -> Iterator[Piece]:
        while self._text:
            if self._plain:
                piece = self._text if self._reply.text else self._text.lstrip()
                self._text = ""
                if piece:
                    self._reply.text += piece
                    yield TextPiece(piece)
                return
            assert self._form is not None
            if self._call is None and not self._begin_call():
                if self._plain:
                    continue
                return
            if self._form.native or not self._is_answer():
                yield from self._take_call()
                if self._call is not None:
                    return
            else:
                yield from self._take_answer()
                return

    def _begin_call(self) -> bool:
        """Tell whether a call begins here; sets plain text where it cannot be one."""
        assert self._form is not None
        opening = self._form.opening + "{"
        if self._reply.tool_calls:  # after a call only another one matters
            at = self._text.find(opening)
            self._text = self._text[at if at >= 0 else max(0, len(self._text) - len(opening) + 1) :]
            if at < 0:
                return False
        start = self._text.lstrip()
        if not start or (len(start) < len(opening) and opening.startswith(start)):
            return False
        if not start.startswith(opening):
            self._plain = True
            return False
        self._text = start[len(self._form.opening) :]
        self._call = _Call(len(self._reply.tool_calls))
        return True

    def _is_answer(self) -> bool:
        return re.match(r'\{\s*"' + ANSWER, self._text) is not None

    def _take_answer(self) -> Iterator[Piece]:
        try:
            value = from_json(self._text, allow_partial="trailing-strings")
        except ValueError:
            return
        said = value.get(ANSWER) if isinstance(value, dict) else None
        if isinstance(said, str) and len(said) > len(self._reply.text):
            fresh = said[len(self._reply.text) :]
            self._reply.text = said
            yield TextPiece(fresh)

    def _take_call(self) -> Iterator[Piece]:
        assert self._form is not None
        assert self._call is not None
        call = self._call
        end = call.read(self._text)
        if not call.name and (
            match := re.match(rf'\{{\s*"{self._form.name_key}"\s*:\s*"([^"]*)"', self._text)
        ):
            call.name = match[1]
            yield CallPiece(call.index, id=call.id, name=call.name)
        if call.name and not call.start:
            pattern = rf'"{self._form.arguments_key}"\s*:\s*(?=\{{)'
            if match := re.search(pattern, self._text):
                call.start = match.end()
        if call.name and call.start:
            # The object's own last brace closes the call, not the arguments.
            whole = self._text[call.start : end - 1].rstrip() if end else self._text[call.start :]
            if not end:
                whole = whole[: call.inner_end(self._text) - call.start]
            fresh = whole[len(call.arguments) :]
            call.arguments = whole
            if fresh:
                yield CallPiece(call.index, arguments=fresh)
        if end:
            self._reply.tool_calls.append(
                ToolCall(id=call.id, name=call.name, arguments=call.arguments)
            )
            self._text = self._text[end:]
            self._call = None

    def finish(self, reason: str) -> None:
        """Complete the reply at the end of the stream, for llama.cpp's *reason*.

        A call that was cut off is kept as it is, so that the loop can say so; behind whole calls it is dropped.
        """
        reply, cut = self._reply, self._call
        if reply.tool_calls:
            reply.finish_reason = "tool_calls"
        elif cut is not None and cut.name:
            reply.tool_calls.append(ToolCall(id=cut.id, name=cut.name, arguments=cut.arguments))
            reply.finish_reason = "length"
        else:
            if not reply.text and self._form is not None and self._form.native:
                reply.text = self._text.strip()
            reply.finish_reason = "length" if reason == "length" else "stop"


class _Call:
    """A call that is being written: where its object's brackets stand."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = new_id("call")
        self.name = ""
        self.arguments = ""
        self.start = 0
        self._at = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._last_close = 0  # where the depth last fell to 1: the arguments' own closing brace

    def read(self, text: str) -> int:
        """Read on; return the end of the call's object once it is whole, else 0."""
        for at in range(self._at, len(text)):
            character = text[at]
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = character == "\\"
                self._in_string = character != '"'
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 1:
                    self._last_close = at + 1
                if self._depth == 0:
                    self._at = at + 1
                    return at + 1
        self._at = len(text)
        return 0

    def inner_end(self, text: str) -> int:
        """Return how far the arguments surely reach."""
        return self._last_close if self._depth == 1 and self._last_close else len(text)


def _held_back(text: str, mark: str) -> int:
    """Return how many last characters of *text* may be the beginning of *mark*."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
