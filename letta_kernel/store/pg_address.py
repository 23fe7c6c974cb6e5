"""Where a project is in PostgreSQL: what ``LETTA_STORE`` says, which never shows its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import digest

_SCHEMES = ("postgresql://", "postgres://")
_NAME = re.compile(r"(?!pg_)(?!information_schema$)[^\W\d][\w.@ -]{0,62}")
EXAMPLE = "postgresql://USER@HOST/DATABASE?project=NAME"
FOLDER = "{folder}"
"""Stands for a name made of the project folder's, so that each folder is a project of its own."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server, a database in it, and a project in that.

    Attributes
    ----------
    conninfo : what libpq is given; it may hold a password, so it is not shown.
    project : the schema; empty for one named as the role is.
    place : host, port and database as a person may read them.
    pooled : a pooler between may give each transaction another connection: nothing is kept on one.
    """

    conninfo: str = field(repr=False)
    project: str
    place: str
    pooled: bool = False

    @property
    def role(self) -> str:
        """The role that connections act as from their start; empty where it is the one that logs in."""
        found = re.search(
            r"-c\s*role=(\S+)", str(conninfo_to_dict(self.conninfo).get("options", ""))
        )
        return found[1] if found else ""

    @property
    def shown(self) -> str:
        """The address as it may be shown and typed again: without a password."""
        parts = urlsplit(self.conninfo)
        user, at, host = parts.netloc.rpartition("@")
        options = [one for one in parse_qsl(parts.query, True) if "password" not in one[0]]
        if self.project:
            options.append(("project", self.project))
        query = urlencode(options, quote_via=quote, safe="/")
        return urlunsplit(("postgresql", user.partition(":")[0] + at + host, parts.path, query, ""))

    def __str__(self) -> str:
        return f"{self.place}, project {self.project!r}" if self.project else self.place


def address(url: str, home: Path) -> Address:
    """Return what *url* says for the project folder *home*.

    Raises
    ------
    InvalidInputError
        It makes no sense; the text does not repeat it, for its password.
    """
    base, _, query = url.strip().partition("?")
    if not base.startswith(_SCHEMES):
        raise InvalidInputError(
            f"LETTA_STORE must be as {EXAMPLE}, or empty for a file.", page="postgresql"
        )
    options = parse_qsl(query, keep_blank_values=True)
    project = next((value for key, value in reversed(options) if key == "project"), "")
    project = project.replace(FOLDER, _of_folder(home))
    if project and not (_NAME.fullmatch(project) and len(project.encode()) <= 63):
        raise InvalidInputError(
            f"In LETTA_STORE the project cannot be called {project!r:.80}: take letters, digits, _ and -.",
            page="postgresql",
        )
    left = [one for one in options if one[0] not in ("project", "pooler")]
    poolers = [value for key, value in options if key == "pooler"]
    if any(one != "transaction" for one in poolers):
        raise InvalidInputError(
            "In LETTA_STORE pooler can be transaction, or be left out.", page="postgresql"
        )
    conninfo = base + ("?" + urlencode(left, quote_via=quote) if left else "")
    try:
        known = conninfo_to_dict(conninfo)
    except (psycopg.Error, UnicodeError, ValueError):
        known = None
    if known is None:  # here, and not above: what libpq says may repeat the password
        raise InvalidInputError(
            f"LETTA_STORE cannot be read as {EXAMPLE}: percent-encode what is special in its parts,"
            " and name only options that libpq knows.",
            page="postgresql",
        )
    host = str(known.get("host") or known.get("hostaddr") or "this machine")
    port = f":{known['port']}" if known.get("port") else ""
    database = str(known.get("dbname") or known.get("user") or "")
    return Address(conninfo, project, f"PostgreSQL at {host}{port}/{database}", bool(poolers))


def _of_folder(home: Path) -> str:
    """Return a name for the project of a folder: the name of its notebooks', and a hash of where it is."""
    name = home.parent.name if home.name.startswith(".") else home.name
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:32] or "project"
    return (
        f"{plain}_{digest(str(home), 10)}"
        if plain[0].isalpha()
        else f"p_{plain}_{digest(str(home), 10)}"
    )
