"""From an agent file to records: what is taken over, what is left out and said so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from letta_kernel.agent import prompts
from letta_kernel.agent.settings import STAY_HERE, AgentSettings, check_settings
from letta_kernel.errors import InvalidInputError, LettaError
from letta_kernel.ids import now
from letta_kernel.memory.blocks import check_label
from letta_kernel.messages import Message
from letta_kernel.records import (
    REST,
    SLEEPTIME_OF,
    AgentState,
    Block,
    Passage,
    Tool,
    ToolRule,
    default_limit,
)
from letta_kernel.service.agent_checks import check_max_steps, check_style
from letta_kernel.service.agent_file import messages as file_messages
from letta_kernel.service.agent_file.parse import (
    OTHER_TYPES,
    OURS,
    PROVIDERS,
    AgentFile,
    FileAgent,
    FileBlock,
    FileMessage,
    FilePassage,
    FileTool,
    no_agent_file,
    stays_here,
)
from letta_kernel.tools import builtin
from letta_kernel.tools.schema import schema_from_source
from letta_kernel.tools.schema_models import KEPT_AS

_HANDLE = re.compile(r"[A-Za-z0-9_-]+/(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.:/@-]{0,200}")
_HEARTBEATS = ("memgpt_agent", "memgpt_v2_agent")
_EMBEDDING = (  # not its address, which may hold a key
    "embedding_model",
    "embedding_endpoint_type",
    "embedding_dim",
    "embedding_chunk_size",
    "batch_size",
    "handle",
)
MAX_IMAGES = 1_000
MAX_SHOWN = 80  # characters of a foreign name in a note


@dataclass(slots=True)
class ImportedAgent:
    """An agent ready to be written."""

    state: AgentState
    blocks: list[Block]
    built_in: list[str]
    before: list[Message]  # out of sight
    summary: list[Message]  # one, or none
    seen: list[Message]
    passages: list[Passage]


def imported_agent(
    agent: FileAgent,
    file: AgentFile,
    shared: dict[str, Block],
    history: bool,
    notes: list[str],
) -> ImportedAgent:
    """Return what is to be written for *agent*; *shared* are the blocks of the file by their ids."""
    # Everything is checked before anything is written: a file makes its agents whole or not at all.
    own = [block_of(one) for one in agent.memory_blocks or ()]
    own += [named(shared, one, "block") for one in agent.block_ids or ()]
    labels = [block.label for block in own]
    if len(set(labels)) < len(labels):
        raise no_agent_file(
            f"The agent {quoted(agent.name)} of the file has two blocks of one label."
        )
    known = {tool.id: tool for tool in file.tools}
    attached = [named(known, one, "tool") for one in agent.tool_ids or ()]
    before, summary, seen = _history(agent) if history else ([], [], [])
    return ImportedAgent(
        state=_state(agent, notes),
        blocks=own,
        built_in=[tool.name for tool in attached if _is_built_in(tool)],
        before=before,
        summary=summary,
        seen=seen,
        passages=passages_of(agent.passages if history else []),
    )


def passages_of(given: list[FilePassage]) -> list[Passage]:
    """Return the passages of a file as new ones of nobody, marked where one supersedes another."""
    made = [
        Passage(
            agent_id="",
            content=one.content,
            tags=one.tags,
            source=one.source,
            position=one.position,
            metadata=one.metadata,
            created_at=one.created_at or now(),
            reason="agent file",
        )
        for one in given
    ]
    clear: set[int] = set()
    for number, (one, asked) in enumerate(zip(made, given, strict=True)):
        path, at = {number}, asked.superseded_by
        while at is not None and at not in clear:
            if at in path or at >= len(given):
                raise no_agent_file(
                    f"The agent file's passage {number} is superseded by one that cannot do so."
                )
            path.add(at)
            at = given[at].superseded_by
        clear |= path
        if asked.superseded_by is not None:
            one.superseded_by = made[asked.superseded_by].id
            one.superseded_at = asked.superseded_at or now()
    return made


def named(known: dict[str, Any], wanted: str, kind: str) -> Any:
    """Return what a file calls *wanted*; `InvalidInputError` if it holds no such thing."""
    try:
        return known[wanted]
    except KeyError:
        raise no_agent_file(
            f"The agent file names a {kind} {quoted(wanted)} that it does not hold."
        ) from None


def block_of(one: FileBlock) -> Block:
    """Return a block of a file; its limit holds at least what is in it."""
    check_label(one.label)
    metadata = dict(one.metadata or {})
    ours = metadata.pop(OURS, None)
    tags = ours.get("tags") if isinstance(ours, dict) else None
    limit = one.limit if one.limit is not None else default_limit(one.label)
    return Block(
        label=one.label,
        value=one.value,
        limit=max(limit, len(one.value)),
        description=one.description or "",
        read_only=bool(one.read_only),
        tags=[str(tag) for tag in tags] if isinstance(tags, list) else list(one.tags or ()),
        metadata=metadata,
    )


def _state(agent: FileAgent, notes: list[str]) -> AgentState:
    metadata = dict(agent.metadata or {})
    kept = metadata.pop(OURS, None)
    ours = kept if isinstance(kept, dict) else {}
    system = agent.system or ""
    style = check_style("heartbeat" if agent.agent_type in _HEARTBEATS else "native")
    none = " " if agent.system == "" else ""  # nothing at all, which is not the style's own prompt
    told = metadata.pop(REST, None)
    shown = dict(told) if isinstance(told, dict) else {}
    shown.pop(
        SLEEPTIME_OF, None
    )  # whose memory an agent tidies is for the groups of the file to say
    if not isinstance(shown.get("agent_type", ""), str):
        del shown["agent_type"]
    if agent.agent_type in OTHER_TYPES:
        shown["agent_type"] = agent.agent_type
    if config := _embedding(agent):
        shown["embedding_config"] = config
    if shown:
        metadata[REST] = shown
    return AgentState(
        name=agent.name,
        description=agent.description or "",
        model=_model(agent, ours, notes),
        embedding=_handle(ours.get("embedding")),
        style=style,
        instructions="" if system == prompts.INSTRUCTIONS[style] else system or none,
        max_steps=check_max_steps(ours.get("max_steps", 50)),
        settings=_settings(agent, ours, notes),
        tool_rules=_rules(agent, notes),
        tags=list(agent.tags or ()),
        metadata=metadata,
    )


def _embedding(agent: FileAgent) -> dict[str, Any]:
    """Return what a file says of its embedding model: shown and exported again, but never asked."""
    config = agent.embedding_config or {}
    return {
        key: config[key]
        for key in _EMBEDDING
        if isinstance(config.get(key), str | int) and len(str(config[key])) <= MAX_SHOWN
    }


def _model(agent: FileAgent, ours: dict[str, Any], notes: list[str]) -> str | None:
    if "model" in ours:
        return _handle(ours["model"])
    config = agent.llm_config or {}
    handle = agent.model or config.get("handle")
    if not handle and config.get("model"):
        handle = f"{config.get('model_endpoint_type', '')}/{config['model']}"
    if not isinstance(handle, str) or handle.startswith("letta/"):
        return None
    provider, _, name = handle.partition("/")
    model = _handle(f"{PROVIDERS.get(provider, provider)}/{name}")
    if model is None:
        notes.append(
            f"Its model {quoted(handle)} is not taken over; another is chosen at each run."
        )
    return model


def _handle(name: Any) -> str | None:
    """Return a model's name if it is one that a file may choose: never a path on this machine."""
    if not isinstance(name, str) or stays_here(name) or not _HANDLE.fullmatch(name):
        return None
    return name


