"""The sliding part of the context window: the history still in sight, its size, and what to evict."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from letta_kernel.agent.context import to_chat
from letta_kernel.messages import Message, ToolCall

EVICT_FIRST = 0.4  # the share of the history that goes out of sight first
EVICT_MORE = 0.1
TRIGGER = 0.9  # of the model's window
TARGET = 0.7
OVERHEAD = 6  # tokens a provider adds around each message, about
SHORTEST = 100  # tokens a message may take however full the window is


class Window:
    """The messages of an agent that are in sight, oldest first, with a summary of what is not.

    Parameters
    ----------
    messages : the history from the agent's ``window_start`` on, summaries excluded.
    summary : the message that stands for what went before, if anything did.
    count : returns the number of tokens of a text; each message is counted once.
    """

    def __init__(
        self, messages: Sequence[Message], summary: Message | None, count: Callable[[str], int]
    ) -> None:
        self.messages = list(messages)
        self.summary = summary
        self.newest = max(
            (m.seq for m in messages), default=0
        )  # number of the newest, in sight or not
        self.most: int | None = None  # tokens one message may take; longer ones are shown shortened
        self._count = count
        self._sizes: dict[str, int] = {}

    def add(self, messages: Sequence[Message]) -> None:
        """Append *messages*, which are in the store already."""
        self.messages.extend(m for m in messages if m.role != "summary")
        self.newest = max(self.newest, *(m.seq for m in messages)) if messages else self.newest

    def chat(self, beside: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Return what the model reads after the system prompt."""
        head = [self.summary] if self.summary else []
        return to_chat([self.shown(m) for m in (*head, *self.messages)], beside=beside)

    def shown(self, message: Message) -> Message:
        """Return *message*, or a copy with its middle left out if it alone would fill the window."""
        if self.most is None or self._full_size(message) <= self.most:
            return message
        share = self.most / self._full_size(message)
        return message.model_copy(
            update={
                "content": _shortened(message.content, share),
                "tool_calls": [_shortened_call(call, share) for call in message.tool_calls],
            }
        )

    def squeeze(self, room: int, *, last_step: bool = False) -> None:
        """Show the longest messages ever shorter until all take *room* tokens, as far as that goes.

        With *last_step* it is enough that what can never go out of sight takes no more.
        """
        some = self.messages[max(self._starts(), default=0) :] if last_step else self.messages
        most = self.most or room
        while most > SHORTEST and self.tokens(some) > room:
            self.most = most = max(SHORTEST, most * 2 // 3)

    def size(self, message: Message) -> int:
        """Return the tokens *message* takes as it is shown, about."""
        full = self._full_size(message)
        return full if self.most is None else min(full, self.most)

    def _full_size(self, message: Message) -> int:
        size = self._sizes.get(message.id)
        if size is None:
            calls = "".join(call.name + call.arguments for call in message.tool_calls)
            size = self._sizes[message.id] = self._count(message.content + calls) + OVERHEAD
        return size

    def tokens(self, messages: Sequence[Message] | None = None) -> int:
        """Return the tokens of *messages* (all in sight, if not given) and the summary, about."""
        summary = self.size(self.summary) if self.summary else 0
        return summary + sum(map(self.size, self.messages if messages is None else messages))

    def cut(self, room: int, *, keep: int = 1) -> int:
        """Return how many messages to evict so that the rest takes at most *room* tokens.

        The cut is never between a call and its result, and the last *keep* messages stay. Returns 0 where
        nothing can go.
        """
        starts = [i for i in self._starts() if i <= len(self.messages) - keep]
        if not starts:
            return 0
        sizes = [self.size(m) for m in self.messages]
        left = sum(sizes)
        share, best = EVICT_FIRST, 0
        while share <= 1.0:
            wanted = int(len(self.messages) * share)
            best = next((i for i in starts if i >= wanted), starts[-1])
            if left - sum(sizes[:best]) <= room or best == starts[-1]:
                return best
            share += EVICT_MORE
        return best

    def cut_all(self) -> int:
        """Return how many messages to evict to keep only the newest user message and what follows."""
        for index in range(len(self.messages) - 1, 0, -1):
            if self.messages[index].role in ("user", "event"):
                return index
        return 0

    def evict(self, count: int, summary: Message) -> list[Message]:
        """Drop the oldest *count* messages, put *summary* in their place, and return them."""
        gone, self.messages = self.messages[:count], self.messages[count:]
        self.summary = summary
        return gone

    def _starts(self) -> list[int]:
        # A window may begin with anything but a result, whose call would be missing.
        return [i for i in range(1, len(self.messages)) if self.messages[i].role != "tool"]


def _shortened(text: str, share: float) -> str:
    """Return *text* with its middle left out, so that about *share* of it is left."""
    keep = max(50, int(len(text) * share) // 2 - 50)
    left_out = len(text) - 2 * keep
    if left_out <= 0:
        return text
    return (
        f"{text[:keep]}\n[… {left_out:,} characters left out: too long for the context window …]"
        f"\n{text[-keep:]}"
    )


def _shortened_call(call: ToolCall, share: float) -> ToolCall:
    """Return *call* with its long arguments shortened, each by itself: the whole stays JSON."""
    try:
        given = json.loads(call.arguments)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):  # malformed: little of it is shown anyway
        return call
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if (short := _shortened(text, share)) != text:
            given[name] = short
    return call.model_copy(update={"arguments": json.dumps(given, ensure_ascii=False)})
