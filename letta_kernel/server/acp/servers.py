"""MCP servers that a client brings to a session: connected for its turns, and kept nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from acp import schema

from letta_kernel.errors import LettaError
from letta_kernel.records import McpServer, Tool
from letta_kernel.tools import core
from letta_kernel.tools.mcp import Connections
from letta_kernel.tools.mcp_connection import fingerprint
from letta_kernel.tools.mcp_schema import tool_name

MOST = 20
"""Servers of one session."""

_START = 30.0  # seconds a server may take until it answers


class SessionServers:
    """The servers of one session.

    Parameters
    ----------
    connections
        What reaches servers, and calls their tools.
    given
        The servers as the client named them.
    folder
        Where those run that are commands.
    """

    def __init__(self, connections: Connections, given: Sequence[Any], folder: str) -> None:
        self._connections = connections
        self._servers = [one for each in given[:MOST] if (one := _record(each, folder))]

    def tools(self, taken: Iterable[str]) -> tuple[list[Tool], list[str]]:
        """Return what the servers offer now, under names unlike those *taken*, and what went wrong.

        A server that cannot be used is not asked again.
        """
        names = {*taken, *core.FUNCTIONS}
        found: list[Tool] = []
        problems: list[str] = []
        for server in list(self._servers):
            try:
                listing = self._connections.listing(server)
            except LettaError as error:
                self._servers.remove(server)
                problems.append(error.text)
                continue
            for offered in listing.tools:
                name = tool_name(server.name, offered.name, names)
                names.add(name)
                known = {"server": server.name, "server_id": server.id, "tool": offered.name}
                found.append(
                    Tool(
                        name=name,
                        description=offered.description,
                        parameters=offered.parameters,
                        kind="turn",
                        runs_in="mcp",
                        requires_approval=not offered.read_only,
                        parallel_safe=offered.read_only,
                        metadata={**known, "fingerprint": fingerprint(server)},
                    )
                )
        return found, problems


def _record(given: Any, folder: str) -> McpServer | None:
    """Return a server as we know servers, None for a kind that we cannot reach."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", given.name).strip("_")[:50] or "server"
    made = McpServer(name=name, start_limit=_START)
    if isinstance(given, schema.McpServerStdio):
        made.command = [given.command, *given.args]
        made.environment = {one.name: one.value for one in given.env}
        path = Path(folder)
        made.folder = str(path) if path.is_absolute() and path.is_dir() else ""
    elif isinstance(given, schema.HttpMcpServer | schema.SseMcpServer):
        made.url, made.sse = given.url, isinstance(given, schema.SseMcpServer)
        made.headers = {one.name: one.value for one in given.headers}
    else:
        return None
    return made
