"""The REST API and the WebSocket inside a real Jupyter server, under its own authentication."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import openai
import pytest
from letta_client import Letta
from ports import free_port
from scripted_server import ScriptedServer
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

TOKEN = "the-token-of-the-jupyter-server"
CONFIG = Path(__file__).parents[2] / "jupyter-config" / "letta-kernel.json"


@dataclass
class Jupyter:
    """A Jupyter server; ``url`` ends with its base URL, without a slash."""

    url: str
    root: Path
    token: str

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/hub/kim")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    def letta(self, folder: str | None = None) -> Letta:
        query = {} if folder is None else {"folder": folder}
        return Letta(
            base_url=f"{self.url}/letta",
            api_key=self.token,
            max_retries=0,
            default_query=query,
        )

    def socket(self, agent: str, query: str = "", **options: object) -> connect:
        url = f"{self.url.replace('http', 'ws', 1)}/letta/v1/agents/{agent}/ws{query}"
        return connect(url, **options)  # type: ignore[arg-type]

    def panel(self, folder: str, **options: object) -> connect:
        url = f"{self.url.replace('http', 'ws', 1)}/letta/panel?folder={quote(folder)}"
        return connect(url, **options)  # type: ignore[arg-type]


@contextmanager
def jupyter(folder: Path, token: str) -> Iterator[Jupyter]:
    """Start a server that finds the extension as an installation does: by its configuration file."""
    root, config = folder / "root", folder / "config"
    root.mkdir(parents=True)
    (config / "jupyter_server_config.d").mkdir(parents=True)
    (config / "jupyter_server_config.d" / "letta-kernel.json").write_text(CONFIG.read_text())
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "LETTA_HOME"))},
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_NO_CONFIG": "",
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
                *(
                    "--ServerApp.ip=127.0.0.1",
                    f"--ServerApp.port={free_port()}",  # of port 0 older servers do not tell the real one
                    "--ServerApp.base_url=/hub/kim/",
                ),
                f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={root}",
            ],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/hub/kim/", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Jupyter(f"http://127.0.0.1:{found[1]}/hub/kim", root, token)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    said = log.read_text()
    assert "Traceback" not in said, said


def logged_in(server: Jupyter) -> httpx.Client:
    """A browser's session, without a token in any request."""
    page = httpx.Client(base_url=server.url, follow_redirects=True, timeout=60)
    page.get("/login", params={"next": "/hub/kim/api/status"})
    page.post("/login", data={"password": TOKEN, "_xsrf": page.cookies["_xsrf"]})
    return page


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Jupyter, ScriptedServer]]:
    with ScriptedServer() as scripted, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETTA_MODEL", "openai/scripted")
        patch.setenv("OPENAI_BASE_URL", scripted.url)
        patch.setenv("OPENAI_API_KEY", "test")
        with jupyter(tmp_path_factory.mktemp("jupyter"), TOKEN) as server:
            yield server, scripted


@pytest.mark.duckdb
def test_the_sdk_with_the_server_s_own_token(shared: tuple[Jupyter, ScriptedServer]) -> None:
    server, scripted = shared
    client = server.letta()
    agent = client.agents.create(name="ada", model="openai/scripted")
    assert (server.root / ".letta" / "letta.duckdb").exists()
    client.agents.update(agent.id, name="ada/b c")
    loose = client.blocks.create(label="system/human", value="Kim")
    client.agents.blocks.attach(loose.id, agent_id="ada/b c")
    assert client.agents.blocks.retrieve("system/human", agent_id="ada/b c").value == "Kim"
    scripted.say("Hello from the hub.")
    response = client.agents.messages.create(agent.id, input="Hello")
    assert "Hello from the hub." in str(response.messages)
    scripted.say("one two three", pieces=6, delay=0.05)
    pieces = [
        (time.monotonic(), getattr(one, "content", ""))
        for one in client.agents.messages.create(
            agent.id, input="Count.", streaming=True, stream_tokens=True
        )
        if getattr(one, "message_type", "") == "assistant_message"
    ]
    assert "".join(text for _, text in pieces) == "one two three"
    assert len(pieces) > 2, "it streams"
    assert pieces[-1][0] > pieces[0][0]
    with pytest.raises(Exception, match="404"):
        client.agents.retrieve("agent-00000000-0000-4000-8000-000000000000")
    client.agents.delete(agent.id)
    assert list(client.agents.list()) == []


