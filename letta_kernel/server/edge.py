"""What every connection passes first and last: whom it is from, what its answer must say, what is counted.

Around any application of ours that listens itself; inside a Jupyter server that one sees to all this.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from letta_kernel import metrics, settings
from letta_kernel.server import logs

OBSERVATION = "letta_kernel.observation"
"""Where a connection's scope says what is known of it (`logs.Observation`)."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer, unless it says otherwise itself: it is data, and no page."""

HSTS = "max-age=31536000"
"""Where a trusted proxy says that the client speaks TLS."""

PROBES = ("/v1/health", "/v1/health/ready", "/metrics")
"""What is asked under any host's name, by whatever watches the server; the last with a token of its own."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NOWHERE = "(none)"
_ANSWER = "websocket.http.response"  # how a server says that it can refuse a WebSocket with an answer of ours
_EMPTY = (b"content-length", b"0")
_LEFT = 499  # what stands for a status where the client went before there was one

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Edge:
    """Lets connections through to *app*, and watches them.

    Parameters
    ----------
    proxies : addresses whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
    hosts : names under which the server may be asked; empty: any.
    prefix : what stands before the paths of *app*.
    """

    def __init__(
        self,
        app: ASGIApp,
        proxies: Sequence[Network] = (),
        hosts: Sequence[str] = (),
        prefix: str = "",
    ) -> None:
        self.app = app
        self.probes = frozenset(f"{prefix}{one}" for one in PROBES)
        self.proxies = tuple(proxies)
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        seen = logs.observe(headers.get("x-request-id"))
        scope = {**scope, OBSERVATION: seen, **self._forwarded(scope, headers)}
        if scope["type"] == "websocket":
            await self._socket(seen, scope, receive, send)
        else:
            await self._request(seen, scope, receive, send)

    async def _request(
        self, seen: logs.Observation, scope: Scope, receive: Receive, send: Send
    ) -> None:
        began = time.perf_counter()
        status, first = 0, 0.0
        streams = False

        async def said(message: Message) -> None:
            nonlocal status, first, streams
            if message["type"] == "http.response.start":
                status, first = message["status"], time.perf_counter() - began
                message = self._with_headers(message, seen, scope)
                kind = Headers(raw=message["headers"]).get("content-type", "")
                if kind.startswith("text/event-stream"):
                    streams = True
                    metrics.STREAMS.add(1)
            await send(message)

        metrics.HTTP_GOING.add(1)
        try:
            if self._is_asked_for(scope):
                await self.app(scope, receive, said)
            else:
                text = "This server is not asked under that name: see LETTA_HOSTS."
                await JSONResponse({"detail": text}, 421)(scope, receive, said)
        finally:
            metrics.HTTP_GOING.add(-1)
            if streams:
                metrics.STREAMS.add(-1)
            took = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = seen.route or _NOWHERE
            metrics.HTTP_REQUESTS.add(method, route, str(status or _LEFT))
            metrics.HTTP_SECONDS.observe(first or took, method, route)
            if not seen.route and status >= 400:
                metrics.REFUSED.add(str(status))
            self._log("request", seen, scope, status=status or _LEFT, method=method, seconds=took)

    async def _socket(
        self, seen: logs.Observation, scope: Scope, receive: Receive, send: Send
    ) -> None:
        began = time.perf_counter()
        accepted, code = False, 1000

        async def said(message: Message) -> None:
            nonlocal accepted, code
            if message["type"] == "websocket.accept" and not accepted:
                accepted = True
                metrics.SOCKETS.add(1)
                message = self._with_headers(message, seen, scope)
            elif message["type"] == "websocket.close":
                code = message.get("code", 1000)
                if not accepted or 4400 <= code < 4600:
                    metrics.REFUSED.add(str(code))
                if not accepted and _ANSWER in scope.get("extensions", {}):
                    # What uvicorn would answer itself, without our headers.
                    head = {"type": f"{_ANSWER}.start", "status": 403, "headers": [_EMPTY]}
                    await send(self._with_headers(head, seen, scope))
                    message = {"type": f"{_ANSWER}.body", "body": b""}
            elif message["type"] == f"{_ANSWER}.start":
                code = message["status"]
                metrics.REFUSED.add(str(code))
                message = self._with_headers(message, seen, scope)
            await send(message)

        try:
            if self._is_asked_for(scope):
                await self.app(scope, receive, said)
            else:
                await said({"type": "websocket.close", "code": 4421})
        finally:
            if accepted:
                metrics.SOCKETS.add(-1)
            took = time.perf_counter() - began
            self._log("socket", seen, scope, status=code, method=None, seconds=took)

    def _forwarded(self, scope: Scope, headers: Headers) -> dict[str, Any]:
        """Return who the client is and what it speaks, where a proxy that is believed says so."""
        peer = scope.get("client")
        if not self.proxies or peer is None or not self._is_proxy(peer[0]):
            return {}
        found: dict[str, Any] = {}
        for one in reversed(_listed(headers, "x-forwarded-for")):
            try:
                address = str(ipaddress.ip_address(one))
            except ValueError:
                break  # what stands before it was said by nobody who is believed
            found["client"] = (address, 0)
            if not self._is_proxy(address):
                break
        speaks = _listed(headers, "x-forwarded-proto")[-1:]
        if speaks in (["http"], ["https"]):
            secure = speaks == ["https"]
            socket = scope["type"] == "websocket"
            found["scheme"] = ("wss" if secure else "ws") if socket else speaks[0]
        return found

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.proxies)

    def _is_asked_for(self, scope: Scope) -> bool:
        if not self.hosts or scope["path"] in self.probes:
            return True
        host = Headers(scope=scope).get("host", "").lower()
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        return name in self.hosts or host in self.hosts

    @staticmethod
    def _with_headers(message: Message, seen: logs.Observation, scope: Scope) -> Message:
        """Return the head of an answer with what every answer says."""
        message = {**message, "headers": [*message.get("headers", ())]}
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers["X-Request-ID"] = seen.request_id
        if scope.get("scheme") in ("https", "wss"):
            headers.setdefault("Strict-Transport-Security", HSTS)
        return message

    def _log(
        self,
        name: str,
        seen: logs.Observation,
        scope: Scope,
        *,
        status: int,
        method: str | None,
        seconds: float,
    ) -> None:
        level = logging.DEBUG if scope["path"] in self.probes else logging.INFO
        if not logs.log.isEnabledFor(level):
            return
        client = scope.get("client")
        logs.event(
            name,
            level,
            method=method,
            route=seen.route or _NOWHERE,
            status=status,
            ms=round(seconds * 1000, 1),
            run_id=seen.run_id,
            client=client[0] if client else None,
        )


class Routes:
    """The innermost middleware: notes which route a connection came to, as a template.

    Parameters
    ----------
    prefixes : under which routes are included, the longest first.
    """

    def __init__(self, app: ASGIApp, prefixes: Sequence[str]) -> None:
        self.app = app
        self.prefixes = tuple(prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        seen = scope.get(OBSERVATION)
        if seen is None:
            await self.app(scope, receive, send)
            return

        async def said(message: Message) -> None:
            self._note(seen, scope)
            await send(message)

        try:
            await self.app(scope, receive, said)
        finally:
            self._note(seen, scope)

    def _note(self, seen: logs.Observation, scope: Scope) -> None:
        route = scope.get("route")
        if route is None or seen.route:
            return
        path: str = route.path
        head = next((one for one in self.prefixes if scope["path"].startswith(f"{one}/")), "")
        seen.route = path if path.startswith(f"{head}/") else head + path


def edge_of(app: ASGIApp) -> Edge:
    """Return *app* behind an edge as ``LETTA_TRUSTED_PROXIES`` and ``LETTA_HOSTS`` have it."""
    prefix = getattr(getattr(app, "state", None), "prefix", "")
    return Edge(app, settings.TRUSTED_PROXIES(), settings.HOSTS(), prefix)


def _listed(headers: Headers, name: str) -> list[str]:
    return [one.strip() for given in headers.getlist(name) for one in given.split(",")]
