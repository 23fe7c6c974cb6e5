"""Runs: looked up, followed, what they took."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from letta_kernel.records import Step
from letta_kernel.server import remote
from letta_kernel.server.authorization import only_own, own_agent, whose
from letta_kernel.server.deps import Live, Page, PageOldestFirst, Service
from letta_kernel.server.events import groups, sse
from letta_kernel.server.events.messages import BLOCK, stored
from letta_kernel.server.paging import bounded
from letta_kernel.server.schemas.history import View
from letta_kernel.server.schemas.messages import LettaMessage
from letta_kernel.server.schemas.runs import (
    RunShape,
    RunStatus,
    RunUsage,
    StepShape,
    StreamIn,
    to_run,
    to_step,
    to_usage,
)
from letta_kernel.server.threads import history
from letta_kernel.service.runs import GOING
from letta_kernel.stop_reasons import StopReason

router = APIRouter(tags=["runs"])


@router.get("/runs", operation_id="list_runs")
def list_runs(
    service: Service,
    cursor: Page,
    agent_id: str | None = None,
    agent_ids: Annotated[list[str] | None, Query()] = None,
    statuses: Annotated[list[RunStatus] | None, Query()] = None,
    active: Annotated[bool, Query(description="Only those that go on.")] = False,
    background: bool | None = None,
    stop_reason: StopReason | None = None,
    conversation_id: str | None = None,
    ascending: Annotated[bool | None, Query(description="The older word for order.")] = None,
    order_by: Literal["created_at"] = "created_at",
) -> list[RunShape]:
    """Return runs that are all of what is asked for."""
    newest_first = cursor.newest_first if ascending is None else not ascending
    cursor = bounded(cursor, service.runs.retrieve)
    asked = [*(agent_ids or ()), *([agent_id] if agent_id is not None else ())]
    found = service.runs.list(
        agent_ids=[whose(service, one) for one in asked or [None] if one or own_agent()],
        statuses=GOING if active else statuses or (),
        stop_reason=stop_reason,
        conversation_id=conversation_id,
        created_by=only_own(),
        before=cursor.before,
        after=cursor.after,
        limit=cursor.limit,
        newest_first=newest_first,
    )
    shapes = [to_run(run) for run in found]
    if background is None:
        return shapes
    return [shape for shape in shapes if bool(shape.background) == background]


@router.get("/runs/active", operation_id="list_active_runs")
def list_active_runs(
    service: Service,
    cursor: Page,
    agent_id: str | None = None,
    agent_ids: Annotated[list[str] | None, Query()] = None,
    background: bool | None = None,
) -> list[RunShape]:
    """Return the runs that go on."""
    return list_runs(service, cursor, agent_id, agent_ids, active=True, background=background)


@router.get("/runs/{run_id}", operation_id="retrieve_run")
def retrieve_run(service: Service, run_id: str) -> RunShape:
    """Return a run as it stands."""
    return to_run(service.runs.retrieve(run_id))


@router.get("/runs/{run_id}/usage", operation_id="retrieve_run_usage")
def retrieve_run_usage(service: Service, run_id: str) -> RunUsage:
    """Return the tokens a run took; while it goes on, those of the steps that have ended."""
    run = service.runs.retrieve(run_id)
    if run.ended_at is None:
        for step in service.steps.of_run(run_id):
            run.prompt_tokens += step.prompt_tokens
            run.completion_tokens += step.completion_tokens
            run.cached_tokens += step.cached_tokens
            run.reasoning_tokens += step.reasoning_tokens
    return to_usage(run)


@router.get("/runs/{run_id}/messages", operation_id="list_run_messages")
def list_run_messages(service: Service, run_id: str, cursor: PageOldestFirst) -> list[LettaMessage]:
    """Return the messages of a run, the one it began with among them."""
    run = service.runs.retrieve(run_id)
    return history(service, cursor, View(), agent=run.agent_id, run_id=run_id)


@router.get("/runs/{run_id}/steps", operation_id="list_run_steps")
def list_run_steps(service: Service, run_id: str, cursor: PageOldestFirst) -> list[StepShape]:
    """Return the steps of a run."""
    service.runs.retrieve(run_id)
    cursor = bounded(cursor, service.steps.retrieve)
    found = service.steps.list(
        run_id=run_id,
        before=cursor.before,
        after=cursor.after,
        limit=cursor.limit,
        newest_first=cursor.newest_first,
    )
    return [to_step(step, thought) for step, thought in found]


@router.get("/runs/{run_id}/trace", operation_id="retrieve_run_trace")
def retrieve_run_trace(
    service: Service, run_id: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
) -> list[dict[str, Any]]:
    """Return what took how long: a span for the run, each step and each tool call."""
    run = service.runs.retrieve(run_id)
    root = {
        "span_id": run.id,
        "parent_span_id": None,
        "name": "agent_run",
        "start_time": run.created_at.isoformat(),
        "duration_ns": int((run.seconds or 0.0) * 1e9),
        "attributes": {"agent_id": run.agent_id, "model": run.model, "status": run.status},
    }
    spans = [root, *(span for step in service.steps.of_run(run_id) for span in _spans(step))]
    return spans[:limit]


def _spans(step: Step) -> list[dict[str, Any]]:
    start = step.created_at.isoformat()
    spans: list[dict[str, Any]] = [
        {
            "span_id": step.id,
            "parent_span_id": step.run_id,
            "name": "agent_step",
            "start_time": start,
            "duration_ns": int((step.seconds or 0.0) * 1e9),
            "attributes": {
                "model": step.model,
                "prompt_tokens": step.prompt_tokens,
                "completion_tokens": step.completion_tokens,
            },
        }
    ]
    for number, call in enumerate(step.tool_stats):
        spans.append(
            {
                "span_id": f"{step.id}-{number}",
                "parent_span_id": step.id,
                "name": "tool_execution",
                "start_time": start,
                "duration_ns": int((call.get("seconds") or 0.0) * 1e9),
                "attributes": {"tool": call.get("name"), "status": call.get("status")},
            }
        )
    return spans


@router.post(
    "/runs/{run_id}/stream",
    operation_id="stream_run",
    response_class=StreamingResponse,
    responses=sse.RESPONSES,
)
def stream_run(
    service: Service, live: Live, run_id: str, asked: StreamIn | None = None
) -> StreamingResponse:
    """Tell a run, or a group's turn, from a message on and, if it still goes on, to its end.

    A run this server remembers, or another one carries out, is told just as it was the first time. One that
    ended long ago, or goes on in a notebook, is told from the history, step by step, whole.
    """
    asked = asked or StreamIn()
    run = live.get(run_id) or remote.find(live, run_id)
    if run is None and asked.starting_after >= BLOCK:  # in pieces until now
        agent_id = service.runs.retrieve(run_id).agent_id
        run = remote.RemoteRun(live, run_id, agent_id, None)
    if run is not None:
        return sse.stream(
            run,
            groups.stream_of(run),
            after=asked.starting_after,
            pings=asked.include_pings is True,
        )
    record = service.runs.retrieve(run_id)
    found = service.messages.list(record.agent_id, run_id=run_id, limit=100_000, newest_first=False)
    shapes = stored(record, found, service.messages.held(found))
    return sse.finished(
        one
        for one in shapes
        if getattr(one, "seq_id", None) is None or one.seq_id > asked.starting_after
    )
