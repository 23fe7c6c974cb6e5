"""The process's standard input and output, for one protocol alone: whole lines, of bounded length."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO, Self

LONGEST = 16 * 1024 * 1024
"""Bytes of a line that is read; a longer one is dropped, and comes as one that is no JSON."""

_DROPPED = b"(this line was too long)\n"
_AHEAD = 64  # lines read before somebody wants them


class StandardStreams:
    """An async context in which what is printed goes to stderr, and nobody else reads the input.

    Threads of their own read and write: neither holds up the event loop, and at the end none is waited for.
    """

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes] = asyncio.Queue(_AHEAD)
        self._outbox: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        sys.stdout.flush()
        source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        for work, stream in ((self._read, source), (self._write, target)):
            threading.Thread(target=work, args=(stream,), name="stdio", daemon=True).start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave the streams as they are: the process ends now."""

    async def line(self) -> bytes:
        """Return the next line without its end.

        Raises
        ------
        EOFError
            There is no more.
        """
        found = await self._lines.get()
        if not found:
            self._lines.put_nowait(b"")  # whoever asks again is told so again
            raise EOFError
        return found.strip()

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            try:
                line = await self.line()
            except EOFError:
                return
            yield line.decode("utf-8", "replace")

    async def write(self, text: str) -> None:
        """Write whole lines.

        Raises
        ------
        ConnectionError
            Nobody reads them any more.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        self._outbox.put((text.encode("utf-8", "replace"), done))
        await done

    async def flush(self) -> None:
        """Nothing is kept back."""

    def _read(self, source: BinaryIO) -> None:
        with suppress(RuntimeError, OSError, asyncio.CancelledError):  # the loop has ended
            while line := source.readline(LONGEST):
                if len(line) == LONGEST and not line.endswith(b"\n"):
                    while (rest := source.readline(LONGEST)) and not rest.endswith(b"\n"):
                        pass
                    line = _DROPPED
                self._give(line)
            self._give(b"")

    def _give(self, line: bytes) -> None:
        asyncio.run_coroutine_threadsafe(self._lines.put(line), self._loop).result()

    def _write(self, target: BinaryIO) -> None:
        while True:
            data, done = self._outbox.get()
            problem: Exception | None = None
            try:
                target.write(data)
                target.flush()
            except (OSError, ValueError):
                problem = ConnectionError("Nobody reads the output any more.")
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(_settle, done, problem)


def _settle(done: asyncio.Future[None], problem: Exception | None) -> None:
    if done.done():
        return
    if problem is None:
        done.set_result(None)
    else:
        done.set_exception(problem)