def test_openai_clients(shared: tuple[Jupyter, ScriptedServer]) -> None:
    server, scripted = shared
    agent = server.letta().agents.create(name="eve", model="openai/scripted")
    client = openai.OpenAI(base_url=f"{server.url}/letta/openai/v1", api_key=TOKEN, max_retries=0)
    assert "eve" in [m.id for m in client.models.list()]
    scripted.hang_mid_stream(120, "Once upon a time")
    stream = client.chat.completions.create(
        model="eve", messages=[{"role": "user", "content": "Tell."}], stream=True
    )
    for chunk in stream:
        if chunk.choices and "time" in (chunk.choices[0].delta.content or ""):
            break
    stream.close()  # which is heard through the server around it
    assert scripted.received[-1].over.wait(90)
    assert scripted.received[-1].disconnected, "the run has let go of its model"
    deadline = time.monotonic() + 90
    while any(run.status == "running" for run in server.letta().runs.list(agent_id=agent.id)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.letta().agents.delete(agent.id)


def test_nobody_else_comes_in(shared: tuple[Jupyter, ScriptedServer]) -> None:
    server, _ = shared
    http = httpx.Client(timeout=60)
    url = f"{server.url}/letta/v1/agents"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "token"}):
        assert http.get(url, headers=headers).status_code == 403
        assert http.post(url, headers=headers, json={"name": "x"}).status_code == 403
    assert http.get(f"{server.url}/letta/v1/health").status_code == 403
    assert http.get(url, headers=server.headers).status_code == 200
    assert http.get(f"{server.url}/letta/v1/nothing", headers=server.headers).status_code == 404
    assert http.get(f"{server.url}/letta/", headers=server.headers).status_code == 404
    for method, path, status in (("FOO", "x", 405), ("GET", "%ff", 400)):
        early = http.request(method, f"{server.url}/letta/{path}")  # before anything is known of it
        assert early.status_code == status
        assert early.json()["message"]
    bad = http.post(url, headers=server.headers, content=b"{")
    assert bad.status_code == 422
    assert "detail" in bad.json()


