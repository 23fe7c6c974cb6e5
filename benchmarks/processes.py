"""Several processes on one project: what they get done together, and how long one has to wait at worst.

    python benchmarks/processes.py [--seconds N] [--counts 1,2,4] [--json]

Each process writes without a pause, a message in a transaction, for so many seconds. So that a busy machine
shows, one process alone is measured beside each number of them in the same run; the ratio is to that.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any

from letta_kernel.messages import Message
from letta_kernel.service import AgentService
from letta_kernel.store import messages
from letta_kernel.store.database import Database


def write(home: str, agent_id: str, seconds: float, told: Connection) -> None:
    """Write for *seconds* from when the pipe says so; tell how long each transaction took."""
    database = Database(home)
    database.run(lambda tx: tx.query("SELECT 1"))
    database.close()
    told.send("ready")
    told.recv()
    taken = []
    ends = time.monotonic() + seconds
    while (began := time.monotonic()) < ends:
        said = [Message(agent_id=agent_id, role="user", content="A message of some length. " * 8)]
        database.run(lambda tx, said=said: messages.append(tx, agent_id, said))
        taken.append(time.monotonic() - began)
    database.close()
    told.send(taken)


def together(count: int, seconds: float) -> dict[str, float]:
    """Return what *count* processes do together."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as home:
        with AgentService(home) as service:
            agents = [service.agents.create(f"agent {n}").id for n in range(count)]
        pipes, processes = [], []
        for agent_id in agents:
            ours, theirs = context.Pipe()
            processes.append(context.Process(target=write, args=(home, agent_id, seconds, theirs)))
            processes[-1].start()
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        for pipe in pipes:
            pipe.send("go")
        taken = [pipe.recv() for pipe in pipes]
        for process in processes:
            process.join()
    every = [one for each in taken for one in each]
    return {
        "transactions_s": len(every) / seconds,
        "median_ms": 1000 * statistics.median(every),
        "worst_ms": 1000 * max(every),
        "fewest_of_one": min(map(len, taken)),
        "most_of_one": max(map(len, taken)),
    }


def hand_over(rounds: int = 20) -> dict[str, float]:
    """Return the milliseconds that opening, with a read, and closing take."""
    opened, closed = [], []
    with tempfile.TemporaryDirectory() as home:
        database = Database(home, lease=3600)
        for _ in range(rounds + 1):
            began = time.perf_counter()
            database.run(lambda tx: tx.execute("UPDATE schema_version SET version = version"))
            between = time.perf_counter()
            database.hand_over()
            opened.append(1000 * (between - began))
            closed.append(1000 * (time.perf_counter() - between))
    return {"open_ms": statistics.median(opened[1:]), "close_ms": statistics.median(closed[1:])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--counts", default="1,2,4")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report: dict[str, Any] = {"hand_over": hand_over()}
    for count in map(int, given.counts.split(",")):
        alone = together(1, given.seconds)
        report[str(count)] = together(count, given.seconds) | {"alone_s": alone["transactions_s"]}
    if given.json:
        print(json.dumps(report))
        return
    costs = report.pop("hand_over")
    print(f"a hand-over: {costs['open_ms']:.1f} ms to open, {costs['close_ms']:.1f} ms to close\n")
    print("processes  transactions/s  of one alone  median ms  worst wait ms  fewest-most of one")
    for count, one in report.items():
        print(
            f"{count:>9}{one['transactions_s']:16.0f}{one['transactions_s'] / one['alone_s']:14.2f}"
            f"{one['median_ms']:11.1f}{one['worst_ms']:15.0f}"
            f"{one['fewest_of_one']:12.0f}-{one['most_of_one']:.0f}"
        )


if __name__ == "__main__":
    main()
