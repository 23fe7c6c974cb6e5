"""Whether there is a project where ``LETTA_STORE`` says: asked by `letta_kernel.project`, by name."""

from __future__ import annotations

from pathlib import Path

from letta_kernel import settings
from letta_kernel.store.database import Database

_asked: dict[tuple[Path, str], Database] = {}


def exists(home: Path) -> bool:
    """Whether there is the project; looking does not make one.

    Raises
    ------
    StoreError
        The server that would have it cannot be asked.
    """
    return _database(home).exists()


def where(home: Path) -> str:
    """Return where the rows of the project are, for messages."""
    return _database(home).where


def _database(home: Path) -> Database:
    key = (home, settings.STORE())
    if key not in _asked:
        _asked[key] = Database(home, timeout=2.0)
    return _asked[key]
