"""How well passages match: what their rank is made of, and their relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from letta_kernel.errors import InvalidInputError
from letta_kernel.memory.excerpts import RELEVANT
from letta_kernel.memory.scoring import PARTS
from letta_kernel.service.plots.chart import Chart, Pane, Place, Series

_SHOWN = 90  # characters of a passage
MOST = 15
"""Passages in a plot, unless more are asked for."""


@dataclass(slots=True)
class Weighed:
    """A passage with its relevance, from 0 to 1, and what each of `PARTS` adds to its rank."""

    id: str
    text: str
    relevance: float
    scores: dict[str, float]


def retrieval(title: str, found: Sequence[Weighed], most: int) -> Chart:
    """Return the best passages, best first: the parts of their rank, and their relevance with its threshold.

    Raises
    ------
    InvalidInputError
        There are none.
    """
    if not found:
        raise InvalidInputError(f"{title}: no passage matches at all.")
    ranked = sorted(found, key=lambda one: -sum(one.scores.values()))[:most]
    places = [
        Place(number, f"{number}", " ".join(one.text.split())[:_SHOWN], one.id, weak=one.relevance < RELEVANT)
        for number, one in enumerate(ranked, 1)
    ]  # fmt: skip
    parts = [
        Series(part, [round(one.scores.get(part, 0.0), 4) for one in ranked], hue=hue)
        for hue, part in enumerate(PARTS)
    ]
    seen = [one for one in parts if any(abs(value or 0) >= 0.005 for value in one.values)]
    relevance = [round(one.relevance, 4) for one in ranked]
    panes = [
        Pane("rows", "rank", seen or parts[:1]),
        Pane("dots", "relevance", [Series("relevance", [*relevance])], RELEVANT, "relevant"),
    ]
    good = sum(one >= RELEVANT for one in relevance)
    said = f"{good} of {len(ranked)} passages reach {RELEVANT}, from which on they are shown to a model"
    said += f"; the best has {max(relevance):.2f}."
    notes = []
    if len(found) > len(ranked):
        notes.append(f"Left out: {len(found) - len(ranked)} of lower rank.")
    return Chart("retrieval", title, "passage", places, panes, summary=said, notes=notes)
