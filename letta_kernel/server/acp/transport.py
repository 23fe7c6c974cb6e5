"""Standard input and output as asyncio's streams: what is no message is refused, and ends nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from letta_kernel.server.stdio import LONGEST, StandardStreams

_PARSE_ERROR, _INVALID = -32700, -32600


class Output(asyncio.StreamWriter):
    """Takes what the protocol's library writes.

    Parameters
    ----------
    streams
        Those of the process, taken already.
    """

    def __init__(self, streams: StandardStreams) -> None:
        self._streams = streams
        self._written = b""

    def write(self, data: Any) -> None:
        """Keep a line until `drain`."""
        self._written += data

    async def drain(self) -> None:
        """Write what was kept; `ConnectionError` once nobody reads it."""
        written, self._written = self._written, b""
        await self._streams.write(written.decode())

    def __del__(self, *_: Any) -> None:
        """Nothing is open: the process ends."""


class Input(asyncio.StreamReader):
    """Gives the protocol's library messages alone.

    Parameters
    ----------
    streams
        Those of the process, taken already.
    """

    def __init__(self, streams: StandardStreams) -> None:
        super().__init__(limit=2 * LONGEST)
        self._streams = streams

    async def fill(self) -> None:
        """Take in messages until there are no more."""
        try:
            while True:
                line = await self._streams.line()
                if not line:
                    continue
                if (problem := _problem(line)) is None:
                    self.feed_data(line + b"\n")
                    continue
                refusal = {"jsonrpc": "2.0", "id": None, "error": problem}
                await self._streams.write(json.dumps(refusal) + "\n")
        except (EOFError, ConnectionError):
            self.feed_eof()


def _problem(line: bytes) -> dict[str, Any] | None:
    """Return what is wrong with a line that the library cannot read, which it would end at."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {"code": _PARSE_ERROR, "message": "This line is no JSON, or too long."}
    if (
        isinstance(message, dict)
        and isinstance(message.get("method", ""), str)
        and isinstance(message.get("id", ""), str | int | None)
        and isinstance(message.get("error", {}), dict | None)
        and ("method" in message or "id" in message)
    ):
        return None
    return {"code": _INVALID, "message": "This is no JSON-RPC 2.0 message."}
