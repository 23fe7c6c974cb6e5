"""Who has no token uses up nothing, sockets, heads or bodies: the owner gets in all the same."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving, until
from websockets.sync.client import connect

from letta_kernel.server import unauthenticated
from letta_kernel.server.request_limits import RequestLimits
from letta_kernel.server.routes import websocket
from letta_kernel.service import AgentService

HANDSHAKE = (
    "GET /v1/agents/ada/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
REFUSED = "POST /v1/agents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n{"
KEPT = "GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = "GET /v1/agents HTTP/1.1\r\nX-Slow: "
REFUSAL = (4401).to_bytes(2, "big")
KINDS = {"sockets": HANDSHAKE, "heads": SLOW, "bodies": REFUSED, "kept": KEPT, "silence": ""}


class Crowd:
    """UnauthenticatedConnections who hold many connections and come back as often as they are closed."""

    def __init__(self, port: int, count: int, said: list[str]) -> None:
        self._port, self._said = port, said
        self._stop = threading.Event()
        self.rounds = 0
        self.open: list[socket.socket] = [self._one(number) for number in range(count)]
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(30)
        for one in self.open:
            one.close()

    def _one(self, number: int) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        with contextlib.suppress(OSError):
            made.sendall(self._said[number % len(self._said)].encode())
        return made

    def _renew(self) -> None:
        while not self._stop.wait(0.02):
            place = self.rounds % len(self.open)
            self.open[place].close()
            self.open[place] = self._one(self.rounds)
            self.rounds += 1


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, fresh_project: Callable[[Path], Path]
) -> Iterator[Server]:
    """One that answers 20 requests at a time, and keeps 100 clients without a token of each kind."""
    home = fresh_project(tmp_path_factory.mktemp("strangers") / "home")
    with (
        ScriptedServer() as scripted,
        pytest.MonkeyPatch.context() as patch,
        AgentService(home) as service,
    ):
        patch.setattr(unauthenticated, "MOST", 100)
        service.agents.create("ada", model="demo")
        with serving(service, scripted, limits=RequestLimits(requests=20)) as running:
            yield running


@pytest.mark.parametrize("kinds", [["sockets"], list(KINDS)], ids=len)
def test_the_owner_gets_in_however_many_strangers_come_back(
    server: Server, kinds: list[str]
) -> None:
    port = int(server.url.rpartition(":")[2])
    url = server.url.replace("http", "ws", 1) + "/v1/agents/ada/ws"
    with Crowd(port, 150, [KINDS[name] for name in kinds]) as crowd:
        for _ in range(3):
            before = crowd.rounds
            answer = httpx.get(f"{server.url}/v1/agents", headers=server.headers, timeout=60)
            assert answer.status_code == 200
            with connect(url, additional_headers=server.headers) as known:
                assert json.loads(known.recv(60))["type"] == "hello"
            with connect(url) as late:  # as a page does it
                late.send(json.dumps({"type": "auth", "token": server.token}))
                assert json.loads(late.recv(60))["type"] == "hello"
            until(lambda before=before: crowd.rounds > before)  # type: ignore[misc]


def test_the_oldest_strangers_make_room_and_whoever_is_known_stays(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    url = server.url.replace("http", "ws", 1) + "/v1/agents/ada/ws"
    with httpx.Client(headers=server.headers, timeout=60) as owner, contextlib.ExitStack() as stack:
        assert owner.get(f"{server.url}/v1/agents").status_code == 200
        known = stack.enter_context(connect(url, additional_headers=server.headers))
        assert json.loads(known.recv(60))["type"] == "hello"
        opened: list[socket.socket] = []
        stack.callback(lambda: [one.close() for one in opened])

        def come() -> int:
            """Let one client more come, and count those that are left."""
            one = socket.create_connection(("127.0.0.1", port), timeout=30)
            one.sendall(HANDSHAKE.encode())
            opened.append(one)
            return sum(map(is_open, opened))

        for _ in range(120):
            come()
        until(lambda: come() <= 101)
        assert not is_open(opened[0])
        assert is_open(opened[-1])
        known.send('{"type": "ping", "id": "1"}')
        assert json.loads(known.recv(60)) == {"type": "pong", "id": "1"}
        assert owner.get(f"{server.url}/v1/agents").status_code == 200


def frame(opcode: int, text: bytes, *, fin: bool = True) -> bytes:
    """A frame as clients send it, under a mask of zeros."""
    head = bytes([opcode | (0x80 if fin else 0)])
    length = (
        bytes([len(text) | 0x80]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    )
    return head + length + bytes(4) + text


@pytest.mark.parametrize(
    "said",
    [
        frame(1, b" " * 9000, fin=False) + frame(0, b" " * 9000, fin=False),
        frame(2, b" " * 20_000, fin=False),
        frame(1, b"", fin=False) + frame(0, b"", fin=False) * 3000,
        frame(9, b"ping" * 25) * 200,
        frame(1, b" " * 20_000),
        frame(1, b"1") * 20_000,  # refused, and not closed by the other side
        frame(1, b'{"type": "auth", "token": "wrong"}'),
    ],
    ids=["fragments", "unfinished", "empty", "pings", "long", "many", "wrong"],
)
def test_of_a_stranger_little_is_taken_in(
    server: Server, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "AUTH_SECONDS", 600)
    port = int(server.url.rpartition(":")[2])
    with greeted(port) as one:
        one.sendall(said)
        assert REFUSAL in heard_until(one, REFUSAL)
        with contextlib.suppress(ConnectionError):  # and it is closed, although we do not
            while one.recv(65536):
                pass


def test_whoever_is_refused_counts_until_the_connection_is_closed(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        refused = [stack.enter_context(greeted(port)) for _ in range(100)]
        for one in refused:
            one.sendall(frame(1, b"1"))
            assert REFUSAL in heard_until(one, REFUSAL)
        more = [stack.enter_context(greeted(port)) for _ in range(100)]
        assert sum(map(is_open, refused + more)) <= 101
        assert is_open(more[-1])


def test_what_follows_the_token_at_once_is_heard(server: Server) -> None:
    url = server.url.replace("http", "ws", 1) + "/v1/agents/ada/ws"
    with connect(url) as late:
        late.send(json.dumps({"type": "auth", "token": server.token}))
        late.send(json.dumps({"type": "ping", "id": "1", "none": "x" * 3_000_000}))
        late.send('{"type": "ping", "id": "2"}')
        said = [json.loads(late.recv(60))["type"] for _ in range(3)]
        assert said == ["hello", "error", "pong"]


def greeted(port: int) -> socket.socket:
    """Open a WebSocket, compressed if the server likes, and read what it answers."""
    one = socket.create_connection(("127.0.0.1", port), timeout=60)
    wish = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    one.sendall(HANDSHAKE.replace("\r\n\r\n", wish).encode())
    answer = heard_until(one, b"\r\n\r\n")
    assert b" 101 " in answer
    assert b"deflate" not in answer
    return one


def heard_until(one: socket.socket, mark: bytes) -> bytes:
    """Return what is said until *mark*, or until it is closed."""
    heard = b""
    while mark not in heard and (piece := one.recv(65536)):
        heard += piece
    return heard


def is_open(one: socket.socket) -> bool:
    """Whether the other side has not closed it; what it said is read away."""
    one.setblocking(False)
    try:
        while True:
            if not one.recv(65536):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False
