"""Routes by the names Letta gave them before, answering as the new ones: sources are folders, jobs are runs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from letta_kernel.errors import NotFoundError
from letta_kernel.records import McpServer
from letta_kernel.server.deps import Live, Service
from letta_kernel.server.routes import folders, mcp_servers, runs
from letta_kernel.server.schemas.base import Asked
from letta_kernel.server.schemas.mcp_servers import McpServerCreate, to_server
from letta_kernel.server.schemas.runs import RunShape
from letta_kernel.server.schemas.tools import ToolShape

router = APIRouter(include_in_schema=False)  # nothing is described twice


class OlderMcpServer(Asked):
    """An MCP server as it was asked for before: its settings beside its name."""

    server_name: str
    type: str = "streamable_http"
    command: str | None = None
    args: list[str] | None = None
    env: dict[str, str] | None = None
    server_url: str | None = None
    auth_header: str | None = None
    auth_token: str | None = None
    custom_headers: dict[str, str] | None = None

    def now(self) -> McpServerCreate:
        """Return the same as it is asked for now."""
        config = self.model_dump(exclude={"server_name", "type"}, exclude_none=True)
        return McpServerCreate.model_validate(
            {"server_name": self.server_name, "config": {"mcp_server_type": self.type, **config}}
        )


def _again(known: APIRouter, path: str, older: str) -> None:
    """Serve what *known* has under *path* under its older name too."""
    for route in known.routes:
        if isinstance(route, APIRoute) and path in route.path:
            router.add_api_route(
                route.path.replace(path, older),
                route.endpoint,
                methods=[*(route.methods or ())],
                operation_id=route.operation_id,  # by which its rights are known
                status_code=route.status_code,
                response_model=route.response_model,
                response_class=route.response_class,
            )


_again(folders.router, "/folders", "/sources")


_again(runs.router, "/runs", "/jobs")


@router.patch("/jobs/{run_id}/cancel", operation_id="cancel_messages")
def cancel_run(service: Service, live: Live, run_id: str) -> RunShape:
    """End a run; its status says whether it has ended."""
    service.runs.retrieve(run_id)
    live.end([run_id])
    return runs.retrieve_run(service, run_id)


@router.get("/tools/mcp/servers", operation_id="list_mcp_servers")
def list_servers(service: Service) -> dict[str, dict[str, Any]]:
    """Return the MCP servers by their names."""
    return {status.server.name: _older(status.server) for status in service.mcp.list()}


@router.put("/tools/mcp/servers", operation_id="create_mcp_server")
def add_server(service: Service, asked: OlderMcpServer) -> list[dict[str, Any]]:
    """Connect an MCP server and keep it; return all there are."""
    mcp_servers.create_server(service, asked.now())
    return list(list_servers(service).values())


@router.delete("/tools/mcp/servers/{mcp_server_name}", operation_id="delete_mcp_server")
def delete_server(service: Service, mcp_server_name: str) -> list[dict[str, Any]]:
    """Forget an MCP server; return those that are left."""
    service.mcp.delete(mcp_server_name)
    return list(list_servers(service).values())


@router.get("/tools/mcp/servers/{mcp_server_name}/tools", operation_id="list_mcp_server_tools")
def list_tools(service: Service, mcp_server_name: str) -> list[dict[str, Any]]:
    """Return the tools of an MCP server as that told of them."""
    found = mcp_servers.list_tools(service, mcp_server_name)
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": (tool.json_schema or {}).get("parameters"),
        }
        for tool in found
    ]


@router.post("/tools/mcp/servers/{mcp_server_name}/{name}", operation_id="retrieve_mcp_server_tool")
def add_tool(service: Service, mcp_server_name: str, name: str) -> ToolShape:
    """Return a tool of an MCP server; all of them can be attached already."""
    for tool in mcp_servers.list_tools(service, mcp_server_name):
        if tool.name == name:
            return tool
    raise NotFoundError(f"The MCP server {mcp_server_name!r:.200} has no tool {name!r:.200}.")


def _older(server: McpServer) -> dict[str, Any]:
    shape = to_server(server).model_dump(exclude={"id"})
    return {**shape, "type": shape.pop("mcp_server_type")}
