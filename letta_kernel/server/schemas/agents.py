"""Agents in the API's shapes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field

from letta_kernel.agent.prompts import INSTRUCTIONS
from letta_kernel.models import plugins
from letta_kernel.models.registry import choose_model
from letta_kernel.records import REST, AgentState
from letta_kernel.server.authorization import alias, only_own, own_agent
from letta_kernel.server.directory import Shared
from letta_kernel.server.handles import embedding_handle, endpoint_type, model_handle
from letta_kernel.server.schemas.base import Shape
from letta_kernel.server.schemas.blocks import BlockResponse, to_block
from letta_kernel.server.schemas.folders import FolderShape, to_folder
from letta_kernel.server.schemas.groups import GroupShape, to_group
from letta_kernel.server.schemas.history import approval_request, first_id
from letta_kernel.server.schemas.identities import IdentityShape, to_identity
from letta_kernel.server.schemas.messages import ApprovalRequestMessage
from letta_kernel.server.schemas.model_settings import ModelSettings, to_settings
from letta_kernel.server.schemas.tool_rules import ToolRuleShape, to_rule
from letta_kernel.server.schemas.tools import ToolShape, to_tool
from letta_kernel.service import AgentView
from letta_kernel.stop_reasons import StopReason

Include = Literal[
    "agent.blocks",
    "agent.identities",
    "agent.managed_group",
    "agent.pending_approval",
    "agent.secrets",
    "agent.sources",
    "agent.tags",
    "agent.tools",
]
ALL: tuple[str, ...] = get_args(Include)


class LlmConfig(Shape):
    """The older form of model and settings."""

    model: str
    model_endpoint_type: str
    context_window: int
    handle: str | None = None
    provider_name: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    parallel_tool_calls: bool | None = None


class Memory(Shape):
    """The older form of the blocks."""

    blocks: list[BlockResponse]
    file_blocks: list[dict[str, Any]] = Field(default_factory=list)
    agent_type: str | None = None


class Secret(Shape):
    """An environment variable of the agent's tools; its value is never told."""

    id: str
    agent_id: str
    key: str
    value: str = ""


class CompactionSettings(Shape):
    """How a conversation that is too long is summarised."""

    mode: str


class AgentShape(Shape):
    """An agent and what it has."""

    model_config = ConfigDict(title="AgentState")

    id: str
    name: str
    agent_type: str
    description: str | None = None
    system: str
    model: str
    model_settings: ModelSettings | None = None
    embedding: str | None = None
    llm_config: LlmConfig
    memory: Memory
    blocks: list[BlockResponse]
    tools: list[ToolShape]
    sources: list[FolderShape] = Field(default_factory=list)
    folders: list[FolderShape] = Field(default_factory=list)
    tags: list[str]
    tool_rules: list[ToolRuleShape]
    metadata: dict[str, Any]
    identities: list[IdentityShape]
    identity_ids: list[str]
    secrets: list[Secret]
    tool_exec_environment_variables: list[Secret]
    compaction_settings: CompactionSettings | None = None
    timezone: str
    response_format: dict[str, Any] | None = None
    message_ids: list[str] | None = None
    message_buffer_autoclear: bool = False
    enable_sleeptime: bool = False
    hidden: bool | None = None
    managed_group: GroupShape | None = None
    multi_agent_group: GroupShape | None = Field(None, description="The older word for it.")
    pending_approval: ApprovalRequestMessage | None = None
    last_run_completion: datetime | None = None
    last_run_duration_ms: int | None = None
    last_stop_reason: StopReason | None = None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


