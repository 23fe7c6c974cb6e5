"""Talking with an agent through the SDK: whole, step by step, piece by piece; approvals and client tools."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx
import pytest
from letta_client import APIStatusError, BadRequestError, ConflictError, UnprocessableEntityError
from server_bench import Server

SHOUT = '''def shout(text: str) -> str:
    """Shout.

    Args:
        text: what to shout
    """
    return text.upper() + "!"
'''


WHISPER = SHOUT.replace("shout", "whisper").replace('.upper() + "!"', ".lower()")


def kinds(messages: Iterable[Any]) -> list[str]:
    return [message.message_type for message in messages]


def agent_with_shout(server: Server, *, approval: bool = False, **fields: Any) -> str:
    client = server.client()
    tool = client.tools.create(source_code=SHOUT, default_requires_approval=approval)
    return client.agents.create(name="ada", tool_ids=[tool.id], **fields).id


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
    assert kinds(client.agents.messages.list(agent).items) == kinds(listed)[::-1]
    paged = list(client.agents.messages.list(agent, limit=1))
    assert kinds(paged)[-2:] == ["user_message", "system_message"]
    first = paged[-1].id
    of = client.agents.messages
    assert of.list(agent, order="asc", after=first, limit=1).items[0].id == paged[-2].id
    assert of.list(agent, before=first, limit=1).items[0].id == paged[-2].id
    assert [m.id for m in of.list(agent, after=paged[-2].id).items] == [first]
    assert (
        of.list(agent, after=first).items == of.list(agent, order="asc", before=first).items == []
    )
    assert {m.id for m in paged} == {m.id for m in listed}


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


def test_approval_and_denial(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server, approval=True)
    server.scripted.call("shout", {"text": "hi"})
    asked = client.agents.messages.create(agent, input="Shout hi")
    assert kinds(asked.messages) == ["approval_request_message"]
    assert asked.stop_reason.stop_reason == "requires_approval"
    request = asked.messages[0]
    state = client.agents.retrieve(agent)
    assert state.pending_approval is not None
    assert state.pending_approval.id == request.id
    assert kinds(client.agents.messages.list(agent, order="asc").items)[-1] == (
        "approval_request_message"
    )
    with pytest.raises(ConflictError, match="waiting for approval") as waits:
        client.agents.messages.create(agent, input="Never mind")
    assert waits.value.body == {
        "detail": {
            "code": "PENDING_APPROVAL",
            "message": ANY,
            "pending_request_id": request.id,
        }
    }
    call_id = request.tool_calls[0].tool_call_id
    with pytest.raises(BadRequestError, match="Invalid tool call IDs"):
        client.agents.messages.create(agent, messages=[_word("call-of-nobody", True)])
    server.scripted.say("Shouted.")
    answer = client.agents.messages.create(agent, messages=[_word(call_id, True)])
    assert kinds(answer.messages) == ["tool_return_message", "assistant_message"]
    assert answer.messages[0].tool_return == "HI!"
    listed = client.agents.messages.list(agent, order="asc").items
    assert kinds(listed) == [
        "system_message",
        "user_message",
        "approval_request_message",
        "approval_response_message",
        *kinds(answer.messages),
    ]
    assert listed[3].approval_request_id == call_id
    for nothing in (call_id, "call-of-nobody"):
        with pytest.raises(BadRequestError, match="No tool call is currently awaiting approval"):
            client.agents.messages.create(agent, messages=[_word(nothing, True)])
    server.scripted.call("shout", {"text": "again"})
    told = list(
        client.agents.messages.create(agent, input="Again", streaming=True, stream_tokens=True)
    )
    assert kinds(told) == ["approval_request_message", "stop_reason", "usage_statistics"]
    server.scripted.say("As you wish.")
    denied = client.agents.messages.create(
        agent, messages=[{"type": "approval", "approve": False, "reason": "too loud"}]
    )
    assert denied.messages[0].status == "error"
    assert "too loud" in denied.messages[0].tool_return
    said = client.agents.messages.list(agent, order="asc").items[-3]
    assert (said.approve, said.reason) == (False, "too loud")


def test_words_and_messages_come_in_one_request(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server, approval=True)
    free = client.tools.create(source_code=WHISPER)
    client.agents.tools.attach(free.id, agent_id=agent)
    server.scripted.calls(
        [
            ("shout", {"text": "a"}),
            ("shout", {"text": "b"}),
            ("whisper", {"text": "C"}),
            ("shout", {"text": "d"}),
        ]
    )
    asked = client.agents.messages.create(agent, input="All of it")
    assert kinds(asked.messages) == ["tool_call_message", "approval_request_message"]
    assert [one.name for one in asked.messages[0].tool_calls] == ["whisper"]
    first, second, third = (one.tool_call_id for one in asked.messages[1].tool_calls)
    with pytest.raises(BadRequestError, match="Invalid tool call IDs"):
        client.agents.messages.create(agent, messages=[_word(first, True)])
    parts: list[Any] = [
        {"type": "approval", "tool_call_id": first, "approve": True},
        {"type": "approval", "tool_call_id": second, "approve": False},
        {
            "type": "tool",
            "tool_call_id": third,
            "tool_return": "done by hand",
            "status": "success",
            "stdout": ["by hand"],
        },
    ]
    server.scripted.say("Noted.")
    answer = client.agents.messages.create(
        agent,
        messages=[
            {"type": "approval", "approvals": parts},
            {"role": "user", "content": "And never so loud again."},
        ],
    )
    assert kinds(answer.messages) == ["tool_return_message", "assistant_message"]
    returned = {one.tool_call_id: one for one in answer.messages[0].tool_returns}
    assert [returned[one].status for one in (first, second, third)] == [
        "success",
        "error",
        "success",
    ]
    assert returned[third].stdout == ["by hand"]
    assert len(returned) == 4
    shown = server.scripted.requests[-1]["messages"]
    assert [m["role"] for m in shown[-6:]].count("tool") == 4
    assert shown[-1]["role"] == "user"
    assert "never so loud" in str(shown[-1]["content"])
    listed = client.agents.messages.list(agent, order="asc").items
    assert "user_message" in kinds(listed[-2:])
    by_hand = [m for m in listed if m.message_type == "approval_response_message"][-1]
    assert (by_hand.approvals[0].type, by_hand.approvals[0].tool_return) == ("tool", "done by hand")
    whole = list(client.runs.messages.stream(answer.usage.run_ids[0]))
    assert kinds(whole)[:2] == kinds(answer.messages)


def test_an_answer_sent_again_after_the_agent_was_cut_off_lets_it_go_on(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server, approval=True)
    server.scripted.call("shout", {"text": "hi"})
    client.agents.messages.create(agent, input="Shout hi")
    server.scripted.say("No.")
    client.agents.messages.create(agent, messages=[{"type": "approval", "approve": False}])
    server.scripted.calls([("shout", {"text": str(number)}) for number in range(30)])
    asked = client.agents.messages.create(agent, input="Shout a lot")
    done = {"type": "tool", "tool_return": "done by hand", "status": "success"}
    parts: list[Any] = [
        {**done, "tool_call_id": call.tool_call_id} for call in asked.messages[0].tool_calls
    ]
    words: Any = [{"type": "approval", "approvals": parts}]
    other = {**parts[0], "tool_return": "something else"}
    with pytest.raises(UnprocessableEntityError, match="answered twice"):
        client.agents.messages.create(
            agent, messages=[{"type": "approval", "approvals": [*parts, other]}]
        )
    server.scripted.fault(400, message="out of order")
    with pytest.raises(APIStatusError):
        client.agents.messages.create(agent, messages=words)
    server.scripted.say("Here I am.")
    again = client.agents.messages.create(agent, messages=words)
    assert [m.content for m in again.messages] == ["Here I am."]
    assert "keep-alive" in str(server.scripted.requests[-1]["messages"][-1]["content"])


def test_of_equal_answers_at_once_one_is_taken_and_the_others_told(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server, approval=True)
    server.scripted.call("shout", {"text": "hi"})
    asked = client.agents.messages.create(agent, input="Shout hi")
    words = [_word(asked.messages[0].tool_call.tool_call_id, True)]
    server.scripted.hang_mid_stream(120)
    start = threading.Barrier(3)

    def answer() -> int:
        start.wait()
        try:
            client.agents.messages.create_async(agent, messages=words)
        except APIStatusError as refused:
            return refused.status_code
        return 200

    with ThreadPoolExecutor(3) as pool:
        told = sorted(done.result() for done in [pool.submit(answer) for _ in range(3)])
    assert told[0] == 200
    assert {*told[1:]} <= {400, 409}
    client.agents.messages.cancel(agent)


def test_one_agent_does_without_the_approval_a_tool_asks_for(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server, approval=True)
    other = client.agents.create(name="bob", tools=["shout"]).id
    update = client.agents.tools.update_approval
    update("shout", agent_id=agent, body_requires_approval=False)
    server.scripted.call("shout", {"text": "hi"})
    server.scripted.say("Shouted.")
    answer = client.agents.messages.create(agent, input="Shout hi")
    assert kinds(answer.messages)[:2] == ["tool_call_message", "tool_return_message"]
    server.scripted.call("shout", {"text": "hi"})
    asked = client.agents.messages.create(other, input="Shout hi")
    assert kinds(asked.messages) == ["approval_request_message"]
    update("shout", agent_id=agent, body_requires_approval=True)
    server.scripted.call("shout", {"text": "hi"})
    asked = client.agents.messages.create(agent, input="Shout hi")
    assert kinds(asked.messages) == ["approval_request_message"]


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


def _word(call_id: str, approve: bool) -> Any:
    part = {"type": "approval", "tool_call_id": call_id, "approve": approve}
    return {"type": "approval", "approvals": [part]}


CLIENT_TOOL = {
    "name": "read_screen",
    "description": "Read the user's screen",
    "parameters": {"type": "object", "properties": {"part": {"type": "string"}}},
}


def test_client_side_tools(server: Server) -> None:
    client, agent = server.client(), agent_with_shout(server)
    server.scripted.calls([("read_screen", {"part": "top"}), ("shout", {"text": "hi"})])
    asked = client.agents.messages.create(agent, input="Look", client_tools=[CLIENT_TOOL])
    assert kinds(asked.messages) == ["tool_call_message", "approval_request_message"]
    offered = [t["function"]["name"] for t in server.scripted.requests[0]["tools"]]
    assert "read_screen" in offered
    (call,) = asked.messages[1].tool_calls
    assert call.name == "read_screen"
    server.scripted.say("I see a cat.")
    answer = client.agents.messages.create(
        agent,
        client_tools=[CLIENT_TOOL],
        messages=[
            {
                "type": "tool_return",
                "tool_returns": [
                    {
                        "type": "tool",
                        "tool_call_id": call.tool_call_id,
                        "tool_return": "a cat",
                        "status": "success",
                    }
                ],
            }
        ],
    )
    returned = [m for m in answer.messages if m.message_type == "tool_return_message"]
    # The agent's own tool, which only waited because the client's did, has run.
    assert [(one.tool_return, one.status) for m in returned for one in m.tool_returns] == [
        ("a cat", "success"),
        ("HI!", "success"),
    ]
    shown = server.scripted.requests[-1]["messages"]
    assert any(m["role"] == "tool" and "a cat" in str(m["content"]) for m in shown)
    assert "read_screen" not in [t.name for t in client.agents.retrieve(agent).tools]
    server.scripted.call("read_screen", {})
    asked = client.agents.messages.create(agent, input="Look again", client_tools=[CLIENT_TOOL])
    server.scripted.say("It is dark.")
    failed = client.agents.messages.create(
        agent,
        messages=[
            {
                "type": "approval",
                "approvals": [
                    {
                        "type": "tool",
                        "tool_call_id": asked.messages[0].tool_call.tool_call_id,
                        "tool_return": [{"type": "text", "text": "no screen"}],
                        "status": "error",
                    }
                ],
            }
        ],
    )
    assert [m.status for m in failed.messages if m.message_type == "tool_return_message"] == [
        "error"
    ]


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
    assert client.agents.messages.cancel(agent, run_ids=["run-x"]) == {"run-x": "failed"}
    server.scripted.say("Hello!")
    assert client.agents.messages.create(agent, input="hello?").messages


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
    assert [m.seq_id for m in said] == list(range(1, len(said) + 1))
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
    said = client.agents.messages.list(agent).items[0]
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
            listed = [m.id async for m in client.agents.messages.list(agent.id, limit=1)]
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


def test_a_script_of_a_skill_waits_beside_what_need_not(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = server.service.home / "skills" / "tea"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: tea\ndescription: Brews tea.\n---\nRun it.")
    (folder / "brew.py").write_text("print('tea')")
    server.service.skills.allow()
    client = server.client()
    agent = client.agents.create(name="ada").id
    calls: list[Any] = [
        ("skill_read", {"name": "tea"}),
        ("skill_run", {"name": "tea", "script": "brew.py"}),
    ]
    server.scripted.calls(calls)
    pieces = list(
        client.agents.messages.stream(
            agent, messages=[{"role": "user", "content": "Tea"}], stream_tokens=True
        )
    )
    assert "approval_request_message" in kinds(pieces)
    (_, run) = server.service.runs.pending(agent)
    server.scripted.say("Here.")
    decided: Any = {"type": "approval", "tool_call_id": run.id, "approve": True}
    answer = client.agents.messages.create(
        agent, messages=[{"type": "approval", "approvals": [decided]}]
    )
    results = [r for m in answer.messages for r in getattr(m, "tool_returns", None) or ()]
    assert {m.status for m in results} == {"success"}
    assert any("Run it." in m.tool_return for m in results)
    assert any(m.tool_return.strip() == "tea" for m in results)


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
