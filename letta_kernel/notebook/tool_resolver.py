"""Where an agent's tools find the notebook's live functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from letta_kernel.api import added_to
from letta_kernel.records import Tool

if TYPE_CHECKING:
    from letta_kernel.notebook.functions import Functions


class NotebookHost:
    """Looks tools up in the user's namespace (a `letta_kernel.tools.execute.ToolHost`).

    Parameters
    ----------
    functions
        The notebook's.
    agent_id
        Whose tools: what `Agent.add_tool` gave this agent is found too.
    """

    def __init__(self, functions: Functions, agent_id: str | None = None) -> None:
        self._functions = functions
        self._agent_id = agent_id

    @property
    def notebook(self) -> str | None:
        """The notebook whose runs these are, for counting costs; None where nothing names it."""
        return self._functions.notebook or None

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the live function behind *tool*; None if its cell has not run in this kernel.

        A tool another notebook defined, or whose source has changed elsewhere since, is not ours.
        """
        found = self._functions.live_function(tool)
        if found is None and self._agent_id is not None:
            found = added_to(self._agent_id).given(tool)
        return found
