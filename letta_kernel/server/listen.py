"""How the server listens: limits on what uvicorn itself would wait for or take in without end."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.typing import StatusLike

from letta_kernel.server import logs
from letta_kernel.server.edge import HEADERS, edge_of
from letta_kernel.server.routes.websocket import MAX_FRAME
from letta_kernel.server.unauthenticated import ConnectionMiddleware, UnauthenticatedConnections

HEAD_BYTES = 64 * 1024
"""Bytes of a request's first line and headers."""

HEAD_SECONDS = 10.0
"""Seconds in which they have to come, from the connection or their first byte on."""


FIRST_BYTES = 16 * 1024
"""Bytes of a WebSocket's first message, which brings the token."""

BACKLOG = 2048
"""Connections that may wait until they are taken in."""

_AT_ONCE = 64  # of them that are taken in before anything else is done
_PIECE = 1024  # bytes of what somebody without a token says that are looked at together


class Server(uvicorn.Server):
    """Takes in few connections at a time, while many may wait.

    Parameters
    ----------
    drain : is called, with what says that there is no more time, before a SIGTERM ends it; a second signal is
        the end at once.
    """

    def __init__(
        self, config: uvicorn.Config, drain: Callable[[Callable[[], bool]], None] | None = None
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._hurry = threading.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, after what goes on if that is asked for by SIGTERM."""
        drain, self._drain = self._drain, None
        if drain is None or sig != signal.SIGTERM:
            self._hurry.set()
            super().handle_exit(sig, frame)
            return

        def work() -> None:
            try:
                drain(self._hurry.is_set)
            finally:
                if not self._hurry.is_set():
                    super(Server, self).handle_exit(sig, frame)

        threading.Thread(target=work, name="letta-drain", daemon=True).start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(BACKLOG)  # asyncio has one number for both

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what goes on, and say so."""
        await super().shutdown(sockets)
        logs.event("server stopped")


class Protocol(H11Protocol):
    """HTTP/1.1 with a clock on the head of every request; uvicorn's own stops at a request's first byte."""

    unauthenticated: UnauthenticatedConnections
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        # asyncio does so only where a socket's protocol is named, which uvicorn's and ours is not: without it
        # the second packet of an answer waits for the first one's acknowledgement, 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clock = self.loop.call_later(HEAD_SECONDS, self._late)
        self.unauthenticated.came(self.client, transport)

    def handle_events(self) -> None:
        """Do what has come, and see whether half a head is left."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._clock is None and self.conn.trailing_data[0]:
            self._clock = self.loop.call_later(HEAD_SECONDS, self._late)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, with the headers of every answer."""
        headers = {"content-type": "text/plain; charset=utf-8", "connection": "close", **HEADERS}
        response = h11.Response(status_code=400, headers=[*headers.items()], reason=b"Bad Request")
        self.transport.write(self.conn.send(event=response))
        self.transport.write(self.conn.send(event=h11.Data(data=msg.encode("ascii"))))
        self.transport.write(self.conn.send(event=h11.EndOfMessage()))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        self.unauthenticated.gone(self.client)
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        self._clock = None
        self.transport.close()


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket of which the first message is read, and no more, until somebody is known on it."""

    unauthenticated: UnauthenticatedConnections
    _known = False
    _first = False  # the first message is here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nobody."""
        super().connection_made(transport)
        reject = self.conn.reject

        def rejected(status: StatusLike, text: str) -> Response:
            """Answer what is no handshake, with the headers of every answer."""
            response = reject(status, text)
            for name, value in HEADERS.items():
                response.headers[name] = value
            return response

        self.conn.reject = rejected  # type: ignore[method-assign]
        self._held = bytearray()  # what came after the first message
        self._room = FIRST_BYTES

    def data_received(self, data: bytes) -> None:
        """Take in what was said, as little as may be of somebody without a token."""
        if self._known or not self.handshake_initiated:
            super().data_received(data)
            return
        self._held += data
        # By pieces: thousands of messages fit into what comes at once, and each costs more than its bytes.
        while self._held and (self.close_sent or not self._first):
            piece = bytes(self._held[:_PIECE])
            del self._held[:_PIECE]
            self._room -= len(piece)
            if self._room < 0:
                self._held.clear()
                if not self._first:  # what stands for it brings no token
                    self._first = True
                    self.queue.put_nowait({"type": "websocket.receive", "bytes": b""})
                return
            super().data_received(piece)
            self._first = self._first or self.read_paused
        if len(self._held) > FIRST_BYTES:
            self.transport.pause_reading()

    def known(self) -> None:
        """Take in all that is said from now on, and what was held back."""
        self._known = True
        held, self._held = bytes(self._held), bytearray()
        if not self.read_paused:
            self.transport.resume_reading()
        if held:
            super().data_received(held)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let others have its place."""
        self.unauthenticated.gone(self.client)
        super().connection_lost(exc)


def config_of(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for *app*; *options* go before these."""
    unauthenticated = UnauthenticatedConnections()
    chosen: dict[str, Any] = {
        "http": type("OurProtocol", (Protocol,), {"unauthenticated": unauthenticated}),
        "ws": type("OurSocketProtocol", (SocketProtocol,), {"unauthenticated": unauthenticated}),
        "ws_per_message_deflate": False,  # a few bytes of anybody would become a thousand times as many
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
    return uvicorn.Config(
        ConnectionMiddleware(edge_of(app), unauthenticated), **{**chosen, **options}
    )
