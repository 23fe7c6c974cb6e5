"""A request or a socket of somebody with a token, for as long as it goes on, and how much goes on with each."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from letta_kernel import users
from letta_kernel.errors import NotFoundError
from letta_kernel.records import AccessToken, Grant, Rights
from letta_kernel.server.directory import Directory, Reach
from letta_kernel.server.errors import TokenBusyError
from letta_kernel.server.request_limits import TokenLimits
from letta_kernel.service.tokens import RIGHTS

Kind = Literal["requests", "streams", "sockets", "runs"]


class Shares:
    """What goes on with each token; used from any thread."""

    def __init__(self, limits: TokenLimits) -> None:
        self._limits = limits
        self._now: Counter[tuple[str, Kind]] = Counter()
        self._lock = threading.Lock()

    def take(self, token: AccessToken, kind: Kind) -> None:
        """Count one more; `TokenBusyError` if there are as many as may be."""
        with self._lock:
            most, key = getattr(self._limits, kind), (token.id, kind)
            if self._now[key] >= most:
                raise TokenBusyError(f"{most} {kind} go on with this token, as many as may.")
            self._now[key] += 1

    def give(self, token: AccessToken, kind: Kind) -> None:
        """Count one less."""
        with self._lock:
            self._now[token.id, kind] -= 1
            self._now += Counter()  # what is zero need not be remembered


class TokenUse:
    """A request or a socket of somebody whose token is a row, for as long as it goes on."""

    def __init__(self, token: AccessToken, shares: Shares, directory: Directory) -> None:
        self.token = token
        self.directory = directory
        self.actor = directory.token(token)
        self.ended = asyncio.Event()  # the token, or what was granted, is worth nothing any more
        self.why = "The token was revoked, or has expired."
        self.grant: Grant | None = None  # of the agent that this is about, if it is another's
        self.alias = ""  # what the guest calls that agent
        self.granted: list[tuple[str, Grant]] = []  # by owner: what this rests on
        self._shares = shares
        self._taken: list[Kind] = []
        self._kept: list[Callable[[], None]] = []

    def keep(self, project: Any) -> None:
        """Keep a project open for as long as this lasts."""
        self._kept.append(self.directory.keep(project))

    def narrowed(self, reach: Reach) -> TokenUse:
        """Return this use as of one agent that another person has granted: as with a token of that agent."""
        grant = reach.grant
        assert grant is not None
        rights: Rights = "write" if "write" in grant.rights else "read"
        if rights == "read" and "talk" in grant.rights:
            rights = "talk"
        most = min(rights, self.token.rights, key=RIGHTS.index)
        if self.token.agent_id not in (None, grant.agent_id):
            raise NotFoundError(f"There is no agent {grant.agent_id!r:.200}.")
        guest = copy.copy(self)
        guest.token = self.token.model_copy(update={"agent_id": grant.agent_id, "rights": most})
        guest.grant, guest.alias = grant, f"{reach.owner}/{reach.name}"
        granted = RIGHTS if "write" in grant.rights else grant.rights
        left = frozenset(one for one in granted if RIGHTS.index(one) <= RIGHTS.index(most))
        what = users.Guest(grant.agent_id, left, frozenset(grant.tools))
        guest.actor = users.Actor(self.actor.name, reach.owner, what)
        self.granted.append((reach.owner, grant))
        return guest

    def take(self, kind: Kind) -> None:
        """Count as one of *kind*, too."""
        self._shares.take(self.token, kind)
        self._taken.append(kind)

    def leave(self) -> None:
        """Count no more."""
        while self._kept:
            self._kept.pop()()
        while self._taken:
            self._shares.give(self.token, self._taken.pop())

    def lasting(self, kind: Kind) -> Callable[[], None]:
        """Count one of *kind* that may outlast the request; call what is returned when it is over."""
        self._shares.take(self.token, kind)
        return lambda: self._shares.give(self.token, kind)
