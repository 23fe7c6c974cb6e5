"""Processes killed at any moment: nothing acknowledged is lost, nothing stays blocked."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import pytest
from store_children import (
    children,
    find_or_add,
    hold_agent,
    hold_lock,
    wait_for_lock,
    write_steps,
)

from letta_kernel.errors import AgentBusyError, ConflictError
from letta_kernel.store import agents, lease, messages, runs
from letta_kernel.store.check import check
from letta_kernel.store.database import Database, Tx

ROUNDS = 30


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance = random.Random(20)
    context = children()
    steps: dict[str, int] = {}  # acknowledged: step id -> last seq
    started: list[str] = []
    for number in range(ROUNDS):
        receive, send = multiprocessing.Pipe(duplex=False)
        child = context.Process(target=write_steps, args=(str(tmp_path), send))  # type: ignore[attr-defined]
        child.start()
        send.close()
        heard = [receive.recv()]  # it is awake: from now on it may die while it opens the store,
        try:
            if number % 4:  # or later, between and inside its commits
                heard += [receive.recv(), receive.recv()]
            deadline = time.monotonic() + chance.uniform(0, 0.08)
            while (left := deadline - time.monotonic()) > 0:
                if receive.poll(left):
                    heard.append(receive.recv())
            child.kill()
            while True:  # what was said before it died
                heard.append(receive.recv())
        except EOFError:
            pass
        finally:
            child.kill()
            child.join()
            receive.close()
        for what, *rest in heard:
            if what == "run":
                started.append(rest[0])
            elif what == "step":
                steps[rest[0]] = rest[1]
        check_history(tmp_path, steps, started)
    assert check(Database(tmp_path), index=False).findings == []
    assert len(started) > ROUNDS / 2
    assert len(steps) > len(started)


def test_a_project_killed_while_it_is_made_can_be_opened(tmp_path: Path) -> None:
    chance = random.Random(4)
    context = children()
    for number in range(8):
        home = tmp_path / str(number)
        receive, send = multiprocessing.Pipe(duplex=False)
        child = context.Process(target=write_steps, args=(str(home), send))  # type: ignore[attr-defined]
        child.start()
        send.close()
        receive.recv()  # it is awake and begins to make the database
        receive.poll(chance.uniform(0, 0.08))
        child.kill()
        child.join()
        receive.close()
        check_history(home, {}, [])


def check_history(home: Path, steps: dict[str, int], started: list[str]) -> None:
    database = Database(home)

    def work(tx: Tx) -> None:
        agent = find_or_add(tx, "ada")
        history = messages.window(tx, agent.thread, 0)
        assert [message.seq for message in history] == list(range(1, len(history) + 1))
        last_seq = {m.step_id: m.seq for m in history if m.role != "event"}
        for step_id, seq in steps.items():
            assert last_seq[step_id] == seq
            assert runs.get_step(tx, step_id) is not None
        for run_id in started:
            assert runs.get(tx, run_id) is not None
        open_calls: set[str] = set()
        for (
            message
        ) in history:  # every call is followed by its result, and every result answers one
            if message.role == "tool":
                assert message.tool_call_id in open_calls
                open_calls.remove(message.tool_call_id)
            else:
                assert not open_calls
                open_calls = {call.id for call in message.tool_calls}
        assert not open_calls
        known = {
            step.id for run in runs.page(tx, agent.id, 1000) for step in runs.steps_of(tx, run.id)
        }
        assert {message.step_id for message in history} == known

    database.run(work)
    database.close()


def test_the_agent_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    database = Database(tmp_path)
    agent = database.run(lambda tx: find_or_add(tx, "ada"))
    ours, theirs = multiprocessing.Pipe()
    child = children().Process(target=hold_agent, args=(str(tmp_path), agent.id, theirs))  # type: ignore[attr-defined]
    child.start()
    try:
        fence, run_id = ours.recv()
        me = lease.process_owner()
        with pytest.raises(AgentBusyError, match="in the middle of a run in another program: wait"):
            database.run(lambda tx: agents.acquire(tx, agent.id, me, 60))
        assert database.run(lambda tx: lease.recover(tx, agent.id)) == []
    finally:
        child.kill()
        child.join()
    assert database.run(lambda tx: agents.acquire(tx, agent.id, me, 60)) == fence + 1
    assert database.run(lambda tx: lease.recover(tx, agent.id)) == [run_id]
    run = database.run(lambda tx: runs.get(tx, run_id))
    assert run is not None
    assert (run.status, run.stop_reason) == ("failed", "error")
    with pytest.raises(ConflictError, match="taken over"):
        database.run(lambda tx: agents.check_fence(tx, agent.id, fence))
    database.close()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    child = children().Process(target=hold_lock, args=(str(tmp_path), theirs))  # type: ignore[attr-defined]
    child.start()
    assert ours.recv() == "held"
    child.kill()
    child.join()
    database = Database(tmp_path, timeout=5)
    assert database.run(lambda tx: tx.one("SELECT 1")) == (1,)
    database.close()


@pytest.mark.duckdb
def test_a_process_killed_in_the_queue_holds_nobody_up(tmp_path: Path) -> None:
    context = children()
    ours, theirs = multiprocessing.Pipe()
    holder = context.Process(target=hold_lock, args=(str(tmp_path), theirs))  # type: ignore[attr-defined]
    holder.start()
    assert ours.recv() == "held"
    waiting, its = multiprocessing.Pipe()
    waiter = context.Process(target=wait_for_lock, args=(str(tmp_path), its))  # type: ignore[attr-defined]
    waiter.start()
    assert waiting.recv() == "queueing"
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("queue/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    waiter.kill()
    waiter.join()
    assert list(tmp_path.glob("queue/*"))  # its ticket is still there
    holder.kill()
    holder.join()
    database = Database(tmp_path, timeout=20)
    assert database.run(lambda tx: tx.one("SELECT 1")) == (1,)
    database.close()
    assert not list(tmp_path.glob("queue/*"))
