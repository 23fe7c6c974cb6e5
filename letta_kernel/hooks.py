"""Who wants to be told of something, so that a lower room need not know the higher one.

Light on purpose and below all rooms: the kernel puts itself here at its start, before the rest is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Service = Any  # letta_kernel.service.AgentService
State = Any  # letta_kernel.records.AgentState
Tool = Any  # letta_kernel.records.Tool

agent_opened: list[Callable[[Service, State, bool], None]] = []
"""Called when ``Agent(...)`` opened an agent, with True if it was made just now."""

memory_shown: list[Callable[[Service, State], bool]] = []
"""Called when ``ada.memory`` is to be shown; True from one that has shown it."""

tool_hosts: list[Callable[[Tool], Callable[..., Any] | None]] = []
"""Asked for the function behind a tool that `Agent.add_tool` did not bring; None from one that has none."""

tool_marked: list[Callable[[Callable[..., Any], dict[str, Any]], None]] = []
"""Called when ``tool(…)`` marked a callable, with the names of the code that did."""

turn_begins: list[Callable[[], None]] = []
"""Called before ``ada.send(…)`` sends, so that a notebook's changed functions are told as they are."""
