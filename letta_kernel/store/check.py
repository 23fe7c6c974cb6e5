"""Check a project's store for damage, and repair what can be repaired.

The work is done in a copy, which replaces the store at the end of a repair.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from letta_kernel.errors import NotFoundError, ReadOnlyError, StoreError
from letta_kernel.ids import now
from letta_kernel.store import (
    driver_errors,
    filesystem,
    indexes,
    invariants,
    last_commit,
    opening,
    salvage,
)
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.database_file import CONFIG, FILE, copy_file, copy_store, discard
from letta_kernel.store.duck_transaction import DuckTx
from letta_kernel.store.invariants import Finding
from letta_kernel.store.lock import HomeLock, ReadersLock
from letta_kernel.store.lock_wait import LockWait
from letta_kernel.store.pointer_rows import begin_anew
from letta_kernel.store.vectors import IndexAwayError, IndexBrokenError, VectorTable, discard_all

_COUNTED = ("agents", "messages", "passages")


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes
    ----------
    findings : what is wrong, or was before it was repaired.
    counts : how much there is, in words; after a repair what there is then.
    repaired : whether it was put right.
    kept : the folder with the files as they were before.
    unseen : what could not be looked at, as a sentence; empty if all was.
    """

    findings: list[Finding]
    counts: str
    repaired: bool = False
    kept: Path | None = None
    unseen: str = ""


def check(
    database: Database, *, repair: bool = False, index: bool = True, timeout: float | None = None
) -> Report:
    """Look whether all that was saved is there and fits together.

    Parameters
    ----------
    repair
        Put right what can be; the files as they were are kept beside. Rows elsewhere than in a file are
        changed where they are.
    index
        Compare the search indexes too.
    timeout
        Seconds to wait for others that have the file.

    Raises
    ------
    NotFoundError
        There is no store.
    StoreError
        The folder cannot be read or written, or another program has the store.
    """
    if not database.in_file:
        return _rows(database, repair, index)
    home = database.home
    path = home / FILE
    driver_errors.check_folder(home)
    if not any(one.exists() for one in (path, last_commit.place(path), last_commit.log_of(path))):
        raise NotFoundError(f"There is no project in {home}.")
    refusal = filesystem.refusal(home)
    if refusal is not None and repair:
        raise ReadOnlyError(refusal)
    if index:
        VectorTable.load(database)  # takes seconds: not while others wait
    lock = HomeLock(home) if refusal is None else ReadersLock(home)
    with _explained(path), _folder(home, refusal is None) as folder:
        temp = folder / f".{FILE}.{os.getpid()}.check.part"
        lock.acquire(LockWait(timeout))
        try:
            found = _files(path, temp)
            with _transaction(temp, keep=repair) as tx:
                rows = invariants.find(tx)
                # What was not salvaged is not in the index either: that is made anew.
                tables = VectorTable.found(database, tx) if index and not found else []
                stale, unseen = _compared(tx, tables)
                if repair and (found or rows or stale):
                    invariants.mend(tx)
                    tx.execute("DELETE FROM index_marks")
                    tx.execute("DELETE FROM outbox")
                    begin_anew(tx)
                counts = _counts(tx)
            kept = None
            if repair and (found or rows or stale):
                kept = _replace(path, temp)
        finally:
            discard(temp)
            lock.release()
    found += [*rows, *stale]
    return Report(found, counts, repair and bool(found), kept, unseen)


def _rows(database: Database, repair: bool, index: bool) -> Report:
    """Check rows where they are, as they are at one moment, beside all who work with them."""
    home = database.home
    if not database.exists():
        raise NotFoundError(f"There is no project in {database.where}.")

    if index:
        VectorTable.load(database)

    def look(tx: Tx) -> tuple[list[Finding], list[Finding], str, str]:
        stale, unseen = _compared(tx, VectorTable.found(database, tx) if index else [])
        return invariants.find(tx), stale, unseen, _counts(tx)

    def mend(tx: Tx) -> str:
        invariants.mend(tx)
        indexes.retire(tx, indexes.known(tx))  # other servers have some, too
        begin_anew(tx)
        return _counts(tx)

    found, stale, unseen, counts = database.look(look)
    if repair and (found or stale):
        counts = database.run(mend)
        discard_all(home)
    return Report([*found, *stale], counts, repair and bool(found or stale), unseen=unseen)


