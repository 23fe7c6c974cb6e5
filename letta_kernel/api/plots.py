"""Plots of what an agent's runs took and how its memory grew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.service import AgentService

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RUNS_PLOTTED = 50


def plot_of(service: AgentService, ref: str, what: str, limit: int | None = None) -> Figure:
    """Return the plot *what* of an agent over its last *limit* runs; see `Agent.plot`.

    Raises
    ------
    InvalidInputError
        There is no such plot, nothing to show, or no matplotlib.
    """
    from letta_kernel.display import plots

    if what not in plots.KINDS:
        hint = nearest(what, list(plots.KINDS)) or f" There is: {', '.join(plots.KINDS)}."
        raise InvalidInputError(f"There is no plot of {what!r}.{hint}")
    if limit is not None and limit < 1:
        raise InvalidInputError("A plot shows at least one run.")
    state = service.agents.retrieve(ref)
    if what == "memory":
        labels = [block.label for block in service.blocks.list(ref)]
        return plots.memory_plot(
            state.name, {label: service.blocks.versions(label, agent=ref) for label in labels}
        )
    runs = service.runs.whole(ref, limit or _RUNS_PLOTTED)[::-1]
    if what == "cost":
        return plots.cost_plot(state.name, runs)
    return plots.tokens_plot(state.name, [service.steps.of_run(run.id, whole=True) for run in runs])
