"""``letta-kernel serve``: the REST and WebSocket server."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from letta_kernel.cli import output
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.errors import InvalidInputError
from letta_kernel.server.address import LOOPBACK, checked_token, listener, url_of

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp


def serve(
    session: TerminalDoor,
    *,
    host: str,
    port: int | None,
    token: str | None,
    no_token: bool,
    origins: list[str],
) -> None:
    """Listen, say where and with which token, and serve until Ctrl-C."""
    if no_token and host not in LOOPBACK:
        raise InvalidInputError(f"Without a token only this machine is served, not {host}.")
    secret = token_of(token, no_token)
    allowed = [_origin(one) for one in origins]
    with listener(host, port) as listening:
        url = url_of(host, listening)
        shown = token is None
        key = "" if secret is None else f', api_key="{secret if shown else "…"}"'
        say(session, url, secret, shown, f'Python:  Letta(base_url="{url}"{key})')

        from letta_kernel.server.app import create_app

        run(create_app(session.service, token=secret, origins=allowed), listening)


def token_of(token: str | None, no_token: bool) -> str | None:
    """Return what clients must send, None for nothing.

    Raises
    ------
    BadParameter
        Both are given.
    InvalidInputError
        It can be no token.
    """
    if no_token and token:
        raise typer.BadParameter("--token and --no-token exclude each other.")
    return None if no_token else checked_token(token)


def say(session: TerminalDoor, url: str, token: str | None, shown: bool, use: str) -> None:
    """Print where is listened, and the token if it was *shown* nowhere else; for a program in JSON."""
    if session.json:
        output.put_json_line({"url": url, "token": token, "home": session.home, "pid": os.getpid()})
        return
    output.put(f"letta-kernel serves {session.home}\n\n    {url}")
    if token is None:
        output.put("    no token: any program on this machine may use it")
    elif shown:
        output.put(f"    token: {token}")
    output.put(f"\n{use}\nCtrl-C ends it.", style="dim")
    sys.stdout.flush()


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve *app* until Ctrl-C."""
    import uvicorn

    from letta_kernel.server.listen import config_of

    uvicorn.Server(config_of(app)).run(sockets=[listening])


def _origin(given: str) -> str:
    """Return an origin as browsers send it: one written otherwise would never match."""
    parts = urlsplit(given)
    bare = f"{parts.scheme}://{parts.netloc}".lower()
    if given != "*" and (
        parts.scheme not in ("http", "https") or given.lower() not in (bare, f"{bare}/")
    ):
        raise InvalidInputError(
            f"{given!r} is no origin of web pages: write it as https://example.org or "
            "http://localhost:3000."
        )
    return given if given == "*" else bare
