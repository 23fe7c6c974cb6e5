"""The server answers, keeps out who may not come in, and says no more than it must."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import httpx
import pytest
from letta_client import AuthenticationError, Letta
from scripted_server import ScriptedServer
from server_bench import Server, serving

from letta_kernel.server.listen import Protocol
from letta_kernel.server.request_limits import RequestLimits
from letta_kernel.service import AgentService


def test_health_through_the_sdk_needs_no_token(server: Server) -> None:
    assert Letta(base_url=server.url, api_key="wrong", max_retries=0).health().status == "ok"


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Basic a-token-of-the-tests", "Bearer a-token-of-the"]
)
def test_without_the_token_nothing_is_said(server: Server, given: str) -> None:
    for path in ("/v1/agents/", "/v1/nothing", "/openapi.json", "/v1/health/../agents/"):
        answer = httpx.get(server.url + path, headers={"Authorization": given}, timeout=60)
        assert answer.status_code == 401
        assert "agent" not in answer.text
    with pytest.raises(AuthenticationError):
        Letta(base_url=server.url, api_key="wrong", max_retries=0).agents.list()


def test_no_page_of_another_origin_gets_in(server: Server) -> None:
    evil = {"Origin": "https://evil.example", **server.headers}
    answer = httpx.get(server.url + "/v1/agents/", headers=evil, timeout=60)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_cors_only_where_it_is_asked_for(tmp_path: Path, scripted: ScriptedServer) -> None:
    origin = "https://app.example"
    with (
        AgentService(tmp_path / "home") as service,
        serving(service, scripted, origins=[origin]) as server,
    ):
        asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        allowed = httpx.options(server.url + "/v1/agents/", headers=asking, timeout=60)
        assert allowed.headers["access-control-allow-origin"] == origin
        asking["Origin"] = "https://evil.example"
        refused = httpx.options(server.url + "/v1/agents/", headers=asking, timeout=60)
        assert "access-control-allow-origin" not in refused.headers


def test_without_a_token_only_programs_on_this_machine(
    tmp_path: Path, scripted: ScriptedServer
) -> None:
    with AgentService(tmp_path / "home") as service, serving(service, scripted, None) as server:
        url = server.url + "/v1/agents/"
        assert httpx.get(url, timeout=60).status_code == 200
        assert (
            httpx.get(url, headers={"Origin": "http://localhost:3000"}, timeout=60).status_code
            == 200
        )
        assert (
            httpx.get(url, headers={"Origin": "https://evil.example"}, timeout=60).status_code
            == 403
        )
        assert httpx.get(url, headers={"Origin": "null"}, timeout=60).status_code == 403
        # A name of somebody else's that leads to this machine (DNS rebinding).
        assert httpx.get(url, headers={"Host": "evil.example"}, timeout=60).status_code == 403


def test_large_bodies_are_refused(tmp_path: Path, scripted: ScriptedServer) -> None:
    with (
        AgentService(tmp_path / "home") as service,
        serving(service, scripted, limits=RequestLimits(body=1000, upload=5000)) as server,
    ):
        url = server.url + "/v1/agents/"
        body = json.dumps({"name": "x" * 2000}).encode()
        known = httpx.post(url, content=body, headers=server.headers, timeout=60)
        assert known.status_code == 413

        def pieces() -> object:
            yield from (body[i : i + 100] for i in range(0, len(body), 100))

        unknown = httpx.post(url, content=pieces(), headers=server.headers, timeout=60)  # type: ignore[arg-type]
        assert unknown.status_code == 413
        assert service.agents.list() == []


def test_more_requests_than_may_be(tmp_path: Path, scripted: ScriptedServer) -> None:
    with (
        AgentService(tmp_path / "home") as service,
        serving(service, scripted, limits=RequestLimits(requests=2)) as server,
    ):
        port = int(server.url.rpartition(":")[2])
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        for one in slow:  # requests whose bodies never come
            one.sendall(
                b"POST /v1/agents/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer " + server.token.encode() + b"\r\nContent-Length: 9\r\n\r\n"
            )
        busy = _until(server, 503)
        assert busy.headers["retry-after"] == "1"
        for one in slow:
            one.close()
        assert _until(server, 200).status_code == 200


def _until(server: Server, status: int) -> httpx.Response:
    for _ in range(200):
        answer = httpx.get(server.url + "/v1/agents/", headers=server.headers, timeout=60)
        if answer.status_code == status:
            return answer
    raise AssertionError(f"never {status}")


NASTY = "a\r\n\r\ndata: [DONE]\r\nevent: error\x85\u2028\u2029\x1c\x00b\u00e9\U0001f600"


def test_nothing_that_is_said_can_end_an_event(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    server.scripted.say(NASTY, pieces=1)
    told = list(
        client.agents.messages.create(agent, input=NASTY, streaming=True, stream_tokens=True)
    )
    assert [m.message_type for m in told] == [
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert told[0].content == NASTY
    raw = httpx.post(
        f"{server.url}/v1/agents/{agent}/messages/stream",
        json={"input": NASTY},
        headers=server.headers,
        timeout=60,
    )
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert all(line == "" or line.startswith("data: ") for line in raw.text.split("\n"))


def test_headers_cannot_be_injected(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(name="ada", description="x\r\nSet-Cookie: a=b").id
    answer = httpx.get(f"{server.url}/v1/agents/{agent}/export", headers=server.headers, timeout=60)
    assert "set-cookie" not in answer.headers


def test_every_operation_is_described(server: Server) -> None:
    document = httpx.get(server.url + "/openapi.json", headers=server.headers, timeout=60).json()
    seen: set[str] = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["operationId"] not in seen, (path, method)
            seen.add(operation["operationId"])
            assert operation.get("description"), (path, method)
            assert operation["tags"], (path, method)
    assert "components" in document


def test_what_is_left_out_says_so(server: Server) -> None:
    document = httpx.get(server.url + "/openapi.json", headers=server.headers, timeout=60).json()
    left_out = [
        (path, method)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] == ["left out"]
    ]
    assert left_out
    for path, method in left_out:
        answer = httpx.request(
            method,
            server.url + path.replace("{", "").replace("}", ""),
            headers=server.headers,
            timeout=60,
        )
        assert answer.status_code == 501
        assert answer.headers["x-should-retry"] == "false"
        assert answer.json()["detail"].endswith(".")


def test_answers_are_not_held_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Protocol.connection_made
    at_once = []

    def connection_made(self: Protocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        given = transport.get_extra_info("socket")
        at_once.append(given.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(Protocol, "connection_made", connection_made)
    assert httpx.get(server.url + "/v1/health", timeout=60).status_code == 200
    assert at_once == [1]
