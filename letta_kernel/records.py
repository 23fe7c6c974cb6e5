"""The records the store keeps: agents, blocks, passages, tools, runs and steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from letta_kernel.ids import LOCAL_USER, new_id, now
from letta_kernel.pictures.picture import Picture
from letta_kernel.stop_reasons import StopReason

TAG_LIMIT = 200
"""Characters of a tag of a passage, at most."""
STANDING = "instructions"
"""The block of standing instructions, made when an agent first adds to it."""
DEFAULT_BLOCK_LIMIT = 20_000
"""Characters a core memory block may hold unless it says otherwise."""
STANDING_LIMIT = 5_000
"""Characters the block of standing instructions may: full, it takes some 1,250 tokens of every request."""


class Record(BaseModel):
    """Something the store keeps; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # A cell whose last line is one keeps it in the notebook.
        return without_secrets(
            {str(name): value for name, value in super().__repr_args__()}
        ).items()


def without_secrets(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record as they may be shown: what is a secret by its name only."""

    def names(texts: Any) -> Any:
        if not isinstance(texts, dict):
            return texts
        return {name: text if "${" in str(text) else "…" for name, text in texts.items()}

    shown = {
        field: names(value) if field in ("environment", "headers") else value
        for field, value in held.items()
    }
    if isinstance(settings := held.get("settings"), dict) and "environment" in settings:
        shown["settings"] = {**settings, "environment": names(settings["environment"])}
    return shown


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
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER

    @property
    def looks_after(self) -> str | None:
        """The agent whose memory this one was made to tidy."""
        kept = self.metadata.get(REST)
        found = kept.get(SLEEPTIME_OF) if isinstance(kept, dict) else None
        return found if isinstance(found, str) else None

    @property
    def thread(self) -> Conversation | Literal["own"]:
        """Whose history it is that goes on: the agent's own, or a conversation's (`ThreadState`)."""
        return "own"

    @property
    def thread_id(self) -> str:
        """What the lease of that history goes by."""
        return self.id


def default_limit(label: str) -> int:
    """Return how many characters a block of this label may hold unless it says otherwise."""
    return STANDING_LIMIT if label == STANDING else DEFAULT_BLOCK_LIMIT


class Block(Record):
    """A labelled piece of core memory, always in the prompt; ``limit`` is in characters."""

    id: str = Field(default_factory=lambda: new_id("block"))
    label: str
    value: str = ""
    limit: int = Field(default_factory=lambda given: default_limit(given.get("label", "")))
    description: str = ""
    read_only: bool = False
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    version: int = 1
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER


class BlockVersion(Record):
    """What a block held, who wrote it (``actor``: agent or user id), in which step, and why."""

    block_id: str
    version: int
    value: str
    actor: str
    step_id: str | None = None
    reason: str = ""
    created_at: datetime = Field(default_factory=now)


class BlockStanding(Record):
    """Who else has a block, and where the text that stands in it comes from.

    ``by`` is ``you``, an agent's name, or the id of who wrote the newest version, ``how`` the tool or the door
    it came in by. ``run_id`` and ``step_id`` are None for what was written in no step.
    """

    others: list[str] = []
    by: str = ""
    how: str = ""
    step_id: str | None = None
    run_id: str | None = None

    @property
    def written(self) -> str:
        """Who wrote it, and how, in a line."""
        return ", ".join(filter(None, (self.by, self.how)))


class Passage(Record):
    """A piece of archival memory; ``source`` groups ordered passages (``position``) of one text.

    ``step_id`` is the step in which an agent kept it, ``reason`` the tool or the door it came in by: None where
    that was not recorded, in stores of before.
    One that another has replaced is kept: ``superseded_by`` is the other's id.
    """

    id: str = Field(default_factory=lambda: new_id("passage"))
    agent_id: str
    seq: int = 0
    content: str
    tags: list[str] = []
    source: str | None = None
    position: int = 0
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER
    step_id: str | None = None
    reason: str | None = None
    superseded_by: str | None = None
    superseded_at: datetime | None = None


class SharedArchive(Record):
    """An archive of its own that any number of agents can be attached to.

    Its passages have its id as their ``agent_id``.
    """

    id: str = Field(default_factory=lambda: new_id("archive"))
    name: str
    description: str = ""
    embedding: str | None = None
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER


class Identity(Record):
    """Someone or something agents and blocks belong to, known by a key of the caller's own."""

    id: str = Field(default_factory=lambda: new_id("identity"))
    identifier_key: str
    name: str
    identity_type: Literal["org", "user", "other"] = "user"
    properties: list[dict[str, Any]] = []  # each: key, value, type (string, number, boolean, json)
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER


class Tool(Record):
    """A function agents can call. ``parameters`` is the JSON schema the model sees."""

    id: str = Field(default_factory=lambda: new_id("tool"))
    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object", "properties": {}, "required": []}
    )
    source: str = ""
    kind: Literal["core", "notebook", "source", "mcp", "turn"] = "notebook"
    runs_in: Literal["core", "notebook", "sandbox", "mcp"] = "notebook"
    requires_approval: bool = False
    parallel_safe: bool = False
    return_limit: int = 50_000  # characters of a result kept for the model
    time_limit: float | None = None  # seconds; None: no limit of its own
    network: bool = True  # whether it has one in the sandbox
    notebook: str | None = None  # the notebook (kernel session path) that defined it
    cell_id: str | None = None
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER


