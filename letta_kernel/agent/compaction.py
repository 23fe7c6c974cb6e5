"""Compaction: what no longer fits into the context window becomes a summary; recall keeps it all."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.agent import prompts
from letta_kernel.agent.window import Window
from letta_kernel.messages import Message
from letta_kernel.models.base import Cancel, ChatModel, ChatRequest, ModelError, Reply

SUMMARY_WORDS = 300
_CLIP = 2_000  # characters of one message shown to the summariser


def summarise(
    model: ChatModel, evicted: Sequence[Message], earlier: Message | None, cancel: Cancel
) -> str:
    """Return a summary of *evicted*, made by the model; a plain notice where it fails to make one.

    The transcript is cut to fit half of the model's window, oldest lines first.
    """
    transcript = _transcript(evicted, earlier, budget=model.context_window // 2, model=model)
    request = ChatRequest(
        messages=[
            {"role": "system", "content": prompts.SUMMARY_REQUEST.format(words=SUMMARY_WORDS)},
            {"role": "user", "content": transcript},
        ]
    )
    try:
        for piece in model.stream(request, cancel):
            if isinstance(piece, Reply) and piece.text.strip():
                return piece.text.strip()
    except ModelError:
        pass  # the agent must stay usable without a summariser
    return fallback(evicted, earlier)


def fallback(evicted: Sequence[Message], earlier: Message | None) -> str:
    """Return a summary that needs no model: what is out of sight and how to find it again."""
    first, last = evicted[0].created_at, evicted[-1].created_at
    text = (
        f"{len(evicted)} messages from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC are out of "
        "sight; find them with conversation_search."
    )
    return f"{earlier.content}\n{text}" if earlier else text


def evict(
    window: Window,
    room: int,
    model: ChatModel,
    cancel: Cancel,
    *,
    agent_id: str,
    run_id: str | None,
) -> Message | None:
    """Evict enough of *window* to fit *room* tokens and return the summary message, not yet stored.

    Returns None where nothing can be evicted.
    """
    count = window.cut(room)
    if count == 0:
        return None
    evicted = window.messages[:count]
    text = summarise(model, evicted, window.summary, cancel)
    summary = Message(agent_id=agent_id, run_id=run_id, role="summary", content=text)
    window.evict(count, summary)
    return summary


def _transcript(
    evicted: Sequence[Message], earlier: Message | None, budget: int, model: ChatModel
) -> str:
    lines: list[str] = []
    used = 0
    for message in reversed(evicted):
        calls = "".join(f" [calls {call.name}({call.arguments})]" for call in message.tool_calls)
        line = f"{message.role}: {(message.content + calls)[:_CLIP]}"
        used += model.count_tokens(line)
        if used > budget:
            break
        lines.append(line)
    if earlier:
        lines.append(f"summary of what went before: {earlier.content[:_CLIP]}")
    return "\n".join(reversed(lines))
