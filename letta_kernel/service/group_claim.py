"""The claim on a group for the length of a turn: one process at a time, and others can end it."""

from __future__ import annotations

import logging
from contextlib import suppress

from letta_kernel.agent.keeper import LEASE_SECONDS, keeper
from letta_kernel.errors import AgentBusyError, ConflictError, LettaError
from letta_kernel.models.base import Cancel
from letta_kernel.records import Group
from letta_kernel.store import claims, lease, stops
from letta_kernel.store.database import Database, Tx

log = logging.getLogger(__name__)


class GroupClaim:
    """One turn's claim on its group.

    Parameters
    ----------
    turn_id : the turn's.
    switch : ends the turn.
    """

    def __init__(self, database: Database, group: Group, turn_id: str, switch: Cancel) -> None:
        self.database, self.name, self.work_id = database, group.id, turn_id
        self._shown, self._switch = group.shown, switch
        self._owner = f"{lease.process_owner()}/{turn_id}"

    def take(self) -> None:
        """Begin to hold the group; `AgentBusyError` if a turn of it goes on elsewhere."""

        def work(tx: Tx) -> str | None:
            return claims.take(tx, self.name, self._owner, LEASE_SECONDS)

        if (holder := self.database.run(work)) is not None:
            where = "" if lease.is_own(holder) else lease.describe(holder, None)
            raise AgentBusyError(
                f"{self._shown} is in the middle of a turn {f'in {where}' if where else 'here'}: "
                "wait for it to end, or stop it.",
                where,
            )
        keeper.keep(self)

    def give(self) -> None:
        """Hold the group no longer."""
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
        """Prolong the claim of a turn that goes on."""
        try:
            self.database.run(lambda tx: claims.renew(tx, self.name, self._owner, LEASE_SECONDS))
        except ConflictError:
            if keeper.drop(self):
                self._switch.cancel()
        except LettaError as error:
            log.info("The claim on %s could not be prolonged: %s", self.name, error)

    def stop(self) -> None:
        """End the turn: somebody asked for that."""
        self._switch.cancel()
