"""Compaction: what no longer fits into the context window becomes a summary; recall keeps it all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from letta_kernel.agent import prompts
from letta_kernel.agent.window import Window
from letta_kernel.messages import ANSWER_TOOL, Message, Usage
from letta_kernel.models.base import Cancel, ChatModel, ChatRequest, ModelError, Reply

Mode = Literal["sliding_window", "all", "self"]

SUMMARY_WORDS = 300
_CLIP = 2_000  # characters of one message shown to the summariser
_NOTICE = "are out of sight; find them with conversation_search."


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of the evicted part: a summary message, not yet stored, and what it took.

    ``failure`` says why the summary is a mere notice, if it is one.
    """

    summary: Message
    failure: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Compactor:
    """Evicts and summarises in one of Letta's modes.

    ``sliding_window`` evicts the oldest part, ``all`` everything before the newest message; in ``self`` the
    agent itself, with its own prompt before its eyes, says what of the oldest part it wants to keep.
    """

    model: ChatModel
    mode: Mode = "sliding_window"
    system: str = ""  # the agent's prompt, for ``self``

    def cut(self, window: Window, room: int) -> int:
        """Return how many messages to evict so that *room* tokens suffice; 0 where nothing can go.

        A call is never parted from its result.
        """
        newest = window.cut_all() if self.mode == "all" else 0
        return newest or window.cut(room)  # a turn may outgrow the window by itself

    def compact(
        self, window: Window, count: int, cancel: Cancel, *, agent_id: str, run_id: str | None
    ) -> Compacted:
        """Evict the oldest *count* messages of *window* and put a summary in their place."""
        evicted, earlier = window.messages[:count], window.summary
        reply, failure = self._reply(evicted, earlier, cancel)
        text = reply.text.strip() if reply is not None else ""
        summary = Message(
            agent_id=agent_id,
            run_id=run_id,
            role="summary",
            content=text or fallback(evicted, earlier),
        )
        window.evict(count, summary)
        return Compacted(summary, "" if text else failure, reply.usage if reply else Usage())

    def _reply(
        self, evicted: Sequence[Message], earlier: Message | None, cancel: Cancel
    ) -> tuple[Reply | None, str]:
        """Return the summariser's reply, and what is wrong if it holds no summary."""
        ask = self._ask_agent if self.mode == "self" else self._ask_summariser
        try:
            with closing(self.model.stream(ask(evicted, earlier), cancel)) as pieces:
                reply = next((piece for piece in pieces if isinstance(piece, Reply)), None)
                return reply, f"{self.model.name} wrote none"
        except ModelError as error:
            if error.kind == "cancelled":
                raise
            return None, str(error).rstrip(".")  # the agent must stay usable without a summariser

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
    """Return a summary that needs no model: what is out of sight and how to find it again.

    It comes after what an earlier summary said, in the place of an earlier notice.
    """
    said = earlier.content.splitlines() if earlier else []
    kept = [line for line in said if not line.endswith(_NOTICE)]
    until = f"{evicted[-1].created_at:%Y-%m-%d %H:%M} UTC"
    return "\n".join([*kept, f"Messages up to {until} {_NOTICE}"])


def _transcript(
    evicted: Sequence[Message], earlier: Message | None, budget: int, model: ChatModel
) -> str:
    lines: list[str] = []
    used = 0
    clip = min(_CLIP, budget // 2)  # a character may well be a token
    for message in reversed(evicted):
        others = (call for call in message.tool_calls if call.name != ANSWER_TOOL)
        calls = "".join(f" [calls {call.name}({call.arguments})]" for call in others)
        line = f"{message.role}: {(message.said + calls)[:clip]}"
        used += model.count_tokens(line)
        if used > budget:
            break
        lines.append(line)
    if earlier:
        lines.append(f"summary of what went before: {earlier.content[:clip]}")
    return "\n".join(reversed(lines))
