"""MCP servers, and which tools came from which."""

from __future__ import annotations

from letta_kernel.ids import now
from letta_kernel.records import McpServer, Tool
from letta_kernel.store import tools
from letta_kernel.store.database import Tx
from letta_kernel.store.encrypted_tables import EncryptedTable

_SERVERS = EncryptedTable("mcp_servers", McpServer, json=("environment", "headers"))

get = _SERVERS.get


def save(tx: Tx, server: McpServer) -> McpServer:
    """Insert a server, or write it over the one of the same id."""
    server.updated_at = now()
    if not _SERVERS.update(tx, server, keep=("created_at", "created_by")):
        _SERVERS.insert(tx, [server])
    return server


def find(tx: Tx, name: str) -> McpServer | None:
    """Return the server of this name, or None."""
    found = _SERVERS.select(tx, "WHERE name = $1 ORDER BY created_at, id LIMIT 1", (name,))
    return found[0] if found else None


def list_all(tx: Tx) -> list[McpServer]:
    """Return all servers in the order of their names."""
    return _SERVERS.select(tx, "ORDER BY name, id")


def delete(tx: Tx, server_id: str) -> bool:
    """Delete a server, its tools not; False if there is none."""
    row = tx.one("DELETE FROM mcp_servers WHERE id = $1 RETURNING id", (server_id,))
    return row is not None


def tools_of(tx: Tx, server_id: str) -> list[Tool]:
    """Return the tools of a server in the order of their names."""
    return [
        tool
        for tool in tools.list_all(tx)
        if tool.kind == "mcp" and tool.metadata.get("server_id") == server_id
    ]
