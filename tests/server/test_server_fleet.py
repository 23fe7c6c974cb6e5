"""Several servers over one store: each ends, and tells of, what another carries out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving, until
from shout_agent import agent_with_shout

from letta_kernel.service import AgentService


@pytest.fixture
def servers(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, Server]]:
    """Two servers that share nothing but the store."""
    monkeypatch.setattr("letta_kernel.server.events.sse.PING_SECONDS", 3600.0)
    monkeypatch.setattr("letta_kernel.agent.keeper.LOOK_SECONDS", 0.2)
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
