"""The typed messages and events that flow between all rooms.

A *message* is what the history keeps. An *event* is what a run says while it happens; display, REST,
WebSocket and tests are only consumers of events. Deltas are provisional; a `StepEnded` event means that
everything it carries has been committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeGuard, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from letta_kernel import agent_messages
from letta_kernel.ids import new_id, now
from letta_kernel.pictures.picture import Picture, Thumbnail
from letta_kernel.remedies import Remedy, Words, pointed
from letta_kernel.remedies import spoken as mended
from letta_kernel.stop_reasons import StopReason
from letta_kernel.users import current_user, is_own

Role = Literal["system", "user", "assistant", "tool", "summary", "event"]
ANSWER_TOOL = "send_message"
"""The tool with which agents of heartbeat style answer."""
ReturnStatus = Literal["ok", "error", "interrupted", "denied"]

MAY_HAVE_HAPPENED = "It may have happened: interrupted before it finished."
"""The result of a call that had begun and never came to its end."""
DID_NOT_HAPPEN = "It did not happen: interrupted before it began."
"""The result of a call that was asked for and never begun, or whose effect was undone."""


class Frozen(BaseModel):
    """A value that does not change once made and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Usage(Frozen):
    """Tokens and money a model call (or several) took; ``cost`` is in US dollars, None if unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        costs = [u.cost for u in (self, other) if u.cost is not None]
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost=sum(costs) if costs else None,
        )


class ToolCall(Frozen):
    """A model's wish to call a tool; ``arguments`` is the JSON text just as the model sent it."""

    id: str
    name: str
    arguments: str = "{}"

    @property
    def values(self) -> dict[str, Any] | None:
        """The arguments as JSON values; None where the model sent no object."""
        try:
            given = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        return given if isinstance(given, dict) else None


class Edit(Frozen):
    """What a person changed of a step by hand, in the debugger, and what stood there before.

    ``what`` is a message of the ``request`` (at ``place`` in what the model was sent), the text of the
    ``reply``, its ``calls`` as JSON, the ``arguments`` of a call or its ``result``; the latter has nothing
    ``before`` where the call did not run. ``name`` is the message's role, or the tool's name.
    """

    what: Literal["request", "reply", "calls", "arguments", "result"]
    name: str = ""
    place: int = 0
    before: str = ""
    after: str = ""


MARK = "interrupted"
"""The name of the event that says that a run ended before an answer."""


class Message(BaseModel):
    """One entry of an agent's history (a row of the ``messages`` table).

    ``seq`` orders messages within one agent and is given by the store. ``conversation_id`` is None in the
    agent's own thread. A ``tool`` message answers the
    call named by ``tool_call_id``; ``content`` is then the bare result text, ``stdout`` and ``stderr`` what the
    tool printed, its traceback last, which no model sees; ``elsewhere`` says that a client ran it. ``pictures``
    are those that ``content`` describes, in order. ``thinking`` keeps a provider's signed reasoning blocks,
    which must be passed back unchanged. ``asked`` names those of an assistant message's calls that a person or
    client had to answer; empty where none had to, or nobody kept it. ``sender_id`` is the agent that spoke a
    ``user`` message (or what a client called its sender), ``name`` then that one's name; None for a person or
    the system. ``group_id`` is the group it was spoken in. ``otid`` is what the client that sent it calls it.
    ``edits`` is what a person changed by hand: with the model's words what it was shown and what it said, with
    a result the call's arguments and the result.
    """

    model_config = ConfigDict(extra="forbid")

    id: str = Field(default_factory=lambda: new_id("message"))
    agent_id: str
    conversation_id: str | None = None
    seq: int = 0
    run_id: str | None = None
    step_id: str | None = None
    role: Role
    content: str = ""
    pictures: list[Picture] = []
    reasoning: str = ""
    thinking: list[dict[str, Any]] = []
    tool_calls: list[ToolCall] = []
    tool_call_id: str | None = None
    name: str | None = None
    status: ReturnStatus | None = None
    stdout: str = ""
    stderr: str = ""
    elsewhere: bool = False
    asked: list[str] = []
    interrupted: bool = False
    sender_id: str | None = None
    group_id: str | None = None
    otid: str | None = None
    edits: list[Edit] | None = None
    created_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)

    @property
    def is_mark(self) -> bool:
        """Whether it is only the mark behind a run that ended before an answer."""
        return self.role == "event" and self.name == MARK

    @property
    def began_run(self) -> bool:
        """Whether a run began with it: it is what the agent was told, in no step."""
        told = self.role in ("user", "event", "system") and not self.is_mark
        return told and self.run_id is not None and self.step_id is None

    @property
    def said(self) -> str:
        """What a person reads of it: the text and, in heartbeat style, what its calls answer."""
        return spoken(self.content, ((call.name, call.arguments) for call in self.tool_calls))

    @property
    def speaker(self) -> str:
        """Who spoke it, where that was not the owner: another agent's name, or a person's; empty else."""
        if self.sender_id is not None:
            return self.name or self.sender_id
        return self.created_by if self.role == "user" and not is_own(self.created_by) else ""

    @property
    def bare(self) -> str:
        """The text without the line that tells the model which agent it is from."""
        if self.sender_id is None:
            return self.content
        if self.group_id is not None:
            return self.content.removeprefix(f"{self.name}: ")
        return agent_messages.bare(self.content)


