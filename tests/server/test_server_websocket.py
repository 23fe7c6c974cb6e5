"""The WebSocket of an agent: talking, approving, cancelling, coming back, and who may not come in."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
from collections.abc import Iterator
from socket import SO_LINGER, SOL_SOCKET, create_connection
from typing import Any

import pytest
from scripted_server import ScriptedServer
from server_bench import TOKEN, Server, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from letta_kernel.records import Tool
from letta_kernel.server.routes import websocket as route
from letta_kernel.service import AgentService, event_log


class Socket:
    """A client: says JSON, collects what it hears."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: list[dict[str, Any]] = []

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        message = json.loads(self.connection.recv(timeout=90))
        self.heard.append(message)
        return message

    def until(self, kind: str) -> dict[str, Any]:
        """Hear until a message, or an event, of this type."""
        while True:
            message = self.hear()
            if kind in (message["type"], message.get("event", {}).get("type")):
                return message

    @property
    def events(self) -> list[dict[str, Any]]:
        return [m for m in self.heard if m["type"] == "event"]


@contextlib.contextmanager
def socket(server: Server, query: str = "", **options: Any) -> Iterator[Socket]:
    options.setdefault("additional_headers", server.headers)
    url = f"{server.url.replace('http', 'ws', 1)}/v1/agents/ada/ws{query}"
    with connect(url, **options) as connection:
        yield Socket(connection)


@pytest.fixture
def ada(server: Server) -> Server:
    agent = server.service.agents.create("ada", model="openai/scripted")
    server.service.blocks.upsert("human", "Kim.", agent=agent.id)
    tool = Tool(
        name="ring",
        description="Ring.",
        parameters={
            "type": "object",
            "properties": {"times": {"type": "integer", "description": "How often."}},
            "required": ["times"],
        },
        source='def ring(times: int) -> str:\n    """Ring."""\n    return "ding " * times\n',
        kind="source",
        runs_in="sandbox",
        requires_approval=True,
    )
    server.service.tools.attach(server.service.tools.upsert(tool).id, agent=agent.id)
    return server


def test_a_conversation(ada: Server) -> None:
    ada.scripted.call("core_memory_append", {"label": "human", "content": "Likes tea."})
    ada.scripted.reason("A guest.", "Tea it is.")
    with socket(ada) as one:
        hello = one.hear()
        assert hello["agent_name"] == "ada"
        assert hello["seq"] == 0
        one.say(type="send", id="a", text="Tea, please.")
        ended = one.until("run_ended")
        acks = [m for m in one.heard if m["type"] == "ack"]
        assert [(m["id"], m["run_id"]) for m in acks] == [("a", ended["run_id"])]
        assert [m["seq"] for m in one.events] == list(range(1, len(one.events) + 1))
        kinds = [m["event"]["type"] for m in one.events]
        assert kinds[0] == "run_started"
        for kind in ("tool_started", "memory_changed", "reasoning_delta", "step_ended"):
            assert kind in kinds
        text = "".join(
            m["event"].get("text", "") for m in one.events if m["event"]["type"] == "text_delta"
        )
        assert text == "Tea it is."
        one.say(type="ping", id="p")
        assert one.until("pong")["id"] == "p"


def test_approving_and_denying(ada: Server) -> None:
    ada.scripted.call("ring", {"times": 9})
    with socket(ada) as one:
        one.say(type="send", text="Ring!")
        asked = one.until("approval_requested")["event"]["calls"][0]
        one.until("run_ended")
    with socket(ada) as one:  # another client, later
        assert one.hear()["pending"] == [asked]
        one.say(type="send", id="x", text="And?")
        assert one.until("error")["id"] == "x"
        word = {"call_id": asked["id"], "approve": True, "arguments": {"times": 2}}
        one.say(type="approve", id="y", decisions=[word])
        assert one.until("tool_returned")["event"]["text"].strip() == "ding ding"
        one.until("run_ended")
        one.say(type="approve", id="z", decisions=[])
        assert "no approval" in one.until("error")["message"]


def test_cancelling_a_run(ada: Server) -> None:
    ada.scripted.hang_mid_stream(120, "Once upon")
    with socket(ada) as one, socket(ada) as other:
        one.say(type="send", id="a", text="A story.")
        other.until("text_delta")
        one.until("text_delta")
        other.say(type="send", id="b", text="Me too.")
        assert other.until("error")["kind"] == "AgentBusyError"
        other.say(type="cancel", id="c")
        assert one.until("run_ended")["event"]["stop_reason"] == "cancelled"
        other.until("run_ended")
        other.say(type="cancel", id="d")
        assert other.until("error")["id"] == "d"


