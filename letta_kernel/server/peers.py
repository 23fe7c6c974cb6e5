"""The servers of a project among themselves: what one carries out, another tells its clients.

A server asks the holder of a run for its events, signed with the secret they share. The secret itself, and the
clients' tokens, are sent nowhere; who listens at an address that was a server's once learns a signature that is
good for that server and that run alone. The holder's answer is signed, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from letta_kernel.errors import LettaError
from letta_kernel.messages import Event, Nested, worded
from letta_kernel.server.events.runs import served
from letta_kernel.server.remedies import WORDS
from letta_kernel.server.schemas.history import View
from letta_kernel.service.event_log import Gap, RunLog

log = logging.getLogger("letta_kernel")

PATH = "/v1/servers/"
"""Before the id of a server, and that of a run: nothing for clients."""

PROOF = "letta-server-proof"
IDLE = 5.0
"""Seconds after which a stream with nothing to tell says that it goes on."""

_SKEW = 300.0  # seconds by which two machines' clocks may differ
_NONCES = 10_000  # signatures that are remembered, so that each counts once


def sign(secret: str, *parts: str) -> str:
    """Return what only who knows *secret* can say of *parts*."""
    return hmac.new(secret.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def request_headers(secret: str, server_id: str, run_id: str, query: str) -> tuple[str, str]:
    """Return the authorisation of a request to another server, and the nonce its answer is signed with."""
    nonce, moment = secrets.token_hex(16), str(int(time.time()))
    signed = sign(secret, "ask", server_id, run_id, query, moment, nonce)
    return f"Letta-Server {moment} {nonce} {signed}", nonce


def proof(secret: str, server_id: str, nonce: str) -> str:
    """Return the signature of an answer."""
    return sign(secret, "answer", server_id, nonce)


class PeerDoor:
    """Answers other servers of a project; everything else goes on to *app*."""

    def __init__(self, app: ASGIApp, prefix: str = "") -> None:
        self.app = app
        self._path = f"{prefix}{PATH}"
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http" or not scope["path"].startswith(self._path):
            await self.app(scope, receive, send)
            return
        try:
            answer = await self._answer(scope)
        except LettaError as error:
            log.info("letta: another server could not be answered: %s", error)
            answer = _refused()
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> JSONResponse | StreamingResponse:
        server_id, _, run_id = scope["path"][len(self._path) :].partition("/")
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").decode("latin-1").split(" ")
        project = served.get(server_id)
        query = scope["query_string"].decode("latin-1")
        if project is None or scope["method"] != "GET" or len(given) != 4:
            return _refused()
        secret = await asyncio.to_thread(project.service.servers.secret)
        kind, moment, nonce, signed = given
        if kind != "Letta-Server" or secret is None or not moment.isdecimal() or len(moment) > 12:
            return _refused()
        wanted = sign(secret, "ask", server_id, run_id, query, moment, nonce)
        known = hmac.compare_digest(wanted.encode(), signed.encode("utf-8", "replace"))
        if not known or abs(time.time() - int(moment)) > _SKEW or nonce in self._seen:
            return _refused()
        self._seen[nonce] = None
        if len(self._seen) > _NONCES:
            self._seen.popitem(last=False)
        told = {PROOF: proof(secret, server_id, nonce), "Cache-Control": "no-store"}
        run = project.live.get(run_id)
        events = run.log if run is not None else project.service.events.run(run_id)
        if events is None:
            return JSONResponse({"detail": "This run is not known here."}, 404, told)
        extra = packed(run.extra if run is not None else {})
        asked = parse_qs(query)
        if "head" in asked:
            return JSONResponse({"agent_id": events.agent_id, "extra": extra}, 200, told)
        after = asked.get("after", ["0"])[0]
        number = int(after) if after.isdecimal() and len(after) < 18 else 0
        return StreamingResponse(
            _lines(events, number), 200, told, media_type="application/x-ndjson"
        )


def _refused() -> JSONResponse:
    return JSONResponse({"detail": "Only the project's servers may ask."}, 401)


async def _lines(events: RunLog, after: int) -> AsyncIterator[bytes]:
    async with aclosing(events.follow(after, idle=IDLE)) as found:
        async for one in found:
            if one is None:
                yield b"\n"
            elif isinstance(one, Gap):
                yield _line({"after": one.after, "gap": one.number})
            else:
                yield _line({"number": one.number, "event": plain(worded(one.event, WORDS))})
    yield _line({"over": True})


def _line(what: dict[str, Any]) -> bytes:
    return json.dumps(what).encode("ascii", "replace") + b"\n"


def plain(event: Event) -> dict[str, Any]:
    """Return an event in JSON, whole but for a display that is none."""
    if isinstance(event, Nested):
        told = event.model_dump(mode="json", exclude={"event"})
        return {**told, "event": plain(event.event)}
    try:
        return event.model_dump(mode="json")
    except ValueError:
        return event.model_copy(update={"display": None}).model_dump(mode="json")


def packed(extra: dict[str, Any]) -> dict[str, Any]:
    """Return what the one who started a run wants to be told of it, in JSON."""
    view = extra.get("view") or View()
    types = sorted(view.types) if view.types is not None else None
    return {
        "view": [types, view.speaking_tool, view.speaking_argument],
        "tokens": bool(extra.get("tokens")),
        "waits": sorted(extra.get("waits") or ()),
        "settled": extra.get("settled") or {},
        "background": bool(extra.get("background")),
        "group": bool(extra.get("group")),
    }


def unpacked(extra: dict[str, Any]) -> dict[str, Any]:
    """Return it as `packed` was given it."""
    types, tool, argument = extra["view"]
    return {**extra, "view": View(types, tool, argument), "waits": set(extra["waits"])}