OWN_SECRET = "LETTA_MCP_"
"""How the names of variables begin that a server's record has itself: secrets a client gave as they are."""


class McpServer(Record):
    """A Model Context Protocol server: a command (stdio) or a URL (streamable HTTP, or ``sse``), never both.

    ``${NAME}`` in ``command``, ``url``, ``environment`` and ``headers`` stands for an environment variable
    that is read when the server is connected, so that secrets are not kept here. Those whose name begins with
    `OWN_SECRET` stand in ``environment`` itself, encrypted in the store and shown nowhere. The limits (seconds,
    characters) and ``requires_approval`` are those its tools begin with.
    """

    id: str = Field(default_factory=lambda: new_id("mcp_server"))
    name: str
    command: list[str] = []  # the program and its arguments
    folder: str = ""  # where the program runs; beside the project if empty
    url: str = ""
    sse: bool = False  # the older way of speaking with a URL
    environment: dict[str, str] = {}
    headers: dict[str, str] = {}
    start_limit: float = 60.0
    time_limit: float = 60.0
    return_limit: int = 50_000
    requires_approval: bool = False
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER

    @property
    def variables(self) -> dict[str, str]:
        """What a program's environment gets, without the server's own secrets."""
        return {k: text for k, text in self.environment.items() if not k.startswith(OWN_SECRET)}


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


class Inherited(Record):
    """Part of another thread's history: the messages from *first* to *last*, both included.

    ``thread`` is a conversation's id, or the agent's for its own thread.
    """

    thread: str
    first: int
    last: int


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
    last_message_at: datetime | None = None
    archived_at: datetime | None = None
    deleted_at: datetime | None = None
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER


class ThreadState(AgentState):
    """An agent as it is in one conversation: with that one's window, model and settings."""

    conversation: Conversation

    @property
    def thread(self) -> Conversation | Literal["own"]:
        """The conversation."""
        return self.conversation

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
    created_by: str = LOCAL_USER

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


class Sleep(Record):
    """One look of a sleep-time agent at what was said since its last: up to the message of number ``upto``.

    What it writes meanwhile are proposals, which land together when it has come to its end. ``message_id`` is
    the message its run begins with, ``note`` what it said at its end or why there is none, ``told``
    whether the person has been told.
    """

    id: str = Field(default_factory=lambda: new_id("sleep"))
    group_id: str
    agent_id: str  # whose memory it is
    sleeper_id: str
    message_id: str
    upto: int
    upto_id: str
    review: bool = False
    owner: str = ""  # the process that it goes on in
    status: Literal["open", "done", "stopped", "failed", "undone"] = "open"
    run_id: str | None = None
    note: str = ""
    told: bool = False
    created_at: datetime = Field(default_factory=now)
    ended_at: datetime | None = None