def test_coming_back_in_mid_run_loses_nothing_and_hears_nothing_twice(ada: Server) -> None:
    ada.scripted.say("one two three four five six seven eight nine ten", pieces=40, delay=0.03)
    heard: list[dict[str, Any]] = []
    with socket(ada) as one:
        identity = one.hear()["feed"]
        one.say(type="send", id="a", text="Count.")
        for _ in range(3):
            one.until("text_delta")
        heard += one.events
    while heard[-1]["event"]["type"] != "run_ended":
        with socket(ada, f"?feed={identity}&after={heard[-1]['seq']}") as again:
            assert again.hear()["resumed"] is True
            # Not known whether it had arrived: said again, done once.
            again.say(type="send", id="a", text="Count.")
            for _ in range(8):
                if again.hear().get("event", {}).get("type") == "run_ended":
                    break
            heard += again.events
    assert [m["seq"] for m in heard] == list(range(1, len(heard) + 1))
    text = "".join(m["event"]["text"] for m in heard if m["event"]["type"] == "text_delta")
    assert text == "one two three four five six seven eight nine ten"
    assert len(ada.scripted.requests) == 1
    # Of another life of the server: begins with what comes next.
    with socket(ada, "?feed=feed-unknown&after=5") as again:
        hello = again.hear()
        assert hello["resumed"] is False
        assert hello["seq"] == heard[-1]["seq"]


def test_a_late_reader_begins_with_the_run_that_goes_on(ada: Server) -> None:
    ada.scripted.say("Done before.")
    ada.scripted.hang_mid_stream(120, "Once upon")
    with socket(ada) as one:
        one.say(type="send", text="First.")
        one.until("run_ended")
        one.say(type="send", text="A story.")
        started = one.until("run_started")
        one.until("text_delta")
        with socket(ada) as late:
            assert late.hear()["running"] == [started["run_id"]]
            assert late.until("run_started")["seq"] == started["seq"]
        one.say(type="cancel")
        one.until("run_ended")


def test_what_others_begin_is_heard(ada: Server) -> None:
    agent = ada.service.agents.retrieve("ada")
    with socket(ada) as one:
        one.hear()
        ada.scripted.say("Over REST or from a notebook.")
        list(ada.service.runs.send(agent.id, "Hello"))
        assert one.until("run_ended")["event"]["stop_reason"] == "end_turn"


def test_a_long_absence_is_told(ada: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "KEPT_RUNS", 2)
    with socket(ada) as one:
        identity = one.hear()["feed"]
        one.say(type="send", text="1")
        first = one.until("run_ended")["seq"]
    for number in range(4):
        list(ada.service.runs.send("ada", f"again {number}"))
    with socket(ada, f"?feed={identity}&after={first}") as again:
        assert again.hear()["resumed"] is True
        gap = again.hear()
        assert gap["type"] == "gap"
        assert gap["after"] == first
        event = again.hear()
        assert event["seq"] == gap["until"] + 1
        assert event["event"]["type"] == "run_started"


def test_a_client_that_is_far_behind_gets_the_pieces_of_a_text_as_one(ada: Server) -> None:
    ada.scripted.say("x" * 400, pieces=200)
    with socket(ada) as one:
        hello = one.hear()
        one.say(type="send", text="Go.")
        last = one.until("run_ended")["seq"]
    with socket(ada, f"?feed={hello['feed']}&after=0") as again:
        again.until("run_ended")
        kinds = [m["type"] for m in again.heard]
        assert "gap" not in kinds
        assert len(again.events) < 50 < last
        assert again.events[0]["event"]["type"] == "run_started"
        assert again.events[-1]["seq"] == last
        texts = [e["event"] for e in again.events if e["event"]["type"] == "text_delta"]
        assert "".join(event["text"] for event in texts) == "x" * 400


def test_the_token_three_ways(ada: Server) -> None:
    with socket(ada, f"?token={ada.token}", additional_headers={}) as one:
        assert one.hear()["type"] == "hello"
    with socket(ada, additional_headers={}) as one:
        one.say(type="auth", token=ada.token)
        assert one.hear()["type"] == "hello"
    for query, headers in (("?token=wrong", {}), ("", {"Authorization": "Bearer wrong"})):
        with (
            pytest.raises(InvalidStatus) as refused,
            socket(ada, query, additional_headers=headers),
        ):
            pass
        assert refused.value.response.status_code == 403
    for first in (
        '{"type": "auth", "token": "wrong"}',
        '{"type": "send", "text": "x"}',
        "junk",
        "[]",
    ):
        with socket(ada, additional_headers={}) as one:
            one.connection.send(first)
            with pytest.raises(ConnectionClosed) as closed:
                one.hear()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401
    assert ada.scripted.requests == []


def test_silence_instead_of_a_token(ada: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "AUTH_SECONDS", 0.2)
    with socket(ada, additional_headers={}) as one, pytest.raises(ConnectionClosed):
        one.hear()


def test_pages_of_elsewhere_stay_out(ada: Server) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        with pytest.raises(InvalidStatus), socket(ada, origin=origin):
            pass
    with socket(ada, origin=ada.url) as one:
        assert one.hear()["type"] == "hello"


