"""How the server listens: limits on what uvicorn itself would wait for or take in without end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from letta_kernel.server.routes.websocket import MAX_FRAME
from letta_kernel.server.strangers import Introduced, Strangers

HEAD_BYTES = 64 * 1024
"""Bytes of a request's first line and headers."""

HEAD_SECONDS = 10.0
"""Seconds in which they have to come, from the connection or their first byte on."""


BACKLOG = 2048
"""Connections that may wait until they are taken in."""

_AT_ONCE = 64  # of them that are taken in before anything else is done


class Server(uvicorn.Server):
    """Takes in few connections at a time, while many may wait."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(BACKLOG)  # asyncio has one number for both


class Protocol(H11Protocol):
    """HTTP/1.1 with a clock on the head of every request; uvicorn's own stops at a request's first byte."""

    strangers: Strangers
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        # asyncio does so only where a socket's protocol is named, which uvicorn's and ours is not: without it
        # the second packet of an answer waits for the first one's acknowledgement, 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clock = self.loop.call_later(HEAD_SECONDS, self._late)
        self.strangers.came(self.client, transport)

    def handle_events(self) -> None:
        """Do what has come, and see whether half a head is left."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._clock is None and self.conn.trailing_data[0]:
            self._clock = self.loop.call_later(HEAD_SECONDS, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        self.strangers.gone(self.client)
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        self._clock = None
        self.transport.close()


def config_of(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for *app*; *options* go before these."""
    strangers = Strangers()
    chosen: dict[str, Any] = {
        "http": type("OurProtocol", (Protocol,), {"strangers": strangers}),
        "proxy_headers": False,  # a connection is known by the address it comes from, not by what it says
        "h11_max_incomplete_event_size": HEAD_BYTES,
        "ws_max_size": MAX_FRAME,
        "backlog": _AT_ONCE,
        # Longer than clients keep theirs (httpx 5 s): who closes an idle connection first must not be us,
        # just as a request is under way.
        "timeout_keep_alive": 30,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": 5,
    }
    return uvicorn.Config(Introduced(app, strangers), **{**chosen, **options})
