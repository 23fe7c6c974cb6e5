"""Images over REST, with the official SDK: sent, returned by the client's tools, listed, refused."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import letta_client
import pytest
from PIL import Image
from scripted_server import ScriptedServer
from server_bench import Server, serving
from websockets.sync.client import connect

from letta_kernel.pictures import fetch
from letta_kernel.pictures.fetch import is_public
from letta_kernel.service import AgentService


def png(colour: str = "red", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image(data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": encoded(data)}
    return {"type": "image", "source": source}


def at(url: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "url", "url": url}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


class Web(BaseHTTPRequestHandler):
    """A place on the web, good and bad."""

    def do_GET(self) -> None:
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to?"))
            self.end_headers()
            return
        if self.path == "/slow":
            self.send_response(200)
            for number in range(200):
                try:
                    self.send_header(f"X-{number}", "drip")
                    self.flush_headers()
                except OSError:
                    return
                time.sleep(0.05)
            return
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Type", "image/png")
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            if self.path == "/endless":
                for _ in range(400):
                    self.wfile.write(bytes(100_000))
            self.wfile.write(b"<svg/>" if self.path == "/svg" else png("green"))
        except OSError:
            pass  # the client had enough

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def ada(service: AgentService, scripted: ScriptedServer) -> Iterator[Server]:
    service.agents.create("ada")
    with serving(service, scripted) as running:
        yield running


def id_of(server: Server) -> str:
    return server.service.agents.retrieve("ada").id


def send(server: Server, *content: dict[str, Any]) -> Any:
    message: Any = {"role": "user", "content": list(content)}
    return server.client().agents.messages.create(id_of(server), messages=[message])


def seen(server: Server) -> list[str]:
    """Return the URLs of the pictures in the last message the model was sent."""
    content = server.scripted.requests[-1]["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


def test_an_image_is_sent_kept_and_listed_as_letta_does(ada: Server) -> None:
    red, blue = png(), png("blue")
    data_url = f"data:image/png;base64,{encoded(blue)}"
    answer = send(ada, text("Compare"), image(red), text("with"), at(data_url))
    assert answer.stop_reason.stop_reason == "end_turn"
    assert seen(ada) == [f"data:image/png;base64,{encoded(one)}" for one in (red, blue)]
    client = ada.client()
    (said,) = [
        one for one in client.agents.messages.list(id_of(ada)) if one.message_type == "user_message"
    ]
    assert [part.type for part in said.content] == ["text", "image", "text", "image"]
    assert said.content[1].source.type == "base64"
    assert base64.b64decode(said.content[1].source.data) == red
    assert said.content[3].source.media_type == "image/png"
    # What was listed can be sent again, by its bytes or by its id.
    by_id = json.loads(said.content[1].model_dump_json()) | {
        "source": {
            "type": "letta",
            "file_id": ada.service.messages.history("ada")[0].pictures[0].id,
        }
    }
    send(ada, json.loads(said.content[3].model_dump_json()), by_id)
    assert seen(ada)[::-1] == [f"data:image/png;base64,{encoded(one)}" for one in (red, blue)]
    assert len(ada.service.database.run(lambda tx: tx.query("SELECT id FROM pictures"))) == 2
    one = client.messages.retrieve(said.id)
    assert one[0].content[1].source.data == encoded(red)  # type: ignore[union-attr, index]


def test_the_clients_own_tools_may_return_images(ada: Server) -> None:
    tool: Any = {"name": "look", "description": "Look.", "parameters": {"type": "object"}}
    ada.scripted.call("look")
    client = ada.client()
    asked = client.agents.messages.create(id_of(ada), input="Look.", client_tools=[tool])
    request = asked.messages[-1]
    assert request.message_type == "approval_request_message"
    returned: Any = {
        "type": "approval",
        "approvals": [
            {
                "type": "tool",
                "tool_call_id": request.tool_call.tool_call_id,
                "tool_return": [text("The door:"), image(png())],
                "status": "success",
            }
        ],
    }
    client.agents.messages.create(id_of(ada), messages=[returned], client_tools=[tool])
    assert seen(ada) == [f"data:image/png;base64,{encoded(png())}"]
    result = [
        one
        for one in client.agents.messages.list(id_of(ada))
        if one.message_type == "tool_return_message"
    ][-1]
    assert "The door:\n[image 64x48 PNG" in result.tool_return
    assert [part.type for part in result.tool_returns[0].tool_return] == ["text", "image"]


def test_a_stream_and_the_openai_way_take_images_too(ada: Server) -> None:
    client = ada.client()
    content: Any = [text("Look"), image(png())]
    message: Any = {"role": "user", "content": content}
    assert list(client.agents.messages.stream(id_of(ada), messages=[message]))
    assert len(seen(ada)) == 1
    data_url = f"data:image/png;base64,{encoded(png('blue'))}"
    body = {
        "model": "ada",
        "messages": [
            {
                "role": "user",
                "content": [text("Look"), {"type": "image_url", "image_url": {"url": data_url}}],
            }
        ],
    }
    for path in ("/openai/v1/chat/completions", "/v1/chat/completions"):
        answer = httpx.post(f"{ada.url}{path}", json=body, headers=ada.headers, timeout=60)
        assert answer.status_code == 200, answer.text
        assert seen(ada) == [data_url]
    url = f"{ada.url.replace('http', 'ws', 1)}/v1/agents/ada/ws"
    with connect(url, additional_headers=ada.headers) as socket:
        asked = {"type": "send", "id": "1", "text": "Look", "images": [{"data": encoded(png())}]}
        for one in (asked, {**asked, "id": "2", "images": [{"url": "file:///etc/passwd"}]}):
            socket.send(json.dumps(one))
            while json.loads(heard := str(socket.recv(timeout=90)))["type"] not in ("ack", "error"):
                pass
            if one is asked:
                while '"run_ended"' not in str(socket.recv(timeout=90)):
                    pass
                assert len(seen(ada)) == 1
        assert "no address of an image" in heard
    made = client.agents.create(
        name="bob", initial_message_sequence=[{"role": "user", "content": content}]
    )
    assert [len(one.pictures) for one in ada.service.messages.history(made.id)][-1] == 1


def test_an_image_on_the_web_is_fetched_from_public_addresses_only(
    ada: Server, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = web.partition(":")[2]
    for url in (
        *(f"http://{web}/a.png", f"http://localhost:{port}/a.png", f"http://[::1]:{port}/a.png"),
        *(f"http://[::ffff:127.0.0.1]:{port}/a", "http://169.254.169.254/latest/meta-data/"),
        *(f"http://0.0.0.0:{port}/a", f"http://2130706433:{port}/a", "http://10.0.0.1/a.png"),
    ):
        with pytest.raises(letta_client.UnprocessableEntityError, match="is not public"):
            send(ada, at(url))
    for url in ("file:///etc/passwd", "ftp://x/a.png", f"http://me@{web}/a", "http://", "x"):
        with pytest.raises(letta_client.UnprocessableEntityError, match="no address of an image"):
            send(ada, at(url))
    monkeypatch.setenv("LETTA_IMAGE_HOSTS", f"pictures.example, {web}")
    send(ada, at(f"http://{web}/a.png"), at(f"http://{web}/to?/b.png"))
    assert seen(ada) == [f"data:image/png;base64,{encoded(png('green'))}"] * 2
    for path, why in {
        f"to?http://localhost:{port}/a.png": "is not public",  # named is the address alone
        "to?file:///etc/passwd": "no address",
        f"to?http://{web}/to?http://{web}/to?http://{web}/to?http://{web}/to?x": "too often",
        "gone": "answers 404",
        "packed": "comes packed",
        "endless": "more than 20 MB",
        "svg": "this is an SVG",
        "slow": "too long",
    }.items():
        if path == "slow":
            monkeypatch.setattr(fetch, "SECONDS", 1.0)
        with pytest.raises(letta_client.UnprocessableEntityError, match=why):
            send(ada, at(f"http://{web}/{path}"))
    assert len(ada.service.messages.history("ada")) == 2  # the one that went, and its answer


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
        ),
        *("::1", "fe80::1%eth0", "fc00::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"),
        *("2002:7f00:1::", "224.0.0.1", "255.255.255.255", "::", "::127.0.0.1", "2001:db8::1"),
    ],
)
def test_addresses_of_no_public_net_are_known(address: str) -> None:
    assert not is_public(address)


def test_addresses_of_the_public_net_are_known() -> None:
    for address in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"):
        assert is_public(address)


def test_what_is_no_image_is_refused_and_changes_nothing(ada: Server) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    bomb = png(size=(1, 1)).replace((1).to_bytes(4, "big") * 2, (60_000).to_bytes(4, "big") * 2)
    for content, why in (
        ([image(svg)], "this is an SVG"),
        ([image(b"<html>")], "this is a web page"),
        ([image(png()[:40])], "broken image/png"),
        ([image(bomb)], "40,000,000 pixels"),
        ([{"type": "image", "source": {"type": "base64", "data": "%%%"}}], "no base64"),
        (
            [{"type": "image", "source": {"type": "letta", "file_id": "nothing"}}],
            "no image 'nothing'",
        ),
        ([{"type": "image", "source": {"type": "base64"}}], "needs a source"),
        ([{"type": "image"}], "Only text and images"),
        (
            [{"type": "audio", "source": {"data": "x"}}],
            "Only text and images can be sent, not 'audio'",
        ),
        ([image(png())] * 21, "A message may have 20 images; this has 21"),
    ):
        with pytest.raises(letta_client.UnprocessableEntityError) as refused:
            send(ada, text("Look"), *content)
        body: Any = refused.value.body
        assert why in body["detail"][0]["msg"]
        assert body["detail"][0]["loc"][:4] == ["body", "messages", "0", "content"]
    messages: Any = [{"role": "user", "content": [image(png())] * 11}] * 4
    with pytest.raises(letta_client.UnprocessableEntityError, match="A request may have 40 images"):
        ada.client().agents.messages.create(id_of(ada), messages=messages)
    assert ada.service.messages.history("ada") == []
    assert not ada.scripted.requests
    assert not ada.service.database.run(lambda tx: tx.query("SELECT id FROM pictures"))


def test_a_long_list_gives_images_by_their_ids(ada: Server) -> None:
    list(ada.service.runs.send("ada", "Look", pictures=[]))
    send(ada, image(png()))
    (message,) = [one for one in ada.service.messages.history("ada") if one.pictures]
    (short,) = ada.service.messages.with_pictures([message], most=10)
    assert not short.pictures[0].data
    from letta_kernel.server.schemas.history import View, to_messages

    (shown,) = to_messages([short], View())
    assert shown.content[0].model_dump() == {
        "type": "image",
        "source": {"type": "letta", "file_id": message.pictures[0].id, "media_type": "image/png"},
    }
