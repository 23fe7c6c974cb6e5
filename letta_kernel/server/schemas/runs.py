"""Runs and steps in the API's shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import Field

from letta_kernel.records import Run, Step
from letta_kernel.server.handles import model_handle
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.stop_reasons import StopReason, failed
from letta_kernel.totals import Feedback

Opinion = Literal["positive", "negative"]
RunStatus = Literal["created", "running", "completed", "failed", "cancelled"]
_NS = 1_000_000_000


ASKED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Each is decided.",
        "content": {"application/json": {"example": {"run-1": "cancelled"}}},
    },
    202: {
        "description": "Some are told to end, and have not yet.",
        "content": {"application/json": {"example": {"run-1": "cancelling"}}},
    },
}
"""How a request to end runs is answered."""


def told(found: dict[str, str]) -> JSONResponse:
    """Return how runs stand that were to end; 202 where that is not decided of all."""
    return JSONResponse(found, 202 if "cancelling" in found.values() else 200)


class RunShape(Shape):
    """One turn of an agent."""

    id: str
    agent_id: str
    conversation_id: str | None = None
    status: RunStatus
    stop_reason: StopReason | None = None
    background: bool | None = None
    created_at: datetime
    completed_at: datetime | None = None
    total_duration_ns: int | None = None
    ttft_ns: int | None = None
    metadata: dict[str, Any] | None = None


class CompletionDetails(Shape):
    """What the answer's tokens were."""

    reasoning_tokens: int | None = None


class PromptDetails(Shape):
    """What the prompt's tokens were."""

    cached_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_creation_tokens: int | None = None


class RunUsage(Shape):
    """Tokens a run took."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionDetails
    prompt_tokens_details: PromptDetails


class StepShape(Shape):
    """One model call and the tool calls it asked for."""

    id: str
    agent_id: str
    run_id: str
    model: str | None = None
    model_handle: str | None = None
    provider_name: str | None = None
    provider_category: str = "base"
    status: Literal["pending", "success", "failed", "cancelled"]
    stop_reason: StopReason | None = None
    error_type: str | None = None
    error_data: dict[str, Any] | None = None
    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    completion_tokens_details: dict[str, Any]
    prompt_tokens_details: dict[str, Any]
    feedback: Opinion | None = None
    tags: list[str] = Field(default_factory=list)
    messages: list[dict[str, Any]] = Field(default_factory=list)
    trace_id: str | None = None


class StepMetrics(Shape):
    """What a step took, in nanoseconds."""

    id: str
    agent_id: str
    run_id: str
    step_start_ns: int
    step_ns: int | None = None
    llm_request_start_ns: int | None = None
    llm_request_ns: int | None = None
    tool_execution_ns: int | None = None


class ProviderTrace(Shape):
    """What is kept of a model call: the answer, not the prompt as it was sent."""

    id: str
    step_id: str
    agent_id: str
    run_id: str
    call_type: str = "agent_step"
    request_json: dict[str, Any]
    response_json: dict[str, Any]
    latency_ms: int | None = None
    created_at: datetime


class FeedbackIn(Asked):
    """What somebody thinks of a step; null takes it back."""

    feedback: Opinion | None = None
    tags: list[str] | None = Field(None, max_length=100)


class StreamIn(Asked):
    """From where on a run is to be told."""

    starting_after: int = Field(
        default=0, ge=0, description="Number (seq_id) of the last message that was received."
    )
    include_pings: bool | None = True
    poll_interval: float | None = Field(default=None, ge=0)
    batch_size: int | None = Field(default=None, ge=1)


def to_run(run: Run) -> RunShape:
    """Return *run* in the API's shape."""
    return RunShape.of(
        run,
        completed_at=run.ended_at,
        total_duration_ns=_ns(run.seconds),
        ttft_ns=_ns(run.first_token),
        metadata={"error": run.error} if run.error else None,
    )


def to_usage(run: Run) -> RunUsage:
    """Return what *run* took."""
    return RunUsage.of(
        run,
        total_tokens=run.prompt_tokens + run.completion_tokens,
        completion_tokens_details=CompletionDetails(reasoning_tokens=run.reasoning_tokens),
        prompt_tokens_details=PromptDetails(
            cached_tokens=run.cached_tokens, cache_read_tokens=run.cached_tokens
        ),
    )


def to_step(step: Step, thought: Feedback) -> StepShape:
    """Return *step* in the API's shape."""
    handle = model_handle(step.model) if step.model else None
    has_failed = bool(step.error) and failed(step.stop_reason)
    return StepShape.of(
        step,
        model=handle.partition("/")[2] if handle else None,
        model_handle=handle,
        provider_name=handle.partition("/")[0] if handle else None,
        status="cancelled"
        if step.stop_reason == "cancelled"
        else "failed"
        if has_failed
        else "success",
        error_type=step.stop_reason if has_failed else None,
        error_data={"message": step.error} if step.error else None,
        total_tokens=step.prompt_tokens + step.completion_tokens,
        cached_input_tokens=step.cached_tokens,
        completion_tokens_details={"reasoning_tokens": step.reasoning_tokens},
        prompt_tokens_details={"cached_tokens": step.cached_tokens},
        feedback=thought.opinion,
        tags=thought.tags,
    )


def to_metrics(step: Step) -> StepMetrics:
    """Return what *step* took."""
    tools = sum(call.get("seconds") or 0.0 for call in step.tool_stats)
    start = int(step.created_at.timestamp() * _NS)
    model = max(0.0, step.seconds - tools) if step.seconds is not None else None
    return StepMetrics.of(
        step,
        step_start_ns=start,
        step_ns=_ns(step.seconds),
        llm_request_start_ns=start,
        llm_request_ns=_ns(model),
        tool_execution_ns=_ns(tools),
    )


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * _NS)
