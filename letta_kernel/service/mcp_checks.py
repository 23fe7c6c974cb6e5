"""What an MCP server may be, so that it can work and no secret is stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from letta_kernel.errors import InvalidInputError
from letta_kernel.records import OWN_SECRET, McpServer
from letta_kernel.remedies import Do, remedy
from letta_kernel.tools.mcp_connection import REFERENCE
from letta_kernel.tools.mcp_files import is_secret_name

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_QUERY = re.compile(r"[?&]([\w.-]+)=([^&#]+)")
_PASSWORD = re.compile(r"://[^/@\s:]*+:[^/@\s]++@")


def check_server(server: McpServer) -> None:
    """Refuse a server that cannot work, or with which a secret would be stored.

    Raises
    ------
    InvalidInputError
        One line that says how to mend it.
    """
    if not _NAME.fullmatch(server.name):
        raise InvalidInputError(
            f"An MCP server's name has at most 40 letters, digits, _ and -, and begins with a letter, "
            f"not {server.name!r}."
        )
    if bool(server.command) == bool(server.url):
        raise InvalidInputError("An MCP server has either a command or a URL.")
    if server.url:
        _check_url(server)
    elif not server.command[0].strip():
        raise InvalidInputError("The command of an MCP server cannot be empty.")
    for name, text in server.variables.items():
        if not _VARIABLE.fullmatch(name):
            raise InvalidInputError(f"{name!r} cannot be the name of an environment variable.")
        if _is_secret(name, text):
            raise InvalidInputError(
                f"{name} would be stored as it is written.",
                remedy(Do.REFER_IN_ENVIRONMENT, name),
            )
    for before, part in zip(["", *server.command], server.command, strict=False):
        option, equals, value = part.partition("=") if part.startswith("-") else (before, "", part)
        given = option != "--key" and (
            equals or before[:1] == "-" != part[:1]
        )  # that one names a file
        if (given and _is_secret(option, value)) or _is_secret("", part):
            raise InvalidInputError(
                "A password in the command would be stored: write ${NAME} for an environment variable."
            )
    for limit in (server.time_limit, server.start_limit, server.return_limit):
        if not limit > 0:
            raise InvalidInputError(f"A limit is a number above 0, not {limit}.")


def _check_url(server: McpServer) -> None:
    if (
        not re.match(r"https?://[^\s/]", server.url)
        or re.search(r"\s", server.url)
        or not _splits(server.url)
    ):
        raise InvalidInputError(f"{server.url!r} is no URL of an MCP server (http:// or https://).")
    if _is_secret("", server.url) or any(_is_secret(*pair) for pair in _QUERY.findall(server.url)):
        raise InvalidInputError(
            "A password in the URL would be stored.", remedy(Do.REFER_IN_HEADER, "Authorization")
        )
    if server.variables:
        raise InvalidInputError(
            "Environment variables are for a server with a command; one with a URL takes headers."
        )
    for name, text in server.headers.items():
        if not _HEADER.fullmatch(name) or not text.isprintable() or not text.isascii():
            raise InvalidInputError(f"{name!r} is no header that can be sent.")
        if _is_secret(name, text):
            raise InvalidInputError(
                f"The header {name} would be stored as it is written.",
                remedy(Do.REFER_IN_HEADER, name),
            )


def _splits(url: str) -> bool:
    """Return whether a URL has a host and, if any, a port that can be."""
    try:
        parts = urlsplit(REFERENCE.sub("1", url))
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def with_own_secrets(
    given: Mapping[str, str], known: Mapping[str, str], always: Collection[str] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """Return headers or variables with references in place of secrets, and these secrets by their names.

    Parameters
    ----------
    known : the secrets that the record has already; those that are still referred to stay.
    always : names of what is a secret whatever it looks like.
    """
    shown: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for name, text in given.items():
        refers = [one for one in REFERENCE.findall(text) if one in known]
        secrets |= {one: known[one] for one in refers}
        bare = REFERENCE.sub("", text) == text
        if bare and text and (name in always or _is_secret(name, text)):
            variable = OWN_SECRET + re.sub(r"\W", "_", name).upper()
            secrets[variable], text = text, f"${{{variable}}}"
        shown[name] = text
    return shown, secrets


def _is_secret(name: str, text: str) -> bool:
    """Return whether *text* under *name* is a secret, or holds one."""
    bare = REFERENCE.sub("", text)
    if is_secret_name(name) and bare == text and text:
        return True
    return _PASSWORD.search(bare) is not None
