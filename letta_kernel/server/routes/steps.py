"""Steps: looked up, what they took, what somebody thinks of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from letta_kernel.server.authorization import whose
from letta_kernel.server.deps import Page, PageOldestFirst, Service
from letta_kernel.server.handles import model_name
from letta_kernel.server.paging import bounded
from letta_kernel.server.schemas.explanation import ExplanationShape
from letta_kernel.server.schemas.history import View
from letta_kernel.server.schemas.messages import LettaMessage
from letta_kernel.server.schemas.runs import (
    FeedbackIn,
    Opinion,
    ProviderTrace,
    StepMetrics,
    StepShape,
    to_metrics,
    to_step,
)
from letta_kernel.server.threads import history

router = APIRouter(tags=["steps"])


@router.get("/steps", operation_id="list_steps")
def list_steps(
    service: Service,
    cursor: Page,
    agent_id: str | None = None,
    model: Annotated[str | None, Query(description="A handle, or the name after it.")] = None,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
    feedback: Opinion | None = None,
    has_feedback: bool | None = None,
    tags: Annotated[list[str] | None, Query()] = None,
    trace_ids: Annotated[list[str] | None, Query()] = None,
    project_id: str | None = None,
    order_by: Literal["created_at"] = "created_at",
) -> list[StepShape]:
    """Return steps that are all of what is asked for."""
    if trace_ids:
        return []  # steps have no traces of that kind here
    cursor = bounded(cursor, service.steps.retrieve)
    found = service.steps.list(
        agent_id=whose(service, agent_id),
        model=model_name(model) if model and "/" in model else model,
        start=start_date,
        end=end_date,
        opinion=feedback,
        has_opinion=has_feedback,
        tags=tags or (),
        before=cursor.before,
        after=cursor.after,
        limit=cursor.limit,
        newest_first=cursor.newest_first,
    )
    return [to_step(step, thought) for step, thought in found]


@router.get("/steps/{step_id}", operation_id="retrieve_step")
def retrieve_step(service: Service, step_id: str) -> StepShape:
    """Return a step."""
    return to_step(*service.steps.retrieve(step_id))


@router.get("/steps/{step_id}/messages", operation_id="list_step_messages")
def list_step_messages(
    service: Service, step_id: str, cursor: PageOldestFirst
) -> list[LettaMessage]:
    """Return the messages of a step."""
    step, _ = service.steps.retrieve(step_id)
    return history(service, cursor, View(), agent=step.agent_id, step_id=step_id)


@router.get("/steps/{step_id}/metrics", operation_id="retrieve_step_metrics")
def retrieve_step_metrics(service: Service, step_id: str) -> StepMetrics:
    """Return what a step took."""
    return to_metrics(service.steps.retrieve(step_id)[0])


@router.get("/steps/{step_id}/trace", operation_id="retrieve_step_trace")
def retrieve_step_trace(service: Service, step_id: str) -> ProviderTrace:
    """Return what is kept of a model call: the answer and what it took, not the prompt as it was sent."""
    step, _ = service.steps.retrieve(step_id)
    found = service.messages.list(step.agent_id, step_id=step_id, newest_first=False)
    said: dict[str, Any] = {}
    for message in found:
        if message.role == "assistant":
            said = {
                "role": "assistant",
                "content": message.content,
                "reasoning_content": message.reasoning or None,
                "tool_calls": [call.model_dump() for call in message.tool_calls],
            }
    return ProviderTrace(
        id=f"provider_trace-{step.id.removeprefix('step-')}",
        step_id=step.id,
        agent_id=step.agent_id,
        run_id=step.run_id,
        request_json={"model": step.model},
        response_json={
            "model": step.model,
            "choices": [{"message": said}] if said else [],
            "usage": {
                "prompt_tokens": step.prompt_tokens,
                "completion_tokens": step.completion_tokens,
            },
        },
        latency_ms=int(step.seconds * 1000) if step.seconds is not None else None,
        created_at=step.created_at,
    )


@router.get("/steps/{step_id}/explain", operation_id="explain_step")
def explain_step(service: Service, step_id: str) -> ExplanationShape:
    """Return what a step was made of, what each part took, what was looked at, and what came of it.

    An extension of ours. The request is made anew from what is kept; ``exact`` says whether it is, byte for
    byte, what went out, and ``missing`` what is not known any more.
    """
    step, _ = service.steps.retrieve(step_id)
    return ExplanationShape.model_validate(service.explain.step(step.id).data())


@router.patch("/steps/{step_id}/feedback", operation_id="rate_step")
def rate_step(service: Service, step_id: str, asked: FeedbackIn) -> StepShape:
    """Keep what somebody thinks of a step."""
    return to_step(*service.steps.rate(step_id, asked.feedback, asked.tags))
