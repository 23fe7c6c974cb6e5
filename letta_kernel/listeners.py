"""Who wants to be told of something, so that a lower room need not know the higher one.

Light on purpose: the kernel puts itself here at its start, long before the rest is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from letta_kernel.records import AgentState
    from letta_kernel.service import AgentService

agent_opened: list[Callable[[AgentService, AgentState, bool], None]] = []
"""Called when ``Agent(...)`` opened an agent, with True if it was made just now."""

memory_shown: list[Callable[[AgentService, AgentState], bool]] = []
"""Called when ``ada.memory`` is to be shown; True from one that has shown it."""
