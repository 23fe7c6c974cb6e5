"""How a model is to be asked, in the API's shape, and the settings of ours it stands for."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from letta_kernel.errors import InvalidInputError
from letta_kernel.server.errors import FieldError
from letta_kernel.server.handles import provider_type
from letta_kernel.server.schemas.base import Asked, Shape
from letta_kernel.tools.answers import AnswerForm, of_format

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Reasoning(Shape):
    """How much a reasoning model thinks."""

    reasoning_effort: str | None = None


class ModelSettings(Shape):
    """How the model is asked; what no setting says is shown as Letta's default for an OpenAI model."""

    provider_type: str
    temperature: float | None = None
    max_output_tokens: int | None = None
    parallel_tool_calls: bool | None = None
    strict: bool | None = None
    reasoning: Reasoning | None = None
    response_format: dict[str, Any] | None = None


class ReasoningIn(Asked):
    """How much a reasoning model should think."""

    reasoning_effort: Effort | None = None


class ModelSettingsIn(Asked):
    """How the model is to be asked."""

    provider_type: str | None = Field(None, max_length=100)
    temperature: float | None = Field(None, ge=0, le=2)
    max_output_tokens: int | None = Field(None, ge=1, le=10_000_000)
    parallel_tool_calls: bool | None = None
    strict: bool | None = None
    reasoning: ReasoningIn | None = None
    effort: Effort | None = None
    response_format: dict[str, Any] | None = None


_EFFORTS = {"xhigh": "high", "max": "high"}  # what our setting has no word for


def settings_from(asked: ModelSettingsIn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the agent settings *asked* stands for, and what more of it is to be shown again."""
    ours: dict[str, Any] = {}
    given = asked.model_fields_set
    if "response_format" in given:
        check_format(asked.response_format, "model_settings.response_format")
        ours["response_format"] = asked.response_format
    if "temperature" in given:
        ours["temperature"] = asked.temperature
    if "max_output_tokens" in given:
        ours["max_tokens"] = asked.max_output_tokens
    effort = asked.reasoning.reasoning_effort if asked.reasoning else asked.effort
    if "reasoning" in given or "effort" in given:
        ours["reasoning_effort"] = _EFFORTS.get(effort or "", effort)
    shown: dict[str, Any] = {
        name: getattr(asked, name)
        for name in ("parallel_tool_calls", "strict")
        if getattr(asked, name) is not None
    }
    if effort in _EFFORTS:
        shown["reasoning_effort"] = effort
    return ours, shown


def to_settings(
    handle: str, settings: dict[str, Any], shown: dict[str, Any]
) -> ModelSettings | None:
    """Return how the model *handle* is asked; None for one nothing is said about."""
    kind = provider_type(handle)
    effort = shown.get("reasoning_effort") or settings.get("reasoning_effort")
    if kind == "openai":
        return ModelSettings(
            provider_type=kind,
            temperature=_or(settings.get("temperature"), 1.0),
            max_output_tokens=_or(settings.get("max_tokens"), 16384),
            parallel_tool_calls=_or(shown.get("parallel_tool_calls"), True),
            strict=_or(shown.get("strict"), False),
            reasoning=Reasoning(reasoning_effort=effort or "minimal"),
            response_format=settings.get("response_format"),
        )
    if kind == "letta" and not settings and not shown:
        return None
    return ModelSettings(
        provider_type=kind,
        temperature=settings.get("temperature"),
        max_output_tokens=settings.get("max_tokens"),
        parallel_tool_calls=shown.get("parallel_tool_calls"),
        strict=shown.get("strict"),
        reasoning=Reasoning(reasoning_effort=effort) if effort else None,
        response_format=settings.get("response_format"),
    )


def check_format(asked: dict[str, Any] | None, field: str) -> AnswerForm | None:
    """Return the form of answers that is asked for, None for text; a `FieldError` if it cannot be."""
    try:
        return of_format(asked)
    except InvalidInputError as error:
        raise FieldError(field, error.text) from None


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
