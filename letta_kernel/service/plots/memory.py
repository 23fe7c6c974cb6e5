"""How an agent's memory grew: the size of its blocks and the passages of its archive, over its steps."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from letta_kernel.errors import InvalidInputError
from letta_kernel.records import Block, BlockVersion, Passage
from letta_kernel.service.plots.chart import Chart, Pane, Place, Series
from letta_kernel.service.plots.usage import Walked, places_of

History = Sequence[tuple[Block, Sequence[BlockVersion]]]


def memory(
    name: str,
    walked: Walked,
    history: History,
    passages: Sequence[Passage] = (),
    forgotten: Sequence[tuple[Passage, datetime]] = (),
    older: bool = False,
) -> Chart:
    """Return the characters of each block at each step, and at changes by hand between two steps.

    Parameters
    ----------
    history : each block with its versions, oldest first.
    passages, forgotten : those that are found now or were superseded; those forgotten, and since when.
    older : there are runs before those of *walked*: what was written before them is one place.
    """
    if not history:
        raise InvalidInputError(f"{name} has no memory blocks.")
    axis = _Axis(walked, older)
    versions = [one for _, written in history for one in written]
    kept = [*passages, *(one for one, _ in forgotten)]
    for version in versions:
        axis.add(version.step_id, version.created_at, made=version.version == 1)
    for passage in kept:
        axis.add(passage.step_id, _since(passage))
        if passage.superseded_at is not None:
            axis.add(None, passage.superseded_at)
    for _, moment in forgotten:
        axis.add(None, moment)
    places = axis.places()
    index = {place.at: number for number, place in enumerate(places)}

    series = []
    for hue, (block, written) in enumerate(history):
        found: dict[int, int] = {}
        for version in written:
            at = axis.at(version.step_id, version.created_at, made=version.version == 1)
            found[index[at]] = len(version.value)
        values = _held(found, len(places))
        series.append(Series(block.label, values, block.limit, sorted(found), hue))
    panes = [Pane("stairs", "characters", series)]
    if kept:
        change: Counter[int] = Counter()
        for passage in kept:
            change[index[axis.at(passage.step_id, _since(passage))]] += 1
            if passage.superseded_at is not None:
                change[index[axis.at(None, passage.superseded_at)]] -= 1
        for passage, moment in forgotten:
            if passage.superseded_at is None:
                change[index[axis.at(None, moment)]] -= 1
        panes.append(Pane("stairs", "passages", [_archive(change, len(places), len(series))]))
    said = "; ".join(
        f"{block.label} has {len(block.value):,} of {block.limit:,} characters"
        f" ({len(written):,} version{'' if len(written) == 1 else 's'})"
        for block, written in history
    )
    if kept:
        number = panes[-1].series[0].values[-1] or 0
        said += f"; the archive holds {number:,} passage{'' if number == 1 else 's'}"
    return Chart(
        "memory", f"Memory of {name}", "step", places, panes, axis.marks, summary=said + "."
    )


def _archive(change: Mapping[int, int], number: int, hue: int) -> Series:
    values: list[float | None] = []
    count = 0
    for place in range(number):
        count += change.get(place, 0)
        values.append(count)
    changed = sorted(one for one, by in change.items() if by)
    return Series("archive", values, changed=changed, hue=hue)


def _since(passage: Passage) -> datetime:
    return passage.kept_at or passage.created_at


def _held(found: Mapping[int, int], number: int) -> list[float | None]:
    """Return the last value that was *found* at each of so many places, None before the first."""
    values: list[float | None] = []
    for place in range(number):
        values.append(found.get(place, values[-1] if values else None))
    return values


class _Axis:
    """Steps by their numbers, and between them what was changed in no step that is shown."""

    def __init__(self, walked: Walked, older: bool) -> None:
        self._steps, self.marks = places_of(walked)
        self._by_id = {place.ref: place.at for place in self._steps}
        self._begun = [place.moment for place in self._steps if place.moment is not None]
        self._older = older
        self._between: dict[int, set[datetime]] = {}
        self._begin: datetime | None = None

    def add(self, step_id: str | None, moment: datetime, made: bool = False) -> None:
        """Make a place for a change, unless it was in a step; *made*: a block was, with its first text."""
        if step_id in self._by_id:
            return
        after = self._after(moment)
        if not after and (made or self._older):
            self._begin = min(self._begin or moment, moment)
        else:
            self._between.setdefault(after, set()).add(moment)

    def _after(self, moment: datetime) -> int:
        """Return the number of the last step that began before *moment*."""
        return bisect_left(self._begun, moment)

    def at(self, step_id: str | None, moment: datetime, made: bool = False) -> float:
        """Return where a change stands that `add` was told of; what there was before all steps is at 0."""
        if step_id in self._by_id:
            return self._by_id[step_id]
        after = self._after(moment)
        if not after and (made or self._older):
            return 0.0
        moments = sorted(self._between[after])
        return after + (moments.index(moment) + 1) / (len(moments) + 1)

    def places(self) -> list[Place]:
        """Return all places in their order."""
        return sorted([*self._steps, *self._others()], key=lambda place: place.at)

    def _others(self) -> Iterable[Place]:
        if self._begin is not None:
            name = "before the runs that are shown" if self._older else "as it was made"
            yield Place(0.0, "before", name, moment=self._begin)
        for after, moments in self._between.items():
            name = f"after step {after}" if after else "before step 1"
            for moment in moments:
                at = self.at(None, moment)
                yield Place(at, name, "changed between steps", moment=moment)
