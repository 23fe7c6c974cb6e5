"""A claim on what one process at a time does, held for as long as it goes on."""

from __future__ import annotations

import logging
from contextlib import suppress

from letta_kernel.agent.keeper import LEASE_SECONDS, keeper
from letta_kernel.errors import ConflictError, LettaError
from letta_kernel.models.base import Cancel
from letta_kernel.store import claims, lease, stops
from letta_kernel.store.database import Database, Tx

log = logging.getLogger(__name__)


class Claim:
    """One claim.

    Parameters
    ----------
    name : what is claimed.
    work_id : of what is done with it, by which others can end that.
    switch : ends it.
    """

    def __init__(self, database: Database, name: str, work_id: str, switch: Cancel) -> None:
        self.database, self.name, self.work_id = database, name, work_id
        self._switch = switch
        self._owner = f"{lease.process_owner()}/{work_id}"

    def take(self) -> str | None:
        """Take it; return who has it instead, None if it is held here now."""

        def work(tx: Tx) -> str | None:
            return claims.take(tx, self.name, self._owner, LEASE_SECONDS)

        holder = self.database.run(work)
        if holder is None:
            keeper.keep(self)
        return holder

    def give(self) -> None:
        """Hold it no longer."""
        keeper.drop(self)
        with suppress(LettaError):
            self.database.run(self._release)
        lease.ended.add(self._owner)  # also where the store could not be told

    def _release(self, tx: Tx) -> None:
        if self.work_id in stops.asked(tx, [self.name]) and self._switch.cancelled:
            claims.stopped(tx, self.name, self._owner, self.work_id)
        else:
            claims.release(tx, self.name, self._owner)

    def renew(self) -> None:
        """Prolong it, while what is done goes on."""
        try:
            self.database.run(lambda tx: claims.renew(tx, self.name, self._owner, LEASE_SECONDS))
        except ConflictError:
            if keeper.drop(self):
                self._switch.cancel()
        except LettaError as error:
            log.info("The claim on %s could not be prolonged: %s", self.name, error)

    def stop(self) -> None:
        """End what is done: somebody asked for that."""
        self._switch.cancel()
