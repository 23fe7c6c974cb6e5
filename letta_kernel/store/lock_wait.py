"""A wait for the store's lock: the one who waits is told who holds it, and gets an error in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from letta_kernel import metrics, settings, waiting
from letta_kernel.concurrency import obey_stop
from letta_kernel.errors import StoreBusyError

_LEAST = 0.05  # seconds: a request that is late already may still meet the store between two others


class AnswerFromCopy(Exception):
    """The wait has lasted so long that a copy of the store might answer meanwhile."""


class LockWait:
    """One wait for the store, counted from when it was asked for.

    Parameters
    ----------
    timeout : seconds it may last; None as ``LETTA_STORE_WAIT`` has it.
    since : when (`time.monotonic`) this process began to wait for the store in vain, None if it did not: a
        request that was in the process's own queue since then has waited too.
    copy : whether `AnswerFromCopy` is to be raised once.

    Attributes
    ----------
    began, until : when it began and when it ends (`time.monotonic`).
    """

    def __init__(
        self,
        timeout: float | None = None,
        since: float | None = None,
        copy: bool = False,
    ) -> None:
        timeout = settings.STORE_WAIT() if timeout is None else timeout
        began = now = time.monotonic()
        asked = waiting.current()
        if asked is not None and asked.patience is not None:
            timeout = min(timeout, asked.patience)
        if asked is not None and since is not None:
            began = min(now, max(asked.began, since))
        self.began = began
        self.until = max(began + timeout, now + min(timeout, _LEAST))
        self._tells_at = began + waiting.TELLS_AFTER
        self._told = began + timeout <= now  # the error comes soon, and says it
        self._copy = copy
        self._asked: float | None = now

    def over(self) -> None:
        """Take note that the store is there; what the request does again counts as no wait."""
        if self._asked is not None:
            metrics.STORE_WAIT.observe(time.monotonic() - self._asked)
            self._asked = None

    def left(self, most: float = 60.0) -> float:
        """Return the seconds until `passed` is to be called, which are *most* at most."""
        now = time.monotonic()
        ends = self.until if self._told else min(self.until, self._tells_at)
        return min(max(ends - now, 0.001), most)

    def passed(self, home: Path, holder: Callable[[], str]) -> None:
        """Take note that time has passed; *holder* describes who has the store of *home*.

        Raises
        ------
        StoreBusyError
            All of it.
        AnswerFromCopy
            Enough to look for an answer elsewhere.
        KeyboardInterrupt
            The stop button was pressed.
        """
        obey_stop()
        now = time.monotonic()
        if not self._told and now >= self._tells_at:
            self._told = True
            waiting.tell(f"Waiting for the store: {holder()} is using it.")
        if self._copy and now >= self._tells_at:
            self._copy = False
            raise AnswerFromCopy
        if now >= self.until:
            raise StoreBusyError(
                f"{home} has been in use by {holder()} for {now - self.began:.0f} s: wait for it, end it, or"
                " set LETTA_HOME to another folder."
            )
