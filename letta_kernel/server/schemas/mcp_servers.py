"""MCP servers in the API's shapes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from letta_kernel.records import McpServer
from letta_kernel.server.errors import FieldError
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.service.mcp_checks import with_own_secrets

AUTHORIZATION = "Authorization"


class StdioMcpServer(Shape):
    """A server that is a program here."""

    id: str
    server_name: str
    mcp_server_type: Literal["stdio"] = "stdio"
    command: str
    args: list[str]
    env: dict[str, str] | None = None


class StreamableHttpMcpServer(Shape):
    """A server with a URL."""

    id: str
    server_name: str
    mcp_server_type: Literal["streamable_http", "sse"] = "streamable_http"
    server_url: str
    auth_header: str | None = None
    auth_token: str | None = None
    custom_headers: dict[str, str] | None = None


McpServerShape = StdioMcpServer | StreamableHttpMcpServer


class StdioConfig(Asked):
    """A program that speaks MCP over its stdin and stdout; it is started by the server."""

    mcp_server_type: Literal["stdio"] = "stdio"
    command: str | None = None
    args: list[str] | None = None
    env: dict[str, str] | None = None


class HttpConfig(Asked):
    """A URL that speaks MCP.

    Secrets are given as ``${NAME}`` of an environment variable of the server. One that is given as it is, is
    encrypted in the store, and a reference is told in its place from then on.
    """

    mcp_server_type: Literal["streamable_http", "sse"] = "streamable_http"
    server_url: str | None = None
    auth_header: str | None = None
    auth_token: str | None = None
    custom_headers: dict[str, str] | None = None


def _kind(given: Any) -> str:
    if not isinstance(given, dict):
        return "http" if isinstance(given, HttpConfig) else "stdio"
    kind = given.get("mcp_server_type")
    if kind in ("streamable_http", "sse"):
        return "http"
    return "http" if kind is None and "server_url" in given else "stdio"


Config = Annotated[
    Annotated[StdioConfig, Tag("stdio")] | Annotated[HttpConfig, Tag("http")],
    Discriminator(_kind),
]


class McpServerCreate(Asked):
    """An MCP server to connect and keep."""

    server_name: str
    config: Config


class McpServerUpdate(Asked):
    """What to change of an MCP server; what is not given, or null, stays."""

    server_name: str | None = None
    config: Config | None = None


class McpRefresh(Shape):
    """What changed when a server was asked for its tools again: their names."""

    added: list[str]
    updated: list[str]
    deleted: list[str]
    skipped: dict[str, Annotated[str, Field(description="why it cannot be used")]] = Field(
        default_factory=dict
    )


def fields_of(config: StdioConfig | HttpConfig, known: McpServer | None) -> dict[str, Any]:
    """Return what *config* says in our words; what it leaves out is as *known* has it.

    Raises
    ------
    FieldError
        A needed field is missing.
    """
    # What a client leaves out means the server's own value on a change and nothing on a new one, for each
    # field alone.
    kept = known.environment if known else {}
    if isinstance(config, StdioConfig):
        command = config.command or (known.command[0] if known and known.command else None)
        if not command:
            raise FieldError("config.command", "A stdio server needs the program to start.")
        args = known.command[1:] if known and config.args is None else config.args or []
        env = known.variables if known and config.env is None else config.env or {}
        shown, secrets = with_own_secrets(env, kept)
        environment = {**shown, **secrets}
        return {"command": [command, *args], "url": "", "environment": environment, "headers": {}}
    url = config.server_url or (known.url if known else None)
    if not url:
        kind = config.mcp_server_type
        raise FieldError("config.server_url", f"A server of type {kind} needs its URL.")
    plain = config.custom_headers is None and config.auth_token is None
    headers = dict(known.headers) if known and plain else dict(config.custom_headers or {})
    token = config.auth_header or AUTHORIZATION
    if config.auth_token is not None:
        headers[token] = config.auth_token
    shown, secrets = with_own_secrets(headers, kept, (token,) if config.auth_token else ())
    sse = config.mcp_server_type == "sse"
    return {"command": [], "url": url, "sse": sse, "environment": secrets, "headers": shown}


def to_server(server: McpServer) -> McpServerShape:
    """Return *server* in the API's shape; what it holds of secrets are names only."""
    if server.command:
        return StdioMcpServer(
            id=server.id,
            server_name=server.name,
            command=server.command[0],
            args=server.command[1:],
            env=server.variables or None,
        )
    headers = dict(server.headers)
    token = headers.pop(AUTHORIZATION, None)
    return StreamableHttpMcpServer(
        id=server.id,
        server_name=server.name,
        mcp_server_type="sse" if server.sse else "streamable_http",
        server_url=server.url,
        auth_header=AUTHORIZATION if token else None,
        auth_token=token,
        custom_headers=headers or None,
    )
