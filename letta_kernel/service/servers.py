"""The servers of a project, as one knows the others: who carries out what, and where that is reached."""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from letta_kernel import settings
from letta_kernel.errors import LettaError
from letta_kernel.service.core import Core
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store import claims, groups, lease, runs, servers, stops
from letta_kernel.store.database import Tx
from letta_kernel.store.duck import DuckDriver

log = logging.getLogger("letta_kernel")

_BEAT = 15.0  # seconds between two signs of life
_SHORTEST = 16  # characters of a secret


@dataclass(frozen=True, slots=True)
class Holder:
    """Who carries out a run or a turn: the servers of that process, each with its id and address."""

    owner: str
    servers: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn of a group ended; without a reason it ended as its last run did."""

    stop_reason: StopReason | None
    error: str | None


class Servers:
    """The servers of a project."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._secret: str | None = None
        self._ending = threading.Event()
        self._announced: list[str] = []
        self._lock = threading.Lock()

    def announce(self, server_id: str, address: str) -> None:
        """Let the others know where a server of this process is reached, for as long as this goes on."""
        with self._lock:
            self._core.do(lambda tx: servers.announce(tx, server_id, address))
            self._announced.append(server_id)
        # Where all are on one machine everybody sees who lives.
        if not isinstance(self._core.database.driver, DuckDriver):
            threading.Thread(
                target=self._beat, args=(server_id, address), name="letta-server-beat", daemon=True
            ).start()

    def _beat(self, server_id: str, address: str) -> None:
        while not self._ending.wait(_BEAT):
            try:
                self._core.database.run(lambda tx: servers.announce(tx, server_id, address))
            except LettaError as error:
                log.info("letta: no sign of life could be written: %s", error)
            except Exception:
                log.exception("letta: no sign of life could be written")

    def close(self) -> None:
        """Serve no more."""
        self._ending.set()
        with self._lock:
            announced, self._announced = self._announced, []
        for server_id in announced:
            with suppress(LettaError):
                self._core.database.run(lambda tx, one=server_id: servers.leave(tx, one))  # type: ignore[misc]

    def holder(self, work_id: str) -> Holder | None:
        """Return who carries out a run, or a turn of a group, in whatever process; None if nobody does."""

        def work(tx: Tx) -> Holder | None:
            owner = stops.holder(tx, work_id)
            return None if owner is None else Holder(owner, servers.of_process(tx, owner))

        return self._core.do(work)

    def secret(self) -> str | None:
        """Return what the servers of the project know one another by; None where it cannot be had here.

        Raises
        ------
        InvalidInputError
            ``LETTA_CLUSTER_SECRET`` is too short.
        """
        if named := settings.CLUSTER_SECRET():
            if len(named) < _SHORTEST:
                log.warning("LETTA_CLUSTER_SECRET has at least %d characters: not used", _SHORTEST)
                return None
            return named
        if self._secret is None:
            fresh = secrets.token_urlsafe(32)
            self._secret = self._core.do(lambda tx: servers.secret(tx, fresh))
        return self._secret

    def runs_of_turn(self, group_id: str, since: datetime) -> list[str]:
        """Return the runs of a group that began from a moment on, in their order."""

        def work(tx: Tx) -> list[str]:
            tail = "WHERE group_id = $1 AND created_at >= $2 ORDER BY created_at, id"
            return [one.id for one in runs.select(tx, tail, (group_id, since))]

        return self._core.do(work)

    def turn_began(self, group_id: str) -> datetime | None:
        """Return when a person spoke last in a group."""

        def work(tx: Tx) -> datetime | None:
            said = [one for one in groups.said_in(tx, group_id) if one.sender_id is None]
            return said[-1].created_at if said else None

        return self._core.do(work)

    def end_of_turn(self, turn_id: str) -> TurnEnd | None:
        """Return how a turn ended that nobody carries out; None while somebody does."""

        def work(tx: Tx) -> TurnEnd | None:
            if stops.holder(tx, turn_id) is not None:
                return None
            for _, owner in claims.taken(tx):
                if owner == f"{claims.ENDED}{turn_id}":
                    return TurnEnd("cancelled", None)
                if owner.endswith(f"/{turn_id}"):  # it was never given back
                    return TurnEnd("error", lease.FAILED)
            return TurnEnd(None, None)

        return self._core.do(work)

    def group_of(self, turn_id: str) -> str | None:
        """Return the group whose turn goes on under this id; None if none does."""

        def work(tx: Tx) -> str | None:
            for name, owner in claims.taken(tx):
                if owner.endswith(f"/{turn_id}") and not lease.is_dead(owner):
                    return name
            return None

        return self._core.do(work)
