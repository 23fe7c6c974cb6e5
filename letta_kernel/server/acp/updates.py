"""What a session tells its client: of a run as it goes on, and of a history that is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import acp
from acp.schema import ToolCallUpdate, ToolKind

from letta_kernel.agent.open_step import spoken_id
from letta_kernel.commands.approvals import described
from letta_kernel.messages import (
    ANSWER_TOOL,
    Event,
    MemoryChanged,
    Message,
    Notice,
    ReasoningDelta,
    RunQueued,
    StepStarted,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    is_answering,
)
from letta_kernel.tools import core

SHOWN = 20_000
"""Characters of a call's output or result that a client is shown; the model sees more."""

_TITLE = 200  # characters of a call's title
_KINDS: dict[str, ToolKind] = {
    **dict.fromkeys(core.WRITERS, "edit"),
    "archival_memory_search": "search",
    "conversation_search": "search",
    "grep_files": "search",
    "semantic_search_files": "search",
    "web_search": "search",
    "fetch_webpage": "fetch",
    "open_files": "read",
    "run_code": "execute",
}


class Updates:
    """Makes a session's updates of the events of its runs, one after the other."""

    def __init__(self) -> None:
        self._message_id = ""
        self._spoken = ""  # the message whose text was told last, if nothing came since
        self._told: set[str] = set()  # calls that the client knows of
        self._changes: dict[str, list[Any]] = {}  # what a call changed in memory
        self._printed: dict[str, str] = {}

    def of(self, event: Event) -> Iterator[Any]:
        """Yield what *event* tells a client."""
        if is_answering(event):
            return
        match event:
            case StepStarted():
                self._message_id = spoken_id(event.step_id)
            case TextDelta():
                # Clients that show one text for all messages need to see where one begins.
                new = self._spoken and self._spoken != self._message_id
                self._spoken = self._message_id
                yield self._said(
                    acp.update_agent_message_text(f"\n\n{event.text}" if new else event.text)
                )
            case ReasoningDelta():
                yield self._said(acp.update_agent_thought_text(event.text))
            case StreamReset():
                yield self.aside("The model begins again.")
            case RunQueued() | Notice(level="warning" | "error"):
                yield self.aside(event.text)
            case ToolStarted():
                arguments = json.dumps(event.arguments, default=str)
                call = ToolCall(id=event.call_id, name=event.name, arguments=arguments)
                if event.call_id in self._told:
                    yield acp.update_tool_call(call.id, status="in_progress", raw_input=_read(call))
                else:
                    yield self._begun(call, "in_progress")
            case ToolProgress():
                printed = self._printed.get(event.call_id, "") + event.text
                self._printed[event.call_id] = printed[-SHOWN:]
                yield acp.update_tool_call(event.call_id, content=self._content(event.call_id))
            case MemoryChanged() if event.call_id:
                change = acp.tool_diff_content(f"/memory/{event.label}", event.after, event.before)
                self._changes.setdefault(event.call_id, []).append(change)
            case ToolReturned():
                yield self._returned(event)
            case _:
                pass

    def waiting(self, call: ToolCall) -> Iterator[Any]:
        """Yield what tells of a call that waits for a person's word, if the client does not know of it."""
        if call.id not in self._told:
            yield self._begun(call, "pending")

    def aside(self, text: str) -> Any:
        """Return a line that is no part of the answer."""
        return acp.update_agent_thought_text(f"{text}\n")

    def _said(self, chunk: Any) -> Any:
        chunk.message_id = self._message_id or None
        return chunk

    def _begun(self, call: ToolCall, status: Any) -> Any:
        self._told.add(call.id)
        self._spoken = ""
        return _call(call, status)

    def _returned(self, event: ToolReturned) -> Any:
        text = event.error if event.status == "error" and event.error else event.text
        self._printed.pop(event.call_id, None)
        return acp.update_tool_call(
            event.call_id,
            status="completed" if event.status == "ok" else "failed",
            content=[*self._changes.pop(event.call_id, []), *_texts(text)],
        )

    def _content(self, call_id: str) -> list[Any]:
        return [*self._changes.get(call_id, []), *_texts(self._printed.get(call_id, ""))]


def asked(call: ToolCall) -> ToolCallUpdate:
    """Return a call as a person is asked about it."""
    return ToolCallUpdate(
        tool_call_id=call.id,
        title=described(call)[:_TITLE],
        kind=_KINDS.get(call.name, "other"),
        status="pending",
        raw_input=_read(call),
    )


def replayed(history: Iterable[Message]) -> Iterator[Any]:
    """Yield the updates that show a client what was said before."""
    known: set[str] = set()
    for message in history:
        chunks: list[Any] = []
        if message.role == "user":
            chunks.append(acp.update_user_message_text(message.content))
        elif message.role == "assistant":
            if message.reasoning:
                chunks.append(acp.update_agent_thought_text(message.reasoning))
            if message.said:
                chunks.append(acp.update_agent_message_text(message.said))
        for chunk in chunks:
            chunk.message_id = message.id
            yield chunk
        for call in message.tool_calls:
            if call.name != ANSWER_TOOL:
                known.add(call.id)
                yield _call(call, "pending")
        if message.role == "tool" and message.tool_call_id in known:
            yield acp.update_tool_call(
                message.tool_call_id,
                status="completed" if message.status == "ok" else "failed",
                content=_texts(message.content),
            )


def _call(call: ToolCall, status: Any) -> Any:
    return acp.start_tool_call(
        call.id,
        described(call)[:_TITLE],
        kind=_KINDS.get(call.name, "other"),
        status=status,
        raw_input=_read(call),
    )


def _texts(text: str) -> list[Any]:
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return [acp.tool_content(acp.text_block(shown))] if shown else []


def _read(call: ToolCall) -> Any:
    """Return a call's arguments as values, as text where they are no JSON."""
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments
