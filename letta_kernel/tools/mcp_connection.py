"""The connection to one MCP server: opened, asked, found dead, ended. All of it runs on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from letta_kernel import settings
from letta_kernel.errors import ToolError
from letta_kernel.records import OWN_SECRET, McpServer
from letta_kernel.remedies import Do, Remedy, remedy
from letta_kernel.store import encryption
from letta_kernel.tools.mcp_http import HttpServer, innermost
from letta_kernel.tools.mcp_results import lenient
from letta_kernel.tools.mcp_schema import DESCRIPTION, clean_schema, plain_text
from letta_kernel.tools.mcp_stdio import StdioServer
from letta_kernel.tools.outcome import shorten_line

if TYPE_CHECKING:
    import mcp_types
    from mcp import ClientSession

T = TypeVar("T")

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""``${NAME}``: an environment variable, read when the server is connected."""

MOST_TOOLS = 200
"""Tools taken from one server; more would fill the context window with their schemas."""

_LIST_LIMIT = 30.0  # seconds a server may take to tell its tools
_PROBE_LIMIT = 2.0  # seconds a server that left a call unanswered has to show that it lives
_LEAVE_LIMIT = 3.0  # seconds the end of a connection may take
_PAGES = 50
# What the SDK says where the transport knows more.
_GENERIC = (
    *("Connection closed", "Session terminated", "Not Found"),
    "Server returned an error response",
)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as a server offers it, cleaned."""

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool


@dataclass(slots=True)
class Listing:
    """What a server offers, and what of it cannot be used, with the reason."""

    tools: list[Offered] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def fingerprint(server: McpServer) -> str:
    """Return a short text that changes when the server must be connected anew."""
    parts: list[Any] = [server.command, server.url, server.environment, server.headers]
    parts += [server.folder] * bool(server.folder) + ["sse"] * server.sse
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class Connection:
    """A server and the session with it.

    Parameters
    ----------
    server
        Which one.
    folder
        Where a server of ours runs.
    on_change
        Called on the loop's thread when the server says that its tools have changed.

    Raises
    ------
    ToolError
        An environment variable it refers to is missing.
    """

    def __init__(
        self, server: McpServer, folder: Path, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self.server = server
        self._on_change = on_change
        self.fingerprint = fingerprint(server)
        self.doubtful = False  # it left a call unanswered
        self._secrets: dict[str, str] = {}
        self._transport = self._made(folder)
        self._session: ClientSession | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._scope: Any = None

    @property
    def alive(self) -> bool:
        """Whether it was opened and nothing is known to have ended it."""
        return (
            self._session is not None
            and self._task is not None
            and not self._task.done()
            and self._transport.alive
        )

    async def open(self) -> None:
        """Start or reach the server and agree with it on a version.

        Raises
        ------
        ToolError
            It cannot be started or reached, or does not answer in time.
        """
        self._task = asyncio.create_task(self._live())
        limit = self.server.start_limit
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), limit)
        except TimeoutError:
            written = getattr(self._transport, "written", None)
            said = f"; it wrote: {written.last}" if written is not None and written.last else ""
            raise self.error(f"was not ready within {limit:g} seconds{said}") from None

    async def _live(self) -> None:
        """Hold the session; entered and left in one task, as its cancel scopes demand."""
        import anyio
        from mcp import ClientSession

        self._scope = anyio.CancelScope()
        try:
            with self._scope:
                async with (
                    self._transport.streams() as (read, write),
                    ClientSession(
                        dispatcher=lenient()(read, write), message_handler=self._heard
                    ) as session,
                ):
                    await _agree(session)
                    self._session = session
                    self._transport.started()
                    if not self._ready.done():
                        self._ready.set_result(None)
                    await self._leave.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(await self._opening_error(error))
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
        finally:
            if not self._ready.done():
                self._ready.set_exception(self.error("was stopped while it was being started"))
            self._ready.exception()  # nobody may be waiting any more

    async def _heard(self, message: Any) -> None:
        """Take note of what the server says unasked."""
        said = getattr(message, "root", message)
        if getattr(said, "method", "") == "notifications/tools/list_changed":
            self._on_change()

    async def _opening_error(self, error: BaseException) -> ToolError:
        first = innermost(error)
        if isinstance(first, ToolError):
            return self.error(str(first))
        said = _said(first)
        if said and said not in _GENERIC:
            return self.error(f"cannot be used: {said}")
        await self._transport.settle()
        return self.error(self._transport.why())

    @property
    def forgotten(self) -> bool:
        """Whether the server no longer knows the session, so that it did nothing of what was asked."""
        return isinstance(self._transport, HttpServer) and self._transport.status == 404

    async def call(
        self, name: str, arguments: dict[str, Any], limit: float, say: Progress
    ) -> mcp_types.CallToolResult:
        """Call a tool and return the server's answer.

        Raises
        ------
        TimeoutError
            There was none within *limit* seconds; the server is told and the connection is in doubt.
        ToolError
            The server refused the call, ended, or answered what is no answer.
        """
        import mcp_types

        async def report(
            progress: float, total: float | None = None, message: str | None = None
        ) -> None:
            share = f"{progress:g} of {total:g}" if total else f"{progress:g}"
            say(plain_text(f"{message} ({share})" if message else share, 2_000))

        assert self._session is not None
        request = mcp_types.CallToolRequest(
            params=mcp_types.CallToolRequestParams(name=name, arguments=arguments)
        )
        # Not the session's own call_tool: that runs the server's patterns over its answer, and a
        # pattern can be made to take for ever.
        answer = self._session.send_request(
            request, mcp_types.CallToolResult, progress_callback=report
        )
        return await self._asked(answer, limit)

    async def listing(self) -> Listing:
        """Return the tools the server offers.

        Raises
        ------
        ToolError
            It does not tell them.
        """
        import mcp_types

        assert self._session is not None
        found: list[mcp_types.Tool] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            params = mcp_types.PaginatedRequestParams(cursor=cursor) if cursor else None
            try:
                page = await self._asked(self._session.list_tools(params=params), _LIST_LIMIT)
            except TimeoutError:
                raise self.error(f"did not tell its tools in {_LIST_LIMIT:g} seconds") from None
            found += page.tools
            cursor = page.next_cursor
            if not cursor or len(found) > MOST_TOOLS:
                break
        listing = Listing()
        for tool in found[:MOST_TOOLS]:
            name = plain_text(tool.name, 100)
            try:
                if name != tool.name or not name:
                    raise ToolError("its name cannot be used")
                listing.tools.append(_offered(tool))
            except ToolError as error:
                listing.skipped.append((name, str(error)))
        if len(found) > MOST_TOOLS:
            more = f"{len(found) - MOST_TOOLS}{' or more' if cursor else ''} others"
            listing.skipped.append((more, f"only {MOST_TOOLS} tools of a server are taken"))
        return listing

    async def answers(self) -> bool:
        """Return whether it can still be used, asking it if there is doubt."""
        if self.doubtful and self._session is not None:
            try:
                await self._asked(self._session.list_tools(), _PROBE_LIMIT)
            except (TimeoutError, ToolError):
                return False
            self.doubtful = False
        return self.alive

    async def leave(self, *, at_once: bool = False) -> None:
        """End the session and a server of ours."""
        if at_once:
            self._transport.kill()
        self._leave.set()
        if self._task is None:
            return
        if not self._ready.done() and self._scope is not None:
            self._scope.cancel()
        await asyncio.wait({self._task}, timeout=_LEAVE_LIMIT)
        if not self._task.done() and self._scope is not None:
            self._scope.cancel()
            await asyncio.wait({self._task}, timeout=_LEAVE_LIMIT)
        self._transport.kill()

    def kill(self) -> None:
        """End a server of ours at once; may be called from any thread."""
        self._transport.kill()

    def error(self, what: str, *remedies: Remedy) -> ToolError:
        """Return an error about this server, one line without secrets."""
        text = f"The MCP server {self.server.name!r} {what}"
        for secret, reference in self._secrets.items():
            text = text.replace(secret, reference)
        return ToolError(shorten_line(plain_text(text, 2_000)), *remedies, page="mcp-server")

    async def _asked(self, answer: Awaitable[T], limit: float) -> T:
        """Wait for an answer, and turn what goes wrong into one line."""
        import mcp
        from pydantic import ValidationError

        task = asyncio.ensure_future(answer)
        try:
            # Not wait_for: a server that does not read would hold up the end of the request too.
            await asyncio.wait({task}, timeout=limit)
            if not task.done():
                self.doubtful = True
                raise TimeoutError
            return task.result()
        except mcp.MCPError as error:
            raise await self._refusal(error) from None
        except ValidationError:
            raise self.error("sent an answer that is no MCP answer") from None
        except (RuntimeError, ValueError) as error:
            raise self.error(f"cannot be asked: {error}") from None
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_forget)

    async def _refusal(self, error: Any) -> ToolError:
        message = plain_text(error.message, 2_000)
        if message in _GENERIC or not self.alive:
            if self._task is not None and isinstance(self._transport, HttpServer):
                await asyncio.wait({self._task}, timeout=0.5)  # the reason comes with its end
            await self._transport.settle()
            return self.error(self._transport.why())
        if message.startswith("SSE stream"):
            self.doubtful = True
            return self.error(f"broke off its answer: {message}")
        return self.error(f"refused: {message}")

    def _made(self, folder: Path) -> StdioServer | HttpServer:
        server = self.server
        if server.url:
            headers = {name: self._filled(text) for name, text in server.headers.items()}
            return HttpServer(self._filled(server.url), headers, sse=server.sse)
        from mcp.client.stdio import get_default_environment

        given = {name: self._filled(text) for name, text in server.variables.items()}
        command = [self._filled(part) for part in server.command]
        where = Path(self._filled(server.folder)) if server.folder else folder
        if not where.is_dir():
            raise self.error(f"is to run in {where}, which is no folder")
        return StdioServer(command, {**get_default_environment(), **given}, where)

    def _own(self, name: str) -> str | None:
        """Return a secret that the server's record has itself."""
        return self._readable(self.server.environment.get(name))

    def _readable(self, text: T) -> T:
        if isinstance(text, str) and encryption.is_encrypted(text):
            raise self.error(
                "has a secret that cannot be read: the key of this project's secrets is not here. Put it back "
                "(LETTA_SECRET_KEY, the keyring, or its file), or set the secret anew"
            )
        return text

    def _filled(self, text: str) -> str:
        """Return *text* with what its references stand for."""
        self._readable(text)

        def value(found: re.Match[str]) -> str:
            if found[1] == settings.SECRET_KEY.name:
                raise self.error(f"is not given {found[1]}, which opens the secrets of all agents")
            known = os.environ.get(found[1])
            if found[1].startswith(OWN_SECRET):
                known = self._own(found[1])
            if known is None:
                raise self.error(
                    f"needs the environment variable {found[1]}, which is not set.",
                    remedy(Do.SET_SECRET, found[1]),
                )
            if len(known) > 3:  # shorter ones would be found everywhere
                self._secrets[known] = found[0]
            return known

        return REFERENCE.sub(value, text)


