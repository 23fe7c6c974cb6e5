"""A step explained, in the API's shapes; an extension of ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from letta_kernel.server.schemas.base import Shape


class PartShape(Shape):
    """What one part of a request took; ``tokens`` is an estimate, ``real`` its share of what was counted."""

    kind: str
    name: str
    tokens: int
    text: str
    real: int | None
    cost: float | None
    block_id: str
    version: int | None
    step_id: str | None


class LookedShape(Shape):
    """A passage that retrieval looked at, with the score of each part; ``outcome``: shown, budget, weak."""

    id: str
    outcome: str
    relevance: float
    scores: dict[str, float]
    text: str | None
    n: int | None


class MadeShape(Shape):
    """A call that was made; ``raw`` is what the model wrote, where that was no JSON object."""

    id: str
    name: str
    arguments: str
    raw: str | None
    status: str | None
    result: str
    seconds: float | None


class ChangeShape(Shape):
    """A version of a memory block that the step wrote."""

    block_id: str
    label: str
    version: int
    before: str
    after: str
    how: str


class KeptShape(Shape):
    """A passage that the step kept."""

    id: str
    text: str


class ExplanationShape(Shape):
    """A step, explained."""

    step_id: str
    run_id: str
    agent_id: str
    agent: str
    number: int
    created_at: datetime
    model: str
    conversation_id: str | None
    exact: bool | None
    missing: list[str]
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any] | None
    params: dict[str, Any]
    response_format: dict[str, Any] | None
    body: str | None
    window: dict[str, Any]
    shortened: list[dict[str, Any]]
    refused: dict[str, Any]
    parts: list[PartShape]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost: float | None
    seconds: float | None
    considered: list[LookedShape]
    said: str
    reasoning: str
    raw: str | None
    calls: list[MadeShape]
    changes: list[ChangeShape]
    kept: list[KeptShape]
    edits: list[dict[str, Any]]
    stop_reason: str | None
    error: str | None
