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

from letta_kernel.messages import Event, RunEnded, TextDelta
from letta_kernel.server.errors import TooManyRunsError
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.service import AgentService, event_log

WORDS = [f"w{n} " for n in range(3000)]


def test_readers_of_a_long_run_each_get_everything_once(
    service: AgentService, scripted: ScriptedServer
) -> None:
    service.agents.create("ada")
    runs = RunManager(service)
    scripted.say("".join(WORDS), pieces=3000)

    async def all_of(run: LiveRun) -> list[Event | None]:
        return [event async for event in run.events()]

    async def follow() -> list[list[Event | None]]:
        run = await runs.start_async("ada", "count")
        early = [asyncio.create_task(all_of(run)) for _ in range(3)]
        told = [await one for one in early]
        assert isinstance(told[0][-1], RunEnded)
        return [*told, await all_of(run)]

    told = asyncio.run(follow())
    said = [event.text for event in told[0] if isinstance(event, TextDelta)]
    assert "".join(said) == "".join(WORDS)
    assert len(said) > 1000
    assert told[1] == told[2] == told[3] == told[0]
    runs.close()


def test_a_run_that_cannot_begin_says_why(service: AgentService, scripted: ScriptedServer) -> None:
    service.agents.create("ada")
    service.agents.create("grace")
    runs = RunManager(service, max_runs=1)
    with pytest.raises(Exception, match="no agent 'nobody'"):
        runs.start("nobody", "hi")
    scripted.hang(120)
    first = runs.start("ada", "hi")
    with pytest.raises(TooManyRunsError):
        runs.start("grace", "hi")
    assert runs.get(first.id) is first
    while scripted.waiting:  # the model has been asked
        time.sleep(0.01)
    first.cancel()
    assert first.over.wait(60)
    assert service.runs.retrieve(first.id).stop_reason == "cancelled"
    assert runs.start("grace", "hi").over.wait(90)
    runs.close()


def test_old_runs_are_forgotten(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "KEPT_RUNS", 2)
    service.agents.create("ada")
    runs = RunManager(service)
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
