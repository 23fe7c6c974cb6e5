"""Clients that mean harm: forged tokens and hosts, bodies without end, names as paths, words as protocol."""

from __future__ import annotations

import contextlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from documents import slow_pdf
from scripted_server import ScriptedServer
from server_bench import TOKEN, Server, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from letta_kernel.records import Tool
from letta_kernel.server import listen
from letta_kernel.server.request_limits import RequestLimits
from letta_kernel.service import AgentService

SPLIT = "a\r\nSet-Cookie: evil=1\r\n\r\ndata: [DONE]\n\nevent: error\x85\u2028\u2029\x00"
METHODS = {"get", "post", "put", "patch", "delete"}


def raw(server: Server, said: bytes, seconds: float = 20.0) -> bytes:
    """Say bytes to the server and return all it answers until it closes."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as one:
        one.sendall(said)
        answer = b""
        while piece := one.recv(65536):
            answer += piece
        return answer


def asking(server: Server, line: str, *headers: str) -> bytes:
    """Return the head of a request that is let in."""
    bearer = f"Authorization: Bearer {server.token}"
    told = [line, "Host: localhost", bearer, "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(told).encode("latin-1")


@pytest.fixture
def ada(server: Server) -> str:
    """The id of an agent."""
    return server.service.agents.create("ada").id


@pytest.fixture
def web(server: Server, ada: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
        yield client


# -- who is let in ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        TOKEN[:-1].encode(),
        TOKEN.encode() * 2,
        TOKEN.upper().encode(),
        TOKEN.encode() + b"\xe9",
        "\U0001f600".encode(),
        b"x" * 60_000,
        b"Bearer " + TOKEN.encode(),
    ],
)
def test_a_token_that_is_not_it(server: Server, token: bytes) -> None:
    answer = httpx.get(
        f"{server.url}/v1/agents",
        headers={b"Authorization": b"Bearer " + token},  # type: ignore[arg-type]
        timeout=60,
    )
    assert answer.status_code == 401
    assert TOKEN not in answer.text
    assert answer.headers["www-authenticate"] == "Bearer"


def test_tokens_are_compared_in_constant_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return real(a, b)

    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    httpx.get(f"{server.url}/v1/agents", headers={"Authorization": "Bearer wrong"}, timeout=60)
    assert compared == [(b"wrong", TOKEN.encode())]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8283",
        "localhost@evil.example",
        "evil.example\\@localhost",
        "[::1",
        "[evil]",
        "",
    ],
)
def test_a_name_of_somebody_elses_that_leads_here(
    tmp_path: Path, scripted: ScriptedServer, host: str
) -> None:
    with AgentService(tmp_path / "home") as service, serving(service, scripted, None) as server:
        said = f"GET /v1/agents HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert raw(server, said.encode()).split()[1] in (b"403", b"400")
        origin = f"GET /v1/agents HTTP/1.1\r\nHost: localhost\r\nOrigin: http://{host}\r\n"
        answer = raw(server, origin.encode() + b"Connection: close\r\n\r\n")
        assert answer.split()[1] == b"403"
        with pytest.raises((InvalidStatus, ValueError)) as refused:
            connect(server.url.replace("http", "ws") + "/v1/agents/ada/ws", origin=f"http://{host}")  # type: ignore[arg-type]
        assert getattr(refused.value, "response", None) is None or "403" in str(refused.value)


def test_pages_are_allowed_nothing_unless_asked(server: Server) -> None:
    told = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    for method in ("OPTIONS", "GET", "POST"):
        answer = httpx.request(method, f"{server.url}/v1/agents", headers=told, timeout=60)
        assert answer.status_code in (401, 405)
        assert not [name for name in answer.headers if name.startswith("access-control")]


# -- what is too much ------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_are_bounded(tmp_path: Path, scripted: ScriptedServer, chunked: bool) -> None:
    with (
        AgentService(tmp_path / "home") as service,
        serving(service, scripted, limits=RequestLimits(upload=5000)) as server,
    ):
        folder = service.folders.create("books")
        url = f"{server.url}/v1/folders/{folder.id}/upload"
        form = httpx.Request("POST", url, files={"file": ("a.txt", b"x" * 10_000)})
        body = form.read()
        content: Any = (body[i : i + 500] for i in range(0, len(body), 500)) if chunked else body
        kind = {"Content-Type": form.headers["content-type"], **server.headers}
        answer = httpx.post(url, content=content, headers=kind, timeout=60)
        assert answer.status_code == 413
        assert "5,000 bytes" in answer.json()["detail"]
        assert service.files.list(folder=folder.id) == []


@pytest.mark.parametrize("depth", [200, 800, 3000, 200_000])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/agents", '{"name": "deep", "metadata": {"a": @}}'),
        ("PATCH", "/v1/agents/ADA", '{"metadata": {"a": @}}'),
        ("POST", "/v1/agents/ADA/messages", '{"messages": @}'),
        ("POST", "/v1/agents/ADA/tools/memory_insert/run", '{"args": {"label": @}}'),
        ("POST", "/v1/blocks", '{"label": "b", "value": "", "metadata": {"a": @}}'),
        ("POST", "/v1/folders", '{"name": "f", "metadata": {"a": @}}'),
        ("POST", "/openai/v1/chat/completions", '{"model": "ada", "messages": @}'),
        ("POST", "/v1/agents", "@"),
    ],
)
def test_nested_json(
    web: httpx.Client, ada: str, method: str, path: str, body: str, depth: int
) -> None:
    told = body.replace("@", "[" * depth + "]" * depth)
    path = path.replace("ADA", ada)
    answer = web.request(method, path, content=told, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text[:200]
    for made in ("/v1/agents", "/v1/blocks", "/v1/folders"):
        assert web.get(made).status_code == 200


def test_a_nested_agent_file(web: httpx.Client) -> None:
    for depth in (50, 900, 100_000):
        told = '{"agents": ' + "[" * depth + "]" * depth + "}"
        answer = web.post("/v1/agents/import", files={"file": ("a.af", told.encode())})
        assert answer.status_code == 422


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 5, 6",
        "Content-Length: 999999999999999999999999999999",
        "Content-Length: 000000000000000000000000099999999999",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "X: " + "y" * 200_000,
        "\r\n".join(f"X-{n}: y" for n in range(20_000)),
    ],
)
def test_heads_that_cannot_be(server: Server, head: str) -> None:
    said = asking(server, "POST /v1/agents HTTP/1.1", "Connection: close", head)
    try:
        status = raw(server, said + b"0\r\n\r\n").split()[1]
    except ConnectionError:
        return  # closed before all of it was said
    assert status in (b"400", b"413", b"422", b"431", b"501")


# -- those who take their time -----------------------------------------------------------------------


@pytest.mark.parametrize("drip", [0.0, 0.1])
def test_a_body_that_does_not_come(tmp_path: Path, scripted: ScriptedServer, drip: float) -> None:
    with (
        AgentService(tmp_path / "home") as service,
        serving(service, scripted, limits=RequestLimits(grace=0.5, pace=1000)) as server,
    ):
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(asking(server, "POST /v1/agents HTTP/1.1", "Content-Length: 4000"))
            slow.settimeout(drip or 20)
            answer = b""
            while b"408" not in answer:
                try:
                    answer += slow.recv(4096)
                except TimeoutError:
                    slow.sendall(b" ")
            slow.settimeout(20)
            with_end = answer
            try:
                while piece := slow.recv(4096):
                    with_end += piece
            except ConnectionError:
                pass  # it was closed with words of ours unread
            assert with_end.startswith(b"HTTP/1.1 408")
            assert service.agents.list() == []


@pytest.mark.parametrize("said", [b"", b"GET /v1/hea", b"GET /v1/health HTTP/1.1\r\nX: "])
def test_a_head_that_does_not_come(
    server: Server, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(listen, "HEAD_SECONDS", 0.5)
    assert raw(server, said) == b""
    if not said:
        return  # an idle connection is kept
    whole = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = raw(server, whole + said)  # a second request on the same connection
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


def test_readers_of_a_byte_at_a_time(server: Server) -> None:
    client = server.client()
    agents = [client.agents.create().id for _ in range(8)]
    for _ in agents:
        server.scripted.say("y" * 400_000, pieces=40)
    port = int(server.url.rpartition(":")[2])
    body = b'{"input": "go", "stream_tokens": true}'
    slow = []
    for agent in agents:
        one = socket.create_connection(("127.0.0.1", port), timeout=20)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line = f"POST /v1/agents/{agent}/messages/stream HTTP/1.1"
        one.sendall(asking(server, line, f"Content-Length: {len(body)}") + body)
        slow.append(one)
    try:
        heard = [one.recv(1) for one in slow]
        other = client.agents.create().id
        assert client.agents.messages.create(other, input="hi").messages
        deadline = time.monotonic() + 60
        while any(client.runs.list(agent_id=a).items[0].status == "running" for a in agents):
            heard += [one.recv(1) for one in slow]
            assert time.monotonic() < deadline
        assert heard[: len(slow)] == [b"H"] * len(slow)
    finally:
        for one in slow:
            one.close()


# -- names that are paths, words that are protocol ---------------------------------------------------


@pytest.mark.parametrize(
    "name", ["%2e%2e", "..%2f..%2fetc%2fpasswd", "..%5c..%5cx", "%00", "%0d%0aA:b"]
)
def test_no_path_leads_out(web: httpx.Client, server: Server, tmp_path: Path, name: str) -> None:
    before = {
        path for path in tmp_path.parent.rglob("*") if server.service.home not in path.parents
    }
    document = web.get("/openapi.json").json()
    tried = 0
    for path, methods in document["paths"].items():
        if "{" not in path:
            continue
        parts = [name if part.startswith("{") else part for part in path.split("/")]
        for method in METHODS & methods.keys():
            content = None if method in ("get", "delete") else b"{}"
            answer = web.request(
                method,
                "/".join(parts),
                content=content,
                headers={"Content-Type": "application/json"},
            )
            tried += 1
            assert 400 <= answer.status_code < 500 or answer.status_code == 501, (method, path)
            assert "root:" not in answer.text
            assert "a" not in answer.headers
    assert tried > 80
    after = {path for path in tmp_path.parent.rglob("*") if server.service.home not in path.parents}
    assert after == before


@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/evil.txt", "C:\\evil.txt", "..", SPLIT])
def test_names_of_uploads(web: httpx.Client, server: Server, tmp_path: Path, name: str) -> None:
    folder = server.service.folders.create("books")
    told = {"params": {"name": name}, "files": {"file": ("a.txt", b"words")}}
    answers = [
        web.post(f"/v1/folders/{folder.id}/upload", **told),
        web.post(f"/v1/folders/{folder.id}/upload", files={"file": (name, b"words")}),
    ]
    for answer in answers:
        assert answer.status_code in (200, 422)
        assert "set-cookie" not in answer.headers
    for kept in server.service.files.list(folder=folder.id):
        assert not set(kept.name) & set("/\\\r\n\0")
        assert kept.name not in (".", "..")
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("field", ["name", "description"])
def test_no_header_is_made_of_what_somebody_wrote(web: httpx.Client, ada: str, field: str) -> None:
    made = web.post("/v1/agents", json={"name": "grace", field: SPLIT})
    assert made.status_code in (200, 422)
    ref = made.json()["id"] if made.status_code == 200 else ada
    for path in ("", "/export", "/messages", "/context"):
        answer = web.get(f"/v1/agents/{ref}{path}")
        assert not {"set-cookie", "evil"} & set(answer.headers)
    imported = web.post("/v1/agents/import", files={"file": (SPLIT, b"{}")}, data={"name": SPLIT})
    assert imported.status_code == 422
    assert "set-cookie" not in imported.headers


def told(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream, which has nothing in it but them."""
    assert text.endswith("data: [DONE]\n\n")
    blocks = text.split("\n\n")[:-2]
    assert all(block.startswith("data: {") and "\n" not in block for block in blocks)
    assert text.isascii()
    assert "\r" not in text
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


