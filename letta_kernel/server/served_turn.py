"""Runs of the panel in a Jupyter server, and the notebook that their page has open.

Agents have the notebook's tools there as in its kernel: cells are read and changed through the page. What needs
the kernel is asked of it by the page, when it is called, and waits for the kernel to be free.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from letta_kernel.agent.decisions import Decision
from letta_kernel.notebook.document import DocumentError, FrontEnds, OpenDocument
from letta_kernel.notebook.document.grants import Grants
from letta_kernel.notebook.executed import ExecutedCells
from letta_kernel.notebook.run import granted
from letta_kernel.notebook.turn import Turn
from letta_kernel.records import Tool
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.service import AgentService
from letta_kernel.tools.outcome import ReportedError
from letta_kernel.tools.results import Presented


class ServedRuns:
    """The runs that one page begins (`letta_kernel.notebook.panel.registry.Background`).

    Parameters
    ----------
    seen : the cells agents have read, by agent and cell, for all pages of the project.
    page : the connection of the page, as *front_ends* names it.
    """

    def __init__(
        self,
        runs: RunManager,
        grants: Grants,
        seen: dict[tuple[str, str], str],
        front_ends: FrontEnds,
        page: str,
    ) -> None:
        # No cell runs here, and there are no variables: what asks for them goes to the kernel.
        self.shell: Any = SimpleNamespace(user_ns={}, user_ns_hidden={})
        self.executed = ExecutedCells(self.shell)
        self._runs, self.grants, self.seen = runs, grants, seen
        self.front_ends, self.page = front_ends, page

    @property
    def service(self) -> AgentService:
        """The project's agents."""
        return self._runs.service

    @property
    def document(self) -> OpenDocument:
        """The notebook, as the page has it open."""
        return OpenDocument(self.front_ends, self.page)

    def start(
        self,
        agent_ref: str,
        message: str | Sequence[Decision],
        *,
        conversation: str | None,
        wait: bool,
        **options: Any,
    ) -> LiveRun:
        """Send a message, or go on with a run that waited for approval."""
        if isinstance(message, str):
            self.grants.turn_begins(agent_ref)
        else:
            message = granted(self.service, self.grants, agent_ref, message, conversation)
        turn = ServedTurn(self, agent_ref)
        if self.front_ends.shows(self.page):
            options["host"] = turn
            options["turn_tools"] = self.grants.offered(self.service, agent_ref)
        run = self._runs.start(agent_ref, message, conversation=conversation, wait=wait, **options)
        turn.begun(run)
        return run


class ServedTurn(Turn):
    """An agent's dealings with the notebook of a page; also where its tools are found (a `ToolHost`)."""

    def __init__(self, runs: ServedRuns, agent_id: str) -> None:
        super().__init__(runs, agent_id)
        self._page = runs
        self._run: LiveRun | None = None

    def begun(self, run: LiveRun) -> None:
        """Take note of the run it is the turn of."""
        self._run, self.run_id = run, run.id

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the function behind a tool of the notebook; the others run from their source."""
        return self.function(tool.name) if tool.kind == "turn" else None

    def variables(self, pattern: str) -> str:
        """Return the kernel's variables of these names."""
        return self._in_kernel("notebook_variables", {"pattern": pattern}).text

    def run(self, code: str) -> Presented:
        """Run code in the kernel."""
        return self._in_kernel("notebook_run", {"code": code})

    def run_cell(self, cell: str | int) -> Presented:
        """Run a cell as it stands."""
        return self._in_kernel("notebook_run_cell", {"cell": cell})

    def _in_kernel(self, tool: str, arguments: dict[str, Any]) -> Presented:
        """Let the page have the kernel carry out a call, in its turn among the cells."""
        asked = {"tool": tool, "arguments": arguments, "agent": self._agent_id, "run": self.run_id}
        try:
            outcome = self._page.front_ends.ask(
                self._page.page, "notebook.call", asked, self._stopped
            )
        except DocumentError as error:
            raise ReportedError(str(error)) from None
        text = str(outcome.get("text") or "")
        if outcome.get("status") != "ok":
            raise ReportedError(text, str(outcome.get("error") or text))
        display = outcome.get("display")
        return Presented(
            text,
            display if isinstance(display, dict) else None,
            [b64decode(one) for one in outcome.get("pictures") or () if isinstance(one, str)],
        )

    def _stopped(self) -> bool:
        return self._run is not None and self._run.switch.cancelled
