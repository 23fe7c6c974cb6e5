"""A real server on a loopback port, for tests that speak HTTP with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from letta_client import AsyncLetta, Letta
from scripted_server import ScriptedServer
from starlette.routing import BaseRoute

from letta_kernel.server import listen
from letta_kernel.server.app import create_app
from letta_kernel.service import AgentService

TOKEN = "a-token-of-the-tests"
_ROUTES: dict[str, list[BaseRoute]] = {}


@dataclass
class Server:
    """What a test needs of the server: ``url`` ends before ``/v1``."""

    url: str
    token: str
    service: AgentService
    scripted: ScriptedServer

    def client(self, **options: Any) -> Letta:
        """The SDK as anybody would use it."""
        return Letta(base_url=self.url, api_key=self.token, **{"max_retries": 0, **options})

    def async_client(self, **options: Any) -> AsyncLetta:
        return AsyncLetta(base_url=self.url, api_key=self.token, **{"max_retries": 0, **options})

    @property
    def headers(self) -> dict[str, str]:
        """For requests without the SDK."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def serving(
    service: AgentService, scripted: ScriptedServer, token: str | None = TOKEN, **options: Any
) -> Iterator[Server]:
    """Serve *service* until the block ends; *options* are those of `create_app`."""
    app = create_app(service, token=token, **options)
    with running(app, options.get("prefix", "")) as url:
        yield Server(url, token or "", service, scripted)


@contextmanager
def running(app: FastAPI, prefix: str = "") -> Iterator[str]:
    """Serve *app* until the block ends; yield its URL."""
    # Routes are worked out at their first request, which takes a quarter of a second: once for all servers.
    app.router.routes[:] = _ROUTES.setdefault(prefix, list(app.router.routes))
    config = listen.config_of(
        app,
        host="127.0.0.1",
        port=0,
        timeout_graceful_shutdown=2,
    )
    server = listen.Server(config)
    socket = config.bind_socket()
    socket.listen(128)  # so that nobody is refused while the server starts
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        socket.close()


def until(done: Callable[[], object]) -> None:
    """Wait for something that is going to be."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
