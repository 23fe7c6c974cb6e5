"""Tokens that let clients of a server in."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from letta_kernel.ids import LOCAL_USER, new_id, now
from letta_kernel.records.base import Record

Rights = Literal["read", "talk", "write"]
"""What a token lets its holder do; each includes those before it."""


class AccessToken(Record):
    """What lets a client of a server in. Only the SHA-256 of the token is kept (``digest``, hex)."""

    id: str = Field(default_factory=lambda: new_id("token"))
    name: str
    digest: str
    agent_id: str | None = None  # the one agent it is for; None: the project
    rights: Rights = "read"
    expires_at: datetime | None = None
    used_at: datetime | None = None  # to the hour
    created_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER
