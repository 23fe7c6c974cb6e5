"""Each connection is one request for the store: how long it waits is counted from its beginning."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from letta_kernel import waiting

COPIED = (b"letta-snapshot", b"true")
"""The header of an answer that was read from a copy, because another process keeps the store."""

log = logging.getLogger("letta_kernel")


def _tell(text: str) -> None:
    log.warning("a request waits for the store: %s", text)


class StoreWaits:
    """Lets *app* answer each connection as one request for the store."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        with waiting.request(_tell) as asked:

            async def said(message: Message) -> None:
                if asked.copied and message["type"] == "http.response.start":
                    message = {**message, "headers": [*message.get("headers", ()), COPIED]}
                await send(message)

            await self.app(scope, receive, said)
