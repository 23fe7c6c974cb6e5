"""Spans: what happened in runs, in OpenTelemetry's words for generative AI.

The words are those of the semantic conventions for generative AI, v0.1.0: a run is ``invoke_agent``, a call of
the model ``chat``, a tool call ``execute_tool``. What they have no word for begins with ``letta.``. Ids are
made of ours, so that a run has the same trace wherever and however often it is told.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from letta_kernel.messages import Message, Usage
from letta_kernel.models.masking import masked
from letta_kernel.stop_reasons import meaning

Value = str | int | float | bool | list[str]
LONGEST = 20_000
"""Characters of one text that goes with a span."""

# How litellm calls those that the conventions have names for.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span belongs: its trace, and the span around it."""

    trace_id: int
    parent_id: int | None = None


@dataclass(frozen=True, slots=True)
class Whose:
    """The run that a span is of."""

    run_id: str
    agent_id: str
    agent: str
    conversation: str | None
    model: str

    @property
    def span_id(self) -> int:
        """The id of the run's own span."""
        return span_id(self.run_id)


@dataclass(slots=True)
class Span:
    """Something that took time, in nanoseconds since 1970; ``error`` is a line, None if all went well."""

    place: Place
    span_id: int
    name: str
    kind: Literal["internal", "client"]
    start: int
    end: int
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str | None = None


def trace_id(run_id: str) -> int:
    """Return the id of a run's trace, 128 bits."""
    try:
        return uuid.UUID(run_id.partition("-")[2]).int
    except ValueError:  # of another store, whose ids look otherwise
        return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16])


def span_id(*names: str) -> int:
    """Return the id of a span, 64 bits, of what names it."""
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:8]) or 1


def call_span_id(run_id: str, step_id: str, call_id: str) -> int:
    """Return the id of a tool call's span."""
    return span_id(run_id, step_id, call_id)


def run_span(
    whose: Whose,
    place: Place,
    start: int,
    end: int,
    *,
    usage: Usage,
    steps: int,
    stop_reason: str | None,
    error: str | None,
    said: Sequence[Message] | None = None,
    answered: Sequence[Message] | None = None,
) -> Span:
    """Return the span of a run; *said* and *answered* are given where content is wanted."""
    made: dict[str, Value] = {
        **_common("invoke_agent", whose),
        **_usage(usage),
        "letta.run.steps": steps,
    }
    if stop_reason:
        made["letta.run.stop_reason"] = stop_reason
    failed = stop_reason is not None and meaning(stop_reason) in ("failed", "cancelled")
    if failed and stop_reason:
        made["error.type"] = stop_reason
    if said is not None:
        made["gen_ai.input.messages"] = _messages(said)
        made["gen_ai.output.messages"] = _messages(answered or ())
    line = _line(error or stop_reason) if failed else None
    name = f"invoke_agent {whose.agent}"
    return Span(place, whose.span_id, name, "internal", start, end, made, line)


def chat_span(
    whose: Whose,
    place: Place,
    start: int,
    end: int,
    *,
    step_id: str,
    number: int,
    model: str,
    usage: Usage,
    first_token: float | None = None,
    finish: str | None = None,
    error_type: str | None = None,
    error: str | None = None,
    said: Sequence[Message] | None = None,
    answered: Sequence[Message] | None = None,
) -> Span:
    """Return the span of a call of the model; *said* is what was new to it, where content is wanted."""
    made: dict[str, Value] = {
        **_common("chat", whose),
        "gen_ai.response.model": _model(model),
        "gen_ai.request.stream": True,
        **_usage(usage),
        "letta.step.id": step_id,
        "letta.step.number": number,
    }
    if first_token is not None:
        made["gen_ai.response.time_to_first_chunk"] = first_token
    if finish is not None:
        made["gen_ai.response.finish_reasons"] = [finish]
    if error_type is not None:
        made["error.type"] = error_type
    if said is not None:
        made["gen_ai.input.messages"] = _messages(said)
        made["gen_ai.output.messages"] = _messages(answered or (), finish)
    name = f"chat {_model(whose.model)}"
    line = _line(error or error_type) if error_type is not None else None
    return Span(place, span_id(whose.run_id, step_id), name, "client", start, end, made, line)


