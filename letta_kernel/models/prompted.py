"""Tools for models that have no tool calling: the prompt asks for a written call, which is read back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatModel,
    ChatRequest,
    Piece,
    Reply,
    Reset,
    Retrying,
    TextPiece,
)
from letta_kernel.models.wire import turns
from letta_kernel.models.written_calls import describe_tools, read_calls, shown_length


class PromptedTools:
    """A model without tool calling, made to look like one that has it."""

    supports_tools = True

    def __init__(self, inner: ChatModel) -> None:
        self._inner = inner
        self.name = inner.name
        self.label = inner.label
        self.context_window = inner.context_window
        self.supports_reasoning = inner.supports_reasoning

    def count_tokens(self, text: str) -> int:
        """Return the tokens of *text* in the inner model's counting."""
        return self._inner.count_tokens(text)

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Stream the inner model's reply; text that turns out to be a call is not shown as text."""
        if not request.tools:
            yield from self._inner.stream(request, cancel)
            return
        names = {tool["function"]["name"] for tool in request.tools}
        plain = replace(
            request,
            messages=as_text(request.messages, describe_tools(request.tools)),
            tools=[],
            tool_choice=None,
        )
        text, shown = "", 0
        with closing(self._inner.stream(plain, cancel)) as pieces:
            for piece in pieces:
                if isinstance(piece, TextPiece):
                    text += piece.text
                    if (safe := shown_length(text, names)) > shown:
                        yield TextPiece(text[shown:safe])
                        shown = safe
                elif isinstance(piece, Reply):
                    yield from _finish(piece, text[shown:], names)
                else:
                    if isinstance(piece, Retrying | Reset):
                        text, shown = "", 0
                    yield piece


def _finish(reply: Reply, held: str, names: set[str]) -> Generator[Piece, None, None]:
    rest, calls = read_calls(reply.text, names, any_name=True)
    if not calls:
        if held:
            yield TextPiece(held)
        yield reply
        return
    for index, call in enumerate(calls):
        yield CallPiece(index, call.id, call.name, call.arguments)
    yield replace(reply, text=rest, tool_calls=calls, finish_reason="tool_calls")


def as_text(messages: list[dict[str, Any]], tools: str) -> list[dict[str, Any]]:
    """Return a chat with tool calls and results written out, and *tools* added to the system prompt."""
    plain: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content") or ""
        if message["role"] == "system" and not plain:
            plain.append({**message, "content": f"{content}\n\n{tools}"})
            continue
        if not plain:
            plain.append({"role": "system", "content": tools})
        if message["role"] == "tool":
            written = f"<tool_response>{content}</tool_response>"
            plain.append({"role": "user", "content": written})
        elif message.get("tool_calls"):
            calls = "\n".join(
                f'<tool_call>{{"name": "{call["function"]["name"]}", '
                f'"arguments": {call["function"]["arguments"]}}}</tool_call>'
                for call in message["tool_calls"]
            )
            plain.append({"role": "assistant", "content": f"{content}\n{calls}".strip()})
        else:
            plain.append({"role": message["role"], "content": content})
    return turns(plain)
