"""What `Agent.add_tool` gave agents in this process, found again as it is now."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from letta_kernel.errors import ToolError
from letta_kernel.hooks import tool_hosts
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools.discovery import Tracked
from letta_kernel.tools.live import callable_now


class Added:
    """What `Agent.add_tool` gave one agent, found again as it is now."""

    def __init__(self) -> None:
        self._tracked: dict[str, Tracked] = {}  # by the tool's id

    def add(self, tracked: Tracked) -> None:
        """Know a function from now on."""
        self._tracked[tracked.tool.id] = tracked

    def given(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the function that was given as *tool*, as it is now, or None."""
        known = self._tracked.get(tool.id)
        return None if known is None else callable_now(known.reference)

    def of(self, agent_id: str) -> Added:
        """Return what was added to another agent, which this one asks."""
        return added_to(agent_id)

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the function behind *tool*: given, the notebook's, or a script's own of this name."""
        found = self.given(tool)
        for ask in tool_hosts if found is None else ():
            found = found or ask(tool)
        return found or _in_main(tool.name)

    def refresh(self, service: AgentService) -> None:
        """Let the project have the schemas of what has changed; a stale tool says so when it is called."""
        for known in self._tracked.values():
            with suppress(ToolError):
                tool = known.changed(vars(sys.modules["__main__"]))
                if tool is not None:
                    same = tool.model_copy(update={"id": known.tool.id})
                    known.tool = service.tools.upsert(same)


_added: dict[str, Added] = {}


def added_to(agent_id: str) -> Added:
    """Return what the agent of this id was given in this process."""
    return _added.setdefault(agent_id, Added())


def _in_main(name: str) -> Callable[..., Any] | None:
    found = getattr(sys.modules.get("__main__"), name, None)
    return found if inspect.isfunction(found) else None
