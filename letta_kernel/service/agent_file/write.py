"""What an agent file says of an agent, its blocks, tools and servers, in Letta's words and without secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from letta_kernel.agent.settings import STAY_HERE
from letta_kernel.records import (
    REST,
    SLEEPTIME_OF,
    AgentState,
    Block,
    McpServer,
    Passage,
    Tool,
    ToolRule,
)
from letta_kernel.service.agent_file.parse import OURS, PROVIDERS, stays_here
from letta_kernel.tools import builtin
from letta_kernel.tools.schema_models import KEPT_AS

_ENDPOINTS = frozenset(
    [
        *("openai", "anthropic", "google_ai", "google_vertex", "azure", "groq", "ollama", "vllm"),
        *("mistral", "together", "bedrock", "deepseek", "xai", "zai", "moonshot", "minimax"),
        *("baseten", "fireworks", "openrouter"),
    ]
)
"""The kinds of endpoints Letta knows; what it does not know speaks OpenAI's way, mostly."""
_SECRET = re.compile(r"key|token|secret|passw|auth|credential", re.IGNORECASE)


def passages(kept: Sequence[Passage]) -> list[dict[str, Any]]:
    """Return passages; what supersedes one is named by its place among them."""
    place = {one.id: number for number, one in enumerate(kept)}
    fields = {"content", "tags", "source", "position", "metadata", "created_at"}
    found = []
    for one in kept:
        entry = one.model_dump(mode="json", include=fields)
        if one.superseded_by in place:  # not where that is in an archive others share
            entry["superseded_by"] = place[one.superseded_by]
            entry["superseded_at"] = one.model_dump(mode="json")["superseded_at"]
        found.append(entry)
    return found


def agent(state: AgentState, agent_id: str, system: str) -> dict[str, Any]:
    """Return an agent without what it has; environment variables keep their names only."""
    settings = {key: value for key, value in state.settings.items() if key not in STAY_HERE}
    model = None if stays_here(state.model) else state.model
    settings["fallbacks"] = [one for one in settings.get("fallbacks", ()) if not stays_here(one)]
    if not settings["fallbacks"]:
        del settings["fallbacks"]
    shown = {k: v for k, v in (state.metadata.get(REST) or {}).items() if k != SLEEPTIME_OF}
    metadata = {key: value for key, value in state.metadata.items() if key != REST}
    if shown:
        metadata[REST] = shown
    ours = {
        "model": model,
        "embedding": state.embedding,
        "max_steps": state.max_steps,
        "settings": settings,
        "exported": state.id,  # by which a later export knows its file
    }
    return {
        "id": agent_id,
        "name": state.name,
        "description": state.description or None,
        "agent_type": shown.get("agent_type")
        or ("letta_v1_agent" if state.style == "native" else "memgpt_v2_agent"),
        "system": system,
        "memory_blocks": [],
        "tools": [],
        "source_ids": [],
        "folder_ids": None,
        "group_ids": [],
        "files_agents": [],
        "tool_rules": [_rule_entry(rule) for rule in state.tool_rules],
        "tags": list(state.tags),
        "llm_config": _llm_config(model, settings),
        "embedding_config": None if state.embedding else shown.get("embedding_config"),
        "model": None,
        "embedding": None,
        "initial_message_sequence": None,
        "include_base_tools": False,
        "include_multi_agent_tools": False,
        "include_base_tool_rules": False,
        "include_default_source": False,
        "message_buffer_autoclear": bool(settings.get("autoclear")),
        "enable_sleeptime": False,
        "metadata": {**metadata, OURS: ours},
        "timezone": settings.get("timezone", "UTC"),
        "response_format": settings.get("response_format"),
        "tool_exec_environment_variables": dict.fromkeys(state.settings.get("environment", {}), ""),
        "secrets": None,
    }


def _llm_config(model: str | None, settings: dict[str, Any]) -> dict[str, Any] | None:
    if model is None:
        return None
    provider, _, name = model.partition("/")
    theirs = {ours: theirs for theirs, ours in PROVIDERS.items()}.get(provider, provider)
    return {
        "model": name,
        "model_endpoint_type": theirs if theirs in _ENDPOINTS else "openai",
        "model_endpoint": None,
        "context_window": settings.get("context_window") or 32_768,
        "handle": f"{theirs}/{name}",
        "temperature": settings.get("temperature", 1.0),
        "max_tokens": settings.get("max_tokens"),
        "reasoning_effort": settings.get("reasoning_effort"),
        "put_inner_thoughts_in_kwargs": False,
    }


def _rule_entry(rule: ToolRule) -> dict[str, Any]:
    return rule.model_dump(exclude_defaults=True) | {"type": rule.type, "tool_name": rule.tool_name}


def block(block: Block, block_id: str) -> dict[str, Any]:
    """Return a memory block."""
    metadata = dict(block.metadata)
    if block.tags:
        metadata[OURS] = {"tags": block.tags}
    return {
        "id": block_id,
        "label": block.label,
        "value": block.value,
        "limit": block.limit,
        "description": block.description,
        "read_only": block.read_only,
        "metadata": metadata,
        "is_template": False,
        "template_name": None,
    }


def tool(tool: Tool, tool_id: str, servers: dict[str, McpServer]) -> dict[str, Any]:
    """Return a tool with its source and schema."""
    ours = {"time_limit": tool.time_limit} if tool.time_limit is not None else {}
    metadata: dict[str, Any] = {**tool.metadata, **({OURS: ours} if ours else {})}
    kind, tags = "custom", list(tool.tags)
    if tool.kind == "core":
        kind = "letta_core"
    elif builtin.is_together(tool.id):
        kind = "letta_multi_agent_core"
    elif builtin.is_outside(tool.id):
        kind = "letta_builtin"
    elif tool.kind == "mcp":
        server = servers.get(str(tool.metadata.get("server_id")))
        name = server.name if server else ""
        kind, metadata, tags = "external_mcp", {"mcp": {"server_name": name}}, [f"mcp:{name}"]
    return {
        "id": tool_id,
        "name": tool.name,
        "tool_type": kind,
        "description": tool.description,
        "source_type": "python",
        "source_code": tool.source or None,
        "json_schema": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
        "args_json_schema": tool.metadata.get(KEPT_AS),
        "return_char_limit": tool.return_limit,
        "default_requires_approval": tool.requires_approval,
        "enable_parallel_execution": tool.parallel_safe,
        "pip_requirements": None,
        "npm_requirements": None,
        "tags": tags,
        "metadata_": metadata,
    }


def server(server: McpServer, server_id: str) -> dict[str, Any]:
    """Return a server without anything that may be a secret."""
    config = None
    if server.command:
        program, *arguments = server.command
        config = {
            "server_name": server.name,
            "type": "stdio",
            "command": program,
            "args": _without_secrets(arguments),
        }
    url = urlsplit(server.url)
    bare = urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", ""))
    return {
        "id": server_id,
        "server_type": "stdio" if server.command else "streamable_http",
        "server_name": server.name,
        "server_url": bare or None,
        "stdio_config": config,
        "metadata_": None,
    }


def _without_secrets(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    hide = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if hide and not argument.startswith("-"):
            argument = "***"
        elif equals and _SECRET.search(name):
            argument = f"{name}=***"
        hide = argument.startswith("-") and not equals and bool(_SECRET.search(argument))
        kept.append(argument)
    return kept
