"""A limit on what a run may cost: checked between steps, so that a run ends cleanly when it is used up."""

from __future__ import annotations

from dataclasses import dataclass

from letta_kernel.agent.settings import AgentSettings
from letta_kernel.messages import Usage


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

    def used_up(self, usage: Usage) -> str | None:
        """Return a sentence saying which limit *usage* has reached, or None."""
        cost = usage.cost or 0.0
        if self.tokens is not None and usage.total_tokens >= self.tokens:
            return (
                f"The budget of {self.tokens:,} tokens a run is used up ({usage.total_tokens:,}); "
                "raise it with %agent set budget_tokens N."
            )
        if self.cost is not None and cost >= self.cost:
            return (
                f"The budget of ${self.cost:.2f} a run is used up (${cost:.4f}); "
                "raise it with %agent set budget DOLLARS."
            )
        if self.total is not None and self.spent + cost >= self.total:
            return (
                f"The budget of ${self.total:.2f} for this agent is used up "
                f"(${self.spent + cost:.4f}); raise it with %agent set budget_total DOLLARS."
            )
        return None
