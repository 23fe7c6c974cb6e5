"""Groups of agents, and what is said in them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from letta_kernel.ids import new_id, now
from letta_kernel.pictures.picture import Picture
from letta_kernel.records.base import Record
from letta_kernel.users import current_user

ManagerType = Literal["round_robin", "supervisor", "dynamic", "sleeptime"]
"""Who says which member of a group speaks next."""
DONE = "DONE!"
"""What a member says to end the turn of a dynamic group, unless the group says otherwise."""


class Group(Record):
    """Agents that a person talks to together (fields as Letta's, but for ``name``).

    ``agent_ids`` are the members in the order in which they speak, the manager not among them; ``max_turns`` is
    how many of them may speak for one message. ``turns_counter`` and ``last_processed_message_id`` say how far
    a sleep-time agent has come.
    """

    id: str = Field(default_factory=lambda: new_id("group"))
    name: str = ""  # what it is called, behind an @; empty: it is found by its id alone
    description: str = ""
    manager_type: ManagerType = "round_robin"
    agent_ids: list[str] = []
    shared_block_ids: list[str] = []
    manager_agent_id: str | None = None
    termination_token: str | None = None
    max_turns: int | None = None
    sleeptime_agent_frequency: int | None = None
    sleeptime_propose_only: bool | None = None
    turns_counter: int | None = None
    last_processed_message_id: str | None = None
    hidden: bool = False
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)

    @property
    def shown(self) -> str:
        """How people write it: ``@name``, or its id where it has no name."""
        return f"@{self.name}" if self.name else self.id

    @property
    def everyone(self) -> list[str]:
        """The ids of the members and, behind them, of the manager."""
        manager = [self.manager_agent_id] if self.manager_agent_id else []
        return list(dict.fromkeys([*self.agent_ids, *manager]))


class GroupMessage(Record):
    """Something said in a group, once, in the order of ``seq``; each member has a copy in its own history.

    An agent's has the id of its message. ``sender_id`` is None for a person, whose ``name`` is empty.
    """

    id: str = Field(default_factory=lambda: new_id("message"))
    group_id: str
    seq: int = 0
    sender_id: str | None = None
    name: str = ""
    content: str
    pictures: list[Picture] = []
    run_id: str | None = None
    created_at: datetime = Field(default_factory=now)
