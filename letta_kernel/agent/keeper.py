"""The thread that prolongs the leases of what goes on in this process, and hears who wants an end of it.

A tool or a model's answer may take longer than a lease; only another machine would take the agent then. And
somebody in another process may want the run to end meanwhile: nothing here writes to the store then, where that
would be seen with the next step.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Hashable
from typing import Protocol

from letta_kernel.errors import LettaError
from letta_kernel.store import stops
from letta_kernel.store.database import Database

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
"""Seconds after which a lease that is not renewed counts as given back, for those who cannot see its owner."""

LOOK_SECONDS = 1.0
"""Seconds between two looks at whether something is to end."""


class Holding(Protocol):
    """What goes on here and has a lease, or a claim.

    Attributes
    ----------
    database : where that is written.
    name : of the thread, or the claim.
    work_id : of the run, or the turn.
    """

    database: Database
    name: str
    work_id: str

    def renew(self) -> None:
        """Prolong the lease."""

    def stop(self) -> None:
        """End what goes on: somebody asked for it."""


class Keeper:
    """Looks after what goes on here, from one thread, which ends where there is nothing."""

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._held: set[Holding] = set()
        self._at_work = False

    def keep(self, one: Holding) -> None:
        """Look after *one* from now on."""
        with self._lock:
            self._held.add(one)
            if not self._at_work:
                threading.Thread(target=self._work, name="agent-leases", daemon=True).start()
                self._at_work = True

    def drop(self, one: Holding) -> bool:
        """Leave *one* alone, whose end is written or cannot be; False if that was so already."""
        with self._lock:
            known = one in self._held
            self._held.discard(one)
            return known

    def _work(self) -> None:
        renewed = time.monotonic()
        seen: dict[Database, Hashable] = {}
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                held = [*self._held]
                if not held:
                    self._at_work = False
                    return
            if time.monotonic() - renewed >= LEASE_SECONDS / 3:
                renewed = time.monotonic()
                for one in held:
                    try:
                        one.renew()
                    except Exception:  # the others are prolonged all the same
                        log.exception("The lease of %s could not be renewed", one.name)
            for database in {one.database for one in held}:
                self._look(database, [one for one in held if one.database is database], seen)

    @staticmethod
    def _look(database: Database, held: list[Holding], seen: dict[Database, Hashable]) -> None:
        """End what somebody wants to end; nothing is read while nobody has written."""
        try:
            stamp = (database.changed(), frozenset(one.work_id for one in held))
            if stamp == seen.get(database):
                return
            asked = database.run(lambda tx: stops.asked(tx, [one.name for one in held]))
            seen[database] = (
                stamp  # that of before: what is written meanwhile is seen the next time
            )
        except LettaError as error:  # the disk may be full only now, or somebody have the store
            log.info("Whether something is to end could not be read: %s", error)
            return
        except Exception:
            log.exception("Whether something is to end could not be read")
            return
        for one in held:
            if one.work_id in asked:
                one.stop()


keeper = Keeper()
