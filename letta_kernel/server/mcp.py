"""Agents and their memory as an MCP server, on the official SDK."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.lowlevel import Server

from letta_kernel import __version__
from letta_kernel.display.clean import one_line
from letta_kernel.errors import LettaError
from letta_kernel.remedies import Words
from letta_kernel.server import authorization, rights
from letta_kernel.server.directory import Directory
from letta_kernel.server.events.runs import RunManager
from letta_kernel.server.mcp_tools import NAMES, READING, AgentTools, Progress, shown
from letta_kernel.server.middleware import Guard
from letta_kernel.server.request_limits import RequestLimits
from letta_kernel.server.token_use import TokenUse
from letta_kernel.tools.arguments import check_call
from letta_kernel.tools.schema import schema_of

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from starlette.types import ASGIApp

    from letta_kernel.service import AgentService

log = logging.getLogger("letta_kernel")

PATH = "/mcp"
"""Where it is over HTTP."""

BODY = 4 * 1024 * 1024
"""Bytes of a request over HTTP."""

INSTRUCTIONS = """\
Agents that remember. send_message talks to one, which keeps what was said; read_memory and write_memory are its
memory blocks, search_archive and insert_archive its archive. list_agents tells who there is."""

_NAME = 100  # characters of a client's name


class McpDoor:
    """The server, over whatever transport.

    Parameters
    ----------
    service
        The project's agents.
    words
        Those of the door it is started at.
    """

    def __init__(self, service: AgentService, words: Words) -> None:
        self._words = words
        self.runs = RunManager(service, words=words)
        self.server: Server[Any] = Server(
            "letta-kernel",
            version=__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._offered = [self._described(name) for name in NAMES]

    def http(self, token: str | None) -> ASGIApp:
        """Return the application that serves it at `PATH` to who sends *token*, or one of the project's."""
        app = self.server.streamable_http_app(streamable_http_path=PATH, max_request_body_size=BODY)
        limits = RequestLimits(body=BODY, upload=BODY, requests=100)
        directory = Directory(self.runs)
        return Guard(
            app, token=token, service=self.runs.service, directory=directory, limits=limits
        )

    def _described(self, name: str) -> types.Tool:
        schema = schema_of(getattr(self._tools("", _nothing), name))
        hints = types.ToolAnnotations(read_only_hint=name in READING, open_world_hint=False)
        return types.Tool(
            name=name,
            description=schema["description"],
            input_schema=schema["parameters"],
            annotations=hints,
        )

    def _tools(self, by: str, progress: Progress) -> AgentTools:
        return AgentTools(self.runs, by, progress)

    async def _list(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._offered)

    async def _call(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Do what a client asks; what goes wrong is one line."""

        async def progress(done: float, text: str) -> None:
            await ctx.session.report_progress(done, message=text)

        try:
            if params.name not in NAMES:
                raise LettaError(f"There is no tool {params.name!r}; one of: {', '.join(NAMES)}.")
            function = getattr(self._tools(_by(ctx), progress), params.name)
            given = check_call(params.name, function, params.arguments or {})
            # A session outlasts requests: who asks is known by the request, not by the session.
            use: TokenUse | None = None
            if ctx.request:
                use = ctx.request.scope.get(authorization.TOKEN_USE)
            named = given.get("agent")
            if use is not None:
                use = await asyncio.to_thread(rights.of_mcp_call, use, params.name, named)
            with authorization.acting(use):
                authorization.need(rights.OF_MCP_TOOLS[params.name])
                if named is not None:
                    given["agent"] = await asyncio.to_thread(
                        authorization.whose, self.runs.service, named
                    )
                if inspect.iscoroutinefunction(function):
                    result = await function(**given)
                else:
                    result = await asyncio.to_thread(function, **given)
        except LettaError as error:
            return _failure(one_line(error.in_words(self._words), 2_000))
        except Exception:
            log.exception("the MCP tool %s failed", params.name)
            return _failure("The server met a defect of its own; its log says more.")
        text = types.TextContent(type="text", text=shown(params.name, result))
        return types.CallToolResult(content=[text], structured_content=result)


def _failure(line: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=line)], is_error=True)


def _by(ctx: ServerRequestContext[Any]) -> str:
    """Return who calls, as the history of memory tells it."""
    client = ctx.session.client_params
    name = one_line(client.client_info.name, _NAME) if client is not None else ""
    return f"mcp:{name or 'client'}"


async def _nothing(done: float, text: str) -> None:
    return
