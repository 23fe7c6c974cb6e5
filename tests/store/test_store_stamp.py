"""Stamps: when something that was read need not be read again."""

from __future__ import annotations

import pytest

from letta_kernel.records import AgentState
from letta_kernel.store import agents, settings
from letta_kernel.store.database import Database


def test_a_stamp_changes_when_its_table_is_written(database: Database) -> None:
    before = database.run(lambda tx: tx.stamp("agents"))
    other = database.run(lambda tx: tx.stamp("settings"))
    database.run(lambda tx: agents.add(tx, AgentState(name="eve")))
    assert database.run(lambda tx: tx.stamp("agents")) != before
    assert database.run(lambda tx: tx.stamp("settings")) == other


def test_a_writer_has_no_stamp_of_what_it_writes(database: Database) -> None:
    def work(tx: object) -> object:
        settings.put(tx, "a", "b")  # type: ignore[arg-type]
        return tx.stamp("settings")  # type: ignore[attr-defined]

    assert database.run(work) is None


def test_another_process_could_have_written_once_the_connection_was_closed(
    database: Database,
) -> None:
    before = database.run(lambda tx: tx.stamp("agents"))
    database.close()
    assert database.run(lambda tx: tx.stamp("agents")) != before


def test_what_was_undone_changes_no_stamp(database: Database) -> None:
    before = database.run(lambda tx: tx.stamp("settings"))

    def work(tx: object) -> None:
        settings.put(tx, "a", "b")  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(work)
    assert database.run(lambda tx: tx.stamp("settings")) == before