@contextlib.contextmanager
def _folder(home: Path, writable: bool) -> Iterator[Path]:
    """Yield the folder for the copy, which only its owner may enter."""
    if writable:
        yield home
    else:
        with tempfile.TemporaryDirectory(prefix="letta-check-") as made:
            yield Path(made)


def _files(path: Path, temp: Path) -> list[Finding]:
    """Make the copy *temp*, one that opens, of a store; return what is wrong with its files."""
    lost = last_commit.loss(path)
    if path.exists():
        copy_store(path, temp)
    found = salvage.salvage(temp, path)
    if lost is not None and not found:
        left = salvage.left(temp)
        found.append(Finding("store", f"{lost} {left} of them are left.", "go on with those"))
    elif lost is not None:
        found.insert(0, Finding("store", lost, found[0].repair))
    return found


@contextlib.contextmanager
def _transaction(temp: Path, *, keep: bool) -> Iterator[Tx]:
    connection = opening.open_database(temp, CONFIG)
    try:
        tx = DuckTx(connection, temp, Counter())
        yield tx
        if tx.begun:
            connection.execute("COMMIT" if keep else "ROLLBACK")
        if keep:
            connection.execute("CHECKPOINT")
    finally:
        connection.close()


def _compared(tx: Tx, tables: Sequence[VectorTable]) -> tuple[list[Finding], str]:
    """Compare the indexes with the rows; return what is wrong, and what could not be compared."""
    found, unseen = [], ""
    for table in tables:
        try:
            found += _compared_one(tx, table)
        except IndexAwayError as error:  # nothing is known of it
            unseen = f"The vector index was not compared: {error}."
    return found, unseen


def _compared_one(tx: Tx, table: VectorTable) -> list[Finding]:
    """Compare an index with the rows that it has taken, by its marks."""
    name = table.name(tx)
    if name is None:
        return []
    waiting = {
        row[0] for row in tx.query("SELECT item_id FROM outbox WHERE index_name = $1", (name,))
    }
    wrong = missing = 0
    try:
        for owner, mark, kind in tx.query(
            "SELECT agent_id, seq, kind FROM index_marks WHERE index_name = $1", (name,)
        ):
            lines, _ = indexes.after(tx, kind, owner, 0, 1 << 30)
            want = {line.id: line.digest for line in lines if line.seq <= mark}
            there = table.lines_of(owner, 0)
            have = dict(zip(there["id"].to_pylist(), there["digest"].to_pylist(), strict=True))
            missing += len(want.keys() - have.keys() - waiting)
            if not waiting:  # else edits and deletes are still on their way
                every = {line.id: line.digest for line in lines}
                wrong += sum(every.get(one) != digest for one, digest in have.items())
    except IndexAwayError:
        raise
    except IndexBrokenError as error:
        return [Finding("index", f"{table.stem} cannot be read ({error})", "make it anew")]
    if not missing and not wrong:
        return []
    text = f"{table.stem} lacks {missing} lines and has {wrong} that are no more"
    return [Finding("index", text, "make it anew")]


def _counts(tx: Tx) -> str:
    counts = [tx.query(f"SELECT count(*) FROM {table}")[0][0] for table in _COUNTED]
    named = [f"{n:,} {t if n != 1 else t[:-1]}" for t, n in zip(_COUNTED, counts, strict=True)]
    return ", ".join(named)


def _replace(path: Path, temp: Path) -> Path:
    """Put the mended copy in the store's place; return the folder where the files as they were are."""
    kept = path.parent / f"damaged-{now():%Y%m%d-%H%M%S-%f}"
    kept.mkdir(mode=0o700)
    beside = [last_commit.log_of(path), last_commit.place(path)]
    for file in (path, *beside):
        if file.exists():
            copy_file(file, kept / file.name)
    # In this order: whoever is killed in between leaves a store that does not open, or the new one.
    os.replace(temp, path)
    for file in beside:
        file.unlink(missing_ok=True)
    discard_all(path.parent)
    return kept


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except (duckdb.Error, OSError, RuntimeError, MemoryError) as error:
        raise driver_errors.explain(error, path) from error
