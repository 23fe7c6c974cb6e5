"""What every request passes first: the token, what page it is from, how large and slow it is, how many go on.

Written as plain ASGI so that streams pass through untouched.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Collection
from dataclasses import dataclass

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from letta_kernel.server.errors import told
from letta_kernel.server.slashes import kept_apart

_HERE = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
CLOSE = {"Connection": "close"}
"""Goes with an answer that came before the whole request: what is left of that is not read."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds on requests: bytes of a body, bytes of an uploading form, requests at the same time.

    A body may take ``grace`` seconds, and a second more for every ``pace`` bytes that have come.
    """

    body: int = 16 * 1024 * 1024
    upload: int = 64 * 1024 * 1024
    requests: int = 1000
    grace: float = 30.0
    pace: int = 16 * 1024


def is_right(given: str, token: str) -> bool:
    """Whether *given* is the token, in a time that tells nothing of it."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8", "replace"))


def is_here(host: str) -> bool:
    """Whether *host*, with or without a port, is a name of this machine that nobody else can give away."""
    return _HERE.fullmatch(host) is not None


def host_of(origin: str) -> str:
    """Return the host and port of an origin; nothing for one that is none, such as ``null``."""
    return origin.partition("://")[2]


class Guard:
    """Lets requests through to *app* that may be; the others get 401, 403, 408, 413 or 503.

    Parameters
    ----------
    token : what ``Authorization: Bearer`` must say; None lets everyone in who is on this machine.
    open_paths : paths that need no token.
    origins : pages of these origins may ask without a token (those asked for by CORS).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        open_paths: Collection[str] = (),
        origins: Collection[str] = (),
        limits: RequestLimits | None = None,
    ) -> None:
        self.app = app
        self.token = token or None
        self.open_paths = frozenset(open_paths)
        self.origins = frozenset(origins)
        self.limits = limits or RequestLimits()
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one connection and pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = kept_apart(scope)
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/"):  # the SDK ends some paths with a slash
            scope = {**scope, "path": path.rstrip("/") or "/"}
        refused = self._refusal(scope)
        if refused is None and self._now >= self.limits.requests:
            refused = JSONResponse(
                {"detail": f"{self._now} requests are being answered, as many as may: try later."},
                503,
                {"Retry-After": "1"},
            )
        if refused is not None:
            await self._refuse(scope, receive, send, refused)
            return
        self._now += 1
        try:
            bounded = self._bounded(scope, receive) if scope["type"] == "http" else receive
            await self.app(scope, bounded, send)
        finally:
            self._now -= 1

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if scope["type"] == "http":
            length = headers.get("content-length", "0")
            if not (length.isascii() and length.isdigit()) or int(length[:18]) > self._most(
                headers
            ):
                return self._too_large(headers)
        if scope["path"] in self.open_paths or scope.get("method") == "OPTIONS":
            return None
        if self.token is None:
            return self._from_elsewhere(headers)
        if scope["type"] == "websocket":
            return None  # its route asks: a page cannot send the token as a header
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not is_right(given.strip(), self.token):
            return JSONResponse(
                told(scope, 401, "Send the server's token: Authorization: Bearer TOKEN."),
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return None

    def _from_elsewhere(self, headers: Headers) -> JSONResponse | None:
        """Without a token, web pages and foreign host names that lead here are kept out."""
        origin = headers.get("origin")
        if not is_here(headers.get("host", "")) or (
            origin is not None and origin not in self.origins and not is_here(host_of(origin))
        ):
            return JSONResponse(
                {"detail": "Without a token only programs on this machine may ask."}, 403
            )
        return None

    def _most(self, headers: Headers) -> int:
        form = headers.get("content-type", "").lower().startswith("multipart/")
        return self.limits.upload if form else self.limits.body

    def _too_large(self, headers: Headers) -> JSONResponse:
        return JSONResponse(
            {"detail": f"A request may have {self._most(headers):,} bytes."},
            413,
            CLOSE,
        )

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        most = self._most(Headers(scope=scope))
        began = time.monotonic()
        seen = 0
        whole = False

        async def bounded() -> Message:
            nonlocal seen, whole
            if whole:
                return await receive()
            late = began + self.limits.grace + seen / self.limits.pace
            try:
                message = await asyncio.wait_for(receive(), late - time.monotonic())
            except TimeoutError:
                raise HTTPException(408, "The request's body did not come.", CLOSE) from None
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, f"A request may have {most:,} bytes.", CLOSE)
            whole = not message.get("more_body", False)
            return message

        return bounded

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, answer: JSONResponse) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4401})
        else:
            await answer(scope, receive, send)
