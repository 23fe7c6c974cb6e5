"""A JupyterHub's users at a server of many people: whose a token of the hub is, as the hub's own API says.

The server is a *service* of the hub, at ``/services/NAME/``. The hub starts it and gives it, in the
environment, its address, its prefix, and the scopes of which a token needs one
(``access:services!service=NAME``).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from letta_kernel.errors import InvalidInputError, StoreBusyError
from letta_kernel.ids import now
from letta_kernel.records import AccessToken
from letta_kernel.service.tokens import digest_of

log = logging.getLogger("letta_kernel")

OF_HUB = "hub-"
"""How the id of every token begins that a hub has told of."""

TEACH = "custom:letta:teach"
"""The scope with which a token tells what every person uses; a hub has to define it."""

KNOWN_SECONDS = 30.0
"""For which a good token is not asked about again: one that is revoked holds so long at most."""

_REFUSED_SECONDS = 5.0  # for which a bad one is not
_ANSWER = 10.0  # seconds
_KEPT = 10_000  # tokens that are known, good and bad
_AT_ONCE = 20  # questions to the hub
_LONGEST = 500  # characters of a token


@dataclass(frozen=True, slots=True)
class HubService:
    """How a hub runs this server.

    Attributes
    ----------
    host, port : where to listen.
    prefix : the path before ``/v1``, without a slash at its end.
    api : the hub's API.
    access : a token needs one of these scopes.
    """

    host: str
    port: int
    prefix: str
    api: str
    access: frozenset[str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> HubService:
        """Return what the hub says in the environment.

        Raises
        ------
        InvalidInputError
            It says nothing, or too little; one line.
        """
        names = ("API_URL", "API_TOKEN", "SERVICE_PREFIX", "SERVICE_URL")
        told = {name: environment.get(f"JUPYTERHUB_{name}", "").strip() for name in names}
        missing = [f"JUPYTERHUB_{name}" for name, value in told.items() if not value]
        if missing:
            raise InvalidInputError(
                f"--hub is for a service that a JupyterHub starts ({', '.join(missing)} not set): see "
                "docs/how-to/hub.md."
            )
        where = urlsplit(told["SERVICE_URL"])
        if where.scheme != "http" or where.port is None or not where.hostname:
            raise InvalidInputError(
                "The service's url in the JupyterHub's configuration must be such as http://127.0.0.1:10101."
            )
        scopes: Any = None
        with suppress(ValueError):
            scopes = json.loads(environment.get("JUPYTERHUB_OAUTH_ACCESS_SCOPES") or "[]")
        name = environment.get("JUPYTERHUB_SERVICE_NAME", "").strip()
        if not isinstance(scopes, list) or not scopes:
            scopes = [f"access:services!service={name}"]
        return cls(
            where.hostname,
            where.port,
            told["SERVICE_PREFIX"].rstrip("/"),
            told["API_URL"].rstrip("/"),
            frozenset(map(str, scopes)),
        )


@dataclass(slots=True)
class _Known:
    """What the hub said of a token, and until when (`time.monotonic`) that counts."""

    token: AccessToken | None
    given: str
    until: float
    again: float = 0.0  # when those who are here are asked about again, while the hub is silent


class HubTokens:
    """Tells whose tokens of a hub are; used in one event loop.

    Parameters
    ----------
    api : the hub's API.
    access : a token needs one of these scopes.
    """

    def __init__(self, api: str, access: Collection[str]) -> None:
        self._api = api
        self._access = frozenset(access)
        self._known: OrderedDict[str, _Known] = OrderedDict()  # by digest
        self._asking: dict[str, asyncio.Task[_Known]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._client: httpx.AsyncClient | None = None

    async def who(self, given: str) -> AccessToken | None:
        """Return the token that *given* is, with its user; None for one that is none, or may not come here.

        Raises
        ------
        StoreBusyError
            The hub cannot be asked now.
        """
        if not given or len(given) > _LONGEST or not given.isascii() or not given.isprintable():
            return None
        digest = digest_of(given)
        known = self._known.get(digest)
        if known is None or known.until <= time.monotonic():
            known = await self._asked(digest, given)
        return known.token

    async def stands(self, token: AccessToken) -> bool:
        """Whether a token that was let in still is good; while the hub cannot be asked, it is."""
        known = self._known.get(token.digest)
        if known is None:
            return False
        if known.again > time.monotonic():
            return True
        try:
            return await self.who(known.given) is not None
        except StoreBusyError:
            known.again = time.monotonic() + _REFUSED_SECONDS
            return True

    async def _asked(self, digest: str, given: str) -> _Known:
        """Ask the hub, once for all who want to know."""
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._ask(digest, given))
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(task)

    async def _ask(self, digest: str, given: str) -> _Known:
        if self._client is None:
            # The hub is a neighbour: no proxy of the environment leads to it, and it redirects nowhere.
            self._client = httpx.AsyncClient(timeout=_ANSWER, trust_env=False)
        try:
            async with self._room:
                answer = await self._client.get(
                    f"{self._api}/user", headers={"Authorization": f"token {given}"}
                )
            told = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            log.warning("letta: the hub cannot be asked whose a token is: %s", type(error).__name__)
            raise _silent() from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise _silent()
        token = self._read(told, digest)
        seconds = KNOWN_SECONDS if token is not None else _REFUSED_SECONDS
        found = self._known[digest] = _Known(token, given, time.monotonic() + seconds)
        self._known.move_to_end(digest)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    def _read(self, told: Any, digest: str) -> AccessToken | None:
        """Return the token of a user's model; None for a service's, or one without the scope."""
        if not isinstance(told, dict) or told.get("kind") != "user":
            return None
        name, scopes = told.get("name"), told.get("scopes")
        if not isinstance(name, str) or not isinstance(scopes, list):
            return None
        if not self._access.intersection(scopes) and "access:services" not in scopes:
            return None
        return AccessToken(
            id=f"{OF_HUB}{name}",  # what goes on is counted for the user, whatever token they come with
            name=f"{name}, by the hub",
            digest=digest,
            rights="write",
            user=name,
            teach=TEACH in scopes,
            used_at=now(),  # it is no row: nothing is written down of its use
        )


def of_environment() -> HubService:
    """Return how the hub that has started this process runs it."""
    return HubService.of(os.environ)


def _silent() -> StoreBusyError:
    return StoreBusyError("The hub cannot be asked now who you are: try again later.")
