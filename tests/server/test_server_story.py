"""One long story through the unmodified SDK: made, talked to, remembered, searched, moved, deleted."""

from __future__ import annotations

import io
from typing import Any

import pytest
from letta_client import NotFoundError
from server_bench import Server

WEIGH = '''def weigh(thing: str) -> str:
    """Weigh something.

    Args:
        thing: what to weigh
    """
    return f"{thing}: {len(thing)} kg"
'''


def test_the_life_of_an_agent(server: Server) -> None:
    client = server.client()
    scripted = server.scripted
    tool = client.tools.create(source_code=WEIGH)
    agent = client.agents.create(
        name="ada",
        model="openai/scripted",
        memory_blocks=[
            {"label": "human", "value": "Name unknown."},
            {"label": "persona", "value": "I weigh things."},
        ],
        tool_ids=[tool.id],
        tags=["story"],
        tools=["core_memory_replace", "archival_memory_insert"],
    )

    # It talks, learns a name and keeps it.
    scripted.call(
        "core_memory_replace",
        {"label": "human", "old_content": "Name unknown.", "new_content": "Called Grace."},
    )
    scripted.say("Nice to meet you, Grace.")
    first = client.agents.messages.create(agent.id, input="I am Grace.")
    assert first.messages[-1].content == "Nice to meet you, Grace."
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Called Grace."

    # It streams.
    scripted.call("archival_memory_insert", {"content": "Grace keeps bees behind the house."})
    scripted.say("I will remember the bees.", pieces=5)
    told = list(
        client.agents.messages.create(
            agent.id, input="I keep bees.", streaming=True, stream_tokens=True
        )
    )
    said = "".join(m.content for m in told if m.message_type == "assistant_message")
    assert said == "I will remember the bees."

    # A call waits for approval.
    client.agents.tools.update_approval("weigh", agent_id=agent.id, body_requires_approval=True)
    scripted.call("weigh", {"thing": "hive"})
    asked = client.agents.messages.create(agent.id, input="Weigh the hive.")
    call_id = _calls(asked)[0].tool_call_id
    scripted.say("It weighs 4 kg.")
    approved = client.agents.messages.create(
        agent.id,
        messages=[
            {
                "type": "approval",
                "approvals": [{"type": "approval", "tool_call_id": call_id, "approve": True}],
            }
        ],
    )
    assert "hive: 4 kg" in [getattr(m, "tool_return", "") for m in approved.messages]

    # A person edits its memory, and it is in the next prompt.
    client.agents.blocks.update("persona", agent_id=agent.id, value="I weigh bees.")
    client.agents.messages.create(agent.id, input="Who are you?")
    assert "I weigh bees." in str(scripted.requests[-1]["messages"][0])

    # What was said and kept is found.
    found = client.agents.passages.search(agent.id, query="insects that make honey, bees")
    assert "bees" in found.results[0].content
    hits = client.messages.search(query="weigh the hive")
    assert any("hive" in str(getattr(hit, "content", hit)) for hit in hits)

    # What it did is on record.
    runs = list(client.runs.list(agent_id=agent.id))
    assert len(runs) == 5
    assert {run.status for run in runs} == {"completed"}
    assert sum(len(list(client.runs.steps.list(run.id))) for run in runs) == 8

    # It moves to a file and back.
    exported = client.agents.export_file(agent.id)
    assert "Called Grace." in exported
    taken = client.agents.import_file(file=io.BytesIO(exported.encode()))
    copy = client.agents.retrieve(taken.agent_ids[0])
    assert copy.id != agent.id
    assert {b.label: b.value for b in copy.blocks} == {
        "human": "Called Grace.",
        "persona": "I weigh bees.",
    }
    scripted.say("Yes, Grace.")
    again = client.agents.messages.create(copy.id, input="Do you know me?")
    assert again.messages[-1].content == "Yes, Grace."

    # It goes, and what is only its own goes with it.
    client.agents.delete(agent.id)
    with pytest.raises(NotFoundError):
        client.agents.retrieve(agent.id)
    assert list(client.runs.list(agent_id=agent.id)) == []
    assert client.agents.retrieve(copy.id).id == copy.id


def _calls(answer: Any) -> Any:
    requests = [m for m in answer.messages if m.message_type == "approval_request_message"]
    return requests[0].tool_calls
