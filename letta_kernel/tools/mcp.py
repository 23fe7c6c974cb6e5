"""Tools of MCP servers: one long-lived connection per server and process, and calls that always end.

All connections live on one thread with an event loop of its own; nobody else's code runs there. Whoever calls
waits in short steps, so that the stop button, a thrown `Cancel` and time limits are heeded. A server that ends,
hangs or sends garbage becomes a one-line error of that call; the next call starts or reaches it anew.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from letta_kernel import lazy_import
from letta_kernel.errors import ToolError
from letta_kernel.models.base import Cancel
from letta_kernel.records import McpServer, Tool
from letta_kernel.remedies import Do, remedy
from letta_kernel.tools.live import CancelledCallError, LoopThread
from letta_kernel.tools.mcp_connection import Connection, Listing, Progress, fingerprint
from letta_kernel.tools.mcp_results import outcome_of
from letta_kernel.tools.outcome import Outcome
from letta_kernel.tools.output import OutputFunction, Sink

T = TypeVar("T")

CALL_LIMIT = 60.0
"""Seconds a call may take where its tool says nothing else."""

_GRACE = 20.0  # seconds beyond its own limits after which work on the thread is given up
_CLOSE_LIMIT = 5.0  # seconds closing may take before servers are ended by force
_QUIET = 1.0  # seconds of starting after which the person is told what is waited for


class Connections:
    """The MCP servers of one project, as far as this process uses them; safe to use from several threads.

    Parameters
    ----------
    find
        Returns the server of an id, or None.
    folder
        Where servers of ours run.
    on_change
        Called with the id of a server that says its tools have changed, on a thread that must not wait.
    """

    def __init__(
        self,
        find: Callable[[str], McpServer | None],
        folder: Path,
        on_change: Callable[[str], None] = lambda server_id: None,
    ) -> None:
        self._find = find
        self._on_change = on_change
        self._folder = folder
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._known: dict[str, McpServer] = {}
        # Only touched on the loop's thread:
        self._connections: dict[str, Connection] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._problems: dict[str, str] = {}

    def call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        on_output: OutputFunction = lambda stream, text: None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Call *tool* on its server, connecting it first if need be, and return how it ended.

        Parameters
        ----------
        arguments
            Checked JSON values (`letta_kernel.tools.arguments.parse_arguments`).

        Raises
        ------
        KeyboardInterrupt
            The stop button; the server was told.
        """
        cancel = cancel or Cancel()
        limit = tool.time_limit or CALL_LIMIT
        sink = Sink(on_output)
        try:
            server = self._server_of(tool)
            said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            work = self._call(server, tool, dict(arguments), limit, said.put)
            longest = 2 * server.start_limit + limit + _GRACE
            answer = self._wait(work, longest, cancel, said, sink)
            return outcome_of(answer, tool.return_limit)
        except CancelledCallError:
            text = "The call was interrupted before it was done."
            return Outcome("interrupted", text, error=text)
        except TimeoutError:
            text = f"{tool.name} took longer than its limit of {limit:g} seconds and was given up"
            return Outcome("error", text, error=text)
        except ToolError as error:
            return Outcome("error", str(error), error=str(error))
        finally:
            sink.close()

    def listing(self, server: McpServer, cancel: Cancel | None = None) -> Listing:
        """Connect *server* if need be and return the tools it offers.

        Raises
        ------
        ToolError
            It cannot be reached, or does not tell; one line.
        """
        self._known[server.id] = server

        async def work() -> Listing:
            connection = await self._connected(server, said.put)
            return await connection.listing()

        said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        longest = server.start_limit + 60 + _GRACE
        try:
            return self._wait(work(), longest, cancel or Cancel(), said)
        except CancelledCallError:
            raise ToolError(
                "It was cancelled before the server had told its tools.", page="mcp-server"
            ) from None

    def state(self, server_id: str) -> str:
        """Return ``connected``, what went wrong last, or an empty string for a server not in use."""
        connection = self._connections.get(server_id)
        if connection is not None and connection.alive:
            return "connected"
        return self._problems.get(server_id, "")

    def stop(self, server_id: str) -> None:
        """End the connection to a server, and the server if it is ours."""
        self._known.pop(server_id, None)
        if self._thread is not None and self._thread.is_alive():
            dropped = asyncio.run_coroutine_threadsafe(self._drop(server_id), self._thread.loop)
            dropped.result(2 * _CLOSE_LIMIT)

    def close(self) -> None:
        """End all connections and servers of ours; a later call begins anew."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None or not thread.is_alive():
            return
        connections = list(self._connections.values())
        try:
            asyncio.run_coroutine_threadsafe(self._drop_all(), thread.loop).result(_CLOSE_LIMIT)
        except (TimeoutError, CancelledError, RuntimeError):
            pass
        finally:
            for connection in connections:
                connection.kill()
            thread.end()
            thread.join(1.0)

    # -- on the caller's thread ----------------------------------------------------------------------

    def _server_of(self, tool: Tool) -> McpServer:
        """Return the server of *tool* as it is now, asking the store only if it has changed."""
        server_id = str(tool.metadata.get("server_id", ""))
        known = self._known.get(server_id)
        if known is None or fingerprint(known) != tool.metadata.get("fingerprint"):
            known = self._find(server_id)
            if known is None:
                name = tool.metadata.get("server", "?")
                raise ToolError(
                    f"The MCP server {name!r} of {tool.name} was removed.",
                    remedy(Do.ADD_MCP_SERVER),
                    page="mcp-server",
                )
            self._known[server_id] = known
        return known

    def _wait(
        self,
        work: Coroutine[Any, Any, T],
        longest: float,
        cancel: Cancel,
        said: queue.SimpleQueue[str | None],
        sink: Sink | None = None,
    ) -> T:
        """Run *work* on the loop's thread and return its result; what is *said* meanwhile is passed on.

        Raises
        ------
        CancelledCallError
            The switch was thrown.
        ToolError
            The connections were closed, or nothing came within *longest* seconds: then the thread hangs.
        """
        try:
            thread = self._running()
            future = asyncio.run_coroutine_threadsafe(work, thread.loop)
        except BaseException:
            work.close()
            raise
        future.add_done_callback(lambda done: said.put(None))
        cancel.on_cancel(lambda: said.put(None))
        end = time.monotonic() + longest
        try:
            while not (future.done() or cancel.cancelled):
                if time.monotonic() > end:
                    raise ToolError(
                        "The thread of the MCP servers hangs; restart the kernel.",
                        page="mcp-server",
                    )
                if not thread.is_alive():
                    raise ToolError(
                        "The MCP servers were closed during the call.", page="mcp-server"
                    )
                _pass_on(said, sink, 0.1)  # short waits: the stop button must reach us
        except BaseException:
            future.cancel()
            raise
        _pass_on(said, sink, 0)
        if not future.done():
            future.cancel()
            raise CancelledCallError
        try:
            return future.result()
        except CancelledError:
            raise ToolError(
                "The MCP servers were closed during the call.", page="mcp-server"
            ) from None

    def _running(self) -> LoopThread:
        """Return the loop's thread, started if need be (also after a fork)."""
        _load()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._connections, self._locks, self._leaving = {}, {}, set()
                self._thread = LoopThread("letta-mcp")
                self._thread.loop.set_exception_handler(_quietly)
                _opened.add(self)
            return self._thread

    # -- on the loop's thread ------------------------------------------------------------------------

    async def _call(
        self,
        server: McpServer,
        tool: Tool,
        arguments: dict[str, Any],
        limit: float,
        progress: Progress,
    ) -> Any:
        name = str(tool.metadata.get("tool", tool.name))
        connection = await self._connected(server, progress)
        try:
            return await connection.call(name, arguments, limit, progress)
        except ToolError as error:
            if not connection.forgotten:
                if not connection.alive:
                    self._problems[server.id] = str(error)
                raise
        # It was restarted since the last call and has done nothing yet: ask once more.
        connection = await self._connected(server, progress)
        return await connection.call(name, arguments, limit, progress)

    async def _connected(self, server: McpServer, progress: Progress) -> Connection:
        """Return a connection that works, as far as can be known."""
        async with self._locks.setdefault(server.id, asyncio.Lock()):
            connection = self._connections.get(server.id)
            if connection is not None:
                same = connection.fingerprint == fingerprint(server)
                if same and connection.alive and await connection.answers():
                    return connection
                del self._connections[server.id]
                self._retire(connection, at_once=same)
            try:
                connection = Connection(server, self._folder, lambda: self._on_change(server.id))
                self._connections[server.id] = connection
                await _told(
                    connection.open(), f"waiting for the MCP server {server.name}", progress
                )
            except BaseException as error:
                if isinstance(error, ToolError):
                    self._problems[server.id] = str(error)
                if connection is not None and self._connections.pop(server.id, None) is connection:
                    self._retire(connection, at_once=True)
                raise
            self._problems.pop(server.id, None)
            return connection

    def _retire(self, connection: Connection, *, at_once: bool) -> None:
        """End a connection without waiting for its end."""
        task = asyncio.get_running_loop().create_task(connection.leave(at_once=at_once))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _drop(self, server_id: str) -> None:
        self._problems.pop(server_id, None)
        connection = self._connections.pop(server_id, None)
        if connection is not None:
            await connection.leave()

    async def _drop_all(self) -> None:
        connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            self._retire(connection, at_once=False)
        if self._leaving:
            await asyncio.wait(self._leaving)


