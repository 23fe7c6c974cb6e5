"""What filled the context window, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from letta_kernel.errors import InvalidInputError
from letta_kernel.records import Step
from letta_kernel.service.plots.chart import Chart, Mark, Pane, Place, Series

PARTS: dict[str, tuple[str, ...]] = {
    "instructions": ("instructions", "prompt", "metadata", "rules", "skills", "group"),
    "tools": ("tools",),
    "memory blocks": ("block",),
    "files": ("files",),
    "summary": ("summary",),
    "earlier messages": ("history",),
    "this turn": ("message", "said", "call", "result"),
    "notebook": ("notebook",),
    "retrieved passages": ("passages",),
}
"""The bands of the river from below, and the kinds of pieces (`service.rebuild.Piece`) that each is made of."""
_HUES = (0, 1, 2, 3, 4, 5, 6, 8, 7)  # grey is last: there seldom is a notebook's part
_OF = {kind: name for name, kinds in PARTS.items() for kind in kinds}


@dataclass(slots=True)
class Seen:
    """What was in sight in a step.

    ``tokens`` has an estimate for each kind of piece, ``window`` the model's size in tokens, ``summary`` the id
    of the summary in sight, ``first`` the number of the oldest message beside it, ``cut`` whether something of
    the request is gone from the store.
    """

    step: Step
    asked: str
    tokens: dict[str, int] = field(default_factory=dict)
    window: int | None = None
    summary: str | None = None
    first: int | None = None
    cut: bool = False


def context(name: str, line: Sequence[Seen]) -> Chart:
    """Return the parts of each request as bands, oldest step first, with the window's size and compactions.

    Each request is made anew from what the store keeps. A band is our own count of a part; over them is a line
    of what the provider counted of the whole, with what it adds itself.
    """
    known = [one for one in line if one.tokens]
    if not known:
        said = "has made no step in its own thread yet: say something to it first" if not line else (
            "made its steps before requests were kept: what was in its window is not known any more"
        )  # fmt: skip
        raise InvalidInputError(f"{name} {said}.")
    bands: dict[str, list[float | None]] = {part: [] for part in PARTS}
    places, marks = [], []
    before: Seen | None = None
    for number, one in enumerate(known, 1):
        places.append(Place(number, f"step {number}", one.asked, one.step.id, one.step.created_at))
        if before is None or before.step.run_id != one.step.run_id:
            marks.append(Mark(number - 0.5, "run", one.asked))
        if before is not None and _compacted(before, one):
            marks.append(Mark(number - 0.5, "compaction", "compacted"))
        for part, tokens in _shares(one).items():
            bands[part].append(tokens)
        before = one
    series = [
        Series(part, values, hue=hue)
        for hue, (part, values) in zip(_HUES, bands.items(), strict=True)
        if any(values)
    ]
    windows = [one.window for one in known if one.window]
    limit = windows[-1] if windows else None
    pane = Pane(
        "river", "tokens", series, limit, "the window" if limit else "", _counted(known, marks)
    )
    used = sum(one.values[-1] or 0 for one in series)
    said = f"The last of {len(known):,} steps filled {used:,.0f}"
    said += f" of {limit:,} tokens ({used / limit:.1%})" if limit else " tokens"
    largest = max(series, key=lambda one: one.values[-1] or 0)
    said += f", most of it {largest.name}."
    if compacted := sum(one.kind == "compaction" for one in marks):
        said += f" History was compacted {'once' if compacted == 1 else f'{compacted} times'}."
    title = f"Context window of {name}"
    return Chart(
        "context", title, "step", places, [pane], marks, summary=said, notes=_notes(line, known)
    )


def _shares(one: Seen) -> dict[str, float]:
    """Return the tokens of each band of a step."""
    found = dict.fromkeys(PARTS, 0.0)
    for kind, tokens in one.tokens.items():
        found[_OF.get(kind, "instructions")] += tokens
    return found


def _compacted(before: Seen, one: Seen) -> bool:
    """Return whether history left the window between two steps."""
    moved = before.first is not None and one.first is not None and one.first > before.first
    return moved or (one.summary is not None and one.summary != before.summary)


def _counted(known: Sequence[Seen], marks: Sequence[Mark]) -> Series | None:
    """Return what providers counted, where they did.

    A step that compacted history made two requests or more, and only their sum is known.
    """
    compacted = {mark.at + 0.5 for mark in marks if mark.kind == "compaction"}
    counted: list[float | None] = [
        (one.step.prompt_tokens or None) if number not in compacted else None
        for number, one in enumerate(known, 1)
    ]
    return Series("counted by the provider", counted) if any(counted) else None


def _notes(line: Sequence[Seen], known: Sequence[Seen]) -> list[str]:
    notes = []
    if missing := sum(one.step.number > 0 for one in line) - len(known):
        notes.append(f"Left out: {missing:,} of {len(line):,} steps, whose requests were not kept.")
    if cut := sum(one.cut for one in known):
        notes.append(f"Of {cut:,} requests something is gone from the store: it counts nowhere.")
    return [*notes, "The size of each part is an estimate."]