class RunStarted(Frozen):
    """A run has begun and its user message or system event is committed; ``pictures`` are the message's.

    ``conversation`` is None in the agent's own thread; ``cites`` are what the run it goes on from has found;
    ``sender`` is who spoke the message, another agent or a guest; empty for the owner.
    """

    type: Literal["run_started"] = "run_started"
    run_id: str
    agent_id: str
    agent_name: str
    conversation: str | None = None
    model: str
    model_label: str = ""  # shown beside every answer, e.g. "demo model: no language model"
    pictures: list[Thumbnail] = []
    cites: list[dict[str, Any]] = []
    sender: str = ""


class RunQueued(Frozen):
    """A run waits for another of its agent to end, elsewhere; it begins by itself. May come again.

    ``said`` is the message that is to be sent, ``where`` says in words where the other run goes on, and
    ``text`` is the line for the person.
    """

    type: Literal["run_queued"] = "run_queued"
    run_id: str
    agent_id: str
    agent_name: str
    conversation: str | None = None
    said: str
    where: str
    text: str


class StepStarted(Frozen):
    """A model call is about to be made.

    ``retrieved`` lists passages placed beside the message, ``beside`` what a notebook placed there
    (`letta_kernel.records.Beside` as dicts).
    """

    type: Literal["step_started"] = "step_started"
    step_id: str
    number: int  # 1 for the first step of the run
    retrieved: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []


class ReasoningDelta(Frozen):
    """A piece of the model's inner thoughts, as it streams."""

    type: Literal["reasoning_delta"] = "reasoning_delta"
    text: str


class TextDelta(Frozen):
    """A piece of the answer, as it streams."""

    type: Literal["text_delta"] = "text_delta"
    text: str


class ToolCallDelta(Frozen):
    """A piece of a tool call; pieces of parallel calls interleave and are told apart by ``index``."""

    type: Literal["tool_call_delta"] = "tool_call_delta"
    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class StreamReset(Frozen):
    """The deltas of this step so far are void: the model call failed and is being tried again."""

    type: Literal["stream_reset"] = "stream_reset"


class ToolStarted(Frozen):
    """A tool call begins to run. ``arguments`` are the validated ones, as JSON-ready values."""

    type: Literal["tool_started"] = "tool_started"
    call_id: str
    name: str
    arguments: dict[str, Any]
    runs_in: str = "notebook"  # "core", "notebook", "sandbox" or "mcp"


class ToolProgress(Frozen):
    """Something a running tool printed (stdout, stderr) or reported (progress)."""

    type: Literal["tool_progress"] = "tool_progress"
    call_id: str
    text: str
    stream: Literal["stdout", "stderr", "progress"] = "stdout"


class Nested(Frozen):
    """Something that the run of another agent tells, for which the call ``call_id`` has asked."""

    type: Literal["nested"] = "nested"
    call_id: str
    agent_id: str
    event: Event


class ToolReturned(Frozen):
    """A tool call has its result. ``text`` is what the model sees; ``display`` a MIME bundle for people.

    ``cites`` are the hits of a search that the answer may cite, each with ``n``, ``text``, ``at``, ``origin``.
    """

    type: Literal["tool_returned"] = "tool_returned"
    call_id: str
    name: str
    status: ReturnStatus
    text: str
    seconds: float
    display: dict[str, Any] | None = None
    error: str | None = None  # one line: type and message
    traceback: str | None = None  # on demand only
    cites: list[dict[str, Any]] = []


class MemoryChanged(Frozen):
    """A core memory block was changed, and the change is committed."""

    type: Literal["memory_changed"] = "memory_changed"
    label: str
    before: str
    after: str
    version: int
    call_id: str | None = None


class ApprovalRequested(Frozen):
    """The run waits for a person to approve, deny or edit these calls."""

    type: Literal["approval_requested"] = "approval_requested"
    calls: list[ToolCall]


