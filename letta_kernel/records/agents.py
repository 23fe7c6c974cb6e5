"""Agents, their identities and their conversations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from letta_kernel.ids import new_id, now
from letta_kernel.records.base import Record
from letta_kernel.users import current_user

RuleType = Literal[
    "run_first",
    "exit_loop",
    "continue_loop",
    "conditional",
    "constrain_child_tools",
    "max_count_per_step",
    "parent_last_tool",
    "required_before_exit",
    "requires_approval",
]


class ToolRule(Record):
    """A constraint on which tools may be called next (names and fields as Letta's)."""

    type: RuleType
    tool_name: str
    children: list[str] = []
    max_count_limit: int | None = None
    default_child: str | None = None
    child_output_mapping: dict[str, str] = {}
    require_output_mapping: bool = False
    args: dict[str, Any] | None = None  # prefilled arguments; they win over the model's


REST = "letta_rest"
"""The key in an agent's metadata under which what only REST and agent files speak of is kept."""
SLEEPTIME_OF = "sleeptime_of"
"""There, of an agent that was made to tidy another one's memory: that one's id."""
FORK_OF = "fork_of"
"""The key in the metadata of what a machine forked for a purpose of its own: the agent's id."""
OWNER = "owner"
"""There: the process that has it."""


class Inherited(Record):
    """Part of a line of history, read where it lies: no row of it is copied or numbered anew.

    The messages are those of ``thread`` (a conversation's id, or an agent's for its own) from number *first* to
    *last*, both included. ``agent`` is whose they are; empty stands for the agent whose thread inherits them.
    The part also has that agent's passages from number *first_passage* to *last_passage* (none where the last
    is 0) as they stood at ``moment`` (ISO 8601, UTC; empty: as they stand now).

    The line of an agent is its ``inherits``, in order, and behind them what is its own: messages of its own
    thread from ``first_seq`` on, passages from ``first_passage`` on. Numbers only rise along a line: the first
    message of a fork has the number behind the last one it inherits, so that order by ``seq`` is the line's. A
    rewind gives an agent a part of its own thread and lets what is its own begin anew behind its newest number;
    what lies between is its old end, a `Branch`.
    """

    thread: str
    first: int
    last: int
    agent: str = ""
    first_passage: int = 0
    last_passage: int = 0
    moment: str = ""


@dataclass(frozen=True, slots=True)
class OwnThread:
    """An agent's own thread: what it inherits, and its own messages from number *first* on."""

    agent_id: str
    inherits: tuple[Inherited, ...] = ()
    first: int = 0


class AgentState(Record):
    """An agent, without its history: who it is, which model it uses, where its context begins."""

    id: str = Field(default_factory=lambda: new_id("agent"))
    name: str
    description: str = ""
    model: str | None = None  # None: chosen anew each run (models.registry)
    embedding: str | None = None
    style: Literal["native", "heartbeat"] = "native"
    instructions: str = ""  # empty: the default prompt of the style
    max_steps: int = 50
    settings: dict[str, Any] = {}
    tool_rules: list[ToolRule] = []
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    window_start: int = 0  # the first message seq still in the context window
    summary_id: str | None = None  # the summary message that stands for what went before
    set_aside: bool = False  # kept, but found by its id alone; its name is free for another
    inherits: list[
        Inherited
    ] = []  # the history it shares with the line it was forked from, or rewound to
    first_seq: int = 0  # the first message that is its own behind that
    first_passage: int = 0  # and the first passage
    line: int = (
        0  # the number of its line, by which it is known what it did to passages it inherits
    )
    purpose: str = (
        ""  # what a machine forked it for (compare, eval, subagent); then it is in no list
    )
    deleted_at: datetime | None = (
        None  # it is there for forks that share its history, and for nobody else
    )
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)

    @property
    def looks_after(self) -> str | None:
        """The agent whose memory this one was made to tidy."""
        kept = self.metadata.get(REST)
        found = kept.get(SLEEPTIME_OF) if isinstance(kept, dict) else None
        return found if isinstance(found, str) else None

    @property
    def fork_of(self) -> str | None:
        """The agent that a machine has forked this one of, for a purpose of its own."""
        found = self.metadata.get(FORK_OF) if self.purpose else None
        return found if isinstance(found, str) else None

    @property
    def metadata_of_copy(self) -> dict[str, Any]:
        """The metadata that a copy of this agent has, which looks after nobody."""
        kept = self.metadata.get(REST)
        if not isinstance(kept, dict):
            return self.metadata
        own = {key: value for key, value in kept.items() if key != SLEEPTIME_OF}
        return {**self.metadata, REST: own}

    @property
    def thread(self) -> Conversation | OwnThread:
        """Whose history it is that goes on: the agent's own, or a conversation's (`ThreadState`)."""
        return OwnThread(self.id, tuple(self.inherits), self.first_seq)

    @property
    def conversation_id(self) -> str | None:
        """The conversation it is in; None for its own thread."""
        return None

    @property
    def thread_id(self) -> str:
        """What the lease of that history goes by."""
        return self.id


class Identity(Record):
    """Someone or something agents and blocks belong to, known by a key of the caller's own."""

    id: str = Field(default_factory=lambda: new_id("identity"))
    identifier_key: str
    name: str
    identity_type: Literal["org", "user", "other"] = "user"
    properties: list[dict[str, Any]] = []  # each: key, value, type (string, number, boolean, json)
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)


class Conversation(Record):
    """A further thread with an agent: a history of its own over the agent's memory, tools and archive.

    ``model`` and ``settings`` win over the agent's. ``inherits`` is the history a fork shares with the
    threads it comes from. A deleted conversation stays for as long as a fork shares its history.
    """

    id: str = Field(default_factory=lambda: new_id("conv"))
    agent_id: str
    summary: str | None = None  # what it is about, in words of whoever made it
    description: str | None = None
    model: str | None = None
    settings: dict[str, Any] = {}
    hidden: bool = False
    inherits: list[Inherited] = []
    window_start: int = 0  # as the agent's, for this thread
    summary_id: str | None = None
    first_seq: int = 0  # what is before it was cleared, and is there for forks alone
    last_message_at: datetime | None = None
    archived_at: datetime | None = None
    deleted_at: datetime | None = None
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)


class ThreadState(AgentState):
    """An agent as it is in one conversation: with that one's window, model and settings."""

    conversation: Conversation

    @property
    def thread(self) -> Conversation:
        """The conversation."""
        return self.conversation

    @property
    def conversation_id(self) -> str:
        """The conversation's id."""
        return self.conversation.id

    @property
    def thread_id(self) -> str:
        """The conversation's id."""
        return self.conversation.id

    @classmethod
    def of(cls, state: AgentState, conversation: Conversation) -> ThreadState:
        """Return the agent *state* as it is in *conversation*."""
        own = {
            "window_start": conversation.window_start,
            "summary_id": conversation.summary_id,
            "model": conversation.model or state.model,
            "settings": {**state.settings, **conversation.settings},
            "conversation": conversation,
        }
        return cls.model_construct(**{**dict(state), **own})
