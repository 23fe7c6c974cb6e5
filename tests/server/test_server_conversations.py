"""Conversations through the official SDK: made, forked, talked to, followed, compacted, cancelled."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from letta_client import BadRequestError, ConflictError, NotFoundError, UnprocessableEntityError
from server_bench import Server


@pytest.fixture
def ada(server: Server) -> str:
    """The id of an agent."""
    return server.service.agents.create("ada", human="Kim").id


def kinds(stream: Any) -> list[str]:
    return [message.message_type for message in stream]


def test_a_conversation_is_made_found_changed_and_deleted(server: Server, ada: str) -> None:
    client = server.client()
    made = client.conversations.create(agent_id=ada, summary="Lisbon", description="The trip")
    assert made.id.startswith("conv-")
    assert (made.agent_id, made.summary, made.description) == (ada, "Lisbon", "The trip")
    assert made.archived is False
    assert made.in_context_message_ids == [
        m.id for m in client.conversations.messages.list(made.id).items
    ]
    other = client.conversations.create(
        agent_id=ada,
        model="google_ai/gemini-2.5-pro",
        model_settings={"provider_type": "google_ai", "temperature": 0.2, "max_output_tokens": 99},
        context_window_limit=9000,
    )
    found = client.conversations.retrieve(other.id)
    assert (found.model, found.context_window_limit) == ("google_ai/gemini-2.5-pro", 9000)
    assert found.api_model_settings is not None
    assert server.service.conversations.retrieve(other.id).settings == {
        "temperature": 0.2,
        "max_tokens": 99,
        "context_window": 9000,
    }
    client.conversations.create(agent_id=ada, hidden=True)
    assert [c.id for c in client.conversations.list(agent_id=ada)] == [other.id, made.id]
    assert [c.id for c in client.conversations.list(order="asc", limit=1)] == [made.id]
    assert [c.id for c in client.conversations.list(agent_id=ada, after=other.id)] == [made.id]
    assert [c.id for c in client.conversations.list(summary_search="lisb")] == [made.id]
    changed = client.conversations.update(made.id, archived=True, summary="Porto")
    assert (changed.archived, changed.summary) == (True, "Porto")
    assert changed.archived_at is not None
    assert [c.id for c in client.conversations.list(archive_status="archived")] == [made.id]
    assert [c.id for c in client.conversations.list(agent_id=ada)] == [other.id]
    client.conversations.update(other.id, model=None, model_settings=None)
    assert server.service.conversations.retrieve(other.id).settings == {"context_window": 9000}
    client.conversations.delete(made.id)
    with pytest.raises(NotFoundError):
        client.conversations.retrieve(made.id)


def test_messages_are_sent_streamed_and_listed(server: Server, ada: str) -> None:
    client, scripted = server.client(), server.scripted
    one = client.conversations.create(agent_id=ada).id
    scripted.call("memory_insert", {"label": "human", "new_string": "likes tea"})
    scripted.say("Noted")
    with client.conversations.messages.create(one, input="I like tea") as stream:
        said = list(stream)
    assert kinds(said) == [
        *("tool_call_message", "tool_return_message", "assistant_message"),
        *("stop_reason", "usage_statistics"),
    ]
    scripted.say("Yes, indeed")
    with client.conversations.messages.create(
        one, messages=[{"role": "user", "content": "Really?"}], stream_tokens=True
    ) as stream:
        text = "".join(str(m.content) for m in stream if m.message_type == "assistant_message")
    assert text == "Yes, indeed"
    whole = httpx.post(
        f"{server.url}/v1/conversations/{one}/messages",
        json={"input": "And now?", "streaming": False},
        headers=server.headers,
        timeout=60,
    ).json()
    assert whole["stop_reason"]["stop_reason"] == "end_turn"
    listed = list(client.conversations.messages.list(one, order="asc", limit=2))
    assert kinds(listed) == [
        "system_message",
        *("user_message", "tool_call_message", "tool_return_message", "assistant_message"),
        *("user_message", "assistant_message") * 2,
    ]
    newest = client.conversations.messages.list(one, limit=1)
    assert newest.items[0].message_type == "assistant_message"
    users = client.conversations.messages.list(one, include_return_message_types=["user_message"])
    assert [m.content for m in users.items] == ["And now?", "Really?", "I like tea"]
    page = client.conversations.messages.list(one, before=listed[-1].id, order="asc", limit=1)
    assert page.items[-1].id == listed[-2].id
    for empty in ("default", ada):
        (first,) = client.conversations.messages.list(empty, agent_id=ada).items
        assert first.message_type == "system_message"
    found = client.conversations.retrieve(one)
    assert found.in_context_message_ids == list(
        dict.fromkeys(m.id for m in client.conversations.messages.list(one, order="asc").items)
    )
    assert found.last_message_at is not None
    prompt = client.conversations.recompile(one, dry_run=True)
    assert "likes tea" in prompt
    assert "likes tea" in client.conversations.recompile("default", agent_id=ada)


def test_a_fork_shares_and_goes_its_own_way(server: Server, ada: str) -> None:
    client, scripted = server.client(), server.scripted
    for text in ("One", "Two"):
        scripted.say(f"{text} it is")
        list(client.conversations.messages.create("default", agent_id=ada, input=text))
    ids = [message.id for message in server.service.messages.history(ada)]
    fork = client.conversations.fork("default", agent_id=ada, message_id=ids[1])
    assert (fork.in_context_message_ids or [])[1:] == ids[:2]
    scripted.say("Three it is")
    list(client.conversations.messages.create(fork.id, input="Three"))
    again = client.conversations.fork(fork.id, hidden=True)
    shown = client.conversations.messages.list(again.id, order="asc").items
    assert [m.content for m in shown[1:]] == ["One", "One it is", "Three", "Three it is"]
    assert [c.id for c in client.conversations.list(agent_id=ada)] == [fork.id]
    assert len(server.service.messages.history(ada)) == 4
    with pytest.raises(NotFoundError):
        client.conversations.fork(fork.id, message_id=ids[3])


def test_a_conversation_is_compacted(server: Server, ada: str) -> None:
    client, scripted = server.client(), server.scripted
    one = client.conversations.create(agent_id=ada).id
    with pytest.raises(BadRequestError, match="no messages to summarise"):
        client.conversations.messages.compact(one)
    assert client.agents.messages.compact(ada).summary == ""
    for number in range(5):
        scripted.say("Yes")
        list(client.conversations.messages.create(one, input=f"Number {number}"))
    scripted.say("They counted to five.")
    done = client.conversations.messages.compact(one)
    assert done.summary == "They counted to five."
    assert done.num_messages_before == 11
    assert done.num_messages_after < 11
    listed = client.conversations.messages.list(one)
    assert listed.items[0].message_type == "summary_message"
    asked = scripted.requests[-1]["messages"][0]["content"]
    scripted.say("All of it.")
    done = client.conversations.messages.compact(one, compaction_settings={"mode": "all"})
    assert (done.summary, done.num_messages_after) == ("All of it.", 4)
    assert scripted.requests[-1]["messages"][0]["content"] == asked
    for number in range(2):
        scripted.say("Yes")
        list(client.conversations.messages.create(one, input=f"Number {number}"))
    scripted.say("Mine.")
    mine: Any = {"mode": "self_compact_sliding_window"}
    assert client.conversations.messages.compact(one, compaction_settings=mine).summary == "Mine."
    assert scripted.requests[-1]["messages"][0]["content"] != asked, "the agent's own prompt"


def test_a_run_is_followed_from_where_one_was_and_cancelled(server: Server, ada: str) -> None:
    client, scripted = server.client(), server.scripted
    one = client.conversations.create(agent_id=ada).id
    assert client.conversations.cancel(one) == {}
    with pytest.raises(BadRequestError, match="No active runs found"):
        client.conversations.messages.stream(one)
    scripted.call("memory_insert", {"label": "human", "new_string": "likes tea"})
    scripted.hang(120)
    first: list[Any] = []
    begun = threading.Event()

    def read() -> None:
        stream = client.conversations.messages.create(one, input="Hello", include_pings=False)
        for message in stream:
            first.append(message)
            if message.message_type == "tool_return_message":
                begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(90)
    with pytest.raises(ConflictError):
        list(client.conversations.messages.create(one, input="Busy?"))
    meanwhile = client.conversations.messages.stream(one, starting_after=first[-1].seq_id)
    (run_id,) = [run.id for run in server.service.runs.list(thread_id=one, statuses=["running"])]
    assert client.conversations.cancel(one) == {run_id: "cancelled"}
    reader.join(60)
    assert [m.stop_reason for m in first if m.message_type == "stop_reason"] == ["cancelled"]
    assert kinds(meanwhile) == ["stop_reason", "usage_statistics"]
    with pytest.raises(BadRequestError, match="No active runs found"):
        client.conversations.messages.stream(one)
    again = kinds(client.conversations.messages.stream(one, run_id=run_id))
    assert again == [message.message_type for message in first]
    with pytest.raises(UnprocessableEntityError):
        client.conversations.messages.stream(one, run_id="run-x")


def test_calls_that_wait_belong_to_their_conversation(server: Server, ada: str) -> None:
    client, scripted = server.client(), server.scripted
    one = client.conversations.create(agent_id=ada).id
    tool: Any = {"name": "look", "description": "Look", "parameters": {"type": "object"}}
    scripted.call("look", {})
    said = list(client.conversations.messages.create(one, input="Look!", client_tools=[tool]))
    request = next(m for m in said if m.message_type == "approval_request_message")
    (listed,) = client.conversations.messages.list(
        one, include_return_message_types=["approval_request_message"]
    ).items
    assert listed.id == request.id
    scripted.say("Own")
    assert "assistant_message" in kinds(client.conversations.messages.create(ada, input="You?"))
    with pytest.raises(ConflictError):
        client.conversations.messages.create(one, input="And?")
    scripted.say("A cat")
    answer: Any = {
        "type": "approval",
        "approvals": [
            {
                "type": "tool",
                "tool_call_id": request.tool_call.tool_call_id,
                "tool_return": "cat",
                "status": "success",
            }
        ],
    }
    last = list(client.conversations.messages.create(one, messages=[answer], client_tools=[tool]))
    assert any(getattr(m, "content", "") == "A cat" for m in last)


def test_several_conversations_stream_at_the_same_time(server: Server, ada: str) -> None:
    async def talk(client: Any, number: int) -> list[str]:
        made = await client.conversations.create(agent_id=ada, summary=str(number))
        stream = await client.conversations.messages.create(made.id, input=f"Hello {number}")
        return [message.message_type async for message in stream]

    async def everybody() -> list[list[str]]:
        async with server.async_client() as client:
            return await asyncio.gather(*(talk(client, number) for number in range(8)))

    for said in asyncio.run(everybody()):
        assert said == ["assistant_message", "stop_reason", "usage_statistics"]
    for one in server.service.conversations.list(ada):
        told = [m.content for m in server.service.messages.history(ada, conversation=one.id)]
        assert told[0] == f"Hello {one.summary}"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "?agent_id=agent-x", {}, 404),
        ("POST", "", {}, 422),
        ("POST", "?agent_id={ada}", {"model": "nothing"}, 422),
        ("POST", "?agent_id={ada}", {"context_window_limit": 1}, 422),
        ("GET", "/conv-x", None, 404),
        ("PATCH", "/conv-x", {"summary": "a"}, 404),
        ("DELETE", "/conv-x", None, 404),
        ("GET", "/default/messages", None, 422),
        ("GET", "/{conv}/messages?agent_id=agent-x", None, 404),
        ("POST", "/{conv}/messages", {}, 422),
        ("POST", "/{conv}/messages", {"input": "x", "callback_url": "http://x"}, 501),
        ("POST", "/{conv}/stream", {"otid": "x"}, 404),
        ("POST", "/{conv}/fork?message_id=message-x", None, 404),
        ("GET", "?order_by=luck", None, 422),
        ("GET", "?limit=0", None, 422),
    ],
)
def test_what_cannot_be_done_is_said(
    server: Server, ada: str, method: str, path: str, body: Any, status: int
) -> None:
    conversation = server.service.conversations.create(ada).id
    url = f"{server.url}/v1/conversations{path.format(ada=ada, conv=conversation)}"
    content = None if body is None else json.dumps(body)
    headers = {**server.headers, "Content-Type": "application/json"}
    reply = httpx.request(method, url, content=content, headers=headers, timeout=60)
    assert reply.status_code == status, reply.text
    assert reply.json()["detail"]
