"""Runs of other people's agents that this process follows, told to panels as runs of own agents are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

from letta_kernel.errors import LettaError
from letta_kernel.messages import Event, RunEnded, RunQueued, RunStarted, Usage
from letta_kernel.remote import SharedAgents
from letta_kernel.remote.run import Ended
from letta_kernel.remote.shapes import Me
from letta_kernel.service.event_log import EventLog

SIGN = "shared:"
"""What the id of somebody else's agent begins with in the panel."""

_FRESH = 5.0  # seconds for which what is shared counts; the panel asks after each run
_BEGIN = 60.0  # seconds until a run is there, or that it cannot be is known
_MOST_KNOWN = 32  # servers and tokens of which it is remembered what is shared

Follow = Callable[[Callable[[Event], None], threading.Event], Generator[Event]]


class SharedRuns:
    """What panels have begun, and what cells of the notebook show.

    Attributes
    ----------
    log : what the runs tell.
    """

    def __init__(self) -> None:
        self.log = EventLog()
        self._ending: dict[str, threading.Event] = {}
        self._known: dict[tuple[str, str], tuple[float, Me]] = {}
        self._lock = threading.Lock()

    def me(self, server: SharedAgents, *, fresh: bool = False) -> Me:
        """Return who asks at *server* and what is shared, as it was five seconds ago at most."""
        at, known = self._known.get(server.known_by, (0.0, Me()))
        if at and not fresh and time.monotonic() - at < _FRESH:
            return known
        found = server.me()
        with self._lock:
            while len(self._known) >= _MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[server.known_by] = time.monotonic(), found
        return found

    def start(self, ref: str, follow: Follow) -> str:
        """Begin a run of *ref* that goes on by itself; return its id.

        Raises
        ------
        LettaError
            It cannot be begun; nothing was said.
        """
        told, begun = Followed(self, ref), threading.Event()

        def work() -> None:
            events = follow(told.take, told.ending)
            try:
                for _ in events:
                    begun.set()
            except Ended:
                told.fail(LettaError("Stopped; its history shows what came of it."))
            except LettaError as error:
                told.fail(error)
            except Exception as error:  # nobody else would hear of it
                told.fail(
                    LettaError(
                        f"{ref}: something went wrong here ({type(error).__name__}).",
                        page="went-wrong",
                    )
                )
            finally:
                events.close()
                told.leave()
                begun.set()

        threading.Thread(target=work, name="letta-shared", daemon=True).start()
        if not begun.wait(_BEGIN):
            told.ending.set()
            raise LettaError(
                f"{ref}: its server did not begin a run in time; try again.", page="shared-agents"
            )
        if not told.run_id:
            raise told.error or LettaError(
                f"{ref}: its server did not begin a run.", page="shared-agents"
            )
        return told.run_id

    def stop(self, run_id: str) -> bool:
        """End a run that is followed here; False if none of that id is."""
        ending = self._ending.get(run_id)
        if ending is not None:
            ending.set()
        return ending is not None


class Followed:
    """One run of *ref*: what it tells is taken down; ``ending`` is set where a panel stops it."""

    def __init__(self, runs: SharedRuns, ref: str) -> None:
        self._runs, self._ref = runs, ref
        self._ended = False
        self.run_id = ""
        self.ending = threading.Event()
        self.error: LettaError | None = None

    def take(self, event: Event) -> None:
        """Take down what it tells."""
        if not self.run_id and isinstance(event, RunStarted | RunQueued | RunEnded):
            self.run_id = event.run_id
            self._runs._ending[self.run_id] = self.ending
        if isinstance(event, RunStarted | RunQueued):  # a guest has one thread with it here
            event = event.model_copy(update={"conversation": None})
        if self.run_id:
            self._runs.log.add(SIGN + self._ref, self.run_id, event)
        self._ended = self._ended or isinstance(event, RunEnded)

    def fail(self, error: LettaError) -> None:
        """Take down that it cannot be followed any more; of one that has not begun whoever asked is told."""
        self.error = error
        if self.run_id and not self._ended:
            self.take(
                RunEnded(
                    run_id=self.run_id,
                    stop_reason="error",
                    error=error.text,
                    steps=0,
                    usage=Usage(),
                    seconds=0.0,
                    model="",
                )
            )

    def leave(self) -> None:
        """Nothing more comes of it."""
        if self.run_id:
            self._runs._ending.pop(self.run_id, None)
            self._runs.log.finish(self.run_id)
