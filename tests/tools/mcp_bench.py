"""A service whose agent has tools of the MCP server beside this file, and that server behind a URL."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from letta_kernel.service import AgentService
from letta_kernel.tools.outcome import Outcome

SERVER = Path(__file__).with_name("mcp_server.py")
COMMAND = [sys.executable, str(SERVER)]
LATER = 60.0  # seconds something that comes soon may take on a busy machine


class Bench:
    """A service with an agent named ada."""

    def __init__(self, home: Path) -> None:
        self.service = AgentService(home)
        self.service.agents.create("ada")

    def run(self, tool: str, **arguments: Any) -> Outcome:
        return self.service.tools.run(tool, arguments, agent="ada")

    def limit(self, tool: str, **changes: Any) -> None:
        known = next(one for one in self.service.tools.list("ada") if one.name == tool)
        self.service.tools.upsert(known.model_copy(update=changes))

    def state(self, name: str = "test") -> str:
        return next(one.state for one in self.service.mcp.list() if one.server.name == name)


def gone(pid: int) -> bool:
    """Wait until a process is gone."""
    end = time.monotonic() + LATER
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


class HttpServer:
    """The same server behind a URL, in a process of its own; it can be stopped and started again."""

    def __init__(self, token: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._token = ["--token", token] if token else []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = [*COMMAND, "--http", str(self.port), *self._token]
        self.process = subprocess.Popen(arguments)
        end = time.monotonic() + LATER
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the HTTP server did not come up")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
