"""Grants: what others may with an agent, and what of it runs for them."""

from __future__ import annotations

import pytest
from agent_bench import Bench

from letta_kernel.errors import InvalidInputError, NotFoundError
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
