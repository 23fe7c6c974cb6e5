"""The settings of an agent: what `%agent set` knows, with types and bounds; and the budget of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from letta_kernel.errors import InvalidInputError, LettaError, nearest
from letta_kernel.messages import Usage
from letta_kernel.remedies import Do, remedy
from letta_kernel.tools.notebook import NAMES

N = TypeVar("N", int, float)

SAMPLING = ("temperature", "top_p", "max_tokens", "seed", "reasoning_effort")
"""Settings that are passed to the model as they are."""

STAY_HERE = ("environment", "notebook", "breakpoints")
"""Settings that no agent file says: what an agent may do without asking is for the person who has it to say."""


class AgentSettings(BaseModel):
    """An agent's settings; None means the model's or the package's own default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    temperature: float | None = Field(None, ge=0, le=2, description="sampling temperature")
    top_p: float | None = Field(None, gt=0, le=1, description="nucleus sampling")
    max_tokens: int | None = Field(None, ge=1, description="longest reply, in tokens")
    seed: int | None = Field(None, description="sampling seed, where the provider has one")
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = Field(
        None, description="how much a reasoning model thinks"
    )
    context_window: int | None = Field(
        None, ge=512, description="tokens to use of the model's window"
    )
    compaction: Literal["sliding_window", "all", "self"] = Field(
        "sliding_window", description="what is summarised when the window is full, and by whom"
    )
    retrieval: bool = Field(True, description="place matching passages beside each message")
    retrieval_budget: int = Field(1000, ge=0, description="tokens of passages placed beside it")
    notebook_context: Literal["off", "on", "whole"] = Field(
        "on",
        description="what of a notebook goes beside each message: what is new, all, or nothing",
    )
    notebook_budget: int = Field(2000, ge=0, description="tokens of the notebook placed beside it")
    budget: float | None = Field(None, gt=0, description="US dollars one run may cost")
    budget_tokens: int | None = Field(None, ge=1, description="tokens one run may take")
    budget_total: float | None = Field(None, gt=0, description="US dollars all runs may cost")
    timezone: str = Field("UTC", description="time zone of the agent, such as Europe/Berlin")
    environment: dict[str, str] = Field(
        {}, description="environment variables of sandboxed tools; never shown or exported"
    )
    fallbacks: list[str] = Field([], description="models to try, in order, if the first fails")
    notebook: Literal["ask", "edits", "all", "off"] = Field(
        "ask", description="what it may do in the notebook without asking: read, change cells, all"
    )
    notebook_tools: list[str] | None = Field(
        None, description="which notebook tools it is offered; all if not set"
    )
    breakpoints: list[str] = Field(
        [], description="what a run in front of a person stops at, as tool:NAME or word:TEXT"
    )
    autoclear: bool = Field(
        False, description="each message begins a new window: only its memory is carried on"
    )
    tool_calls: Literal["native", "written"] = Field(
        "native", description="written: for a model that takes no tools, as text in its answer"
    )

    response_format: dict[str, Any] | None = Field(
        None, description="form of all answers, as Letta has it: text, json_object, json_schema"
    )

    @field_validator("response_format", mode="before")
    @classmethod
    def _by_its_type(cls, given: Any) -> Any:
        return {"type": given} if isinstance(given, str) else given

    @field_validator("response_format")
    @classmethod
    def _known_format(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        from letta_kernel.tools.answers import of_format  # few agents have one

        try:
            of_format(given)
        except InvalidInputError as error:
            raise ValueError(error.text) from None
        return given

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _names_in_order(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list):
            return value
        return [one.strip() if isinstance(one, str) else one for one in names if one != ""]

    @field_validator("notebook_tools", mode="before")
    @classmethod
    def _known_tools(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        for name in names if isinstance(names, list) else ():
            if name not in NAMES:
                near = nearest(str(name), NAMES) or f" There is: {', '.join(NAMES)}"
                raise ValueError(f"there is no notebook tool {name!r}.{near}")
        return names

    @field_validator("breakpoints", mode="before")
    @classmethod
    def _known_breakpoints(cls, value: Any) -> Any:
        from letta_kernel.agent import breakpoints  # few agents have any

        lines = [value] if isinstance(value, str) else value
        if not isinstance(lines, list):
            return value
        if len(lines) > breakpoints.MOST:
            raise ValueError(f"an agent may have {breakpoints.MOST} breakpoints")
        try:
            return list(dict.fromkeys(str(breakpoints.parse(str(line))) for line in lines))
        except InvalidInputError as error:
            raise ValueError(error.text) from None

    @field_validator("notebook_context", mode="before")
    @classmethod
    def _switched(cls, value: Any) -> Any:
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"there is no time zone {name!r}.{nearest(name, sorted(available_timezones()))}"
            ) from None
        return name

    def sampling(self) -> dict[str, Any]:
        """Return the parameters for the model's call."""
        chosen = ((name, getattr(self, name)) for name in SAMPLING)
        return {name: value for name, value in chosen if value is not None}


def timezone_of(settings: dict[str, Any]) -> str:
    """Return the time zone in which an agent with these settings means its dates."""
    return AgentSettings.model_validate(settings).timezone


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Return *settings* as they may be shown: of environment variables only the names."""
    names = settings.get("environment")
    if not isinstance(names, dict):
        return dict(settings)
    return {**settings, "environment": ", ".join(f"{name}=…" for name in names)}


def check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return *settings* validated and coerced; raise `InvalidInputError` naming the first bad one."""
    try:
        checked = AgentSettings.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        if first["type"] == "extra_forbidden":
            known = list(AgentSettings.model_fields)
            raise InvalidInputError(
                f"There is no setting {name!r}.{nearest(name, known)} Settings: {', '.join(known)}."
            ) from None
        said = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise InvalidInputError(f"Setting {name}: {said}.") from None
    return checked.model_dump(exclude_unset=True)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may still take; None means without limit. Costs are in US dollars.

    ``spent`` is what earlier runs of the agent cost, counted against ``total``.
    """

    cost: float | None = None
    tokens: int | None = None
    total: float | None = None
    spent: float = 0.0

    @classmethod
    def of(cls, settings: AgentSettings, spent: float) -> Budget:
        """Return the budget that *settings* grant, *spent* dollars being gone already."""
        return cls(settings.budget, settings.budget_tokens, settings.budget_total, spent)

    def blind(self, usage: Usage) -> bool:
        """Return whether a limit in dollars cannot be kept, because nobody knows what *usage* cost."""
        in_dollars = self.cost is not None or self.total is not None
        return in_dollars and usage.cost is None and usage.total_tokens > 0

    def within(self, other: Budget | None) -> Budget:
        """Return this budget with no more in it than *other* has left for one run."""
        if other is None:
            return self
        return replace(
            self, cost=_least(self.cost, other.cost), tokens=_least(self.tokens, other.tokens)
        )

    def left(self, usage: Usage) -> Budget:
        """Return what one more run may take when *usage* is gone."""
        cost = usage.cost or 0.0
        total = None if self.total is None else self.total - self.spent - cost
        own = None if self.cost is None else self.cost - cost
        tokens = None if self.tokens is None else max(0, self.tokens - usage.total_tokens)
        least = _least(own, total)
        return Budget(cost=None if least is None else max(0.0, least), tokens=tokens)

    def used_up(self, usage: Usage) -> LettaError | None:
        """Return an error saying which limit *usage* has reached, or None."""
        cost = usage.cost or 0.0
        text, setting = "", ""
        if self.tokens is not None and usage.total_tokens >= self.tokens:
            text = (
                f"The budget of {self.tokens:,} tokens a run is used up ({usage.total_tokens:,})."
            )
            setting = "budget_tokens"
        elif self.cost is not None and cost >= self.cost:
            text = f"The budget of {_money(self.cost)} a run is used up ({_money(cost)})."
            setting = "budget"
        elif self.total is not None and self.spent + cost >= self.total:
            spent = _money(self.spent + cost)
            text = f"The budget of {_money(self.total)} for this agent is used up ({spent})."
            setting = "budget_total"
        return (
            LettaError(text, remedy(Do.RAISE_BUDGET, setting), page="limit-reached")
            if text
            else None
        )


def _least(one: N | None, other: N | None) -> N | None:
    return one if other is None else other if one is None else min(one, other)


def _money(dollars: float) -> str:
    """Return *dollars* with enough digits not to read as zero."""
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.4g}"
