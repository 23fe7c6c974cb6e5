"""Where a server listens and what its clients must send: one set of rules for every door that starts one."""

from __future__ import annotations

import secrets
import socket

from letta_kernel.commands.program import PORT
from letta_kernel.errors import InvalidInputError, StoreError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that nobody else can reach it by."""

_TRIES = 50  # ports after the first, where none was asked for
_SHORTEST = 8  # characters of a token


def checked_token(token: str | None) -> str:
    """Return the *token* that clients must send; a new one for None.

    Raises
    ------
    InvalidInputError
        It is too short, or no header can carry it.
    """
    if token is None:
        return secrets.token_urlsafe(24)
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable():
        raise InvalidInputError(f"A token has at least {_SHORTEST} printable ASCII characters.")
    return token


def listener(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens at *port* (0: any free one; None: Letta's own, or the next free one).

    Raises
    ------
    StoreError
        Nothing can listen there; one line says why.
    """
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
    raise StoreError(
        f"Nothing can listen at {asked} ({said}): choose another --port or --host.",
        page="port-taken",
    )


def outer_of(host: str, listening: socket.socket) -> str:
    """Return the URL at which other machines reach what listens at *host*; empty where that is not known."""
    if host not in ("0.0.0.0", "::"):
        return url_of(host, listening)
    try:
        own = socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
    # Many systems call themselves by an address of their own that only they have.
    return "" if own.startswith("127.") else url_of(own, listening)


def url_of(host: str, listening: socket.socket) -> str:
    """Return the URL at which this machine reaches what listens at *host*."""
    name = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"
