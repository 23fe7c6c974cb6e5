"""What JupyterLab's panel asks a Jupyter server of a project, where no kernel of it is free: a WebSocket.

The same JSON objects are said on it as on a kernel's comm (`letta_kernel.notebook.panel.connections`), one in a
text frame. Runs go on in the server, whether or not somebody listens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from letta_kernel.ids import new_id
from letta_kernel.notebook.approvals import Approvals
from letta_kernel.notebook.document import FrontEnds
from letta_kernel.notebook.document.grants import Grants
from letta_kernel.notebook.panel.connections import PanelConnections
from letta_kernel.notebook.panel.registry import RequestContext
from letta_kernel.notebook.panel.shared_runs import SharedRuns
from letta_kernel.server.events.runs import Project
from letta_kernel.server.served_turn import ServedRuns
from letta_kernel.service import AgentService


class ServedPanels:
    """What panels are connected to in a server: one project, without a notebook."""

    def __init__(self, project: Project) -> None:
        self.approvals = Approvals()
        self.front_ends = FrontEnds()
        self.shared_runs = SharedRuns()
        self.grants = Grants()
        self.seen: dict[tuple[str, str], str] = {}
        self.agent_changed: Callable[[], None] = lambda: None
        self.last_error = ""
        self._project = project
        self.connections = PanelConnections(self, watching=False)

    @property
    def service(self) -> AgentService:
        """The project's agents."""
        return self._project.service

    @property
    def home(self) -> Path:
        """The project folder, which may not be there yet."""
        return self._project.service.home

    @property
    def has_project(self) -> bool:
        """Whether it holds a project."""
        return self._project.service.database.exists()

    def context(self, page: str) -> RequestContext:
        """Return where requests of a page are answered."""
        project, front_ends = self._project, self.front_ends
        runs = ServedRuns(project.live, self.grants, self.seen, front_ends, page)
        return RequestContext(project.service, background=runs, shared=self.shared_runs)


class SocketComm:
    """A WebSocket as something panels are connected by.

    Parameters
    ----------
    write : sends a text; called in the event loop this was made in.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self.comm_id = new_id("panel")
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._heard: Callable[[dict[str, Any]], None] = lambda message: None
        self._closed: Callable[[dict[str, Any]], None] = lambda message: None

    def send(self, data: dict[str, Any]) -> None:
        """Send *data*, from any thread."""
        self._loop.call_soon_threadsafe(self._write, json.dumps(data))

    def on_msg(self, heard: Callable[[dict[str, Any]], None]) -> None:
        """Say who is to be told of what comes."""
        self._heard = heard

    def on_close(self, closed: Callable[[dict[str, Any]], None]) -> None:
        """Say who is to be told of the end."""
        self._closed = closed

    def receive(self, text: str | bytes) -> None:
        """Take what has come; what is no JSON is dropped."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return
        self._heard({"content": {"data": data}})

    def close(self) -> None:
        """The socket is closed."""
        self._closed({})
