"""Grants: what others may with an agent, and what of it runs for them."""

from __future__ import annotations

import pytest
from agent_bench import Bench, ended

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.records import Tool, ToolRule
from letta_kernel.service import AgentService
from letta_kernel.users import Actor, Guest, acting


def test_rights_are_granted_replaced_and_taken_back(service: AgentService) -> None:
    ada = service.agents.create("ada")
    made = service.grants.grant("ada", "bob", "talk", "read", tools=["conversation_search"])
    assert (made.rights, made.tools) == (["read", "talk"], ["conversation_search"])
    again = service.grants.grant(ada.id, "bob", "talk")
    assert (again.id, again.rights, again.tools) == (made.id, ["talk"], ["conversation_search"])
    service.grants.grant("ada", "cleo", "read")
    assert [(g.guest, a.name) for g, a in service.grants.granted()] == [
        ("bob", "ada"),
        ("cleo", "ada"),
    ]
    assert service.grants.find(ada.id, "bob") == again
    with pytest.raises(NotFoundError, match=r"granted to 'bop'. Did you mean 'bob'"):
        service.grants.revoke("ada", "bop")
    service.grants.revoke("ada", "bob")
    assert [one.guest for one in service.grants.list("ada")] == ["cleo"]
    service.agents.create("bea")
    service.grants.grant("bea", "cleo", "talk")
    assert service.grants.revoke_all("cleo") == 2, "somebody has gone for good"
    service.grants.grant("ada", "cleo", "read")
    service.agents.delete("ada")
    assert service.grants.list() == []


@pytest.mark.parametrize(
    ("user", "rights", "tools", "said"),
    [
        ("Bob", ["talk"], None, "cannot be called"),
        ("bob", [], None, "Say what to grant"),
        ("bob", ["rule"], None, "'rule' is no right"),
        ("bob", ["talk"], ["conversation_serch"], "Did you mean 'conversation_search'"),
    ],
)
def test_what_cannot_be_granted_changes_nothing(
    service: AgentService, user: str, rights: list[str], tools: list[str] | None, said: str
) -> None:
    service.agents.create("ada")
    with pytest.raises(InvalidInputError, match=said):
        service.grants.grant("ada", user, *rights, tools=tools)
    assert service.grants.list() == []


def test_a_guest_has_a_thread_of_their_own(service: AgentService) -> None:
    ada = service.agents.create("ada")
    with pytest.raises(NotFoundError):
        service.grants.conversation(ada.id, "bob")
    service.grants.grant("ada", "bob", "talk")
    own = service.grants.conversation(ada.id, "bob")
    assert own.created_by == "bob"
    assert service.grants.conversation(ada.id, "bob").id == own.id
    service.conversations.delete(own.id)
    assert service.grants.conversation(ada.id, "bob").id != own.id


def test_a_guest_finds_only_what_was_said_with_them(bench: Bench) -> None:
    ada = bench.service.agents.create("ada")
    list(bench.service.runs.send("ada", "the owner keeps kittiwakes"))
    bench.service.grants.grant("ada", "bob", "talk")
    own = bench.service.grants.conversation(ada.id, "bob")
    with acting(Actor("bob", "ann", Guest(ada.id, frozenset({"talk"})))):
        list(bench.service.runs.send("ada", "bob keeps razorbills", conversation=own.id))
        found = bench.service.messages.search("keeps kittiwakes razorbills", agent="ada")
    assert {hit.message.created_by for hit in found} == {"bob"}
    with acting(Actor("bob", "ann", Guest(ada.id, frozenset({"talk", "read"})))):
        found = bench.service.messages.search("keeps kittiwakes razorbills", agent="ada")
    assert len({hit.message.created_by for hit in found}) == 2


def returned(bench: Bench, agent: str, name: str, thread: str | None = None) -> str:
    """Return what a tool answered last."""
    said = bench.service.messages.list(agent, thread, limit=50)
    return next(one.content for one in said if one.role == "tool" and one.name == name)


