"""What the child processes of the fault tests do; started fresh or from a server of forks."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path

from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import AgentState, Run, Step
from letta_kernel.store import agents, lease, messages, runs
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lock import HomeLock


def children() -> BaseContext:
    """Return a way to start processes quickly that have imported all this but opened nothing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Everything a child imports, pytest too because the child imports the main module again.
    context.set_forkserver_preload(
        ["pytest", "letta_kernel.service", "letta_kernel.models.scripted"]
    )
    return context


def find_or_add(tx: Tx, name: str) -> AgentState:
    found = agents.named(tx, name)
    return found[0] if found else agents.add(tx, AgentState(name=name))


def write_steps(home: str, acknowledge: Connection) -> None:
    """Write steps without end, saying on the pipe which are committed."""
    acknowledge.send(("awake",))
    database = Database(home)
    agent = database.run(lambda tx: find_or_add(tx, "ada"))
    owner = lease.process_owner()
    run = Run(agent_id=agent.id)

    def begin(tx: Tx) -> int:
        fence = agents.acquire(tx, agent.id, owner, 60)
        lease.recover(tx, agent.id)
        runs.start(tx, run)
        return fence

    fence = database.run(begin)
    acknowledge.send(("run", run.id))
    number = 0
    while True:
        number += 1
        step = Step(run_id=run.id, agent_id=agent.id, number=number)
        common = {"agent_id": agent.id, "run_id": run.id, "step_id": step.id}
        wanted = [ToolCall(id=f"{step.id}-{i}", name="count") for i in range(number % 3)]
        asked = Message(
            **common, role="assistant", content="x" * (number * 37 % 2000), tool_calls=wanted
        )
        answers = [
            Message(**common, role="tool", tool_call_id=call.id, content="1", status="ok")
            for call in wanted
        ]

        def work(tx: Tx, step: Step = step, added: tuple[Message, ...] = (asked, *answers)) -> int:
            agents.check_fence(tx, agent.id, fence)
            runs.add_step(tx, step)
            return messages.append(tx, agent.id, added)[-1].seq

        acknowledge.send(("step", step.id, database.run(work)))


def count_up(home: str, name: str, times: int, lease_seconds: float, start: object) -> None:
    """Add one to a shared number and leave a row of one's own, *times* times."""
    database = Database(home, lease=lease_seconds)
    start.wait()  # type: ignore[attr-defined]
    for number in range(times):

        def work(tx: Tx, number: int = number) -> None:
            row = tx.one("SELECT value FROM shared")
            assert row is not None
            tx.execute("UPDATE shared SET value = $1", (row[0] + 1,))
            tx.execute("INSERT INTO rows VALUES ($1, $2)", (name, number))

        database.run(work)
    database.close()


class TracedLock(HomeLock):
    """A lock that remembers the ticket it was served by."""

    served = ""

    def _touch(self, ticket: Path) -> None:
        self.served = ticket.name
        super()._touch(ticket)


def take_turns(home: str, name: str, times: int, log: str, start: object) -> None:
    """Take the lock *times* times, each time writing one's name and ticket into a common log."""
    lock = TracedLock(Path(home))
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    start.wait()  # type: ignore[attr-defined]
    for _ in range(times):
        lock.served = ""
        lock.acquire(60)
        os.write(file, f"{name} {lock.served}\n".encode())
        lock.release()


def hold_agent(home: str, agent_id: str, ready: Connection) -> None:
    """Take an agent's lease for an hour and begin a run, then wait for the end."""
    database = Database(home)
    run = Run(agent_id=agent_id)

    def work(tx: Tx) -> int:
        fence = agents.acquire(tx, agent_id, lease.process_owner(), 3600)
        runs.start(tx, run)
        return fence

    fence = database.run(work)
    ready.send((fence, run.id))
    ready.recv()


def hold_lock(home: str, ready: Connection) -> None:
    """Take the project's lock and keep it."""
    lock = HomeLock(Path(home))
    lock.acquire(10)
    ready.send("held")
    ready.recv()


def wait_for_lock(home: str, ready: Connection) -> None:
    """Queue for the project's lock."""
    ready.send("queueing")
    HomeLock(Path(home)).acquire(60)
    ready.send("held")


def stop_inside(home: str, ready: Connection) -> None:
    """Stop in the middle of a transaction, and commit it when the process goes on."""
    database = Database(home)

    def work(tx: Tx) -> None:
        agents.add(tx, AgentState(name="of the stopped"))
        ready.send("inside")
        os.kill(os.getpid(), signal.SIGSTOP)

    database.run(work)
    database.close()
    ready.send("committed")
