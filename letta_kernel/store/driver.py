"""What an engine must do for `Database`, and what is the same for all of them: one transaction, tried again."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar, TypeVar

from letta_kernel import metrics
from letta_kernel.concurrency import Uninterrupted, obey_stop
from letta_kernel.errors import ConflictError, LettaError, StoreBusyError, StoreError
from letta_kernel.store.transaction import Tx

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.004, 0.25  # seconds before a transaction is tried again, at most


class Conflict(Exception):
    """Another writer changed the same rows meanwhile: try the whole transaction again."""

    def given_up(self) -> LettaError:
        """Return what to raise once there is no more time to try."""
        if isinstance(self.__cause__, LettaError):
            return self.__cause__
        return ConflictError("Others keep changing the same thing: nothing was changed. Try again.")


class Locked(Conflict):
    """Another program keeps the rows locked."""

    def given_up(self) -> LettaError:
        """Return what to raise once there is no more time to wait for it."""
        return StoreBusyError(
            "Another program keeps rows of the store locked: nothing was changed. Try again, or let an"
            " administrator look in pg_locks who it is."
        )


class Driver(ABC):
    """The rows of one project in one engine, safe to use from any thread."""

    in_file: ClassVar[bool] = False
    """Whether they are in a file of the project's folder."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Where the rows are, for messages: never with a password."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the project is there; looking does not make it. `StoreError` if that cannot be told."""

    @abstractmethod
    def changed(self) -> Hashable:
        """Return what differs once anybody has written, in any process; cheap."""

    @abstractmethod
    def inside(self) -> bool:
        """Whether this thread is in the middle of a transaction here."""

    @abstractmethod
    def joined(self) -> Tx | None:
        """Return the transaction that this thread joins, if it is inside one that can be joined."""

    @abstractmethod
    def run(self, work: Callable[[Tx], T], *, strict: bool) -> T:
        """Do what `Database.run` says; this thread is inside no transaction."""

    def look(self, work: Callable[[Tx], T]) -> T:
        """Do what `Database.look` says; this thread is inside no transaction."""
        return self.run(work, strict=True)

    def view(self, work: Callable[[Tx], T], seconds: float) -> T:
        """Do what `Database.view` says; this thread is inside no transaction."""
        return self.look(work)

    def view_refusal(self) -> str:
        """Return why `view` is refused here, and how that is mended; empty where it is not."""
        return ""

    def tidy(self, tables: Sequence[str]) -> None:  # noqa: B027
        """Let go of what was deleted from *tables*, where deleted rows stay for a while."""

    @abstractmethod
    def size(self) -> int:
        """Return how many bytes the rows take."""

    def copying(self, target: str, source: str) -> tuple[str, str] | None:
        """Return the engine's commands that copy the rows into *target*, and put them back from *source*.

        None where this package does both.
        """
        return None

    def connections(self) -> tuple[int, int] | None:
        """Return how many connections are in use and how many may be; None where there is only one."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Close what is open; a later `run` opens it again."""

    def hand_over(self, timeout: float = -1) -> None:  # noqa: B027
        """Let others have the store, where only one can; another thread is waited for *timeout* seconds."""

    def wake(self) -> None:  # noqa: B027
        """Look again how long what is open may stay."""

    @abstractmethod
    def before_fork(self) -> bool:
        """Make ready for a fork; whether nothing of this process can come along."""

    @abstractmethod
    def after_fork_in_parent(self) -> None:
        """Go on after a fork for which this was made ready."""

    @abstractmethod
    def after_fork_in_child(self, connected: bool) -> None:
        """Begin afresh; *connected*: something of the parent came along, which must not be touched."""

    @abstractmethod
    def end(self) -> None:
        """Close everything as the process ends."""


def perform(
    tx: Tx,
    work: Callable[[Tx], T],
    committed: list[T],
    commit: Callable[[], None],
    undo: Callable[[], None],
) -> None:
    """Run *work* in *tx* and commit it; its result is put into *committed* then. Else all is undone."""
    began = time.perf_counter()
    try:
        result = work(tx)
        if tx.failure is not None:  # engines may call the COMMIT of a failed transaction a success
            line = str(tx.failure).partition("\n")[0]
            raise StoreError(
                f"A statement failed in the transaction ({line}); nothing was saved."
            ) from tx.failure
        with Uninterrupted():
            commit()
            tx.committed = True
            committed.append(result)
            metrics.STORE_TRANSACTIONS.add("done")
            metrics.STORE_SECONDS.observe(time.perf_counter() - began)
    finally:
        tx.end()
        if not tx.committed:
            undo()


def repeat(attempt: Callable[[], None], until: float) -> None:
    """Make an *attempt* again and again while it meets others, until it is *until* (`time.monotonic`).

    Raises
    ------
    ConflictError
        Others kept changing the same rows.
    StoreBusyError
        Others have locked them.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            return attempt()
        except Conflict as conflict:
            metrics.STORE_RETRIES.add()
            wait = random.uniform(0, pause)  # or those who met would meet again
            given_up = conflict.given_up()
        if time.monotonic() + wait > until:
            raise given_up
        obey_stop()
        time.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE)
