"""MCP servers of a project: added, listed, asked for their tools, followed as these change, removed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from letta_kernel.errors import (
    ConflictError,
    InvalidInputError,
    LettaError,
    NotFoundError,
    ToolError,
    nearest,
)
from letta_kernel.records import AgentState, McpServer, Tool
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.core import Core
from letta_kernel.service.mcp_checks import check_server
from letta_kernel.store import mcp, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import core
from letta_kernel.tools.mcp import CALL_LIMIT, Connections
from letta_kernel.tools.mcp_connection import Listing, fingerprint
from letta_kernel.tools.mcp_files import Entry, read
from letta_kernel.tools.mcp_schema import tool_name

log = logging.getLogger(__name__)


@dataclass(slots=True)
class McpTools:
    """What a server offers now: tools, those that cannot be used (with the reason), those that are gone."""

    server: McpServer
    tools: list[Tool]
    skipped: list[tuple[str, str]]
    gone: list[str]


@dataclass(slots=True)
class McpStatus:
    """A server, its tools as last heard of, and how it does in this process.

    ``state`` is ``connected``, what went wrong last, or empty for a server that is not in use.
    """

    server: McpServer
    tools: list[Tool]
    state: str


class McpServers:
    """The MCP servers of a project, each named by its id or name, and their tools."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._stale: set[str] = set()  # servers that have said that their tools changed
        self._following = threading.Lock()
        self._news: dict[str, list[str]] = {}  # by agent: what it has not been told of its tools
        # Servers run beside the project folder, wherever the process that starts them happens to be.
        self.connections = Connections(
            lambda server_id: self._core.do(lambda tx: mcp.get(tx, server_id)),
            self._core.home.parent,
            self._changed,
        )

    def close(self) -> None:
        """End the servers that were started here."""
        self.connections.close()

    def create(
        self,
        name: str,
        command: Sequence[str] = (),
        *,
        url: str = "",
        sse: bool = False,
        environment: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        agent: str | None = None,
        requires_approval: bool = False,
        time_limit: float = CALL_LIMIT,
        start_limit: float = 60.0,
        return_limit: int = 50_000,
        unreached: bool = False,
    ) -> McpTools:
        """Connect an MCP server, keep it, and give its tools to an agent.

        One of the same name is replaced; its tools keep their ids and names.

        Parameters
        ----------
        name : letters, digits, ``_`` and ``-``.
        command : the program and its arguments, for a server that speaks over stdin and stdout.
        url, sse : for a server that speaks over streamable HTTP or, before there was that, over SSE.
        environment : variables the program gets beside a few harmless ones (PATH, HOME and the like).
        headers : sent with each request to *url*.
        agent : who gets the tools; nobody if None.
        requires_approval, time_limit, return_limit : what its tools begin with (seconds, characters).
        start_limit : seconds the server may take until it answers.
        unreached : keep it also where it cannot be reached now; `refresh` brings its tools.

        ``${NAME}`` in any of the texts stands for an environment variable of this process.

        Raises
        ------
        InvalidInputError
            A value cannot be used, or a secret would be stored. Nothing is changed.
        ToolError
            The server cannot be started or reached, or does not answer, and is not to be kept *unreached*.
            Nothing is changed.
        """
        made = McpServer(
            name=name,
            command=list(command),
            url=url,
            sse=sse,
            environment=dict(environment or {}),
            headers=dict(headers or {}),
            start_limit=start_limit,
            time_limit=time_limit,
            return_limit=return_limit,
            requires_approval=requires_approval,
        )
        check_server(made)
        state = self._core.find_agent(agent) if agent is not None else None
        known = self._core.do(lambda tx: mcp.find(tx, name))
        if known is not None:
            made = made.model_copy(update={"id": known.id, "created_at": known.created_at})
        return self._connect(made, state, unreached=unreached)

    def update(self, ref: str, *, unreached: bool = False, **changes: Any) -> McpTools:
        """Change a server's name, command, url, environment, headers or limits, and connect it anew.

        Its tools keep their ids and names. Raises as `create` does; nothing is changed then.
        """
        made = McpServer.model_validate({**self.retrieve(ref).model_dump(), **changes})
        check_server(made)
        return self._connect(made, None, unreached=unreached)

    def tool(self, ref: str, tool: str) -> Tool:
        """Return one tool of a server, by our id or name or by the server's own name for it."""

        def work(tx: Tx) -> Tool:
            server = self._find(tx, ref)
            own = mcp.tools_of(tx, server.id)
            for one in own:
                if tool in (one.id, one.name, one.metadata.get("tool")):
                    return one
            names = [one.name for one in own]
            raise NotFoundError(
                f"The MCP server {server.name!r} has no tool {tool!r}.{nearest(tool, names)}"
            )

        return self._core.do(work)

    def _connect(
        self,
        made: McpServer,
        state: AgentState | None,
        *,
        anew: bool = True,
        unreached: bool = False,
    ) -> McpTools:
        """Connect a server and keep it and its tools; whatever goes wrong, nothing is changed.

        With *unreached*, one that has no tools yet is kept where it cannot be reached.
        """

        def work(tx: Tx) -> McpTools:
            other = mcp.find(tx, made.name)
            if other is not None and other.id != made.id:
                raise ConflictError(
                    f"There is another MCP server {made.name!r}: choose another name, or try again if "
                    "it was added just now."
                )
            server = mcp.save(tx, made)
            if listing is None:
                return McpTools(server, [], [], [])
            found = self._keep_tools(tx, server, listing, anew=anew)
            if state is not None:
                for tool in found.tools:
                    tools.attach(tx, state.id, tool.id)
            return found

        try:
            listing = self._offered(made, unreached)
            return self._core.do(work)
        except BaseException:
            self.connections.stop(made.id)  # what is stored is connected again when it is used
            raise

    def _offered(self, made: McpServer, unreached: bool) -> Listing | None:
        """Return what a server offers; None for one to keep though it cannot be reached."""
        try:
            return self.connections.listing(made)
        except ToolError:
            if not unreached or self._core.do(lambda tx: mcp.tools_of(tx, made.id)):
                raise  # what works is not changed into what does not
            return None

    def retrieve(self, name: str) -> McpServer:
        """Return the server of that name or id.

        Raises
        ------
        NotFoundError
            There is none; the text names the nearest one.
        """
        return self._core.do(lambda tx: self._find(tx, name))

    def refresh(self, name: str) -> McpTools:
        """Ask a server for its tools and bring ours up to date; new ones are given to no agent.

        Raises
        ------
        ToolError
            The server cannot be started or reached, or does not answer. Nothing is changed.
        """
        server = self.retrieve(name)
        listing = self.connections.listing(server)
        return self._core.do(lambda tx: self._keep_tools(tx, self._find(tx, server.id), listing))

    def delete(self, name: str) -> tuple[McpServer, list[str]]:
        """Forget a server and its tools; return it and the names of the agents that had some of them."""

        def work(tx: Tx) -> tuple[McpServer, list[str]]:
            server = self._find(tx, name)
            had: set[str] = set()
            for tool in mcp.tools_of(tx, server.id):
                had.update(tools.agents_with(tx, tool.id))
                tools.delete(tx, tool.id)
            mcp.delete(tx, server.id)
            return server, sorted(self._core.agent(tx, agent_id).name for agent_id in had)

        server, names = self._core.do(work)
        self.connections.stop(server.id)
        return server, names

    def _find(self, tx: Tx, name: str) -> McpServer:
        found = mcp.find(tx, name) or mcp.get(tx, name)
        if found is None:
            names = [server.name for server in mcp.list_all(tx)]
            text = f"There is no MCP server {name!r}."
            if not names:
                raise NotFoundError(text, remedy(Do.ADD_MCP_SERVER))
            hint = nearest(name, names) or f" There is: {', '.join(names)}."
            raise NotFoundError(f"{text}{hint}")
        return found

    def _keep_tools(
        self, tx: Tx, server: McpServer, listing: Listing, *, anew: bool = False
    ) -> McpTools:
        """Store what a server offers; *anew* also brings limits and approval back to the server's."""
        own = {str(tool.metadata.get("tool")): tool for tool in mcp.tools_of(tx, server.id)}
        taken = {tool.name for tool in tools.list_all(tx)} | set(core.FUNCTIONS)
        kept: list[Tool] = []
        for offered in listing.tools:
            known = own.pop(offered.name, None)
            name = known.name if known else tool_name(server.name, offered.name, taken)
            taken.add(name)
            tool = known or Tool(name=name)
            changes: dict[str, Any] = {
                "description": offered.description,
                "parameters": offered.parameters,
                "kind": "mcp",
                "runs_in": "mcp",
                "metadata": {
                    "server": server.name,
                    "server_id": server.id,
                    "tool": offered.name,
                    "fingerprint": fingerprint(server),
                },
            }
            if known is None or anew:
                changes |= {
                    "requires_approval": server.requires_approval,
                    "time_limit": server.time_limit,
                    "return_limit": server.return_limit,
                    "parallel_safe": offered.read_only,
                    "tags": ["mcp", server.name],
                }
            kept.append(tools.save(tx, tool.model_copy(update=changes)))
        for tool in own.values():
            tools.delete(tx, tool.id)
        return McpTools(server, kept, listing.skipped, [tool.name for tool in own.values()])

    def add_file(
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
        entries = read(path, self._core.home.parent)
        for name in only:
            if name not in (names := [one.name for one in entries]):
                raise InvalidInputError(f"{path} has no server {name!r}.{nearest(name, names)}")
        state = self._core.find_agent(agent) if agent is not None else None
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
        known = self._core.do(lambda tx: mcp.find(tx, made.name))
        if known is None:
            return self._connect(made, state)
        reached = {
            name: getattr(made, name)
            for name in ("command", "folder", "url", "sse", "environment", "headers")
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
                    server = self.retrieve(server_id)
                    listing = self.connections.listing(server)
                    self._tell(*self._core.do(partial(self._retooled, server, listing)))
                except LettaError as error:  # the next call, or the next list, says so
                    log.warning("The tools of an MCP server were not read again: %s", error)

    def _retooled(
        self, server: McpServer, listing: Listing, tx: Tx
    ) -> tuple[McpServer, set[str], list[str], list[str]]:
        """Keep a server's tools as they are now; return who has them, and which are new and gone."""
        before = mcp.tools_of(tx, self._find(tx, server.id).id)
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

    def news(self, agent_id: str) -> list[str]:
        """Return, once, a line for each change of an agent's tools by their MCP servers, read anew."""
        if self._stale or self._following.locked():
            self._follow_servers()
        return self._news.pop(agent_id, [])

    # Last, so that `list` in the annotations above is Python's.
    def list(self) -> list[McpStatus]:
        """Return the MCP servers of the project; asks none of them."""

        def work(tx: Tx) -> list[tuple[McpServer, list[Tool]]]:
            return [(server, mcp.tools_of(tx, server.id)) for server in mcp.list_all(tx)]

        return [
            McpStatus(server, own, self.connections.state(server.id))
            for server, own in self._core.do(work)
        ]
