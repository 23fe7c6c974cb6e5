"""Settings of the project."""

from __future__ import annotations

from letta_kernel.store import settings
from letta_kernel.store.database import Database


def test_settings_are_kept_changed_and_removed(database: Database) -> None:
    assert database.run(lambda tx: settings.get(tx, "colour")) is None
    database.run(lambda tx: settings.put(tx, "colour", "green"))
    database.run(lambda tx: settings.put(tx, "colour", "blue"))
    database.run(lambda tx: settings.put(tx, "other", ""))
    assert database.run(lambda tx: settings.get(tx, "colour")) == "blue"
    assert database.run(lambda tx: settings.get(tx, "other")) == ""
    database.run(lambda tx: settings.put(tx, "colour", None))
    assert database.run(lambda tx: settings.get(tx, "colour")) is None
