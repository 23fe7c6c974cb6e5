"""A real MCP server on the official SDK, with tools that behave and tools that do not.

``python mcp_server.py`` speaks over stdin and stdout, ``python mcp_server.py --http PORT`` over streamable
HTTP; with ``--token T`` it wants ``Authorization: Bearer T`` then, with ``--sse`` it speaks as before that.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from typing import Annotated, Any, Literal

import anyio
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

server = MCPServer("test")


class Point(BaseModel):
    x: float
    y: float = 0.0


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: Annotated[int, Field(ge=0, description="what is added")] = 1) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def search(point: Point, unit: Literal["m", "km"] = "m") -> dict[str, Any]:
    """Look around a point."""
    return {"found": [point.model_dump(), unit]}


@server.tool(name="a tool, oddly named")
def odd() -> str:
    """Has a name models cannot call."""
    return "odd"


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """Draw one pixel."""
    return ["one pixel", Image(data=PIXEL, format="png")]


@server.tool()
def fail(reason: str) -> str:
    """Raise an error."""
    raise ToolError(reason)


@server.tool()
def long(characters: int) -> str:
    """Return a long text."""
    return "x" * characters


@server.tool()
def die(code: int = 3) -> str:
    """End the server in the middle of the call."""
    print("Traceback: the disk is on fire", file=sys.stderr, flush=True)
    os._exit(code)


@server.tool()
async def freeze(seconds: float) -> str:
    """Block the whole server."""
    time.sleep(seconds)
    return "thawed"


@server.tool()
async def slow(seconds: float, ctx: Context) -> str:
    """Take a while, and say how far it is."""
    await ctx.report_progress(1, 4, "a quarter")
    await anyio.sleep(seconds)
    return "done"


@server.tool()
def noise() -> str:
    """Print to stdout, which is not for printing."""
    os.write(1, b"hello from a print\n\xff\xfe{}\n{not json}\n")
    return "quiet again"


@server.tool()
def process() -> int:
    """Return the server's process id."""
    return os.getpid()


@server.tool()
def variable(name: str) -> str:
    """Return an environment variable."""
    return os.environ.get(name, "(not set)")


@server.tool()
def folder() -> str:
    """Return the folder the server runs in."""
    return os.getcwd()


@server.tool()
async def swap(out: str, into: str, ctx: Context) -> str:
    """Take one tool away, offer another, and say so."""

    def fresh() -> str:
        return f"I am {into}"

    if out:
        server.remove_tool(out)
    server.add_tool(fresh, name=into, description="Came later.")
    await ctx.session.send_tool_list_changed()
    return "swapped"


def http(port: int, token: str) -> None:
    import uvicorn

    app = server.sse_app() if "--sse" in sys.argv else server.streamable_http_app()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers") or ()).get(b"authorization", b"").decode()
        if scope["type"] == "http" and token and given != f"Bearer {token}":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"who are you?"})
            return
        await app(scope, receive, send)

    uvicorn.run(guarded, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    if "--http" in sys.argv:
        at = sys.argv.index("--token") + 1 if "--token" in sys.argv else 0
        http(int(sys.argv[sys.argv.index("--http") + 1]), sys.argv[at] if at else "")
    else:
        server.run("stdio")
