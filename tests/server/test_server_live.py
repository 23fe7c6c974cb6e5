"""Runs that many follow: long ones, late, slow and vanished readers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import pytest
from scripted_server import ScriptedServer
from server_bench import Server

from letta_kernel.messages import TextDelta
from letta_kernel.server import live as live_room
from letta_kernel.server.live import LiveRuns, TooManyRunsError
from letta_kernel.service import AgentService

WORDS = [f"w{n} " for n in range(3000)]


async def all_of(run: live_room.LiveRun, after: int = 0) -> list[tuple[int, str]]:
    return [
        (number, f"text:{event.text}" if isinstance(event, TextDelta) else event.type)
        async for number, event in run.events(after)
    ]


def test_readers_of_a_long_run_each_get_everything_once(
    service: AgentService, scripted: ScriptedServer
) -> None:
    service.create_agent("ada")
    runs = LiveRuns(service)
    scripted.say("".join(WORDS), pieces=3000)

    async def follow() -> list[list[tuple[int, str]]]:
        run = await runs.start_async("ada", "count")
        early = [asyncio.create_task(all_of(run)) for _ in range(3)]
        told = [await one for one in early]
        assert run.ended is not None
        return [*told, await all_of(run), await all_of(run, 500), await all_of(run, run.last)]

    told = asyncio.run(follow())
    said = [what.removeprefix("text:") for _, what in told[0] if what.startswith("text:")]
    assert "".join(said) == "".join(WORDS)
    assert [number for number, _ in told[0]] == list(range(1, len(told[0]) + 1))
    assert len(told[0]) > live_room.KEPT_EVENTS  # some were read back from the file
    assert told[1] == told[2] == told[3] == told[0]
    assert told[4] == told[0][500:]
    assert told[5] == []
    run = next(iter(runs._runs.values()))
    assert len(run._tail) <= live_room.KEPT_EVENTS
    runs.close()


def test_a_run_that_cannot_begin_says_why(service: AgentService, scripted: ScriptedServer) -> None:
    service.create_agent("ada")
    service.create_agent("grace")
    runs = LiveRuns(service, max_runs=1)
    with pytest.raises(Exception, match="no agent 'nobody'"):
        runs.start("nobody", "hi")
    scripted.hang(120)
    first = runs.start("ada", "hi")
    with pytest.raises(TooManyRunsError):
        runs.start("grace", "hi")
    assert runs.of_agent(first.agent_id) is first
    while scripted.waiting:  # the model has been asked
        time.sleep(0.01)
    first.cancel()
    assert first.over.wait(60)
    assert first.ended is not None
    assert first.ended.stop_reason == "cancelled"
    assert runs.start("grace", "hi").over.wait(90)
    runs.close()


def test_old_runs_are_forgotten(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_room, "KEPT_RUNS", 2)
    service.create_agent("ada")
    runs = LiveRuns(service)
    ids = []
    for _ in range(5):
        run = runs.start("ada", "hi")
        ids.append(run.id)
        assert run.over.wait(90)
    assert [run_id for run_id in ids if runs.get(run_id)] == ids[2:]
    runs.close()


def test_a_client_that_does_not_read_holds_nobody_up(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    other = client.agents.create().id
    server.scripted.say("x" * 8_000_000, pieces=800)
    body = json.dumps({"input": "go", "stream_tokens": True}).encode()
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(
            f"POST /v1/agents/{agent}/messages/stream HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert slow.recv(10)  # it has begun; nothing more is read
        done = threading.Event()

        def wait() -> None:
            while client.runs.list(agent_id=agent).items[0].status == "running":
                done.wait(0.1)
            done.set()

        threading.Thread(target=wait, daemon=True).start()
        assert client.agents.messages.create(other, input="hi").messages
        assert done.wait(60)
    assert client.runs.list(agent_id=agent).items[0].status == "completed"