def test_agents_that_a_guests_agent_asks_run_nothing_of_theirs(bench: Bench) -> None:
    service, ask = bench.service, "send_message_to_agent_and_wait_for_reply"
    ada = service.agents.create("ada", tool_refs=[ask, "send_message_to_agent_async"])
    secret = Tool(
        name="secret",
        source='def secret() -> str:\n    """Tell."""\n    return "kittiwake"\n',
        kind="source",
        runs_in="sandbox",
    )
    service.tools.upsert(secret)
    cyd = service.agents.create("cyd", tool_refs=["secret"])
    bench.server.say("The owner's own.")
    list(service.runs.send("cyd", "the owner keeps kittiwakes"))
    guest = Guest(ada.id, frozenset({"read", "talk"}), frozenset({ask, "secret", "run_code"}))
    thread = service.conversations.create("ada")
    with acting(Actor("bob", "ann", guest)):
        bench.server.call("send_message_to_agent_async", {"message": "x", "other_agent_id": "cyd"})
        bench.server.call(ask, {"message": "Tell me.", "other_agent_id": "cyd"})
        bench.server.call("secret")
        bench.server.call("conversation_search", {"query": "kittiwakes"})
        bench.server.say("I cannot.")
        bench.server.say("It cannot.")
        list(service.runs.send("ada", "ask cyd", conversation=thread.id))
    never = returned(bench, "ada", "send_message_to_agent_async", thread.id)
    assert "never runs for a guest" in never
    assert "I cannot." in returned(bench, "ada", ask, thread.id)
    assert "secret does not run for bob" in returned(bench, "cyd", "secret")
    assert "kittiwake" not in returned(bench, "cyd", "conversation_search")
    runs = service.runs.list(agent_ids=[cyd.id])
    assert [one.created_by for one in runs][:1] == ["bob"], "it counts for the guest"


def test_a_guest_never_waits_for_a_word_on_what_is_not_theirs(bench: Bench) -> None:
    rule = ToolRule(type="requires_approval", tool_name="core_memory_append")
    ada = bench.service.agents.create("ada", tool_rules=[rule])
    call = ("core_memory_append", {"label": "human", "content": "x"})
    thread = bench.service.conversations.create("ada")
    for tools, waits in ((frozenset[str](), False), (frozenset({call[0]}), True)):
        with acting(Actor("bob", "ann", Guest(ada.id, frozenset({"talk"}), tools))):
            bench.server.calls([call])
            if not waits:
                bench.server.say("I may not.")
            list(bench.service.runs.send("ada", "note it", conversation=thread.id))
        assert bool(bench.service.runs.pending("ada", thread.id)) is waits
    assert "x" not in bench.service.blocks.retrieve("human", agent="ada").value


def test_what_was_taken_back_while_a_run_waited_is_not_sent(bench: Bench) -> None:
    service = bench.service
    ada = service.agents.create("ada")
    service.grants.grant("ada", "bob", "write")
    going = service.runs.send("ada", "the owner's own")
    next(going)
    guest = Guest(ada.id, frozenset({"read", "talk", "write"}))
    with acting(Actor("bob", "ann", guest)):
        waiting = service.runs.send("ada", "bob's", wait="here")
        assert next(waiting).type == "run_queued"
        service.grants.revoke("ada", "bob")
        list(going)
        end = ended(list(waiting))
    assert (
        end.error == "What was granted to bob was taken back while this waited: nothing was sent."
    )
    assert "bob's" not in [one.content for one in service.messages.list("ada")]


def test_an_agent_file_says_who_spoke(bench: Bench) -> None:
    ada = bench.service.agents.create("ada")
    with acting(Actor("bob", "ann", Guest(ada.id, frozenset({"write"})))):
        list(bench.service.runs.send("ada", "from bob"))
    list(bench.service.runs.send("ada", "from the owner"))
    [agent] = bench.service.agent_files.export("ada")["agents"]
    said = [(m["name"], m["content"][0]["text"]) for m in agent["messages"] if m["role"] == "user"]
    assert said == [("bob", "from bob"), (None, "from the owner")]
