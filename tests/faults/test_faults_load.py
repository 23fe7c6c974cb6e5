"""Much of everything at once: memory and descriptors stay as they are, and nothing is lost."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from jupyter_client.manager import KernelManager
from server_bench import TOKEN, Server, serving

from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools.schema import schema_from_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MEGABYTE = 1 << 20
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Gauge:
    """What a process takes, once it is warm, against what it takes later."""

    def __init__(self, pid: int | None = None) -> None:
        self._process = psutil.Process(pid or os.getpid())
        self._before = self._now()

    def _now(self) -> tuple[int, int, int]:
        gc.collect()
        process = self._process
        return process.memory_info().rss, process.num_fds(), process.num_threads()

    def stays(self, megabytes: float, more: int = 8) -> None:
        """Wait until there are no more descriptors and threads than before, and so much more memory at most."""
        end = time.monotonic() + 60
        while True:
            now = self._now()
            grown = tuple(a - b for a, b in zip(now, self._before, strict=True))
            if grown[0] < megabytes * MEGABYTE and max(grown[1:]) <= more:
                return
            assert time.monotonic() < end, grown
            time.sleep(0.5)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, fresh_project: Callable[[Path], Path]
) -> Iterator[Server]:
    home = fresh_project(tmp_path_factory.mktemp("load") / "home")
    none: Any = None  # no agent here asks a model over HTTP
    with AgentService(home) as service, serving(service, none) as server:
        yield server


def stream(url: str, agent_id: str, text: str) -> str:
    """Say something and return the last event of the answer."""
    body = {"input": text, "stream_tokens": True}
    path = f"{url}/v1/agents/{agent_id}/messages/stream"
    with httpx.stream("POST", path, json=body, headers=HEADERS, timeout=600) as answer:
        assert answer.status_code == 200, answer.read()
        return [line for line in answer.iter_lines() if line.startswith("data: ")][-1]


def test_three_hundred_streams_at_once(served: Server) -> None:
    agents = [served.service.agents.create(f"s{n}", model="demo").id for n in range(300)]
    stream(served.url, agents[0], "I like tea.")
    with ThreadPoolExecutor(300) as pool:
        list(pool.map(lambda one: stream(served.url, one, "I like bread."), agents))
        gauge = Gauge()
        for _ in range(3):
            ends = list(pool.map(lambda one: stream(served.url, one, "I like gulls."), agents))
            assert set(ends) == {"data: [DONE]"}
        gauge.stays(150)
    for one in agents:
        said = [m.content for m in served.service.messages.history(one, limit=100)]
        assert said.count("I like gulls.") == 3
        assert served.service.runs.standing(one)[one].state == "idle"


def test_two_thousand_requests(served: Server) -> None:
    agent = served.service.agents.create("asked", model="demo").id
    paths = [f"/v1/agents/{agent}", "/v1/agents", f"/v1/agents/{agent}/messages", "/v1/tools"]

    def ask(number: int) -> int:
        with httpx.Client(headers=HEADERS, timeout=600) as client:  # a connection each
            if number % 10 == 0:
                block = f"{served.url}/v1/agents/{agent}/core-memory/blocks/human"
                return client.patch(block, json={"value": f"Ada {number}"}).status_code
            return client.get(f"{served.url}{paths[number % 4]}").status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(200))) == {200}
        gauge = Gauge()
        assert set(pool.map(ask, range(200, 2200))) == {200}
        gauge.stays(60)
    assert len(served.service.blocks.versions("human", agent=agent)) == 221


def test_two_thousand_tools_of_one_agent(served: Server) -> None:
    agent = served.service.agents.create("able", model="demo")
    for number in range(2000):
        source = (
            f"def tool_{number}(x: int) -> int:\n    '''Add {number}.'''\n    return x + {number}\n"
        )
        tool = served.service.tools.upsert(
            Tool(**schema_from_source(source), source=source, kind="source", runs_in="sandbox")
        )
        served.service.tools.attach(tool.id, agent=agent.id)
    names = {tool.name for tool in served.service.tools.list(agent.id)}
    assert names >= {f"tool_{number}" for number in range(2000)}
    after, found = "", set()
    while True:
        answer = httpx.get(
            f"{served.url}/v1/agents/{agent.id}/tools",
            params={"limit": 500, **({"after": after} if after else {})},
            headers=HEADERS,
            timeout=600,
        ).json()
        new = {tool["name"] for tool in answer} - found
        if not new:
            break
        found |= new
        after = answer[-1]["id"]
    assert found == names
    assert served.service.tools.run("tool_1999", {"x": 1}, agent=agent.id).text == "2000"
    report = served.service.runs.context(agent.id)
    assert report.parts
    list(served.service.runs.send(agent.id, "I like tea."))  # the schemas alone fill its window
    assert served.service.runs.standing(agent.id)[agent.id].state == "idle"


def test_ten_thousand_edits_of_a_block(served: Server) -> None:
    service = served.service
    agent = service.agents.create("edited", model="demo").id
    for number in range(1000):
        service.blocks.update("human", agent=agent, value=f"Ada {number}")
    gauge = Gauge()
    for number in range(1000, 10_000):
        service.blocks.update("human", agent=agent, value=f"Ada {number}")
    gauge.stays(60)
    versions = service.blocks.versions("human", agent=agent)
    assert [one.value for one in versions[1:]] == [f"Ada {number}" for number in range(10_000)]
    assert service.blocks.undo("human", agent=agent).value == "Ada 9998"
    assert service.blocks.redo("human", agent=agent).value == "Ada 9999"


FAST = """
kernel = get_ipython().kernel
loop, later = kernel.io_loop, kernel.io_loop.call_later
loop.call_later = lambda seconds, *rest, **more: later(seconds / 2000, *rest, **more)
from letta_kernel import lazy_import
lazy_import.load("lancedb")  # some hundred messages on the index needs it
%agent new timed --model demo
"""


def test_a_day_of_timers_in_fast_motion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".letta"
    monkeypatch.setenv("LETTA_HOME", str(home))
    manager = KernelManager(kernel_name="letta")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        assert client.execute_interactive(FAST, timeout=300)["content"]["status"] == "ok"
        for number in range(3):  # each of them comes 96 times a day
            cell = f"%agent event I like tea {number}. --every 15m"
            assert client.execute_interactive(cell, timeout=300)["content"]["status"] == "ok"
        assert manager.provisioner is not None
        pid: int = manager.provisioner.pid  # type: ignore[attr-defined]
        gauge = None
        done, end = 0, time.monotonic() + 1800
        with AgentService(home) as service:
            while done < 2 * 3 * 96:  # the first day warms it up
                assert time.monotonic() < end, done
                time.sleep(1)
                said = service.messages.history("timed", limit=10_000)
                done = sum(message.role == "event" for message in said)
                gauge = gauge or (Gauge(pid) if done >= 3 * 96 else None)
            assert gauge is not None
        stopped = client.execute_interactive("%agent event --stop", timeout=300)
        assert stopped["content"]["status"] == "ok"
        gauge.stays(60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    with AgentService(home) as service:
        runs = service.runs.list(limit=10_000)
        assert {run.status for run in runs} == {"completed"}, json.dumps([r.error for r in runs])
