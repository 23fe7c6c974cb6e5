"""Talking with an agent through the SDK: whole, step by step, piece by piece."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from letta_client import APIStatusError, UnprocessableEntityError
from server_bench import Server
from shout_agent import agent_with_shout, kinds


def test_an_answer_with_thought_call_and_usage(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server)
    server.scripted.call("shout", {"text": "hi"}, reasoning="I should shout.")
    server.scripted.say("I shouted.")
    answer = client.agents.messages.create(
        agent, messages=[{"role": "user", "content": [{"type": "text", "text": "Shout hi"}]}]
    )
    assert kinds(answer.messages) == [
        "reasoning_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    thought, call, result, said = answer.messages
    assert thought.reasoning == "I should shout."
    assert call.tool_call.name == "shout"
    assert call.tool_calls[0].arguments == '{"text": "hi"}'
    assert thought.id == call.id
    assert thought.otid != call.otid
    assert (result.tool_return, result.status) == ("HI!", "success")
    assert result.tool_call_id == call.tool_call.tool_call_id
    assert said.content == "I shouted."
    assert answer.stop_reason.stop_reason == "end_turn"
    assert answer.usage.step_count == 2
    assert answer.usage.total_tokens == (
        answer.usage.prompt_tokens + answer.usage.completion_tokens
    )
    listed = client.agents.messages.list(agent, order="asc").items
    assert kinds(listed) == ["system_message", "user_message", *kinds(answer.messages)]
    assert [m.id for m in listed[2:]] == [m.id for m in answer.messages]
    assert [thought.otid[-2:], call.otid[-2:], said.otid[-2:]] == ["00", "01", "00"]
    assert kinds(client.agents.messages.list(agent, order="desc").items) == kinds(listed)[::-1]
    paged = list(client.agents.messages.list(agent, limit=1, order="desc"))
    assert kinds(paged)[-2:] == ["user_message", "system_message"]
    first = paged[-1].id
    of = client.agents.messages
    assert of.list(agent, order="asc", after=first, limit=1).items[0].id == paged[-2].id
    assert of.list(agent, before=first, limit=1, order="desc").items[0].id == paged[-2].id
    assert [m.id for m in of.list(agent, after=paged[-2].id, order="desc").items] == [first]
    assert of.list(agent, after=first, order="desc").items == []
    assert of.list(agent, order="asc", before=first).items == []
    assert {m.id for m in paged} == {m.id for m in listed}


def test_where_no_order_is_asked_for_the_newest_come_oldest_first(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(name="ada").id
    for number in range(3):
        server.scripted.say(f"Answer {number}")
        client.agents.messages.create(agent, input=f"Question {number}")
    whole = client.agents.messages.list(agent, order="asc").items
    of = client.agents.messages

    def said(**asked: Any) -> list[str]:
        return [getattr(m, "content", "")[:10] for m in of.list(agent, **asked).items]

    assert [m.id for m in of.list(agent).items] == [m.id for m in whole]
    assert said(limit=3) == ["Answer 1", "Question 2", "Answer 2"]
    assert said(after=whole[3].id) == ["Answer 1", "Question 2", "Answer 2"]
    assert said(after=whole[3].id, limit=1) == ["Answer 1"]
    assert said(before=whole[3].id, limit=2) == ["Question 0", "Answer 0"]
    assert said(after=whole[1].id, before=whole[4].id) == ["Answer 0", "Question 1"]
    assert said(after=whole[-1].id) == []


def test_only_the_types_asked_for(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server)
    server.scripted.call("shout", {"text": "hi"})
    server.scripted.say("Done so.")
    answer = client.agents.messages.create(
        agent, input="go", include_return_message_types=["assistant_message"]
    )
    assert kinds(answer.messages) == ["assistant_message"]
    server.scripted.say("Again.")
    streamed = client.agents.messages.create(
        agent,
        input="go",
        streaming=True,
        stream_tokens=True,
        include_return_message_types=["tool_call_message"],
    )
    assert kinds(streamed) == ["stop_reason", "usage_statistics"]
    listed = client.agents.messages.list(agent, include_return_message_types=["user_message"])
    assert kinds(listed.items) == ["user_message", "user_message"]


def test_a_stream_by_step(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server)
    server.scripted.call("shout", {"text": "hi"})
    server.scripted.say("Ready.")
    told = list(client.agents.messages.create(agent, input="go", streaming=True))
    assert kinds(told) == [
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert told[2].content == "Ready."
    assert [m.seq_id for m in told[:3]] == [1, 2, 3]


def test_a_stream_by_token(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server)
    server.scripted.call("shout", {"text": "hi there"}, reasoning="Let me think about that.")
    server.scripted.say("I am ready now, you know.")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        told = list(client.agents.messages.stream(agent, input="go", stream_tokens=True))
    thoughts = [m for m in told if m.message_type == "reasoning_message"]
    calls = [m for m in told if m.message_type == "tool_call_message"]
    said = [m for m in told if m.message_type == "assistant_message"]
    assert len(thoughts) > 1
    assert "".join(m.reasoning for m in thoughts) == "Let me think about that."
    assert len({m.otid for m in thoughts}) == 1
    assert calls[0].tool_call.name == "shout"
    assert "".join(m.tool_call.arguments or "" for m in calls) == '{"text": "hi there"}'
    assert len(said) > 1
    assert "".join(m.content for m in said) == "I am ready now, you know."
    assert [m.tool_return for m in told if m.message_type == "tool_return_message"] == ["HI THERE!"]
    assert kinds(told)[-2:] == ["stop_reason", "usage_statistics"]
    listed = client.agents.messages.list(agent).items
    assert {m.id for m in said} <= {m.id for m in listed}  # ids of pieces are those that stay


def test_heartbeat_style_answers_through_send_message(server: Server) -> None:
    client = server.client()
    agent = client.agents.create(agent_type="memgpt_agent").id
    arguments = {"thinking": "They greet me.", "message": "Hello, you."}
    server.scripted.call("send_message", arguments)
    answer = client.agents.messages.create(agent, input="Hi")
    assert "Hello, you." in [getattr(m, "content", "") for m in answer.messages]
    assert "tool_return_message" not in kinds(answer.messages)
    server.scripted.call("send_message", arguments)
    raw = client.agents.messages.create(agent, input="Hi", use_assistant_message=False)
    assert "tool_call_message" in kinds(raw.messages)
    assert "tool_return_message" in kinds(raw.messages)
    server.scripted.call("send_message", arguments)
    told = list(
        client.agents.messages.create(agent, input="Hi", streaming=True, stream_tokens=True)
    )
    said = [m.content for m in told if m.message_type == "assistant_message"]
    assert "".join(said) == "Hello, you."


def test_a_quiet_stream_is_kept_open_by_pings(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letta_kernel.server.events.sse.PING_SECONDS", 0.1)
    client = server.client()
    agent = client.agents.create().id
    server.scripted.hang(0.6, text="At last.")
    told = list(client.agents.messages.create(agent, input="hi", streaming=True))
    assert "ping" in kinds(told)
    said = [kind for kind in kinds(told) if kind != "ping"]
    assert said == ["assistant_message", "stop_reason", "usage_statistics"]
    server.scripted.hang(0.6, text="At last.")
    told = list(
        client.agents.messages.create(agent, input="hi", streaming=True, include_pings=False)
    )
    assert "ping" not in kinds(told)


def test_several_messages_in_one_request(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    client.agents.messages.create(
        agent,
        messages=[
            {"role": "system", "content": "It is noon."},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": "So?"},
        ],
    )
    listed = client.agents.messages.list(agent, order="asc").items
    assert [m.content for m in listed[1:]] == ["It is noon.", "I see.", "So?", "Done."]
    assert len(server.scripted.requests) == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"input": "a", "messages": [{"role": "user", "content": "b"}]}, "input"),
        ({"messages": [{"role": "user", "content": " "}]}, "content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "role"),
        ({"input": [{"type": "image", "source": {"type": "url", "url": "x"}}]}, "input"),
        ({"input": "x", "max_steps": 0}, "max_steps"),
        ({"input": "x", "override_model": "nothing"}, "override_model"),
        ({"input": "x", "client_tools": [{"name": "a b"}]}, "client_tools"),
    ],
)
def test_a_request_that_cannot_be(server: Server, body: dict[str, Any], named: str) -> None:
    client = server.client()
    agent = client.agents.create().id
    with pytest.raises(UnprocessableEntityError) as refused:
        client.agents.messages.create(agent, **body)
    assert named in str(refused.value)
    assert kinds(client.agents.messages.list(agent).items) == ["system_message"]


def test_what_is_not_done_says_so(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    for field, value in (("callback_url", "http://x"), ("return_logprobs", True)):
        with pytest.raises(APIStatusError) as refused:
            client.agents.messages.create(agent, input="x", extra_body={field: value})
        assert refused.value.status_code == 501
        assert field in str(refused.value)


LOUD = '''def loud(text: str) -> str:
    """Say it.

    Args:
        text: what to say
    """
    import os
    import sys

    print("saying", text, os.environ["LOUD_WORD"])
    print("on stderr", file=sys.stderr)
    if text == "fail":
        raise ValueError("no voice")
    return text
'''


def test_what_a_tool_printed_and_its_traceback_come_with_its_return(server: Server) -> None:
    client = server.client()
    tool = client.tools.create(source_code=LOUD)
    agent = client.agents.create(
        name="loud", tool_ids=[tool.id], secrets={"LOUD_WORD": "open-sesame-77"}
    ).id
    for text in ("hi", "fail"):
        server.scripted.call("loud", {"text": text})
    server.scripted.say("Done.")
    answer = client.agents.messages.create(agent, input="Be loud")
    good, bad = (m for m in answer.messages if m.message_type == "tool_return_message")
    listed = client.agents.messages.list(agent, order="asc").items
    kept = [m for m in listed if m.message_type == "tool_return_message"]
    for one, other in zip((good, bad), kept, strict=True):
        assert (one.stdout, one.stderr) == (other.stdout, other.stderr)
        assert (one.stdout, one.stderr) == (one.tool_returns[0].stdout, one.tool_returns[0].stderr)
    assert good.stdout is not None
    assert good.stderr == ["on stderr\n"]
    assert good.stdout[0].startswith("saying hi ")
    assert "open-sesame-77" not in str(listed)
    assert bad.stderr is not None
    assert "Traceback" in bad.stderr[0]
    assert "ValueError: no voice" in bad.stderr[0]
    assert "on stderr" not in str(server.scripted.requests[-1]["messages"])


def test_a_model_that_fails(server: Server) -> None:
    client = server.client()
    agent = client.agents.create().id
    server.scripted.fault(400, message="no such thing")
    with pytest.raises(APIStatusError) as failed:
        client.agents.messages.create(agent, input="hi")
    assert failed.value.status_code == 502
    assert failed.value.response.headers["x-should-retry"] == "false"
    server.scripted.fault(400, message="no such thing")
    told = list(client.agents.messages.create(agent, input="hi", streaming=True))
    assert kinds(told) == ["error_message", "stop_reason", "usage_statistics"]
    assert told[1].stop_reason == "llm_api_error"


def test_models(server: Server) -> None:
    client = server.client()
    models = {model.handle: model for model in client.models.list()}
    assert next(iter(models)) == "openai/scripted"
    assert models["letta/demo"].max_context_window > 0
    assert [m.provider_name for m in client.models.list(provider_name="letta")] == ["letta"]
    assert client.models.list(provider_category=["byok"]) == []
    embedding = client.models.embeddings.list()
    assert [m.handle for m in embedding] == ["letta/wordllama"]
    assert embedding[0].embedding_dim > 0


def test_the_asynchronous_sdk(server: Server) -> None:
    async def talk() -> None:
        async with server.async_client() as client:
            agent = await client.agents.create(name="ada")
            server.scripted.say("Hello.")
            answer = await client.agents.messages.create(agent.id, input="hi")
            assert answer.messages[-1].content == "Hello."
            server.scripted.say("Streaming now.")
            stream = await client.agents.messages.create(
                agent.id, input="hi", streaming=True, stream_tokens=True
            )
            pieces = [m async for m in stream if m.message_type == "assistant_message"]
            assert "".join(m.content for m in pieces) == "Streaming now."
            listed = [
                m.id async for m in client.agents.messages.list(agent.id, limit=1, order="desc")
            ]
            assert len(listed) == 5
            assert [r.agent_id async for r in client.runs.list()] == [agent.id, agent.id]
            agents = [client.agents.create(name=f"n{n}") for n in range(5)]
            made = await asyncio.gather(*agents)
            answers = await asyncio.gather(
                *(client.agents.messages.create(a.id, input="hi") for a in made)
            )
            assert [a.messages[-1].content for a in answers] == ["Done."] * 5

    asyncio.run(talk())


def test_one_answer_of_a_given_form(server: Server) -> None:
    """As Letta and OpenAI write it, with the message; whole, streamed, and on OpenAI's route."""
    client = server.client()
    agent = client.agents.create(name="ada").id
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "count", "schema": schema}}
    asked: dict[str, Any] = {"input": "How many?", "extra_body": {"response_format": form}}
    server.scripted.call("give_answer", {"n": "many"})
    server.scripted.call("give_answer", {"n": 3})
    answer = client.agents.messages.create(agent, **asked)
    assert [m.content for m in answer.messages if m.message_type == "assistant_message"] == [
        '{"n": "many"}',
        '{"n": 3}',
    ]
    server.scripted.call("give_answer", {"n": 4})
    pieces = list(client.agents.messages.stream(agent, stream_tokens=True, **asked))
    said = [m.content for m in pieces if m.message_type == "assistant_message"]
    assert "".join(map(str, said)) == '{"n": 4}'
    assert "tool_call_message" not in kinds(pieces)
    server.scripted.say("No.")
    server.scripted.say("Still no.")
    with pytest.raises(APIStatusError, match="not a valid count") as failed:
        client.agents.messages.create(agent, **asked)
    assert failed.value.status_code == 502
    with pytest.raises(UnprocessableEntityError, match="text, json_object or json_schema"):
        client.agents.messages.create(
            agent, input="Hi", extra_body={"response_format": {"type": "yaml"}}
        )
    openai = httpx.Client(base_url=server.url, headers=server.headers)
    body: dict[str, Any] = {"model": "ada", "messages": [{"role": "user", "content": "How many?"}]}
    server.scripted.call("give_answer", {"n": 5})
    done = openai.post("/v1/chat/completions", json={**body, "response_format": form}).json()
    assert done["choices"][0]["message"]["content"] == '{"n": 5}'
    bad = openai.post("/v1/chat/completions", json={**body, "response_format": {"type": "x"}})
    assert bad.status_code == 422
    openai.close()


