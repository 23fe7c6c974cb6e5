"""Tools, and the MCP servers that some come from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from letta_kernel.ids import new_id, now
from letta_kernel.records.base import Record
from letta_kernel.users import current_user


class Tool(Record):
    """A function agents can call. ``parameters`` is the JSON schema the model sees."""

    id: str = Field(default_factory=lambda: new_id("tool"))
    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object", "properties": {}, "required": []}
    )
    source: str = ""
    kind: Literal["core", "notebook", "source", "mcp", "turn"] = "notebook"
    runs_in: Literal["core", "notebook", "sandbox", "mcp"] = "notebook"
    requires_approval: bool = False
    parallel_safe: bool = False
    return_limit: int = 50_000  # characters of a result kept for the model
    time_limit: float | None = None  # seconds; None: no limit of its own
    network: bool = True  # whether it has one in the sandbox
    notebook: str | None = None  # the notebook (kernel session path) that defined it
    cell_id: str | None = None
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)


OWN_SECRET = "LETTA_MCP_"
"""How the names of variables begin that a server's record has itself: secrets a client gave as they are."""


class McpServer(Record):
    """A Model Context Protocol server: a command (stdio) or a URL (streamable HTTP, or ``sse``), never both.

    ``${NAME}`` in ``command``, ``url``, ``environment`` and ``headers`` stands for an environment variable
    that is read when the server is connected, so that secrets are not kept here. Those whose name begins with
    `OWN_SECRET` stand in ``environment`` itself, encrypted in the store and shown nowhere. The limits (seconds,
    characters) and ``requires_approval`` are those its tools begin with.
    """

    id: str = Field(default_factory=lambda: new_id("mcp_server"))
    name: str
    command: list[str] = []  # the program and its arguments
    folder: str = ""  # where the program runs; beside the project if empty
    url: str = ""
    sse: bool = False  # the older way of speaking with a URL
    environment: dict[str, str] = {}
    headers: dict[str, str] = {}
    start_limit: float = 60.0
    time_limit: float = 60.0
    return_limit: int = 50_000
    requires_approval: bool = False
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)

    @property
    def variables(self) -> dict[str, str]:
        """What a program's environment gets, without the server's own secrets."""
        return {k: text for k, text in self.environment.items() if not k.startswith(OWN_SECRET)}
