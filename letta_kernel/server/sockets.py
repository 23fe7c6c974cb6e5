"""WebSockets before anybody is known on them: where their token is, and how they are refused.

A page cannot send the token as a header: it may come in the query, or as the first message.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, QueryParams
from starlette.types import Message, Receive, Scope, Send

from letta_kernel.server.routes import websocket as protocol

_LONGEST = 10_000  # characters of the first message


class Handshake:
    """A WebSocket that an application is to be given, once somebody is known on it.

    Attributes
    ----------
    receive, send : for the application, which accepts it whether or not that was done already.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._accepted = False
        self._connect: Message | None = None  # what the application is to hear first

    async def token(self) -> str | None:
        """Return the token that comes along, or with the first message after it is accepted; None: none."""
        kind, _, given = Headers(scope=self._scope).get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return given.strip()
        asked = QueryParams(self._scope.get("query_string", b"")).get("token")
        return asked if asked is not None else await self._first_message()

    async def receive(self) -> Message:
        """Return what the client does next."""
        message, self._connect = self._connect, None
        return message or await self._receive()

    async def send(self, message: Message) -> None:
        """Do what the application wants, as far as it is not done."""
        if self._accepted and message["type"] == "websocket.accept":
            return
        if self._accepted and message["type"] == "websocket.http.response.start":
            await self.close(4000 + message["status"])
        elif not self._accepted or not message["type"].startswith("websocket.http.response"):
            self._accepted = self._accepted or message["type"] == "websocket.accept"
            await self._send(message)

    async def close(self, code: int, reason: str = "") -> None:
        """Close it, whether or not it was accepted."""
        with suppress(RuntimeError, OSError):  # it is closed
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def refuse(self, answer: JSONResponse) -> None:
        """Answer that it is not to be."""
        if self._accepted:
            await self.close(4000 + answer.status_code)
        elif "websocket.http.response" in self._scope.get("extensions", {}):
            await answer(self._scope, self._receive, self._send)
        else:
            await self.close(4000 + answer.status_code)

    async def _first_message(self) -> str | None:
        self._connect = await self._receive()
        await self._send({"type": "websocket.accept"})
        self._accepted = True
        first: Any = None
        with suppress(TimeoutError, ValueError, RecursionError):
            message = await asyncio.wait_for(self._receive(), protocol.AUTH_SECONDS)
            text = message.get("text")
            first = json.loads(text) if text is not None and len(text) < _LONGEST else None
        if isinstance(first, dict) and first.get("type") == "auth":
            return str(first.get("token"))
        return None
