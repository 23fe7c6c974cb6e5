"""A kernel's side of shared agents, against a real server: what comes, and what goes wrong in one line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving, until

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    RunEnded,
    RunStarted,
    StepEnded,
    TextDelta,
    ToolReturned,
)
from letta_kernel.records import Tool
from letta_kernel.remote import SharedAgentError, SharedAgents, shared_agents
from letta_kernel.remote import run as remote_run
from letta_kernel.remote.offered import offered
from letta_kernel.service import AgentService

ADA = "ann/ada"
RING = Tool(
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


@pytest.fixture
def ann(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Ann's server with an agent, which has a tool that asks first and runs for bob."""
    monkeypatch.setenv("LETTA_USER", "ann")
    agent = service.agents.create(
        "ada", model="openai/scripted", human="Kim.", description="of many"
    )
    service.tools.attach(service.tools.upsert(RING).id, agent=agent.id)
    with serving(service, scripted) as server:
        yield server


def client(server: Server, *rights: str) -> SharedAgents:
    """Return ann's agents as bob has them, to whom this is granted: to read and talk if nothing is said."""
    server.service.grants.grant("ada", "bob", *(rights or ("read", "talk")), tools=["ring"])
    return SharedAgents(server.url, server.service.tokens.create("bob", "write", user="bob")[1])


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_an_agent_is_listed_shown_and_talked_to(ann: Server) -> None:
    shared = client(ann)
    assert [(one.ref, one.may) for one in shared.list()] == [(ADA, "read, talk")]
    found = shared.retrieve(ADA)
    assert (found.owner, found.description, found.tools) == ("ann", "of many", ("ring",))
    assert {one.label: one.value for one in shared.blocks(ADA)}["human"] == "Kim."
    ann.scripted.say("Good morning, Bob.", pieces=5)
    live: list[Event] = []
    events = list(shared.send(ADA, "Good morning.", live=live.append))
    assert events == live
    assert isinstance(events[0], RunStarted)
    assert events[0].agent_name == ADA
    assert said(events) == "Good morning, Bob."
    assert isinstance(events[-1], RunEnded)
    assert events[-1].stop_reason == "end_turn"
    kept = [one for event in events if isinstance(event, StepEnded) for one in event.messages]
    assert kept[0].content == "Good morning, Bob."
    history = shared.history(ADA, 2)
    assert [(one.role, one.content) for one in history] == [
        ("user", "Good morning."),
        ("assistant", "Good morning, Bob."),
    ]
    assert history[0].created_by == "bob"


def test_a_call_waits_for_a_word_and_goes_on(ann: Server) -> None:
    shared = client(ann)
    ann.scripted.call("ring", {"times": 2})
    ann.scripted.say("It rang.")
    events = list(shared.send(ADA, "Ring."))
    waiting = next(one.calls for one in events if isinstance(one, ApprovalRequested))
    assert [one.id for one in shared.pending(ADA)] == [waiting[0].id]
    events = list(shared.approve(ADA, [Decision(waiting[0].id, True, arguments={"times": 3})]))
    returned = next(one for one in events if isinstance(one, ToolReturned))
    assert returned.text.count("ding") == 3
    assert said(events) == "It rang."
    history = shared.history(ADA)
    assert [one.role for one in history][-4:] == ["user", "assistant", "tool", "assistant"]
    assert history[-3].tool_calls[0].name == "ring"


def test_the_stop_button_ends_the_run_on_the_server(ann: Server) -> None:
    shared = client(ann)
    live: list[Event] = []
    ann.scripted.say("This takes a very long time.", pieces=20, delay=0.5)
    with closing(shared.send(ADA, "Tell me.", live=live.append)) as events:
        assert any(isinstance(event, TextDelta) for event in events)
    assert isinstance(live[-1], RunEnded)
    assert live[-1].stop_reason == "cancelled"
    (run,) = ann.service.runs.list()
    assert run.stop_reason == "cancelled"
    ann.scripted.forget()
    ann.scripted.say("Yes.")
    assert said(list(shared.send(ADA, "Ready again?"))) == "Yes."


def test_a_run_that_waits_its_turn_is_stopped_before_anything_is_sent(ann: Server) -> None:
    shared = client(ann)
    ann.scripted.say("This takes a very long time.", pieces=20, delay=0.5)
    with closing(shared.send(ADA, "Mine.")) as first:
        next(first)
        other: list[Event] = []
        waits = shared.send(ADA, "Theirs.", live=other.append)
        assert next(waits).type == "run_queued"
        waits.close()
        until(lambda: len(ann.service.runs.list()) == 1)
        assert [event.type for event in other] == ["run_queued", "notice", "run_ended"]
    assert [one.content for one in shared.history(ADA) if one.role == "user"] == ["Mine."]