class Proposal(Record):
    """What a sleep-time agent would write: a block's text ``after`` in place of ``before``, or a new passage.

    ``version`` is the block's that it read. A passage has no block; ``supersedes`` are those it replaces.
    """

    id: str = Field(default_factory=lambda: new_id("proposal"))
    sleep_id: str
    agent_id: str
    kind: Literal["block", "passage"] = "block"
    block_id: str | None = None
    label: str = ""
    version: int = 0
    before: str = ""
    after: str = ""
    reason: str = ""
    tags: list[str] = []
    supersedes: list[str] = []
    step_id: str | None = None
    status: Literal["staged", "open", "landed", "rejected", "conflict", "dropped"] = "staged"
    created_at: datetime = Field(default_factory=now)
    decided_at: datetime | None = None


class Folder(Record):
    """Files that belong together; agents it is attached to can open and search them."""

    id: str = Field(default_factory=lambda: new_id("folder"))
    name: str
    description: str = ""
    instructions: str = ""  # how agents are to use it
    embedding: str | None = None
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER


class StoredFile(Record):
    """A file of a folder as text; ``size`` is that of the original, in bytes."""

    id: str = Field(default_factory=lambda: new_id("file"))
    folder_id: str
    name: str
    original_name: str
    media_type: str = "text/plain"
    size: int = 0
    chunks: int = 0  # passages it is searched by
    content: str = ""
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = LOCAL_USER


class OpenFile(Record):
    """How an agent sees a file: open or closed, and which of its lines (counted from 1, both included)."""

    agent_id: str
    file_id: str
    is_open: bool = False
    start_line: int | None = None
    end_line: int | None = None
    used_at: datetime = Field(default_factory=now)


class Run(Record):
    """One turn: from a user message or event until the agent ends it."""

    id: str = Field(default_factory=lambda: new_id("run"))
    agent_id: str
    status: Literal["created", "running", "completed", "failed", "cancelled"] = "running"
    stop_reason: StopReason | None = None
    error: str | None = None
    model: str = ""
    steps: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None
    first_token: float | None = None  # seconds
    seconds: float | None = None
    notebook: str | None = None  # where it was started, for counting costs
    conversation_id: str | None = None  # None: the agent's own thread
    continues: str | None = None  # the run that waited for the approval this one goes on with
    asked_by: str | None = None  # the run of another agent, a tool call of which asked for this one
    asked_call: str | None = None  # that call's id: it asks one agent once
    group_id: str | None = None  # the group that it is a turn of
    created_at: datetime = Field(default_factory=now)
    ended_at: datetime | None = None
    created_by: str = LOCAL_USER


class WholeRun(Run):
    """A run as a person counts them: with those that went on from it after an approval.

    Its id and beginning are the first one's, how it stands is the last one's, and the figures are of all.
    """

    asked: str = ""  # the beginning of what was said to the agent
    waits: bool = False  # for a person's approval, now


class Beside(Record):
    """Something that a notebook places beside a message: what happened in it, or what a name stands for.

    ``kind`` is notebook, variable, cell, error, file, folder; ``name`` is what a person calls it, ``note`` says
    in a few words what it is. With ``lasting`` it stays beside its message in later turns.
    """

    kind: str
    name: str
    text: str
    note: str = ""
    lasting: bool = True


class Step(Record):
    """One model call and the tool calls it asked for.

    Number 0 is no model call: the calls that a person let go on, at the beginning of a run that continues.
    """

    id: str = Field(default_factory=lambda: new_id("step"))
    run_id: str
    agent_id: str
    number: int
    model: str = ""
    stop_reason: StopReason | None = None
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None
    first_token: float | None = None
    seconds: float | None = None
    retrieved: list[dict[str, Any]] = []  # passages placed beside the message
    beside: list[Beside] = []  # what a notebook placed there
    tool_stats: list[dict[str, Any]] = []  # per call: name, status, seconds
    created_at: datetime = Field(default_factory=now)
