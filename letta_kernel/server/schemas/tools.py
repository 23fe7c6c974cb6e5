"""Tools in the API's shapes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from letta_kernel.records import Tool
from letta_kernel.server.schemas.base import Asked, Shape, lines_of
from letta_kernel.server.schemas.blocks import Texts
from letta_kernel.tools import builtin
from letta_kernel.tools.file_tools import FILE_TOOLS
from letta_kernel.tools.outcome import Outcome
from letta_kernel.tools.schema_models import KEPT_AS

ToolType = Literal[
    "custom",
    "letta_core",
    "letta_memory_core",
    "letta_multi_agent_core",
    "letta_sleeptime_core",
    "letta_voice_sleeptime_core",
    "letta_builtin",
    "letta_files_core",
    "external_langchain",
    "external_composio",
    "external_mcp",
]
TOOL_TYPES: tuple[str, ...] = get_args(ToolType)
APART = ("pip_requirements", KEPT_AS)
"""What the metadata of a tool keeps that the API has fields of its own for."""
_CORE = ("send_message", "conversation_search", "archival_memory_insert", "archival_memory_search")
_FILES = tuple(function.__name__ for function in FILE_TOOLS)
ReturnLimit = Annotated[
    int, Field(ge=1, le=1_000_000, description="Characters of a result the model is shown.")
]


class PipRequirement(Asked):
    """A package a tool needs."""

    name: Annotated[str, Field(max_length=200)]
    version: Annotated[str, Field(max_length=100)] | None = None


class NpmRequirement(Asked):
    """A package of another language; tools in that language cannot be run here."""

    name: str
    version: str | None = None


class ToolShape(Shape):
    """A function agents can call."""

    id: str
    name: str
    description: str | None = None
    tool_type: ToolType = "custom"
    source_type: str | None = "python"
    source_code: str | None = None
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    tags: list[str] = Field(default_factory=list)
    return_char_limit: int | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    pip_requirements: list[dict[str, Any]] | None = None
    npm_requirements: list[dict[str, Any]] | None = None
    metadata: Annotated[dict[str, Any], Field(serialization_alias="metadata_")] = Field(
        default_factory=dict
    )
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    project_id: str | None = None


class ToolFields(Asked):
    """What can be given when a tool is made and changed later."""

    description: str | None = None
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    tags: Texts | None = None
    return_char_limit: ReturnLimit | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    pip_requirements: Annotated[list[PipRequirement], Field(max_length=100)] | None = None
    npm_requirements: Annotated[list[NpmRequirement], Field(max_length=100)] | None = None

    def given(self) -> dict[str, Any]:
        """Return what is given of it but source and packages, by the names `Tools` has for it."""
        return {
            "schema": self.json_schema,
            "parameters": self.args_json_schema,
            "description": self.description,
            "tags": self.tags,
            "return_limit": self.return_char_limit,
            "requires_approval": self.default_requires_approval,
            "parallel_safe": self.enable_parallel_execution,
        }


class ToolCreate(ToolFields):
    """A tool as source: its last top-level function, with a docstring that describes the arguments."""

    source_code: str
    source_type: str = "python"


class ToolUpdate(ToolFields):
    """What to change of a tool; what is not given, or null, stays."""

    source_code: str | None = None
    source_type: str | None = None
    metadata: Annotated[dict[str, Any] | None, Field(validation_alias="metadata_")] = None


class ToolSearch(Asked):
    """What to look for among the tools."""

    query: Annotated[str, Field(max_length=10_000)] | None = None
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    tool_types: list[str] | None = None
    tags: list[str] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class ToolFound(Shape):
    """A tool that was found; ``combined_score`` says from 0 to 1 how well it fits."""

    tool: ToolShape
    combined_score: float
    embedded_text: str | None = None
    fts_rank: int | None = None
    vector_rank: int | None = None


class ToolTrial(Asked):
    """Source to try with arguments, without keeping it."""

    source_code: str
    args: dict[str, Any] = Field(default_factory=dict)
    env_vars: dict[str, str] | None = None
    name: str | None = None
    source_type: str | None = "python"
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    pip_requirements: list[PipRequirement] | None = None


class ToolRun(Asked):
    """The arguments of a call."""

    args: dict[str, Any] = Field(default_factory=dict)


class ToolExecutionResult(Shape):
    """How a call ended."""

    status: Literal["success", "error"]
    func_return: Any = None
    agent_state: Any = None
    stdout: list[str] | None = None
    stderr: list[str] | None = None
    sandbox_config_fingerprint: str | None = None


def type_of(tool_id: str, kind: str, name: str) -> ToolType:
    """Return the API's word for a tool of this kind of ours."""
    if kind == "core":
        if name in _CORE:
            return "letta_core"
        return "letta_files_core" if name in _FILES else "letta_memory_core"
    if builtin.is_together(tool_id):
        return "letta_multi_agent_core"
    if builtin.is_outside(tool_id):
        return "letta_builtin"
    return "external_mcp" if kind == "mcp" else "custom"


def to_tool(tool: Tool) -> ToolShape:
    """Return *tool* in the API's shape."""
    metadata = {name: value for name, value in tool.metadata.items() if name not in APART}
    wanted, arguments = (tool.metadata.get(name) for name in APART)
    return ToolShape.of(
        tool,
        tool_type=type_of(tool.id, tool.kind, tool.name),
        source_type="python" if tool.kind in ("source", "notebook", "core") else "json",
        source_code=tool.source or None,
        json_schema={
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
        args_json_schema=(arguments or tool.parameters) if tool.kind != "core" else None,
        return_char_limit=tool.return_limit,
        default_requires_approval=tool.requires_approval,
        enable_parallel_execution=tool.parallel_safe,
        pip_requirements=wanted,
        metadata=metadata,
    )


def to_result(outcome: Outcome) -> ToolExecutionResult:
    """Return how a call ended in the API's shape."""
    return ToolExecutionResult(
        status="success" if outcome.status == "ok" else "error",
        func_return=outcome.text,
        stdout=lines_of(outcome.stdout),
        stderr=lines_of(outcome.stderr or outcome.error or ""),
    )
