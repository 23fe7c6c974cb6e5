"""Shows an agent's memory or timeline in a cell: live where a page can show it, else its saved form."""

from __future__ import annotations

import functools
from typing import Any

from letta_kernel.display.live_panel import LivePanel, refresh_all
from letta_kernel.display.memory import MemoryPanel, static_panel
from letta_kernel.display.tables import Panel
from letta_kernel.display.timeline import timeline_panel
from letta_kernel.display.timeline_panel import TimelinePanel
from letta_kernel.messages import Event, MemoryChanged, RunEnded
from letta_kernel.notebook.output import show
from letta_kernel.notebook.panel import rpc
from letta_kernel.records import AgentState
from letta_kernel.service import AgentService

_VSCODE = "__vsc_ipynb_file__"  # in the namespace of its kernels


def show_memory(shell: Any, service: AgentService, agent: AgentState) -> None:
    """Put the memory panel of *agent* into the cell that runs."""
    if not _show(MemoryPanel, shell, service, agent):
        show(shell, memory_now(service, agent))


def show_timeline(shell: Any, service: AgentService, agent: AgentState) -> None:
    """Put the timeline of *agent* into the cell that runs."""
    if not _show(TimelinePanel, shell, service, agent):
        past = rpc.answer(service, "timeline", {"agent": agent.id})
        show(shell, timeline_panel(past, agent.name))


def _show(panel: type[LivePanel], shell: Any, service: AgentService, agent: AgentState) -> bool:
    """Put a live panel into the cell that runs; False where its saved form has to be shown.

    That is for a program that runs the notebook, a terminal, and VS Code, which does not keep the saved form of
    a widget.
    """
    kernel = getattr(shell, "kernel", None)
    if kernel is None or not getattr(kernel, "_allow_stdin", True) or _VSCODE in shell.user_ns:
        return False
    if _follow not in service.events.listeners:
        service.events.listeners.append(_follow)
    ask = functools.partial(rpc.answer, service)
    panel(shell, agent.id, agent.name, ask, service.database.changed).show()
    return True


def memory_now(service: AgentService, agent: AgentState) -> Panel:
    """Return the blocks of *agent* as they are now, with their tokens."""
    return static_panel(rpc.answer(service, "blocks", {"agent": agent.id}), agent.name)


def _follow(agent_id: str, run_id: str, event: Event) -> None:
    """Let the open panels show at once what a run of this process has just written."""
    if isinstance(event, MemoryChanged | RunEnded):
        refresh_all()