@pytest.mark.parametrize("tokens", [False, True])
def test_nothing_anybody_says_is_an_event(
    web: httpx.Client, ada: str, server: Server, tokens: bool
) -> None:
    source = f'def echo() -> str:\n    """Say it."""\n    return {SPLIT!r}\n'
    tool = Tool(
        name="echo",
        description=SPLIT,
        parameters={"type": "object", "properties": {}},
        source=source,
        kind="source",
        runs_in="sandbox",
    )
    server.service.tools.attach(server.service.tools.upsert(tool).id, agent="ada")
    scripted = server.scripted
    scripted.reason(SPLIT, SPLIT)
    scripted.calls([("echo", {}), (SPLIT, {SPLIT: SPLIT}), ("echo", SPLIT)])
    scripted.call("core_memory_append", {"label": "human", "content": SPLIT})
    scripted.say(SPLIT)
    kinds: set[str] = set()
    for _ in range(2):
        answer = web.post(
            f"/v1/agents/{ada}/messages/stream",
            json={"input": SPLIT, "stream_tokens": tokens, "include_pings": True},
        )
        events = told(answer.text)
        kinds |= {event["message_type"] for event in events}
        assert [event["message_type"] for event in events][-1] == "usage_statistics"
    assert kinds == {
        "reasoning_message",
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "stop_reason",
        "usage_statistics",
    }
    scripted.fault(400, message=SPLIT)
    failed = told(web.post(f"/v1/agents/{ada}/messages/stream", json={"input": "again"}).text)
    assert "error_message" in [event["message_type"] for event in failed]
    run = web.get("/v1/runs").json()[0]["id"]
    told(web.post(f"/v1/runs/{run}/stream", json={}).text)


