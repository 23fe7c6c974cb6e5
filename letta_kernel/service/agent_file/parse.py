"""Agent files (``.af``) as they are read: their limits, their two forms, what of them we know.

A file comes from anywhere. It is measured before anything is built of it, unknown fields are left alone, and
what is wrong is said in one line. The older form, one flat agent, is brought into the newer one, in which
agents name their blocks, tools and messages by ids.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from letta_kernel.errors import InvalidInputError
from letta_kernel.models.plugins import is_joined

no_agent_file = partial(InvalidInputError, page="agent-file")
"""Makes the error of an agent file that cannot be read."""

MAX_BYTES = 50_000_000
MAX_DEPTH = 60
MAX_VALUES = 2_000_000
MAX_AGENTS = 110  # a whole group of 50 and more
MAX_GROUPS = 50
MAX_MESSAGES = 100_000
MAX_PASSAGES = 200_000
MAX_PARTS = 1_000  # blocks, tools, rules, tags and the like, each
MAX_BLOCK = 1_000_000  # characters
OURS = "letta_kernel"
"""The key under which we keep what Letta has no field for."""
OTHER_TYPES = (
    *("memgpt_agent", "react_agent", "workflow_agent", "split_thread_agent", "sleeptime_agent"),
    *("voice_convo_agent", "voice_sleeptime_agent"),
)
"""Letta's types of agents that are more to it than our two styles."""
PROVIDERS = {"google_ai": "gemini", "google_vertex": "vertex_ai", "together": "together_ai"}
"""Letta's names of model providers that differ from ours."""


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime | None, AfterValidator(_in_utc)]
Ids = Annotated[list[str], Field(max_length=MAX_PARTS)]


class Part(BaseModel):
    """Something in a file; what we have no use for is ignored."""

    model_config = ConfigDict(extra="ignore")


class FileBlock(Part):
    """A memory block."""

    id: str = ""
    label: str
    value: str = Field("", max_length=MAX_BLOCK)
    limit: int | None = Field(None, ge=0, le=2**31 - 1)
    description: str | None = None
    read_only: bool | None = None
    tags: Ids | None = None
    metadata: dict[str, Any] | None = None


class FileTool(Part):
    """A tool with its source and schema."""

    id: str = ""
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")
    tool_type: str | None = None
    description: str | None = None
    source_type: str | None = None
    source_code: str | None = Field(None, max_length=1_000_000)
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    return_char_limit: int | None = Field(None, ge=1, le=10_000_000)
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    tags: Ids | None = None
    metadata: dict[str, Any] | None = Field(None, alias="metadata_")


class FileMessage(Part):
    """A message of an agent's history."""

    id: str = ""
    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = Field(None, max_length=MAX_PARTS)
    tool_call_id: str | None = None
    tool_returns: list[dict[str, Any]] | None = Field(None, max_length=MAX_PARTS)
    sender_id: str | None = None
    group_id: str | None = None
    created_at: Moment = None
    ours: dict[str, Any] | None = Field(None, alias="letta_kernel")


class FilePassage(Part):
    """A piece of archival memory (ours: Letta's files have none)."""

    content: str
    tags: Ids = []
    source: str | None = None
    position: int = Field(0, ge=0, le=2**62)
    metadata: dict[str, Any] = {}
    created_at: Moment = None
    superseded_by: int | None = Field(None, ge=0)  # its place among the passages
    superseded_at: Moment = None


class FileAgent(Part):
    """An agent."""

    id: str = ""
    name: str
    agent_type: str | None = None
    system: str | None = None
    description: str | None = None
    model: str | None = None
    embedding: str | None = None
    llm_config: dict[str, Any] | None = None
    embedding_config: dict[str, Any] | None = None
    context_window_limit: int | None = None
    timezone: str | None = None
    response_format: dict[str, Any] | None = None
    tags: Ids | None = None
    metadata: dict[str, Any] | None = None
    memory_blocks: Annotated[list[FileBlock], Field(max_length=MAX_PARTS)] | None = None
    block_ids: Ids | None = None
    tool_ids: Ids | None = None
    source_ids: Ids | None = None
    group_ids: Ids | None = None
    tool_rules: Annotated[list[dict[str, Any]], Field(max_length=MAX_PARTS)] | None = None
    tool_exec_environment_variables: dict[str, Any] | None = None
    secrets: dict[str, Any] | None = None
    message_buffer_autoclear: bool | None = None
    enable_sleeptime: bool | None = None
    messages: list[FileMessage] = Field([], max_length=MAX_MESSAGES)
    in_context_message_ids: list[str] = Field([], max_length=MAX_MESSAGES)
    passages: list[FilePassage] = Field([], max_length=MAX_PASSAGES)


class FileGroup(Part):
    """A group of the file's agents, who are named by their ids in it."""

    id: str = ""
    agent_ids: Ids = []
    description: str | None = None
    manager_config: dict[str, Any] | None = None
    shared_block_ids: Ids | None = None
    hidden: bool | None = None
    ours: dict[str, Any] | None = Field(None, alias="letta_kernel")


