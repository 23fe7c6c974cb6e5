"""Answers of a given form: by the provider's own ``response_format``, or by a tool that has to be called.

What the model calls that tool with is its answer: it comes out as text, while it streams too, so that nobody
behind this module knows which way was taken. A model says with ``takes_format = True`` that it sees to
``ChatRequest.response_format`` itself; `ask` does for all others.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any

from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatModel,
    ChatRequest,
    Piece,
    ReasoningPiece,
    Reply,
    Reset,
    ResponseFormat,
    Retrying,
    TextPiece,
)
from letta_kernel.models.facts import table_entry
from letta_kernel.models.refusals import FORMATS

TOOL = "give_answer"
_ABOUT = (
    "Give your answer to the user, and end your turn with it. Call this when you have all that the answer "
    "needs: plain text is no answer here."
)
_AS_JSON = "Your answer to the user is one JSON object and nothing else."
# Providers that take a schema beside tools; others take either the one or the other.
_BESIDE_TOOLS = frozenset({"openai", "azure", "anthropic", "xai"})


def ask(model: ChatModel, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
    """Yield what *model* answers in the form that is asked for, if one is; see `base.ChatModel.stream`."""
    if request.response_format is None or getattr(model, "takes_format", False):
        yield from model.stream(request, cancel)
        return
    sent, tool = with_tool(request)
    yield from as_answer(model.stream(sent, cancel), tool)


def is_native(
    name: str,
    provider: str,
    wanted: ResponseFormat,
    *,
    tools: bool,
    refused: Collection[str] = (),
) -> bool:
    """Return whether a model takes the form as a parameter of the request.

    Parameters
    ----------
    name, provider : of the model; litellm's table says what it can do.
    tools : whether tools are offered beside it.
    refused : parameters the model has refused before.
    """
    entry = table_entry(name) or {}
    known = entry.get("supports_response_schema")
    if provider == "anthropic":  # litellm would make a tool of its own where this is not known
        known = entry.get("supports_native_structured_output") and wanted.strict
    possible = provider in _BESIDE_TOOLS or not tools
    return bool(known) and possible and not set(FORMATS) & set(refused)


def as_parameter(request: ChatRequest) -> tuple[ChatRequest, dict[str, Any]]:
    """Return *request* without its form, and the parameters that say it in OpenAI's words."""
    wanted = request.response_format
    assert wanted is not None
    sent = replace(request, response_format=None)
    if wanted.schema.get("properties"):
        schema = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
        return sent, {"response_format": {"type": "json_schema", "json_schema": schema}}
    # Providers refuse it where no message speaks of JSON.
    first, *rest = request.messages
    if first.get("role") == "system":
        sent.messages = [{**first, "content": f"{first['content']}\n\n{_AS_JSON}"}, *rest]
    else:
        sent.messages = [{"role": "system", "content": _AS_JSON}, first, *rest]
    return sent, {"response_format": {"type": "json_object"}}


def with_tool(request: ChatRequest) -> tuple[ChatRequest, str]:
    """Return *request* with the tool that the answer is to be given by, and that tool's name.

    Where another tool has to be called first there is none yet, and its name is empty.
    """
    wanted = request.response_format
    sent = replace(request, response_format=None)
    if wanted is None or request.tool_choice is not None:
        return sent, ""
    taken = {tool["function"]["name"] for tool in request.tools}
    name = TOOL
    while name in taken:
        name += "_"
    schema = {"properties": {}, **wanted.schema}
    function = {"name": name, "description": _ABOUT, "parameters": schema}
    sent.tools = [*request.tools, {"type": "function", "function": function}]
    alone = wanted.now or not request.tools
    sent.tool_choice = {"type": "function", "function": {"name": name}} if alone else "required"
    return sent, name


def as_answer(pieces: Iterable[Piece], tool: str) -> Iterator[Piece]:
    """Yield *pieces* with the call of *tool* as text; they stay as they are where its name is empty."""
    text = _Answer(tool)
    for piece in pieces:
        yield from text.take(piece) if tool else (piece,)


class _Answer:
    """The text that is shown of a reply while it comes."""

    def __init__(self, tool: str) -> None:
        self._tool = tool
        self._begin()

    def _begin(self) -> None:
        self._shown = ""
        self._names: dict[int, str] = {}  # by the call's index, as far as they have come
        self._held: dict[int, list[CallPiece]] = {}  # until it is known what is called
        self._index: int | None = None  # of the answer's call

    def take(self, piece: Piece) -> Iterator[Piece]:
        match piece:
            case CallPiece():
                yield from self._call(piece)
            case Reply():
                for held in self._held.values():
                    yield from held
                yield from self._whole(piece)
            case _:
                if isinstance(piece, Retrying | Reset):
                    self._begin()
                elif isinstance(piece, TextPiece):
                    self._shown += piece.text
                yield piece

    def _call(self, piece: CallPiece) -> Iterator[Piece]:
        at = piece.index
        name = self._names[at] = self._names.get(at, "") + piece.name
        if name == self._tool:
            self._held.pop(at, None)
            self._index = at if self._index is None else self._index
            if at == self._index and piece.arguments:
                self._shown += piece.arguments
                yield TextPiece(piece.arguments)
        elif self._tool.startswith(name) and not piece.arguments:
            self._held.setdefault(at, []).append(piece)
        else:
            yield from self._held.pop(at, ())
            yield piece

    def _whole(self, reply: Reply) -> Iterator[Piece]:
        answer = next((call for call in reply.tool_calls if call.name == self._tool), None)
        if answer is not None:
            calls = [call for call in reply.tool_calls if call.name != self._tool]
            finish = "stop" if reply.finish_reason == "tool_calls" and not calls else None
            reply = replace(
                reply,
                text=answer.arguments,
                tool_calls=calls,
                finish_reason=finish or reply.finish_reason,
            )
            if (
                self._shown != reply.text
            ):  # words before the call, or names that were sent otherwise
                yield Reset()
                if reply.reasoning:
                    yield ReasoningPiece(reply.reasoning)
                yield TextPiece(reply.text)
        yield reply
