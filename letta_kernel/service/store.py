"""The project as a whole: its settings, and its store as a file: looked into, copied, put back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from letta_kernel.service.core import Core, lacks_embedder
from letta_kernel.store import (
    automatic_backups,
    backup_restore,
    encrypted_tables,
    filesystem,
    indexes,
    settings,
)
from letta_kernel.store.automatic_backups import Backup
from letta_kernel.store.check import Report, check
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lock import HomeLock

T = TypeVar("T")


class Store:
    """The file that holds all of a project."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def backup(self, target: Path, *, replace: bool = False) -> tuple[Path, int]:
        """Write a whole, consistent copy; return where it is and its size in bytes.

        Raises
        ------
        InvalidInputError
            *target* is there already and *replace* is False, or its folder is not.
        StoreError
            It cannot be written.
        """
        return backup_restore.backup(self._core.home, target, replace=replace)

    def index_bytes(self) -> int:
        """Return how many bytes the indexes take that are built from the store: words and vectors."""
        size = 0
        for path in (self._core.home / "vectors").rglob("*"):
            with suppress(OSError):  # gone meanwhile
                size += path.stat().st_size if path.is_file() else 0
        return size

    def backlog(self) -> int:
        """Return how many edits of lines the vector indexes have not taken in yet."""
        return self._core.do(indexes.outbox_length)

    def restore(self, source: Path) -> Path | None:
        """Put a copy in the store's place; return where the store before is kept, None if there was none."""
        return backup_restore.restore(self._core.home, source)

    def copies(self) -> list[Backup]:
        """Return the copies that were made by themselves, newest first."""
        return automatic_backups.listed(self._core.home)

    def find_copy(self, name: str) -> Path:
        """Return the file *name*, or the copy of that name that was made by itself; `NotFoundError` if none."""
        return backup_restore.find(self._core.home, name)

    def check(self, *, repair: bool = False) -> Report:
        """Look whether all that was saved is there and fits together.

        Parameters
        ----------
        repair : put right what can be; the files as they were are kept beside.

        Raises
        ------
        NotFoundError
            There is no store.
        StoreError
            The folder cannot be read or written.
        """
        return check(self._core.home, repair=repair)


def examine(home: Path, timeout: float) -> Report:
    """Check a project's store without its search index; it is waited for *timeout* seconds at most.

    Raises
    ------
    StoreError
        It cannot be reached; `holder` tells who has it.
    """
    return check(home, index=False, timeout=timeout)


def key_locations(home: Path) -> list[str]:
    """Return in words where the key of each encrypted secret of a project is; empty without one.

    Raises
    ------
    StoreError
        The store does not open.
    """
    return _read(home, encrypted_tables.key_locations)


def needs_embedder(home: Path) -> bool:
    """Return whether most of a project's text asks for the multilingual embedder; errors as `key_locations`."""
    return _read(home, lacks_embedder)


def _read(home: Path, work: Callable[[Tx], T]) -> T:
    database = Database(home, timeout=5.0)
    try:
        return database.run(work)
    finally:
        database.close()


def refusal(home: Path) -> str | None:
    """Return why a project can only be read here, None if it can be written."""
    return filesystem.refusal(home)


def notice(home: Path) -> str | None:
    """Return what there is to know of where a project lies, None if that is nothing."""
    return filesystem.notice(home)


def holder(home: Path) -> str:
    """Describe which process has the store of a project open."""
    return HomeLock(home).holder()


class ProjectSettings:
    """What is kept for a project under a key."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def get(self, key: str) -> str | None:
        """Return a setting, None if it was never set."""
        return self._core.do(lambda tx: settings.get(tx, key))

    def put(self, key: str, value: str | None) -> None:
        """Keep a setting; None removes it."""
        self._core.do(lambda tx: settings.put(tx, key, value))
