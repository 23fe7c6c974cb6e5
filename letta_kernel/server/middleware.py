"""What every request passes first: the token, what page it is from, how large and slow it is, how many go on.

Written as plain ASGI so that streams pass through untouched. Clients without a token are answered here; what
they keep open is bounded by `letta_kernel.server.unauthenticated`, apart from what goes on.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Collection
from contextlib import suppress

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from letta_kernel import settings
from letta_kernel.errors import LettaError
from letta_kernel.records import AccessToken
from letta_kernel.server.address import checked_token
from letta_kernel.server.authorization import (
    OWNER,
    TOKEN_USE,
    Authenticator,
    same,
)
from letta_kernel.server.directory import Directory
from letta_kernel.server.encoded_slashes import kept_apart
from letta_kernel.server.errors import AGAIN, TokenBusyError, answer, told
from letta_kernel.server.hub import HubTokens
from letta_kernel.server.request_limits import RequestLimits, is_short
from letta_kernel.server.sockets import Handshake
from letta_kernel.server.token_use import Kind, TokenUse
from letta_kernel.server.unauthenticated import ConnectionState
from letta_kernel.service import AgentService

_HERE = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
CLOSE = {"Connection": "close"}
"""Goes with an answer that came before the whole request: what is left of that is not read."""
_NO_TOKEN = 4401  # a WebSocket's close code
_OWNERS_SHARE = 4  # one part of so many of what may go on is the owner's alone


def is_here(host: str) -> bool:
    """Whether *host*, with or without a port, is a name of this machine that nobody else can give away."""
    return _HERE.fullmatch(host) is not None


def host_of(origin: str) -> str:
    """Return the host and port of an origin; nothing for one that is none, such as ``null``."""
    return origin.partition("://")[2]


class Guard:
    """Lets requests through to *app* that may be; the others get 401, 403, 408, 413, 429 or 503.

    Parameters
    ----------
    token : what ``Authorization: Bearer`` must say; None lets everyone in who is on this machine.
    service : whose tokens are let in, too; None: no others.
    directory : whose agents there are.
    hub : a JupyterHub whose users are let in, too.
    open_paths : paths that need no token.
    metrics_path : one that ``LETTA_METRICS_TOKEN`` opens, too; None: none.
    origins : pages of these origins may ask without a token (those asked for by CORS).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        service: AgentService | None = None,
        directory: Directory | None = None,
        hub: HubTokens | None = None,
        open_paths: Collection[str] = (),
        metrics_path: str | None = None,
        origins: Collection[str] = (),
        limits: RequestLimits | None = None,
    ) -> None:
        self.app = app
        self.open_paths = frozenset(open_paths)
        self.metrics_path = metrics_path
        self._metrics_token = settings.METRICS_TOKEN()
        if self._metrics_token:
            checked_token(self._metrics_token)
        self.origins = frozenset(origins)
        self.limits = limits or RequestLimits()
        self._known = Authenticator(token, service, self.limits.token, directory, hub)
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
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if not self.limits.fits(headers):
            text = f"A request may have {self.limits.most(headers):,} bytes."
            await JSONResponse({"detail": text}, 413, CLOSE)(scope, receive, send)
            return
        receive = self._bounded(headers, receive)
        if scope["path"] in self.open_paths:
            await self.app(scope, receive, send)
            return
        kind, _, said = headers.get("authorization", "").partition(" ")
        given = said.strip() if kind.lower() == "bearer" else None
        if given and scope["path"] == self.metrics_path and same(given, self._metrics_token):
            await self.app(scope, receive, send)
            return
        caller = await self._caller(scope, given)
        if isinstance(caller, JSONResponse):
            await caller(scope, receive, send)
        else:
            await self._let_in(caller, "requests", scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        shake = Handshake(scope, receive, send)
        place = ConnectionState.of(scope)
        if place is not None:
            place.wait("sockets")
        try:
            caller: AccessToken | JSONResponse | None = None
            if self._page_may_come(Headers(scope=scope)):
                given = await shake.token() if self._known.token is not None else None
                caller = await self._caller(scope, given)
            if isinstance(caller, AccessToken):
                await self._let_in(caller, "sockets", scope, shake.receive, shake.send, shake)
            elif caller is None or caller.status_code in (401, 403):
                await shake.close(_NO_TOKEN, "send the server's token")
            else:
                await shake.refuse(caller)
        finally:
            if place is not None:
                place.leave()

    async def _caller(self, scope: Scope, given: str | None) -> AccessToken | JSONResponse:
        """Return whose token was *given*, or how the connection is refused."""
        if self._known.token is None and (refused := self._from_elsewhere(Headers(scope=scope))):
            return refused
        try:
            caller = await self._known.who(given)
        except LettaError as error:
            return answer(error, scope)
        if caller is not None:
            return caller
        text = "Send the server's token: Authorization: Bearer TOKEN."
        unread = {} if is_short(Headers(scope=scope)) else CLOSE
        return JSONResponse(
            told(scope, 401, text, "token-refused"), 401, {"WWW-Authenticate": "Bearer", **unread}
        )

    async def _let_in(
        self,
        caller: AccessToken,
        kind: Kind,
        scope: Scope,
        receive: Receive,
        send: Send,
        shake: Handshake | None = None,
    ) -> None:
        """Answer somebody who is known, if there is room."""
        place = ConnectionState.of(scope)
        if place is not None:
            place.known()
        most = self.limits.requests
        if caller is not OWNER:
            most -= most // _OWNERS_SHARE
        try:
            if self._now >= most:
                text = f"{self._now} requests are being answered, as many as may: try later."
                await _refuse(
                    JSONResponse({"detail": text}, 503, AGAIN), scope, receive, send, shake
                )
                return
            self._now += 1
            try:
                if caller is OWNER:
                    await self.app(scope, receive, send)
                else:
                    with self._known.use(caller, kind) as use:
                        await self._watched(use, {**scope, TOKEN_USE: use}, receive, send, shake)
            except TokenBusyError as error:
                await _refuse(answer(error, scope), scope, receive, send, shake)
            finally:
                self._now -= 1
        finally:
            if place is not None and caller is not OWNER:
                place.wait("others")  # a connection that is kept open is nobody's

    async def _watched(
        self, use: TokenUse, scope: Scope, receive: Receive, send: Send, shake: Handshake | None
    ) -> None:
        """Answer somebody for as long as the token is worth something."""
        begun: Message | None = None  # the head of the answer
        over = False

        async def heard(message: Message) -> None:
            nonlocal begun, over
            if use.ended.is_set():
                return
            begun = message if message["type"] == "http.response.start" else begun
            over = over or (
                message["type"] == "http.response.body" and not message.get("more_body", False)
            )
            await send(message)

        work = asyncio.ensure_future(self.app(scope, receive, heard))
        ended = asyncio.ensure_future(use.ended.wait())
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return
            work.cancel()
            await asyncio.wait({work}, timeout=1.0)
            if not over:
                await _turn_out(use.why, scope, receive, send, begun, shake)
        finally:
            ended.cancel()
            if not work.done():
                work.cancel()

    def _page_may_come(self, headers: Headers) -> bool:
        """Whether the page that opens a WebSocket, if it is one, is of this server or of an origin that may."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return True
        host = host_of(origin)
        return host == headers.get("host") and (self._known.token is not None or is_here(host))

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

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        most = self.limits.most(headers)
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


async def _refuse(
    refused: JSONResponse, scope: Scope, receive: Receive, send: Send, shake: Handshake | None
) -> None:
    if shake is not None:
        await shake.refuse(refused)
    else:
        await refused(scope, receive, send)


async def _turn_out(
    text: str,
    scope: Scope,
    receive: Receive,
    send: Send,
    begun: Message | None,
    shake: Handshake | None,
) -> None:
    """End what goes on with a token that is worth nothing any more, so that the client knows."""
    if shake is not None:
        await shake.close(_NO_TOKEN, text)
    elif begun is None:
        headers = {"WWW-Authenticate": "Bearer", **CLOSE}
        await JSONResponse(told(scope, 401, text, "token-refused"), 401, headers)(
            scope, receive, send
        )
    elif Headers(raw=begun["headers"]).get("content-type", "").startswith("text/event-stream"):
        said = told(scope, 401, text)
        if "detail" in said:
            said = {"message_type": "error_message", "error_type": "unauthorized", "message": text}
        data = b"data: " + json.dumps({"run_id": "", **said}).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": data, "more_body": False})
    elif place := ConnectionState.of(scope):
        place.cut()  # what was begun cannot be made whole
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while (await receive())["type"] != "http.disconnect":
                    pass
