"""One message of an agent to others: what is told while they work on it, and what was heard of each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.agent_messages import NOTIFY, reply, waits_for_approval
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    Nested,
    RunEnded,
    RunQueued,
    RunStarted,
    StepEnded,
    ToolCall,
    Usage,
)
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState
from letta_kernel.stop_reasons import failed
from letta_kernel.tools.output import OutputFunction
from letta_kernel.tools.results import shorten

OnEvent = Callable[[str, Event], None]
SUBAGENT = "subagent"
"""The purpose of a fork that does one task for its agent."""


@dataclass(slots=True)
class Reply:
    """What came of asking one agent: what it said, or what went wrong, in one line."""

    agent: AgentState
    said: list[str] = field(default_factory=list)
    problem: str = ""
    usage: Usage = field(default_factory=Usage)

    def shown(self, limit: int) -> dict[str, Any]:
        """Return it as the model reads it."""
        said = [shorten(one, limit) for one in self.said]
        return reply(self.agent.id, self.agent.name, said, self.problem)


class Talk:
    """One message to one or more agents; may be told of from several threads."""

    def __init__(
        self,
        message: str,
        call_id: str,
        on_output: OutputFunction,
        on_event: OnEvent,
        cancel: Cancel,
        until: float,
    ) -> None:
        self.message, self.call_id, self.cancel, self.until = message, call_id, cancel, until
        self._lock = threading.Lock()
        self._on_output, self._on_event = on_output, on_event
        self._waits: dict[str, str] = {}
        self._said = ""

    def tell(self, agent: AgentState, event: Event) -> None:
        """Pass on what *agent* tells, and say whom the run waits for."""
        with self._lock:
            if isinstance(event, RunQueued | RunStarted | RunEnded):
                self._waits.pop(agent.id, None)
                if not isinstance(event, RunEnded):
                    self._waits[agent.id] = " ".join(agent.name.split())[:80]
                names = ", ".join(self._waits.values())
                if names != self._said:
                    self._said = names
                    self._on_output("progress", f"waits for {names}" if names else "")
            self._on_event(agent.id, event)


class Heard:
    """What was heard of the run of one agent that was asked."""

    def __init__(self, reply: Reply, talk: Talk) -> None:
        self._reply = reply
        self._talk = talk
        self._begun = False
        self._ended: RunEnded | None = None
        self._calls: list[ToolCall] = []

    def live(self, event: Event) -> None:
        """Take what is told at once, before it is yielded."""
        self._talk.tell(self._reply.agent, event)
        inner: Event = event
        while isinstance(inner, Nested):
            inner = inner.event
        if isinstance(inner, RunEnded):  # also of those whom the other has asked
            self._reply.usage += inner.usage

    def take(self, event: Event) -> None:
        """Take what is yielded."""
        match event:
            case RunStarted():
                self._begun = True
            case StepEnded():
                said = (one.said for one in event.messages if one.role == "assistant")
                self._reply.said += [text for text in said if text.strip()]
            case ApprovalRequested():
                self._calls = event.calls
            case RunEnded():
                self._ended = event

    def problem(self, late: bool) -> str:
        """Return in one line why there is no answer, or not the whole; empty if there is."""
        name, ended = self._reply.agent.name, self._ended
        if self._reply.agent.purpose == SUBAGENT and (late or self._calls):
            if late:
                return f"{name} was stopped before it had answered: give it less to do, or more seconds."
            names = ", ".join(dict.fromkeys(call.name for call in self._calls))
            return f"{name} would have needed a person's approval of {names}: do that yourself."
        if late and not self._begun:
            return f"{name} was busy all the time, and was sent nothing: go on without it, or ask again later."
        if late:
            return f"{name} had not answered in time and was stopped: ask it for less, or use {NOTIFY}."
        if self._calls:
            return waits_for_approval(name, [call.name for call in self._calls])
        if ended is None or ended.stop_reason == "cancelled":
            return f"{name}'s run was stopped before it had answered: go on without it."
        if failed(ended.stop_reason):
            return f"{name} failed: {ended.error or ended.stop_reason}"
        return ended.error or ""