def test_an_origin_that_was_allowed(service_home: AgentService, scripted: ScriptedServer) -> None:
    service_home.agents.create("ada", model="openai/scripted")
    origins = ["https://mine.example"]
    with (
        serving(service_home, scripted, origins=origins) as server,
        socket(server, origin=origins[0]) as one,
    ):
        assert one.hear()["type"] == "hello"


def test_without_a_token_only_this_machine(
    service_home: AgentService, scripted: ScriptedServer
) -> None:
    service_home.agents.create("ada", model="openai/scripted")
    with serving(service_home, scripted, token=None) as server:
        with socket(server, additional_headers={}) as one:
            assert one.hear()["type"] == "hello"
        with (
            pytest.raises(InvalidStatus),
            socket(server, additional_headers={}, origin="https://evil.example"),
        ):
            pass
        # A name that leads here (DNS rebinding): page and host agree, and are still not ours.
        port = server.url.rpartition(":")[2]
        opened = create_connection(("127.0.0.1", int(port)))
        with (
            pytest.raises(InvalidStatus),
            connect(
                f"ws://evil.example:{port}/v1/agents/ada/ws",
                sock=opened,
                origin=f"http://evil.example:{port}",
            ),
        ):
            pass


@pytest.fixture
def service_home(tmp_path: Any) -> Iterator[AgentService]:
    with AgentService(tmp_path / "other") as service:
        yield service


def test_nonsense_is_answered_and_then_not_any_more(ada: Server) -> None:
    with socket(ada) as one:
        one.hear()
        for said in (
            "junk",
            "[]",
            '{"type": "dance"}',
            '{"type": "send"}',
            '{"type":"send","text":1}',
        ):
            one.connection.send(said)
            assert one.hear()["type"] == "error"
        one.connection.send(b"\x00\x01")
        assert one.hear()["type"] == "error"
        one.say(type="send", id="e", text="   ")
        assert one.hear()["id"] == "e"
        one.say(type="send", id="q", text="x", unknown=1)
        assert one.hear()["id"] == "q"
        one.connection.send("[" * 100_000)
        assert one.hear()["type"] == "error"
        for _ in range(12):
            one.connection.send("junk")
            assert one.hear()["type"] == "error"
        one.connection.send("junk")
        with pytest.raises(ConnectionClosed):
            one.hear()
    assert ada.scripted.requests == []


def test_far_too_much_at_once(ada: Server) -> None:
    with socket(ada) as one:
        one.hear()
        with contextlib.suppress(ConnectionClosed):
            one.say(type="send", text="x" * (route.MAX_FRAME + 1))
        with pytest.raises(ConnectionClosed) as closed:
            one.hear()
        # The server closes with a word; it may be lost, for what was sent too much lies unread.
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


def test_no_such_agent(ada: Server) -> None:
    url = f"{ada.url.replace('http', 'ws', 1)}/v1/agents/nobody/ws"
    with connect(url, additional_headers=ada.headers) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=90)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4404


def test_a_name_of_several_agents_is_none(ada: Server) -> None:
    ada.service.agents.create("ada", namesakes="keep")
    url = f"{ada.url.replace('http', 'ws', 1)}/v1/agents/ada/ws"
    with connect(url, additional_headers=ada.headers) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=90)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4404
        assert "2 agents are called 'ada'" in closed.value.rcvd.reason


def test_many_readers_of_one_run(ada: Server) -> None:
    ada.scripted.say("one two three four", pieces=20)
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(socket(ada)) for _ in range(20)]
        for reader in readers:
            reader.hear()
        readers[0].say(type="send", text="Go.")
        threads = [threading.Thread(target=r.until, args=("run_ended",)) for r in readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        heard = {tuple(m["seq"] for m in reader.events) for reader in readers}
    assert len(heard) == 1


def test_an_answer_of_a_given_form(ada: Server) -> None:
    ada.scripted.call("give_answer", {"any": ["thing"]})
    with socket(ada) as client:
        client.say(type="send", id="1", text="Tell.", response_format={"type": "json_object"})
        client.until("run_ended")
        said = [m["event"]["text"] for m in client.events if m["event"]["type"] == "text_delta"]
        assert json.loads("".join(said)) == {"any": ["thing"]}
        client.say(type="send", id="2", text="Tell.", response_format={"type": "xml"})
        assert "json_schema" in client.until("error")["message"]


def test_clients_that_leave_early_leave_nothing_on_stderr(
    service: AgentService, scripted: ScriptedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    agent = service.agents.create("ada").id
    head = (
        "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    )
    with serving(service, scripted) as server:
        port = int(server.url.rpartition(":")[2])
        for at in range(40):
            whose = agent if at % 4 else "agent-none"
            with create_connection(("127.0.0.1", port)) as one:
                one.sendall(f"GET /v1/agents/{whose}/ws HTTP/1.1\r\n{head}".encode())
                if at % 2:  # with a reset, as where a program is killed
                    one.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                if at % 8 == 3:
                    one.recv(10)
    assert "Traceback" not in capfd.readouterr().err
