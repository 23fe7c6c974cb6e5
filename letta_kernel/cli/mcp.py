"""``letta-kernel mcp``: agents and their memory for MCP clients, over standard streams or HTTP."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import typer

from letta_kernel.cli import output
from letta_kernel.cli import serve as web
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.server.address import LOOPBACK, listener, url_of

if TYPE_CHECKING:
    from letta_kernel.server.mcp import McpDoor


def serve(
    session: TerminalDoor, *, http: bool, port: int | None, token_file: str | None, no_token: bool
) -> None:
    """Serve until the client leaves, or over HTTP until Ctrl-C."""
    if not http and (port is not None or no_token):
        raise typer.BadParameter("--port and --no-token go with --http.")
    service = session.service  # before the SDK is imported: there may be no project
    if http:
        _over_http(session, port, token_file, no_token)
        return
    if sys.stdin.isatty():
        said = f"Serving {session.where} over MCP: a client starts this and talks JSON. Ctrl-C ends it."
        output.put(said, style="dim", stderr=True)
    from letta_kernel.server.mcp import McpDoor
    from letta_kernel.tools.sandbox_walls import dumpable

    dumpable(False)
    asyncio.run(_over_stdio(McpDoor(service, session.words)))


def _over_http(
    session: TerminalDoor, port: int | None, token_file: str | None, no_token: bool
) -> None:
    given, secret = web.token_of(token_file, no_token)
    logged = web.begin_log(given, no_token)
    with listener(LOOPBACK[0], port) as listening:
        from letta_kernel.server.mcp import PATH, McpDoor

        url = f"{url_of(LOOPBACK[0], listening)}{PATH}"
        use = "MCP clients: this URL, streamable HTTP"
        if secret is not None:
            use += ", with the header Authorization: Bearer TOKEN"
        if not logged:
            web.say(session, url, secret, not given, use)
        door = McpDoor(session.service, session.words)
        try:
            web.run(door.http(secret), listening)
        finally:
            door.runs.close()


async def _over_stdio(door: McpDoor) -> None:
    from mcp.server.stdio import stdio_server

    from letta_kernel.server.stdio import StandardStreams

    server = door.server
    try:
        async with (
            StandardStreams() as streams,
            stdio_server(streams, streams) as (read, write),  # type: ignore[arg-type]
        ):
            await server.run(read, write, server.create_initialization_options())
    finally:
        await asyncio.to_thread(door.runs.close)
