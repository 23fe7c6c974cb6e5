"""Conversations as the REST API has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from letta_kernel.records import Conversation
from letta_kernel.server.handles import model_handle, model_name
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.server.schemas.model_settings import (
    ModelSettings,
    ModelSettingsIn,
    settings_from,
    to_settings,
)
from letta_kernel.server.schemas.requests import CompactIn, StreamedRequest

MAX_TEXT = 100_000  # characters
_ASKED = (
    "temperature",
    "max_tokens",
    "reasoning_effort",
    "response_format",
)  # settings that are the model's


class ConversationShape(Shape):
    """A thread with an agent, with a history of its own."""

    model_config = ConfigDict(title="Conversation", extra="forbid")

    id: str
    agent_id: str
    summary: str | None = None
    description: str | None = None
    archived: bool = False
    archived_at: datetime | None = None
    model: str | None = None
    model_settings: ModelSettings | None = None
    context_window_limit: int | None = None
    in_context_message_ids: list[str] | None = Field(
        default=None, description="The messages in sight; null in lists."
    )
    last_message_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


class ConversationFields(Asked):
    """What can be given when a conversation is made and changed later."""

    summary: str | None = Field(default=None, max_length=MAX_TEXT)
    description: str | None = Field(default=None, max_length=MAX_TEXT)
    model: str | None = Field(default=None, max_length=200)
    model_settings: ModelSettingsIn | None = None
    context_window_limit: int | None = Field(default=None, ge=512, le=2**31 - 1)


class ConversationIn(ConversationFields):
    """What a conversation may be made with."""

    hidden: bool = False


class ConversationChange(ConversationFields):
    """What is to change; what is not named stays."""

    archived: bool | None = None
    last_message_at: datetime | None = None


class ConversationRequest(StreamedRequest):
    """Messages to a conversation; the answer streams unless ``streaming`` is false."""

    streaming: bool = True
    agent_id: str | None = Field(
        default=None, description="Whose, with the conversation `default`."
    )


class ResumeRequest(Asked):
    """From where a stream is to go on."""

    agent_id: str | None = None
    run_id: str | None = None
    otid: str | None = Field(
        default=None,
        max_length=200,
        description="What the client called the message that began the run.",
    )
    starting_after: int = Field(default=0, ge=0, le=2**62)
    include_pings: bool | None = True
    batch_size: int | None = Field(default=None, ge=1)
    poll_interval: float | None = Field(default=None, ge=0)


class CompactRequest(CompactIn):
    """The same for a conversation."""

    agent_id: str | None = None


class CompactionShape(Shape):
    """What became of the messages in sight."""

    model_config = ConfigDict(title="CompactionResponse", extra="forbid")

    num_messages_before: int
    num_messages_after: int
    summary: str


def to_conversation(found: Conversation, in_sight: list[str] | None = None) -> ConversationShape:
    """Return a conversation in the API's shape."""
    settings = found.settings
    return ConversationShape.of(
        found,
        archived=found.archived_at is not None,
        model=model_handle(found.model) if found.model else None,
        model_settings=_model_settings(found),
        context_window_limit=settings.get("context_window"),
        in_context_message_ids=in_sight,
        last_updated_by_id=found.created_by,
    )


def _model_settings(found: Conversation) -> ModelSettings | None:
    own = {name: found.settings[name] for name in _ASKED if name in found.settings}
    return to_settings(model_handle(found.model or "openai/any"), own, {}) if own else None


def changes_of(asked: ConversationIn | ConversationChange, old: dict[str, Any]) -> dict[str, Any]:
    """Return what *asked* names as changes of a conversation whose settings are *old*."""
    named = asked.model_fields_set
    plain = ("summary", "description", "last_message_at", "hidden")
    changes = {field: getattr(asked, field) for field in plain if field in named}
    if "model" in named:
        changes["model"] = model_name(asked.model)
    if isinstance(asked, ConversationChange) and asked.archived is not None:
        changes["archived"] = asked.archived
    settings = dict(old)
    if "model_settings" in named:
        settings |= dict.fromkeys(_ASKED)
        if asked.model_settings is not None:
            settings |= settings_from(asked.model_settings)[0]
    if "context_window_limit" in named:
        settings["context_window"] = asked.context_window_limit
    if settings != old:
        changes["settings"] = {key: value for key, value in settings.items() if value is not None}
    return changes
