"""The proxies of docs/deploy before a server: TLS, and streams and sockets as they come."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from deploy_bench import PATH, changed, free_port, listens, run
from server_bench import TOKEN, serving, until
from websockets.sync.client import connect

from letta_kernel.service import AgentService

SOON = 60  # seconds


class Proxied:
    """A proxy with TLS before a server, as one of docs/deploy has it."""

    def __init__(self, url: str, certificate: Path, logs: list[Path], server: ExitStack) -> None:
        self.url, self.logs, self.server = url, logs, server
        self.trusts = ssl.create_default_context(cafile=str(certificate))

    def speaks(self) -> bool:
        """Whether it has a certificate by now."""
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/v1/health", verify=self.trusts).status_code == 200
        return False

    def said(self) -> str:
        """What the proxy has written."""
        return "".join(one.read_text() for one in self.logs if one.exists())


def _nginx(folder: Path, port: int, behind: str) -> tuple[list[str], Path, list[Path]]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject),
        *("-keyout", key, "-out", certificate),
    )
    logs = [folder / "access.log", folder / "letta-error.log", folder / "error.log"]
    text = changed(
        "nginx.conf",
        ("server 127.0.0.1:8283;", f"server {behind};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/agents.example.org.pem", str(certificate)),
        ("/etc/ssl/private/agents.example.org.key", str(key)),
        ("/var/log/nginx/letta.log", str(logs[0])),
        ("/var/log/nginx/letta-error.log", str(logs[1])),
    )
    temporary = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder / 'pid'}; error_log {logs[2]} warn;\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"events {{}}\nhttp {{\n{temporary}{text}\n}}\n"
    )
    return ["nginx", "-c", f"{folder / 'nginx.conf'}", "-e", f"{logs[2]}"], certificate, logs


def _caddy(folder: Path, port: int, behind: str) -> tuple[list[str], Path, list[Path]]:
    log = folder / "caddy.log"
    options = (
        f"admin off\nskip_install_trust\nauto_https disable_redirects\nstorage file_system {folder}"
    )
    text = changed(
        "Caddyfile",
        ("agents.example.org {", f"localhost:{port} {{\ntls internal"),
        ("127.0.0.1:8283", behind),
        ("\tlog {", f"{options}\nlog {{\noutput file {log}"),
    )
    (folder / "Caddyfile").write_text(text)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder / 'Caddyfile'}"]
    return command, folder / "pki/authorities/local/root.crt", [log]


KINDS = {"nginx": _nginx, "caddy": _caddy}


@pytest.fixture(params=[*KINDS])
def proxied(
    request: pytest.FixtureRequest,
    service: AgentService,
    scripted: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Proxied]:
    places = f"{os.environ['PATH']}:{PATH}"
    if not shutil.which(request.param, path=places) or not shutil.which("openssl"):
        pytest.skip(f"{request.param} is not installed")
    monkeypatch.setenv("PATH", places)
    monkeypatch.setenv("LETTA_TRUSTED_PROXIES", "127.0.0.1")
    port = free_port()
    monkeypatch.setenv("LETTA_HOSTS", "agents.example.org,localhost")
    with ExitStack() as stack:
        server = stack.enter_context(serving(service, scripted))
        command, certificate, logs = KINDS[request.param](
            tmp_path, port, server.url.rpartition("/")[2]
        )
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            until(lambda: listens(port) and certificate.exists())
            found = Proxied(f"https://localhost:{port}", certificate, logs, stack)
            until(found.speaks)
            yield found
        finally:
            process.terminate()
            process.wait(SOON)


@pytest.mark.slow
def test_answers_streams_and_sockets_come_as_they_are(proxied: Proxied, scripted: Any) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    talk = httpx.Client(base_url=proxied.url, headers=headers, verify=proxied.trusts, timeout=SOON)
    answer = talk.get("/v1/health")
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert re.fullmatch(r"[0-9a-f-]{32,36}", answer.headers["x-request-id"]), "the proxy's own"
    for path in ("/metrics", "/metrics/"):
        assert talk.get(path).status_code == 404
    plain = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.9"}
    assert "strict-transport-security" in talk.get("/v1/health", headers=plain).headers
    evil = talk.get("/v1/agents", headers={"Host": "evil.example"})
    assert evil.status_code == 421 or (evil.status_code, evil.content) == (200, b""), "Caddy's"
    agent = talk.post("/v1/agents", json={"name": "ada", "model": "openai/scripted"}).json()["id"]
    # The first pieces come while the model has not ended: nothing is held back on the way.
    scripted.hang_mid_stream(SOON, "Half an answer")
    asked = {"input": "Hi", "stream_tokens": True}
    with talk.stream("POST", f"/v1/agents/{agent}/messages/stream", json=asked) as stream:
        pieces = (line for line in stream.iter_lines() if "assistant_message" in line)
        assert next(pieces)
        assert not scripted.received[-1].over.is_set()
    talk.post(f"/v1/agents/{agent}/messages/cancel")
    path = f"/v1/agents/{agent}/ws?token={TOKEN}"
    address = proxied.url.replace("https", "wss", 1) + path
    # As a page of this very server, whose origin has its port.
    with connect(address, ssl=proxied.trusts, origin=proxied.url, open_timeout=SOON) as socket:
        assert json.loads(socket.recv(SOON))["agent_id"] == agent
    # While the server is away, too, no log has a token that was in an address.
    proxied.server.close()
    assert talk.get(path).status_code == 502
    assert TOKEN not in proxied.said()
    assert proxied.said() != ""
