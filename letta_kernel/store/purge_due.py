"""When forgotten passages are to be purged: a note in the store, and a file beside it.

The file is empty; its modification time says when the next purge is due, so that the store need not be opened
to find out. If it is lost, opening the store makes it anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from letta_kernel.store import settings
from letta_kernel.store.automatic_backups import DAY
from letta_kernel.store.database_file import FILE
from letta_kernel.store.transaction import Tx

KEPT_DAYS = 30
"""For so many days what is forgotten can be restored."""
NOTE = "purge: passages"
"""The setting that holds the ids of what is being removed."""


def file(home: Path) -> Path:
    """Return the file whose time says when there is something to do."""
    return home / f"{FILE}.due"


def expect(home: Path, in_file: bool) -> None:
    """Schedule the purge of something that was forgotten just now; rows in no file say it themselves."""
    with contextlib.suppress(OSError):
        if in_file and not file(home).exists():
            look_again(home, time.time() + KEPT_DAYS * DAY)


def opened(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Make the file for a store that came without it: from a copy, or another folder."""

    def run(sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(sql, given).fetchall()

    with contextlib.suppress(OSError, duckdb.Error):
        if not file(home).exists() and (at := following(run)) is not None:
            look_again(home, at)


def following(run: Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]) -> float | None:
    """Return when there is something to do next, in seconds since 1970; None if nothing is forgotten.

    *run* runs a statement with its parameters and returns its rows.
    """
    ((first, begun),) = run(
        "SELECT extract(epoch FROM min(forgotten_at)), (SELECT count(*) FROM settings WHERE key = $1)"
        " FROM forgotten",
        [NOTE],
    )
    if begun:
        return time.time()
    return None if first is None else float(first) + KEPT_DAYS * DAY


def look_again(home: Path, at: float) -> None:
    """Say that there is something to do at *at*, in seconds since 1970."""
    file(home).touch(0o600)
    os.utime(file(home), (at, at))


def drop(tx: Tx, owner_id: str) -> None:
    """Schedule the purge of what a deleted owner had forgotten: nobody can restore it, old copies have it."""
    rows = tx.query(
        "DELETE FROM forgotten WHERE agent_id IN ($1, $1 || '/past') RETURNING id", (owner_id,)
    )
    note(tx, [str(row[0]) for row in rows])


def note(tx: Tx, ids: Sequence[str]) -> None:
    """Add passages that the store has no more to those that are removed from its copies."""
    if ids:
        noted = json.loads(settings.get(tx, NOTE) or "[]")
        settings.put(tx, NOTE, json.dumps(sorted({*noted, *ids})))