def _settings(agent: FileAgent, ours: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    found = ours.get("settings")
    if not isinstance(found, dict):
        config = agent.llm_config or {}
        found = {
            "temperature": config.get("temperature"),
            "max_tokens": config.get("max_tokens"),
            "reasoning_effort": config.get("reasoning_effort"),
            "context_window": agent.context_window_limit or config.get("context_window"),
            "timezone": agent.timezone,
            "response_format": agent.response_format,
            "autoclear": agent.message_buffer_autoclear or None,
        }
    settings: dict[str, Any] = {}
    for name, value in found.items():
        # Variables could make the programs that tools start do anything: no file may set them.
        if value is None or name in STAY_HERE or name not in AgentSettings.model_fields:
            continue
        if name == "fallbacks" and isinstance(value, list):
            value = [one for one in map(_handle, value) if one]
        try:
            settings.update(check_settings({name: value}))
        except InvalidInputError as error:
            notes.append(f"Left out: {error}")
    return settings


def _rules(agent: FileAgent, notes: list[str]) -> list[ToolRule]:
    made = []
    for rule in agent.tool_rules or ():
        known = {k: v for k, v in rule.items() if k in ToolRule.model_fields and v is not None}
        try:
            made.append(ToolRule.model_validate(known))
        except ValidationError:
            notes.append(f"Left out: a tool rule of the type {quoted(str(rule.get('type')))}.")
    return made


def _history(agent: FileAgent) -> tuple[list[Message], list[Message], list[Message]]:
    """Return the messages out of sight, the summary that stands for them, and those in sight."""
    entries = list(agent.messages)
    parts = (part for entry in entries if isinstance(entry.content, list) for part in entry.content)
    if (images := sum(part.get("type") == "image" for part in parts)) > MAX_IMAGES:
        raise no_agent_file(
            f"The agent {quoted(agent.name)} of the file has {images:,} images; it may have {MAX_IMAGES:,}."
        )
    by_id = {entry.id: entry for entry in entries if entry.id}
    sight = [by_id[one] for one in dict.fromkeys(agent.in_context_message_ids) if one in by_id]
    if not agent.in_context_message_ids:
        sight = entries
    prompts_ = {id(part[0]) for part in (entries, sight) if part and part[0].role == "system"}
    sight = [entry for entry in sight if id(entry) not in prompts_]  # we compile our own
    shown = {id(entry) for entry in sight}
    before = [entry for entry in entries if id(entry) not in shown and id(entry) not in prompts_]
    summary: list[Message] = []
    if sight and before:
        first = file_messages.from_file(sight[0], summary=True)
        if first and first[0].role == "summary":
            summary, sight = first, sight[1:]
    return _messages(before), summary, _messages(sight)


def _messages(entries: list[FileMessage]) -> list[Message]:
    return [message for entry in entries for message in file_messages.from_file(entry)]


def _is_built_in(tool: FileTool) -> bool:
    # By its name: whatever the file says such a tool does, ours is what the agent gets.
    return tool.name in builtin.NAMES and (tool.tool_type or "custom") != "custom"


_PYTHON = (None, "python", "json")  # Letta calls a tool json whose schema was given with its source


def foreign_tools(file: AgentFile, notes: list[str]) -> list[tuple[str, Tool]]:
    """Return the tools of a file that can be kept, with their ids in it.

    They are somebody's code and run only in the sandbox.
    """
    made = []
    for tool in file.tools:
        if _is_built_in(tool):
            continue
        kind = tool.tool_type or "custom"
        if kind != "custom" or not tool.source_code or tool.source_type not in _PYTHON:
            where = "of an MCP server" if "mcp" in kind else "that does not run here"
            notes.append(f"Left out: {tool.name}, a tool {where}.")
            continue
        schema = _schema(tool, notes)
        metadata = dict(tool.metadata or {})
        ours = metadata.pop(OURS, None)
        if tool.args_json_schema:
            metadata[KEPT_AS] = tool.args_json_schema
        limit = ours.get("time_limit") if isinstance(ours, dict) else None
        kept = Tool(
            name=tool.name,
            description=str(tool.description or schema.get("description") or ""),
            parameters=schema["parameters"],
            source=tool.source_code,
            kind="source",
            runs_in="sandbox",
            requires_approval=bool(tool.default_requires_approval),
            parallel_safe=bool(tool.enable_parallel_execution),
            return_limit=tool.return_char_limit or 50_000,
            network=False,  # somebody else's code, until a person lets it
            time_limit=limit if isinstance(limit, int | float) and 0 < limit < 1e6 else None,
            tags=list(tool.tags or ()),
            metadata=metadata,
        )
        made.append((tool.id, kept))
    return made


def _schema(tool: FileTool, notes: list[str]) -> dict[str, Any]:
    given = tool.json_schema or {}
    parameters = given.get("parameters")
    if isinstance(parameters, dict) and isinstance(parameters.get("properties", {}), dict):
        properties = parameters.get("properties", {})
        required = parameters.get("required") or []
        if isinstance(required, list) and all(isinstance(one, dict) for one in properties.values()):
            whole = {**parameters, "type": "object", "properties": properties, "required": required}
            return {"description": given.get("description"), "parameters": whole}
    try:
        return schema_from_source(tool.source_code or "", name=tool.name)
    except LettaError as error:
        notes.append(f"{tool.name} has no schema: {error}")
        return {"parameters": {"type": "object", "properties": {}, "required": []}}


def left_out(file: AgentFile) -> list[str]:
    """Return a line for each thing of the file that is not taken over."""
    # One line a kind of thing, in the order in which a person would miss them.
    notes = []
    for server in file.mcp_servers or ():
        config = server.get("stdio_config")
        where = server.get("server_url") or (config if isinstance(config, dict) else {}).get(
            "command"
        )
        name = quoted(str(server.get("server_name")))
        notes.append(
            f"Left out: the MCP server {name} ({quoted(str(where))}); add it if you trust it."
        )
    if file.skills:
        notes.append(f"Left out: {len(file.skills)} skills.")
    if file.files or file.sources:
        notes.append(f"Left out: {len(file.files or file.sources or ())} files; add them again.")
    names = {
        name
        for agent in file.agents
        for name in [*(agent.tool_exec_environment_variables or ()), *(agent.secrets or ())]
    }
    if names:
        listed = ", ".join(sorted(map(quoted, names))[:20])
        notes.append(f"Its tools read environment variables that you set yourself: {listed}.")
    return notes


def quoted(text: str) -> str:
    """Return foreign text as it may stand in one line."""
    return repr("".join(c if c.isprintable() else " " for c in text[:MAX_SHOWN]))
