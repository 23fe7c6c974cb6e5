"""What is due for a project as a whole: done by one of its lasting processes, and by another if that dies.

When something is due is read from the rows it is about, in the same transaction that takes it: nothing is timed
in one process alone, and a claim lets two of them never do it at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from letta_kernel.errors import LettaError
from letta_kernel.ids import new_id
from letta_kernel.models.base import Cancel
from letta_kernel.service.claim import Claim
from letta_kernel.service.core import Core

log = logging.getLogger("letta_kernel")

EVERY = 30.0
"""Seconds between two looks at what is due."""
_DAY = 86_400.0  # seconds


class Chores:
    """What the lasting processes of a project do for it.

    Attributes
    ----------
    claimed : by their names, what one process at a time does at each look.
    daily : the same, at each process's first look and once a day.
    nudges : what only finds out what is due; who does it is decided elsewhere.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.claimed: dict[str, Callable[[], object]] = {}
        self.daily: dict[str, Callable[[], object]] = {}
        self._day = float("-inf")  # when those were looked at last
        self.nudges: list[Callable[[], object]] = []

    def look(self) -> None:
        """Do what is due and nobody else does; what goes wrong is tried again at the next look."""
        for nudge in self.nudges:
            self._try("nudge", nudge)
        chores = {**self.claimed}
        if time.monotonic() - self._day >= _DAY:
            self._day = time.monotonic()
            chores |= self.daily
        for name, work in chores.items():
            self._try(name, lambda name=name, work=work: self._once(name, work))  # type: ignore[misc]

    def _once(self, name: str, work: Callable[[], object]) -> None:
        claim = Claim(self._core.database, f"chore {name}", new_id("chore"), Cancel())
        if claim.take() is None:
            try:
                work()
            finally:
                claim.give()

    @staticmethod
    def _try(name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except LettaError as error:  # a busy store, say
            log.info("not done now (%s): %s", name, error)
        except Exception:
            log.exception("what is due could not be done (%s)", name)
