"""MCP servers and their tools."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from letta_kernel.errors import InvalidInputError, ToolError
from letta_kernel.server.deps import Service
from letta_kernel.server.errors import FieldError
from letta_kernel.server.schemas.mcp_servers import (
    McpRefresh,
    McpServerCreate,
    McpServerShape,
    McpServerUpdate,
    fields_of,
    to_server,
)
from letta_kernel.server.schemas.tools import (
    ToolExecutionResult,
    ToolRun,
    ToolShape,
    to_result,
    to_tool,
)

router = APIRouter(tags=["mcp-servers"])


@router.get("/mcp-servers", operation_id="list_mcp_servers")
def list_servers(service: Service) -> list[McpServerShape]:
    """List the MCP servers; asks none of them."""
    return [to_server(status.server) for status in service.mcp.list()]


@router.post("/mcp-servers", operation_id="create_mcp_server")
def create_server(service: Service, asked: McpServerCreate) -> McpServerShape:
    """Connect an MCP server and keep it with its tools; if it cannot be reached, without: refresh it."""
    if any(status.server.name == asked.server_name for status in service.mcp.list()):
        raise FieldError(
            "server_name", f"There is an MCP server {asked.server_name!r} already: update that one."
        )
    fields = fields_of(asked.config, None)
    try:
        made = service.mcp.create(asked.server_name, unreached=True, **fields)
    except InvalidInputError as error:
        raise FieldError("config", error.text, *error.remedies) from None
    return to_server(made.server)


@router.get("/mcp-servers/{mcp_server_id}", operation_id="retrieve_mcp_server")
def retrieve_server(service: Service, mcp_server_id: str) -> McpServerShape:
    """Return one MCP server."""
    return to_server(service.mcp.retrieve(mcp_server_id))


@router.patch("/mcp-servers/{mcp_server_id}", operation_id="update_mcp_server")
def update_server(service: Service, mcp_server_id: str, asked: McpServerUpdate) -> McpServerShape:
    """Change an MCP server in what is given and connect it anew; its tools keep their names.

    Where it has tools and cannot be reached with the changes, nothing is changed.
    """
    known = service.mcp.retrieve(mcp_server_id)
    changes = fields_of(asked.config, known) if asked.config is not None else {}
    if asked.server_name is not None:
        changes["name"] = asked.server_name
    try:
        return to_server(service.mcp.update(known.id, unreached=True, **changes).server)
    except InvalidInputError as error:
        raise FieldError("config", error.text, *error.remedies) from None


@router.delete("/mcp-servers/{mcp_server_id}", operation_id="delete_mcp_server", status_code=204)
def delete_server(service: Service, mcp_server_id: str) -> None:
    """Forget an MCP server and its tools."""
    service.mcp.delete(mcp_server_id)


@router.patch("/mcp-servers/{mcp_server_id}/refresh", operation_id="refresh_mcp_server")
def refresh_server(
    service: Service,
    mcp_server_id: str,
    agent_id: Annotated[str | None, Query(max_length=1000)] = None,
) -> McpRefresh:
    """Ask a server for its tools again; with an agent, it gets those that are new."""
    server = service.mcp.retrieve(mcp_server_id)
    agent = service.agents.retrieve(agent_id) if agent_id is not None else None
    before = _tool_names(service, server.id)
    now = service.mcp.refresh(server.id)
    names = [tool.name for tool in now.tools]
    added = [name for name in names if name not in before]
    if agent is not None:
        for tool in now.tools:
            if tool.name in added:
                service.tools.attach(tool.id, agent=agent.id)
    return McpRefresh(
        added=added,
        updated=[name for name in names if name in before],
        deleted=now.gone,
        skipped=dict(now.skipped),
    )


@router.get("/mcp-servers/{mcp_server_id}/tools", operation_id="list_mcp_server_tools")
def list_tools(service: Service, mcp_server_id: str) -> list[ToolShape]:
    """List the tools of an MCP server as they were last heard of; of one never reached: why."""
    server = service.mcp.retrieve(mcp_server_id)
    found = next(status for status in service.mcp.list() if status.server.id == server.id)
    if not found.tools and found.state not in ("", "connected"):
        raise ToolError(f"{found.state.rstrip('.')}. Refresh it when it can be reached.")
    return [to_tool(tool) for tool in found.tools]


@router.get("/mcp-servers/{mcp_server_id}/tools/{tool_id}", operation_id="retrieve_mcp_server_tool")
def retrieve_tool(service: Service, mcp_server_id: str, tool_id: str) -> ToolShape:
    """Return one tool of an MCP server."""
    return to_tool(service.mcp.tool(mcp_server_id, tool_id))


@router.post("/mcp-servers/{mcp_server_id}/tools/{tool_id}/run", operation_id="run_mcp_server_tool")
def run_tool(
    service: Service, mcp_server_id: str, tool_id: str, asked: ToolRun
) -> ToolExecutionResult:
    """Call a tool of an MCP server by hand."""
    return to_result(service.tools.run(service.mcp.tool(mcp_server_id, tool_id), asked.args))


def _tool_names(service: Service, server_id: str) -> list[str]:
    for status in service.mcp.list():
        if status.server.id == server_id:
            return [tool.name for tool in status.tools]
    return []
