"""What agents may do in this notebook without asking: their setting, and what the person granted beside a yes.

Nothing of it is ever read from the notebook's file, which may be anybody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_kernel.agent.decisions import Decision
from letta_kernel.messages import ToolCall
from letta_kernel.notebook.approvals import PREFERENCES
from letta_kernel.tools import notebook as tools
from letta_kernel.tools.notebook import NotebookPolicy
from letta_kernel.tools.rules import needs_approval

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, Tool
    from letta_kernel.service import AgentService

SETTING = "notebook"
TOOLS = "notebook_tools"


_Granted = tuple[NotebookPolicy, NotebookPolicy | None]


class Grants:
    """One per session; what was granted for the notebook ends with its kernel."""

    def __init__(self) -> None:
        # By agent, with the setting that held then: a setting changed since takes them back.
        self._run: dict[str, _Granted] = {}  # until its next turn
        self._here: dict[str, _Granted] = {}

    def turn_begins(self, agent_id: str) -> None:
        """Forget what was granted for the run before."""
        self._run.pop(agent_id, None)

    def policy(self, agent: AgentState) -> NotebookPolicy:
        """Return what holds for an agent now."""
        own: NotebookPolicy | None = agent.settings.get(SETTING)
        default: NotebookPolicy = "all" if PREFERENCES.approval == "approve" else "ask"
        found = own or default
        for kept in (self._run, self._here):
            granted, held = kept.get(agent.id, (found, own))
            found = tools.wider(found, granted if held == own else None)
        return found

    def offered(self, service: AgentService, agent_id: str) -> list[Tool]:
        """Return the notebook tools of an agent's turn: those that ask say so, by the agent's own rules too."""
        agent = service.agents.retrieve(agent_id)
        own = {tool.name for tool in service.tools.list(agent_id)}
        found = tools.offered(self.policy(agent), agent.settings.get(TOOLS))
        for tool in found:
            tool.requires_approval |= needs_approval(agent.tool_rules, tool.name)
        return [tool for tool in found if tool.name not in own]

    def note(
        self,
        service: AgentService,
        agent_id: str,
        calls: Sequence[ToolCall],
        decisions: Sequence[Decision],
    ) -> None:
        """Keep what a person granted beside letting calls of notebook tools pass."""
        names = {call.id: call.name for call in calls}
        for one in decisions:
            name = names.get(one.call_id, "")
            if not (one.approve and one.scope) or name not in tools.NAMES:
                continue
            granted = tools.grants(name)
            own = service.agents.retrieve(agent_id).settings.get(SETTING)
            if one.scope == "agent":
                wider = tools.wider(granted, own)
                service.agents.update(agent_id, settings={SETTING: wider})
            else:
                kept = self._run if one.scope == "run" else self._here
                before, held = kept.get(agent_id, (granted, own))
                kept[agent_id] = (tools.wider(granted, before if held == own else None), own)


def has_own(agent: AgentState) -> bool:
    """Return whether the agent's own setting holds, and not what JupyterLab's settings say."""
    return SETTING in agent.settings
