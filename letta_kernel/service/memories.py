"""Archival memory and recall of a project: one pair for each embedder that is in use."""

from __future__ import annotations

import threading

from letta_kernel.memory.archival import Archive
from letta_kernel.memory.recall import Recall
from letta_kernel.models.embedding import embedder
from letta_kernel.records import AgentState
from letta_kernel.service.core import Core


class Memories:
    """The searchable memories of one project folder, opened on first use."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pairs: dict[str, tuple[Archive, Recall]] = {}
        self._lock = threading.Lock()

    def of(self, state: AgentState) -> tuple[Archive, Recall]:
        """Return archival memory and recall with the agent's embedder."""
        return self.embedded_by(state.embedding)

    def embedded_by(self, embedding: str | None) -> tuple[Archive, Recall]:
        """Return archival memory and recall with an embedder; None is the project's."""
        chosen = embedder(embedding)
        with self._lock:
            pair = self._pairs.get(chosen.name)
            if pair is None:
                database, home = self._core.database, self._core.home
                pair = Archive(database, home, chosen), Recall(database, home, chosen)
                self._pairs[chosen.name] = pair
        return pair

    def close(self) -> None:
        """Let go of the indexes."""
        for archive, recall in self._pairs.values():
            archive.close()
            recall.close()
