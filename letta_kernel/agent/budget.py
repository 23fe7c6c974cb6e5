"""A limit on what a run may cost: checked between steps, so that a run ends cleanly when it is used up."""

from __future__ import annotations

from dataclasses import dataclass

from letta_kernel.agent.settings import AgentSettings
from letta_kernel.errors import LettaError
from letta_kernel.messages import Usage
from letta_kernel.remedies import Do, remedy


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
        return LettaError(text, remedy(Do.RAISE_BUDGET, setting)) if text else None


def _money(dollars: float) -> str:
    """Return *dollars* with as many digits as it takes to see something."""
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.4g}"
