"""The REST API and the WebSocket inside a Jupyter server, at ``/letta/``, under its authentication.

Nothing new listens anywhere: the Jupyter server's token, login, XSRF checks, origins and authoriser decide who
comes in (resource ``letta``: ``read`` for GET, ``write`` for the rest, ``execute`` for WebSockets)::

    Letta(base_url="http://127.0.0.1:8888/letta", api_key=TOKEN_OF_THE_JUPYTER_SERVER)

The agents are those of ``LETTA_HOME``, else of ``.letta`` in the server's root folder, or beside the notebooks
of a folder below it, which every request can name: ``/letta/v1/agents?folder=studies/birds``. That is the
project which kernels of notebooks in that folder have::

    Letta(base_url=…, api_key=…, default_query={"folder": "studies/birds"})

Tools of notebooks run from their stored source, in the sandbox. Nothing heavy is imported until the first
request, and looking at a folder without a project makes none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from traitlets import Unicode

from letta_kernel import users
from letta_kernel.errors import NotFoundError
from letta_kernel.server.bridge import METHODS, HttpBridge, SocketBridge, scope_of
from letta_kernel.server.projects import Projects
from letta_kernel.server.request_limits import RequestLimits, is_short
from letta_kernel.tools.sandbox_walls import dumpable

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Scope

    from letta_kernel.server.panel import ServedPanels, SocketComm

RESOURCE = "letta"
FOLDER = "folder"  # what a request names its folder by
PROJECT = "letta_kernel.project"  # as in letta_kernel.server.deps, which is heavy to import
HUB_USER = "JUPYTERHUB_USER"  # whose server this is, as a JupyterHub says it
MAX_FILE = 110_000_000  # bytes, what JupyterLab's panel reads at most, and room
SHORT_SECONDS = 10.0  # that the short body of a request that is refused may take
MAX_FRAME = 4_200_000  # bytes, as in letta_kernel.server.routes.websocket, which is heavy to import


class Mounted:
    """The application, made when it is first asked for, and the projects it serves."""

    def __init__(self, projects: Projects) -> None:
        self.projects = projects
        self.token = secrets.token_urlsafe(24)  # between the handlers here and the application
        self._app: FastAPI | None = None
        self._lock = asyncio.Lock()
        self._panels: dict[Path, ServedPanels] = {}
        self._making = threading.Lock()

    async def app(self) -> FastAPI:
        """Return the application."""
        async with self._lock:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
        return self._app

    def panels(self, home: Path) -> ServedPanels:
        """Return what panels of the project in the folder *home* are connected to; no folder is made for it."""
        from letta_kernel.server.panel import ServedPanels

        project = self.projects.open(home)
        with self._making:
            if home not in self._panels:
                self._panels[home] = ServedPanels(project)
            return self._panels[home]

    async def close(self) -> None:
        """End the runs and let go of the projects."""
        await asyncio.to_thread(self.projects.close)

    def _make(self) -> FastAPI:
        from letta_kernel.server.app import create_app

        return create_app(None, token=self.token)


class _Letta(JupyterHandler):
    """What all handlers know."""

    auth_resource = RESOURCE

    def initialize(self, mounted: Mounted, mount: str) -> None:
        self.mounted, self.mount = mounted, mount

    async def check(self, action: str) -> None:
        """Ask the server's authoriser."""
        user = self.current_user
        if user is None:
            raise web.HTTPError(403)
        allowed = self.authorizer.is_authorized(self, user, action, RESOURCE)
        if not await ensure_async(allowed):
            raise web.HTTPError(403, f"You may not {action} {RESOURCE} here.")

    def actor(self) -> users.Actor | None:
        """Return who acts, where a hub says that it is not the user whose server this is; None: that one."""
        user = self.current_user
        if not os.environ.get(HUB_USER) or user is None:
            return None  # users of a server alone have names by chance
        owner = users.person_in_front()
        return None if user.username == owner else users.Actor(user.username, owner)

    async def home(self) -> Path:
        """Return the project folder that the request means; `NotFoundError` if it means none."""
        named = self.get_query_arguments(FOLDER, strip=False)
        if len(named) > 1:
            raise NotFoundError(f"Name one {FOLDER}, not {len(named)}.")
        return await asyncio.to_thread(self.mounted.projects.home_of, named[0] if named else None)

    async def scope(self, kind: str, *, make: bool = True) -> Scope:
        """Return the request as the application wants it, in the project it is about."""
        home = await self.home()
        scope = scope_of(self.request, kind, self.mount, self.mounted.token)
        return {
            **scope,
            "query_string": _without(scope["query_string"], b"token", FOLDER.encode()),
            PROJECT: await asyncio.to_thread(self.mounted.projects.open, home, make=make),
        }


