"""What all parts of the service read through: the project's database, its agents and memories, reads kept."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from letta_kernel.agent.decisions import pending_calls
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError, StoreError, nearest
from letta_kernel.memory import language
from letta_kernel.memory.archival import Archive
from letta_kernel.memory.recall import Recall
from letta_kernel.messages import ToolCall
from letta_kernel.models.embedding import OFFLINE, default_name, embedder
from letta_kernel.project import project_folder
from letta_kernel.records import AgentState, Conversation, ThreadState
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.admission import Admission
from letta_kernel.store import agents, conversations, filesystem, indexes, lease, messages, settings
from letta_kernel.store.database import Database, Tx

T = TypeVar("T")

_MOST_LISTED = 10
KEPT = 256  # results of reads that are remembered
RENAMED = "renamed: "
"""Before a name that an agent had: the key of the setting that holds its id."""
CAME_WITH = "came with: "
"""Before an agent's id: the key of the setting that holds the tools of its file that are not built in."""
MULTILINGUAL = "multilingual"
"""The embedder, and the extra that brings it, for people who do not write English."""
_OFFERED = "embedder offered"
_SAMPLE = 200  # messages, and as many passages
_PAUSE = 60.0  # seconds between two looks at them


def lacks_embedder(tx: Tx) -> bool:
    """Return whether most text, to judge by the newest, is in languages that another embedder knows better."""
    return sys.platform != "win32" and language.is_other(indexes.newest_texts(tx, _SAMPLE))


def listed(states: Sequence[AgentState]) -> str:
    """Return the ids of agents of one name, newest first, with when each was made."""
    newest = [f"{one.id} (made {_made(one)})" for one in reversed(states[-_MOST_LISTED:])]
    more = len(states) - len(newest)
    return ", ".join([*newest, f"and {more} older ones"] if more else newest)


def _made(state: AgentState) -> str:
    """Return when an agent was made, in words."""
    return f"{state.created_at.astimezone():%Y-%m-%d %H:%M:%S}"


