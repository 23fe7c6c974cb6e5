"""Files in which other programs keep their MCP servers, read as servers of ours.

``mcpServers`` (Claude Desktop, Cursor and most others), ``servers`` (VS Code, also under ``mcp``) and
``context_servers`` (Zed): a command with ``args``, ``env`` and ``cwd``, or a URL with ``headers``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError
from letta_kernel.records import McpServer

LARGEST = 1_000_000
"""Bytes of such a file at most."""
SECRETS = frozenset(
    {
        *("key", "apikey", "token", "secret", "password", "passwd", "passphrase", "pat"),
        *("credential", "credentials", "authorization", "cookie"),
    }
)
"""The last word of a name whose value is a secret: API_KEY, X-Api-Key, GITHUB_TOKEN, Authorization."""

_KEYS = ("mcpServers", "servers", "context_servers")
_URLS = ("url", "httpUrl", "serverUrl")
_KINDS = ("stdio", "http", "streamable-http", "streamableHttp", "streamable_http", "sse")
# What keys of well-known services look like, whatever they are called.
_KEY = re.compile(
    r"\b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abposr]-[\w-]{10,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|hf_\w{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)
_REFERENCE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")
_INPUT = re.compile(r"\$\{input:([^}]+)\}")
# What never ends goes on to the end: looked for from each beginning again it would take time by the square.
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*+"?)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_COMMA = re.compile(r'("(?:\\.|[^"\\])*+"?)|,(?=\s*[}\]])', re.DOTALL)
_QUERY = re.compile(r"([?&])([\w.-]+)=([^&#]+)")
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)@")


@dataclass(slots=True)
class Entry:
    """A server of such a file, or why it is none; ``secrets`` name the variables that are to be set."""

    name: str
    server: McpServer | None = None
    problem: str = ""
    secrets: list[str] = field(default_factory=list)


def read(path: Path, project: Path) -> list[Entry]:
    """Return the servers of the file *path*, each for itself: a broken one does not lose the others.

    Secrets that stand in the file are replaced by references to environment variables.

    Parameters
    ----------
    project : what ``${workspaceFolder}`` stands for.

    Raises
    ------
    InvalidInputError
        The file is not there, or holds no servers.
    """
    entries = _entries(_loaded(path), path)
    taken: dict[str, str] = {}
    found = []
    for given, values in entries.items():
        name = _usable(given)
        try:
            if name in taken:
                raise InvalidInputError(f"it is called {name} here, as {taken[name]!r} is")
            found.append(_Reader(name, path.parent, project).read(values))
            taken[name] = given
        except InvalidInputError as error:
            found.append(Entry(given, problem=str(error).rstrip(".")))
    return found


def _loaded(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidInputError(f"{path} is too large for a file of MCP servers.")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is no text.") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:  # as VS Code and Zed take it: with comments and commas at the end
        plain = _COMMENT.sub(lambda found: found[1] or " ", text)
        return json.loads(_COMMA.sub(lambda found: found[1] or "", plain))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is no JSON: {str(error)[:200]}.") from None


def _entries(data: Any, path: Path) -> dict[str, Any]:
    for holder in (data, data.get("mcp") if isinstance(data, dict) else None):
        for key in _KEYS:
            if isinstance(holder, dict) and isinstance(holder.get(key), dict):
                found: dict[str, Any] = holder[key]
                return found
    raise InvalidInputError(f'{path} names no MCP servers: {{"mcpServers": {{"name": …}}}}.')


def _usable(name: str) -> str:
    """Return the name a server of that name has here."""
    bare = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    return (bare if bare[:1].isalpha() else f"mcp-{bare}".rstrip("-"))[:40]


class _Reader:
    """Reads one server; what is secret in it becomes a reference."""

    def __init__(self, name: str, beside: Path, project: Path) -> None:
        self.name = name
        self.prefix = re.sub(r"\W", "_", name).upper()
        self.secrets: list[str] = []
        self.beside = beside
        self.places = {
            "${workspaceFolder}": str(project),
            "${userHome}": str(Path.home()),
            "${pathSeparator}": os.sep,
            "${/}": os.sep,
        }

    def read(self, values: Any) -> Entry:
        if not isinstance(values, dict):
            raise InvalidInputError("it is no object with a command or a url")
        if values.get("disabled") is True or values.get("enabled") is False:
            raise InvalidInputError("it is switched off there")
        kind = values.get("type", values.get("transport"))
        if kind is not None and kind not in _KINDS:
            raise InvalidInputError(f"its type {kind!r} is none of {', '.join(_KINDS)}")
        url = next((values[key] for key in _URLS if values.get(key)), None)
        command = values.get("command")
        if isinstance(command, dict):  # Zed's older form
            values = {**values, **command}
            command = command.get("path")
        if (url is None) == (command is None) or (url is not None and kind == "stdio"):
            raise InvalidInputError("it needs either a command or a url")
        made = McpServer(name=self.name)
        if url is not None:
            made.url = self.address(_text(url, "url"))
            made.sse = kind == "sse"
            headers = _texts(values.get("headers") or {}, "headers")
            made.headers = {key: self.value(key, text, "header") for key, text in headers.items()}
        else:
            args = values.get("args") or []
            if not isinstance(args, list):
                raise InvalidInputError("its args are no list")
            made.command = [self.plain(_text(command, "command")), *self.arguments(args)]
            variables = _texts(values.get("env") or {}, "env")
            made.environment = {
                key: self.value(key, text, "env") for key, text in variables.items()
            }
            if values.get("cwd"):
                folder = Path(self.plain(_text(values["cwd"], "cwd"))).expanduser()
                made.folder = str(self.beside / folder)
        return Entry(self.name, made, secrets=list(dict.fromkeys(self.secrets)))

    def plain(self, text: str, *, secret: bool = False) -> str:
        """Return *text* with references as ours are; what is *secret* has no default."""
        for place, path in self.places.items():
            text = text.replace(place, path)
        text = _INPUT.sub(lambda found: self.reference(_variable(found[1])), text)

        def ours(found: re.Match[str]) -> str:
            name, otherwise = found[1], found[2]
            if otherwise is not None and name not in os.environ and not secret:
                return otherwise
            return self.reference(name)

        return _REFERENCE.sub(ours, text)

    def reference(self, name: str) -> str:
        self.secrets.append(name)
        return f"${{{name}}}"

    def value(self, name: str, text: str, kind: str) -> str:
        """Return the value of a variable or header, or what stands for it."""
        made = self.plain(text, secret=is_secret_name(name))
        if "${" in made:
            return self.hidden(made)
        own = name if kind == "env" and name.isidentifier() and name.isascii() else self.named(name)
        if is_secret_name(name):
            scheme, blank, _ = text.partition(" ")
            bearer = kind == "header" and blank and scheme.isalpha()
            return (
                f"{scheme} {self.reference(own)}" if bearer else self.reference(own) if text else ""
            )
        return self.hidden(made, own)

    def hidden(self, text: str, name: str = "") -> str:
        """Return *text* with references for passwords in addresses and what looks like a key."""
        own = name or self.named("token")
        text = _PASSWORD.sub(lambda found: f"{found[1]}:{self.reference(own)}@", text)
        return _KEY.sub(lambda found: self.reference(own), text)

    def named(self, name: str) -> str:
        last = _variable(name)
        return f"{self.prefix}_{'TOKEN' if last == 'AUTHORIZATION' else last}"

    def address(self, url: str) -> str:
        def part(found: re.Match[str]) -> str:
            mark, name, text = found[1], found[2], found[3]
            secret = is_secret_name(name) and "${" not in text
            return f"{mark}{name}={self.reference(self.named(name)) if secret else text}"

        return self.hidden(_QUERY.sub(part, self.plain(url)))

    def arguments(self, args: list[Any]) -> list[str]:
        """Return a command's arguments: ``--api-key TEXT`` and ``--token=TEXT`` hold secrets."""
        made: list[str] = []
        before = ""
        for given in args:
            text = self.plain(given if isinstance(given, str) else json.dumps(given))
            option, equals, value = text.partition("=")
            if before and is_secret_name(before) and "${" not in text:
                text = self.reference(self.named(before))
            elif equals and option.startswith("-") and is_secret_name(option) and "${" not in value:
                text = f"{option}={self.reference(self.named(option))}"
            made.append(self.hidden(text))
            before = text if text.startswith("-") and not equals else ""
        return made


def is_secret_name(name: str) -> bool:
    """Return whether what is called so is a secret."""
    words = re.split(
        r"[^A-Za-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_-")
    )
    return words[-1] in SECRETS


def _variable(name: str) -> str:
    made = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()
    return made if made and not made[0].isdigit() else f"MCP_{made}"


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"its {name} is no text")
    return value


def _texts(values: Any, name: str) -> Mapping[str, str]:
    if not isinstance(values, dict) or any(isinstance(v, dict | list) for v in values.values()):
        raise InvalidInputError(f"its {name} is no object of texts")
    return {
        str(key): value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }
