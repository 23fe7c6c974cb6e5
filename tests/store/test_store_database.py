"""Transactions: all or nothing, from any thread, whatever interrupts them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import psycopg
import pytest

from letta_kernel.errors import ConflictError, InvalidInputError, StoreError
from letta_kernel.store import last_commit
from letta_kernel.store.database import CommittedInterrupt, Database, Tx
from letta_kernel.store.driver import Conflict


@pytest.fixture
def notes(database: Database) -> Database:
    database.run(
        lambda tx: tx.execute(
            "CREATE TABLE notes (id bigint PRIMARY KEY, text text, made timestamptz)"
        )
    )
    return database


def note(tx: Tx, number: int, text: str = "") -> int:
    tx.execute("INSERT INTO notes VALUES ($1, $2, NULL)", (number, text))
    return number


def numbers(database: Database) -> list[int]:
    return database.run(lambda tx: [row[0] for row in tx.query("SELECT id FROM notes ORDER BY id")])


@pytest.mark.duckdb
def test_the_folder_is_made_on_first_use(home: Path, database: Database) -> None:
    assert not home.exists()
    assert database.run(lambda tx: tx.one("SELECT name FROM users")) == ("local",)
    assert database.path == home / "letta.duckdb"
    assert database.path.exists()


def test_a_transaction_is_kept_when_run_returns(notes: Database, home: Path) -> None:
    assert notes.run(lambda tx: note(tx, 1)) == 1
    notes.close()
    assert numbers(Database(home)) == [1]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_whatever_is_raised_undoes_everything(notes: Database, error: BaseException) -> None:
    def work(tx: Tx) -> None:
        note(tx, 1)
        raise error

    with pytest.raises(type(error)):
        notes.run(work)
    assert numbers(notes) == []
    notes.run(lambda tx: note(tx, 2))
    assert numbers(notes) == [2]


def test_a_failed_statement_cannot_be_ignored(notes: Database) -> None:
    def work(tx: Tx) -> None:
        note(tx, 1)
        with pytest.raises(ConflictError):
            note(tx, 1)

    with pytest.raises(StoreError, match="nothing was saved"):
        notes.run(work)
    assert numbers(notes) == []


def test_bad_values_are_the_callers_fault(notes: Database) -> None:
    notes.run(lambda tx: note(tx, 1))
    with pytest.raises(ConflictError, match="already"):
        notes.run(lambda tx: note(tx, 1))
    with pytest.raises(InvalidInputError):
        notes.run(lambda tx: tx.execute("INSERT INTO notes VALUES ($1, '', NULL)", ("one",)))
    with pytest.raises(InvalidInputError):
        notes.run(lambda tx: tx.query("SELECT CAST($1 AS json)", ("{broken",)))


def test_a_transaction_is_of_no_use_afterwards(notes: Database) -> None:
    kept = notes.run(lambda tx: tx)
    with pytest.raises(StoreError, match="over"):
        kept.query("SELECT 1")


def test_transactions_do_not_nest(notes: Database) -> None:
    with pytest.raises(StoreError, match="inside another"):
        notes.run(lambda tx: notes.run(lambda inner: note(inner, 1)))
    notes.run(lambda tx: note(tx, 2))
    assert numbers(notes) == [2]


def test_a_conflict_is_tried_again(notes: Database) -> None:
    tries = []

    def work(tx: Tx) -> int:
        note(tx, len(tries))
        tries.append(1)
        if len(tries) < 3:
            raise Conflict("somebody else was first")
        return len(tries)

    assert notes.run(work) == 3
    assert numbers(notes) == [2]


def test_conflicts_without_end_are_reported(
    notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_STORE_WAIT", "0.2")

    def work(tx: Tx) -> None:
        note(tx, 1)
        raise Conflict("always")

    with pytest.raises(ConflictError, match="Try again"):
        notes.run(work)
    assert numbers(notes) == []


def test_threads_take_turns(notes: Database) -> None:
    def add_many(start: int) -> None:
        for number in range(start, start + 25):
            notes.run(lambda tx, number=number: note(tx, number))  # type: ignore[misc]

    threads = [threading.Thread(target=add_many, args=(start,)) for start in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(notes) == list(range(200))


def test_two_databases_of_one_process_take_turns(notes: Database, home: Path) -> None:
    other = Database(home)
    for number in range(6):
        (notes, other)[number % 2].run(lambda tx, number=number: note(tx, number))  # type: ignore[misc]
    assert numbers(notes) == numbers(other) == list(range(6))
    other.close()


def test_text_is_freed_of_what_databases_refuse(notes: Database) -> None:
    notes.run(lambda tx: note(tx, 1, "a\0b\ud800c \ud83d\ude00 ü"))
    assert notes.run(lambda tx: tx.one("SELECT text FROM notes")) == ("abc 😀 ü",)


def test_times_come_back_in_utc(notes: Database) -> None:
    moment = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5)))
    notes.run(lambda tx: tx.execute("INSERT INTO notes VALUES (1, '', $1)", (moment,)))
    row = notes.run(lambda tx: tx.one("SELECT made FROM notes"))
    assert row is not None
    assert row[0] == moment
    assert row[0].utcoffset() == timedelta(0)
    assert row[0].astimezone(UTC).hour == 7


@pytest.mark.duckdb
def test_an_idle_connection_is_given_up(notes: Database) -> None:
    notes.run(lambda tx: note(tx, 1))
    code = f"import duckdb; print(duckdb.connect({str(notes.path)!r}).sql('FROM notes').fetchall())"
    deadline = time.monotonic() + 30
    while True:  # a program that knows nothing of our lock gets in as soon as the lease is over
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode == 0 or time.monotonic() > deadline:
            break
    assert done.stdout.strip() == "[(1, '', None)]", done.stderr
    notes.run(lambda tx: note(tx, 2))
    assert numbers(notes) == [1, 2]


def test_a_closed_database_opens_again(notes: Database) -> None:
    notes.close()
    notes.close()
    notes.run(lambda tx: note(tx, 1))
    assert numbers(notes) == [1]


def test_the_stop_button_during_a_statement(notes: Database) -> None:
    many = "generate_series(1::bigint, 100000::bigint)"
    slow = f"SELECT count(*) FROM {many} AS a(n), {many} AS b(n) WHERE a.n * b.n % 7 = 3"

    def work(tx: Tx) -> None:
        note(tx, 1)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        tx.query(slow)

    with pytest.raises(KeyboardInterrupt):
        notes.run(work)
    notes.run(lambda tx: note(tx, 2))
    assert numbers(notes) == [2]


def test_the_stop_button_at_any_moment_leaves_no_doubt(notes: Database) -> None:
    # Interrupts strike at random: what run says, saved or not, is what the table holds.
    chance = random.Random(7)
    saved, counts = [], {"returned": 0, "committed": 0, "undone": 0, "outside": 0}
    longest = 0.006
    asked, ask = os.pipe()

    def strike(seconds: float) -> None:
        os.read(asked, 1)
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    def work(tx: Tx) -> int:
        note(tx, number)
        # On a busy machine all others may be done, or not begun, when it strikes.
        if number % 4 == 3:
            time.sleep(60)  # it ends this
        return number

    for number in range(100):
        if number % 10 == 9 and not counts["returned"]:  # a busy machine: let some be done in time
            longest *= 2
        timer = threading.Thread(target=strike, args=(chance.uniform(0, longest),))
        timer.start()  # before it counts: an interrupt in here would leave a lock of Python's in two minds
        returned = False
        try:
            os.write(ask, b"!")
            notes.run(work)
            returned = True
            timer.join()
            time.sleep(0.05)
        except CommittedInterrupt as interrupt:
            saved.append(interrupt.result)
            counts["committed"] += 1
        except KeyboardInterrupt as interrupt:
            inside = any(
                frame.name == "run" and frame.filename.endswith("database.py")
                for frame in traceback.extract_tb(interrupt.__traceback__)
            )
            if returned:
                saved.append(number)
            elif not inside:  # before run began or after it had returned: nothing can be told
                row = notes.run(
                    lambda tx, number=number: tx.one(  # type: ignore[misc]
                        "SELECT id FROM notes WHERE id = $1", (number,)
                    )
                )
                saved += [number] if row else []
            counts["returned" if returned else "undone" if inside else "outside"] += 1
        timer.join()
    os.close(asked)
    os.close(ask)
    assert numbers(notes) == saved
    assert counts["undone"], counts
    assert counts["returned"], counts


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_forked_child_leaves_the_parents_connection_alone(notes: Database) -> None:
    notes.run(lambda tx: note(tx, 1))  # the connection is open now
    child = os.fork()
    if child == 0:
        try:
            notes.run(lambda tx: note(tx, 2))
            notes.close()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    notes.run(lambda tx: note(tx, 3))
    notes.close()
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert numbers(notes) == [1, 2, 3]


@pytest.mark.duckdb
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_child_forked_inside_a_transaction_cannot_use_it(notes: Database) -> None:
    def work(tx: Tx) -> int:
        note(tx, 1)
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(StoreError, match="over"):
                    tx.query("SELECT 1")
                with pytest.raises(StoreError, match="spawn"):
                    notes.driver._ready()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        return os.waitpid(child, 0)[1]

    assert notes.run(work) == 0
    assert numbers(notes) == [1]


@pytest.mark.duckdb
def test_a_deleted_lock_file_is_noticed(notes: Database, home: Path) -> None:
    (home / "letta.lock").unlink()
    notes.run(lambda tx: note(tx, 1))
    assert (home / "letta.lock").exists()
    assert numbers(notes) == [1]


@pytest.mark.duckdb
def test_a_database_put_in_place_of_ours_is_read(notes: Database, home: Path) -> None:
    notes.run(lambda tx: note(tx, 1))
    notes.close()
    backup = notes.path.read_bytes()
    notes.run(lambda tx: note(tx, 2))
    copy = home / "copy.duckdb"
    copy.write_bytes(backup)
    for log in home.glob("*.wal"):
        log.unlink()
    copy.replace(notes.path)
    with pytest.raises(StoreError, match="has lost what was saved"):  # by a hand or by an accident
        numbers(notes)
    last_commit.forget(notes.path)
    assert numbers(notes) == [1]


def test_statements_that_make_no_sense_are_one_line(database: Database) -> None:
    with pytest.raises(StoreError) as raised:
        database.run(lambda tx: tx.query("SELECT nothing FROM nowhere"))
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value.__cause__, duckdb.Error | psycopg.Error)