class Notice(Frozen):
    """A quiet line for the person: a retry with its countdown (``seconds``), a fallback, a warning."""

    type: Literal["notice"] = "notice"
    level: Literal["info", "warning", "error"] = "info"
    text: str
    seconds: float | None = None
    remedies: tuple[Remedy, ...] = Field(default=(), exclude=True)  # see `worded`
    once: bool = Field(default=False, exclude=True)  # it is never said again: nobody leaves it out


class StepEnded(Frozen):
    """A step is over and committed: these messages are in the history for good."""

    type: Literal["step_ended"] = "step_ended"
    step_id: str
    number: int
    messages: list[Message]
    usage: Usage
    seconds: float
    first_token: float | None = None  # seconds from the request to the first streamed piece
    model: str  # the one that answered, which may be a fallback
    model_label: str = ""


class Speaker(Frozen):
    """An agent that speaks in a group."""

    agent_id: str
    name: str


class GroupStarted(Frozen):
    """A turn of a group has begun and the person's message is kept; ``pictures`` are the message's.

    The runs of its agents follow, each whole; that of an agent which is asked inside a call of another stands
    between the events of the other's. ``run_id`` is the turn's, ``members`` are all who may speak, in an order
    that stays.
    """

    type: Literal["group_started"] = "group_started"
    run_id: str
    group_id: str
    group_name: str
    members: list[Speaker]
    pictures: list[Thumbnail] = []


class GroupEnded(Frozen):
    """A turn of a group is over. ``waits`` is the agent whose calls wait for a person, empty if none does.

    ``turns`` counts those of its members; the figures are of all runs together.
    """

    type: Literal["group_ended"] = "group_ended"
    run_id: str
    group_id: str
    stop_reason: StopReason
    error: str | None = None
    remedies: tuple[Remedy, ...] = Field(default=(), exclude=True)  # see `worded`
    page: str = Field(default="", exclude=True)  # of the error, see `letta_kernel.troubles`
    waits: str = ""
    turns: int
    steps: int
    usage: Usage
    seconds: float


class RunEnded(Frozen):
    """The run is over and its record committed. ``error`` is one line, None if all went well."""

    type: Literal["run_ended"] = "run_ended"
    run_id: str
    stop_reason: StopReason
    error: str | None = None
    remedies: tuple[Remedy, ...] = Field(default=(), exclude=True)  # see `worded`
    page: str = Field(default="", exclude=True)  # of the error, see `letta_kernel.troubles`
    steps: int
    usage: Usage
    seconds: float
    first_token: float | None = None
    model: str


E = TypeVar("E", bound=Frozen)

Event = Annotated[
    RunStarted
    | RunQueued
    | StepStarted
    | ReasoningDelta
    | TextDelta
    | ToolCallDelta
    | StreamReset
    | ToolStarted
    | ToolProgress
    | Nested
    | ToolReturned
    | MemoryChanged
    | ApprovalRequested
    | Notice
    | StepEnded
    | RunEnded
    | GroupStarted
    | GroupEnded,
    Field(discriminator="type"),
]
Nested.model_rebuild()


def worded(event: E, words: Words, *, named: bool = False) -> E:
    """Return *event* with what would mend it said in the words of a door.

    Parameters
    ----------
    named : with the name of the page that tells more of an error, for a person to read.
    """
    if isinstance(event, Nested):
        return event.model_copy(update={"event": worded(event.event, words, named=named)})
    if remedies := getattr(event, "remedies", ()):
        field = "text" if isinstance(event, Notice) else "error"
        said = mended(getattr(event, field) or "", remedies, words)
        event = event.model_copy(update={field: said, "remedies": ()})
    if page := getattr(event, "page", "") if named else "":
        said = pointed(getattr(event, "error", None) or "", page, words)
        event = event.model_copy(update={"error": said, "page": ""})
    return event


def spoken(content: str, calls: Iterable[tuple[str, str]]) -> str:
    """Return what is said by a text and by *calls* (name and arguments), those of `ANSWER_TOOL`."""
    parts = [content, *(_answer(arguments) for name, arguments in calls if name == ANSWER_TOOL)]
    return "\n".join(part for part in parts if part)


def _answer(arguments: str) -> str:
    try:
        text = json.loads(arguments).get("message")
    except (ValueError, AttributeError, RecursionError):  # the model's JSON was broken: it failed
        return ""
    return text if isinstance(text, str) else ""


def is_answering(event: Event) -> TypeGuard[ToolStarted | ToolReturned]:
    """Return whether *event* is only the call by which an answer was given, which is shown as text."""
    if isinstance(event, ToolReturned):
        return event.name == ANSWER_TOOL and event.status == "ok"
    return isinstance(event, ToolStarted) and event.name == ANSWER_TOOL
