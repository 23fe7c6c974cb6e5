"""Runs that go on by themselves: in the background, followed again, looked up later."""

from __future__ import annotations

import time

import pytest
from letta_client import ConflictError, NotFoundError
from server_bench import Server
from shout_agent import agent_with_shout, kinds


def test_background_async_cancel_and_busy(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    server.scripted.hang_mid_stream(120, text="A very long story begins here and goes on")
    run = client.agents.messages.create_async(agent, input="Tell me a story")
    assert run.status == "running"
    assert run.background is True
    with pytest.raises(ConflictError):
        client.agents.messages.create(agent, input="hello?")
    with pytest.raises(ConflictError):
        client.agents.delete(agent)
    assert [r.id for r in client.runs.list(active=True)] == [run.id]
    assert client.agents.messages.cancel(agent) == {run.id: "cancelled"}
    ended = client.runs.retrieve(run.id)
    assert ended.status == "cancelled"
    assert ended.stop_reason == "cancelled"
    assert client.agents.messages.cancel(agent) == {}
    assert client.agents.messages.cancel(agent, run_ids=[run.id]) == {run.id: "cancelled"}
    with pytest.raises(NotFoundError):
        client.agents.messages.cancel(agent, run_ids=["run-x"])
    server.scripted.say("Hello!")
    assert client.agents.messages.create(agent, input="hello?").messages


def test_no_list_of_messages_says_that_a_run_was_stopped(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    asked = len(server.scripted.requests)
    server.scripted.hang()
    stream = client.agents.messages.create(
        agent, input="Roll a die", streaming=True, background=True
    )
    server.scripted.wait_for(asked + 1)
    assert set(client.agents.messages.cancel(agent).values()) == {"cancelled"}
    told = kinds(list(stream))
    assert told == ["stop_reason", "usage_statistics"]
    mark = server.service.messages.history(agent)[-1]
    assert mark.is_mark  # our own doors show it
    (run,) = client.runs.list(agent_id=agent)
    assert kinds(client.runs.messages.stream(run.id)) == told
    newest = client.agents.messages.list(agent, limit=1).items
    assert kinds(newest) == ["user_message"]  # and no empty page
    assert client.agents.messages.list(agent, after=newest[0].id, order="asc").items == []
    for found in (client.runs.messages.list(run.id), client.conversations.messages.list(agent)):
        assert mark.id not in [one.id for one in found]
    assert [one.id for one in client.messages.retrieve(mark.id)] == [mark.id]


def test_a_stream_is_taken_up_where_it_was_left(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    server.scripted.say("one two three four five six seven", pieces=7)
    stream = client.agents.messages.create(
        agent, input="count", streaming=True, stream_tokens=True, background=True
    )
    first = [next(stream) for _ in range(2)]
    stream.close()
    run_id = first[0].run_id
    rest = list(client.runs.messages.stream(run_id, starting_after=first[-1].seq_id))
    said = [m for m in [*first, *rest] if m.message_type == "assistant_message"]
    assert "".join(m.content for m in said) == "one two three four five six seven"
    begin = said[0].seq_id
    assert [m.seq_id for m in said] == list(range(begin, begin + len(said)))
    assert kinds(rest)[-2:] == ["stop_reason", "usage_statistics"]
    again = list(client.runs.messages.stream(run_id))
    assert [m.seq_id for m in again[: len(said)]] == [m.seq_id for m in said]


def test_a_client_that_goes_away_does_not_end_the_run(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    server.scripted.say("one two three four five six seven", pieces=7, delay=0.05)
    stream = client.agents.messages.create(agent, input="go", streaming=True, stream_tokens=True)
    next(stream)
    stream.close()
    deadline = time.monotonic() + 90
    while client.runs.list(agent_id=agent).items[0].status == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    said = client.agents.messages.list(agent).items[-1]
    assert said.content == "one two three four five six seven"


def test_runs_and_steps(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server)
    server.scripted.call("shout", {"text": "hi"})
    server.scripted.say("Ready.")
    answer = client.agents.messages.create(agent, input="go")
    run_id = (answer.usage.run_ids or [""])[0]
    client.agents.messages.create(agent, input="more")
    assert [r.agent_id for r in client.runs.list()] == [agent, agent]
    assert next(iter(client.runs.list(agent_id=agent, order="asc", limit=1))).id == run_id
    assert client.runs.list(agent_id="agent-none").items == []
    assert client.runs.list(statuses=["failed"]).items == []
    assert len(client.runs.list(stop_reason="end_turn").items) == 2
    run = client.runs.retrieve(run_id)
    assert (run.status, run.stop_reason) == ("completed", "end_turn")
    assert run.total_duration_ns is not None
    assert run.total_duration_ns > 0
    usage = client.runs.usage.retrieve(run_id)
    assert usage.total_tokens == answer.usage.total_tokens
    assert kinds(client.runs.messages.list(run_id)) == ["user_message", *kinds(answer.messages)]
    steps = list(client.runs.steps.list(run_id))
    assert len(steps) == 2
    assert steps[0].api_model_handle == "openai/scripted"
    assert [s.id for s in client.runs.steps.list(run_id, order="desc")] == [
        s.id for s in steps[::-1]
    ]
    names = [span["name"] for span in client.runs.trace.retrieve(run_id)]
    assert names == ["agent_run", "agent_step", "tool_execution", "agent_step"]
    assert len(client.steps.list(agent_id=agent).items) == 3
    assert len(client.steps.list(model="openai/scripted").items) == 3
    assert client.steps.list(model="other").items == []
    step = client.steps.retrieve(steps[0].id)
    assert (step.run_id, step.status) == (run_id, "success")
    assert kinds(client.steps.messages.list(step.id)) == [
        "tool_call_message",
        "tool_return_message",
    ]
    metrics = client.steps.metrics.retrieve(step.id)
    assert (metrics.step_ns or 0) >= (metrics.tool_execution_ns or 0) > 0
    trace = client.steps.trace.retrieve(step.id)
    assert trace is not None
    assert trace.response_json["model"] == "openai/scripted"
    rated = client.steps.feedback.create(step.id, feedback="positive", tags=["nice"])
    assert (rated.feedback, rated.tags) == ("positive", ["nice"])
    assert [s.id for s in client.steps.list(feedback="positive")] == [step.id]
    assert [s.id for s in client.steps.list(tags=["nice"])] == [step.id]
    assert len(client.steps.list(has_feedback=False).items) == 2
    assert client.steps.feedback.create(step.id, feedback=None).feedback is None


def test_a_run_of_long_ago_is_told_from_the_history(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server)
    server.service.agents.update(agent, name="grace")
    server.scripted.call("shout", {"text": "hi"})
    server.scripted.say("Ready.")
    for _ in server.service.runs.send(agent, "go"):
        pass  # not through the server, which therefore remembers nothing of it
    run_id = client.runs.list().items[0].id
    assert kinds(client.runs.messages.stream(run_id)) == [
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