def test_nothing_is_a_chunk_that_is_none(web: httpx.Client, server: Server) -> None:
    server.scripted.reason(SPLIT, SPLIT)
    asked = {"model": "ada", "stream": True, "messages": [{"role": "user", "content": SPLIT}]}
    answer = web.post("/openai/v1/chat/completions", json=asked)
    assert answer.status_code == 200
    assert {chunk["object"] for chunk in told(answer.text)} == {"chat.completion.chunk"}


def test_frames_nobody_sends(web: httpx.Client, server: Server) -> None:
    url = server.url.replace("http", "ws") + "/v1/agents/ada/ws"
    with connect(url, additional_headers=server.headers) as one:
        assert json.loads(one.recv(90))["type"] == "hello"
        for said in (
            "[" * 100_000,
            '{"type": "send", "text": ' + "[" * 5000 + "]" * 5000 + "}",
            "\0",
        ):
            one.send(said)
            assert json.loads(one.recv(90))["type"] == "error"
        one.send(json.dumps({"type": "ping", "id": SPLIT[:100]}))
        assert json.loads(one.recv(90)) == {"type": "pong", "id": SPLIT[:100]}
        # Fragments of a message that is too large as a whole: refused before the last is sent, or after.
        with contextlib.suppress(ConnectionClosed):
            one.send(["[" * 1_000_000] * 5)
        with pytest.raises(ConnectionClosed) as closed:
            one.recv(90)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert web.get("/v1/health").status_code == 200


