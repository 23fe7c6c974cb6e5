"""Calls that wait for approval, and a person's decisions about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from letta_kernel.messages import Message, ToolCall
from letta_kernel.pictures.picture import Picture

Scope = Literal["", "run", "notebook", "agent"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision about one call that waits for approval.

    ``arguments`` replaces the model's (an edit); ``result``, with ``pictures`` and what was printed, answers
    the call instead of running it, as a failure if ``failed``. ``scope`` says for how long calls like it pass
    too: this ``run``, this ``notebook``, always for this ``agent``; empty for this call alone.
    """

    call_id: str
    approve: bool
    reason: str = ""
    arguments: dict[str, Any] | None = None
    result: str | None = None
    failed: bool = False
    scope: Scope = ""
    pictures: tuple[Picture, ...] = ()
    stdout: str = ""
    stderr: str = ""


def pending_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """Return the calls of the last assistant message that have no result yet."""
    answered: set[str | None] = set()
    for message in reversed(messages):
        if message.role == "tool":
            answered.add(message.tool_call_id)
        elif message.role == "assistant":
            return [call for call in message.tool_calls if call.id not in answered]
        elif message.role == "user":
            return []
    return []
