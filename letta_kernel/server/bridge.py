"""An ASGI application inside a Tornado server: requests, streams and WebSockets, in the same process and loop.

Whoever uses the handlers says who may come; what reaches the application carries neither the cookies nor the
credentials of the server around it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_KEPT_BACK = frozenset({"authorization", "cookie", "origin", "x-xsrftoken"})
_HOP_BY_HOP = frozenset(
    {"connection", "transfer-encoding", "keep-alive", "upgrade", "date", "server"}
)


def scope_of(request: HTTPServerRequest, kind: str, mount: str, token: str) -> Scope:
    """Return a request as ASGI describes it.

    Parameters
    ----------
    mount : the path before the application's own.
    token : what the application wants to see as a Bearer token.
    """
    raw = request.path[len(mount) :] or "/"
    headers = [
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in request.headers.get_all()
        if name.lower() not in _KEPT_BACK
    ]
    headers.append((b"authorization", b"Bearer " + token.encode("latin-1")))
    scope: Scope = {
        "type": kind,
        # 2.3: the application listens for the client's going away instead of failing to send
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "path": unquote(raw),
        "raw_path": raw.encode("latin-1", "replace"),
        "query_string": request.query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": headers,
        "client": (request.remote_ip or "", 0),
        "server": None,
    }
    if kind == "websocket":
        return {**scope, "scheme": "ws", "subprotocols": []}
    return {**scope, "method": request.method}


class HttpBridge(RequestHandler):
    """A mixin that answers with an application's answer."""

    _gone: asyncio.Event | None = None

    async def answer_with(self, app: ASGIApp, scope: Scope) -> None:
        """Let *app* answer this request, piece by piece as it comes."""
        self._gone = asyncio.Event()
        body: bytes | None = self.request.body or b""

        async def receive() -> Message:
            nonlocal body
            if body is not None:
                given, body = body, None
                return {"type": "http.request", "body": given, "more_body": False}
            assert self._gone is not None
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begin(message["status"], message.get("headers", ()))
            elif message["type"] == "http.response.body":
                with contextlib.suppress(StreamClosedError):  # receive() will tell
                    if message.get("body") and self.request.method != "HEAD":
                        self.write(message["body"])
                    await self.flush()
                    if not message.get("more_body"):
                        await self.finish()

        await app(scope, receive, send)

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.set_status(status)
        self.clear_header("Content-Type")
        for raw, value in headers:
            name = raw.decode("latin-1")
            if name.lower() not in _HOP_BY_HOP:
                self.set_header(name, value.decode("latin-1"))

    def on_connection_close(self) -> None:
        """Let the application know that the client has gone."""
        super().on_connection_close()
        if self._gone is not None:
            self._gone.set()


class SocketBridge(WebSocketHandler):
    """A mixin that joins a WebSocket with an application's."""

    _heard: asyncio.Queue[Message] | None = None
    _talk: asyncio.Task[Any] | None = None

    def join(self, app: ASGIApp, scope: Scope) -> None:
        """Let *app* talk on this WebSocket, which is open."""
        # Bounded: a client that says more than is read has to wait.
        self._heard = asyncio.Queue(16)
        self._heard.put_nowait({"type": "websocket.connect"})
        self._talk = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        assert self._heard is not None
        try:
            await app(scope, self._heard.get, self._send)
        finally:
            self.close()

    async def _send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            said = message.get("text")
            try:
                if said is not None:
                    await self.write_message(said)
                else:
                    await self.write_message(message.get("bytes") or b"", binary=True)
            except (WebSocketClosedError, StreamClosedError):
                raise RuntimeError("the client has gone") from None
        elif message["type"] == "websocket.close":
            self.close(message.get("code", 1000), message.get("reason") or None)

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what the client said; the next is read when there is room for it."""
        if self._heard is not None:
            key = "text" if isinstance(message, str) else "bytes"
            await self._heard.put({"type": "websocket.receive", key: message})

    def on_close(self) -> None:
        """Let the application know that the client has gone."""
        super().on_close()
        if self._heard is None:
            return
        while self._heard.full():  # what it said last does not matter any more
            self._heard.get_nowait()
        self._heard.put_nowait({"type": "websocket.disconnect", "code": self.close_code or 1005})
