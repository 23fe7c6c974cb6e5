"""Runs told to a collector as spans while they happen: off unless somebody turns it on.

A run's thread only puts its events into a queue. Another makes spans of them and gives them to the SDK, whose
own thread sends them. What cannot be sent is dropped, and said once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from letta_kernel import settings as variables
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import (
    Event,
    Message,
    ReasoningDelta,
    RunEnded,
    StepEnded,
    TextDelta,
    ToolCallDelta,
)
from letta_kernel.records import Run
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.core import Core
from letta_kernel.service.event_log import EventLog
from letta_kernel.service.traces import files, otlp
from letta_kernel.service.traces.recorder import HEARD, Recorder
from letta_kernel.service.traces.stored import stored_spans
from letta_kernel.store import settings
from letta_kernel.store.database import Tx

_KEY = "traces"
_LONGEST_QUEUE = 20_000  # events that wait to become spans
_AT_THE_END = 3.0  # seconds that a process waits for its last spans to be sent
_DELTAS = (TextDelta, ReasoningDelta, ToolCallDelta)
_DEFAULT = "http://localhost:4318"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is told, and whom: ``endpoint`` is the collector's URL, None for what the environment says."""

    endpoint: str | None = None
    content: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """How it goes: spans that arrived, those that were dropped, and why the last of them were."""

    on: bool
    endpoint: str = ""
    content: bool = False
    sent: int = 0
    dropped: int = 0
    problem: str | None = None


class Tracing:
    """Tells a collector what the runs of this process do, where the project or the environment says so."""

    def __init__(self, core: Core, events: EventLog) -> None:
        self._core = core
        self._events = events
        self._lock = threading.Lock()
        self._chosen: Chosen | None = None
        self._teller: _Teller | None = None

    def turn_on(self, endpoint: str | None = None, *, content: bool = False) -> Status:
        """Tell a collector of all runs of this project from now on, in every process.

        Parameters
        ----------
        endpoint : the URL of an OTLP/HTTP collector; None for what ``OTEL_EXPORTER_OTLP_ENDPOINT`` says, else
            this machine's, port 4318.
        content : send what was said and done too, without keys and passwords.

        Raises
        ------
        InvalidInputError
            It is no URL, or holds a password; or the extra ``otel`` is not installed. Nothing is changed.
        """
        _check_installed()
        chosen = Chosen(_checked(endpoint) if endpoint else None, content)
        kept = json.dumps({"endpoint": chosen.endpoint, "content": chosen.content})
        self._core.do(lambda tx: settings.put(tx, _KEY, kept))
        self._use(_by_environment(chosen))
        return self.status()

    def turn_off(self) -> Status:
        """Tell nobody any more; what waits is sent."""
        self._core.do(lambda tx: settings.put(tx, _KEY, None))
        self._use(_by_environment(None))
        return self.status()

    def status(self) -> Status:
        """Return how it goes in this process."""
        chosen = self._core.do(self._read)
        teller = self._teller
        if chosen is None:
            return Status(False)
        place = _place(chosen)
        if teller is None:
            return Status(True, place, chosen.content)
        return Status(True, place, chosen.content, teller.sent, teller.dropped, teller.problem)

    def save(
        self,
        path: Path,
        agent: str | None = None,
        *,
        content: bool = False,
        overwrite: bool = False,
    ) -> int:
        """Write the runs that are over, of an agent or of all, to a file as spans; return how many those are.

        Parameters
        ----------
        path : ends in ``.jsonl`` (a span a line) or ``.parquet``.
        content : with what was said and done, without keys and passwords.
        overwrite : where the file is there already.

        Raises
        ------
        InvalidInputError
            It is no such file, or it is there already.
        StoreError
            It cannot be written.
        """
        agent_id = self._core.find_agent(agent).id if agent is not None else None
        told = stored_spans(self._core, agent_id, content)
        return files.save(told, path, overwrite=overwrite)

    def look(self, tx: Tx) -> None:
        """Begin or end with what the project says now; a run that begins asks this in its first transaction."""
        self._use(self._read(tx), 0.0)

    def begins(self, run: Run, incoming: Sequence[Message]) -> None:
        """Take note of what is said to an agent, before the first event of its run."""
        teller = self._teller
        if teller is not None:
            teller.put((run, [*incoming]))

    def close(self) -> None:
        """Send what waits and end."""
        self._use(None)

    def _read(self, tx: Tx) -> Chosen | None:
        kept = self._core.kept(tx, (_KEY,), ("settings",), lambda: settings.get(tx, _KEY))
        chosen = None
        with suppress(ValueError, TypeError):
            chosen = Chosen(**json.loads(kept)) if kept else None
        return _by_environment(chosen)

    def _use(self, chosen: Chosen | None, seconds: float = _AT_THE_END) -> None:
        if chosen == self._chosen:
            return
        with self._lock:
            if chosen == self._chosen:
                return
            before, self._teller = self._teller, None
            if before is not None:
                with suppress(ValueError):
                    self._events.listeners.remove(before.hear)
                before.close(seconds)
            self._chosen = chosen
            if chosen is not None:
                self._teller = _Teller(chosen, self._core.say_later)
                self._events.listeners.append(self._teller.hear)


