"""Desks over comms: what panels ask is answered here, and what happens is told to all of them.

One desk is one open comm of a front end. Its messages arrive on a subshell where the front end and the kernel
have those, so also while a cell runs; they are only noted there and answered by threads of our own.

Messages to the kernel: ``request`` (id, method, params) and ``ping``, without which a desk is forgotten after a
while. Messages from it: ``hello``, ``reply`` (id, result or error), ``event`` (of a run of this kernel),
``changed`` (in the project, by any process; ``notebook``: whom this one talks to), ``asking`` (agents that
cells of this kernel wait with), ``bye`` (it is forgotten).
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from comm import get_comm_manager

from letta_kernel import __version__, project
from letta_kernel.api import service_for
from letta_kernel.display.widget import answer_while_busy, live_comms
from letta_kernel.errors import LettaError, NotFoundError
from letta_kernel.messages import (
    Event,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    worded,
)
from letta_kernel.notebook import desk
from letta_kernel.notebook.desk_registry import METHODS, OfAgent, Room
from letta_kernel.notebook.desk_watch import WHAT, Watch
from letta_kernel.notebook.quiet import details
from letta_kernel.notebook.words import WORDS
from letta_kernel.service import AgentService

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

PROTOCOL = 1
"""Grows when a front end has to know about it."""
SILENCE = (
    200.0  # seconds after which a desk that said nothing is taken for gone; they ping each minute
)

_WORKERS = 4
_BATCH = 0.05  # seconds in which deltas are gathered
# … and in a long run, once it has been told in so many messages: each costs some 900 bytes.
_MANY, _LONGER_BATCH = 60, 0.25
_LOOK = 0.7  # seconds between two looks at the store
_REST, _LONGEST_REST = 20, 3.0  # times as long as a look has taken, until the next; seconds at most
_LARGEST = 200_000  # characters of what is only shown

Followed = tuple[str, str, Event]  # agent, run, what happened


class _Desk:
    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.heard = time.monotonic()


class Desks:
    """All desks of one kernel."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._open: dict[str, _Desk] = {}
        self._requests: queue.SimpleQueue[tuple[_Desk, dict[str, Any]]] = queue.SimpleQueue()
        self._workers = 0
        self._followed: list[AgentService] = []
        self._events: queue.SimpleQueue[Followed] = queue.SimpleQueue()
        self._numbers: dict[str, int] = {}  # of the events told, by run
        self._running: set[str] = set()  # which of the two threads below there are
        self._seen = Watch(session.home)
        session.floor.asking_changed = self._tell_asking
        session.floor.agent_changed = self._tell_agent

    def add(self, comm: Any) -> None:
        """Take up a desk: say hello, and answer from now on."""
        answer_while_busy(comm)
        one = _Desk(comm)
        service = self._service()
        comm.on_msg(lambda message: self._received(one, message["content"]["data"]))
        comm.on_close(lambda message: self._forget(comm.comm_id))
        with self._lock:
            self._open[comm.comm_id] = one
            self._session.floor.desks = len(self._open)
            if "_watch" not in self._running:  # what is written from now on is to be told
                self._seen = Watch(service.home)
            self._keep_running(self._tell)
            self._keep_running(self._watch)
        self._send(one, self._hello())

    def _hello(self) -> dict[str, Any]:
        home = self._session.home
        return {
            "type": "hello",
            "protocol": PROTOCOL,
            "version": __version__,
            "project": home.parent.name if home.name == project.FOLDER else home.name,
            "home": str(home),
            "methods": sorted(METHODS),
            "asking": self._session.floor.asking_now(),
            "views": live_comms(),
        }

    def _keep_running(self, work: Callable[[], None]) -> None:
        """Start a thread for *work* unless one is there; with the lock held."""
        if work.__name__ not in self._running:
            self._running.add(work.__name__)
            threading.Thread(target=work, name="letta-desk", daemon=True).start()

    def _goes_on(self, work: Callable[[], None]) -> bool:
        """Whether *work* has anyone to work for. If not its thread ends, and a new desk starts another."""
        with self._lock:
            if not self._open:
                self._running.discard(work.__name__)
            return bool(self._open)

    def _service(self) -> AgentService:
        """Return the project's service, which makes no folder yet, and follow its runs."""
        service = service_for(self._session.home)
        with self._lock:
            if service not in self._followed:
                self._followed.append(service)
                service.events.listeners.append(self._follow)
        return service

    def _forget(self, comm_id: str) -> None:
        with self._lock:
            self._open.pop(comm_id, None)
            self._session.floor.desks = len(self._open)

    def _drop_silent(self) -> None:
        limit = time.monotonic() - SILENCE
        with self._lock:
            silent = [one for one in self._open.values() if one.heard < limit]
        for one in silent:
            self._forget(one.comm.comm_id)
            self._send(one, {"type": "bye"})  # should it be there after all, it opens another
            # Not closed by a message: a page that does not know the comm would log an error.
            manager = get_comm_manager()
            if manager.comms.pop(one.comm.comm_id, None) is not None:
                one.comm._closed = True

    # -- requests ------------------------------------------------------------------------------------

    def _received(self, one: _Desk, data: Any) -> None:
        one.heard = time.monotonic()
        if not isinstance(data, dict) or data.get("type") != "request":
            return
        with self._lock:
            if self._workers < _WORKERS:
                self._workers += 1
                threading.Thread(target=self._work, name="letta-desk", daemon=True).start()
        self._requests.put((one, data))

    def _work(self) -> None:
        while True:
            one, data = self._requests.get()
            with self._noted():
                self._send(one, {"type": "reply", "id": data.get("id"), **self._answer(data)})

    def _answer(self, data: dict[str, Any]) -> dict[str, Any]:
        try:
            params = data.get("params")
            found, given = desk.read(str(data.get("method")), params)
            if not self._session.has_project:  # looking must not make a folder
                if found.empty is not None:
                    return {"result": found.empty}
                if isinstance(given, OfAgent):
                    raise NotFoundError(f"There is no agent {given.agent!r} here yet: make one.")
            room = Room(self._service(), self._session)
            return {"result": desk.answer(room, str(data["method"]), params)}
        except LettaError as error:
            kind, text = type(error).__name__, error.in_words(WORDS)
        except Exception as error:
            self._session.last_error = details(error)
            line = str(error).partition("\n")[0]
            kind = "InternalError"
            text = (
                f"Something went wrong inside letta-kernel ({type(error).__name__}: {line}). "
                "%agent traceback shows where."
            )
        return {"error": {"kind": kind, "message": text}}

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep a fault for ``%agent traceback`` instead of letting it end a thread all desks share."""
        try:
            yield
        except Exception as error:
            self._session.last_error = details(error)

    def _send(self, one: _Desk, data: dict[str, Any]) -> None:
        one.comm.send(data)

    def _send_all(self, data: dict[str, Any]) -> None:
        with self._lock:
            desks = list(self._open.values())
        for one in desks:
            self._send(one, data)

    # -- what happens --------------------------------------------------------------------------------

    def _tell_asking(self) -> None:
        self._send_all({"type": "asking", "agents": self._session.floor.asking_now()})

    def _tell_agent(self) -> None:
        self._send_all({"type": "changed", "what": ["notebook"], "agents": []})

    def _follow(self, agent_id: str, run_id: str, event: Event) -> None:
        if self._open:  # without the lock: the run must not wait
            self._events.put((agent_id, run_id, worded(event, WORDS)))

    def _tell(self) -> None:
        """Send events on, pieces of one text gathered; ends when the last desk has gone."""
        while self._goes_on(self._tell):
            try:
                gathered = [self._events.get(timeout=1.0)]
            except queue.Empty:
                continue
            _, run_id, _ = gathered[0]
            time.sleep(_BATCH if self._numbers.get(run_id, 0) < _MANY else _LONGER_BATCH)
            while not self._events.empty():
                _gather(gathered, self._events.get())
            for agent_id, run_id, event in gathered:
                number = self._numbers[run_id] = self._numbers.get(run_id, 0) + 1
                if event.type == "run_ended":
                    del self._numbers[run_id]
                told = {"type": "event", "agent_id": agent_id, "run_id": run_id, "seq": number}
                with self._noted():
                    self._send_all({**told, "event": _shown(event)})

    def _watch(self) -> None:
        """Tell of changes; ends when the last desk has gone."""
        while self._goes_on(self._watch):
            took = 0.0
            with self._noted():
                took = self._look()
            time.sleep(max(_LOOK, min(_REST * took, _LONGEST_REST)))

    def _look(self) -> float:
        """Tell of what has changed since the last look; return how many seconds looking took."""
        service = self._service()
        if service.home != self._seen.home:  # a cell set LETTA_HOME before its first agent command
            self._seen = Watch(service.home)
            self._send_all(self._hello())
            self._send_all({"type": "changed", "what": WHAT, "agents": None})
        began = time.monotonic()
        try:
            change = self._seen.changed(service)
        except LettaError:  # the folder is gone or locked for long: whoever asks is told why
            change = None
        took = time.monotonic() - began
        if change is not None:
            self._send_all({"type": "changed", **change})
        self._drop_silent()
        return took


def _gather(gathered: list[Followed], new: Followed) -> None:
    """Add *new*, as part of the last one if both are pieces of the same text."""
    agent_id, run_id, last = gathered[-1]
    event = new[2]
    whole: Event | None = None
    if new[1] == run_id:
        if isinstance(last, TextDelta | ReasoningDelta) and isinstance(event, type(last)):
            whole = last.model_copy(update={"text": last.text + event.text})
        elif isinstance(last, ToolCallDelta) and isinstance(event, ToolCallDelta):
            if last.index == event.index and not (event.id or event.name):
                whole = last.model_copy(update={"arguments": last.arguments + event.arguments})
        elif (
            isinstance(last, ToolProgress)
            and isinstance(event, ToolProgress)
            and (last.call_id, last.stream) == (event.call_id, event.stream)
        ):
            whole = last.model_copy(update={"text": last.text + event.text})
    if whole is not None:
        gathered[-1] = (agent_id, run_id, whole)
    else:
        gathered.append(new)


def _shown(event: Event) -> dict[str, Any]:
    """Return an event in JSON, without what is too large to be shown beside a notebook."""
    try:
        shown = event.model_dump(mode="json")
    except ValueError:  # a display of a tool's own that is not JSON
        shown = event.model_copy(update={"display": None}).model_dump(mode="json")
    for field in ("display", "messages", "retrieved"):
        if shown.get(field) and len(json.dumps(shown[field])) > _LARGEST:
            shown[field] = [] if isinstance(shown[field], list) else None
    text = json.dumps(shown, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which a cut-off text may end with
        shown = json.loads(text.encode("utf-8", "replace"))
    return shown
