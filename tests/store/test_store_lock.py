"""The lock around the database file and the queue before it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from letta_kernel.concurrency import Uninterrupted
from letta_kernel.errors import StoreError
from letta_kernel.store.lock import STALE, HomeLock

pytestmark = pytest.mark.duckdb


def test_only_one_holds_it(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    first.acquire(1)
    assert first.held
    assert first.intact()
    assert not first.wanted()
    with pytest.raises(StoreError, match=f"process {os.getpid()}"):
        second.acquire(0.05)
    assert not second.held
    assert not list((tmp_path / "queue").iterdir())  # its ticket is gone
    first.release()
    first.release()
    second.acquire(1)
    second.release()


def test_the_holder_sees_who_waits(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    first.acquire(1)
    waiter = threading.Thread(target=second.acquire, args=(60,))
    waiter.start()
    while not first.wanted():
        time.sleep(0.001)
    first.release()
    waiter.join()
    assert second.held
    assert not second.wanted()
    second.release()


def test_a_newcomer_queues_behind_those_who_wait(tmp_path: Path) -> None:
    locks = [HomeLock(tmp_path) for _ in range(4)]
    served: list[int] = []

    def take(number: int) -> None:
        locks[number].acquire(60)
        served.append(number)
        locks[number].release()

    locks[0].acquire(1)
    threads = []
    for number in (2, 1, 3):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        while len(list(tmp_path.glob("queue/*"))) < len(threads):
            time.sleep(0.001)
    locks[0].release()
    locks[0].acquire(60)  # asked for last, although it has just had it
    served.append(0)
    locks[0].release()
    for thread in threads:
        thread.join()
    assert served == [2, 1, 3, 0]


def test_tickets_of_the_dead_are_cleared_away(tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    queue.mkdir()
    dead = queue / "00000000000000000001-1-dead"
    dead.touch()
    os.utime(dead, (time.time() - STALE - 1,) * 2)
    lock = HomeLock(tmp_path)
    assert not lock.wanted()
    assert not dead.exists()
    dead.touch()
    assert lock.wanted()


def test_a_deleted_lock_file_is_noticed(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    lock.acquire(1)
    (tmp_path / "letta.lock").unlink()
    assert lock.held
    assert not lock.intact()
    lock.release()


def test_the_stop_button_ends_the_waiting(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    first.acquire(1)

    def press() -> None:
        while not list(tmp_path.glob("queue/*")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        second.acquire(60)
    assert not second.held
    first.release()
    second.acquire(1)
    second.release()


def test_an_interrupt_is_held_back_and_then_obeyed() -> None:
    reached = []

    def work() -> None:
        with Uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            reached.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == [1]
    with Uninterrupted():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
