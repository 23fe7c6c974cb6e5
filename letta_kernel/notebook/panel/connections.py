"""Connections of panels over comms: what they ask is answered, and what happens is told to all of them.

A connection is one open comm of a front end. Its messages arrive on a subshell where the front end and the
kernel have those, so also while a cell runs; they are only noted there and answered by threads of our own.

Messages to the kernel: ``request`` (id, method, params), ``follow`` (what was missed of a run) and ``ping``,
without which it is forgotten after a while; ``document`` and ``answer`` are for
`letta_kernel.notebook.document.front_ends`, which sends ``ask``. Messages from it: ``hello``, ``reply`` (id,
result or error), ``events`` (of a run of this kernel, see `letta_kernel.service.event_json`), ``changed`` (in
the project, by any process; ``notebook``: whom this one talks to), ``asking`` (agents that cells of this
kernel wait with), ``bye`` (it is forgotten).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from comm import get_comm_manager

from letta_kernel import __version__, project
from letta_kernel.display.widget import answer_while_busy, live_comms
from letta_kernel.errors import LettaError, NotFoundError
from letta_kernel.ids import new_id
from letta_kernel.messages import Event
from letta_kernel.notebook.debugger import Debugging
from letta_kernel.notebook.output import details
from letta_kernel.notebook.panel import rpc, shared
from letta_kernel.notebook.panel.registry import METHODS, OfAgent, PanelHost
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.service import AgentService, event_json
from letta_kernel.service.changes import WHAT, ChangeWatch
from letta_kernel.service.event_log import EventLog, RunLog

PROTOCOL = 1
"""Grows when a front end has to know about it."""
SILENCE = (
    200.0  # seconds after which a panel that said nothing is taken for gone; they ping each minute
)

_WORKERS = 4
_BATCH = 0.05  # seconds in which events are gathered
# … and in a long run, once it has been told in so many messages: each costs some 900 bytes.
_MANY, _LONGER_BATCH = 60, 0.25
_LOOK = 0.7  # seconds between two looks at the store
_REST, _LONGEST_REST = 20, 3.0  # times as long as a look has taken, until the next; seconds at most


class _Connection:
    def __init__(self, comm: Any, watches: bool) -> None:
        self.comm = comm
        self.watches = watches  # is it to be told of changes?
        self.heard = time.monotonic()


class _Requests:
    """Requests that wait for a thread, and how many threads there are for them."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[_Connection, dict[str, Any]]] = queue.SimpleQueue()
        self.workers = 0


class _Followed:
    """A run that is told to all panels: up to which number, in how many messages."""

    def __init__(self, run: RunLog, told: int) -> None:
        self.run, self.told, self.messages = run, told, 0


