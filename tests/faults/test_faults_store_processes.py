"""Several processes on one project: no commit is lost, and nobody waits out of turn."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from store_children import children, count_up, hold_lock, take_turns

from letta_kernel.store.database import Database


@pytest.mark.parametrize(
    ("processes", "times", "lease"),
    [
        pytest.param(4, 200, 0.25, id="four-processes"),
        pytest.param(2, 25, 0.0, id="opened-every-time"),
    ],
)
def test_no_commit_is_lost(tmp_path: Path, processes: int, times: int, lease: float) -> None:
    database = Database(tmp_path)
    database.run(lambda tx: tx.execute("CREATE TABLE shared (value bigint)"))
    database.run(lambda tx: tx.execute("INSERT INTO shared VALUES (0)"))
    database.run(lambda tx: tx.execute("CREATE TABLE rows (name text, number bigint)"))
    database.close()
    context = children()
    start = context.Event()
    everyone = [
        context.Process(target=count_up, args=(str(tmp_path), f"p{i}", times, lease, start))  # type: ignore[attr-defined]
        for i in range(processes)
    ]
    for process in everyone:
        process.start()
    start.set()
    for process in everyone:
        process.join(100)
        assert process.exitcode == 0
    assert database.run(lambda tx: tx.one("SELECT value FROM shared")) == (processes * times,)
    rows = database.run(lambda tx: tx.query("SELECT name, number FROM rows ORDER BY name, number"))
    assert rows == [(f"p{i}", number) for i in range(processes) for number in range(times)]
    database.close()


def can_slow_down() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None
        and not subprocess.run([strace, "-qq", "-o", os.devnull, "true"]).returncode
    )


@pytest.mark.skipif(not can_slow_down(), reason="needs strace, to slow a process down")
def test_no_commit_is_lost_to_a_stale_header(tmp_path: Path) -> None:
    # DuckDB 2.0 reads the header of a file before it locks it and never looks again: whoever commits
    # in between is undone. Here a child is held back just there, for longer than any commit takes.
    database = Database(tmp_path, lease=0)
    database.run(lambda tx: tx.execute("CREATE TABLE rows (name text)"))
    code = """
        import sys
        from letta_kernel.store.database import Database

        database = Database(sys.argv[1])
        print("ready", flush=True)
        database.run(lambda tx: tx.execute("INSERT INTO rows VALUES ('child')"))
        database.close()
    """
    slowly = ["strace", "-f", "-qq", "-o", os.devnull, "-P", str(database.path)]
    slowly += ["-e", "trace=fcntl", "-e", "inject=fcntl:delay_enter=300000"]
    child = subprocess.Popen(
        [*slowly, sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    ours = 0
    while child.poll() is None:
        database.run(lambda tx: tx.execute("INSERT INTO rows VALUES ('parent')"))
        ours += 1
    child.stdout.close()
    assert child.returncode == 0
    rows = database.run(lambda tx: tx.query("SELECT name FROM rows ORDER BY name"))
    assert rows == [("child",)] + [("parent",)] * ours
    database.close()


def test_processes_are_served_in_the_order_of_asking(tmp_path: Path) -> None:
    context = children()
    log = tmp_path / "log"
    start = context.Event()
    everyone = [
        context.Process(  # type: ignore[attr-defined]
            target=take_turns, args=(str(tmp_path), f"p{i}", 60, str(log), start)
        )
        for i in range(4)
    ]
    for process in everyone:
        process.start()
    start.set()
    for process in everyone:
        process.join(100)
        assert process.exitcode == 0
    served = [line.split(" ") for line in log.read_text().splitlines()]
    assert len(served) == 240
    tickets = [ticket for _, ticket in served if ticket]
    assert len(tickets) > 100  # they did get into each other's way
    # A ticket is numbered a moment before others can see it, so one may slip by; nobody is passed twice.
    for place, ticket in enumerate(tickets):
        passed_by = [other for other in tickets[:place] if other > ticket]
        assert len(passed_by) <= 3, (ticket, passed_by)


def test_a_process_that_never_rests_gives_way(tmp_path: Path) -> None:
    database = Database(tmp_path, lease=60)
    database.run(lambda tx: tx.execute("CREATE TABLE shared (value bigint)"))
    database.run(lambda tx: tx.execute("INSERT INTO shared VALUES (0)"))
    database.run(lambda tx: tx.execute("CREATE TABLE rows (name text, number bigint)"))
    context = children()
    start = context.Event()
    child = context.Process(target=count_up, args=(str(tmp_path), "child", 3, 60, start))  # type: ignore[attr-defined]
    child.start()
    start.set()
    transactions = 0
    while database.run(lambda tx: tx.one("SELECT count(*) FROM rows")) != (3,):
        transactions += 1
        assert transactions < 20_000, "the child was never let in"
    child.join(100)
    assert child.exitcode == 0
    database.close()


def test_an_idle_process_gives_way_at_once(tmp_path: Path) -> None:
    database = Database(tmp_path, lease=3600)
    database.run(lambda tx: tx.query("SELECT 1"))  # open now, and for an hour if nobody asks
    ours, theirs = multiprocessing.Pipe()
    child = children().Process(target=hold_lock, args=(str(tmp_path), theirs))  # type: ignore[attr-defined]
    child.start()
    assert ours.recv() == "held"
    ours.send("enough")
    child.join(100)
    assert child.exitcode == 0
    database.close()
