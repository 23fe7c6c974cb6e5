"""What a client sends to talk with an agent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from letta_kernel.agent.window import Mode
from letta_kernel.server.schemas.base import Asked
from letta_kernel.server.schemas.messages import MessageType

MAX_MESSAGES = 1000
MAX_CLIENT_TOOLS = 128
MAX_CLIENT_SKILLS = 500


class ImageSource(Asked):
    """Where an image is: its bytes in base64, a URL (of the public web, or ``data:``), or one sent before."""

    type: str | None = Field(None, description="base64, url or letta (by file_id).")
    data: str | None = None
    media_type: str | None = Field(None, description="Passed over: its bytes say what it is.")
    url: str | None = Field(None, max_length=30_000_000)
    file_id: str | None = Field(None, max_length=200)
    detail: str | None = None


class ContentPart(Asked):
    """A part of a message: text, or an image with its ``source`` (or, as OpenAI has it, ``image_url``)."""

    type: str = "text"
    text: str | None = None
    source: ImageSource | None = None
    image_url: ImageSource | str | None = None


class MessageIn(Asked):
    """A message to the agent."""

    type: Literal["message"] | None = "message"
    role: Literal["user", "system", "assistant"]
    content: str | list[ContentPart]
    name: str | None = Field(None, max_length=200)
    otid: str | None = Field(None, max_length=200, description="What the client calls it.")
    sender_id: str | None = Field(
        None, max_length=200, description="Who speaks, if that is not the person: an agent's id."
    )
    group_id: str | None = Field(None, max_length=200)


class ToolReturnIn(Asked):
    """What a call returned that the client ran itself."""

    type: Literal["tool"] = "tool"
    tool_call_id: str
    tool_return: str | list[ContentPart]
    status: Literal["success", "error"] = "success"
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class ApprovalReturnIn(Asked):
    """A person's word on one call."""

    type: Literal["approval"] = "approval"
    tool_call_id: str
    approve: bool
    reason: str | None = None


def _kind_of_approval(value: Any) -> str:
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return "tool" if given.get("type") == "tool" or "tool_return" in given else "approval"


ApprovalPart = Annotated[
    Annotated[ToolReturnIn, Tag("tool")] | Annotated[ApprovalReturnIn, Tag("approval")],
    Discriminator(_kind_of_approval),
]


class ApprovalIn(Asked):
    """Words on calls that wait: one each, or ``approve`` for all."""

    type: Literal["approval"] = "approval"
    approvals: list[ApprovalPart] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None
    otid: str | None = Field(None, max_length=200, description="What the client calls it.")


class ToolReturnsIn(Asked):
    """What calls returned that the client ran itself."""

    type: Literal["tool_return"] = "tool_return"
    tool_returns: list[ToolReturnIn]
    otid: str | None = Field(None, max_length=200, description="What the client calls it.")


def _kind_of_message(value: Any) -> str:
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    kind = given.get("type")
    return kind if kind in ("approval", "tool_return") else "message"


AnyMessageIn = Annotated[
    Annotated[MessageIn, Tag("message")]
    | Annotated[ApprovalIn, Tag("approval")]
    | Annotated[ToolReturnsIn, Tag("tool_return")],
    Discriminator(_kind_of_message),
]


class ClientTool(Asked):
    """A tool that the client runs: a call of it waits until its return is sent."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ClientSkillIn(Asked):
    """A skill on the client's machine."""

    name: str = Field(max_length=200)
    description: str = Field(max_length=10_000)
    location: str = Field(max_length=1000)


class MessageRequest(Asked):
    """One or more messages to an agent, and how its answer is wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"input": "What do you know about me?"},
                {
                    "messages": [{"role": "user", "content": "Hello!"}],
                    "stream_tokens": True,
                    "include_pings": True,
                },
                {
                    "messages": [
                        {
                            "type": "approval",
                            "approvals": [
                                {"type": "approval", "tool_call_id": "call_1", "approve": True}
                            ],
                        }
                    ]
                },
            ]
        }
    )

    messages: list[AnyMessageIn] | None = Field(None, max_length=MAX_MESSAGES)
    input: str | list[ContentPart] | None = Field(None, description="Short for one user message.")
    max_steps: int | None = Field(None, ge=1, le=1000)
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"
    include_return_message_types: list[MessageType] | None = None
    client_tools: list[ClientTool] | None = Field(None, max_length=MAX_CLIENT_TOOLS)
    override_model: str | None = Field(None, max_length=200)
    override_system: str | None = None
    response_format: dict[str, Any] | None = Field(
        None, description="The form of the answer: text, json_object or json_schema."
    )
    client_skills: list[ClientSkillIn] | None = Field(
        None,
        max_length=MAX_CLIENT_SKILLS,
        description="Read by the model with the client's own tools.",
    )
    return_logprobs: bool = False
    return_token_ids: bool = False
    callback_url: str | None = None


class StreamedRequest(MessageRequest):
    """The same, answered as a stream of server-sent events if asked for."""

    streaming: bool = False
    stream_tokens: bool = False
    include_pings: bool = True
    background: bool = False


class CompactionIn(Asked):
    """How a conversation that is too long is summarised."""

    mode: (
        Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] | None
    ) = None

    def ours(self) -> Mode | None:
        """Return our word for the mode, if one is given."""
        if self.mode is None or self.mode == "all" or self.mode == "sliding_window":
            return self.mode
        return "self"


class CompactIn(Asked):
    """How to summarise now; the agent's own settings say the rest."""

    compaction_settings: CompactionIn | None = None

    def mode(self) -> Mode | None:
        """Return the mode for this time; None: as the agent's settings say."""
        return self.compaction_settings.ours() if self.compaction_settings else None
