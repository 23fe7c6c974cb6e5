"""What every answer of a server says, whom its proxies may speak for, and under which names it is asked."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from scripted_server import ScriptedServer
from server_bench import TOKEN, Server, serving
from websockets.sync.client import connect

from letta_kernel.errors import InvalidInputError
from letta_kernel.server.edge import HEADERS
from letta_kernel.service import AgentService

Serve = Callable[..., Iterator[Server]]


@pytest.fixture
def behind(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., object]:
    """A server with settings of its own."""

    @contextmanager
    def started(**settings: str) -> Iterator[Server]:
        for name, value in settings.items():
            monkeypatch.setenv(f"LETTA_{name}", value)
        with serving(service, scripted) as running:
            yield running

    return started


def raw(server: Server, request: bytes) -> str:
    """What is answered to bytes that no client library would send."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=60) as talk:
        talk.sendall(request)
        said = b""
        while piece := talk.recv(65536):
            said += piece
    return said.decode("latin-1")


def test_every_answer_is_data_and_kept_nowhere(server: Server) -> None:
    agent = server.client().agents.create(name="ada").id
    server.scripted.say("Hello.")
    talk = {"json": {"input": "Hi"}, "headers": server.headers, "timeout": 60}
    answers = [
        httpx.get(f"{server.url}/v1/health", timeout=60),
        httpx.get(f"{server.url}/v1/agents", timeout=60),  # 401
        httpx.get(f"{server.url}/v1/agents", headers=server.headers, timeout=60),
        httpx.get(f"{server.url}/nothing", headers=server.headers, timeout=60),  # 404
        httpx.post(f"{server.url}/v1/agents", content=b"{", headers=server.headers, timeout=60),
        httpx.get(f"{server.url}/openapi.json", headers=server.headers, timeout=60),
        httpx.post(f"{server.url}/v1/agents/{agent}/messages/stream", **talk),
    ]
    assert [one.status_code for one in answers] == [200, 401, 200, 404, 422, 200, 200]
    for one in answers:
        for name, value in HEADERS.items():
            mine = one.headers.get_list(name)
            streams = one.headers["content-type"].startswith("text/event-stream")
            assert mine == ["no-cache" if streams and name == "Cache-Control" else value], one.url
        assert "strict-transport-security" not in one.headers
        assert "server" not in one.headers
    said = raw(server, b"\x00\x01 nonsense\r\n\r\n")
    assert said.startswith("HTTP/1.1 400")
    assert "x-content-type-options: nosniff" in said.lower()


@pytest.mark.parametrize("given", ["a-b_c.9", "0" * 64])
def test_a_request_has_the_id_its_client_gave_it(server: Server, given: str) -> None:
    asked = httpx.get(f"{server.url}/v1/health", headers={"X-Request-ID": given}, timeout=60)
    assert asked.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "0" * 65, "a b", "a\tb", "..", "é", '"', "a;b"])
def test_an_id_that_is_no_plain_word_is_replaced(server: Server, given: str) -> None:
    name = {b"X-Request-ID": given.encode("latin-1")}
    asked = httpx.get(f"{server.url}/v1/health", headers=name, timeout=60)
    mine = asked.headers["x-request-id"]
    assert mine != given
    assert mine.startswith("req-")
    again = httpx.get(f"{server.url}/v1/health", headers=name, timeout=60)
    assert again.headers["x-request-id"] != mine


def test_a_websocket_has_an_id_too(server: Server) -> None:
    server.client().agents.create(name="ada")
    url = server.url.replace("http", "ws", 1)
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Request-ID": "mine"}
    with connect(f"{url}/v1/agents/ada/ws", additional_headers=headers, open_timeout=60) as talk:
        assert talk.response is not None
        assert talk.response.headers["x-request-id"] == "mine"
        for name, value in HEADERS.items():
            assert talk.response.headers[name] == value


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/v1/agents/ada/ws?token=wrong", "Sec-WebSocket-Version: 13\r\n", 403),
        (f"/v1/nothing?token={TOKEN}", "Sec-WebSocket-Version: 13\r\n", 403),
        (f"/v1/agents/ada/ws?token={TOKEN}", "Sec-WebSocket-Version: 8\r\n", 400),
    ],
)
def test_a_websocket_that_is_refused_is_data_too(
    server: Server, path: str, more: str, status: int
) -> None:
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    )
    said = raw(
        server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n{more}\r\n".encode()
    )
    assert said.startswith(f"HTTP/1.1 {status}")
    assert {f"{name}: {value}".lower() for name, value in HEADERS.items()} <= {
        *said.lower().splitlines()
    }


FAR = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


def test_who_is_no_proxy_is_not_believed(server: Server) -> None:
    answer = httpx.get(f"{server.url}/v1/health", headers=FAR, timeout=60)
    assert "strict-transport-security" not in answer.headers


def test_a_proxy_says_that_the_client_speaks_tls(behind: Callable[..., object]) -> None:
    with behind(TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.1") as server:  # type: ignore[attr-defined]
        secure = httpx.get(f"{server.url}/v1/health", headers=FAR, timeout=60)
        assert secure.headers["strict-transport-security"] == "max-age=31536000"
        for plain in ("http", "https, http", "gopher", ""):
            headers = {**FAR, "X-Forwarded-Proto": plain}
            answer = httpx.get(f"{server.url}/v1/health", headers=headers, timeout=60)
            assert "strict-transport-security" not in answer.headers, plain


def test_a_network_that_is_none_is_one_line(behind: Callable[..., object]) -> None:
    with (
        pytest.raises(InvalidInputError, match=r"^LETTA_TRUSTED_PROXIES must be addresses"),
        behind(TRUSTED_PROXIES="the proxy"),  # type: ignore[attr-defined]
    ):
        pass


def test_a_server_is_asked_under_its_names_alone(
    behind: Callable[..., object], tmp_path: Path
) -> None:
    with behind(HOSTS="agents.example.org, [::1]") as server:  # type: ignore[attr-defined]
        url = f"{server.url}/v1/agents"

        def asked(host: str, url: str = url) -> int:
            headers = {**server.headers, "Host": host}
            return httpx.get(url, headers=headers, timeout=60).status_code

        assert asked("agents.example.org") == 200
        assert asked("AGENTS.example.org:8283") == 200
        assert asked("[::1]:8283") == 200
        for other in ("evil.example", "agents.example.org.evil.example", "127.0.0.1", ""):
            assert asked(other) == 421, other
        assert asked("10.0.0.7:8283", f"{server.url}/v1/health") == 200, "whatever probes it"
        assert asked("10.0.0.7:8283", f"{server.url}/metrics") == 200, "Prometheus, beside it"
        assert asked("evil.example", f"{url}/ada%2Fv1%2Fhealth") == 421, "that is an agent's name"
        ws = server.url.replace("http", "ws", 1)
        with pytest.raises(Exception, match=r"403|rejected"):
            connect(f"{ws}/v1/agents/ada/ws?token={TOKEN}", open_timeout=60)
