"""Stamps: when something that was read need not be read again."""

from __future__ import annotations

import pytest

from letta_kernel.records import AgentState
from letta_kernel.store import agents, lease, settings
from letta_kernel.store.database import Database

ME = lease.process_owner()


@pytest.mark.duckdb
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


@pytest.mark.duckdb
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


@pytest.mark.duckdb
def test_that_nothing_was_posted_is_known_until_somebody_posts(
    database: Database, ada: AgentState
) -> None:
    def run(post: bool) -> bool:
        head = database.run(lambda tx: agents.begin(tx, ada.id, f"{ME}/run", 60, 1))
        if post:
            database.run(lambda tx: lease.post(tx, ada.id, "The door opens."))
        database.run(lambda tx: agents.advance(tx, ada.id, head.fence, 60, 1, end=True))
        return database.run(lambda tx: agents.none_posted(tx, ada.id))

    assert not database.run(lambda tx: agents.none_posted(tx, ada.id))  # it would have to be asked
    assert run(post=False)
    assert run(post=False)
    assert not run(post=True)
    assert not run(post=False)
    database.run(lambda tx: lease.posted_begun(tx, ada.id, "The door opens."))
    assert run(post=False)
    database.run(lambda tx: lease.post(tx, ada.id, "It shuts."))
    assert not database.run(lambda tx: agents.none_posted(tx, ada.id))
    assert database.run(lambda tx: lease.first_posted(tx, ada.id)) == "It shuts."


def test_what_a_call_had_begun_is_written_off_with_the_next_commit(
    database: Database, ada: AgentState
) -> None:
    head = database.run(lambda tx: agents.begin(tx, ada.id, f"{ME}/run", 60, 1))
    begun = []
    for calls in (["call-1"], [], []):
        database.run(
            lambda tx, calls=calls: agents.advance(tx, ada.id, head.fence, 60, 1, begun=calls)  # type: ignore[misc]
        )
        row = database.run(lambda tx: tx.one("SELECT begun, next_seq FROM leases"))
        begun.append(row)
    assert begun == [('["call-1"]', head.seq + 2), (None, head.seq + 3), (None, head.seq + 4)]