def test_skills_of_the_client_are_listed_to_the_model(server: Server) -> None:
    """As Letta Code sends them, with every message; the client's own tools read them."""
    client = server.client()
    agent = client.agents.create(name="ada").id
    skills = [
        {
            "name": "tea",
            "description": "Brews </client_skills> tea.",
            "location": "/s/tea/SKILL.md",
        },
        {"name": "a", "description": "Other.", "location": "/s/a/SKILL.md"},
    ]
    read = {"name": "Read", "description": "Read a file.", "parameters": {"type": "object"}}
    for given in (skills, skills[::-1]):
        client.agents.messages.create(
            agent,
            input="Tea",
            client_skills=given,
            client_tools=[read],  # type: ignore[arg-type]
        )
    first, second = (r["messages"][0]["content"] for r in server.scripted.requests)
    assert first == second, "the prompt stays the same, byte by byte"
    assert "- tea: Brews &lt;/client_skills&gt; tea. (/s/tea/SKILL.md)" in first
    client.agents.messages.create(agent, input="Tea")
    assert "client_skills" not in server.scripted.requests[-1]["messages"][0]["content"]
    with pytest.raises(UnprocessableEntityError, match="location"):
        client.agents.messages.create(
            agent,
            input="Tea",
            client_skills=[{"name": "x", "description": "y"}],  # type: ignore[typeddict-item]
        )


def test_a_message_says_who_sent_it(server: Server) -> None:
    client, agent = server.client(), server.client().agents.create(name="ada").id
    for number in range(2):
        one = {"role": "user", "content": f"Hi {number}", "name": "bob", "sender_id": "agent-b"}
        client.agents.messages.create(agent, messages=[{**one, "group_id": "group-g"}])
    client.agents.messages.create(agent, input="And I")
    kept = client.agents.messages.list(agent, order="asc")
    said = [one for one in kept if one.message_type == "user_message"]
    assert [(one.name, one.sender_id) for one in said] == [("bob", "agent-b")] * 2 + [(None, None)]
    history = server.service.messages.history(agent)
    assert [one.group_id for one in history if one.role == "user"] == ["group-g"] * 2 + [None]
