"""Connections on which nobody has shown a token yet: few at a time, so that there is room for those who have.

Slow heads, handshakes without a token, requests that were refused, connections kept open: all are of this kind.
The oldest makes room for the newest, so that strangers keep nobody out, however often they come back.
"""

from __future__ import annotations

import time
from asyncio import Transport
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

MOST = 128
"""Strangers' connections that may stay as long as deadlines let them."""

GRACE = 3.0
"""Seconds that each has, however many there are, to show who it is."""

_SHARE = 2  # strangers have at most one descriptor of so many
_ALL = 2000  # strangers at the same time, however young

Client = tuple[str, int]


class Strangers:
    """The connections of one server, by the address they come from; used in its event loop."""

    def __init__(self) -> None:
        self._open: dict[Client, Transport] = {}
        self._waiting: dict[Client, float] = {}  # since when, the longest first
        self._all = max(MOST, min(_ALL, _descriptors() // _SHARE))

    def __len__(self) -> int:
        return len(self._waiting)

    def came(self, client: Client | None, transport: Transport) -> None:
        """Note a new connection, and close others for it if there are too many."""
        if client is not None:
            self._open[client] = transport
            self.wait(client)

    def wait(self, client: Client) -> None:
        """Count a connection as a stranger's from now on, if it is open."""
        if client not in self._open:
            return
        self._waiting.pop(client, None)
        now = self._waiting[client] = time.monotonic()
        for other, since in list(self._waiting.items()):
            count = len(self._waiting)
            if count <= MOST or (now - since < GRACE and count <= self._all):
                return
            self.cut(other)

    def known(self, client: Client) -> None:
        """Count a connection as a stranger's no more."""
        self._waiting.pop(client, None)

    def gone(self, client: Client | None) -> None:
        """Forget a connection, which is closed."""
        if client is not None:
            self._open.pop(client, None)
            self._waiting.pop(client, None)

    def cut(self, client: Client) -> None:
        """Close a connection at once."""
        transport = self._open.get(client)
        self.gone(client)
        if transport is not None:
            transport.abort()


class Place:
    """The connection that a scope belongs to, for the application to say whose it is."""

    KEY = "letta_kernel.place"

    def __init__(self, strangers: Strangers, client: Client) -> None:
        self._strangers, self._client = strangers, client

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Place | None:
        """Return that of *scope*; None where another server than ours listens."""
        return scope.get(cls.KEY)

    def known(self) -> None:
        """Say that somebody with a token is here."""
        self._strangers.known(self._client)

    def wait(self) -> None:
        """Say that nobody is known to be here any more."""
        self._strangers.wait(self._client)

    def gone(self) -> None:
        """Say that it is closed, or about to be."""
        self._strangers.gone(self._client)

    def cut(self) -> None:
        """Close it at once."""
        self._strangers.cut(self._client)


class Introduced:
    """Tells *app* of each connection which place among *strangers* it has."""

    def __init__(self, app: ASGIApp, strangers: Strangers) -> None:
        self._app, self._strangers = app, strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on."""
        if client := scope.get("client"):
            scope = {**scope, Place.KEY: Place(self._strangers, tuple(client))}
        await self._app(scope, receive, send)


def _descriptors() -> int:
    """Return how many files this process may have open."""
    with suppress(ImportError, OSError, ValueError):  # not on every platform
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return _SHARE * _ALL if soft == resource.RLIM_INFINITY else soft
    return _SHARE * _ALL