async def _agree(session: ClientSession) -> None:
    """Agree on a version: the handshake every server knows, or what followed it.

    The newer question first would be quicker with newer servers, but there are older ones that end at
    whatever is not the handshake.
    """
    import mcp

    try:
        await session.initialize()
    except mcp.MCPError as refusal:
        try:
            await session.discover()
            await session.list_tools()  # such a session takes some headers from the schemas
        except (mcp.MCPError, RuntimeError, ValueError):
            raise refusal from None


def _offered(tool: mcp_types.Tool) -> Offered:
    hints = tool.annotations
    about = tool.description or tool.title or (hints.title if hints else None) or ""
    return Offered(
        name=tool.name,
        description=plain_text(about, DESCRIPTION),
        parameters=clean_schema(tool.input_schema),
        read_only=bool(hints and hints.read_only_hint),
    )


def _said(error: BaseException | None) -> str:
    """Return what the server said, or what is wrong with it; nothing where the transport knows better."""
    import anyio
    import httpx2
    import mcp
    from pydantic import ValidationError

    if error is None or isinstance(error, OSError | httpx2.HTTPError | anyio.BrokenResourceError):
        return ""
    if isinstance(error, ValidationError):
        return "its answer is no MCP answer"
    if isinstance(error, mcp.MCPError):
        return plain_text(error.message, 2_000)
    return f"{type(error).__name__}: {error}"


def _forget(task: asyncio.Future[Any]) -> None:
    """Take the result of a request nobody waits for, so that nothing is logged about it."""
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()
