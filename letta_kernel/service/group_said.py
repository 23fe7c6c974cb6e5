"""What a turn of a group is given, what came of one agent's run in it, and where a supervisor's tool lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict

from letta_kernel.messages import Event
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Tool
from letta_kernel.remedies import Remedy
from letta_kernel.service.group_part import ASK_ALL
from letta_kernel.service.run_options import RunOptions
from letta_kernel.stop_reasons import StopReason, meaning
from letta_kernel.tools.execute import ToolHost


class GroupOptions(TypedDict, total=False):
    """How one turn of a group is carried out: as `RunOptions`, for all its runs.

    Attributes
    ----------
    each : more for the runs of one agent, by its id: where its functions live, say.
    """

    live: Callable[[Event], None] | None
    cancel: Cancel | None
    wait: bool
    max_steps: int | None
    model: str | None
    each: Callable[[str], RunOptions]


@dataclass(slots=True)
class Said:
    """How the run of one agent ended, and what it answered."""

    agent: AgentState
    answers: list[str] = field(default_factory=list)
    reason: StopReason = "cancelled"
    error: str | None = None
    remedies: tuple[Remedy, ...] = ()
    page: str = ""
    waits: bool = False

    @property
    def text(self) -> str:
        """All it answered."""
        return "\n".join(self.answers)

    @property
    def stops(self) -> bool:
        """Whether the group's turn ends with it: it failed, was stopped, reached a limit or waits."""
        return meaning(self.reason) != "well"

    @property
    def problem(self) -> str:
        """Why there is no answer, in a line for another agent; empty if there is one."""
        match meaning(self.reason):
            case "waits":
                return "waits for a person's approval"
            case "cancelled":
                return "was stopped"
            case "well":
                return "" if self.answers else "gave no answer"
            case _:
                return self.error or self.reason


class SupervisorHost:
    """Where a supervisor's functions live: in the notebook, if there is one, and here that which asks all."""

    def __init__(self, host: ToolHost | None, ask_all: Callable[[str], list[str]]) -> None:
        self._host = host
        self._ask_all = ask_all
        self.notebook = getattr(host, "notebook", None)

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the function behind *tool*."""
        if tool.name == ASK_ALL and tool.kind == "turn":

            def ask_all(message: str) -> list[str]:
                return self._ask_all(message)

            return ask_all
        return self._host.lookup(tool) if self._host is not None else None
