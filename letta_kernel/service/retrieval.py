"""The passages placed beside a message, looked for while the run's beginning is being written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from letta_kernel.agent.settings import AgentSettings
from letta_kernel.memory.archival import Archive
from letta_kernel.records import AgentState
from letta_kernel.tools import core

Passages = list[dict[str, Any]]


class Retrieval:
    """A search that is done when its result is asked for, unless it was begun before.

    Searching is mostly arithmetic and writing is mostly waiting, so that together they take little more
    than the longer of the two.
    """

    def __init__(self, search: Callable[[], Passages]) -> None:
        self._search = search
        self._begun: Future[Passages] | None = None

    def begin(self) -> None:
        """Search from now on in a thread."""
        self._begun = Future()
        threading.Thread(
            target=self._work, args=(self._begun,), name="retrieval", daemon=True
        ).start()

    def _work(self, begun: Future[Passages]) -> None:
        try:
            begun.set_result(self._search())
        except BaseException as error:
            begun.set_exception(error)

    def found(self) -> Passages:
        """Return what was found; raises what the search raised."""
        return self._search() if self._begun is None else self._begun.result()


def retrieve(archive: Archive, state: AgentState, settings: AgentSettings, text: str) -> Passages:
    """Return the passages that match *text*, within the agent's budget, as runs record them."""
    return [
        {
            "id": hit.passage.id,
            "timestamp": core.local_time(hit.passage.created_at, settings.timezone),
            "content": hit.passage.content,
            "score": round(hit.score, 4),
        }
        for hit in archive.relevant(state.id, text, settings.retrieval_budget)
    ]
