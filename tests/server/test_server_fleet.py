"""Several servers over one store: each ends, and tells of, what another carries out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fleet_bench import member
from scripted_server import ScriptedServer
from scripted_wire import Answer
from server_bench import Server, serving, until
from shout_agent import agent_with_shout
from websockets.sync.client import connect

from letta_kernel.server import peers
from letta_kernel.service import AgentService
from letta_kernel.service.servers import TurnEnd
from letta_kernel.store import lease


@pytest.fixture
def servers(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, Server]]:
    """Two servers that share nothing but the store."""
    monkeypatch.setattr("letta_kernel.server.events.sse.PING_SECONDS", 3600.0)
    monkeypatch.setattr("letta_kernel.agent.keeper.LOOK_SECONDS", 0.2)
    # On a crowded machine a server may seem out of reach, and its runs are told from the store then.
    monkeypatch.setattr("letta_kernel.server.remote._CONNECT", 60.0)
    with (
        AgentService(service.home) as other,
        serving(service, scripted) as one,
        serving(other, scripted) as two,
    ):
        yield one, two


def test_a_run_is_ended_by_another_server_while_its_model_streams(
    servers: tuple[Server, Server],
) -> None:
    one, two = servers
    agent = one.client().agents.create().id
    conversation = one.client().conversations.create(agent_id=agent).id
    for begun, ended in ((one, two), (two, one)):
        one.scripted.hang_mid_stream(120, text="A very long story begins here and goes on")
        run = begun.client().agents.messages.create_async(agent, input="Tell me a story")
        assert ended.client().agents.messages.cancel(agent) == {run.id: "cancelled"}
        for each in servers:
            assert each.client().runs.retrieve(run.id).status == "cancelled"
            assert each.client().agents.messages.cancel(agent) == {}
            again = each.client().agents.messages.cancel(agent, run_ids=[run.id])
            assert again == {run.id: "cancelled"}
    one.scripted.hang_mid_stream(120, text="Another long story")
    messages = one.client().conversations.messages
    stream = messages.create(conversation, input="Go on", streaming=True, background=True)
    until(lambda: two.client().runs.list(conversation_id=conversation, active=True).items)
    found = two.client().conversations.cancel(conversation)
    assert list(found.values()) == ["cancelled"]
    assert [one.message_type for one in stream][-2:] == ["stop_reason", "usage_statistics"]
    one.scripted.say("Hello!")
    answer = two.client().agents.messages.create(agent, input="hello?")
    assert two.client().agents.messages.cancel(agent, run_ids=list(answer.usage.run_ids or ())) == {
        (answer.usage.run_ids or [""])[0]: "ended"
    }


def test_calls_that_wait_are_ended_by_any_server(servers: tuple[Server, Server]) -> None:
    one, two = servers
    agent = agent_with_shout(one)
    one.client().agents.tools.update_approval("shout", agent_id=agent, body_requires_approval=True)
    one.scripted.call("shout", {"text": "hi"})
    asked = one.client().agents.messages.create(agent, input="go")
    assert asked.stop_reason.stop_reason == "requires_approval"
    (run_id,) = asked.usage.run_ids or ()
    assert two.client().agents.messages.cancel(agent) == {run_id: "cancelled"}
    assert one.service.runs.pending(agent) == []
    assert one.client().runs.retrieve(run_id).status == "cancelled"
    assert one.service.messages.history(agent)[-2].status == "interrupted"
    one.scripted.say("As you like.")
    said = two.client().agents.messages.create(agent, input="never mind").messages
    assert said[-1].content == "As you like."  # type: ignore[union-attr]


def test_a_groups_turn_is_one_servers_and_ended_by_any(servers: tuple[Server, Server]) -> None:
    one, two = servers
    ids = [one.client().agents.create(name=name).id for name in ("ada", "ben")]
    group = one.service.groups.create(ids, name="team").id
    one.scripted.say("North")
    one.scripted.hang_mid_stream(120, text="A long answer that does not end")
    answers: list[Any] = []

    def talk() -> None:
        path = f"/v1/groups/{group}/messages"
        body = {"input": "Where to?"}
        answers.append(one.client().post(path, body=body, cast_to=object))

    sender = threading.Thread(target=talk)
    sender.start()
    until(lambda: len(one.scripted.requests) == 2)
    client = two.client()
    busy = two.service.groups
    with pytest.raises(Exception, match="in the middle of a turn"):
        busy.send(group, "And?")
    assert client.post(f"/v1/groups/{group}/cancel", cast_to=object) == {"cancelled": True}
    sender.join(60)
    assert answers[0]["stop_reason"]["stop_reason"] == "cancelled"
    assert client.post(f"/v1/groups/{group}/cancel", cast_to=object) == {"cancelled": False}
    one.scripted.say("South")
    one.scripted.say("Yes")
    assert [event.type for event in busy.send(group, "Again")][-1] == "group_ended"


def test_a_run_that_has_ended_is_not_said_to_be_cancelled(servers: tuple[Server, Server]) -> None:
    one, two = servers
    agent = one.client().agents.create().id
    one.scripted.fault(400, message="On strike")
    run = one.client().agents.messages.create_async(agent, input="hi")
    until(lambda: one.client().runs.retrieve(run.id).status == "failed")
    found = two.client().agents.messages.cancel(agent, run_ids=[run.id])
    assert found == {run.id: "ended"}


def told(stream: Any) -> list[tuple[Any, ...]]:
    """What a client was told, without what differs by the time."""
    return [
        (one.message_type, getattr(one, "seq_id", None), getattr(one, "content", None))
        for one in stream
    ]


def test_a_run_is_streamed_by_a_server_that_does_not_carry_it_out(
    servers: tuple[Server, Server],
) -> None:
    one, two = servers
    agent = agent_with_shout(one)
    one.scripted.call("shout", {"text": "hi"})
    one.scripted.say("one two three four five six seven", pieces=7, delay=0.2)
    messages = one.client().agents.messages
    stream = messages.create(
        agent, input="count", streaming=True, stream_tokens=True, background=True
    )
    first = next(stream)
    run_id = first.run_id
    passed = two.client().runs.messages.stream(run_id)
    resumed = two.client().conversations.messages.stream(agent, starting_after=2)
    found, later = told(passed), told(resumed)
    whole_stream = [first, *stream]
    own, otids = told(whole_stream), {getattr(one, "otid", None) for one in whole_stream}
    assert found == own
    assert later == [item for item in own if item[1] is None or item[1] > 2]
    assert "".join(item[2] for item in own if item[0] == "assistant_message") == (
        "one two three four five six seven"
    )
    # Over, it is told from the history: to who has a part of a step in pieces, that step anew.
    again = told(two.client().runs.messages.stream(run_id))
    assert [item[0] for item in again][-2:] == ["stop_reason", "usage_statistics"]
    pieces = [item for item in own if item[0] == "assistant_message"]
    last = pieces[3][1]
    for stream in (
        two.client().runs.messages.stream(run_id, starting_after=last),
        two.client().conversations.messages.stream(agent, starting_after=last),
    ):
        whole, *ends = list(stream)
        assert whole.content == "one two three four five six seven"
        assert whole.seq_id == last + 1
        assert whole.otid not in otids
        assert [one.message_type for one in ends] == ["stop_reason", "usage_statistics"]
    whole_ones = told(two.client().runs.messages.stream(run_id, starting_after=2))
    assert [item[0] for item in whole_ones] == [item[0] for item in again[2:]]
    assert two.client().runs.retrieve(run_id).background is True
    assert [run.id for run in two.client().runs.list(agent_id=agent, background=True)] == [run_id]


def test_a_groups_turn_is_streamed_by_another_server(servers: tuple[Server, Server]) -> None:
    one, two = servers
    ids = [one.client().agents.create(name=name).id for name in ("ada", "ben")]
    group = one.service.groups.create(ids, name="team").id
    one.scripted.say("North it is", pieces=4, delay=0.2)
    one.scripted.say("Then north", pieces=4, delay=0.2)
    own: list[Any] = []

    def talk() -> None:
        path = f"{one.url}/v1/groups/{group}/messages/stream"
        with httpx.stream(
            "POST", path, json={"input": "Where to?"}, headers=one.headers, timeout=60
        ) as answer:
            own.extend(line for line in answer.iter_lines() if line)

    sender = threading.Thread(target=talk)
    sender.start()
    until(lambda: two.service.groups.turn(group))
    turn = two.service.groups.turn(group)
    with httpx.stream(
        "POST", f"{two.url}/v1/runs/{turn}/stream", headers=two.headers, timeout=60
    ) as answer:
        assert answer.status_code == 200
        passed = [line for line in answer.iter_lines() if line]
    sender.join(60)
    assert [without_time(line) for line in passed] == [without_time(line) for line in own]
    assert len(passed) > 3


def without_time(line: str) -> Any:
    data = line.removeprefix("data: ")
    if data == "[DONE]":
        return data
    found = json.loads(data)
    found.pop("date", None)
    return found


def test_a_run_of_a_notebook_is_told_from_its_steps(
    service: AgentService, scripted: ScriptedServer, servers: tuple[Server, Server]
) -> None:
    two = servers[1]
    agent = agent_with_shout(two)
    scripted.call("shout", {"text": "hi"})
    scripted.say("one two three four", pieces=4, delay=0.3)
    events = service.runs.send(agent, "go")
    begun = next(event for event in events if event.type == "run_started")
    stream = two.client().runs.messages.stream(begun.run_id)
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.extend(told(stream)))
    reader.start()
    assert [event.type for event in events][-1] == "run_ended"
    reader.join(60)
    assert [item[0] for item in found] == [
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert [item[1] for item in found[:3]] == [1, 2, 3]


def test_a_groups_turn_of_a_notebook_is_told_from_its_steps(
    service: AgentService, scripted: ScriptedServer, servers: tuple[Server, Server]
) -> None:
    two = servers[1]
    ids = [two.client().agents.create(name=name).id for name in ("ada", "ben")]
    group = service.groups.create(ids, name="team").id
    scripted.say("North it is")
    scripted.say("Then north", pieces=4, delay=0.3)
    events = service.groups.send(group, "Where to?")
    begun = next(event for event in events if event.type == "step_started")
    found: list[Any] = []

    def follow() -> None:
        url = f"{two.url}/v1/runs/{two.service.groups.turn(group)}/stream"
        with httpx.stream("POST", url, headers=two.headers, timeout=60) as answer:
            found.extend(without_time(line) for line in answer.iter_lines() if line)

    reader = threading.Thread(target=follow)
    reader.start()
    assert [event.type for event in events][-1] == "group_ended"
    reader.join(60)
    assert begun.type == "step_started"
    said = [(one["seq_id"], one["name"], one["content"]) for one in found if "content" in one]
    assert said == [(1, "ada", "North it is"), (2, "ben", "Then north")]
    assert [one["message_type"] for one in found[2:-1]] == ["stop_reason", "usage_statistics"]
    assert found[2]["stop_reason"] == "end_turn"
    assert len(found[3]["run_ids"]) == 2


def test_how_a_turn_ended_that_nobody_carries_out(service: AgentService) -> None:
    def end_of(owner: str) -> Any:
        def claimed(tx: Any) -> None:
            tx.execute("DELETE FROM claims")
            seconds = 0 if owner.startswith("ended/") else 60
            values = ("group-1", owner, tx.now() + timedelta(seconds=seconds))
            tx.execute("INSERT INTO claims (name, owner, expires_at) VALUES ($1, $2, $3)", values)

        service.database.run(claimed)
        return service.servers.end_of_turn("turn-1")

    me = lease.process_owner()
    assert end_of(f"{me}/turn-1") is None
    assert end_of(f"{me}9/turn-1") == TurnEnd("error", "The process that ran it ended.")
    assert end_of("ended/turn-1") == TurnEnd("cancelled", None)
    assert end_of(f"{me}/turn-2") == TurnEnd(None, None)


def test_only_the_projects_servers_are_told(servers: tuple[Server, Server]) -> None:
    one, two = servers
    agent = one.client().agents.create().id
    one.scripted.hang_mid_stream(120, text="A very long story begins here and goes on")
    run = one.client().agents.messages.create_async(agent, input="Tell me a story")
    holder = two.service.servers.holder(run.id)
    assert holder is not None
    ((server_id, address),) = holder.servers
    assert address == one.url
    path = f"{one.url}/v1/servers/{server_id}/{run.id}"
    secret = one.service.servers.secret()
    assert secret == two.service.servers.secret()
    assert secret is not None
    signed, _ = peers.request_headers(secret, server_id, run.id, "head=1")
    for given in (
        one.headers["Authorization"],
        "",
        signed.replace("Letta-Server", "Bearer"),
        peers.request_headers("another secret", server_id, run.id, "head=1")[0],
        peers.request_headers(secret, "server-other", run.id, "head=1")[0],
        peers.request_headers(secret, server_id, "run-other", "head=1")[0],
        peers.request_headers(secret, server_id, run.id, "after=0")[0],
    ):
        refused = httpx.get(path + "?head=1", headers={"Authorization": given}, timeout=60)
        assert refused.status_code == 401
        assert peers.PROOF not in refused.headers
    assert httpx.get(path + "?head=1", headers={"Authorization": signed}).status_code == 200
    again = httpx.get(path + "?head=1", headers={"Authorization": signed}, timeout=60)
    assert again.status_code == 401, "a signature counts once"
    assert secret not in json.dumps(
        [
            [str(cell) for cell in row]
            for row in one.service.database.run(lambda tx: tx.query("SELECT * FROM settings"))
        ]
    )
    two.client().agents.messages.cancel(agent)


def test_a_socket_hears_of_runs_of_other_servers(
    servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = servers
    heard_of_it = threading.Event()

    def counts(body: Any) -> Answer:
        heard_of_it.wait(60)
        return Answer(text="one two three four five six", pieces=6)

    monkeypatch.setattr(one.scripted, "default", counts)
    agent = one.client().agents.create().id
    url = two.url.replace("http", "ws", 1)
    with connect(f"{url}/v1/agents/{agent}/ws?token={two.token}", open_timeout=60) as socket:
        assert json.loads(socket.recv(60))["type"] == "hello"
        run = one.client().agents.messages.create_async(agent, input="count")
        heard = [json.loads(socket.recv(60))]
        heard_of_it.set()
        while heard[-1]["event"]["type"] != "run_ended":
            heard.append(json.loads(socket.recv(60)))
        assert {one["run_id"] for one in heard} == {run.id}
        assert [one["seq"] for one in heard] == list(range(1, len(heard) + 1))
        kinds = [one["event"]["type"] for one in heard]
        assert kinds[0] == "run_started"
        assert kinds.count("run_ended") == 1
        said = [one["event"]["text"] for one in heard if one["event"]["type"] == "text_delta"]
        assert "".join(said) == "one two three four five six"
        assert len(said) > 1
        one.scripted.hang_mid_stream(120, text="A very long story begins here and goes on")
        run = one.client().agents.messages.create_async(agent, input="Tell me a story")
        while json.loads(socket.recv(60))["event"]["type"] != "text_delta":
            pass
        with connect(f"{url}/v1/agents/{agent}/ws?token={two.token}") as late:
            assert json.loads(late.recv(60))["running"] == [run.id]
        socket.send(json.dumps({"type": "cancel", "id": "1", "run_id": run.id}))
        ended = ""
        while ended != "cancelled":
            ended = json.loads(socket.recv(60)).get("event", {}).get("stop_reason", "")


@pytest.mark.slow
def test_the_stream_of_a_server_that_is_killed_ends_with_an_error(
    tmp_path: Path, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letta_kernel.server.remote._CONNECT", 60.0)
    home = tmp_path / "home"
    with (
        member(home, scripted) as holder,
        AgentService(home) as service,
        serving(service, scripted) as two,
    ):
        agent = holder.client().agents.create().id
        scripted.say("The first of two", pieces=2)
        scripted.hang_mid_stream(120, text="A very long story begins here and goes on")
        holder.client().agents.messages.create(agent, input="hi")
        run = holder.client().agents.messages.create_async(agent, input="Tell me a story")
        path = f"{two.url}/v1/agents/{agent}/messages"
        with httpx.stream(
            "POST", f"{two.url}/v1/runs/{run.id}/stream", headers=two.headers, timeout=120
        ) as answer:
            scripted.wait_for(2, 60)
            holder.kill()
            told = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        assert told[-1] == "[DONE]"
        kinds = [json.loads(line)["message_type"] for line in told[:-1]]
        assert kinds == ["error_message", "stop_reason", "usage_statistics"]
        assert "process that ran it ended" in told[0]
        assert httpx.post(path, json={"input": "x"}, headers=two.headers, timeout=60).is_success
