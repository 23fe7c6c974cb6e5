"""The processes that `engines.py` measures: they read lines of JSON, and answer each with one.

python benchmarks/engine_workers.py model|process|client|floor ARGUMENTS
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
TOKEN = "only-for-the-benchmark"
TEXT = "How is the weather on the island today, and will the boat go?"
EACH = 20  # turns with an agent, so that conversations are as long on either engine
ANSWER_WAIT = 180.0  # seconds that a client waits for an answer
REFUSED = (409, 429, 503)
Turn = tuple[str, float]  # how it ended, and after how many seconds


def model_worker(seconds: str) -> None:
    """Be the model, which thinks for so many seconds before it answers."""
    from scripted_server import Answer, ScriptedServer

    with ScriptedServer() as server:
        server.default = lambda body: Answer(text="Done.", before=float(seconds))
        print(server.url, flush=True)
        sys.stdin.read()


def process_worker() -> None:
    """Send in a loop, as a kernel or a server does that has a project beside others."""
    from letta_kernel.errors import AgentBusyError, LettaError, StoreBusyError
    from letta_kernel.hooks import users_code
    from letta_kernel.messages import RunEnded
    from letta_kernel.service import AgentService

    users_code.told_apart()
    for line in sys.stdin:
        asked = json.loads(line)
        with AgentService() as service:

            def turn(agent: str, service: AgentService = service) -> str:
                try:
                    events = list(service.runs.send(agent, TEXT))
                except (AgentBusyError, StoreBusyError):
                    return "refused"
                except LettaError as error:
                    return error.text
                ended = [one for one in events if isinstance(one, RunEnded)]
                return "" if len(ended) == 1 and not ended[0].error else str(ended)

            turn(asked["agents"][0])
            print("ready", flush=True)
            sys.stdin.readline()
            found: list[Turn] = []
            ends = time.monotonic() + asked["seconds"]
            while (began := time.monotonic()) < ends:
                how = turn(agent_of(asked["agents"], len(found)))
                found.append((how, time.monotonic() - began))
        print(json.dumps(found), flush=True)


def agent_of(agents: list[str], turn: int) -> str:
    """Return whom a turn is with: the first was used once already."""
    return agents[(1 + turn) // EACH % len(agents)]


def client_worker(url: str) -> None:
    """Be the clients of the server at *url*."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(asyncio.run(clients(url, asked["agents"], asked["seconds"]))), flush=True)


async def clients(url: str, agents: list[list[str]], seconds: float) -> list[Turn]:
    """Let each client talk with its agents, all at the same time; say "ready" and wait for a line before."""
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=ANSWER_WAIT
    ) as client:

        async def turn(agent: str) -> str:
            try:
                answer = await client.post(f"/v1/agents/{agent}/messages", json={"input": TEXT})
            except httpx.HTTPError as error:
                return repr(error)
            if answer.status_code in REFUSED:
                return "refused"
            if answer.status_code != 200:
                return f"{answer.status_code}: {answer.text:.200}"
            reason = answer.json()["stop_reason"]["stop_reason"]
            return "" if reason == "end_turn" else str(reason)

        async def talk(mine: list[str], ends: float) -> list[Turn]:
            found: list[Turn] = []
            while (began := time.monotonic()) < ends:
                found.append((await turn(agent_of(mine, len(found))), 0.0))
                found[-1] = (found[-1][0], time.monotonic() - began)
            return found

        await asyncio.gather(*(turn(one[0]) for one in agents[:10]))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        ends = time.monotonic() + seconds
        every = await asyncio.gather(*(talk(one, ends) for one in agents))
    return [one for each in every for one in each]


def floor_worker(store: str, model: str) -> None:
    """Ask the model and commit twice a turn, and nothing else, in so many threads."""
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": TEXT}]}
    for line in sys.stdin:
        asked = json.loads(line)
        started_at = threading.Barrier(asked["threads"] + 1)
        with ExitStack() as stack, httpx.Client(timeout=ANSWER_WAIT) as client:
            connect = committing(stack, store, asked["shared"])

            def ask(client: httpx.Client = client) -> None:
                with client.stream("POST", f"{model}/chat/completions", json=body) as reply:
                    reply.read()

            def go(
                commit: Callable[[], None],
                barrier: threading.Barrier = started_at,
                asked: dict[str, Any] = asked,
                ask: Callable[[], None] = ask,
            ) -> list[Turn]:
                barrier.wait()
                found: list[Turn] = []
                ends = time.monotonic() + asked["seconds"]
                while (began := time.monotonic()) < ends:
                    commit()
                    ask()
                    commit()
                    found.append(("", time.monotonic() - began))
                return found

            with ThreadPoolExecutor(asked["threads"]) as threads:
                going = [threads.submit(go, connect()) for _ in range(asked["threads"])]
                print("ready", flush=True)
                sys.stdin.readline()
                started_at.wait()
                every = [one.result() for one in going]
        print(json.dumps([one for each in every for one in each]), flush=True)


def committing(stack: ExitStack, store: str, shared: bool) -> Callable[[], Callable[[], None]]:
    """Return what returns, for a thread, what commits once.

    DuckDB's file is one process's at a time: where it is *shared*, each commit opens it behind a lock.
    """
    if store.startswith("postgresql:"):
        import psycopg

        most = threading.BoundedSemaphore(
            8
        )  # connections at work, as LETTA_STORE_CONNECTIONS has it

        def connect() -> Callable[[], None]:
            connection = stack.enter_context(psycopg.connect(store, autocommit=True))

            def commit() -> None:
                with most:
                    connection.execute("BEGIN; INSERT INTO bare.said VALUES (1, 'hi'); COMMIT")

            return commit

        return connect
    import duckdb
    from filelock import FileLock

    def write(connection: duckdb.DuckDBPyConnection) -> None:
        for statement in ("BEGIN", "INSERT INTO said VALUES (1, 'hi')", "COMMIT"):
            connection.execute(statement)

    if not shared:
        opened = stack.enter_context(closing(duckdb.connect(store, config={"threads": 1})))

        def connect() -> Callable[[], None]:
            cursor = opened.cursor()
            return lambda: write(cursor)

        return connect

    def commit() -> None:
        with (
            FileLock(f"{store}.lock", poll_interval=0.001),
            closing(duckdb.connect(store, config={"threads": 1})) as connection,
        ):
            write(connection)

    return lambda: commit


WORKERS: dict[str, Callable[..., None]] = {
    "model": model_worker,
    "process": process_worker,
    "client": client_worker,
    "floor": floor_worker,
}

if __name__ == "__main__":
    WORKERS[sys.argv[1]](*sys.argv[2:])
