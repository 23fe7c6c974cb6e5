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
    Retrying,
    TextPiece,
)
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
        plain = ChatRequest(
            messages=as_text(request.messages, describe_tools(request.tools)),
            params=request.params,
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
                    if isinstance(piece, Retrying):
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
        if message["role"] == "system" and not plain:
            plain.append({**message, "content": f"{message['content']}\n\n{tools}"})
        elif message["role"] == "tool":
            _say(plain, "user", f"<tool_response>{message['content']}</tool_response>")
        elif message.get("tool_calls"):
            calls = "\n".join(
                f'<tool_call>{{"name": "{call["function"]["name"]}", '
                f'"arguments": {call["function"]["arguments"]}}}</tool_call>'
                for call in message["tool_calls"]
            )
            _say(plain, "assistant", f"{message.get('content') or ''}\n{calls}".strip())
        else:
            _say(plain, message["role"], message.get("content") or "")
    return plain


def _say(chat: list[dict[str, Any]], role: str, content: str) -> None:
    # Chat templates of small models insist that roles alternate.
    if chat and chat[-1]["role"] == role:
        chat[-1] = {"role": role, "content": f"{chat[-1]['content']}\n\n{content}"}
    else:
        chat.append({"role": role, "content": content})
