"""What HTTP adds: turns over the REST server beside turns in the same process, by how many clients there are.

    python benchmarks/server.py [--clients 1,10,100] [--turns N] [--rounds N] [--json]

Every client has an agent of its own and sends the next message when the last is answered; a turn is one step
of an instant scripted model on loopback. ``in process`` calls `AgentService` on a thread for each client;
``http`` asks ``letta-kernel serve`` in another process over a kept connection; ``stream`` asks it for the
pieces as they come. All take turns within one run, a round at a time; the first turns of agents are left out.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TEXT = "How is the weather on the island today, and will the boat go?"
TOKEN = "only-for-the-benchmark"
IDLE = 5.0  # seconds after which a connection is not used again, as the SDK has it
WAYS = ("in process", "http", "stream")
Turn = Callable[[], None]


def in_process(url: str) -> Callable[[], Turn]:
    """Return what makes a client of an `AgentService` of this process."""
    from letta_kernel.service import AgentService

    service, number = AgentService(), itertools.count()

    def client() -> Turn:
        agent = service.agents.create(f"agent {next(number)}").id

        def turn() -> None:
            for _ in service.runs.send(agent, TEXT):
                pass

        return turn

    return client


def over_http(url: str, path: str, **asked: Any) -> Callable[[], Turn]:
    """Return what makes a client of the server at *url*, which reads answers to their end."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    def client() -> Turn:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        used = 0.0

        def post(path: str, body: dict[str, Any]) -> bytes:
            nonlocal used
            if time.monotonic() - used > IDLE:
                connection.close()  # it is opened anew
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {said[:200]!r}")
            used = time.monotonic()
            return said

        agent = json.loads(post("/v1/agents", {}))["id"]

        def turn() -> None:
            post(f"/v1/agents/{agent}/{path}", {"input": TEXT, **asked})

        return turn

    return client


def work(way: str, url: str) -> None:
    """Answer each line ``CLIENTS TURNS`` with the seconds it took and the seconds of every turn."""
    make = {
        "in process": lambda: in_process(url),
        "http": lambda: over_http(url, "messages"),
        "stream": lambda: over_http(url, "messages/stream", stream_tokens=True),
    }[way]()
    clients: list[Turn] = []
    for line in sys.stdin:
        count, turns = (int(word) for word in line.split())
        while len(clients) < count:
            clients.append(make())
            clients[-1]()
        print(json.dumps(measure(clients[:count], turns)), flush=True)


def measure(clients: list[Turn], turns: int) -> dict[str, Any]:
    """Let every client make *turns* turns, all at the same time."""
    taken: list[float] = []
    start = threading.Barrier(len(clients) + 1)

    def go(turn: Turn) -> None:
        start.wait()
        for _ in range(turns):
            began = time.perf_counter()
            turn()
            taken.append(time.perf_counter() - began)

    with ThreadPoolExecutor(len(clients)) as threads:
        going = [threads.submit(go, turn) for turn in clients]
        start.wait()
        began = time.perf_counter()
        for one in going:
            one.result()
    return {"seconds": time.perf_counter() - began, "turns": taken}


def started(stack: ExitStack, command: list[str], **environment: str) -> subprocess.Popen[str]:
    """Start a process that ends with *stack*."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        sys.exit(f"{process.args} ended early")
    return line


def run(counts: list[int], turns: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures: by clients, then by way."""
    found: dict[int, dict[str, list[dict[str, Any]]]] = {n: {w: [] for w in WAYS} for n in counts}
    with ExitStack() as stack:
        script = str(HERE.parent / "tests" / "scripted_server.py")
        model = line_of(started(stack, [script, "--port", "0"]))
        base = {
            "LETTA_MODEL": "openai/scripted",
            "OPENAI_BASE_URL": model,
            "OPENAI_API_KEY": "test",
            "LETTA_EMBEDDING": "wordllama",
            "LETTA_SERVER_TOKEN": TOKEN,
        }

        def home() -> dict[str, str]:
            return {**base, "LETTA_HOME": stack.enter_context(tempfile.TemporaryDirectory())}

        serve = ["-m", "letta_kernel.cli", "serve", "--port", "0", "--json"]
        url = json.loads(line_of(started(stack, serve, **home())))["url"]
        workers = {way: started(stack, [__file__, "--way", way, url], **home()) for way in WAYS}
        for count in counts:
            each = max(2, turns // count)
            for _ in range(rounds):
                for way, worker in workers.items():
                    assert worker.stdin is not None
                    worker.stdin.write(f"{count} {each}\n")
                    worker.stdin.flush()
                    found[count][way].append(json.loads(line_of(worker)))
            print(f"{count} clients: done", file=sys.stderr)
    return {
        str(count): {way: figures(parts) for way, parts in ways.items()}
        for count, ways in found.items()
    }


def figures(parts: list[dict[str, Any]]) -> dict[str, float]:
    taken = sorted(1000 * second for part in parts for second in part["turns"])
    return {
        "turns_per_s": round(len(taken) / sum(part["seconds"] for part in parts), 1),
        **{f"p{p}_ms": round(taken[(len(taken) - 1) * p // 100], 2) for p in (50, 95, 99)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", default="1,10,100", help="how many, by commas")
    parser.add_argument("--turns", type=int, default=100, help="of all clients, in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        work(*options.way)
        return
    counts = [int(count) for count in options.clients.split(",")]
    report = run(counts, options.turns, options.rounds)
    if options.json:
        print(json.dumps(report))
        return
    heads = ("turns/s", "p50 ms", "p95 ms", "p99 ms", "added at p50, ms")
    print(f"{'clients':>8}  {'':12}" + "".join(f"{head:>12}" for head in heads))
    for count, ways in report.items():
        for way, row in ways.items():
            added = row["p50_ms"] - ways[WAYS[0]]["p50_ms"]
            cells = "".join(f"{value:>12.1f}" for value in (*row.values(), added))
            print(f"{count:>8}  {way:12}{cells}")


if __name__ == "__main__":
    main()
