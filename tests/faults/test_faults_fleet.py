"""One of several servers over one store is killed under load: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import postgres
import pytest
from fleet_bench import TOKEN, Member, member
from postgres import Cluster
from scripted_server import ScriptedServer
from scripted_wire import Answer, Call
from server_bench import Server, serving, until
from step_children import book, source

from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools.schema import schema_from_source

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


LONG = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def home(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, store: str) -> Path:
    monkeypatch.setenv("LETTA_STORE", cluster.url(postgres.project()) if store else "")
    return tmp_path / "home"


def pays(body: dict[str, Any]) -> Answer:
    """Pay what the last message asks for, then say so."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return Answer(text=f"Done: {last['content']}", pieces=4, delay=0.02)
    euros = int(str(last["content"]).split()[-1])
    return Answer(text="", calls=[Call(f"call_{euros}", "pay", json.dumps({"euros": euros}))])


class Load:
    """Clients, each with an agent of its own, who ask for payments of any server that lives."""

    def __init__(self, living: list[Member | Server], agents: list[str]) -> None:
        self.living, self.agents = living, agents
        self.acknowledged: list[int] = []
        self.unknown: list[int] = []
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(number,)) for number in range(len(agents))
        ]
        for thread in self._threads:
            thread.start()

    def _client(self, number: int) -> None:
        chance, euros = random.Random(number), (number + 1) * 1_000_000
        while not self._ending.is_set():
            euros += 1
            server = chance.choice(self.living)
            path = f"{server.url}/v1/agents/{self.agents[number]}/messages"
            try:
                answer = httpx.post(
                    path, json={"input": f"Pay {euros}"}, headers=HEADERS, timeout=120
                )
            except httpx.HTTPError:  # it was killed: whether the message arrived is not known
                self.unknown.append(euros)
                continue
            assert answer.status_code in (200, 502, 503), answer.text
            if answer.status_code == 200:
                self.acknowledged.append(euros)
            else:
                self.unknown.append(euros)

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(180)


@pytest.mark.parametrize(
    ("store", "servers", "clients", "kills"),
    [
        ("postgresql", 1, 2, 1),
        pytest.param("postgresql", 3, 10, 6, marks=LONG),
        pytest.param("", 3, 6, 4, marks=LONG),
    ],
)
def test_a_server_is_killed_under_load(
    home: Path, servers: int, clients: int, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one is killed for good another in this process goes on; where more are, others take their place."""
    with ScriptedServer() as scripted, ExitStack() as stack:
        monkeypatch.setenv("OPENAI_BASE_URL", scripted.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        scripted.default = pays
        paid = book(home)
        environment = {"LETTA_SANDBOX_WRITE": os.environ["LETTA_SANDBOX_WRITE"]}
        with AgentService(home) as service:
            text = source(str(home))
            tool = service.tools.upsert(Tool(**schema_from_source(text), source=text))
            agents = []
            for number in range(clients):
                agents.append(service.agents.create(f"a{number}", model="openai/scripted").id)
                service.tools.attach(tool.id, agent=agents[-1])
        living: list[Member | Server] = [
            stack.enter_context(member(home, scripted, **environment)) for _ in range(servers)
        ]
        if servers == 1:
            here = stack.enter_context(AgentService(home))
            living.append(stack.enter_context(serving(here, scripted, TOKEN)))
        load = Load(living, agents)
        for number in range(kills):
            before = len(load.acknowledged)
            until(lambda before=before: len(load.acknowledged) >= before + 2 * clients)
            killed = living.pop(number % len(living))
            assert isinstance(killed, Member)
            killed.kill()
            if servers > 2:
                living.append(stack.enter_context(member(home, scripted, **environment)))
        before = len(load.acknowledged)
        until(lambda: len(load.acknowledged) >= before + clients)
        load.end()
        counts = Counter(map(int, paid.read_text("ascii").split()))
        assert not [euros for euros, count in counts.items() if count > 1], "paid twice"
        assert set(load.acknowledged) <= counts.keys()
        assert counts.keys() <= {*load.acknowledged, *load.unknown}
        said = {number: list(history(living[0], agent)) for number, agent in enumerate(agents)}
        for euros in load.acknowledged:
            texts = said[euros // 1_000_000 - 1]
            assert f"Pay {euros}" in texts
            assert any(f"{euros} paid" in one for one in texts if one.startswith("Done: "))
        # Whatever the dead had begun has its end, and every agent answers again.
        runs = httpx.get(f"{living[0].url}/v1/runs?active=true", headers=HEADERS, timeout=60)
        assert runs.json() == []
        for number, agent in enumerate(agents):
            body = {"input": f"Pay {number + 1}"}
            path = f"{living[-1].url}/v1/agents/{agent}/messages"
            assert httpx.post(path, json=body, headers=HEADERS, timeout=120).status_code == 200


def history(server: Member | Server, agent: str) -> Iterator[str]:
    """Yield all that was said to and by an agent."""
    after = ""
    while True:
        found = httpx.get(
            f"{server.url}/v1/agents/{agent}/messages",
            params={"limit": 500, "order": "asc", **({"after": after} if after else {})},
            headers=HEADERS,
            timeout=120,
        ).json()
        for one in found:
            if isinstance(one.get("content"), str):
                yield one["content"]
        if not found or found[-1]["id"] == after:
            return
        after = found[-1]["id"]
