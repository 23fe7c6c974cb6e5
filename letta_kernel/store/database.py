"""The only way to a project's rows: short transactions, whatever engine they are in.

`Database.run` is the only way in: it runs a function in one transaction and returns after the commit, or
raises and has changed nothing. The rows are in a DuckDB file in the project folder (`store.duck`), or where
``LETTA_STORE`` says (`store.pg`).
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

from letta_kernel import metrics, settings
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import ConflictError, InvalidInputError, StoreBusyError, StoreError
from letta_kernel.hooks import users_code
from letta_kernel.remedies import Do, remedy
from letta_kernel.store.connection import LEASE
from letta_kernel.store.database_file import FILE
from letta_kernel.store.driver import Driver
from letta_kernel.store.duck import DuckDriver
from letta_kernel.store.transaction import CommittedInterrupt, Tx

__all__ = ["CommittedInterrupt", "Database", "Tx"]

T = TypeVar("T")

_LETS_GO = 0.25  # seconds that a cell waits for a transaction of another thread

_everyone: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """The rows of one project, safe to use from any thread and beside other processes.

    Parameters
    ----------
    home
        The project folder; made on first use.
    lease
        Seconds an idle connection to a file is kept open; 0 closes it after every transaction.
    timeout
        Seconds that a request waits for the store before StoreBusyError tells it who has it; None as
        ``LETTA_STORE_WAIT`` has it.
    store
        Where the rows are, as in ``LETTA_STORE``, which counts if this is None; empty is a file in *home*.

    Raises
    ------
    InvalidInputError
        *store* makes no sense, or what it needs is not installed.
    """

    def __init__(
        self,
        home: Path | str,
        lease: float = LEASE,
        *,
        timeout: float | None = None,
        store: str | None = None,
        index: str | None = None,
    ) -> None:
        self.home = Path(home).expanduser().absolute()
        self.path = self.home / FILE
        self.index = index
        url = settings.STORE() if store is None else store
        self.driver: Driver
        if url:
            self.driver = _postgresql()(url, self.home, timeout)
        else:
            self.driver = DuckDriver(self.home, lease, timeout)
        _everyone.add(self)

    @property
    def in_file(self) -> bool:
        """Whether the rows are in a file of the project's folder."""
        return self.driver.in_file

    @property
    def where(self) -> str:
        """Where the rows are, for messages: the folder, or a server's database and project in it."""
        return self.driver.where

    def exists(self) -> bool:
        """Whether there is a project; looking does not make one.

        Raises
        ------
        StoreError
            The server that has it cannot be asked.
        """
        return self.driver.exists()

    def changed(self) -> Hashable:
        """Return what differs once any process has written; looking is cheap.

        It may differ for other reasons, too. Take it before reading: what is written meanwhile is seen then.

        Raises
        ------
        StoreError
            The server that has the rows cannot be asked.
        """
        return self.driver.changed()

    def run(self, work: Callable[[Tx], T], *, strict: bool = True) -> T:
        """Run *work* in one transaction and return its result once that is committed.

        *work* may run more than once, if another writer changed the same rows meanwhile. It must be
        quick: no model call, no tool call, no network inside. Whatever it raises undoes everything.

        Parameters
        ----------
        strict
            Whether transactions must come out as if one had run after the other. Without it, what *work*
            reads may be changed by others before it writes: for writes that compare and swap.

        Raises
        ------
        StoreError
            The store could not be opened, locked, read or written.
        ConflictError
            Other writers kept changing the same rows.
        CommittedInterrupt
            The stop button was pressed during the commit, which is done.
        """
        if (tx := self._joined()) is not None:
            return work(tx)
        # What is done is counted where it is committed: after that no interrupt may leave a doubt.
        try:
            return self.driver.run(work, strict=strict)
        except StoreBusyError:
            metrics.STORE_TRANSACTIONS.add("busy")
            raise
        except ConflictError:
            metrics.STORE_TRANSACTIONS.add("conflict")
            raise
        except StoreError:
            metrics.STORE_TRANSACTIONS.add("failed")
            raise

    def run_joined(self, work: Callable[[Tx], T]) -> T:
        """Do what `run` does; what *work* runs in turn, on its thread, joins the transaction."""

        def joining(tx: Tx) -> T:
            tx.joining = True
            try:
                return work(tx)
            finally:
                tx.joining = False

        return self.run(joining)

    def look(self, work: Callable[[Tx], T]) -> T:
        """Run *work*, which only reads, as `run` does: all that it reads is of one moment.

        Where others can write meanwhile, it may take its time: it neither holds them up nor meets them.
        """
        if (tx := self._joined()) is not None:
            return work(tx)
        return self.driver.look(work)

    def view(self, work: Callable[[Tx], T], seconds: float) -> T:
        """Run *work* as `look` does, by who may read what the views are made of, and nothing else.

        Parameters
        ----------
        seconds : that a statement of it takes at most, where the rows are not in a file.

        Raises
        ------
        InvalidInputError
            A statement took longer.
        StoreError
            They cannot be read, or not by who may read so little; the text says how to mend it.
        """
        if self.driver.inside():
            raise StoreError("A transaction cannot begin inside another one of the same thread.")
        return self.driver.view(work, seconds)

    def _joined(self) -> Tx | None:
        """Return the transaction that this thread is in and joins; None outside of any."""
        if not self.driver.inside():
            return None
        if (tx := self.driver.joined()) is None:
            raise StoreError("A transaction cannot begin inside another one of the same thread.")
        return tx

    def size(self) -> int:
        """Return how many bytes the rows take."""
        return self.driver.size()

    def copying(self, target: str, source: str) -> tuple[str, str] | None:
        """Return the commands that copy the rows into *target* and back from *source*; None for a file."""
        return self.driver.copying(target, source)

    def tidy(self, tables: Sequence[str]) -> None:
        """Let go of what was deleted from *tables*, where deleted rows stay for a while.

        Raises
        ------
        StoreError
            It could not be done.
        """
        self.driver.tidy(tables)

    def connections(self) -> tuple[int, int] | None:
        """Return how many connections are in use and how many may be; None where there is only one."""
        return self.driver.connections()

    def close(self) -> None:
        """Close what is open. A later `run` opens it again."""
        self.driver.close()

    def hand_over(self, timeout: float = -1) -> None:
        """Let others have the store; a transaction of another thread is waited for *timeout* seconds."""
        self.driver.hand_over(timeout)


