"""From the history to the messages of the REST API.

One message of ours may be several of the API's: a thought, an answer and a call of one reply are three. They
share its id, as Letta's do; ``otid`` tells them apart.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from letta_kernel.agent.prompts import DENIED
from letta_kernel.messages import Message, ToolCall, Usage
from letta_kernel.pictures.picture import Picture, parts
from letta_kernel.server.schemas.base import lines_of
from letta_kernel.server.schemas.messages import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    AssistantMessage,
    Base64Image,
    CalledTool,
    Contents,
    ImageContent,
    LettaImage,
    ReasoningMessage,
    SummaryMessage,
    SystemMessage,
    TextContent,
    ToolCallMessage,
    ToolReturn,
    ToolReturnMessage,
    UsageStatistics,
    UserMessage,
)


@dataclass(frozen=True, slots=True)
class View:
    """How messages are to be shown.

    Parameters
    ----------
    types : only these message types; None for all.
    speaking_tool, speaking_argument : calls of this tool are shown as what the agent said, and their
        results left out; None shows them as calls.
    """

    types: Collection[str] | None = None
    speaking_tool: str | None = "send_message"
    speaking_argument: str = "message"

    def wants(self, message_type: str) -> bool:
        """Whether messages of this type are shown."""
        return self.types is None or message_type in self.types


def otid_of(message_id: str, number: int) -> str:
    """Return the id of the part *number* of a message."""
    base = message_id.removeprefix("message-")
    return f"{base[:-2]}{number:02x}"


def first_id(thread_id: str) -> str:
    """Return the id of the message that stands for a thread's system prompt, which is kept nowhere."""
    return f"message-{thread_id.partition('-')[2]}"


def called(call: ToolCall) -> CalledTool:
    """Return a call in the API's shape."""
    return CalledTool(name=call.name, arguments=call.arguments, tool_call_id=call.id)


def approval_request(
    message_id: str, calls: Sequence[ToolCall], number: int = 0, **shared: Any
) -> Any:
    """Return the request for approval of *calls*, the part *number* of its message."""
    shapes = [called(call) for call in calls]
    return ApprovalRequestMessage(
        id=message_id,
        otid=otid_of(message_id, number),
        tool_call=shapes[0],
        tool_calls=shapes,
        **shared,
    )


def spoken(call: ToolCall, view: View) -> str | None:
    """Return what a call of the speaking tool says; None for any other call."""
    if call.name != view.speaking_tool:
        return None
    try:
        said = json.loads(call.arguments)[view.speaking_argument]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return said if isinstance(said, str) else None


def to_messages(
    messages: Iterable[Message],
    view: View,
    *,
    waiting: Mapping[str, str] | None = None,
) -> list[Any]:
    """Return *messages*, oldest first, in the API's shapes.

    Parameters
    ----------
    waiting : calls that were held for approval: their ids, and that of the message that made them.
    """
    return [
        shape
        for message in messages
        for shape in _shapes(message, view, waiting or {})
        if view.wants(shape.message_type)
    ]


def _shapes(message: Message, view: View, waiting: Mapping[str, str]) -> Iterator[Any]:
    shared: dict[str, Any] = {
        "id": message.id,
        "date": message.created_at,
        "run_id": message.run_id,
        "step_id": message.step_id,
        "sender_id": message.sender_id,
    }
    otid = message.otid or otid_of(message.id, 0)
    match message.role:
        # What a tool rule asks of the model comes as a user's message, as in Letta.
        case "event" if message.name == "tool_rule":
            yield UserMessage(content=message.content, name=message.name, otid=otid, **shared)
        case "user":
            who = message.name or message.speaker or None
            yield UserMessage(content=_contents(message), name=who, otid=otid, **shared)
        case "system" | "event":
            yield SystemMessage(content=message.content, name=message.name, otid=otid, **shared)
        case "summary":
            yield SummaryMessage(summary=message.content, otid=otid, **shared)
        case "assistant":
            yield from _said(message, view, waiting, shared)
        case "tool":
            if message.name == view.speaking_tool and message.status == "ok":
                return  # its call is shown as what the agent said
            if message.tool_call_id in waiting:
                yield _response(message, shared)
            yield _returned(message, shared)


