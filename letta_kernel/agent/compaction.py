"""Compaction: what no longer fits into the context window becomes a summary; recall keeps it all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from letta_kernel.agent import prompts
from letta_kernel.agent.window import Window
from letta_kernel.messages import ANSWER_TOOL, Message
from letta_kernel.models.base import Cancel, ChatModel, ChatRequest, ModelError, Reply

Mode = Literal["sliding_window", "all", "self"]

SUMMARY_WORDS = 300
_CLIP = 2_000  # characters of one message shown to the summariser


@dataclass(frozen=True, slots=True)
class Compactor:
    """Evicts and summarises in one of Letta's modes.

    ``sliding_window`` evicts the oldest part, ``all`` everything before the newest message; in ``self`` the
    agent itself, with its own prompt before its eyes, says what of the oldest part it wants to keep.
    """

    model: ChatModel
    mode: Mode = "sliding_window"
    system: str = ""  # the agent's prompt, for ``self``

    def compact(
        self, window: Window, room: int, cancel: Cancel, *, agent_id: str, run_id: str | None
    ) -> Message | None:
        """Evict enough of *window* to fit *room* tokens; return the summary message, not yet stored.

        Returns None where nothing can be evicted. A call is never parted from its result.
        """
        count = window.cut_all() if self.mode == "all" else window.cut(room)
        if count == 0:
            return None
        evicted = window.messages[:count]
        text = self._summary(window, evicted, cancel)
        summary = Message(agent_id=agent_id, run_id=run_id, role="summary", content=text)
        window.evict(count, summary)
        return summary

    def _summary(self, window: Window, evicted: Sequence[Message], cancel: Cancel) -> str:
        request = (
            self._ask_agent(evicted, window.summary)
            if self.mode == "self"
            else self._ask_summariser(evicted, window.summary)
        )
        try:
            with closing(self.model.stream(request, cancel)) as pieces:
                for piece in pieces:
                    if isinstance(piece, Reply) and piece.text.strip():
                        return piece.text.strip()
        except ModelError as error:
            if error.kind == "cancelled":
                raise
            # Otherwise the agent must stay usable without a summariser.
        return fallback(evicted, window.summary)

    def _ask_summariser(self, evicted: Sequence[Message], earlier: Message | None) -> ChatRequest:
        transcript = _transcript(evicted, earlier, self.model.context_window // 2, self.model)
        system = prompts.SUMMARY_REQUEST.format(words=SUMMARY_WORDS)
        return ChatRequest(
            messages=[
                {"role": "system", "content": system},
                {"role": "user", "content": transcript},
            ]
        )

    def _ask_agent(self, evicted: Sequence[Message], earlier: Message | None) -> ChatRequest:
        transcript = _transcript(evicted, earlier, self.model.context_window // 2, self.model)
        wish = prompts.SELF_SUMMARY_REQUEST.format(words=SUMMARY_WORDS)
        return ChatRequest(
            messages=[
                {"role": "system", "content": self.system},
                {"role": "user", "content": f"{wish}\n\n{transcript}"},
            ]
        )


def fallback(evicted: Sequence[Message], earlier: Message | None) -> str:
    """Return a summary that needs no model: what is out of sight and how to find it again."""
    first, last = evicted[0].created_at, evicted[-1].created_at
    text = (
        f"{len(evicted)} messages from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC are out of "
        "sight; find them with conversation_search."
    )
    return f"{earlier.content}\n{text}" if earlier else text


def _transcript(
    evicted: Sequence[Message], earlier: Message | None, budget: int, model: ChatModel
) -> str:
    lines: list[str] = []
    used = 0
    for message in reversed(evicted):
        others = (call for call in message.tool_calls if call.name != ANSWER_TOOL)
        calls = "".join(f" [calls {call.name}({call.arguments})]" for call in others)
        line = f"{message.role}: {(message.said + calls)[:_CLIP]}"
        used += model.count_tokens(line)
        if used > budget:
            break
        lines.append(line)
    if earlier:
        lines.append(f"summary of what went before: {earlier.content[:_CLIP]}")
    return "\n".join(reversed(lines))
