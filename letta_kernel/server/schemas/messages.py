"""The message types of the REST API; `history` makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import Field

from letta_kernel.server.schemas.base import Shape
from letta_kernel.stop_reasons import StopReason

MessageType = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
]
MESSAGE_TYPES: tuple[str, ...] = get_args(MessageType)


class _Base(Shape):
    id: str
    date: datetime
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    is_err: bool | None = None
    seq_id: int | None = None
    run_id: str | None = None


class TextContent(Shape):
    """Text as a part of a content."""

    type: Literal["text"] = "text"
    text: str


class Base64Image(Shape):
    """An image's bytes."""

    type: Literal["base64"] = "base64"
    media_type: str
    data: str


class LettaImage(Shape):
    """An image by its id, where a list of messages would grow too large with its bytes."""

    type: Literal["letta"] = "letta"
    file_id: str
    media_type: str | None = None


class ImageContent(Shape):
    """An image as a part of a content."""

    type: Literal["image"] = "image"
    source: Annotated[Base64Image | LettaImage, Field(discriminator="type")]


Contents = list[Annotated[TextContent | ImageContent, Field(discriminator="type")]]
"""Text and images in order, where there are images."""


class SystemMessage(_Base):
    """A system event or instruction."""

    message_type: Literal["system_message"] = "system_message"
    content: str


class UserMessage(_Base):
    """What a person said."""

    message_type: Literal["user_message"] = "user_message"
    content: str | Contents


class ReasoningMessage(_Base):
    """The agent's inner thoughts."""

    message_type: Literal["reasoning_message"] = "reasoning_message"
    source: Literal["reasoner_model", "non_reasoner_model"] = "reasoner_model"
    reasoning: str
    signature: str | None = None


class AssistantMessage(_Base):
    """What the agent said."""

    message_type: Literal["assistant_message"] = "assistant_message"
    content: str


class CalledTool(Shape):
    """A call of a tool; ``arguments`` is JSON text."""

    name: str
    arguments: str
    tool_call_id: str


class CalledToolDelta(Shape):
    """A piece of a call, as it streams."""

    name: str | None = None
    arguments: str | None = None
    tool_call_id: str | None = None


class ToolCallMessage(_Base):
    """The agent called tools, which run."""

    message_type: Literal["tool_call_message"] = "tool_call_message"
    tool_call: CalledTool | CalledToolDelta
    tool_calls: list[CalledTool] | CalledToolDelta | None = None


class ToolReturn(Shape):
    """What one call returned."""

    type: Literal["tool"] = "tool"
    tool_return: str | Contents
    status: Literal["success", "error"]
    tool_call_id: str
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class ToolReturnMessage(_Base):
    """What a call returned, as the model sees it."""

    message_type: Literal["tool_return_message"] = "tool_return_message"
    tool_return: str
    status: Literal["success", "error"]
    tool_call_id: str
    stdout: list[str] | None = None
    stderr: list[str] | None = None
    tool_returns: list[ToolReturn] | None = None


class ApprovalRequestMessage(_Base):
    """The run waits: somebody must approve these calls, or run them and send what they return."""

    message_type: Literal["approval_request_message"] = "approval_request_message"
    tool_call: CalledTool
    tool_calls: list[CalledTool] | None = None


class ApprovalReturn(Shape):
    """A person's word on one call."""

    type: Literal["approval"] = "approval"
    tool_call_id: str
    approve: bool
    reason: str | None = None


class ApprovalResponseMessage(_Base):
    """What became of calls that waited for approval."""

    message_type: Literal["approval_response_message"] = "approval_response_message"
    approvals: list[ApprovalReturn | ToolReturn] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None


class SummaryMessage(_Base):
    """What stands in the context for the older part of the conversation."""

    message_type: Literal["summary_message"] = "summary_message"
    summary: str


class Ping(_Base):
    """Keeps a quiet stream open."""

    message_type: Literal["ping"] = "ping"


class ErrorMessage(Shape):
    """The run ended in an error."""

    message_type: Literal["error_message"] = "error_message"
    run_id: str
    error_type: str
    message: str
    detail: str | None = None
    seq_id: int | None = None


class StopReasonMessage(Shape):
    """Why the run ended."""

    message_type: Literal["stop_reason"] = "stop_reason"
    stop_reason: StopReason


class UsageStatistics(Shape):
    """What the run took."""

    message_type: Literal["usage_statistics"] = "usage_statistics"
    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    step_count: int = 0
    run_ids: list[str] | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None


LettaMessage = Annotated[
    SystemMessage
    | UserMessage
    | ReasoningMessage
    | AssistantMessage
    | ToolCallMessage
    | ToolReturnMessage
    | ApprovalRequestMessage
    | ApprovalResponseMessage
    | SummaryMessage,
    Field(discriminator="message_type"),
]

Streamed = LettaMessage | Ping | ErrorMessage | StopReasonMessage | UsageStatistics


class LettaResponse(Shape):
    """What a run said and did."""

    messages: list[LettaMessage]
    stop_reason: StopReasonMessage
    usage: UsageStatistics
