"""The network beneath the calls: TLS, proxies, many threads at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from scripted_server import ScriptedServer

from letta_kernel.models import transport
from letta_kernel.models.base import Cancel, ChatRequest, ModelError, Retrying
from letta_kernel.models.registry import open_model

REQUEST = ChatRequest([{"role": "user", "content": "hi"}])


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def secure(
    scripted: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Return an https address in front of the scripted server, with a certificate we trust."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -batch -subj /CN=localhost"
    options = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*command.split(), *options], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                outer = context.wrap_socket(plain, server_side=True)
            except (OSError, ssl.SSLError):
                continue
            inner = socket.create_connection(("127.0.0.1", scripted.port))
            for ends in ((outer, inner), (inner, outer)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(transport, "_shared", None)  # reads the certificates anew
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    yield url
    listener.close()


def test_over_tls(scripted: ScriptedServer, secure: str) -> None:
    model = open_model("openai/scripted")
    for text in ("one", "two"):
        scripted.say(text)
        *_, reply = model.stream(REQUEST, Cancel())
        assert reply.text == text


@pytest.mark.parametrize("hang", ["hang", "hang_mid_stream"])
def test_stopped_over_tls(scripted: ScriptedServer, secure: str, hang: str) -> None:
    getattr(scripted, hang)(30)
    cancel = Cancel()
    threading.Thread(
        target=lambda: (scripted.wait_for(1).over.wait(0.15), cancel.cancel()), daemon=True
    ).start()
    with pytest.raises(ModelError) as caught:
        list(open_model("openai/scripted").stream(REQUEST, cancel))
    assert caught.value.kind == "cancelled"
    assert scripted.received[0].over.wait(20)
    assert scripted.received[0].disconnected


def test_a_certificate_nobody_trusts(
    scripted: ScriptedServer, secure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(transport, "_shared", None)
    with pytest.raises(ModelError) as caught:
        list(open_model("openai/scripted").stream(REQUEST, Cancel()))
    assert caught.value.kind == "unreachable"
    said = str(caught.value)
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        assert variable in said
    assert "\n" not in said
    assert scripted.connections == 0, "the key was sent to nobody"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_by_any_of_the_known_names(
    scripted: ScriptedServer, secure: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Set before the first call, or after one that failed for want of it."""
    path = os.environ["SSL_CERT_FILE"]
    monkeypatch.delenv("SSL_CERT_FILE")
    model = open_model("openai/scripted")
    with pytest.raises(ModelError, match="not trusted"):
        list(model.stream(REQUEST, Cancel()))
    monkeypatch.setenv(variable, path)
    assert list(model.stream(REQUEST, Cancel()))[-1].text == "Done."
    monkeypatch.setattr(transport, "_shared", None)
    assert list(model.stream(REQUEST, Cancel()))[-1].text == "Done."


@pytest.mark.parametrize("what", ["nowhere", "no certificate"])
def test_certificates_that_are_none_are_said_by_the_variables_name(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "bundle.pem"
    if what != "nowhere":
        path.write_text("nothing of use")
    monkeypatch.setattr(transport, "_shared", None)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    with pytest.raises(ModelError) as caught:
        list(open_model("openai/scripted").stream(REQUEST, Cancel()))
    assert caught.value.kind == "unreachable"
    assert f"REQUESTS_CA_BUNDLE names '{path}', which holds no certificates" in str(caught.value)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert list(open_model("openai/scripted").stream(REQUEST, Cancel()))[-1].text == "Done."


def test_a_handshake_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
        monkeypatch.setenv("OPENAI_BASE_URL", f"https://127.0.0.1:{listener.getsockname()[1]}/v1")
        cancel = Cancel()
        model = open_model("openai/scripted")
        threading.Timer(0.3, cancel.cancel).start()
        with pytest.raises(ModelError) as caught:
            list(model.stream(REQUEST, cancel))
        assert caught.value.kind == "cancelled"


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", ".internal, 10.0.0.5,localhost,fd00::/8")
    mounts = transport._environment_proxies()
    assert mounts["https://"] == "http://proxy.example.org:3128"
    kept = {pattern for pattern, proxy in mounts.items() if proxy is None}
    assert {"all://*.internal", "all://10.0.0.5", "all://127.0.0.1", "all://*localhost"} <= kept
    httpx.Client(
        mounts=dict.fromkeys(mounts), trust_env=False
    ).close()  # httpx understands the patterns
    monkeypatch.setenv("no_proxy", "*")
    assert transport._environment_proxies() == {}


def test_a_proxy_is_used(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted server plays the proxy: it is asked for a host that does not exist."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{scripted.port}")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://model.example.invalid/v1")
    monkeypatch.setattr(transport, "_shared", None)
    scripted.say("through the proxy")
    *_, reply = open_model("openai/scripted").stream(REQUEST, Cancel())
    assert reply.text == "through the proxy"
    assert scripted.received[0].headers["host"] == "model.example.invalid"


def test_many_threads_share_the_client(scripted: ScriptedServer) -> None:
    found: list[str] = []
    scripted.delay = 0.002

    def run() -> None:
        for _ in range(5):
            *pieces, reply = open_model("openai/scripted").stream(REQUEST, Cancel())
            assert not any(isinstance(piece, Retrying) for piece in pieces)
            found.append(reply.text)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["Done."] * 40
    assert scripted.connections <= 9


def test_an_idle_connection_the_server_closed_is_replaced(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_model("openai/scripted")
    list(model.stream(REQUEST, Cancel()))
    port = scripted.port
    scripted.close()
    scripted._thread.join(20)
    with ScriptedServer(port) as again:
        again.say("again")
        *_, reply = model.stream(REQUEST, Cancel())
        assert reply.text == "again"