class _Teller:
    """The queue between runs and a collector, and the thread that empties it."""

    def __init__(self, chosen: Chosen, say: Callable[[str], None]) -> None:
        self.sent = 0
        self.dropped = 0
        self.problem: str | None = None
        self._chosen = chosen
        self._say = say
        self._said = False
        self._replied: dict[str, int] = {}  # when a run's model last said something
        self._queue: queue.Queue[Any] = queue.Queue(_LONGEST_QUEUE)
        self._thread = threading.Thread(target=self._work, name="letta-traces", daemon=True)
        self._thread.start()

    def hear(self, agent_id: str, run_id: str, event: Event) -> None:
        """Take note of an event of a run, on its thread."""
        if isinstance(event, _DELTAS):
            self._replied[run_id] = time.time_ns()
        elif isinstance(event, HEARD):
            last = self._replied.get(run_id, 0)
            if isinstance(event, StepEnded | RunEnded):
                self._replied.pop(run_id, None)
            self.put((time.time_ns(), last, run_id, event))

    def put(self, one: Any) -> None:
        """Let the thread take *one* in, unless far too much waits already."""
        try:
            self._queue.put_nowait(one)
        except queue.Full:
            self.dropped += 1

    def close(self, seconds: float) -> None:
        """Send what waits; whatever takes longer than *seconds* is left, and all of it where nobody answers."""
        self.put(None)
        self._thread.join(seconds if self.problem is None else 0.1)

    def _work(self) -> None:
        try:
            collector = otlp.Collector(_traces_url(self._chosen.endpoint), self._told)
        except ImportError:
            self._told(0, "OpenTelemetry is not installed: the extra otel brings it")
            return
        except Exception as error:
            self._told(0, f"{type(error).__name__}: {error}")
            return
        recorder = Recorder(self._chosen.content)
        while (one := self._queue.get()) is not None:
            try:
                if len(one) == 2:
                    recorder.begins(*one)
                else:
                    for span in recorder.hear(*one):
                        collector.send(span)
            except Exception as error:  # a run is worth more than its trace
                self._told(1, f"{type(error).__name__}: {error}")
        collector.close(_AT_THE_END)

    def _told(self, count: int, problem: str | None) -> None:
        if problem is None:
            self.sent += count
            self.problem = None
            return
        self.dropped += count
        self.problem = problem
        if not self._said:
            self._said = True
            where = _place(self._chosen)
            self._say(f"Traces do not reach {where} ({problem}): they are dropped, runs go on.")


def _by_environment(chosen: Chosen | None) -> Chosen | None:
    """Return what is told where the environment has its say."""
    word = variables.TRACE()
    if word == "off" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if word:
        chosen = chosen or Chosen()
    if chosen is None:
        return None
    asked = os.environ.get(_CONTENT, "").strip().lower() == "true"
    return Chosen(chosen.endpoint, chosen.content or word == "content" or asked)


def _checked(endpoint: str) -> str:
    """Return a collector's URL; `InvalidInputError` if it is none."""
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInputError(f"{endpoint!r} is no URL of a collector, such as {_DEFAULT}.")
    if parts.username or parts.password or parts.query:
        raise InvalidInputError(
            "A collector's URL is kept as it is: put what is secret into OTEL_EXPORTER_OTLP_HEADERS."
        )
    return endpoint.rstrip("/")


def _place(chosen: Chosen) -> str:
    """Return who is told, as it is shown: without what a URL of the environment holds in secrets."""
    place = chosen.endpoint
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        place = place or os.environ.get(name)
    if place is None or chosen.endpoint:
        return place or _DEFAULT
    head, _, rest = place.partition("://")
    return f"{head}://{rest.partition('?')[0].rpartition('@')[2]}"


def _traces_url(endpoint: str | None) -> str | None:
    """Return where a collector takes traces, as OTLP says: below its address, unless a path is given."""
    if endpoint is None:
        return None
    return endpoint if urlsplit(endpoint).path not in ("", "/") else f"{endpoint}/v1/traces"


def _check_installed() -> None:
    for name in otlp.NEEDED:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise InvalidInputError(
                "OpenTelemetry is not installed.",
                remedy(Do.INSTALL_EXTRA, "otel"),
                page="library-missing",
            )
