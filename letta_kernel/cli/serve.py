"""``letta-kernel serve``: the REST and WebSocket server."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from urllib.parse import urlsplit

import typer

from letta_kernel.cli import output
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.commands.program import PORT
from letta_kernel.errors import InvalidInputError, StoreError

_TRIES = 50  # ports after the first, where none was asked for
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


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
    if no_token and token:
        raise typer.BadParameter("--token and --no-token exclude each other.")
    if no_token and host not in _LOOPBACK:
        raise InvalidInputError(f"Without a token only this machine is served, not {host}.")
    if token is not None and (len(token) < 8 or not token.isascii() or not token.isprintable()):
        raise InvalidInputError("A token has at least 8 printable ASCII characters.")
    allowed = [_origin(one) for one in origins]
    secret = None if no_token else token or secrets.token_urlsafe(24)
    with _listener(host, port) as listener:
        _say(session, host, listener.getsockname()[1], secret, shown=token is None)
        _run(session, listener, secret, allowed)


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


def _run(
    session: TerminalDoor, listener: socket.socket, token: str | None, origins: list[str]
) -> None:
    import uvicorn

    from letta_kernel.server.app import create_app
    from letta_kernel.server.listen import config_of

    app = create_app(session.service, token=token, origins=origins)
    uvicorn.Server(config_of(app)).run(sockets=[listener])


def _say(session: TerminalDoor, host: str, port: int, token: str | None, *, shown: bool) -> None:
    name = f"[{host}]" if ":" in host else host
    url = f"http://{'127.0.0.1' if host == '0.0.0.0' else name}:{port}"
    if session.json:
        output.put_json_line({"url": url, "token": token, "home": session.home, "pid": os.getpid()})
        return
    output.put(f"letta-kernel serves {session.home}\n\n    {url}")
    if token is None:
        output.put("    no token: any program on this machine may use it")
    elif shown:
        output.put(f"    token: {token}")
    key = "" if token is None else f', api_key="{token if shown else "…"}"'
    output.put(f'\nPython:  Letta(base_url="{url}"{key})\nCtrl-C ends it.', style="dim")
    sys.stdout.flush()


def _listener(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = range(PORT, PORT + _TRIES) if port is None else [port]
    problem: OSError | None = None
    for number in ports:
        try:
            return socket.create_server((host, number), family=family, backlog=2048)
        except OSError as error:
            problem = error
    asked = f"{host}:{port}" if port is not None else f"{host}, ports {PORT} to {ports[-1]}"
    said = problem.strerror if problem and problem.strerror else problem
    raise StoreError(f"Nothing can listen at {asked} ({said}): choose another --port or --host.")
