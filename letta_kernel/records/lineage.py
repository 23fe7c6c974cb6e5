"""Points in time: what agents ran with, and the ends of history they were rewound from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from letta_kernel.ids import new_id, now
from letta_kernel.records.agents import Inherited, ToolRule
from letta_kernel.records.base import Record


class ToolUse(Record):
    """A tool as an agent had it: ``version`` is the id of its content in ``tool_versions``."""

    id: str
    name: str
    version: str
    asks: bool | None = None  # whether a person approves this agent's calls; None: as the tool says


class Configuration(Record):
    """What an agent runs with but for its history: kept once for each content, under the hash of it.

    Each step names the one it ran with (`Step.configuration`). ``settings`` are without ``environment``, which
    has secrets. The lists are in the order in which the agent was given them.
    """

    model: str | None = None
    embedding: str | None = None
    style: Literal["native", "heartbeat"] = "native"
    instructions: str = ""
    max_steps: int = 50
    settings: dict[str, Any] = {}
    tool_rules: list[ToolRule] = []
    tools: list[ToolUse] = []
    blocks: list[list[str]] = []  # id and label of each
    archives: list[str] = []
    folders: list[str] = []


class Branch(Record):
    """An end of an agent's history that it was rewound from, and can return to.

    ``inherits`` is the whole line up to that end. ``blocks`` says per label which block it was and which of its
    versions stood there; ``left_at`` is the number of the last message that the new line shares with it.
    """

    id: str = Field(default_factory=lambda: new_id("branch"))
    agent_id: str
    inherits: list[Inherited] = []
    window_start: int = 0
    summary_id: str | None = None
    configuration: str = ""
    blocks: dict[str, list[Any]] = {}
    reason: Literal["rewind", "undo", "return"] = "rewind"
    left_at: int = 0
    line: int = 0  # as `AgentState.line`
    run_id: str | None = None  # the last run and step of it
    step_id: str | None = None
    created_at: datetime = Field(default_factory=now)
