"""Who wants to be told of something, so that a lower room need not know the higher one.

Light on purpose: the kernel puts itself here at its start, long before the rest is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, Tool
    from letta_kernel.service import AgentService

agent_opened: list[Callable[[AgentService, AgentState, bool], None]] = []
"""Called when ``Agent(...)`` opened an agent, with True if it was made just now."""

memory_shown: list[Callable[[AgentService, AgentState], bool]] = []
"""Called when ``ada.memory`` is to be shown; True from one that has shown it."""

tool_hosts: list[Callable[[Tool], Callable[..., Any] | None]] = []
"""Asked for the function behind a tool that `Agent.add_tool` did not bring; None from one that has none."""

turn_begins: list[Callable[[], None]] = []
"""Called before ``ada.send(…)`` sends, so that a notebook's changed functions are told as they are."""
