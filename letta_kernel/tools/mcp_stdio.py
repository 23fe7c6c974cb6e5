"""An MCP server as a process of ours: JSON lines over its stdin and stdout, its stderr kept for errors.

The SDK has a transport of its own, but it keeps whatever length of line a server sends, logs each line that is
no message with a traceback, cannot say how the process ended, and takes seconds to end one that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from letta_kernel.errors import ToolError

LARGEST = 32 * 1024**2
"""Bytes one message may have."""

_NOISE = 4 * 1024**2  # bytes on stdout that are no messages; a server that prints more is ended
_TAIL = 4_000  # characters of stderr and of noise that are kept
_CHUNK = 65_536
_POLITE = 1.0  # seconds a server has to end by itself once its stdin is closed
_FIRM = 0.5  # seconds after it was asked to by a signal

Streams = Any  # the pair of anyio streams the SDK's session is made from


class Tail:
    """The last characters of what a server wrote."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, data: bytes) -> None:
        """Take what was written."""
        self.text = (self.text + data.decode(errors="replace"))[-_TAIL:]

    @property
    def last(self) -> str:
        """The last line that says anything; in a Python traceback that is the error."""
        lines = [line.strip() for line in self.text.splitlines()]
        return next((line for line in reversed(lines) if line), "")


class StdioServer:
    """One server process.

    Parameters
    ----------
    command
        The program and its arguments.
    environment
        The variables it gets, and no others.
    folder
        Where it runs, and from where a relative path of the program counts.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._over = False
        self.written = Tail()
        self.problem = ""  # how it broke the rules, if it did

    @property
    def alive(self) -> bool:
        """Whether it runs and listens."""
        process = self._process
        return process is not None and process.returncode is None and not self._over

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams, None]:
        """Start the process and give the streams to it; end it, and all it started, afterwards.

        Raises
        ------
        ToolError
            When it cannot be started.
        """
        import anyio
        from mcp.shared.message import SessionMessage

        process = self._process = await self._started()
        inward, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, outward = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, process.stdout, inward)
            tasks.start_soon(self._speak, process.stdin, outward)
            tasks.start_soon(self._overhear, process.stderr)
            try:
                yield read, write
            finally:
                with anyio.CancelScope(shield=True):
                    read.close()
                    write.close()
                    await self._ended(process)
                tasks.cancel_scope.cancel()

    def started(self) -> None:
        """Take note that it works: what it wrote so far is not why it will end."""
        self.written.text = ""

    async def settle(self) -> None:
        """Wait a moment for a process that closed its stdout to be gone, so that `why` knows more."""
        if self._process is not None:
            await _gone(self._process, 0.5)

    def why(self) -> str:
        """Return how it ended, in words that follow its name."""
        if self.problem:
            return self.problem
        code = self._process.returncode if self._process is not None else None
        if code is None:
            said = "closed its connection"
        elif code < 0:
            known = -code in set(signal.Signals)
            said = f"was ended by {signal.Signals(-code).name if known else f'signal {-code}'}"
        else:
            said = f"ended with exit code {code}"
        return f"{said}: {self.written.last}" if self.written.last else said

    def kill(self) -> None:
        """End it and what it started at once; may be called from any thread."""
        if self._process is not None and self._process.returncode is None:
            _signal(self._process.pid, firm=True)

    async def _started(self) -> asyncio.subprocess.Process:
        program = self._command[0]
        found: str | None
        if os.path.dirname(program):
            found = shutil.which(str(self._folder / program))
        else:
            found = shutil.which(program, path=self._environment.get("PATH"))
        if found is None:
            raise ToolError(
                f"cannot be started: there is no program {program!r}", page="mcp-server"
            )
        options: dict[str, Any] = {}
        if os.name == "posix":
            options["start_new_session"] = True  # the stop button's signal must not reach it
        try:
            return await asyncio.create_subprocess_exec(
                found,
                *self._command[1:],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                cwd=self._folder,
                **options,
            )
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or str(error)
            raise ToolError(f"cannot be started: {said}", page="mcp-server") from None

    async def _listen(self, stdout: Any, inward: Any) -> None:
        """Pass on each line that is a message."""
        import anyio
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        noise, waiting = 0, bytearray()
        async with inward:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                while chunk := await stdout.read(_CHUNK):
                    *lines, rest = chunk.split(b"\n")
                    for line in lines:
                        waiting += line
                        if not waiting.strip():
                            continue
                        try:
                            message = jsonrpc_message_adapter.validate_json(waiting, by_name=False)
                        except ValueError:
                            noise += len(waiting)
                            self.written.add(bytes(waiting[-_TAIL:]) + b"\n")
                        else:
                            await inward.send(SessionMessage(message))
                        waiting.clear()
                    waiting += rest
                    if len(waiting) > LARGEST:
                        self.problem = f"sent a message of more than {LARGEST // 1024**2} MB"
                    elif noise > _NOISE:
                        self.problem = "prints to its stdout what is no MCP message"
                    if self.problem:
                        break
            self._over = True
        if self.problem:
            self.kill()
        while await stdout.read(_CHUNK):  # a full pipe would keep it from ending
            pass

    async def _speak(self, stdin: Any, outward: Any) -> None:
        async with outward:
            async for sent in outward:
                line = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                try:
                    stdin.write(line.encode() + b"\n")
                    await stdin.drain()
                except (OSError, RuntimeError):  # it is gone; the listener tells
                    self._over = True
                    return

    async def _overhear(self, stderr: Any) -> None:
        while chunk := await stderr.read(_CHUNK):
            self.written.add(chunk)

    async def _ended(self, process: asyncio.subprocess.Process) -> None:
        """Close its stdin, wait, and end it by force if need be; with all it started."""
        if process.stdin is not None:
            process.stdin.close()
        if not await _gone(process, _POLITE):
            _signal(process.pid, firm=False)
            await _gone(process, _FIRM)
            _signal(process.pid, firm=True)
            await _gone(process, _FIRM)
        # A helper that outlives it may hold the pipes; nothing public lets go of them.
        transport = getattr(process, "_transport", None)
        if transport is not None:
            with contextlib.suppress(OSError):
                transport.close()


async def _gone(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Wait until the process is gone; False if it is not within *seconds*.

    asyncio's own wait also waits for the pipes, which a helper of the server may hold open.
    """
    end = asyncio.get_running_loop().time() + seconds
    while process.returncode is None:
        if asyncio.get_running_loop().time() >= end:
            return False
        await asyncio.sleep(0.01)
    return True


def _signal(pid: int, firm: bool) -> None:
    """End a process and all it started (its group, or on Windows its children)."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL if firm else signal.SIGTERM)
        return
    import psutil

    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for one in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.Error):
                one.kill()