def tool_span(
    whose: Whose,
    place: Place,
    start: int,
    end: int,
    *,
    step_id: str,
    call_id: str,
    tool: str,
    status: str | None,
    error: str | None = None,
    runs_in: str = "",
    arguments: str | None = None,
    result: str | None = None,
) -> Span:
    """Return the span of a tool call; *arguments* and *result* are given where content is wanted."""
    made: dict[str, Value] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.call.id": call_id,
        "gen_ai.tool.type": "function",
        "gen_ai.agent.id": whose.agent_id,
        "gen_ai.agent.name": whose.agent,
        "gen_ai.conversation.id": whose.conversation or whose.agent_id,
        "letta.run.id": whose.run_id,
        "letta.step.id": step_id,
    }
    if runs_in:
        made["letta.tool.runs_in"] = runs_in
    if status not in (None, "ok"):
        made["error.type"] = _error_type(status, error)
    if arguments is not None:
        made["gen_ai.tool.call.arguments"] = _clean(arguments)
    if result is not None:
        made["gen_ai.tool.call.result"] = _clean(result)
    line = None
    if kind := made.get("error.type"):
        # What a tool says of its failure may hold what it was given.
        line = str(kind) if result is None else _line(error or status)
    own = call_span_id(whose.run_id, step_id, call_id)
    return Span(place, own, f"execute_tool {tool}", "internal", start, end, made, line)


def provider(model: str) -> str:
    """Return who is asked for *model*, as the conventions call them."""
    name, slash, _ = model.partition("/")
    return _PROVIDERS.get(name, name) if slash else name or "_OTHER"


def finish_of(message: Message | None) -> str | None:
    """Return why a model stopped, as far as its message tells."""
    if message is None:
        return None
    return "tool_call" if message.tool_calls else "stop"


def _model(name: str) -> str:
    return name.partition("/")[2] or name


def _common(operation: str, whose: Whose) -> dict[str, Value]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider(whose.model),
        "gen_ai.request.model": _model(whose.model),
        "gen_ai.agent.id": whose.agent_id,
        "gen_ai.agent.name": whose.agent,
        "gen_ai.conversation.id": whose.conversation or whose.agent_id,
        "letta.run.id": whose.run_id,
    }


def _usage(usage: Usage) -> dict[str, Value]:
    made: dict[str, Value] = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
    if usage.cached_tokens:
        made["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.reasoning_tokens:
        made["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    if usage.cost is not None:
        made["letta.usage.cost"] = usage.cost
    return made


def _error_type(status: str | None, error: str | None) -> str:
    """Return the type of what went wrong in a tool: its exception's name, or how the call ended."""
    name = (error or "").partition(":")[0]
    known = status == "error" and name.isidentifier() and name[0].isupper()
    return name if known else status or "error"


def _messages(messages: Sequence[Message], finish: str | None = None) -> str:
    """Return messages as JSON, in the conventions' form."""
    told = [_told(one, finish) for one in messages]
    return json.dumps(told, ensure_ascii=False)


def _told(message: Message, finish: str | None) -> Mapping[str, Any]:
    parts: list[dict[str, Any]] = []
    if message.role == "tool":
        result = _clean(message.content)
        parts.append({"type": "tool_call_response", "id": message.tool_call_id, "response": result})
        return {"role": "tool", "parts": parts}
    if message.reasoning:
        parts.append({"type": "reasoning", "content": _clean(message.reasoning)})
    if message.content:
        parts.append({"type": "text", "content": _clean(message.content)})
    for call in message.tool_calls:
        given = _clean(call.arguments)
        parts.append({"type": "tool_call", "id": call.id, "name": call.name, "arguments": given})
    role = message.role if message.role in ("user", "assistant", "system") else "user"
    ended = {"finish_reason": finish} if finish is not None and role == "assistant" else {}
    return {"role": role, "parts": parts, **ended}


def _clean(text: str) -> str:
    """Return a text without secrets, cut where it is too long."""
    clean = masked(text)
    return clean if len(clean) <= LONGEST else clean[: LONGEST - 1] + "…"


def _line(text: str | None) -> str:
    return " ".join(masked(text or "").split())[:500]
