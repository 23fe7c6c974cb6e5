"""Messages that agents left for one another: their readers work in the background of a process that lives.

Each is a row in the store until a run has begun with it, in one commit, so that it is read once: by this
process or, where that dies before, by the next one of the project.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, suppress

from letta_kernel import users
from letta_kernel.errors import ConflictError, InvalidInputError, LettaError
from letta_kernel.messages import Event, Message
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState
from letta_kernel.service.asking import AskedBy, Start
from letta_kernel.service.chores import EVERY, Chores
from letta_kernel.service.core import Core
from letta_kernel.store import lease
from letta_kernel.store.database import Tx
from letta_kernel.store.lease import Posted

log = logging.getLogger("letta_kernel")

_AT_ONCE = 4  # agents that read at the same time
_LOOK = 30.0  # seconds between two looks at whether another process has written
_ENDING = 5.0  # seconds that runs have to write their end when the process ends


class Deliveries:
    """Lets agents read what was left for them, once `start` was called; other processes leave that to those.

    Attributes
    ----------
    chores : what else is due for the project, looked at every half a minute.
    first : called once before, in the background too: what else a process that lives does for the project.
    """

    def __init__(self, core: Core, start: Start) -> None:
        self._core = core
        self._start_run = start
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._reading: dict[str, tuple[threading.Thread, Cancel]] = {}  # by the agent's id
        self._seen: Hashable = None  # of the store, at the last look
        self._some = True  # something may wait
        self.first: list[Callable[[], object]] = []
        self.chores = Chores(core)
        self._looked = float("-inf")  # when the chores were looked at last

    def start(self) -> None:
        """Deliver what there is, and what will be, in the background of this process."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._bell.set()
                self._thread = threading.Thread(
                    target=users.as_owner(self._work), name="agent-messages", daemon=True
                )
                self._thread.start()

    def posted(self) -> bool:
        """Deliver what was posted here now; False if this process delivers nothing."""
        self._some = True
        self._bell.set()
        return self._thread is not None

    def run_ended(self) -> None:
        """Look again whether something waits for an agent that was busy."""
        if self._some:
            self._bell.set()

    def rest(self) -> None:
        """Deliver nothing more; what has begun goes on."""
        with self._lock:
            self._closed = True
        self._bell.set()

    def close(self) -> None:
        """Deliver no more; what has begun is ended."""
        with self._lock:
            self._closed = True
            reading = [*self._reading.values()]
        self._bell.set()
        for _, switch in reading:
            switch.cancel()
        for thread, _ in reading:
            thread.join(_ENDING)

    def _work(self) -> None:
        for work in self.first:
            try:
                if self._core.database.exists():
                    work()
            except LettaError as error:  # a busy store, say: the next process will do
                log.info("not done at the start: %s", error)
        while not self._closed:
            rung = self._bell.wait(_LOOK)
            self._bell.clear()
            try:
                if rung or self._was_written():
                    self._look()
                if time.monotonic() - self._looked >= EVERY and not self._closed:
                    self._looked = time.monotonic()
                    if self._core.database.exists():
                        self.chores.look()
            except LettaError as error:  # a busy store, say: the next look will do
                log.info("messages of agents wait: %s", error)
            except Exception:
                log.exception("messages of agents could not be looked for")

    def _was_written(self) -> bool:
        """Return whether anybody has written to the store since the last look."""
        known, self._seen = self._seen, self._core.database.changed()
        return self._seen != known

    def _look(self) -> None:
        self._some = False  # what is posted from here on sets it again
        if not self._core.database.exists():  # looking must not make a project
            return
        for state, message in self._core.do(self._waiting):
            with self._lock:
                full = len(self._reading) >= _AT_ONCE
                if full or state.id in self._reading or self._closed:
                    continue
                switch = Cancel()
                thread = threading.Thread(
                    target=users.as_owner(self._read),
                    args=(state, message, switch),
                    name="agent-message",
                    daemon=True,
                )
                self._reading[state.id] = thread, switch
                thread.start()

    def _waiting(self, tx: Tx) -> list[tuple[AgentState, Posted]]:
        """Return the oldest message of each agent that could read it now."""
        found = []
        for thread_id in lease.threads_posted_to(tx):
            self._some = True
            for message in lease.posted_messages(tx, thread_id)[:1]:
                with suppress(LettaError):
                    state = self._core.agent(tx, thread_id)
                    if not self._core.waiting_calls(tx, state):
                        found.append((state, message))
        return found

    def _read(self, state: AgentState, posted: Posted, switch: Cancel) -> None:
        message = Message(
            agent_id=state.id,
            role="user",
            content=posted["text"],
            name=posted["name"],
            sender_id=posted["sender_id"],
        )
        asked = AskedBy(posted["asked_by"], posted["asked_call"], posted=posted["id"])
        done = False
        try:
            events: Iterator[Event] = self._start_run(
                state, message, asked, host=None, live=_nobody, cancel=switch
            )
            with closing(events):  # type: ignore[type-var]
                for _ in events:
                    done = True
        except ConflictError:  # another process was quicker
            done = True
        except InvalidInputError as error:  # it waits for a person's word since
            log.info("a message for %s waits: %s", state.id, error)
        except LettaError as error:
            log.warning("a message for %s waits: %s", state.id, error)
        except Exception:
            log.exception("a message for %s could not be delivered", state.id)
        finally:
            with self._lock:
                del self._reading[state.id]
            if done:
                self._bell.set()


def _nobody(event: Event) -> None:
    """Tell nobody: who follows the agent reads the event log."""
