"""The claim on a group for the length of a turn."""

from __future__ import annotations

from letta_kernel.errors import AgentBusyError
from letta_kernel.models.base import Cancel
from letta_kernel.records import Group
from letta_kernel.service.claim import Claim
from letta_kernel.store import lease
from letta_kernel.store.database import Database


class GroupClaim(Claim):
    """One turn's claim on its group; *switch* ends the turn."""

    def __init__(self, database: Database, group: Group, turn_id: str, switch: Cancel) -> None:
        super().__init__(database, group.id, turn_id, switch)
        self._shown = group.shown

    def hold(self) -> None:
        """Begin to hold the group; `AgentBusyError` if a turn of it goes on elsewhere."""
        if (holder := self.take()) is not None:
            where = "" if lease.is_own(holder) else lease.describe(holder, None)
            raise AgentBusyError(
                f"{self._shown} is in the middle of a turn {f'in {where}' if where else 'here'}: "
                "wait for it to end, or stop it.",
                where,
            )
