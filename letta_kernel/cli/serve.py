"""``letta-kernel serve``: the REST and WebSocket server."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from letta_kernel import private, settings
from letta_kernel.cli import output
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.hooks import users_code
from letta_kernel.server.address import LOOPBACK, checked_token, listener, outer_of, url_of

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

    from letta_kernel.server.hub import HubService, HubTokens
    from letta_kernel.server.people import PeopleDirectory


def serve(
    session: TerminalDoor,
    *,
    host: str,
    port: int | None,
    token_file: str | None,
    no_token: bool,
    origins: list[str],
    hub: bool = False,
    people: str | None = None,
) -> None:
    """Listen, say where and with which token, and serve until Ctrl-C."""
    service, users = _of_hub(no_token) if hub else (None, None)
    if service is not None:
        host, port = service.host, service.port
    people = people or settings.PEOPLE() or None
    if no_token and host not in LOOPBACK:
        raise InvalidInputError(f"Without a token only this machine is served, not {host}.")
    given, secret = token_of(token_file, no_token)
    logged = begin_log(given, no_token)
    allowed = [_origin(one) for one in origins]
    directory = None
    if people is not None:
        if no_token:
            raise InvalidInputError("Persons are told apart by their tokens: not with --no-token.")
        directory = _directory(people, make=hub)
    elif session.has_project:
        session.service.agents.list()  # one that does not open is said here, and not to each client
        session.service.sleeptime.resume()
    with listener(host, port) as listening:
        url = url_of(host, listening)
        key = "" if secret is None else f', api_key="{"…" if given else secret}"'
        if service is not None:
            output.put(f"letta-kernel serves users of the hub at {url}{service.prefix}/")
        elif not logged:
            use = f'Python:  Letta(base_url="{url}"{key})'
            if directory is not None:
                use = f'Python:  Letta(base_url="{url}", api_key="the person\'s token")'
            what = directory.where if directory is not None else ""
            say(session, url, secret, not given, use, what)

        from letta_kernel.server.app import create_app

        prefix = service.prefix if service is not None else ""
        app = create_app(
            session.service if directory is None else None,
            token=secret,
            origins=allowed,
            prefix=prefix,
            hub=users,
            directory=directory,
            address=outer_of(host, listening),
        )
        run(app, listening)


def _of_hub(no_token: bool) -> tuple[HubService, HubTokens]:
    """Return how a JupyterHub runs this process, and who tells whose its tokens are."""
    from letta_kernel.server.hub import HubTokens, of_environment

    if no_token:
        raise typer.BadParameter("--hub and --no-token exclude each other.")
    service = of_environment()
    return service, HubTokens(service.api, service.access)


def _directory(people: str, make: bool) -> PeopleDirectory:
    """Return the persons there; a hub enters them later, so that *make* makes the registry."""
    from letta_kernel.server.people import PeopleDirectory
    from letta_kernel.service.homes import homes

    found = homes(people)
    if not found.exists() and not make:
        raise NotFoundError(f"Nobody is entered in {found.where}: letta-kernel people add NAME.")
    return PeopleDirectory(found)


def token_of(file: str | None, no_token: bool) -> tuple[bool, str | None]:
    """Return whether it was given what clients must send, and what that is, None for nothing.

    It is never a word of the command: every user of the machine can read those.

    Raises
    ------
    BadParameter
        Both are given.
    InvalidInputError
        The file cannot be read, others can read it, or it holds no token.
    """
    if no_token:
        if file is not None:
            raise typer.BadParameter("--token-file and --no-token exclude each other.")
        return False, None
    token = _read(Path(file).expanduser()) if file is not None else settings.SERVER_TOKEN() or None
    return token is not None, checked_token(token)


def begin_log(given: bool, no_token: bool) -> bool:
    """Log as ``LETTA_LOG`` says; return whether it asks for a log: then nothing is said beside it.

    Raises
    ------
    InvalidInputError
        A log is asked for and no token is *given*: a new one could not be told, as logs are read by others.
    """
    from letta_kernel.server import logs

    if settings.LOG() and not given and not no_token:
        raise InvalidInputError(
            "LETTA_LOG is set, and logs are no place for a new token: give one with --token-file or "
            "LETTA_SERVER_TOKEN."
        )
    return logs.begin()


def _read(file: Path) -> str:
    try:
        if private.is_open(file):
            if _is_mounted(file):
                output.put(
                    f"Other users of this machine can read {file}, which only whoever put it there can change.",
                    stderr=True,
                )
            else:
                raise InvalidInputError(
                    f"Other users can read {file}: put a new token into it, and chmod 600 "
                    f"{shlex.quote(str(file))}, or set LETTA_SERVER_TOKEN instead."
                )
        settings.note_secret_file(file)
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidInputError(f"{file} cannot be read: {why}.") from None


def _is_mounted(file: Path) -> bool:
    """Whether nobody is to write the file, as it is with the secrets that Docker and Kubernetes hand over."""
    return not file.stat().st_mode & 0o222 or not os.access(file, os.W_OK)


def say(
    session: TerminalDoor, url: str, token: str | None, shown: bool, use: str, what: str = ""
) -> None:
    """Print where is listened, and the token if it was *shown* nowhere else; for a program in JSON."""
    if session.json:
        output.put_json_line(
            {"url": url, "token": token, "home": what or session.home, "pid": os.getpid()}
        )
        return
    output.put(f"letta-kernel serves {what or session.where}\n\n    {url}")
    if token is None:
        output.put("    no token: any program on this machine may use it")
    elif shown:
        output.put(f"    token: {token}")
    output.put(f"\n{use}\nCtrl-C ends it.", style="dim")
    sys.stdout.flush()


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve *app* until Ctrl-C, closed to debuggers and other processes of the user: it has keys in it."""
    from letta_kernel import lazy_import
    from letta_kernel.server.listen import Server, config_of
    from letta_kernel.server.unauthenticated import more_descriptors
    from letta_kernel.tools.sandbox_walls import dumpable

    more_descriptors()
    lazy_import.freeze()  # with all that the server has imported
    dumpable(False)
    users_code.told_apart()
    if hasattr(signal, "SIGTSTP"):
        signal.signal(signal.SIGTSTP, _stopped)
    from letta_kernel.server import logs

    # Where there is a log, uvicorn has no handlers of its own beside it.
    options = {"log_config": None} if logs.begun() else {}
    logs.event("server started", port=listening.getsockname()[1], pid=os.getpid())
    readiness = getattr(getattr(app, "state", None), "readiness", None)
    drain = readiness.drain if readiness is not None else None
    Server(config_of(app, **options), drain).run(sockets=[listening])


def _stopped(number: int, frame: FrameType | None) -> None:
    """Stop, as Ctrl-Z asks for, but let go of the store before."""
    users_code.let_go()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.signal(number, _stopped)


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
