"""The pointer to a table in an object storage, and the right to write to it, as a row of the store.

Each project has a folder of its own below the storage's root, with a name that nobody else has. It is chosen
when the first table is made and stands in the settings, with a mark of the store it was chosen for: a copy of a
project that goes on by itself chooses another, so that two never write into one place.

A writer has a *lease*: its row names it, with a number (the *fence*) that grows with each holder, and expires
by the clock that all share. It is renewed in the background. A holder that is known to have ended, or whose
lease has expired, loses it to the next. One that was only slow finds out before it changes anything more: each
change asks, and a pointer is published only if the fence is still its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from letta_kernel.errors import LettaError
from letta_kernel.store import lease, settings
from letta_kernel.store.index_storage import IndexAwayError, IndexBrokenError, Storage
from letta_kernel.store.mapping import utc
from letta_kernel.store.pointers import Pointer
from letta_kernel.store.transaction import Tx

log = logging.getLogger(__name__)

T = TypeVar("T")
Run = Callable[[Callable[[Tx], Any]], Any]
"""Runs a function in a transaction, as `Database.run` does."""

PLACE = "index: folder"
"""The setting with the folder of a project below the root of an object storage, and whose it is."""
LEASE = 30.0
"""Seconds after which a writer that says nothing more has lost its right."""
_RENEW = 8.0  # seconds between two renewals
_POLL = 0.25  # seconds between two looks whether a writer is done

_POINTERS = (
    "SELECT s.value, t.stem, CAST(t.pointer AS text) FROM settings s LEFT JOIN vector_tables t"
    " ON t.place = $2 || split_part(s.value, ' ', 1) WHERE s.key = $1"
)
_ROW = "place = $1 AND stem = $2"
_MINE = f"{_ROW} AND owner = $3 AND fence = $4"


@dataclass(slots=True)
class _Right:
    """The right to write: ``until`` is by this process's own clock, of the moment the renewal was begun."""

    place: str
    owner: str
    fence: int
    until: float
    lost: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class RowKeeper:
    """Keeps the pointer and the lease as a row; see `pointers.Keeper`.

    Parameters
    ----------
    run
        Runs transactions; None where one is given to each question.
    """

    def __init__(self, run: Run | None, home: Path, storage: Storage, stem: str) -> None:
        self.storage = storage
        self.stem = stem
        self._run = run
        self._home = home
        self._mark = ""
        self._folder: str | None = None  # what the setting said when it was last looked at
        self._pointer: Pointer | None = None
        self._looked = False
        self._right: _Right | None = None

    # -- the pointer -------------------------------------------------------------------------------------

    def uri(self) -> str:
        """See `Keeper`."""
        if self._folder is None:
            raise IndexBrokenError("there is no table")
        return f"{self.storage.root}/{self._folder}"

    def look(self, tx: Tx | None = None) -> Pointer | None:
        """See `Keeper`."""
        if tx is None:
            return self._transact(self.look)
        rows = tx.query(_POINTERS, (PLACE, f"{self.storage.root}/"))
        self._looked, self._pointer = True, None
        if rows:
            folder, _, store = str(rows[0][0]).partition(" ")
            if store == self._own_mark(tx):  # else it is a copy of another project
                self._folder = folder
                text = next((text for _, stem, text in rows if stem == self.stem), None)
                self._pointer = Pointer.read(text) if text else None
        return self._pointer

    def seen(self) -> Pointer | None:
        """See `Keeper`."""
        return self._pointer if self._looked else self.look()

    def forget(self) -> None:
        """See `Keeper`."""
        self._looked = False

    def publish(self, pointer: Pointer | None) -> None:
        """See `Keeper`."""
        right = self._held()
        text = None if pointer is None else pointer.text()
        mine = (right.place, self.stem, right.owner, right.fence, text)
        if not self._transact(
            lambda tx: tx.query(
                f"UPDATE vector_tables SET pointer = CAST($5 AS json) WHERE {_MINE} RETURNING fence",
                mine,
            )
        ):
            raise self._lost(right)
        self._looked, self._pointer = True, pointer

    def spoil(self, pointer: Pointer) -> None:
        """See `Keeper`."""
        where = (self._place(), self.stem, pointer.generation)
        self._transact(
            lambda tx: tx.execute(
                f"UPDATE vector_tables SET pointer = NULL WHERE {_ROW}"
                " AND pointer->>'generation' = $3",
                where,
            )
        )

    def others(self, connect: Callable[[], Any], pattern: Callable[[str], object]) -> list[str]:
        """See `Keeper`."""
        return [one for one in connect().list_tables(limit=10_000).tables if pattern(one)]

    def remove(self, connect: Callable[[], Any], names: Sequence[str]) -> list[str]:
        """See `Keeper`."""
        stay = []
        for name in names:
            try:
                connect().drop_table(name, ignore_missing=True)
            except Exception as error:
                stay.append(name)
                log.info("The old index %s stays for now: %s", name, self.storage.reason(error))
        return stay

    # -- the right to write ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, timeout: float) -> Iterator[bool]:
        """See `Keeper`.

        Raises
        ------
        StoreError
            The store cannot be read.
        """
        latest = time.monotonic() + timeout
        owner = f"{lease.process_owner()}/{uuid.uuid4().hex[:8]}"
        while (right := self._transact(lambda tx: self._take(tx, owner))) is None:
            if time.monotonic() >= latest or self._transact(lambda tx: tx.read_only):
                yield False
                return
            time.sleep(min(_POLL, max(0.01, latest - time.monotonic())))
        self._right = right
        renewer = threading.Thread(
            target=self._renew_on, args=(right,), name=f"lease-{self.stem}", daemon=True
        )
        renewer.start()
        try:
            yield True
        finally:
            self._right = None
            right.ended.set()
            with contextlib.suppress(LettaError):  # it expires
                self._transact(lambda tx: self._give_back(tx, right))

    def changing(self) -> None:
        """See `Keeper`."""
        right = self._held()
        if not right.lost and time.monotonic() > right.until:
            with contextlib.suppress(LettaError):
                self._renew(right)
        if right.lost or time.monotonic() > right.until:
            raise self._lost(right)

    def confirm(self, tx: Tx) -> bool:
        """See `Keeper`."""
        right = self._held()
        mine = (right.place, self.stem, right.owner, right.fence)
        return tx.one(f"SELECT fence FROM vector_tables WHERE {_MINE}", mine) is not None

    def _take(self, tx: Tx, owner: str) -> _Right | None:
        if tx.read_only:
            return None
        self._choose_folder(tx)
        began, place = time.monotonic(), self._place()
        tx.execute(
            "INSERT INTO vector_tables (place, stem, fence) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
            (place, self.stem),
        )
        row = tx.one(
            f"SELECT CAST(pointer AS text), owner, expires_at, fence FROM vector_tables WHERE {_ROW}",
            (place, self.stem),
        )
        assert row is not None
        pointer, holder, expires, fence = row
        if holder is not None and utc(expires) > tx.now() and not lease.is_dead(holder):
            return None
        tx.execute(
            f"UPDATE vector_tables SET owner = $3, expires_at = $4, fence = $5 WHERE {_ROW}",
            (place, self.stem, owner, tx.now() + timedelta(seconds=LEASE), fence + 1),
        )
        self._looked, self._pointer = True, Pointer.read(pointer) if pointer else None
        return _Right(place, owner, int(fence) + 1, began + LEASE)

    def _give_back(self, tx: Tx, right: _Right) -> None:
        mine = (right.place, self.stem, right.owner, right.fence)
        tx.execute(f"UPDATE vector_tables SET owner = NULL, expires_at = NULL WHERE {_MINE}", mine)

    def _renew_on(self, right: _Right) -> None:
        while not right.ended.wait(_RENEW) and not right.lost:
            try:
                self._renew(right)
            except LettaError as error:  # the store is busy or away: `changing` looks at the time
                log.info("The right to write %s could not be renewed: %s", self.stem, error)

    def _renew(self, right: _Right) -> None:
        began = time.monotonic()

        def renew(tx: Tx) -> bool:
            until = tx.now() + timedelta(seconds=LEASE)
            mine = (right.place, self.stem, right.owner, right.fence, until)
            sql = f"UPDATE vector_tables SET expires_at = $5 WHERE {_MINE} RETURNING fence"
            return bool(tx.query(sql, mine))

        if self._transact(renew):
            right.until = began + LEASE
        elif not right.ended.is_set():
            right.lost = True

    def _held(self) -> _Right:
        if self._right is None:
            raise IndexAwayError("the right to write is not held")
        return self._right

    def _lost(self, right: _Right) -> IndexAwayError:
        right.lost, self._looked = True, False
        return IndexAwayError("another process writes it: this one was silent for too long")

    # -- where it is -------------------------------------------------------------------------------------

    def _place(self) -> str:
        return self.uri()

    def _choose_folder(self, tx: Tx) -> None:
        """Choose a folder for this project's tables, unless it has one."""
        mark = self._own_mark(tx)
        folder, _, store = (settings.get(tx, PLACE) or "").partition(" ")
        if not folder or store != mark:
            folder = f"{_slug(tx, self._home)}-{uuid.uuid4().hex[:12]}"
            settings.put(tx, PLACE, f"{folder} {mark}")
        self._folder = folder

    def _own_mark(self, tx: Tx) -> str:
        self._mark = self._mark or _mark(tx, self._home)
        return self._mark

    def _transact(self, work: Callable[[Tx], T]) -> T:
        if self._run is None:
            raise IndexBrokenError("there is no store to ask")
        found: T = self._run(work)
        return found


