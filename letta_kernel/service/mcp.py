"""MCP servers of a project: added, listed, asked for their tools, removed."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from letta_kernel.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    nearest,
)
from letta_kernel.ids import new_id
from letta_kernel.records import AgentState, McpServer, Tool
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.toolbox import Toolbox
from letta_kernel.store import mcp, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import core
from letta_kernel.tools.arguments import ToolArgumentError, parse_arguments
from letta_kernel.tools.execute import Executor, ToolHost
from letta_kernel.tools.mcp import CALL_LIMIT, Connections
from letta_kernel.tools.mcp_connection import REFERENCE, Listing, fingerprint
from letta_kernel.tools.mcp_files import is_secret_name
from letta_kernel.tools.mcp_schema import tool_name
from letta_kernel.tools.outcome import Outcome

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")


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


class McpServers(Toolbox):
    """The part of the service that deals with MCP servers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Servers run beside the project folder, wherever the process that starts them happens to be.
        self._connections = Connections(
            lambda server_id: self.do(lambda tx: mcp.get(tx, server_id)),
            self.home.parent,
            self._changed,
        )

    def close(self) -> None:
        """End the servers that were started here, then let go of everything else."""
        self._connections.close()
        super().close()

    def add_mcp_server(
        self,
        name: str,
        command: Sequence[str] = (),
        *,
        url: str = "",
        environment: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        agent: str | None = None,
        requires_approval: bool = False,
        time_limit: float = CALL_LIMIT,
        start_limit: float = 60.0,
        return_limit: int = 50_000,
    ) -> McpTools:
        """Connect an MCP server, keep it, and give its tools to an agent.

        One of the same name is replaced; its tools keep their ids and names.

        Parameters
        ----------
        name : letters, digits, ``_`` and ``-``.
        command : the program and its arguments, for a server that speaks over stdin and stdout.
        url : for a server that speaks over streamable HTTP.
        environment : variables the program gets beside a few harmless ones (PATH, HOME and the like).
        headers : sent with each request to *url*.
        agent : who gets the tools; nobody if None.
        requires_approval, time_limit, return_limit : what its tools begin with (seconds, characters).
        start_limit : seconds the server may take until it answers.

        ``${NAME}`` in any of the texts stands for an environment variable of this process.

        Raises
        ------
        InvalidInputError
            A value cannot be used, or a secret would be stored. Nothing is changed.
        ToolError
            The server cannot be started or reached, or does not answer. Nothing is changed.
        """
        made = McpServer(
            name=name,
            command=list(command),
            url=url,
            environment=dict(environment or {}),
            headers=dict(headers or {}),
            start_limit=start_limit,
            time_limit=time_limit,
            return_limit=return_limit,
            requires_approval=requires_approval,
        )
        check_server(made)
        state = self.agent(agent) if agent is not None else None
        known = self.do(lambda tx: mcp.find(tx, name))
        if known is not None:
            made = made.model_copy(update={"id": known.id, "created_at": known.created_at})
        return self._connect(made, state)

    def _changed(self, server_id: str) -> None:
        """A server says, on the loop's thread, that its tools have changed."""

    def change_mcp_server(self, ref: str, **changes: Any) -> McpTools:
        """Change a server's name, command, url, environment, headers or limits, and connect it anew.

        Its tools keep their ids and names. Raises as `add_mcp_server` does; nothing is changed then.
        """
        made = McpServer.model_validate({**self.mcp_server(ref).model_dump(), **changes})
        check_server(made)
        return self._connect(made, None)

    def run_mcp_tool(
        self,
        ref: str,
        tool: str,
        arguments: dict[str, Any],
        *,
        on_output: Callable[[str, str], None] = lambda stream, text: None,
    ) -> Outcome:
        """Call a tool of a server by hand, for no agent."""
        found = self.mcp_tool(ref, tool)
        try:
            kwargs = parse_arguments(found, json.dumps(arguments))
        except ToolArgumentError as error:
            return Outcome("error", str(error), error=str(error))
        executor = Executor(servers=self._connections)
        return executor.run(found, kwargs, call_id=new_id("call"), on_output=on_output)

    def mcp_tool(self, ref: str, tool: str) -> Tool:
        """Return one tool of a server, by our id or name or by the server's own name for it."""

        def work(tx: Tx) -> Tool:
            server = self._mcp_server(tx, ref)
            own = mcp.tools_of(tx, server.id)
            for one in own:
                if tool in (one.id, one.name, one.metadata.get("tool")):
                    return one
            names = [one.name for one in own]
            raise NotFoundError(
                f"The MCP server {server.name!r} has no tool {tool!r}.{nearest(tool, names)}"
            )

        return self.do(work)

    def _connect(self, made: McpServer, state: AgentState | None, *, anew: bool = True) -> McpTools:
        """Connect a server and keep it and its tools; whatever goes wrong, nothing is changed."""

        def work(tx: Tx) -> McpTools:
            other = mcp.find(tx, made.name)
            if other is not None and other.id != made.id:
                raise ConflictError(
                    f"There is another MCP server {made.name!r}: choose another name, or try again if "
                    "it was added just now."
                )
            server = mcp.save(tx, made)
            found = self._keep_tools(tx, server, listing, anew=anew)
            if state is not None:
                for tool in found.tools:
                    tools.attach(tx, state.id, tool.id)
            return found

        try:
            listing = self._connections.listing(made)
            return self.do(work)
        except BaseException:
            self._connections.stop(made.id)  # what is stored is connected again when it is used
            raise

    def mcp_servers(self) -> list[McpStatus]:
        """Return the MCP servers of the project; asks none of them."""

        def work(tx: Tx) -> list[tuple[McpServer, list[Tool]]]:
            return [(server, mcp.tools_of(tx, server.id)) for server in mcp.list_all(tx)]

        return [
            McpStatus(server, own, self._connections.state(server.id))
            for server, own in self.do(work)
        ]

    def mcp_server(self, name: str) -> McpServer:
        """Return the server of that name or id.

        Raises
        ------
        NotFoundError
            There is none; the text names the nearest one.
        """
        return self.do(lambda tx: self._mcp_server(tx, name))

    def mcp_tools(self, name: str) -> McpTools:
        """Ask a server for its tools and bring ours up to date; new ones are given to no agent.

        Raises
        ------
        ToolError
            The server cannot be started or reached, or does not answer. Nothing is changed.
        """
        server = self.mcp_server(name)
        listing = self._connections.listing(server)
        return self.do(lambda tx: self._keep_tools(tx, self._mcp_server(tx, server.id), listing))

    def remove_mcp_server(self, name: str) -> tuple[McpServer, list[str]]:
        """Forget a server and its tools; return it and the names of the agents that had some of them."""

        def work(tx: Tx) -> tuple[McpServer, list[str]]:
            server = self._mcp_server(tx, name)
            had: set[str] = set()
            for tool in mcp.tools_of(tx, server.id):
                had.update(tools.agents_with(tx, tool.id))
                tools.delete(tx, tool.id)
            mcp.delete(tx, server.id)
            return server, sorted(self._agent(tx, agent_id).name for agent_id in had)

        server, names = self.do(work)
        self._connections.stop(server.id)
        return server, names

    def _executor(self, host: ToolHost | None, state: AgentState) -> Executor:
        executor = super()._executor(host, state)
        executor.servers = self._connections
        return executor

    def _mcp_server(self, tx: Tx, name: str) -> McpServer:
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


