"""What a model would see now, part by part, with the tokens each part takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from letta_kernel.agent.context import ContextPart, ContextReport, compile_blocks
from letta_kernel.models.base import ChatModel
from letta_kernel.service.preparation import Loaded


def report(
    chat: ChatModel, prompt: str, loaded: Loaded, offered: Sequence[dict[str, Any]]
) -> ContextReport:
    """Return what *chat* would be sent: prompt, schemas of tools, summary and the history in sight."""
    window = loaded.window
    memory = compile_blocks(loaded.blocks)
    schemas = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in offered)
    texts = {
        "instructions": prompt.replace(memory, "").replace(loaded.files, "").strip(),
        "memory blocks": memory,
        **({"files": loaded.files} if loaded.files else {}),
        "tools": schemas,
    }
    parts = [
        ContextPart(name, chat.count_tokens(text) if text else 0, text)
        for name, text in texts.items()
    ]
    room = chat.context_window - sum(part.tokens for part in parts)
    window.most = max(1, room // 2)  # as a run does: longer messages are shown shortened
    sent = window.chat()
    summary = [sent.pop(0)] if window.summary else []
    for name, size, entries in (
        ("summary", window.size(window.summary) if window.summary else 0, summary),
        ("history", sum(map(window.size, window.messages)), sent),
    ):
        parts.append(ContextPart(name, size, "\n".join(map(_as_sent, entries))))
    return ContextReport(chat.name, chat.context_window, parts)


def _as_sent(entry: dict[str, Any]) -> str:
    """Return one message of a chat as a line of text, its content just as the model gets it."""
    calls = [call["function"] for call in entry.get("tool_calls", ())]
    said = "".join(f" [calls {call['name']}({call['arguments']})]" for call in calls)
    return f"{entry['role']}: {entry['content'] or ''}{said}"
