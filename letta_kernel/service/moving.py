"""A project moved to another place: its rows, and what lies beside them in its folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from letta_kernel import private, settings
from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.ids import new_id
from letta_kernel.store import encrypted_tables, index_storage, moved
from letta_kernel.store import settings as settings_rows
from letta_kernel.store.database import Database
from letta_kernel.store.move import moving
from letta_kernel.store.move.copying import Table
from letta_kernel.store.move.duck_end import DuckEnd, folder_of
from letta_kernel.store.move.end import End
from letta_kernel.store.pointer_rows import PLACE
from letta_kernel.store.transaction import Tx
from letta_kernel.store.vectors import discard_all

_STORE = re.compile(r"letta\.(?:duckdb|lock|purge)|\.letta\.|queue$|vectors$")
"""What of a project folder belongs to the store there."""
_COPIES = re.compile(r"backups$|before-restore-|damaged-")
"""Copies of that store: they stay where they are."""
_EVERY = 0.2  # seconds between two looks at how far it has come

is_address = moved.is_address
Progress = Callable[[float, str], None]


@dataclass(slots=True)
class Moved:
    """What a move did, or would do.

    Attributes
    ----------
    source, target : where the project was and is, without passwords.
    tables : what was copied of each, or would be.
    there : what was in the target, in words; of a plan alone.
    copied, left : what lies in the project's folder: copied along, and not.
    secrets : where the keys are that open its secrets, in words; empty for one whose key is not here.
    index : what becomes of the search index, in words.
    kept : what stays in the folder because that goes on being the project's.
    seconds : how long it took.
    """

    source: str
    target: str
    tables: list[Table]
    there: str = ""
    copied: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    index: str = ""
    kept: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(one.rows for one in self.tables)


class _Files(NamedTuple):
    """What lies in a project's folder, as `Moved` has it."""

    copied: list[str]
    left: list[str]
    kept: list[str]


class Move:
    """The project of a folder on its way to another place.

    Parameters
    ----------
    home : the project's folder.
    to : where it goes: the address of a database, or another project folder.
    store : where its rows are, as in ``LETTA_STORE``, which counts if this is None.

    Raises
    ------
    InvalidInputError
        It is there already, or *to* is no place for one.
    """

    def __init__(self, home: Path, to: str, store: str | None = None) -> None:
        self._home = home = folder_of(str(home))
        self._source, self._target = source_of(home, store), _target(to, home)
        self.source, self.target = self._source.shown, self._target.shown
        self._to = self._target.home if isinstance(self._target, DuckEnd) else home
        self._secrets: list[str] = []
        self._embedded = 0
        self._away = ""  # the old index, where that is in an object storage
        if self.source == self.target:
            raise InvalidInputError(f"The project is in {self.source} already.")

    def plan(self) -> Moved:
        """Look at both places and say what would be done; errors are those of `run`."""
        planned = moving.plan(self._source, self._target, self._look)
        tables = [Table(name, rows) for name, rows in planned.tables.items()]
        there = planned.there
        if planned.rows:
            there += f" ({planned.rows:,} rows)"
        return self._moved(tables, there, self._folder())

    def run(self, progress: Progress) -> Moved:
        """Move it.

        Raises
        ------
        AgentBusyError
            A run goes on in it.
        InvalidInputError
            The target is not empty, and not a part of this move.
        StoreError
            One of the two cannot be read or written, or the copy is not the same. The source is as it was.
        KeyboardInterrupt
            Likewise; what was copied stays for the next try.
        """
        began = time.monotonic()
        files = self._folder()

        def beside() -> None:
            for name in files.copied:
                _copy(self._home / name, self._to / name)

        def last() -> None:
            discard_all(self._to)  # what is there was made from another store

        tell = _told(progress, began)
        tables = moving.move(self._source, self._target, self._look, tell, beside, last)
        told = self._moved([*tables.values()], "", files)
        told.seconds = time.monotonic() - began
        return told

    def _moved(self, tables: list[Table], there: str, files: _Files) -> Moved:
        return Moved(
            self.source,
            self.target,
            tables,
            there=there,
            copied=files.copied,
            left=files.left,
            kept=files.kept,
            secrets=self._secrets,
            index=self._index(),
        )

    def _folder(self) -> _Files:
        """Return the names of what lies in the project's folder."""
        found = _Files([], [], [])
        for name in sorted(os.listdir(self._home)) if self._home.is_dir() else ():
            if _STORE.match(name):
                continue
            if self._to == self._home:
                if not _COPIES.match(name):
                    found.kept.append(name)
            elif _COPIES.match(name) or _is_other(self._home / name, self._to / name):
                found.left.append(name)
            else:
                found.copied.append(name)
        return found

    def _look(self, tx: Tx) -> None:
        self._secrets = sorted({*encrypted_tables.key_locations(tx)})
        row = tx.one("SELECT count(*) FROM passages")
        self._embedded = int(row[0]) if row else 0
        storage = index_storage.remote()
        if storage is not None and (place := settings_rows.get(tx, PLACE)):
            self._away = f"{storage.root}/{place.partition(' ')[0]}"

    def _index(self) -> str:
        """Return in words what becomes of the search index."""
        storage = index_storage.remote()
        place = storage.root if storage is not None else str(self._to / "vectors")
        told = f"The search index is made anew in {place} when it is needed"
        if self._embedded:
            told += f" ({self._embedded:,} passages are embedded again)"
        old = self._home / "vectors"
        left = [self._away] if self._away else []
        if self._to != self._home and any(old.glob("*.json")):
            left.append(str(old))
        if left:
            told += f"; the old one stays in {' and in '.join(left)}"
        return f"{told}."


