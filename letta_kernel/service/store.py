"""The project as a whole: its settings, and its store as a file: looked into, copied, put back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from letta_kernel.errors import InvalidInputError
from letta_kernel.service.core import Core, lacks_embedder
from letta_kernel.settings import STORE
from letta_kernel.store import (
    automatic_backups,
    backup_restore,
    encrypted_tables,
    filesystem,
    index_storage,
    indexes,
    purge,
    settings,
)
from letta_kernel.store.automatic_backups import Backup
from letta_kernel.store.check import Report, check
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lock import HomeLock
from letta_kernel.store.vectors import IndexBrokenError, VectorTable

T = TypeVar("T")


_PASSWORD = "the password comes from PGPASSWORD or the file that PGPASSFILE names"


class Store:
    """What holds all of a project: a file, or a schema in PostgreSQL."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def backup(self, target: Path, *, replace: bool = False) -> tuple[Path, int]:
        """Write a whole, consistent copy; return where it is and its size in bytes.

        Raises
        ------
        InvalidInputError
            *target* is there already and *replace* is False, or its folder is not; or the rows are in
            PostgreSQL, whose own command is named then.
        StoreError
            It cannot be written.
        """
        database = self._core.database
        if (named := database.copying(str(target), "")) is not None:
            raise InvalidInputError(
                f"The rows are in {database.where}, which copies them itself: {named[0]} ({_PASSWORD})."
            )
        return backup_restore.backup(self._core.home, target, replace=replace)

    def index_bytes(self) -> int:
        """Return how many bytes the indexes take that are built from the store: words and vectors."""
        size = 0
        for path in (self._core.home / "vectors").rglob("*"):
            with suppress(OSError):  # gone meanwhile
                size += path.stat().st_size if path.is_file() else 0
        database = self._core.database
        if index_storage.remote(database.index) is not None:
            for table in database.run(lambda tx: VectorTable.found(database, tx)):
                with suppress(IndexBrokenError):  # it is made anew, or away
                    size += table.size() if "://" in table.place() else 0
        return size

    def discard_index(self) -> None:
        """Remove what an object storage has of the project's vector indexes, if they are in one.

        Raises
        ------
        StoreError
            It cannot be reached or written.
        """
        if index_storage.remote(self._core.database.index) is not None:
            purge.discard_indexes(self._core.database)

    def backlog(self) -> int:
        """Return how many edits of lines the vector indexes have not taken in yet."""
        return self._core.do(indexes.outbox_length)

    def restore(self, source: Path) -> Path | None:
        """Put a copy in the store's place; return where the store before is kept, None if there was none.

        Raises
        ------
        InvalidInputError
            *source* is no copy; or the rows are in PostgreSQL, whose own command is named then.
        """
        self._check_file(source)
        return backup_restore.restore(self._core.home, source)

    def copies(self) -> list[Backup]:
        """Return the copies that were made by themselves, newest first.

        Raises
        ------
        InvalidInputError
            The rows are in PostgreSQL: none are made.
        """
        database = self._core.database
        if (named := database.copying("FILE", "FILE")) is not None:
            raise InvalidInputError(
                f"No copies are made here of rows in {database.where}: have {named[0]} run every day;"
                f" {named[1]} puts one back ({_PASSWORD})."
            )
        return automatic_backups.listed(self._core.home)

    def find_copy(self, name: str) -> Path:
        """Return the file *name*, or the copy of that name that was made by itself.

        Raises
        ------
        NotFoundError
            There is neither.
        InvalidInputError
            As `restore` has it.
        """
        self._check_file(Path(name))
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
        return check(self._core.database, repair=repair)

    def _check_file(self, source: Path) -> None:
        """Raise how a copy is put back where that is not done here."""
        database = self._core.database
        if (named := database.copying("", str(source))) is not None:
            raise InvalidInputError(
                f"The rows are in {database.where}: with all who use them stopped, {named[1]} puts a copy in"
                f" their place ({_PASSWORD}); a check that repairs then makes the search index anew."
            )


def examine(home: Path, timeout: float) -> Report:
    """Check a project's store without its search index; others are waited for *timeout* seconds at most.

    Raises
    ------
    StoreError
        It cannot be reached; `holder` tells who has it.
    """
    with closing(Database(home, timeout=timeout)) as database:
        return check(database, index=False, timeout=timeout)


def index_state(home: Path) -> tuple[str, str | None]:
    """Return where the vector index is, and why it cannot be used there, None if it can.

    Raises
    ------
    InvalidInputError
        ``LETTA_INDEX`` names no place.
    """
    storage = index_storage.remote()
    if storage is None:
        return str(home / "vectors"), None
    return storage.root, storage.probe()


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
    with closing(Database(home, timeout=5.0)) as database:
        return database.look(work)


def size(home: Path) -> int:
    """Return how many bytes the rows of a project take; errors as `key_locations`."""
    with closing(Database(home, timeout=5.0)) as database:
        return database.size()


def view_refusal(home: Path) -> str:
    """Return why no questions in SQL are answered for the role in PostgreSQL; empty where they are."""
    with closing(Database(home, timeout=5.0)) as database:
        return database.driver.view_refusal()


def refusal(home: Path) -> str | None:
    """Return why a project can only be read here, None if it can be written."""
    if STORE():
        return None
    return filesystem.refusal(home)


def notice(home: Path) -> str | None:
    """Return what there is to know of where a project lies, None if that is nothing."""
    if STORE():
        return None
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
