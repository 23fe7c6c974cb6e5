"""Connections without a valid token yet: few at a time, so that there is room for those who have one.

Slow heads, handshakes without a token, requests that were refused, connections kept open: all are of this kind.
The oldest makes room for the newest, so that such clients keep nobody out, however often they come back.
"""

from __future__ import annotations

import sys
from asyncio import Transport, get_running_loop
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from starlette.types import ASGIApp, Receive, Scope, Send

MOST = 1000
"""WebSockets without a token, and as many other connections, that may be open."""

CLOSING_SECONDS = 1.0
"""Seconds in which the other side may close a WebSocket, too, after it was told that it is closed."""

_SHARE = 4  # each of the two has at most one descriptor of so many

Kind = Literal["sockets", "others"]
Client = tuple[str, int]


class UnauthenticatedConnections:
    """The connections of one server, by the address they come from; used in its event loop."""

    def __init__(self) -> None:
        self._open: dict[Client, Transport] = {}
        # The oldest first. Who waits on a WebSocket is not sent away for those who cost less to be.
        self._waiting: dict[Kind, dict[Client, None]] = {"sockets": {}, "others": {}}
        self._most = min(MOST, max(1, _descriptors() // _SHARE))

    def came(self, client: Client | None, transport: Transport) -> None:
        """Note a new connection, and close the oldest for it if there are too many."""
        if client is not None:
            self._open[client] = transport
            self.wait(client, "others")

    def wait(self, client: Client, kind: Kind) -> None:
        """Count a connection as one without a token from now on, if it is open."""
        if client not in self._open:
            return
        self._count_no_more(client)
        waiting = self._waiting[kind]
        waiting[client] = None
        while len(waiting) > self._most:
            self.cut(next(iter(waiting)))

    def known(self, client: Client) -> None:
        """Count a connection as one with a token, and let its protocol know, if that asks for it."""
        self._count_no_more(client)
        transport = self._open.get(client)
        if transport is not None:
            getattr(transport.get_protocol(), "known", _nothing)()

    def leave(self, client: Client) -> None:
        """Count a WebSocket that was told to close as one without a token; close it if the client does not."""
        transport = self._open.get(client)
        if transport is not None:
            self.wait(client, "sockets")
            get_running_loop().call_later(CLOSING_SECONDS, self._end, client, transport)

    def gone(self, client: Client | None) -> None:
        """Forget a connection, which is closed."""
        if client is not None:
            self._open.pop(client, None)
            self._count_no_more(client)

    def cut(self, client: Client) -> None:
        """Close a connection at once."""
        transport = self._open.get(client)
        self.gone(client)
        if transport is not None:
            transport.abort()

    def _end(self, client: Client, transport: Transport) -> None:
        if self._open.get(client) is transport:  # not the next one from there
            self.cut(client)

    def _count_no_more(self, client: Client) -> None:
        for waiting in self._waiting.values():
            waiting.pop(client, None)


class ConnectionState:
    """The connection that a scope belongs to, for the application to say whose it is."""

    KEY = "letta_kernel.place"

    def __init__(self, connections: UnauthenticatedConnections, client: Client) -> None:
        self._connections, self._client = connections, client

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> ConnectionState | None:
        """Return that of *scope*; None where another server than ours listens."""
        return scope.get(cls.KEY)

    def known(self) -> None:
        """Say that somebody with a token is here."""
        self._connections.known(self._client)

    def wait(self, kind: Kind) -> None:
        """Say that nobody is known to be here, yet or any more."""
        self._connections.wait(self._client, kind)

    def leave(self) -> None:
        """Say that it is closed, or about to be."""
        self._connections.leave(self._client)

    def cut(self) -> None:
        """Close it at once."""
        self._connections.cut(self._client)


class ConnectionMiddleware:
    """Gives *app* the `ConnectionState` of each connection."""

    def __init__(self, app: ASGIApp, connections: UnauthenticatedConnections) -> None:
        self._app, self._connections = app, connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on."""
        if client := scope.get("client"):
            scope = {
                **scope,
                ConnectionState.KEY: ConnectionState(self._connections, tuple(client)),
            }
        await self._app(scope, receive, send)


def _nothing() -> None:
    """Stand for what HTTP's protocol does not ask for."""


def _descriptors() -> int:
    """Return how many files this process may have open."""
    if sys.platform != "win32":
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            return soft
    return _SHARE * MOST


def more_descriptors() -> None:
    """Let this process have more files open, as far as it may: for servers that have it for themselves."""
    if sys.platform == "win32":  # has no such limit
        return
    with suppress(ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * _SHARE * MOST
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