def check_server(server: McpServer) -> None:
    """Refuse a server that cannot work, or with which a secret would be stored.

    Raises
    ------
    InvalidInputError
        One line that says how to mend it.
    """
    if not _NAME.fullmatch(server.name):
        raise InvalidInputError(
            f"An MCP server's name has at most 40 letters, digits, _ and -, and begins with a letter, "
            f"not {server.name!r}."
        )
    if bool(server.command) == bool(server.url):
        raise InvalidInputError("An MCP server has either a command or a URL.")
    if server.url:
        _check_url(server)
    elif not server.command[0].strip():
        raise InvalidInputError("The command of an MCP server cannot be empty.")
    for name, text in server.environment.items():
        if not _VARIABLE.fullmatch(name):
            raise InvalidInputError(f"{name!r} cannot be the name of an environment variable.")
        if _is_secret(name, text):
            raise InvalidInputError(
                f"{name} would be stored as it is written.",
                remedy(Do.REFER_IN_ENVIRONMENT, name),
            )
    for part in server.command:
        if _PASSWORD.search(REFERENCE.sub("", part)):
            raise InvalidInputError(
                "A password in the command would be stored: write ${NAME} for an environment variable."
            )
    for limit in (server.time_limit, server.start_limit, server.return_limit):
        if not limit > 0:
            raise InvalidInputError(f"A limit is a number above 0, not {limit}.")


def _check_url(server: McpServer) -> None:
    if not re.match(r"https?://[^\s/]", server.url) or re.search(r"\s", server.url):
        raise InvalidInputError(f"{server.url!r} is no URL of an MCP server (http:// or https://).")
    if _PASSWORD.search(REFERENCE.sub("", server.url)):
        raise InvalidInputError(
            "A password in the URL would be stored.", remedy(Do.REFER_IN_HEADER, "Authorization")
        )
    if server.environment:
        raise InvalidInputError(
            "Environment variables are for a server with a command; one with a URL takes headers."
        )
    for name, text in server.headers.items():
        if not _HEADER.fullmatch(name) or not text.isprintable() or not text.isascii():
            raise InvalidInputError(f"{name!r} is no header that can be sent.")
        if _is_secret(name, text):
            raise InvalidInputError(
                f"The header {name} would be stored as it is written.",
                remedy(Do.REFER_IN_HEADER, name),
            )


def _is_secret(name: str, text: str) -> bool:
    """Return whether *text* under *name* is a secret, or holds one."""
    bare = REFERENCE.sub("", text)
    if is_secret_name(name) and bare == text and text:
        return True
    return _PASSWORD.search(bare) is not None