def to_agent(view: AgentView, include: Collection[str] | None = None) -> AgentShape:
    """Return an agent in the API's shape, with the relations *include* names (None: all)."""
    state = view.state
    if only_own() is not None:  # who talks with it, and no more
        return _outside(state, alias() or state.name)
    wanted = ALL if include is None else include
    if own_agent() is not None:  # identities and groups tell who else they have
        wanted = [one for one in wanted if one not in ("agent.identities", "agent.managed_group")]
    if alias():  # the owner's functions and secrets are not a guest's to read
        wanted = [one for one in wanted if one not in ("agent.tools", "agent.secrets")]
    kept = state.metadata.get(REST) or {}
    handle = model_handle(choose_model(state.model))
    settings = to_settings(handle, state.settings, kept.get("model_settings") or {})
    blocks = [to_block(block) for block in view.blocks] if "agent.blocks" in wanted else []
    agent_type = kept.get("agent_type") or (
        "letta_v1_agent" if state.style == "native" else "memgpt_v2_agent"
    )
    identities = [to_identity(*one) for one in view.identities]
    folders = [to_folder(one) for one in view.folders] if "agent.sources" in wanted else []
    run, seen = view.last_run, view.in_context
    group = to_group(view.manages) if view.manages and "agent.managed_group" in wanted else None
    return AgentShape.of(
        state,
        name=alias() or state.name,
        agent_type=agent_type,
        description=state.description or None,
        system=state.instructions or INSTRUCTIONS[state.style],
        model=handle,
        model_settings=settings,
        embedding=embedding_handle(state.embedding),
        llm_config=_llm_config(state, handle, settings),
        memory=Memory(blocks=blocks, agent_type=agent_type),
        blocks=blocks,
        tools=[to_tool(tool) for tool in view.tools] if "agent.tools" in wanted else [],
        sources=folders,
        folders=folders,
        tags=state.tags if "agent.tags" in wanted else [],
        tool_rules=[to_rule(rule) for rule in state.tool_rules],
        metadata={key: value for key, value in state.metadata.items() if key != REST},
        identities=identities if "agent.identities" in wanted else [],
        identity_ids=[one.id for one in identities] if "agent.identities" in wanted else [],
        secrets=(secrets := _secrets(state) if "agent.secrets" in wanted else []),
        tool_exec_environment_variables=secrets,
        compaction_settings=CompactionSettings(
            mode=kept.get("compaction_mode") or _mode(state.settings.get("compaction"))
        ),
        timezone=state.settings.get("timezone") or "UTC",
        response_format=state.settings.get("response_format"),
        message_buffer_autoclear=bool(state.settings.get("autoclear")),
        message_ids=seen if seen is None else [first_id(state.id), *seen],
        hidden=state.set_aside,
        enable_sleeptime=view.manages is not None and view.manages.manager_type == "sleeptime",
        managed_group=group,
        multi_agent_group=group,
        pending_approval=_pending(view) if "agent.pending_approval" in wanted else None,
        last_run_completion=run.ended_at if run else None,
        last_run_duration_ms=int(run.seconds * 1000) if run and run.seconds is not None else None,
        last_stop_reason=run.stop_reason if run else None,
        last_updated_by_id=state.created_by,
    )


def to_shared(one: Shared) -> AgentShape:
    """Return an agent that another person has granted, as a list shows it: what it is called and is for."""
    return _outside(one.state, one.name)


def _outside(state: AgentState, name: str) -> AgentShape:
    handle = model_handle(choose_model(state.model))
    agent_type = "letta_v1_agent" if state.style == "native" else "memgpt_v2_agent"
    return AgentShape(
        id=state.id,
        name=name,
        agent_type=agent_type,
        description=state.description or None,
        system="",
        model=handle,
        model_settings=None,
        embedding=embedding_handle(state.embedding),
        llm_config=_llm_config(state, handle, None),
        memory=Memory(blocks=[], agent_type=agent_type),
        blocks=[],
        tools=[],
        tags=[],
        tool_rules=[],
        metadata={},
        identities=[],
        identity_ids=[],
        secrets=[],
        tool_exec_environment_variables=[],
        timezone=state.settings.get("timezone") or "UTC",
        created_at=state.created_at,
        updated_at=state.updated_at,
        created_by_id=state.created_by,
        multi_agent_group=None,
    )


def _mode(compaction: str | None) -> str:
    return "self_compact_sliding_window" if compaction == "self" else compaction or "sliding_window"


def _secrets(state: AgentState) -> list[Secret]:
    names = state.settings.get("environment") or {}
    return [Secret(id=f"{state.id}-{name}", agent_id=state.id, key=name) for name in sorted(names)]


def _pending(view: AgentView) -> ApprovalRequestMessage | None:
    if not view.pending or view.asked_in is None:
        return None
    request: ApprovalRequestMessage = approval_request(
        view.asked_in, view.pending, date=view.state.updated_at
    )
    return request


def _llm_config(state: AgentState, handle: str, settings: ModelSettings | None) -> LlmConfig:
    provider, _, model = handle.partition("/")
    window = window_of(choose_model(state.model))
    limit = state.settings.get("context_window")
    return LlmConfig(
        model=model,
        model_endpoint_type=endpoint_type(handle),
        context_window=min(window, limit) if limit else window,
        handle=handle,
        provider_name=provider,
        temperature=settings.temperature if settings else None,
        max_tokens=settings.max_output_tokens if settings else None,
        reasoning_effort=settings.reasoning.reasoning_effort
        if settings and settings.reasoning
        else None,
        parallel_tool_calls=settings.parallel_tool_calls if settings else None,
    )


@lru_cache(maxsize=256)
def window_of(name: str) -> int:
    """Return the tokens a model of ours can see, without opening it."""
    if provider := plugins.provider_of(name):
        return provider.context_window(name)
    from letta_kernel.models.facts import facts_of

    return facts_of(name).context_window
