"""The sliding part of the context window: the history still in sight, its size, and what to evict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from letta_kernel.agent.context import to_chat
from letta_kernel.messages import Message

EVICT_FIRST = 0.4  # the share of the history that goes out of sight first
EVICT_MORE = 0.1
TRIGGER = 0.9  # of the model's window
TARGET = 0.7
OVERHEAD = 6  # tokens a provider adds around each message, about


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
        self._count = count
        self._sizes: dict[str, int] = {}

    def add(self, messages: Sequence[Message]) -> None:
        """Append *messages*, which are in the store already."""
        self.messages.extend(m for m in messages if m.role != "summary")

    def chat(self, beside: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Return what the model reads after the system prompt."""
        head = [self.summary] if self.summary else []
        return to_chat([*head, *self.messages], beside=beside)

    def size(self, message: Message) -> int:
        """Return the tokens *message* takes, about."""
        size = self._sizes.get(message.id)
        if size is None:
            calls = "".join(call.name + call.arguments for call in message.tool_calls)
            size = self._sizes[message.id] = self._count(message.content + calls) + OVERHEAD
        return size

    def tokens(self) -> int:
        """Return the tokens of all messages in sight and the summary, about."""
        summary = self.size(self.summary) if self.summary else 0
        return summary + sum(map(self.size, self.messages))

    def cut(self, room: int, *, keep: int = 1) -> int:
        """Return how many messages to evict so that the rest takes at most *room* tokens.

        The cut is never between a call and its result, and the last *keep* messages stay. Returns 0 where
        nothing can go.
        """
        starts = [i for i in range(1, len(self.messages)) if self._may_start(i)]
        starts = [i for i in starts if i <= len(self.messages) - keep]
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

    def evict(self, count: int, summary: Message) -> list[Message]:
        """Drop the oldest *count* messages, put *summary* in their place, and return them."""
        gone, self.messages = self.messages[:count], self.messages[count:]
        self.summary = summary
        return gone

    def _may_start(self, index: int) -> bool:
        # A window may begin with anything but a result, whose call would be missing.
        return self.messages[index].role != "tool"
