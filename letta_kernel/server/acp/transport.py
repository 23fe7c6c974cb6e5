"""JSON-RPC messages as lines of standard input and output; what is no message is refused, and ends nothing."""

from __future__ import annotations

import json
from typing import Any

from letta_kernel.server.stdio import StandardStreams

_PARSE_ERROR, _INVALID = -32700, -32600


class StdioTransport:
    """An `acp` transport over the process's own streams.

    Parameters
    ----------
    streams
        Those of the process, taken already.
    """

    def __init__(self, streams: StandardStreams) -> None:
        self._streams = streams

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message, None at the end."""
        while True:
            try:
                line = await self._streams.line()
            except EOFError:
                return None
            if not line:
                continue
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                await self._refuse(_PARSE_ERROR, "This line is no JSON, or too long.")
                continue
            if _is_message(message):
                return dict(message)
            await self._refuse(_INVALID, "This is no JSON-RPC 2.0 message.")

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message; `ConnectionError` once nobody reads them."""
        await self._streams.write(json.dumps(message, separators=(",", ":"), default=str) + "\n")

    async def close(self) -> None:
        """Nothing to close: the process ends."""

    async def _refuse(self, code: int, text: str) -> None:
        error = {"code": code, "message": text}
        await self.send({"jsonrpc": "2.0", "id": None, "error": error})


def _is_message(message: Any) -> bool:
    """Whether the library can read it: it ends at what is none."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("method", ""), str)
        and isinstance(message.get("id", ""), str | int | None)
        and isinstance(message.get("error", {}), dict | None)
        and ("method" in message or "id" in message)
    )
