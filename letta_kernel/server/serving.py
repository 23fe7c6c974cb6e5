"""``%agent serve``: the project's agents over HTTP, from the kernel that holds its store."""

from __future__ import annotations

import atexit
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from letta_kernel import lazy_import, private, settings
from letta_kernel.errors import StoreError
from letta_kernel.server import address
from letta_kernel.tools.execute import ToolHost

if TYPE_CHECKING:
    from letta_kernel.server.embedded import EmbeddedServer
    from letta_kernel.service import AgentService

TOKEN_FILE = "server-token"
"""In the project folder; only its owner can read it."""

_HOST = "127.0.0.1"
_LONGEST = 1000  # characters of a token


class Served(Protocol):
    """What is served of a notebook."""

    def host_of(self, agent_id: str) -> ToolHost:
        """Return where the functions behind an agent's tools are found."""

    @property
    def service(self) -> AgentService:
        """The project's agents."""

    @property
    def home(self) -> Path:
        """The project folder."""


class Serving:
    """The server of one notebook; there is one at most."""

    def __init__(self, notebook: Served) -> None:
        self._notebook = notebook
        self._server: EmbeddedServer | None = None
        self._url = ""
        self._token: Path | None = None  # where it is; None: in the environment

    @property
    def url(self) -> str | None:
        """Where it serves; None: nowhere."""
        return self._url if self._server is not None and self._server.alive else None

    @property
    def token_file(self) -> Path | None:
        """Where the token is that clients need; None: in the environment."""
        return self._token

    def start(self, port: int | None) -> None:
        """Begin to serve at *port*, or at a free one.

        Raises
        ------
        StoreError
            Nothing can listen there, or the token cannot be kept.
        """
        # The one background thread that imports: the notebook's folder must not get in the way.
        embedded: Any = lazy_import.load("letta_kernel.server.embedded")
        service = self._notebook.service
        service.agents.list()  # or says why nothing can be served
        named = settings.SERVER_TOKEN()
        file = None if named else self._notebook.home / TOKEN_FILE
        token = address.checked_token(named or None)
        if file is not None:
            token = _kept(file, token)
        listening = address.listener(_HOST, port)
        server = embedded.EmbeddedServer(service, listening, token, self._notebook.host_of)
        try:
            server.wait()
        except BaseException:  # the stop button
            server.stop()
            raise
        self._server, self._url, self._token = server, address.url_of(_HOST, listening), file
        atexit.register(self.end)

    def end(self) -> None:
        """End it, if it serves."""
        server, self._server = self._server, None
        atexit.unregister(self.end)
        if server is not None:
            server.stop()


def _kept(file: Path, fresh: str) -> str:
    """Return the token of a project: the one on file, so that clients need no other, else *fresh* from now on.

    A file that others could have read counts for nothing; one that cannot be read may be good, and stays.
    """
    beside = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    try:
        with suppress(FileNotFoundError, ValueError):
            if os.name != "posix" or not file.stat().st_mode & 0o077:
                known = file.read_text("ascii").strip()
                if 8 <= len(known) <= _LONGEST and known.isprintable():
                    return known
        private.folder(file.parent)
        private.write(beside, fresh)
        beside.replace(file)
    except OSError as error:
        raise StoreError(f"The token cannot be kept in {file} ({error.strerror}).") from None
    return fresh