def _said(
    message: Message, view: View, waiting: Mapping[str, str], shared: dict[str, Any]
) -> Iterator[Any]:
    held: list[ToolCall] = []
    if any(call.id in waiting for call in message.tool_calls):
        held = [c for c in message.tool_calls if c.id in message.asked] or message.tool_calls
    number = count()
    if message.reasoning:
        yield ReasoningMessage(
            reasoning=message.reasoning, otid=otid_of(message.id, next(number)), **shared
        )
    if message.content:
        yield AssistantMessage(
            content=message.content, otid=otid_of(message.id, next(number)), **shared
        )
    rest = []
    for call in message.tool_calls:
        if call in held:
            continue
        said = spoken(call, view)
        if said is None:
            rest.append(called(call))
        else:
            yield AssistantMessage(content=said, otid=otid_of(message.id, next(number)), **shared)
    if rest:
        yield ToolCallMessage(
            tool_call=rest[0], tool_calls=rest, otid=otid_of(message.id, next(number)), **shared
        )
    if held:
        yield approval_request(message.id, held, next(number), **_without_id(shared))


def _contents(message: Message) -> str | Contents:
    """Return what a message says, in parts where it holds pictures."""
    if not message.pictures:
        return message.content
    return [
        TextContent(text=piece) if isinstance(piece, str) else _image(piece)
        for piece in parts(message.content, message.pictures)
    ]


def _image(picture: Picture) -> ImageContent:
    kind = picture.media_type
    if not picture.data:
        return ImageContent(source=LettaImage(file_id=picture.id, media_type=kind))
    data = base64.b64encode(picture.data).decode("ascii")
    return ImageContent(source=Base64Image(media_type=kind, data=data))


def _return(message: Message) -> ToolReturn:
    return ToolReturn(
        tool_return=_contents(message),
        status="success" if message.status in ("ok", None) else "error",
        tool_call_id=message.tool_call_id or "",
        stdout=lines_of(message.stdout),
        stderr=lines_of(message.stderr),
    )


def _returned(message: Message, shared: dict[str, Any]) -> ToolReturnMessage:
    part = _return(message)
    return ToolReturnMessage(
        name=message.name,
        tool_return=message.content,
        status=part.status,
        tool_call_id=part.tool_call_id,
        stdout=part.stdout,
        stderr=part.stderr,
        tool_returns=[part],
        otid=otid_of(message.id, 0),
        **shared,
    )


def _response(message: Message, shared: dict[str, Any]) -> ApprovalResponseMessage:
    approved = message.status != "denied"
    reason = None
    if not approved:  # as the person gave it, without our words before it
        reason = message.content.removeprefix(DENIED).removeprefix(": ").removeprefix(".") or None
    call_id = message.tool_call_id or ""
    answer: ApprovalReturn | ToolReturn = _return(message)
    if not message.elsewhere:
        answer = ApprovalReturn(tool_call_id=call_id, approve=approved, reason=reason)
    return ApprovalResponseMessage(
        approvals=[answer],
        approve=approved,
        reason=reason,
        approval_request_id=call_id,
        otid=otid_of(message.id, 0xB0),
        **shared,
    )


def _without_id(shared: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shared.items() if key != "id"}


def usage_of(usage: Usage, steps: int, run_id: str | None) -> UsageStatistics:
    """Return what a run, or (None) something that is none, took in the API's shape."""
    return UsageStatistics(
        completion_tokens=usage.completion_tokens,
        prompt_tokens=usage.prompt_tokens,
        total_tokens=usage.total_tokens,
        step_count=steps,
        run_ids=None if run_id is None else [run_id],
        cached_input_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
