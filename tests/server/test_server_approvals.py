"""Calls that wait: approved, denied, answered by whoever sent the tool."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from letta_client import APIStatusError, BadRequestError, ConflictError, UnprocessableEntityError
from server_bench import Server
from shout_agent import WHISPER, agent_with_shout, kinds


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
        },
        "page": "approval-waiting",
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
