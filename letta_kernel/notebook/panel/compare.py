"""Comparisons in outputs: the buttons by which one run is kept, or none."""

from __future__ import annotations

from pydantic import Field

from letta_kernel.display.comparison import standing
from letta_kernel.notebook.panel.registry import Params, RequestContext, Word, method


class Decision(Params):
    """A comparison by its id, and the number of the run that is kept; None throws all away."""

    id: Word
    number: int | None = Field(None, ge=1)


@method("compare.keep", Decision)
def keep(context: RequestContext, asked: Decision) -> dict[str, str]:
    """Keep one run, or none; return in a line what has become of the comparison."""
    return {"said": standing(context.here().service.compare.decide(asked.id, asked.number))}
