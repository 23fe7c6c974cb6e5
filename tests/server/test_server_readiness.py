"""A server says when it may be sent requests, and ends without losing what goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest
from fleet_bench import member
from scripted_server import ScriptedServer
from server_bench import Server, until

from letta_kernel.errors import StoreError
from letta_kernel.server.events.runs import Project
from letta_kernel.server.readiness import INTERRUPTED, Readiness
from letta_kernel.service import AgentService


def test_a_server_is_ready_once_it_is_warm(server: Server) -> None:
    def asked() -> httpx.Response:
        return httpx.get(server.url + "/v1/health/ready", timeout=60)

    until(lambda: asked().status_code == 200)
    assert asked().json() == {"status": "ready"}


def test_a_server_is_not_ready_before_the_store_is(
    service: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    open_now = threading.Event()
    monkeypatch.setattr("letta_kernel.server.readiness._AGAIN", 0.01)

    def warm() -> None:
        if not open_now.is_set():
            failed.set()
            raise StoreError("the database is starting up")

    monkeypatch.setattr(service, "warm", warm)
    readiness = Readiness([Project(service)])
    thread = threading.Thread(target=readiness._warm_projects)
    thread.start()
    assert failed.wait(60)
    assert readiness.state == "starting"
    open_now.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_server_that_is_to_end_refuses_runs_and_ends_those_that_take_too_long(
    tmp_path: Path, scripted: ScriptedServer
) -> None:
    home = tmp_path / "home"
    with member(home, scripted, LETTA_DRAIN="1") as one:
        client = one.client()
        agent = client.agents.create().id
        until(lambda: one.get("/v1/health/ready").status_code == 200)
        scripted.hang_mid_stream(120, text="A very long story begins here and goes on")
        run = client.agents.messages.create_async(agent, input="Tell me a story")
        scripted.wait_for(1, 60)
        ending = threading.Thread(target=one.end)
        ending.start()
        until(lambda: one.get("/v1/health/ready").status_code == 503)
        refused = httpx.post(
            f"{one.url}/v1/agents/{agent}/messages",
            json={"input": "hi"},
            headers=one.headers,
            timeout=60,
        )
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert one.get("/v1/health").status_code == 200
        ending.join(60)
    with AgentService(home) as service:
        found = service.runs.retrieve(run.id)
        assert (found.status, found.error) == ("failed", INTERRUPTED)