class AgentFile(Part):
    """A whole file, in the newer form."""

    agents: list[FileAgent] = Field(min_length=1, max_length=MAX_AGENTS)
    blocks: list[FileBlock] = Field([], max_length=MAX_PARTS)
    tools: list[FileTool] = Field([], max_length=MAX_PARTS)
    groups: Annotated[list[FileGroup], Field(max_length=MAX_GROUPS)] | None = None
    files: list[Any] | None = None
    sources: list[Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = Field(None, max_length=MAX_PARTS)
    skills: list[Any] | None = None


def parse(data: Any) -> AgentFile:
    """Return what a file holds; *data* is its bytes, its text, or the JSON value itself.

    Raises
    ------
    InvalidInputError
        It is no agent file, or too large, deep or full.
    """
    for _ in range(2):  # some files are a JSON string that holds the JSON
        if not isinstance(data, str | bytes | bytearray):
            break
        data = _json(data)
    if not isinstance(data, dict):
        raise no_agent_file("This is no agent file: it is not a JSON object.")
    _measure(data)
    if "agents" not in data and not ("core_memory" in data or "llm_config" in data):
        raise no_agent_file("This is no agent file: it has no agents.")
    try:
        return AgentFile.model_validate(data if "agents" in data else from_legacy(data))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise no_agent_file(f"The agent file is wrong at {where[:200]}: {first['msg']}.") from None


def stays_here(model: str | None) -> bool:
    """Return whether a model's name means something on one machine only, such as a file's path."""
    return model is not None and (is_joined(model.partition("/")[0]) or "/" not in model)


def _json(data: str | bytes | bytearray) -> Any:
    if len(data) > MAX_BYTES:
        raise no_agent_file(f"An agent file may have {MAX_BYTES:,} bytes; this has {len(data):,}.")
    try:
        return json.loads(data)
    except RecursionError:
        raise no_agent_file("The agent file is nested too deeply.") from None
    except ValueError as error:
        raise no_agent_file(f"This is no agent file: it is no JSON ({error}).") from None


def _measure(data: Any) -> None:
    """Refuse what is too deep or too large, whichever way it came."""
    values = characters = 0
    level = [data]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        values += len(level)
        for item in level:
            if isinstance(item, str):
                characters += len(item)
            elif isinstance(item, dict):
                characters += sum(map(len, map(str, item)))
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if values > MAX_VALUES or characters > MAX_BYTES:
            raise no_agent_file("The agent file holds too much.")
        if not below:
            return
        level = below
    raise no_agent_file(f"The agent file is nested more than {MAX_DEPTH} levels deep.")


def from_legacy(data: dict[str, Any]) -> dict[str, Any]:
    """Return the older form, one flat agent, as the newer one."""
    blocks, tools, said = (_numbered(data, key) for key in ("core_memory", "tools", "messages"))
    for block in blocks:
        block["metadata"] = block.get("metadata_")
    seen = data.get("in_context_message_indices") or []
    tags = data.get("tags") or []
    variables = data.get("tool_exec_environment_variables") or []
    _list_of(tags, dict, "tags")
    _list_of(variables, dict, "tool_exec_environment_variables")
    _list_of(seen, int, "in_context_message_indices")
    agent = {
        **data,
        "tags": [str(tag.get("tag", "")) for tag in tags],
        "metadata": data.get("metadata_"),
        "tool_exec_environment_variables": {str(one.get("key", "")): "" for one in variables},
        "block_ids": [block["id"] for block in blocks],
        "tool_ids": [tool["id"] for tool in tools],
        "messages": said,
        "in_context_message_ids": [f"messages-{n}" for n in seen if 0 <= n < len(said)],
    }
    return {"agents": [agent], "blocks": blocks, "tools": tools}


def to_legacy(data: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the newer form with one agent as the older one."""
    # A table of where each field stands in the older form; nothing is decided here.
    agent = dict(data["agents"][0])
    said = agent["messages"]
    places = {message["id"]: number for number, message in enumerate(said)}
    gone = ("type", "agent_id", "id")
    stamp = data["created_at"]
    dated = {"created_at": stamp, "updated_at": stamp}
    kept = (
        *("agent_type", "description", "embedding_config", "llm_config", "name", "system"),
        *("message_buffer_autoclear", "tool_rules", "passages"),
    )
    return {
        **{key: agent[key] for key in kept},
        **dated,
        "core_memory": [
            {
                "metadata_": block["metadata"],
                **dated,
                **{k: v for k, v in block.items() if k != "id"},
            }
            for block in data["blocks"]
        ],
        "messages": [
            {
                **{key: value for key, value in message.items() if key not in gone},
                "tool_calls": message["tool_calls"] or [],
                "updated_at": message["created_at"],
            }
            for message in said
        ],
        "in_context_message_indices": [places[one] for one in agent["in_context_message_ids"]],
        "tools": [
            {**dated, **{key: value for key, value in tool.items() if key != "id"}}
            for tool in data["tools"]
        ],
        "tags": [{"tag": tag} for tag in agent["tags"]],
        "tool_exec_environment_variables": [
            {"key": name, "value": "", "description": None, **dated}
            for name in agent["tool_exec_environment_variables"]
        ],
        "metadata_": agent["metadata"],
        "timezone": agent["timezone"],
        "multi_agent_group": None,
        "groups": [],
        "identities": [],
        "version": version,
    }


def _numbered(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = data.get(key) or []
    _list_of(items, dict, key)
    return [{**item, "id": f"{key}-{number}"} for number, item in enumerate(items)]


def _list_of(items: Any, kind: type, key: str) -> None:
    if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
        raise no_agent_file(f"The agent file is wrong at {key}: it is no list of the right things.")
