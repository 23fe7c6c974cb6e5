"""What programs put into memory and tools over REST, as agents use it in their runs."""

from __future__ import annotations

from server_bench import Server

SOURCE = '''
def double(n: int) -> int:
    """Double a number.

    Args:
        n: The number.
    """
    return 2 * n
'''


def run(server: Server, ref: str, text: str) -> None:
    for _ in server.service.runs.send(ref, text):
        pass


def test_an_agent_calls_a_tool_that_came_as_source(server: Server) -> None:
    client = server.client()
    agent = server.service.agents.create("ada")
    tool = client.tools.create(source_code=SOURCE)
    client.agents.tools.attach(tool.id, agent_id=agent.id)
    server.scripted.call("double", {"n": 21})
    server.scripted.say("It is 42.")
    run(server, agent.id, "Double 21.")
    shown = client.messages.list(order="asc")
    assert [message.message_type for message in shown] == [
        "user_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert shown[2].tool_return == "42"  # type: ignore[union-attr]
    assert client.tools.update(tool.id, description="Twice as much.").description


def test_approval_asked_for_over_rest_stops_a_run(server: Server) -> None:
    client = server.client()
    agent = server.service.agents.create("ada")
    tool = client.tools.create(source_code=SOURCE)
    client.agents.tools.attach(tool.id, agent_id=agent.id)
    client.agents.tools.update_approval("double", agent_id=agent.id, body_requires_approval=True)
    server.scripted.call("double", {"n": 21})
    run(server, agent.id, "Double 21.")
    newest = client.messages.list(limit=1)[0]
    assert newest.message_type == "approval_request_message"
    (again,) = client.messages.retrieve(newest.id)
    assert again.message_type == "approval_request_message"


def test_what_one_agent_keeps_another_is_shown(server: Server) -> None:
    client = server.client()
    ada, bob = (server.service.agents.create(name) for name in ("ada", "bob"))
    archive = client.archives.create(name="house")
    for agent in (ada, bob):
        client.agents.archives.attach(archive.id, agent_id=agent.id)
    server.scripted.call("archival_memory_insert", {"content": "The boat house key is with Osei."})
    server.scripted.say("Noted.")
    run(server, ada.id, "Osei has the boat house key.")
    assert client.passages.search(query="key", archive_id=archive.id)[0].score > 0

    server.scripted.call("archival_memory_search", {"query": "boat house key"})
    server.scripted.say("Osei has it.")
    run(server, bob.id, "Who has the boat house key?")
    seen = str(server.scripted.requests[-1]["messages"])
    assert "The boat house key is with Osei." in seen


def test_a_shared_block_is_in_every_prompt(server: Server) -> None:
    client = server.client()
    ada, bob = (server.service.agents.create(name) for name in ("ada", "bob"))
    block = client.blocks.create(label="team", value="We meet on Mondays.")
    for agent in (ada, bob):
        client.agents.blocks.attach(block.id, agent_id=agent.id)
    client.agents.blocks.update("team", agent_id=ada.id, value="We meet on Fridays.")
    server.scripted.say("On Fridays.")
    run(server, bob.id, "When do we meet?")
    assert "We meet on Fridays." in str(server.scripted.requests[-1]["messages"][0])


def test_messages_of_one_conversation(server: Server) -> None:
    client = server.client()
    agent = server.service.agents.create("ada")
    server.scripted.say("Hello.")
    run(server, agent.id, "Good morning.")
    conversation = client.conversations.create(agent_id=agent.id)
    server.scripted.say("About herons, then.")
    for _ in client.conversations.messages.create(
        conversation.id, messages=[{"role": "user", "content": "Let us talk about herons."}]
    ):
        pass
    own = client.messages.list(conversation_id=conversation.id, order="asc")
    assert [getattr(message, "content", None) for message in own] == [
        "Let us talk about herons.",
        "About herons, then.",
    ]
    assert len(client.messages.list()) == 4
    found = client.messages.search(query="herons", conversation_id=conversation.id)
    assert {hit.conversation_id for hit in found} == {conversation.id}
    own_thread = client.messages.search(query="", agent_id=agent.id, conversation_id="default")
    assert [hit.conversation_id for hit in own_thread] == [None, None]
