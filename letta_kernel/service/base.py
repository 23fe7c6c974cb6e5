"""What all parts of the service stand on: the project folder, its database, its memories."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.memory.archival import Archive
from letta_kernel.memory.recall import Recall
from letta_kernel.models import keys
from letta_kernel.models.embedding import embedder
from letta_kernel.project import project_folder
from letta_kernel.records import AgentState
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import agents, settings
from letta_kernel.store.database import Database, Tx

T = TypeVar("T")

_MOST_LISTED = 10
KEPT = 256  # results of reads that are remembered
RENAMED = "renamed: "
"""Before a name that an agent had: the key of the setting that holds its id."""


def listed(states: Sequence[AgentState]) -> str:
    """Return the ids of agents of one name, newest first, with when each was made."""
    newest = [f"{one.id} (made {_made(one)})" for one in reversed(states[-_MOST_LISTED:])]
    more = len(states) - len(newest)
    return ", ".join([*newest, f"and {more} older ones"] if more else newest)


def _made(state: AgentState) -> str:
    """Return when an agent was made, in words."""
    return f"{state.created_at.astimezone():%Y-%m-%d %H:%M:%S}"


class ServiceBase:
    """Holds the database and the memories of one project folder."""

    def __init__(self, home: Path | str | None = None) -> None:
        self.home = project_folder(home)
        self.database = Database(self.home)
        self._away = keys.look_beside(self.home)
        self.notebook: str | None = None  # whose runs these are where nothing else says
        self._memories: dict[str, tuple[Archive, Recall]] = {}
        self._lock = threading.Lock()
        self._reads: dict[Hashable, tuple[tuple[int, ...], Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database; what was acknowledged is on disk already."""
        for archive, recall in self._memories.values():
            archive.close()
            recall.close()
        self.database.close()
        self._away()

    def do(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in one transaction and return what it returns, committed."""
        return self.database.run(work)

    def setting(self, key: str) -> str | None:
        """Return a small project-wide setting, None if it was never set."""
        return self.do(lambda tx: settings.get(tx, key))

    def set_setting(self, key: str, value: str | None) -> None:
        """Keep a small project-wide setting; None removes it."""
        self.do(lambda tx: settings.put(tx, key, value))

    def agent(self, ref: str, *, newest: bool = False, renamed: bool = True) -> AgentState:
        """Return the agent of that id or name; with *newest* the newest one, if several have the name.

        A name that no agent has stands for the one that had it before it was renamed, so that cells which
        ran before that can run again; not with *renamed* False.

        Raises
        ------
        NotFoundError
            There is none; the text names the nearest one.
        InvalidInputError
            Several have that name; the text lists their ids.
        """
        return self.do(lambda tx: self._agent(tx, ref, newest, renamed))

    def _agent(self, tx: Tx, ref: str, newest: bool = False, renamed: bool = True) -> AgentState:
        def read() -> list[AgentState]:
            known = agents.get(tx, ref)
            found = agents.named(tx, ref) if known is None else [known]
            return found or (self._renamed(tx, ref) if renamed else [])

        found = self._kept(tx, ("agent", ref, renamed), ("agents",), read)
        if len(found) > 1 and not newest:
            raise InvalidInputError(
                f"{len(found)} agents are called {ref!r}; name one by its id: {listed(found)}."
            )
        if not found:
            names = [state.name for state in agents.list_all(tx)]
            text = f"There is no agent {ref!r}."
            if aside := agents.named(tx, ref, set_aside=True):
                raise NotFoundError(f"{text} Set aside: {listed(aside)}.")
            if not names:
                raise NotFoundError(text, remedy(Do.MAKE_AGENT, "NAME"))
            hint = nearest(ref, names) or f" There is: {', '.join(names[:10])}."
            raise NotFoundError(f"{text}{hint}")
        return found[-1].model_copy()

    @staticmethod
    def _renamed(tx: Tx, name: str) -> list[AgentState]:
        """Return the agent in use that had this name before it was renamed, if there is one."""
        known = settings.get(tx, f"{RENAMED}{name}")
        state = agents.get(tx, known) if known else None
        return [] if state is None or state.set_aside else [state]

    def _kept(self, tx: Tx, key: Hashable, tables: tuple[str, ...], read: Callable[[], T]) -> T:
        """Return what *read* returns, without reading again while nobody has written to *tables*."""
        stamp = tx.stamp(*tables)
        known = self._reads.get(key)
        if known is not None and stamp is not None and known[0] == stamp:
            return known[1]
        value = read()
        if stamp is not None:
            if len(self._reads) >= KEPT:
                self._reads.clear()
            self._reads[key] = (stamp, value)
        return value

    def _memory_of(self, state: AgentState) -> tuple[Archive, Recall]:
        """Return archival memory and recall for the agent's embedder, one pair per embedder."""
        return self._memories_with(state.embedding)

    def _memories_with(self, embedding: str | None) -> tuple[Archive, Recall]:
        chosen = embedder(embedding)
        with self._lock:
            pair = self._memories.get(chosen.name)
            if pair is None:
                pair = (
                    Archive(self.database, self.home, chosen),
                    Recall(self.database, self.home, chosen),
                )
                self._memories[chosen.name] = pair
        return pair
