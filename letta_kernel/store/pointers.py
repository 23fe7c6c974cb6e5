"""The pointer to the table in use, and the right to write to it, as files beside a table in a folder.

A *pointer* names the table by a random *generation*, so that one that was deleted or is broken is never
confused with its successor. In a folder both are files: they are copied, restored and deleted with the tables,
and each machine that has a folder of its own has a pointer of its own. Of tables in an object storage they are
rows of the store (`pointer_rows`): the storage has no lock, and all who share the store share its tables.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from letta_kernel import private
from letta_kernel.store.filesystem import refusal
from letta_kernel.store.index_storage import Storage
from letta_kernel.store.transaction import Tx

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which table is in use, the form of its words, and for how many rows its vectors' index was made."""

    dimension: int
    generation: str
    form: int = 0
    trained: int = 0

    @classmethod
    def fresh(cls, dimension: int, form: int) -> Pointer:
        """Return the pointer to a table of a new generation."""
        return cls(dimension, uuid.uuid4().hex[:8], form)

    @classmethod
    def read(cls, text: str) -> Pointer | None:
        """Return what was kept as *text*; None if it makes no sense."""
        try:
            found = json.loads(text)
            generation = str(found["generation"])
            form, trained = found.get("form"), found.get("trained")
            return cls(
                int(found["dimension"]),
                generation,
                form if isinstance(form, int) else 0,
                trained if isinstance(trained, int) else 0,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def text(self) -> str:
        """Return what `read` reads."""
        return json.dumps(asdict(self))


class Keeper(Protocol):
    """Keeps the pointer of one kind of lines and one embedder, and who may write to its table."""

    storage: Storage
    stem: str

    def uri(self) -> str:
        """Return where the tables are, as LanceDB is told."""

    def look(self, tx: Tx | None = None) -> Pointer | None:
        """Return the pointer as it is now, None if there is no table; inside a transaction, give it."""

    def seen(self) -> Pointer | None:
        """Return the pointer as it was when it was last looked at, where looking costs something."""

    def forget(self) -> None:
        """Look again next time: what the pointer named cannot be read."""

    def writing(self, timeout: float) -> AbstractContextManager[bool]:
        """Hold the right to write; yields False if another has it for *timeout* s, or nobody can."""

    def changing(self) -> None:
        """Be told that the table is about to be changed; `IndexAwayError` if the right to do so is lost."""

    def publish(self, pointer: Pointer | None) -> None:
        """Let all use another table, or none; `IndexAwayError` if the right to write is lost."""

    def confirm(self, tx: Tx) -> bool:
        """Return whether the right to write is held at the end of this transaction, too."""

    def spoil(self, pointer: Pointer) -> None:
        """Let nobody use a table that was overwritten after the right to write was lost."""

    def others(self, connect: Callable[[], Any], pattern: Callable[[str], object]) -> list[str]:
        """Return the tables there whose names *pattern* takes."""

    def remove(self, connect: Callable[[], Any], names: Sequence[str]) -> list[str]:
        """Remove tables; return those that cannot be removed, and stay for the next time."""


class FileKeeper:
    """Keeps the pointer and the lock as files in the folder of the tables."""

    def __init__(self, storage: Storage, stem: str) -> None:
        self.storage = storage
        self.stem = stem
        self._folder = Path(storage.root)
        self._file = self._folder / f"{stem}.json"
        self._fresh = False  # files were made that the umask may have opened to others

    def uri(self) -> str:
        """See `Keeper`."""
        return str(self._folder)

    def look(self, tx: Tx | None = None) -> Pointer | None:
        """See `Keeper`; a table that is not there has no pointer."""
        try:
            pointer = Pointer.read(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if pointer is None:
            return None
        name = f"{self.stem}-{pointer.dimension}-{pointer.generation}"
        return pointer if (self._folder / f"{name}.lance").is_dir() else None

    def seen(self) -> Pointer | None:
        """See `Keeper`."""
        return self.look()

    def forget(self) -> None:
        """See `Keeper`."""

    @contextlib.contextmanager
    def writing(self, timeout: float) -> Iterator[bool]:
        """See `Keeper`."""
        file = self._folder / f"{self.stem}.lock"
        lock = FileLock(file, mode=private.FILE, thread_local=False)
        try:
            if refusal(self._folder.parent) is not None:
                yield False
                return
            private.folder(self._folder)
            lock.acquire(timeout=timeout)
        except (Timeout, OSError) as error:
            if not isinstance(error, Timeout):  # else somebody else is at it
                log.info("The vector index %s stays behind for now: %s", self.stem, error)
            yield False
            return
        try:
            yield True
        finally:
            if self._fresh:
                # LanceDB makes the folder itself where a restore took it away meanwhile.
                private.tighten_own(self._folder)
                for made in self._folder.glob(f"{self.stem}*"):
                    private.tighten_all(made)
                self._fresh = False
            lock.release()

    def changing(self) -> None:
        """See `Keeper`."""
        self._fresh = True

    def publish(self, pointer: Pointer | None) -> None:
        """See `Keeper`."""
        if pointer is None:
            self._file.unlink(missing_ok=True)
            return
        unfinished = self._file.with_suffix(".new")
        private.write(unfinished, pointer.text())
        os.replace(unfinished, self._file)

    def confirm(self, tx: Tx) -> bool:
        """See `Keeper`: nobody takes a lock of a process that lives."""
        return True

    def spoil(self, pointer: Pointer) -> None:
        """See `Keeper`."""

    def others(self, connect: Callable[[], Any], pattern: Callable[[str], object]) -> list[str]:
        """See `Keeper`; LanceDB need not be loaded for it."""
        return [
            one.stem for one in self._folder.glob("*.lance") if pattern(one.stem) and one.is_dir()
        ]

    def remove(self, connect: Callable[[], Any], names: Sequence[str]) -> list[str]:
        """See `Keeper`."""
        folders = {name: self._folder / f"{name}.lance" for name in names}
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        return [name for name, folder in folders.items() if folder.exists()]
