"""Hundreds of streams at the same time, of a server in a process of its own, whose memory is looked at."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest
from scripted_server import ScriptedServer
from scripted_wire import Answer

STREAMS = int(os.environ.get("LETTA_STREAMS", "40"))
"""At the same time; the issue asks for 500, which take some minutes."""

ROUNDS = 4
TOKEN = "long-enough"
WORDS = "word " * 400


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_stays_flat_however_many_stream(scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.default = lambda body: Answer(text=WORDS, pieces=50)
    command = [sys.executable, "-m", "letta_kernel.cli", "serve", "--port", "0", "--json"]
    env = {**os.environ, "LETTA_HOME": str(tmp_path / "home"), "LETTA_SERVER_TOKEN": TOKEN}
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            told, sizes = asyncio.run(rounds(url, psutil.Process(process.pid)))
        finally:
            process.terminate()
            _, said = process.communicate(timeout=30)
    assert told == {(200, WORDS): STREAMS * ROUNDS}
    assert "Traceback" not in said, said
    # Threads, connections, caches and what is loaded in the background are there after the second round; each
    # further one adds next to nothing.
    grown = sizes[-1] - sizes[1]
    assert grown < 16 * 2**20 + STREAMS * 2**15, [size >> 20 for size in sizes]


async def rounds(url: str, server: psutil.Process) -> tuple[Counter[tuple[int, str]], list[int]]:
    """Return how often each answer came, and the server's bytes of memory after each round."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    limits = httpx.Limits(max_connections=None)
    told: Counter[tuple[int, str]] = Counter()
    sizes = []
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=900, limits=limits
    ) as client:
        agents = []
        for _ in range(STREAMS):
            agents.append((await client.post("/v1/agents", json={})).json()["id"])
        for _ in range(ROUNDS):
            told.update(await asyncio.gather(*(stream(client, agent) for agent in agents)))
            sizes.append(server.memory_info().rss)
    return told, sizes


async def stream(client: httpx.AsyncClient, agent: str) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    asked = {"input": "Go on.", "stream_tokens": True}
    text = ""
    async with client.stream("POST", f"/v1/agents/{agent}/messages/stream", json=asked) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                text += json.loads(line[6:]).get("content", "")
    return answer.status_code, text
