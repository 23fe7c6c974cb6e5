"""Groups of agents in the API's shapes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from letta_kernel.errors import InvalidInputError
from letta_kernel.records import Group
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.service.groups import FIELDS, MAX_TEXT, MOST_AGENTS

ManagerName = Literal["round_robin", "supervisor", "dynamic", "sleeptime", "voice_sleeptime"]
AgentIds = Annotated[list[str], Field(max_length=MOST_AGENTS)]
BlockIds = Annotated[list[str], Field(max_length=1000)]


class GroupShape(Shape):
    """Agents that are talked to together."""

    model_config = ConfigDict(title="Group", extra="forbid")

    id: str
    name: str | None = Field(None, description="What it is called in notebooks, behind an @.")
    description: str
    manager_type: ManagerName
    agent_ids: list[str]
    shared_block_ids: list[str] = Field(default_factory=list)
    manager_agent_id: str | None = None
    termination_token: str | None = None
    max_turns: int | None = None
    sleeptime_agent_frequency: int | None = None
    sleeptime_propose_only: bool | None = None
    turns_counter: int | None = None
    last_processed_message_id: str | None = None
    max_message_buffer_length: int | None = None
    min_message_buffer_length: int | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    hidden: bool | None = None


class ManagerConfig(Asked):
    """Who speaks when; what is of another kind of manager is passed over, as Letta does."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"manager_type": "dynamic", "manager_agent_id": "agent-1", "max_turns": 6}]
        }
    )

    manager_type: ManagerName = "round_robin"
    manager_agent_id: str | None = None
    termination_token: str | None = Field(None, max_length=200)
    max_turns: int | None = None
    sleeptime_agent_frequency: int | None = None
    sleeptime_propose_only: bool | None = None

    def fields(self) -> dict[str, Any]:
        """Return what is given of this kind of manager.

        Raises
        ------
        InvalidInputError
            There is no such kind here.
        """
        if self.manager_type not in FIELDS:
            raise InvalidInputError(
                f"manager_config: groups of the kind {self.manager_type} are not offered; one of: "
                f"{', '.join(FIELDS)}."
            )
        given = {field: getattr(self, field) for field in FIELDS[self.manager_type]}
        return {field: value for field, value in given.items() if value is not None}


class GroupCreate(Asked):
    """A group to make."""

    agent_ids: AgentIds
    description: str = Field(max_length=MAX_TEXT)
    name: str = Field("", max_length=200, description="What it is called in notebooks.")
    manager_config: ManagerConfig | None = None
    shared_block_ids: BlockIds = Field(default_factory=list)
    hidden: bool | None = None
    project_id: str | None = None

    @property
    def config(self) -> ManagerConfig:
        """Who speaks when; one after the other, if nothing is said."""
        return self.manager_config or ManagerConfig.model_validate({})


class GroupUpdate(Asked):
    """What to change of a group; what is not given, or null, stays."""

    agent_ids: AgentIds | None = None
    description: str | None = Field(None, max_length=MAX_TEXT)
    name: str | None = Field(None, max_length=200)
    manager_config: ManagerConfig | None = None
    shared_block_ids: BlockIds | None = None
    hidden: bool | None = None
    project_id: str | None = None


def to_group(group: Group) -> GroupShape:
    """Return *group* in the API's shape."""
    return GroupShape.of(group, name=group.name or None)
