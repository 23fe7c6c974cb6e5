"""Whose a token of a JupyterHub is, asked of something that answers as a hub's API does.

The hub itself is in tests/hub, which needs an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import pytest
from scripted_server import ScriptedServer
from server_bench import serving

from letta_kernel.errors import InvalidInputError, StoreBusyError
from letta_kernel.remote import SharedAgentError, SharedAgents
from letta_kernel.server import hub
from letta_kernel.server.hub import TEACH, HubService, HubTokens
from letta_kernel.service import AgentService

ACCESS = "access:services!service=letta"


class Api(BaseHTTPRequestHandler):
    users: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[str]] = []
    status: ClassVar[int] = 0

    def do_GET(self) -> None:
        given = self.headers["Authorization"].removeprefix("token ")
        self.asked.append(given)
        told = self.users.get(given)
        status = Api.status or (200 if told is not None and self.path == "/hub/api/user" else 403)
        body = json.dumps(told or {"status": status, "message": "no"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def user(name: str, *scopes: str, kind: str = "user") -> dict[str, Any]:
    return {"kind": kind, "name": name, "admin": False, "scopes": [*scopes]}


@pytest.fixture
def api() -> Iterator[str]:
    Api.users.clear()
    Api.asked.clear()
    Api.status = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hub/api"
        server.shutdown()


def test_users_come_in_services_and_strangers_do_not(api: str) -> None:
    Api.users |= {
        "of-ann": user("ann", ACCESS, "access:servers!server=ann/"),
        "of-all": user("kim", "access:services", TEACH),
        "elsewhere": user("bob", "access:servers!server=bob/", "access:services!service=other"),
        "a-service": user("cull", ACCESS, kind="service"),
        "odd": {"kind": "user", "name": 7},
    }

    async def ask() -> None:
        tokens = HubTokens(api, [ACCESS])
        ann = await tokens.who("of-ann")
        assert ann is not None
        assert (ann.user, ann.rights, ann.teach) == ("ann", "write", False)
        kim = await tokens.who("of-all")
        assert kim is not None
        assert kim.teach
        for bad in ("elsewhere", "a-service", "odd", "nobody", "", "x" * 501, "ä", "a\nb"):
            assert await tokens.who(bad) is None, bad
        assert "ä" not in Api.asked

    asyncio.run(ask())


def test_the_hub_is_asked_once_for_a_while_and_a_token_that_ends_is_noticed(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Api.users["of-ann"] = user("ann", ACCESS)

    async def ask() -> None:
        tokens = HubTokens(api, [ACCESS])
        found = await asyncio.gather(*(tokens.who("of-ann") for _ in range(20)))
        assert Api.asked == ["of-ann"]
        ann = found[0]
        assert ann is not None
        Api.users.clear()  # it is revoked
        assert await tokens.stands(ann)
        monkeypatch.setattr(hub, "KNOWN_SECONDS", 0.0)
        tokens._known[ann.digest].until = 0.0
        assert not await tokens.stands(ann)
        assert await tokens.who("of-ann") is None

    asyncio.run(ask())


def test_a_hub_that_is_not_there_lets_nobody_new_in_and_turns_nobody_out(api: str) -> None:
    Api.users["of-ann"] = user("ann", ACCESS)

    async def ask() -> None:
        tokens = HubTokens(api, [ACCESS])
        ann = await tokens.who("of-ann")
        assert ann is not None
        tokens._known[ann.digest].until = 0.0
        Api.status = 502
        assert await tokens.stands(ann)
        with pytest.raises(StoreBusyError, match="The hub cannot be asked now who you are"):
            await tokens.who("of-ann")
        nowhere = HubTokens("http://127.0.0.1:9/hub/api", [ACCESS])
        with pytest.raises(StoreBusyError):
            await nowhere.who("of-ann")

    asyncio.run(ask())


def test_the_environment_says_how_the_hub_runs_it() -> None:
    told = {
        "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
        "JUPYTERHUB_API_TOKEN": "x",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/letta/",
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10101",
        "JUPYTERHUB_SERVICE_NAME": "letta",
    }
    found = HubService.of(told)
    assert found == HubService(
        "127.0.0.1",
        10101,
        "/services/letta",
        "http://127.0.0.1:8081/hub/api",
        frozenset([ACCESS]),
    )
    scopes = json.dumps(["access:services!service=other"])
    assert HubService.of({**told, "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes}).access == {
        "access:services!service=other"
    }
    with pytest.raises(InvalidInputError, match="JUPYTERHUB_API_URL"):
        HubService.of({})
    with pytest.raises(InvalidInputError, match="such as http"):
        HubService.of({**told, "JUPYTERHUB_SERVICE_URL": "unix:/x"})


def test_users_of_the_hub_come_to_what_is_theirs_and_granted(
    api: str, service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_USER", "ann")
    Api.users |= {"of-ann": user("ann", ACCESS), "of-bob": user("bob", ACCESS)}
    service.agents.create("ada", model="openai/scripted")
    service.grants.grant("ada", "bob", "talk")
    tokens = HubTokens(api, [ACCESS])
    with serving(service, scripted, prefix="/services/letta", hub=tokens) as server:
        url = f"{server.url}/services/letta/v1"
        ann, bob = ({"Authorization": f"Bearer of-{name}"} for name in ("ann", "bob"))
        me = httpx.get(f"{url}/me", headers=ann).json()
        assert (me["user"], me["owner"]) == ("ann", True)
        me = httpx.get(f"{url}/me", headers=bob).json()
        assert (me["user"], me["owner"]) == ("bob", False)
        assert [one["agent"] for one in me["shared"]] == ["ann/ada"]
        scripted.say("Hello, Bob.")
        shared = SharedAgents(f"{server.url}/services/letta", "of-bob")
        events = list(shared.send("ann/ada", "Hello."))
        assert events[-1].type == "run_ended"
        assert service.runs.list()[0].created_by == "bob"
        stranger = httpx.get(f"{url}/me", headers={"Authorization": "Bearer nobody"})
        assert stranger.status_code == 401
        Api.status = 503
        monkeypatch.setattr(hub, "KNOWN_SECONDS", 0.0)
        silent = httpx.get(f"{url}/me", headers={"Authorization": "Bearer another"})
        assert silent.status_code == 503
        assert "The hub cannot be asked now" in silent.text


def test_a_token_that_the_hub_revokes_ends_what_goes_on(
    api: str, service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_USER", "ann")
    monkeypatch.setattr(hub, "KNOWN_SECONDS", 0.0)
    Api.users["of-bob"] = user("bob", ACCESS)
    service.agents.create("ada", model="openai/scripted")
    service.grants.grant("ada", "bob", "talk")
    scripted.say("This takes a very long time.", pieces=20, delay=0.5)
    with serving(service, scripted, hub=HubTokens(api, [ACCESS])) as server:
        events = SharedAgents(server.url, "of-bob").send("ann/ada", "Tell me.")
        next(events)
        Api.users.clear()
        with pytest.raises(SharedAgentError, match="has ended the connection: The token was rev"):
            list(events)