def test_strangers_are_refused_before_their_bodies_and_sockets_are_taken_in(
    shared: tuple[Jupyter, ScriptedServer],
) -> None:
    server, _ = shared
    place = urlsplit(server.url)
    port, path = place.port or 0, place.path
    waiting = []
    heads = [
        f"POST {path}/letta/v1/agents HTTP/1.1\r\nContent-Length: 400000000",
        f"POST {path}/letta/v1/agents HTTP/1.1\r\nTransfer-Encoding: chunked",
        f"GET {path}/letta/v1/agents/bob/ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade"
        "\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13",
    ]
    try:
        for head in heads * 20:
            one = socket.create_connection(("127.0.0.1", port), timeout=60)
            one.sendall(f"{head}\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            waiting.append(one)
        for one in waiting:
            assert one.recv(12) == b"HTTP/1.1 403"
    finally:
        for one in waiting:
            one.close()
    # Those that anybody may ask, and what is no request, are answered in a line without their bodies.
    odd = {
        f"OPTIONS {path}/letta/v1/agents": b"413",
        f"FOO {path}/letta/v1/agents": b"405",
        f"GET {path}/letta/%ff": b"400",
        f"POST {path}/letta/v1/agents/bob/ws": b"405",
        f"PUT {path}/letta/panel": b"405",
    }
    for line, status in odd.items():
        for size in ("Content-Length: 400000000", "Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
                one.sendall(f"{line} HTTP/1.1\r\n{size}\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                assert one.recv(12) == b"HTTP/1.1 " + status, line
    short = httpx.request(
        "OPTIONS", f"{server.url}/letta/v1/agents", content=b"x" * 9000, timeout=60
    )
    assert short.status_code == 200
    for method, where in (("FOO", "v1/agents"), ("GET", "%ff")):
        answer = httpx.request(method, f"{server.url}/letta/{where}", timeout=60)
        assert "message" in answer.json()
    # Whoever is known is bounded all the same, before the body has come.
    with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
        bearer = "\r\n".join(f"{k}: {v}" for k, v in server.headers.items())
        one.sendall(f"{heads[0]}\r\nHost: 127.0.0.1:{port}\r\n{bearer}\r\n\r\n".encode())
        assert one.recv(12) == b"HTTP/1.1 413"
    assert server.letta().agents.list() is not None


def test_a_page_needs_the_xsrf_cookie(shared: tuple[Jupyter, ScriptedServer]) -> None:
    server, _ = shared
    with contextlib.closing(logged_in(server)) as page:
        assert page.get("/letta/v1/agents").status_code == 200
        asked = {"name": "mia", "model": "openai/scripted"}
        assert page.post("/letta/v1/agents", json=asked).status_code == 403
        header = {"X-XSRFToken": page.cookies["_xsrf"]}
        made = page.post("/letta/v1/agents", json=asked, headers=header)
        assert made.status_code == 200
        # Another site's page, which the browser sends with our cookies:
        evil = {**header, "Origin": "https://evil.example"}
        assert page.delete(f"/letta/v1/agents/{made.json()['id']}", headers=evil).status_code == 404
        assert page.delete(f"/letta/v1/agents/{made.json()['id']}", headers=header).is_success


def test_the_websocket(shared: tuple[Jupyter, ScriptedServer]) -> None:
    server, scripted = shared
    agent = server.letta().agents.create(name="bob", model="openai/scripted")
    scripted.say("Over the socket.", pieces=5)
    for query, headers in ((f"?token={TOKEN}", None), ("", server.headers)):
        with server.socket("bob", query, additional_headers=headers) as socket:
            assert json.loads(socket.recv(90))["agent_name"] == "bob"
    with server.socket("bob", additional_headers=server.headers) as socket:
        socket.recv(90)
        socket.send(json.dumps({"type": "send", "id": "1", "text": "Hello"}))
        heard = []
        while not heard or heard[-1].get("event", {}).get("type") != "run_ended":
            heard.append(json.loads(socket.recv(90)))
        events = [m for m in heard if m["type"] == "event"]
        assert [m["seq"] for m in events] == list(range(1, len(events) + 1))
        with contextlib.suppress(ConnectionClosed):
            socket.send(json.dumps({"type": "send", "text": "x" * 4_300_000}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(90)
        # Tornado closes with a word; it may be lost, for what was sent too much lies unread.
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    with server.socket("nobody", additional_headers=server.headers) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(90)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4404
    for query, headers in (("", {}), ("?token=wrong", {})):
        with (
            pytest.raises(InvalidStatus) as refused,
            server.socket("bob", query, additional_headers=headers),
        ):
            pass
        assert refused.value.response.status_code == 403
    # A page of elsewhere, with the cookies of a browser that is logged in:
    cookies = {"Cookie": "; ".join(f"{k}={v}" for k, v in logged_in(server).cookies.items())}
    with server.socket("bob", additional_headers=cookies, origin=server.origin) as socket:
        assert json.loads(socket.recv(90))["type"] == "hello"
    with (
        pytest.raises(InvalidStatus),
        server.socket("bob", additional_headers=cookies, origin="https://evil.example"),
    ):
        pass
    server.letta().agents.delete(agent.id)


def test_a_server_without_a_token_keeps_its_xsrf_check(
    tmp_path: Path, scripted: ScriptedServer
) -> None:
    with jupyter(tmp_path, "") as server, httpx.Client(base_url=server.url, timeout=60) as page:
        assert page.get("/letta/v1/agents").json() == []
        asked = {"name": "ada", "model": "openai/scripted"}
        assert page.post("/letta/v1/agents", json=asked).status_code == 403
        page.get("/tree")
        page.get("/login")
        if "_xsrf" not in page.cookies:
            page.get("/api/status")
        header = {"X-XSRFToken": page.cookies["_xsrf"]}
        assert page.post("/letta/v1/agents", json=asked, headers=header).status_code == 200


HOSTILE = [
    *("..", "../", "birds/..", "birds/../birds", "./birds", "birds/.", "/etc", "//etc", "...", "~"),
    *(
        "%2e%2e",
        "birds%2Fdeep",
        "..\\",
        "birds\\..",
        "nowhere",
        "birds/nowhere",
        "notes.txt",
        "out",
    ),
    *("out/deep", "birds/out", "loop", ".hidden", "birds/.letta", "x" * 5000, "a\0b", "birds/\0"),
    "led-out",
]


@pytest.mark.duckdb
def test_each_folder_below_the_root_has_the_project_of_its_notebooks(
    shared: tuple[Jupyter, ScriptedServer], tmp_path: Path
) -> None:
    server, _ = shared
    for folder in ("birds/deep", "fish", "empty", ".hidden", "led-out"):
        (server.root / folder).mkdir(parents=True)
    (tmp_path / "deep").mkdir()
    (server.root / "notes.txt").write_text("no folder")
    for link, target in (
        ("out", tmp_path),
        ("birds/out", tmp_path),
        ("led-out/.letta", tmp_path),
        ("loop", server.root / "loop"),
        ("beside", server.root / "fish"),
    ):
        (server.root / link).symlink_to(target)

    for folder in ("birds/deep", "fish", ""):
        server.letta(folder).agents.create(name=f"of {folder or 'root'}", model="openai/scripted")
    assert [one.name for one in server.letta("birds/deep").agents.list()] == ["of birds/deep"]
    assert [one.name for one in server.letta("/fish/").agents.list()] == ["of fish"]
    assert [one.name for one in server.letta("beside").agents.list()] == ["of fish"], (
        "a link within"
    )
    assert "of root" in [one.name for one in server.letta().agents.list()], (
        "the root's, named or not"
    )
    for folder in ("birds/deep", "fish"):
        code = "from letta_kernel.project import project_folder as f; print(f())"
        kernel = subprocess.run(
            [sys.executable, "-c", code],
            env={
                **{k: v for k, v in os.environ.items() if k != "LETTA_HOME"},
                "JPY_SESSION_NAME": str(server.root / folder / "a.ipynb"),
            },
            cwd=server.root,
            capture_output=True,
            text=True,
            check=True,
        )
        assert (Path(kernel.stdout.strip()) / "letta.duckdb").exists(), (
            "the kernel's rule is the same"
        )

    [fish] = server.letta("fish").agents.list()
    with server.socket(fish.id, "?folder=fish", additional_headers=server.headers) as socket:
        assert json.loads(socket.recv(90))["agent_name"] == "of fish"

    assert list(server.letta("empty").agents.list()) == []
    assert not list((server.root / "empty").iterdir()), "looking has made nothing"

    before = sorted(server.root.rglob(".letta"))
    url = f"{server.url}/letta/v1/agents"
    with httpx.Client(timeout=60, headers=server.headers) as http:
        for folder in HOSTILE:
            query = {"folder": folder}
            assert http.get(url, params=query).status_code == 404, folder
            made = http.post(url, params=query, json={"name": "x", "model": "openai/scripted"})
            assert made.status_code == 404, folder
            assert "\n" not in made.json()["detail"], folder
        assert http.get(f"{url}?folder=fish&folder=birds").status_code == 404
        assert http.get(f"{url}?folder=birds%2fdeep").json()[0]["name"] == "of birds/deep"
        assert http.get(f"{url}?folder=birds%252fdeep").status_code == 404
        assert http.get(f"{url}?folder=%ff").status_code in (400, 404)
        assert http.get(f"{server.url}/letta/..%2f..%2fv1/agents").status_code == 404
    assert httpx.get(url, params={"folder": "fish"}).status_code == 403, "nobody else is told"
    for query in ("?folder=..", "?folder=out", "?folder=nowhere"):
        with (
            pytest.raises(InvalidStatus) as refused,
            server.socket(fish.id, query, additional_headers=server.headers),
        ):
            pass
        assert refused.value.response.status_code == 404
    ask = {"type": "request", "id": 1, "method": "agents", "params": {}}
    for folder, names in (("fish", ["of fish"]), ("birds/deep", ["of birds/deep"]), ("empty", [])):
        with server.panel(folder, additional_headers=server.headers) as panel:
            hello = json.loads(panel.recv(90))
            assert hello["project"] == Path(folder).name
            assert hello["home"] == str(server.root / folder / ".letta")
            panel.send("no json")
            panel.send(json.dumps(ask))
            assert [one["name"] for one in json.loads(panel.recv(90))["result"]] == names
    cookies = {"Cookie": "; ".join(f"{k}={v}" for k, v in logged_in(server).cookies.items())}
    for folder, status, options in (
        ("..", 404, {"additional_headers": server.headers}),
        ("out", 404, {"additional_headers": server.headers}),
        ("fish", 403, {}),
        ("fish", 403, {"additional_headers": cookies, "origin": "https://evil.example"}),
    ):
        with pytest.raises(InvalidStatus) as refused, server.panel(folder, **options):
            pass
        assert refused.value.response.status_code == status
    assert sorted(server.root.rglob(".letta")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]
    server.letta().agents.delete(next(iter(server.letta("").agents.list(name="of root"))).id)
