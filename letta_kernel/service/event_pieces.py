"""How the event log keeps events: pieces of one text together, in little memory."""

from __future__ import annotations

from letta_kernel.messages import (
    Event,
    MemoryChanged,
    ReasoningDelta,
    StepEnded,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    ToolReturned,
)

_LONGEST = 50_000  # characters of one text that are kept, and so told, together
_EVENT, _PIECE = 600, 80  # bytes that an event, and a further piece of a text, take about

_TEXT: dict[type, str] = {
    TextDelta: "text",
    ReasoningDelta: "text",
    ToolCallDelta: "arguments",
    ToolProgress: "text",
}
"""Which field of an event is a piece of a text."""


class Kept:
    """An event, or the pieces of one text; *first* is the number of the first of them."""

    __slots__ = ("bytes", "event", "first", "length", "parts")

    def __init__(self, first: int, event: Event) -> None:
        self.first = first
        self.event = event
        self.parts: list[str] = []
        if name := _TEXT.get(type(event)):
            self.parts.append(getattr(event, name))
        self.length = sum(map(len, self.parts))
        self.bytes = _EVENT + (self.length if self.parts else _large(event))

    @property
    def count(self) -> int:
        """How many events these are."""
        return len(self.parts) or 1

    def add(self, event: Event) -> int:
        """Take in the next event if it is a piece of this text; return the bytes that takes, 0 if it is not."""
        if self.length >= _LONGEST or not _goes_on(self.event, event):
            return 0
        text: str = getattr(event, _TEXT[type(event)])
        self.parts.append(text)
        self.length += len(text)
        self.bytes += _PIECE + len(text)
        return _PIECE + len(text)

    def take(self, start: int, end: int) -> Event:
        """Return the pieces from *start* up to *end*, as one event."""
        if not self.parts or (start == 0 and end == 1):
            return self.event
        # What a tool reports of its progress replaces what it said before; all else goes on.
        replaces = isinstance(self.event, ToolProgress) and self.event.stream == "progress"
        text = self.parts[end - 1] if replaces else "".join(self.parts[start:end])
        changes = {_TEXT[type(self.event)]: text}
        if start and isinstance(self.event, ToolCallDelta):
            changes.update(id="", name="")  # which its first piece says
        return self.event.model_copy(update=changes)


def _goes_on(one: Event, other: Event) -> bool:
    """Return whether *other* is a piece of the same text as *one*."""
    if isinstance(one, ToolCallDelta) and isinstance(other, ToolCallDelta):
        return one.index == other.index and not (other.id or other.name)
    if isinstance(one, ToolProgress) and isinstance(other, ToolProgress):
        return (one.call_id, one.stream) == (other.call_id, other.stream)
    return isinstance(one, TextDelta | ReasoningDelta) and type(one) is type(other)


def _large(event: Event) -> int:
    """Return how many characters there are in what may be large of an event."""
    texts: list[str] = []
    if isinstance(event, ToolReturned):
        texts = [event.text, str(event.display or ""), event.traceback or ""]
    elif isinstance(event, MemoryChanged):
        texts = [event.before, event.after]
    elif isinstance(event, StepEnded):
        for message in event.messages:
            texts += [message.content, message.reasoning]
            texts += [call.arguments for call in message.tool_calls]
    return sum(map(len, texts))
