"""The vectors a model has made so far. Static vectors do until then: no search waits for a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from letta_kernel.memory import scoring
from letta_kernel.memory.index import Index
from letta_kernel.memory.vectors import Vectors, alike
from letta_kernel.store.indexes import Line
from letta_kernel.store.vectors import IndexAwayError, IndexBrokenError

log = logging.getLogger(__name__)

Give = Callable[[list[int], np.ndarray], None]
"""Gives rows, which have none yet, their vectors."""


class ModelVectors:
    """The vectors a model made of an agent's lines, and the lines it has not embedded yet."""

    def __init__(self) -> None:
        self.lacking: list[Line] = []
        self._rows: list[int] = []
        self._parts: list[np.ndarray] = []
        self._checked: object = None  # what the store said when the index was last read

    def update(
        self,
        vectors: Vectors,
        index: Index,
        agent_id: str,
        row_of: Mapping[str, int],
        stamp: object,
        give: Give | None = None,
    ) -> None:
        """Take what was embedded meanwhile: here, or by another process, which the index has.

        Parameters
        ----------
        row_of
            The rows of the lines that exist, by id.
        stamp
            Changes whenever the store does; None if that is not known.
        give
            What gets the vectors instead of `likeness`.
        """
        give = give or self._add
        if not self.lacking:
            return
        found = vectors.at_hand([line.text for line in self.lacking])
        self.lacking = give_vectors(self.lacking, row_of, found, give)
        if not self.lacking or (stamp is not None and stamp == self._checked):
            return
        self._checked = stamp
        index.follow()
        mark, _ = index.progress(agent_id)
        first = min(line.seq for line in self.lacking)
        if first > mark:
            return
        parts: list[np.ndarray] = []
        try:
            table = index.table.lines_of(agent_id, first - 1, parts.append)
        except IndexBrokenError as error:
            level = logging.DEBUG if isinstance(error, IndexAwayError) else logging.WARNING
            log.log(level, "Searching without the vector index for now: %s", error)
            return
        # The index may still have a line as it was before an edit: its digest tells.
        keys = zip(table["id"].to_pylist(), table["digest"].to_pylist(), strict=True)
        there = dict(zip(keys, np.concatenate(parts) if parts else (), strict=True))
        lines = [line for line in self.lacking if (line.id, line.digest) in there]
        found = {line.text: there[line.id, line.digest] for line in lines}
        self.lacking = give_vectors(self.lacking, row_of, found, give)

    def likeness(self, asked: scoring.Query) -> scoring.ModelLikeness | None:
        """Return how alike to a query the rows with a vector are; None if there is none to compare."""
        vector = asked.vector
        if vector is None or not self._parts or self._parts[0].shape[1] != len(vector):
            return None
        self._parts = [np.concatenate(self._parts)]
        rows = np.array(self._rows, dtype=np.int64)
        return scoring.ModelLikeness(
            asked.kind, rows, alike(self._parts[0], vector), asked.unrelated
        )

    def _add(self, rows: list[int], vectors: np.ndarray) -> None:
        self._rows += rows
        self._parts.append(vectors)


def give_vectors(
    lines: Sequence[Line],
    row_of: Mapping[str, int],
    vectors: Mapping[str, np.ndarray],
    give: Give,
) -> list[Line]:
    """Give the rows of *lines* the vectors of their texts; return the lines that have none yet."""
    there = [line for line in lines if line.id in row_of]
    seen = [line for line in there if line.text in vectors]
    if seen:
        give([row_of[line.id] for line in seen], np.stack([vectors[line.text] for line in seen]))
    return [line for line in there if line.text not in vectors]
