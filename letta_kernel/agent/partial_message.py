"""One reply of a model while it streams: its pieces put together, and shown as they come."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import from_json

from letta_kernel.agent.context import SEND, THINKING
from letta_kernel.messages import Event, ReasoningDelta, TextDelta, ToolCallDelta
from letta_kernel.models.base import CallPiece, Piece, ReasoningPiece, TextPiece


class PartialMessage:
    """Collects the pieces of one reply and turns them into events.

    In heartbeat style the answer and the inner thoughts arrive inside a call's arguments; they are read
    out of the half-written JSON, so that a person sees them as they stream.
    """

    def __init__(self, heartbeat: bool) -> None:
        self.text = ""
        self.reasoning = ""
        self._heartbeat = heartbeat
        self._calls: dict[int, _PartialCall] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing has been shown yet."""
        return not (self.text or self.reasoning or self._calls)

    def take(self, piece: Piece) -> Iterator[Event]:
        """Add *piece*; yield the events that show it."""
        if isinstance(piece, TextPiece):
            self.text += piece.text
            yield TextDelta(text=piece.text)
        elif isinstance(piece, ReasoningPiece):
            self.reasoning += piece.text
            yield ReasoningDelta(text=piece.text)
        elif isinstance(piece, CallPiece):
            call = self._calls.setdefault(piece.index, _PartialCall())
            call.name = call.name or piece.name
            call.arguments += piece.arguments
            if self._heartbeat:
                yield from self._unwrap(call)
            if not (self._heartbeat and call.name == SEND):
                call.held.append(
                    ToolCallDelta(
                        index=piece.index, id=piece.id, name=piece.name, arguments=piece.arguments
                    )
                )
            if call.acts or not self._heartbeat:
                yield from call.held
                call.held.clear()

    def _unwrap(self, call: _PartialCall) -> Iterator[Event]:
        try:
            seen = from_json(call.arguments or "{}", allow_partial="trailing-strings")
        except ValueError:
            return
        if not isinstance(seen, dict):
            return
        call.acts = any(name != THINKING for name in seen)
        thought = seen.get(THINKING)
        if isinstance(thought, str) and len(thought) > call.thought:
            fresh = thought[call.thought :]
            apart = "\n" if self.reasoning and not call.thought else ""  # another call's thought
            call.thought = len(thought)
            self.reasoning += apart + fresh
            yield ReasoningDelta(text=fresh)
        said = seen.get("message") if call.name == SEND else None
        if isinstance(said, str) and len(said) > call.said:
            fresh, call.said = said[call.said :], len(said)
            self.text += fresh
            yield TextDelta(text=fresh)


class _PartialCall:
    __slots__ = ("acts", "arguments", "held", "name", "said", "thought")

    def __init__(self) -> None:
        self.name = ""
        self.arguments = ""
        self.thought = 0  # characters already shown
        self.said = 0
        self.held: list[Event] = []  # what is shown only after the thought that leads to it
        self.acts = False
