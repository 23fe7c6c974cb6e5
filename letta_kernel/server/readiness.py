"""Whether a server may be sent requests: not before it is warm, and not any more once it is about to end.

``/v1/health`` says that the process lives; a balancer asks ``/v1/health/ready``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from starlette.types import ASGIApp, Message

from letta_kernel import settings
from letta_kernel.display.clean import one_line
from letta_kernel.errors import LettaError
from letta_kernel.server.events.runs import Project

log = logging.getLogger("letta_kernel")

State = Literal["starting", "ready", "draining"]

INTERRUPTED = (
    "The server was stopped before the run had ended: what it did until then is kept. Send a message to "
    "go on."
)
"""Why a run ends that goes on for longer than a server that is to end waits for it."""
_AGAIN = 1.0  # seconds until the store is tried again
_ENDING = 5.0  # seconds that runs have to write their end


class Readiness:
    """Brings a server up, and down again.

    Parameters
    ----------
    projects : those it serves from the start.
    closing : called once it is to end: begins nothing more, and returns the projects that are open besides.

    Attributes
    ----------
    state : ``starting`` until it is warm, then ``ready``; ``draining`` once it is to end.
    """

    def __init__(
        self,
        projects: Sequence[Project] = (),
        closing: Callable[[], Sequence[Project]] = lambda: (),
    ) -> None:
        self.projects = [*projects]
        self._last_call = closing
        self.state: State = "starting"
        self._closing = threading.Event()
        self._lock = threading.Lock()

    async def warm(self, app: ASGIApp, path: str) -> None:
        """Have routes worked out by asking for *path*, and the projects ready; ends when that is done."""
        await _ask(app, path)
        await asyncio.to_thread(self._warm_projects)
        with self._lock:
            if self.state == "starting":
                self.state = "ready"

    def _warm_projects(self) -> None:
        for project in self.projects:
            while not self._closing.is_set():
                try:
                    project.service.warm()
                    break
                except LettaError as error:
                    log.warning("letta: not ready yet: %s", one_line(error.text, 1000))
                    self._closing.wait(_AGAIN)
                except Exception:
                    log.exception("letta: warming up failed")
                    break

    def drain(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Begin no more runs, wait for those that go on, ``LETTA_DRAIN`` seconds at most, and end the others.

        Parameters
        ----------
        stop : says that there is no more time.
        """
        with self._lock:
            self.state = "draining"
        self._closing.set()
        self.projects += [one for one in self._last_call() if one not in self.projects]
        for project in self.projects:
            project.live.drain()
            project.service.deliveries.rest()
            project.service.sleeptime.background = False
        deadline = time.monotonic() + settings.DRAIN()
        for project in self.projects:
            project.live.wait(deadline, stop)
        for project in self.projects:
            project.live.close(_ENDING, INTERRUPTED)

    def close(self) -> None:
        """Warm up no further."""
        self._closing.set()


async def _ask(app: ASGIApp, path: str) -> None:
    """Answer a request of nobody, so that the first of somebody need not wait for what that takes."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": None,
        "server": None,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    with contextlib.suppress(Exception):
        await app(scope, receive, send)
