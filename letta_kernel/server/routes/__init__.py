"""The routes under ``/v1``, one module per resource.

A module has ``router = APIRouter(tags=["…"])`` with paths that begin with ``/`` and end without one (the
server takes a slash at the end for the same path). A path with a fixed word comes before one with a
parameter in its place.
"""

from __future__ import annotations

from fastapi import APIRouter

from letta_kernel.server import unsupported_routes
from letta_kernel.server.routes import (
    agent_files,
    agent_messages,
    agents,
    archives,
    blocks,
    conversations,
    folders,
    groups,
    health,
    identities,
    mcp_servers,
    messages_all,
    models,
    older,
    openai,
    passages,
    past,
    people,
    runs,
    steps,
    tags,
    tools,
    websocket,
)

ROUTERS: list[APIRouter] = [
    health.router,
    agent_files.router,  # before the agents': its path of a fixed word
    agents.router,
    agent_messages.router,
    archives.router,
    blocks.router,
    conversations.router,
    folders.router,
    groups.router,
    identities.router,
    mcp_servers.router,
    messages_all.router,
    models.router,
    older.router,
    openai.router,
    passages.router,
    people.router,
    past.router,
    runs.router,
    steps.router,
    tags.router,
    tools.router,
    websocket.router,
    unsupported_routes.router,  # last: what others serve is not left out
]
