"""Who is let in at a server: tokens, persons, what is granted to them, and what they use."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from letta_kernel.ids import new_id, now
from letta_kernel.records.base import Record
from letta_kernel.users import current_user

Rights = Literal["read", "talk", "write"]
"""What a token lets its holder do; each includes those before it."""


class AccessToken(Record):
    """What lets a client of a server in. Only the SHA-256 of the token is kept (``digest``, hex)."""

    id: str = Field(default_factory=lambda: new_id("token"))
    name: str
    digest: str
    agent_id: str | None = None  # the one agent it is for; None: the project
    user: str | None = None  # whose it is; None: nobody's, it stands for the owner
    rights: Rights = "read"
    teach: bool = False  # whether it tells what every person uses
    expires_at: datetime | None = None
    used_at: datetime | None = None  # to the hour
    created_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)


class Grant(Record):
    """What somebody else may with an agent of this project.

    ``rights`` are some of read, talk, write. ``tools`` names the owner's tools that run for the guest.
    ``conversation_id`` is the guest's own thread, made when they first talk; None before.
    """

    id: str = Field(default_factory=lambda: new_id("grant"))
    agent_id: str
    guest: str
    rights: list[str] = []
    tools: list[str] = []
    conversation_id: str | None = None
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)


class Person(Record):
    """Somebody with a project at a server of many; what is None is not bounded."""

    id: str = Field(default_factory=lambda: new_id("person"))
    name: str
    tokens_a_day: int | None = None
    dollars_a_day: float | None = None
    runs_at_once: int | None = None
    told_at: datetime | None = None  # when they first learned what a teacher sees
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)


class Use(Record):
    """A run as it counts for a person: its id, in whose project, what it took; no end while it goes on."""

    id: str
    person: str
    owner: str
    agent_id: str
    tokens: int = 0
    cost: float | None = None  # dollars
    created_at: datetime = Field(default_factory=now)
    ended_at: datetime | None = None
