"""What a client sends to make or change an agent, and what that means for us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from letta_kernel import agent_messages
from letta_kernel.agent.prompts import SLEEPTIME
from letta_kernel.agent.settings import check_settings
from letta_kernel.errors import InvalidInputError
from letta_kernel.records import ToolRule
from letta_kernel.server.errors import FieldError, LeftOutError
from letta_kernel.server.handles import embedding_name, handle_of, model_name
from letta_kernel.server.schemas.base import Asked
from letta_kernel.server.schemas.blocks import BlockCreate, Texts
from letta_kernel.server.schemas.model_settings import ModelSettingsIn, check_format, settings_from
from letta_kernel.server.schemas.requests import CompactionIn, MessageIn
from letta_kernel.server.schemas.tool_rules import ToolRuleIn, from_rule

HEARTBEATS = ("memgpt_agent", "memgpt_v2_agent")
NATIVE = ("letta_v1_agent", "react_agent", "sleeptime_agent", "workflow_agent")
AgentType = Literal[
    "memgpt_agent",
    "memgpt_v2_agent",
    "letta_v1_agent",
    "react_agent",
    "workflow_agent",
    "split_thread_agent",
    "sleeptime_agent",
    "voice_convo_agent",
    "voice_sleeptime_agent",
]
_BASE_TOOLS: dict[str, tuple[str, ...]] = {  # of the types of Letta's agents that begin with others
    "memgpt_agent": (
        *("send_message", "conversation_search", "core_memory_append", "core_memory_replace"),
        *("memory", "memory_apply_patch"),
    ),
    "memgpt_v2_agent": ("send_message", "conversation_search", "memory_insert", "memory_replace"),
    "sleeptime_agent": (
        *("memory_replace", "memory_insert", "memory_rethink", "memory_finish_edits"),
    ),
    "react_agent": (),
    "workflow_agent": (),
}
_TIDIED_TOOLS = ("conversation_search", "archival_memory_search")  # others write its memory
_NOT_DONE = {
    "from_template": "templates",
    "template": "templates",
}

Ids = Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=1000)]


class LlmConfigIn(Asked):
    """The older form of model and settings."""

    model: str | None = Field(None, max_length=200)
    model_endpoint_type: str | None = Field(None, max_length=50)
    handle: str | None = None
    context_window: int | None = Field(None, ge=512)


class EmbeddingConfigIn(Asked):
    """The older form of the embedding model."""

    embedding_model: str | None = None
    handle: str | None = None


class AgentFields(Asked):
    """What can be given when an agent is made and changed later."""

    name: str | None = None
    description: str | None = None
    system: str | None = Field(
        None, description="The instructions; memory blocks are added to them."
    )
    model: str | None = Field(None, max_length=300, description="A handle: provider/model.")
    model_settings: ModelSettingsIn | None = None
    embedding: str | None = Field(None, max_length=300)
    llm_config: LlmConfigIn | None = None
    embedding_config: EmbeddingConfigIn | None = None
    context_window_limit: int | None = Field(None, ge=512, le=100_000_000)
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    compaction_settings: CompactionIn | None = None
    tags: Texts | None = None
    metadata: dict[str, Any] | None = None
    secrets: dict[str, str] | None = None
    tool_exec_environment_variables: dict[str, str] | None = None
    timezone: str | None = Field(None, max_length=100)
    tool_ids: Ids | None = None
    block_ids: Ids | None = None
    identity_ids: Ids | None = None
    folder_ids: Ids | None = None
    source_ids: Ids | None = None
    tool_rules: list[ToolRuleIn] | None = Field(None, max_length=1000)
    enable_sleeptime: bool | None = None
    message_buffer_autoclear: bool | None = None
    hidden: bool | None = None

    def common(self, kept: dict[str, Any]) -> dict[str, Any]:
        """Return what is given, by the names `AgentService` has for it.

        Parameters
        ----------
        kept : what is kept in the metadata under `REST`; it is added to.

        Raises
        ------
        FieldError, LeftOutError
            A value cannot be, or asks for what is not done here.
        """
        for field, what in _NOT_DONE.items():
            if getattr(self, field, None):
                raise LeftOutError(f"Not offered by this server: {what} ({field}).")
        ours: dict[str, Any] = {}
        if self.description is not None:
            ours["description"] = self.description
        if self.system is not None:
            ours["instructions"] = self.system
        if self.tags is not None:
            ours["tags"] = self.tags
        if self.tool_rules is not None:
            rules: list[ToolRule] = []
            for rule in map(from_rule, self.tool_rules):
                rules += [rule] if rule not in rules else []
            ours["tool_rules"] = rules
        if (handle := self._model()) is not None:
            ours["model"] = model_name(handle)
        if (embedding := self._embedding()) is not None:
            ours["embedding"] = embedding_name(embedding)
        ours["settings"] = self._settings(kept)
        for name in ("block_ids", "identity_ids"):
            if getattr(self, name) is not None:
                ours[name] = getattr(self, name)
        if self.hidden is not None:
            ours["set_aside"] = self.hidden
        return ours

    def folders(self) -> list[str]:
        """Return the folders that are given, by either of the names they have had, each once."""
        return list(dict.fromkeys([*(self.folder_ids or ()), *(self.source_ids or ())]))

    def _model(self) -> str | None:
        if self.model is not None or self.llm_config is None:
            return self.model
        older = self.llm_config
        if older.handle or older.model is None:
            return older.handle
        return handle_of(older.model, older.model_endpoint_type)

    def _embedding(self) -> str | None:
        if self.embedding is not None or self.embedding_config is None:
            return self.embedding
        return self.embedding_config.handle

    def _settings(self, kept: dict[str, Any]) -> dict[str, Any]:
        ours: dict[str, Any] = {}
        if self.model_settings is not None:
            ours, shown = settings_from(self.model_settings)
            kept["model_settings"] = {**kept.get("model_settings", {}), **shown}
        if self.response_format is not None:
            check_format(self.response_format, "response_format")
            ours["response_format"] = self.response_format
        if self.max_tokens is not None:
            ours.setdefault("max_tokens", self.max_tokens)
        if self.parallel_tool_calls is not None:
            kept.setdefault("model_settings", {})["parallel_tool_calls"] = self.parallel_tool_calls
        window = self.context_window_limit
        if window is None and self.llm_config is not None:
            window = self.llm_config.context_window
        if window is not None:
            ours["context_window"] = window
        if self.message_buffer_autoclear is not None:
            ours["autoclear"] = self.message_buffer_autoclear
        if self.timezone is not None:
            try:
                ours |= check_settings({"timezone": self.timezone})
            except InvalidInputError as error:
                raise FieldError("timezone", error.text, *error.remedies) from None
        secrets = self.secrets if self.secrets is not None else self.tool_exec_environment_variables
        if secrets is not None:
            for name in secrets:
                if not name.isidentifier():
                    raise FieldError("secrets", f"{name[:100]!r} is no name of a variable.")
            ours["environment"] = secrets
        if self.compaction_settings is not None and self.compaction_settings.mode:
            ours["compaction"] = self.compaction_settings.ours()
            kept["compaction_mode"] = self.compaction_settings.mode
        return ours


class AgentCreate(AgentFields):
    """An agent to make; everything has a default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "ada",
                    "model": "openai/gpt-5-mini",
                    "memory_blocks": [
                        {"label": "human", "value": "The user is Grace."},
                        {"label": "persona", "value": "I am a patient teacher."},
                    ],
                },
                {},
            ]
        }
    )

    agent_type: AgentType = "letta_v1_agent"
    memory_blocks: list[BlockCreate] | None = Field(None, max_length=100)
    tools: Ids | None = Field(None, description="Names of tools there are.")
    include_base_tools: bool = True
    include_base_tool_rules: bool | None = None
    include_multi_agent_tools: bool = Field(
        False, description="Gives it the tools by which it sends messages to other agents."
    )
    initial_message_sequence: list[MessageIn] | None = Field(None, max_length=1000)
    from_template: str | None = None
    template: bool = False

    def base_tools(self) -> Sequence[str]:
        """Return the names of the core tools the agent begins with, by its type as in Letta."""
        if not self.include_base_tools:
            return ()
        if self.enable_sleeptime and self.agent_type != "sleeptime_agent":
            speaks = ("send_message",) if self.agent_type in HEARTBEATS else ()
            return (*speaks, *_TIDIED_TOOLS)
        native = ("conversation_search", "memory_insert", "memory_replace")
        return _BASE_TOOLS.get(self.agent_type, native)

    def tool_refs(self) -> Sequence[str]:
        """Return the names and ids of the tools it is given beside its base tools."""
        together = agent_messages.TOOLS if self.include_multi_agent_tools else ()
        return list(dict.fromkeys([*(self.tools or ()), *(self.tool_ids or ()), *together]))

    def common(self, kept: dict[str, Any]) -> dict[str, Any]:
        """Return what is given, as `AgentFields.common` does, with what its type begins with."""
        ours = super().common(kept)
        if self.agent_type == "workflow_agent":  # each message begins anew
            ours["settings"]["autoclear"] = True
        if self.agent_type == "sleeptime_agent":
            ours.setdefault("instructions", SLEEPTIME)
            if self.include_base_tools and self.include_base_tool_rules is not False:
                done = ToolRule(type="exit_loop", tool_name="memory_finish_edits")
                ours["tool_rules"] = [*ours.get("tool_rules", ()), done]
        return ours

    def style(self) -> Literal["native", "heartbeat"]:
        """Return our style for the agent type."""
        if self.agent_type in HEARTBEATS:
            return "heartbeat"
        if self.agent_type in NATIVE:
            return "native"
        raise FieldError(
            "agent_type",
            f"Agents of type {self.agent_type} are not offered: use letta_v1_agent, or memgpt_agent "
            "for heartbeats.",
        )


class AgentUpdate(AgentFields):
    """What to change of an agent; what is not given, or null, stays. Lists replace what there is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "grace", "tags": ["teacher"]}]}
    )