class PanelConnections:
    """All panels that are connected to one kernel, or to a server for one project.

    Parameters
    ----------
    watching : whether panels are told of changes without having asked for it (``{"type": "watch"}``).
    """

    def __init__(self, kernel: PanelHost, *, watching: bool = True) -> None:
        self._kernel = kernel
        self._watching = watching
        self._id = new_id("process")
        self._lock = threading.Lock()
        self._open: dict[str, _Connection] = {}
        # A server of shared agents may be slow, or not there: own agents do not wait for it.
        self._near, self._far = _Requests(), _Requests()
        self._services: list[AgentService] = []  # whose runs are followed
        self._followed: dict[str, _Followed] = {}
        self._news = threading.Event()
        self._running: set[str] = set()  # which of the two threads below there are
        self._seen: ChangeWatch | None = None  # until the first panel
        kernel.shared_runs.log.listeners.append(partial(self._note, kernel.shared_runs.log))
        kernel.approvals.changed = self._tell_asking
        kernel.agent_changed = self._tell_agent
        debugger: Debugging | None = getattr(kernel, "debugger", None)  # a server has none
        if debugger is not None:
            debugger.changed = self._tell_stopped

    def add(self, comm: Any) -> None:
        """Take up a panel: say hello, and answer from now on."""
        answer_while_busy(comm)
        one = _Connection(comm, self._watching)
        service = self._service()
        comm.on_msg(lambda message: self._received(one, message["content"]["data"]))
        comm.on_close(lambda message: self._forget(comm.comm_id))
        with self._lock:
            self._open[comm.comm_id] = one
            self._kernel.approvals.panels = len(self._open)
            if "_watch" not in self._running:  # what is written from now on is to be told
                self._seen = ChangeWatch(service.database)
            self._keep_running(self._tell)
            if one.watches:
                self._keep_running(self._watch)
        self._send(one, self._hello())

    def _hello(self) -> dict[str, Any]:
        home = self._kernel.home
        return {
            "type": "hello",
            "protocol": PROTOCOL,
            "version": __version__,
            "process": self._id,  # whose runs are told of
            "project": home.parent.name if home.name == project.FOLDER else home.name,
            "home": str(home),
            "methods": sorted(METHODS),
            "asking": self._kernel.approvals.waiting(),
            "views": live_comms(),
        }

    def _keep_running(self, work: Callable[[], None]) -> None:
        """Start a thread for *work* unless one is there; with the lock held."""
        if work.__name__ not in self._running:
            self._running.add(work.__name__)
            threading.Thread(target=work, name="letta-panel", daemon=True).start()

    def _goes_on(self, work: Callable[[], None]) -> bool:
        """Whether *work* has anyone to work for. If not its thread ends, and a new panel starts another."""
        with self._lock:
            every = self._open.values()
            wanted = any(one.watches for one in every) if work == self._watch else bool(every)
            if not wanted:
                self._running.discard(work.__name__)
            return wanted

    def _service(self) -> AgentService:
        """Return the project's service, which makes no folder yet, and follow its runs."""
        service = self._kernel.service
        with self._lock:
            if service not in self._services:
                self._services.append(service)
                service.events.listeners.append(partial(self._note, service.events))
        return service

    def _forget(self, comm_id: str) -> None:
        with self._lock:
            self._open.pop(comm_id, None)
            self._kernel.approvals.panels = len(self._open)
        self._kernel.front_ends.gone(comm_id)

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

    def _received(self, one: _Connection, data: Any) -> None:
        one.heard = time.monotonic()
        if isinstance(data, dict) and data.get("type") in ("document", "answer"):
            self._kernel.front_ends.received(one.comm.comm_id, data, partial(self._send, one))
            return
        if not isinstance(data, dict) or data.get("type") not in ("request", "follow", "watch"):
            return
        with self._lock:
            if data["type"] == "watch":
                one.watches = bool(data.get("on"))
                if one.watches:
                    self._keep_running(self._watch)
                return
            asked = self._far if shared.is_about(data) else self._near
            if asked.workers < _WORKERS:
                asked.workers += 1
                work = partial(self._work, asked)
                threading.Thread(target=work, name="letta-panel", daemon=True).start()
        asked.queue.put((one, data))

    def _work(self, asked: _Requests) -> None:
        while True:
            one, data = asked.queue.get()
            with self._noted():
                if data["type"] == "follow":
                    self._catch_up(one, data)
                else:
                    self._send(
                        one, {"type": "reply", "id": data.get("id"), **self._answer(one, data)}
                    )

    def _answer(self, one: _Connection, data: dict[str, Any]) -> dict[str, Any]:
        try:
            params = data.get("params")
            found, given = rpc.read(str(data.get("method")), params)
            if not shared.is_about(data) and not self._kernel.has_project:
                # looking must not make a folder
                if found.empty is not None:
                    return {"result": found.empty}
                if isinstance(given, OfAgent):
                    raise NotFoundError(f"There is no agent {given.agent!r} here yet: make one.")
            self._service()
            context = self._kernel.context(one.comm.comm_id)
            return {"result": rpc.answer(context, str(data["method"]), params)}
        except LettaError as error:
            kind, text = type(error).__name__, error.told(WORDS)
        except Exception as error:
            self._kernel.last_error = details(error)
            line = str(error).partition("\n")[0]
            kind = "InternalError"
            text = (
                f"Something went wrong inside letta-kernel ({type(error).__name__}: {line}). "
                "%agent traceback shows where."
            )
        return {"error": {"kind": kind, "message": text}}

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep a fault for ``%agent traceback`` instead of letting it end a thread that all share."""
        try:
            yield
        except Exception as error:
            self._kernel.last_error = details(error)

    def _send(self, one: _Connection, data: dict[str, Any]) -> None:
        one.comm.send(data)

    def _send_all(self, data: dict[str, Any]) -> None:
        with self._lock:
            every = list(self._open.values())
        for one in every:
            self._send(one, data)

    # -- what happens --------------------------------------------------------------------------------

    def _tell_asking(self) -> None:
        self._send_all({"type": "asking", "agents": self._kernel.approvals.waiting()})

    def _tell_stopped(self) -> None:
        self._send_all({"type": "changed", "what": ["debugger"], "agents": None})

    def _tell_agent(self) -> None:
        self._send_all({"type": "changed", "what": ["notebook"], "agents": []})

    def _note(self, log: EventLog, _agent_id: str, run_id: str, _event: Event) -> None:
        """Take up a run that has something to tell; called by its own thread, which must not wait."""
        if self._open and run_id not in self._followed:
            run = log.run(run_id)
            if run is not None:
                self._followed[run_id] = _Followed(run, run.last - 1)
        self._news.set()

    def _tell(self) -> None:
        """Send on what runs tell, gathered; ends when the last panel has gone."""
        while self._goes_on(self._tell):
            if self._news.wait(1.0):
                self._news.clear()
                told = [one.messages for one in tuple(self._followed.values())]
                time.sleep(_BATCH if min(told, default=0) < _MANY else _LONGER_BATCH)
            for run_id, one in tuple(self._followed.items()):
                over = one.run.over
                for message in event_json.messages(one.run, one.told, WORDS):
                    one.told, one.messages = message["until"], one.messages + 1
                    with self._noted():
                        self._send_all(message)
                if over:
                    del self._followed[run_id]

    def _catch_up(self, one: _Connection, data: dict[str, Any]) -> None:
        """Tell one panel what it has missed of a run."""
        run_id, after = str(data.get("run_id")), data.get("after")
        run = self._kernel.shared_runs.log.run(run_id) or self._service().events.run(run_id)
        if run is not None and isinstance(after, int):
            for message in event_json.messages(run, max(0, after), WORDS):
                self._send(one, message)

    def _watch(self) -> None:
        """Tell of changes; ends when the last panel has gone."""
        while self._goes_on(self._watch):
            took = 0.0
            with self._noted():
                took = self._look()
            time.sleep(max(_LOOK, min(_REST * took, _LONGEST_REST)))

    def _look(self) -> float:
        """Tell of what has changed since the last look; return how many seconds looking took."""
        service = self._service()
        if self._seen is None or service.database is not self._seen.database:
            # A cell set LETTA_HOME before its first agent command.
            self._seen = ChangeWatch(service.database)
            self._send_all(self._hello())
            self._send_all({"type": "changed", "what": WHAT, "agents": None})
        began = time.monotonic()
        try:
            change = self._seen.changed()
        except LettaError:  # the folder is gone or locked for long: whoever asks is told why
            change = None
        took = time.monotonic() - began
        if change is not None:
            self._send_all({"type": "changed", **change})
        self._drop_silent()
        return took