def back(home: Path, store: str | None = None) -> str:
    """Let a project that has moved be written again; return where it had moved to.

    Raises
    ------
    InvalidInputError
        It has not moved.
    """
    return moving.back(source_of(home, store)).other


def source_of(home: Path, store: str | None = None) -> End:
    """Return the end of a move that the project of a folder is; *store* as `Move` has it."""
    store = settings.STORE() if store is None else store
    return _database(store, home) if store else DuckEnd(folder_of(str(home)))


def _database(address: str, home: Path) -> End:
    Database(home, store=address).close()  # it says what is not installed
    from letta_kernel.store.move.pg_end import PgEnd

    return PgEnd(address, home)


def _target(to: str, home: Path) -> End:
    if moved.is_address(to):
        return _database(to, home)
    home = folder_of(to)
    if home.exists() and not home.is_dir():
        raise InvalidInputError(f"{home} is no folder: name one for the project.")
    return DuckEnd(home)


def _told(progress: Progress, began: float) -> Callable[[int, int, str], None]:
    """Return what turns rows into a share and words, a few times a second."""
    at = 0.0

    def tell(done: int, of: int, what: str) -> None:
        nonlocal at
        moment = time.monotonic()
        if moment - at < _EVERY and done < of:
            return
        at = moment
        rate = done / max(moment - began, 1e-6)
        left = f", {(of - done) / rate:,.0f} s left" if 0 < done < of else ""
        share = done / of if of else 1.0
        progress(share, f"{share:4.0%}  {what}: {rate:,.0f} rows/s{left}")

    return tell


def _files(path: Path) -> Iterator[Path]:
    """Yield the files at or below *path*, links as they are."""
    if path.is_symlink() or path.is_file():
        yield path
    elif path.is_dir():
        for one in sorted(path.iterdir()):
            yield from _files(one)


def _is_other(path: Path, there: Path) -> bool:
    """Whether something else lies where *path* would be copied to."""
    if not os.path.lexists(there):
        return False
    if path.is_file() and there.is_file():
        return path.read_bytes() != there.read_bytes()
    return not (path.is_dir() and there.is_dir())


def _copy(path: Path, to: Path) -> None:
    """Copy a file or a folder; what is there already stays. A file has its name only when it is whole."""
    for one in _files(path):
        there = to / one.relative_to(path)
        if os.path.lexists(there):
            continue
        private.folder(there.parent)
        temp = there.with_name(f".{new_id('part')}")
        try:
            shutil.copy2(one, temp, follow_symlinks=False)
            os.replace(temp, there)
        except OSError as error:
            raise StoreError(
                f"{there} cannot be written ({error.strerror or error}); the project is where it was."
            ) from None
        finally:
            temp.unlink(missing_ok=True)