def test_rights_and_tokens_are_refused_in_one_line(ann: Server) -> None:
    reader = client(ann, "read")
    assert reader.retrieve(ADA).ref == ADA
    with pytest.raises(SharedAgentError, match=r"^ann/ada: This token may read, not talk\.$"):
        list(reader.send(ADA, "Hello."))
    with pytest.raises(SharedAgentError, match="ann/eve: There is no agent"):
        reader.retrieve("ann/eve")
    with pytest.raises(SharedAgentError, match="ann/eve: "):
        list(reader.send("ann/eve", "Hello."))
    stranger = SharedAgents(ann.url, "lk-of-nobody")
    for ask in (stranger.list, lambda: list(stranger.send(ADA, "Hello."))):
        with pytest.raises(SharedAgentError, match="does not accept your token: LETTA_SERVER_TOK"):
            ask()
    with pytest.raises(SharedAgentError, match="Nothing says who asks"):
        SharedAgents(ann.url, "").list()


def test_a_grant_that_is_taken_back_in_the_middle_says_so(ann: Server) -> None:
    shared = client(ann)
    ann.scripted.say("This takes a very long time.", pieces=20, delay=0.5)
    events = shared.send(ADA, "Tell me.")
    assert isinstance(next(events), RunStarted)
    ann.service.grants.revoke("ada", "bob")
    with pytest.raises(
        SharedAgentError,
        match="has ended the connection: What was granted to you",
    ):
        list(events)


def test_a_connection_that_is_lost_is_taken_up_where_it_was(
    ann: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_run, "_PAUSES", (0.0, 0.0))
    ann.scripted.say("One two three four five six.", pieces=12, delay=0.1)
    with relay(ann) as (url, cut):
        shared = SharedAgents(url, client(ann)._token)
        events: list[Event] = []
        for event in shared.send(ADA, "Count."):
            events.append(event)
            if sum(isinstance(one, TextDelta) for one in events) == 3:
                cut()
    assert said(events) == "One two three four five six."
    assert isinstance(events[-1], RunEnded)
    assert len(ann.service.runs.list()) == 1


def test_a_server_that_goes_away_in_the_middle_is_one_line(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_run, "_PAUSES", (0.0, 0.0))
    monkeypatch.setenv("LETTA_USER", "ann")
    service.agents.create("ada", model="openai/scripted")
    service.grants.grant("ada", "bob", "talk")
    scripted.say("This takes a very long time.", pieces=20, delay=0.5)
    with serving(service, scripted) as server:
        token = service.tokens.create("bob", "write", user="bob")[1]
        shared = SharedAgents(server.url, token)
        events = shared.send(ADA, "Tell me.")
        next(events)
    with pytest.raises(SharedAgentError, match=r"^ann/ada: the server .* cannot be reached"):
        list(events)
    with pytest.raises(SharedAgentError, match=r"cannot be reached .*LETTA_SERVER says where"):
        shared.list()
    scripted.forget()
    with serving(service, scripted) as again:  # it is back, and the talk goes on
        shared.url = again.url
        scripted.say("Where were we?")
        assert said(list(shared.send(ADA, "There you are."))) == "Where were we?"
        assert [one.content for one in shared.history(ADA)][-2:] == [
            "There you are.",
            "Where were we?",
        ]


def test_what_is_no_server_of_ours_is_said(ann: Server) -> None:
    elsewhere = SharedAgents(ann.scripted.url.removesuffix("/v1"), "a-token")
    with pytest.raises(SharedAgentError, match="LETTA_SERVER"):
        elsewhere.list()
    with pytest.raises(SharedAgentError, match=r"ann/ada: .*LETTA_SERVER"):
        list(elsewhere.send(ADA, "Hello."))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("127.0.0.1:8283", "must be the address"),
        ("ftp://example.org", "must be the address"),
        ("http://kim:secret@example.org", "holds no name or password"),
    ],
)
def test_an_address_is_checked(url: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_SERVER", url)
    with pytest.raises(InvalidInputError, match=problem) as refused:
        shared_agents()
    assert "secret" not in str(refused.value)


def test_the_environment_says_where_and_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTA_SERVER", raising=False)
    assert shared_agents() is None
    monkeypatch.setenv("LETTA_SERVER", "http://127.0.0.1:1/services/letta/")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of-the-hub")
    found = shared_agents()
    assert found is not None
    assert found.url == "http://127.0.0.1:1/services/letta"
    assert found._token == "of-the-hub"
    assert "of-the-hub" not in repr(found)
    monkeypatch.setenv("LETTA_SERVER_TOKEN", "my-own")
    found = shared_agents()
    assert found is not None
    assert found._token == "my-own"


def test_who_types_does_not_wait_for_a_server_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("LETTA_SERVER", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("LETTA_SERVER_TOKEN", "x")
        assert offered().shared == ()  # else it would wait for as long as this test may


@contextmanager
def relay(server: Server) -> Iterator[tuple[str, Callable[[], None]]]:
    """A way to *server* that can be cut: its URL, and what cuts the connections there are."""
    port = int(server.url.rpartition(":")[2])
    pairs: list[tuple[socket.socket, socket.socket]] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            one.close()

    def accept(listening: socket.socket) -> None:
        while True:
            try:
                came, _ = listening.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", port))
            pairs.append((came, there))
            for ends in ((came, there), (there, came)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    def cut() -> None:
        while pairs:
            for one in pairs.pop():
                with suppress(OSError):  # closed by the other end meanwhile
                    one.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", cut
        listening.shutdown(socket.SHUT_RDWR)