class Core:
    """The database of one project folder, and what every part of the service reads of it.

    Parameters
    ----------
    home : the project folder; by default ``LETTA_HOME``, or ``.letta`` beside the notebook or where the process
        began. It is made on first use.
    store : where its rows are, as in ``LETTA_STORE``, which counts if this is None; empty is a file in *home*.
    index : where its vector index is, as in ``LETTA_INDEX``, likewise; empty is *home*.

    Attributes
    ----------
    admission : is asked before each run and whatever else a model is asked; None where nothing bounds them.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        store: str | None = None,
        index: str | None = None,
    ) -> None:
        self.home = project_folder(home)
        self.database = Database(self.home, store=store, index=index)
        self._told = self._offered = False
        self._ask_again = 0.0
        self._later: list[str] = []
        self._reads: dict[Hashable, tuple[tuple[int, ...], Any]] = {}
        self.admission: Admission | None = None

    def news(self) -> list[str]:
        """Return what is to be said of the project's place, and what came up since, once."""
        told, self._told = self._told, True
        said = filesystem.notice(self.home) if not told and self.database.in_file else None
        later, self._later = self._later, []
        return [said, *later] if said else later

    def say_later(self, text: str) -> None:
        """Have a line said at the beginning of the next run."""
        self._later.append(text)

    def offer(self, text: str) -> bool:
        """Return, once for a project, whether another embedder would serve it better, as *text* comes in."""
        if self._offered or default_name() != OFFLINE or time.monotonic() < self._ask_again:
            return False
        if not language.is_other([text], enough=4):
            return False
        self._ask_again = time.monotonic() + _PAUSE  # reading takes some milliseconds of a turn
        with contextlib.suppress(LettaError):  # a busy store: another turn will do
            self._offered = self.do(lambda tx: settings.get(tx, _OFFERED) is not None)
            if self._offered or not self.do(lacks_embedder):
                return False
            self.do(lambda tx: settings.put(tx, _OFFERED, MULTILINGUAL))
            self._offered = True
            return True
        return False

    def do(self, work: Callable[[Tx], T], *, joined: bool = False) -> T:
        """Run *work* in one transaction and return what it returns, committed.

        What a process that has died left of a run is brought to an end first, so that everybody sees it;
        where that cannot be written it is left for later. *joined*: what *work* does in turn, on its
        thread, joins the transaction.
        """
        recovering = False
        run = self.database.run_joined if joined else self.database.run

        def after_recovery(tx: Tx) -> T:
            nonlocal recovering
            key = ("held", len(lease.ended))  # a run here that could not say that it ended
            for held in self.kept(tx, key, ("leases",), lambda: lease.held(tx)):
                if not tx.read_only and lease.is_over(tx, held):
                    recovering = True
                    lease.recover_thread(tx, held)
            return work(tx)

        try:
            return run(after_recovery)
        except StoreError:
            if not recovering:
                raise
            return run(work)

    def look(self, work: Callable[[Tx], T]) -> T:
        """Run *work*, which only reads, as `do` does: for as long as it takes, where nobody waits for it."""
        if self.database.in_file:
            return self.do(work)
        self.do(lambda tx: None)  # brings to an end what a process that has died left
        return self.database.look(work)

    def view(self, work: Callable[[Tx], T], seconds: float) -> T:
        """Run *work* as `look` does, by who may read what the views are made of alone (`Database.view`)."""
        if self.database.in_file:
            return self.do(work)
        self.do(lambda tx: None)
        return self.database.view(work, seconds)

    def join(self, work: Callable[[Tx], T]) -> T:
        """Run *work* as `do` does; all that it does in turn is in the same transaction."""
        return self.do(work, joined=True)

    def find_agent(self, ref: str, *, newest: bool = False, renamed: bool = True) -> AgentState:
        """Return an agent as `agent` does, in a transaction of its own."""
        return self.do(lambda tx: self.agent(tx, ref, newest, renamed))

    def find_thread(self, ref: str, conversation: str | None) -> AgentState:
        """Return an agent in a conversation as `thread` does, in a transaction of its own."""
        return self.do(lambda tx: self.thread(tx, ref, conversation))

    def agent(self, tx: Tx, ref: str, newest: bool = False, renamed: bool = True) -> AgentState:
        """Return the agent of that id or name; with *newest* the newest one, if several have the name.

        A name that no agent has stands for the one that had it before it was renamed; not with *renamed* False.

        Raises
        ------
        NotFoundError
            There is none; the text names the nearest one.
        InvalidInputError
            Several have that name; the text lists their ids.
        """

        def read() -> list[AgentState]:
            known = agents.get(tx, ref)
            found = agents.named(tx, ref) if known is None else [known]
            return found or (self.renamed(tx, ref) if renamed else [])

        found = self.kept(tx, ("agent", ref, renamed), ("agents",), read)
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
    def renamed(tx: Tx, name: str) -> list[AgentState]:
        """Return the agent in use that had this name before it was renamed, if there is one."""
        known = settings.get(tx, f"{RENAMED}{name}")
        state = agents.get(tx, known) if known else None
        return [] if state is None or state.set_aside else [state]

    def thread(self, tx: Tx, ref: str, conversation: str | None) -> AgentState:
        """Return an agent as it is in a conversation, or (None) in its own thread."""
        state = self.agent(tx, ref)
        if conversation is None:
            return state
        found = self.conversation(tx, conversation)
        if found.agent_id != state.id:
            raise NotFoundError(f"{state.name} has no conversation {conversation!r}.")
        return ThreadState.of(state, found)

    @staticmethod
    def conversation(tx: Tx, conversation_id: str) -> Conversation:
        """Return the conversation of this id; `NotFoundError` if there is none."""
        found = conversations.get(tx, conversation_id)
        if found is None:
            raise NotFoundError(f"There is no conversation {conversation_id!r}.")
        return found

    @staticmethod
    def waiting_calls(tx: Tx, state: AgentState) -> list[ToolCall]:
        """Return the calls of a thread that wait for a person's approval."""
        if not agents.is_waiting(tx, state.thread_id):
            return []
        begin, thread = state.window_start, state.thread
        begin = messages.newest(tx, thread, begin, characters=1)
        return pending_calls(messages.window(tx, thread, begin))

    def kept(self, tx: Tx, key: Hashable, tables: tuple[str, ...], read: Callable[[], T]) -> T:
        """Return what *read* returns, without reading again while nobody has written to *tables*."""
        stamp = tx.stamp(*tables)
        known = self._reads.get(key)
        if known is not None and stamp is not None and known[0] == stamp:
            return known[1]
        value = read()
        if (
            tx.stamp(*tables) == stamp is not None
        ):  # not what *read* itself wrote: it may be undone yet
            if len(self._reads) >= KEPT:
                self._reads.clear()
            self._reads[key] = (stamp, value)
        return value


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