def _postgresql() -> Callable[[str, Path, float | None], Driver]:
    # Here, for it is an extra, and takes a fifth of a second to import.
    try:
        from letta_kernel.store.pg import PgDriver
    except ImportError as error:
        raise InvalidInputError(
            f"LETTA_STORE needs psycopg, which cannot be imported ({error.msg.splitlines()[0]}).",
            remedy(Do.INSTALL_EXTRA, "postgres"),
            page="library-missing",
        ) from error
    return PgDriver


_held_for_fork: dict[int, list[Database]] = {}  # by the thread that forks


def _before_fork() -> None:
    held = _held_for_fork[threading.get_ident()] = []
    with Uninterrupted():
        for database in list(_everyone):
            if database.driver.before_fork():
                held.append(database)


def _after_fork_in_parent() -> None:
    for database in _held_for_fork.pop(threading.get_ident(), []):
        database.driver.after_fork_in_parent()


def _after_fork_in_child() -> None:
    ready = _held_for_fork.pop(threading.get_ident(), [])
    _held_for_fork.clear()
    for database in list(_everyone):
        database.driver.after_fork_in_child(connected=database not in ready)


def _close_all() -> None:
    for database in list(_everyone):
        database.driver.end()


def _let_go(cell: bool) -> None:
    """Before code of the user's runs: close what is open if it is a cell, else look again when to close it."""
    for database in list(_everyone):
        if cell:
            database.hand_over(_LETS_GO)
        else:
            database.driver.wake()


users_code.begins.append(_let_go)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
atexit.register(_close_all)