@web.stream_request_body
class LettaHandler(_Letta, HttpBridge, APIHandler):
    """Passes requests on; who asks, and how much, is known before a body is taken in."""

    SUPPORTED_METHODS = (*METHODS, "OPTIONS")
    _refused: web.HTTPError | None = None
    _unread = True  # some requests are refused before `prepare`: a method there is not, a path that is no text

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse who has no token, and what is too large; nothing of a long body has been read."""
        self._pieces: list[bytes] = []
        headers, connection = self.request.headers, self.request.connection
        self._unread = not is_short(headers)
        self._keeps = self.request.method != "OPTIONS"  # which anybody may ask, without a body
        if not self._keeps:
            if self._unread:
                raise web.HTTPError(413)
            connection.set_body_timeout(SHORT_SECONDS)  # type: ignore[union-attr]
        try:
            await super().prepare()
            if self._finished or not self._keeps:
                return
            await self.check("read" if self._looks else "write")
            limits = RequestLimits()
            if not limits.fits(headers):
                raise web.HTTPError(413)
            seconds = limits.seconds(headers)
        except web.HTTPError as refused:
            if self._unread:
                raise
            self._refused, self._keeps, seconds = refused, False, SHORT_SECONDS
        connection.set_max_body_size(RequestLimits().most(headers))  # type: ignore[union-attr]
        connection.set_body_timeout(seconds)  # type: ignore[union-attr]

    def data_received(self, chunk: bytes) -> None:
        """Take in a piece of the body."""
        if self._keeps:
            self._pieces.append(chunk)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer that it is not to be; what was not read by then is not read."""
        if self._unread:
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    @property
    def _looks(self) -> bool:
        return self.request.method in ("GET", "HEAD")

    async def _serve(self, path: str = "") -> None:
        self._unread = False
        if self._refused is not None:
            raise self._refused
        self.request.body = b"".join(self._pieces)
        try:
            scope = await self.scope("http", make=not self._looks)
        except NotFoundError as problem:
            self.set_status(404)
            self.finish({"detail": problem.text})
            return
        app = await self.mounted.app()
        try:
            with users.acting(self.actor()):
                await self.answer_with(app, scope)
        except Exception:
            if not self._headers_written:
                raise
            self.log.exception("letta: %s %s failed", self.request.method, self.request.path)

    get = head = post = put = patch = delete = web.authenticated(_serve)


@web.stream_request_body
class _Socket(WebSocketMixin, WebSocketHandler, _Letta):
    """What both WebSockets know: who may connect, and to what."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse what is no handshake; nothing of a body has been read, nor will be."""
        self.request.connection.set_max_body_size(0)  # type: ignore[union-attr]
        if self.request.method == "GET":
            await super().prepare()
        else:
            self.set_status(405)
            self.set_header("Connection", "close")
            self.finish()

    def data_received(self, chunk: bytes) -> None:
        """Take in nothing."""

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Make the connection, for those who may, to what is there."""
        await self.check("execute")
        try:
            await self.home()
        except NotFoundError:
            raise web.HTTPError(404) from None
        await super().get()


class LettaSocket(_Socket, SocketBridge):
    """Passes WebSockets on."""

    async def open(self, *args: Any, **kwargs: Any) -> None:
        """Join the connection with the application."""
        super().open()
        app, scope = await self.mounted.app(), await self.scope("websocket", make=False)
        with users.acting(self.actor()):
            self.join(app, scope)

    @property
    def max_message_size(self) -> int:
        """Bytes of one message."""
        return MAX_FRAME


class LettaPanel(_Socket):
    """Answers JupyterLab's panel."""

    _comm: SocketComm | None = None

    async def open(self, *args: Any, **kwargs: Any) -> None:
        """Take up the panel."""
        super().open()
        home = await self.home()
        panels = await asyncio.to_thread(self.mounted.panels, home)
        from letta_kernel.server.panel import SocketComm  # heavy; it is there by now

        self._comm = SocketComm(self._write)
        await asyncio.to_thread(panels.connections.add, self._comm)

    def _write(self, text: str) -> None:
        with contextlib.suppress(WebSocketClosedError):
            self.write_message(text)

    async def on_message(self, message: str | bytes) -> None:
        """Note what the panel says; threads answer."""
        if self._comm is not None:
            self._comm.receive(message)

    def on_close(self) -> None:
        """Forget the panel."""
        super().on_close()
        if self._comm is not None:
            self._comm.close()

    @property
    def max_message_size(self) -> int:
        """Bytes of one message, which may be an agent file."""
        return MAX_FILE


class LettaExtension(ExtensionApp):
    """Serves the project's agents at ``/letta/``."""

    name = "letta_kernel"
    extension_url = "/letta/v1/health"

    home = Unicode(
        "", config=True, help="The project folder; else LETTA_HOME, else .letta in the root folder."
    )

    def initialize_handlers(self) -> None:
        """Add the handlers."""
        assert self.serverapp is not None
        root = Path(self.serverapp.root_dir).expanduser()
        chosen = (root / Path(self.home).expanduser()).resolve() if self.home else None
        hidden = bool(getattr(self.serverapp.contents_manager, "allow_hidden", False))
        dumpable(False)  # the keys of agents' models are in this process from now on
        self.mounted = Mounted(Projects(root, chosen, hidden=hidden))
        mount = url_path_join(self.serverapp.base_url, "letta")
        # JupyterLab's page is told that the panel finds somebody there.
        page = self.serverapp.web_app.settings.setdefault("page_config_data", {})
        page["lettaKernelServed"] = "true"
        given = {"mounted": self.mounted, "mount": mount}
        self.handlers.extend(
            [
                (r"/letta/(v1/agents/[^/]+/ws)/?", LettaSocket, given),
                (r"/letta/panel", LettaPanel, given),
                (r"/letta/(.*)", LettaHandler, given),
            ]
        )

    async def stop_extension(self) -> None:
        """End what goes on when the server stops."""
        await self.mounted.close()


def _without(query: bytes, *names: bytes) -> bytes:
    """Leave out of a query what is not for the application."""
    return b"&".join(part for part in query.split(b"&") if part.partition(b"=")[0] not in names)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "letta_kernel.server.jupyter", "app": LettaExtension}]