def stems(tx: Tx, home: Path, storage: Storage) -> list[str]:
    """Return the stems of tables that a project has, or had, in an object storage."""
    rows = tx.query(_POINTERS, (PLACE, f"{storage.root}/"))
    mark = _mark(tx, home)
    return sorted(stem for value, stem, _ in rows if stem and value.partition(" ")[2] == mark)


def begin_anew(tx: Tx) -> None:
    """Let nobody use what was indexed: the store is another one now, or was mended."""
    tx.execute("UPDATE vector_tables SET pointer = NULL")


def _mark(tx: Tx, home: Path) -> str:
    """Return a mark of a store that no copy of it has."""
    if tx.in_file:
        return str(os.stat(home).st_ino)  # it stays when the folder is moved
    # A restored copy has tables of its own, also in the same schema.
    row = tx.one(
        "SELECT system_identifier::text || '-' || d.oid::text || '-' || 'vector_tables'::regclass::oid::text"
        " FROM pg_control_system(), pg_database d WHERE d.datname = current_database()"
    )
    assert row is not None
    return str(row[0])


def _slug(tx: Tx, home: Path) -> str:
    """Return what a person may know a project by."""
    name = home.parent.name if home.name.startswith(".") else home.name
    if not tx.in_file:
        row = tx.one("SELECT current_schema()")
        assert row is not None
        name = str(row[0])
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "project"
