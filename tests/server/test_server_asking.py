"""Agents that ask each other, through the SDK: who has the tools, what a client is told, who spoke."""

from __future__ import annotations

import json

from server_bench import Server

from letta_kernel.agent_messages import NOTIFY, SPAWN, TOOLS, WAIT

TOGETHER = {"include_multi_agent_tools": True}


def kinds(messages: object) -> list[str]:
    return [message.message_type for message in messages]  # type: ignore[attr-defined]


def test_the_tools_are_given_when_asked_for(server: Server) -> None:
    client = server.client()
    ada = client.agents.create(name="ada", extra_body=TOGETHER, include_base_tools=False)
    assert {tool.name: tool.tool_type for tool in ada.tools} == dict.fromkeys(
        TOOLS, "letta_multi_agent_core"
    )
    assert not {tool.name for tool in client.agents.create(name="bob").tools} & {*TOOLS}
    (tool,) = client.tools.list(name=WAIT)
    assert tool.tool_type == "letta_multi_agent_core"
    assert tool.json_schema is not None
    assert set(tool.json_schema["parameters"]["properties"]) == {"message", "other_agent_id"}
    eve = client.agents.create(name="eve", tools=[NOTIFY], include_base_tools=False)
    assert [tool.name for tool in eve.tools] == [NOTIFY]
    sue = client.agents.create(name="sue", tools=[SPAWN], include_base_tools=False)
    assert [(tool.name, tool.tool_type) for tool in sue.tools] == [
        (SPAWN, "letta_multi_agent_core")
    ]
    file = server.service.agent_files.export("sue")
    came = server.service.agent_files.import_data(json.dumps(file), name="sue2").agent
    assert {tool.name for tool in client.agents.retrieve(came.id).tools} == {SPAWN}
    file = server.service.agent_files.export("ada")
    came = server.service.agent_files.import_data(json.dumps(file), name="ada2").agent
    assert {tool.name for tool in client.agents.retrieve(came.id).tools} == {*TOOLS}


def test_a_client_is_told_of_its_own_agent_alone(server: Server) -> None:
    client = server.client()
    ada = client.agents.create(name="ada", extra_body=TOGETHER)
    bob = client.agents.create(name="bob")
    for stream in (False, True):
        server.scripted.call(WAIT, {"message": "What is new?", "other_agent_id": bob.id})
        server.scripted.reason("Let me think.", "The puffins.")
        server.scripted.say("Bob says: the puffins.")
        if stream:
            told = list(client.agents.messages.stream(ada.id, input="Ask bob.", stream_tokens=True))
            found = dict.fromkeys(kinds(told))
            assert not {"reasoning_message", "ping"} & set(found)
            said = "".join(
                str(one.content) for one in told if one.message_type == "assistant_message"
            )
            assert said == "Bob says: the puffins."
            continue
        answer = client.agents.messages.create(ada.id, input="Ask bob.")
        assert kinds(answer.messages) == [
            "tool_call_message",
            "tool_return_message",
            "assistant_message",
        ]
        returned = json.loads(answer.messages[1].tool_return)
        assert returned == {"agent_id": bob.id, "agent_name": "bob", "response": ["The puffins."]}
    heard = [m for m in client.agents.messages.list(bob.id) if m.message_type == "user_message"]
    assert [(one.sender_id, one.name) for one in heard] == [(ada.id, "ada")] * 2
    assert str(heard[0].content).startswith(f"[Incoming message from agent with ID '{ada.id}'")
