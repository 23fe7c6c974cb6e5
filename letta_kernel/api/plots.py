"""Plots of what an agent's runs took, how its memory grew, and what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.service import AgentService

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_of(
    service: AgentService, ref: str, what: str, limit: int | None = None, query: str = ""
) -> Figure:
    """Return the plot *what* of an agent; see `Agent.plot`.

    Raises
    ------
    InvalidInputError
        There is no such plot, nothing to show, or no matplotlib.
    """
    from letta_kernel.display.plots import draw

    return draw(service.plots.of(ref, what, limit=limit, query=query))
