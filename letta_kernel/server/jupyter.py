"""The REST API and the WebSocket inside a Jupyter server, at ``/letta/``, under its authentication.

Nothing new listens anywhere: the Jupyter server's token, login, XSRF checks, origins and authoriser decide who
comes in (resource ``letta``: ``read`` for GET, ``write`` for the rest, ``execute`` for WebSockets)::

    Letta(base_url="http://127.0.0.1:8888/letta", api_key=TOKEN_OF_THE_JUPYTER_SERVER)

The agents are those of ``LETTA_HOME``, else of ``.letta`` in the server's root folder. Tools of notebooks run
from their stored source, in the sandbox. Nothing heavy is imported until the first request.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from tornado import web
from traitlets import Unicode

from letta_kernel import project, settings
from letta_kernel.server.bridge import METHODS, HttpBridge, SocketBridge, scope_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from letta_kernel.service import AgentService

RESOURCE = "letta"
MAX_FRAME = 4_200_000  # bytes, as in letta_kernel.server.routes.websocket, which is heavy to import


class Mounted:
    """The application, made when it is first asked for.

    Parameters
    ----------
    home : the project folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.token = secrets.token_urlsafe(24)  # between the handlers here and the application
        self._app: FastAPI | None = None
        self._service: AgentService | None = None
        self._life: AbstractAsyncContextManager[Any] | None = None
        self._lock = asyncio.Lock()

    async def app(self) -> FastAPI:
        """Return the application, running."""
        async with self._lock:
            if self._app is None:
                app = await asyncio.to_thread(self._make)
                self._life = app.router.lifespan_context(app)
                await self._life.__aenter__()
                self._app = app
        return self._app

    async def close(self) -> None:
        """End the runs and let go of the project."""
        async with self._lock:
            if self._life is not None:
                await self._life.__aexit__(None, None, None)
            if self._service is not None:
                await asyncio.to_thread(self._service.close)
            self._app = self._life = self._service = None

    def _make(self) -> FastAPI:
        from letta_kernel.server.app import create_app
        from letta_kernel.service import AgentService

        self._service = AgentService(self.home)
        return create_app(self._service, token=self.token)


class _Letta(JupyterHandler):
    """What both handlers know."""

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


class LettaHandler(_Letta, HttpBridge, APIHandler):
    """Passes requests on."""

    SUPPORTED_METHODS = (*METHODS, "OPTIONS")

    async def _serve(self, path: str = "") -> None:
        await self.check("read" if self.request.method in ("GET", "HEAD") else "write")
        app = await self.mounted.app()
        scope = scope_of(self.request, "http", self.mount, self.mounted.token)
        try:
            await self.answer_with(app, scope)
        except Exception:
            if not self._headers_written:
                raise
            self.log.exception("letta: %s %s failed", self.request.method, self.request.path)

    get = head = post = put = patch = delete = web.authenticated(_serve)


class LettaSocket(WebSocketMixin, SocketBridge, _Letta):
    """Passes WebSockets on."""

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Make the connection, for those who may."""
        await self.check("execute")
        await super().get()

    async def open(self, *args: Any, **kwargs: Any) -> None:
        """Join the connection with the application."""
        super().open()
        app = await self.mounted.app()
        scope = scope_of(self.request, "websocket", self.mount, self.mounted.token)
        self.join(app, {**scope, "query_string": _without_token(scope["query_string"])})

    @property
    def max_message_size(self) -> int:
        """Bytes of one message."""
        return MAX_FRAME


class LettaExtension(ExtensionApp):
    """Serves the project's agents at ``/letta/``."""

    name = "letta_kernel"
    extension_url = "/letta/v1/health"

    home = Unicode(
        "", config=True, help="The project folder; else LETTA_HOME, else .letta in the root folder."
    )

    def initialize_handlers(self) -> None:
        """Add the handlers."""
        chosen = self.home or settings.HOME()
        assert self.serverapp is not None
        root = Path(self.serverapp.root_dir).expanduser()
        self.mounted = Mounted((root / (chosen or project.FOLDER)).expanduser().resolve())
        mount = url_path_join(self.serverapp.base_url, "letta")
        given = {"mounted": self.mounted, "mount": mount}
        self.handlers.extend(
            [
                (r"/letta/(v1/agents/[^/]+/ws)/?", LettaSocket, given),
                (r"/letta/(.*)", LettaHandler, given),
            ]
        )

    async def stop_extension(self) -> None:
        """End what goes on when the server stops."""
        await self.mounted.close()


def _without_token(query: bytes) -> bytes:
    """Leave the Jupyter server's token out of what the application sees."""
    return b"&".join(part for part in query.split(b"&") if not part.startswith(b"token="))


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "letta_kernel.server.jupyter", "app": LettaExtension}]
