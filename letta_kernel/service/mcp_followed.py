"""MCP servers that come from other programs' files, and those that change their tools as they run."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError, LettaError, nearest
from letta_kernel.records import AgentState, McpServer
from letta_kernel.service.mcp import McpServers, McpTools, check_server
from letta_kernel.store import mcp, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools.mcp_connection import Listing
from letta_kernel.tools.mcp_files import Entry, read

log = logging.getLogger(__name__)


class FollowedServers(McpServers):
    """The part of the service that reads files of servers, and follows what servers say unasked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._stale: set[str] = set()  # servers that have said that their tools changed
        self._following = threading.Lock()
        self._news: dict[str, list[str]] = {}  # by agent: what it has not been told of its tools
        super().__init__(*args, **kwargs)

    def add_mcp_file(
        self, path: Path, *, only: Sequence[str] = (), agent: str | None = None
    ) -> tuple[list[McpTools], list[Entry]]:
        """Add the servers of another program's file (``mcpServers``), each for itself.

        Reading the file again brings what is there up to date; limits and approval stay as they are. What is
        secret in the file is not kept: environment variables are named in its place.

        Parameters
        ----------
        only : names of those wanted; all if empty.
        agent : who gets the tools; nobody if None.

        Returns
        -------
        The servers that were connected, and the entries that were not, with the reason.

        Raises
        ------
        InvalidInputError
            The file cannot be read, or names no servers, or none of these.
        """
        entries = read(path, self.home.parent)
        for name in only:
            if name not in (names := [one.name for one in entries]):
                raise InvalidInputError(f"{path} has no server {name!r}.{nearest(name, names)}")
        state = self.agent(agent) if agent is not None else None
        done: list[McpTools] = []
        left: list[Entry] = []
        for entry in entries:
            if only and entry.name not in only:
                continue
            try:
                if entry.server is None:
                    raise InvalidInputError(entry.problem)
                done.append(self._add_entry(entry.server, state))
            except LettaError as error:
                left.append(replace(entry, problem=self._why(entry, error)))
        return done, left

    def _add_entry(self, made: McpServer, state: AgentState | None) -> McpTools:
        check_server(made)
        known = self.do(lambda tx: mcp.find(tx, made.name))
        if known is None:
            return self._connect(made, state)
        reached = {
            name: getattr(made, name)
            for name in ("command", "folder", "url", "environment", "headers")
        }
        same = all(getattr(known, name) == value for name, value in reached.items())
        return self._connect(known.model_copy(update=reached), state, anew=not same)

    @staticmethod
    def _why(entry: Entry, error: LettaError) -> str:
        unset = [name for name in entry.secrets if name not in os.environ]
        if unset:
            wanted = ", ".join(unset)
            return f"set {wanted} in the environment, for secrets are not kept, and read it again"
        said = str(error).removeprefix(f"The MCP server {entry.name!r} ")
        return said.rstrip(".")

    def _changed(self, server_id: str) -> None:
        self._stale.add(server_id)
        threading.Thread(target=self._follow_servers, name="letta-mcp-follow", daemon=True).start()

    def _follow_servers(self) -> None:
        """Bring the tools of servers that changed them up to date, here and for the agents that have some."""
        with self._following:  # who comes while another is at it waits for what that finds
            while self._stale:
                server_id = self._stale.pop()
                try:
                    server = self.mcp_server(server_id)
                    listing = self._connections.listing(server)
                    self._tell(*self.do(partial(self._retooled, server, listing)))
                except LettaError as error:  # the next call, or the next list, says so
                    log.warning("The tools of an MCP server were not read again: %s", error)

    def _retooled(
        self, server: McpServer, listing: Listing, tx: Tx
    ) -> tuple[McpServer, set[str], list[str], list[str]]:
        """Keep a server's tools as they are now; return who has them, and which are new and gone."""
        before = mcp.tools_of(tx, self._mcp_server(tx, server.id).id)
        having = {agent for tool in before for agent in tools.agents_with(tx, tool.id)}
        found = self._keep_tools(tx, server, listing)
        known = {tool.id for tool in before}
        fresh = [tool for tool in found.tools if tool.id not in known]
        for tool in fresh:
            for agent_id in having:
                tools.attach(tx, agent_id, tool.id)
        return server, having, [tool.name for tool in fresh], found.gone

    def _tell(self, server: McpServer, having: set[str], new: list[str], gone: list[str]) -> None:
        parts = [f"new: {', '.join(new)}"] if new else []
        parts += [f"gone: {', '.join(gone)}"] if gone else []
        if parts:
            line = f"The tools of the MCP server {server.name} have changed; {'; '.join(parts)}."
            for agent_id in having:
                self._news.setdefault(agent_id, []).append(line)

    def tool_news(self, agent_id: str) -> list[str]:
        """Return, once, a line for each change of an agent's tools by their MCP servers, read anew."""
        if self._stale or self._following.locked():
            self._follow_servers()
        return self._news.pop(agent_id, [])