_opened: WeakSet[Connections] = WeakSet()


@atexit.register
def _close_all() -> None:
    """End the servers before the interpreter goes."""
    for connections in list(_opened):
        connections.close()


def _pass_on(said: queue.SimpleQueue[str | None], sink: Sink | None, seconds: float) -> None:
    """Pass on what was said, waiting at most *seconds* for the first of it."""
    try:
        text = said.get(timeout=seconds) if seconds else said.get_nowait()
        while True:
            if text is not None and sink is not None:
                sink.report(text)
            text = said.get_nowait()
    except queue.Empty:
        pass


async def _told(work: Coroutine[Any, Any, None], text: str, progress: Progress) -> None:
    """Do *work*; if it takes a while, say for what."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=_QUIET)
        if not done:
            progress(f"{text} …\n")
        await task
    finally:
        task.cancel()


def _load() -> None:
    """Import the SDK, on the thread for heavy imports.

    Raises
    ------
    ToolError
        It is not installed, or too old.
    """
    try:
        lazy_import.load("mcp")
        found = importlib.util.find_spec("mcp_types") is not None
    except ImportError:
        found = False
    if not found:
        raise ToolError(
            "MCP servers need the package mcp, 2.3 or newer.",
            remedy(Do.INSTALL_PACKAGES, "mcp>=2.3,<3"),
            page="library-missing",
        )


def _quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep what nobody waited for out of the notebook."""
    logging.getLogger(__name__).debug(
        "%s", context.get("message"), exc_info=context.get("exception")
    )
