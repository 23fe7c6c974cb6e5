"""Runs and their steps."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from letta_kernel.ids import new_id, now
from letta_kernel.records.base import Record
from letta_kernel.stop_reasons import StopReason
from letta_kernel.users import current_user


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
    background: bool = False  # nobody waits for it: a client's request was answered before it ended
    created_at: datetime = Field(default_factory=now)
    ended_at: datetime | None = None
    created_by: str = Field(default_factory=current_user)


class WholeRun(Run):
    """A run as a person counts them: with those that went on from it after an approval.

    Its id and beginning are the first one's, how it stands is the last one's, and the figures are of all.
    """

    asked: str = ""  # the beginning of what was said to the agent
    waits: bool = False  # for a person's approval, now
    edits: int = 0  # how often a person changed something of it by hand


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
    configuration: str | None = (
        None  # the id of the `Configuration` it ran with; None in stores of before
    )
    window_start: int | None = None  # where the context window began, as `AgentState` says it
    summary_id: str | None = None
    passages: int | None = None  # the number of the agent's newest passage as it ended
    request: dict[
        str, Any
    ] = {}  # how its request is made anew: `letta_kernel.agent.request_record`
    created_at: datetime = Field(default_factory=now)