# -- documents ---------------------------------------------------------------------------------------


def upload(url: str, name: str, data: bytes) -> bytes:
    """The bytes of a request that uploads a file."""
    edge = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode()
    body = edge + b'"\r\n\r\n' + data + b"\r\n--edge--\r\n"
    head = f"POST {url} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    kind = "Content-Type: multipart/form-data; boundary=edge\r\n"
    return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_documents_that_cannot_be_read_are_named_in_a_line(
    web: httpx.Client, server: Server
) -> None:
    folder = server.service.folders.create("strange").id
    deep = b'{"cells": ' + b"[" * 200_000
    for name, data, said in (
        ("deep.ipynb", deep, "deep.ipynb is nested too deeply to be read as a notebook."),
        ("torn.pdf", b"%PDF-1.7 nothing", "torn.pdf cannot be read as a PDF: "),
        ("void.html", b"<!--" * 400_000, "void.html holds no text."),
        ("sound.zip", b"PK\3\4" + bytes(100), "sound.zip is no text."),
    ):
        answer = web.post(f"/v1/folders/{folder}/upload", files={"file": (name, data)})
        assert answer.status_code == 422, name
        assert answer.json()["detail"].startswith(said)
    kept = web.post(
        f"/v1/folders/{folder}/upload", files={"file": ("a.html", b"<a " * 500 + b">tea")}
    )
    assert kept.status_code == 200


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("memory.worker" in word for word in process.cmdline())
    except psutil.Error:  # it ends just now
        return False


def test_a_document_whose_sender_has_gone_is_read_no_further(server: Server) -> None:
    folder = server.service.folders.create("left").id
    # As large as it is it might take minutes.
    slow = slow_pdf() + b"\n%" * 5_000_000

    def until(holds: Callable[[], object]) -> None:
        ends = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < ends
            time.sleep(0.05)

    def reading() -> list[psutil.Process]:
        found = psutil.Process().children()
        return [one for one in found if _is_worker(one)]

    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
        one.sendall(upload(f"/v1/folders/{folder}/upload", "slow.pdf", slow))
        until(reading)
    until(lambda: not reading())
    assert server.service.files.list(folder=folder) == []
