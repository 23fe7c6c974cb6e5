"""Tokens of the project: what each lets its holder do, and to whom."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from token_field import MARK, Field

from letta_kernel.records import Block
from letta_kernel.server import rights
from letta_kernel.service import AgentService
from letta_kernel.store import backup_restore


def test_every_route_needs_what_the_table_says_and_write_otherwise(field: Field) -> None:
    names = {name for name, _, _ in field.operations()}
    assert set(rights.NEEDS) - names == {"agent_socket", "health", "health_ready"}, (
        "nothing is named that is not there"
    )
    parameters = {
        name for _, _, path in field.operations() for name in re.findall(r"{(\w+)}", path)
    }
    of_agent = {
        name
        for operation, _, path in field.operations()
        if operation in rights.OF_AGENT
        for name in re.findall(r"{(\w+)}", path)
    }
    assert of_agent <= {"agent_id", *rights.PATH} <= parameters
    nowhere = dict.fromkeys(field.ada, "nothing-there")
    before = field.service.agents.list()
    for right, allowed in (("read", ["read"]), ("talk", ["read", "talk"])):
        who = field.token(right)  # type: ignore[arg-type]
        for operation, method, path in field.operations():
            needed = rights.NEEDS.get(operation, "write")
            if needed in allowed and method != "get":
                continue  # is let in, below
            answer = field.ask(method, path, who, nowhere)
            if needed in allowed:
                assert answer.status_code in (200, 404, 422), (operation, answer.text)
            else:
                assert answer.status_code == 403, (right, operation, answer.text)
                assert f"may {right}, not {needed}" in answer.text
    assert field.service.agents.list() == before
    who = field.token("talk")
    assert field.ask("post", "/v1/agents/{agent_id}/messages", who, field.ada).status_code == 422
    assert field.ask("post", "/v1/messages/search", who, field.ada).status_code == 422
    refused = field.ask("post", "/v1/chat/completions", field.token("read"), field.ada).json()
    assert refused["error"]["message"] == "This token may read, not talk."
    made = field.web.post(
        "/v1/blocks", headers=field.token("write"), json={"label": "b", "value": ""}
    )
    assert made.status_code == 200
    assert field.web.get("/openapi.json", headers=who).status_code == 200


def test_a_token_of_one_agent_sees_and_touches_that_agent_alone(field: Field) -> None:
    who, ada, bob = field.token("write", "ada"), field.ada, field.bob
    others = {MARK, "bob", *(value for key, value in bob.items() if key.endswith("_id"))} - {
        "nothing"
    }

    def tells_nothing(answer: httpx.Response) -> None:
        said = answer.text
        for name in re.findall(r"There is no \w+ '[^']*'", said):  # what was asked for, said back
            said = said.replace(name, "")
        assert not [one for one in others if one in said], answer.text

    before = field.service.agent_files.export(bob["agent_id"])
    reached = set()
    for operation, method, path in field.operations():
        if "{" in path:
            answer = field.ask(method, path, who, bob)
            assert answer.status_code in (403, 404), (operation, answer.text)
            tells_nothing(answer)
            if operation in rights.OF_AGENT:
                assert answer.status_code == 404, operation
        if method == "get":
            answer = field.ask(method, path, who, ada)
            assert answer.status_code == (200 if operation in rights.OF_AGENT else 403), (
                operation,
                answer.text,
            )
            tells_nothing(answer)
            reached.add(operation)
        elif "{" not in path and operation not in rights.OF_AGENT:
            assert field.ask(method, path, who, bob).status_code == 403, operation
    assert reached > {
        "list_agents",
        "list_runs",
        "list_all_messages",
        "list_tools",
        "openai_models",
    }
    assert field.service.agent_files.export(bob["agent_id"])["agents"] == before["agents"]
    assert [a["id"] for a in field.web.get("/v1/agents", headers=who).json()] == [ada["agent_id"]]
    assert field.web.get("/v1/agents/count", headers=who).json() == 1
    assert field.web.get("/v1/tags", headers=who).json() == ["auk-tag"]
    runs = field.web.get("/v1/runs", headers=who).json()
    assert {run["agent_id"] for run in runs} == {ada["agent_id"]}


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("get", "/v1/runs?agent_id=BOB", None),
        ("get", "/v1/runs?agent_ids=ADA&agent_ids=BOB", None),
        ("get", "/v1/steps?agent_id=BOB", None),
        ("get", "/v1/conversations?agent_id=BOB", None),
        ("get", "/v1/archives?agent_id=bob", None),
        ("get", "/v1/messages?conversation_id=THREAD", None),
        ("get", "/v1/agents/ADA/messages?conversation_id=THREAD", None),
        ("get", "/v1/agents/ADA/export?conversation_id=THREAD", None),
        ("get", "/v1/conversations/default/messages?agent_id=BOB", None),
        ("get", "/v1/conversations/BOB/messages", None),
        ("get", "/v1/agents/ADA/core-memory/blocks/kittiwake_block", None),
        ("post", "/v1/conversations?agent_id=BOB", {}),
        ("post", "/v1/conversations/default/messages", {"agent_id": "BOB", "input": "x"}),
        ("post", "/v1/conversations/default/compact", {"agent_id": "BOB"}),
        ("post", "/v1/conversations/default/fork?agent_id=BOB", {}),
        ("post", "/v1/messages/search", {"query": "kittiwake", "agent_id": "BOB"}),
        ("post", "/v1/messages/search", {"query": "kittiwake", "conversation_id": "THREAD"}),
        ("post", "/v1/passages/search", {"query": "kittiwake", "agent_id": "BOB"}),
        ("post", "/v1/passages/search", {"query": "kittiwake", "archive_id": "ARCHIVE"}),
        ("post", "/v1/messages/search", {"query": "kittiwake"}),
        ("post", "/v1/passages/search", {"query": "kittiwake"}),
        ("post", "/v1/tools/search", {"query": "kittiwake"}),
        ("post", "/v1/chat/completions", {"model": "bob", "messages": [{"role": "user"}]}),
        ("patch", "/v1/agents/ADA", {"block_ids": ["BLOCK"]}),
        ("patch", "/v1/agents/ADA", {"tool_ids": ["TOOL"]}),
        ("patch", "/v1/agents/ADA", {"tool_ids": ["kittiwake_tool"]}),
        ("patch", "/v1/agents/ADA", {"folder_ids": ["FOLDER"]}),
        ("patch", "/v1/agents/ADA", {"source_ids": ["FOLDER"]}),
        ("patch", "/v1/agents/ADA", {"identity_ids": ["IDENTITY"]}),
        ("post", "/v1/agents/ADA/tools/kittiwake_tool/run", {"args": {}}),
        (
            "post",
            "/v1/agents/ADA/messages",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "letta", "file_id": "x"}}],
                    }
                ]
            },
        ),
    ],
)
def test_no_query_and_no_body_leads_to_another_agent(
    field: Field, method: str, path: str, asked: Any
) -> None:
    bob = field.bob
    names = {
        "ADA": field.ada["agent_id"],
        "BOB": bob["agent_id"],
        "THREAD": bob["conversation_id"],
        "ARCHIVE": bob["archive_id"],
        "BLOCK": bob["block_id"],
        "TOOL": bob["tool_id"],
        "FOLDER": bob["folder_id"],
        "IDENTITY": bob["identity_id"],
    }
    given = json.dumps([path, asked])
    for name, value in names.items():
        given = given.replace(name, value)
    path, asked = json.loads(given)
    heard = len(field.scripted.requests)
    answer = field.web.request(method, path, headers=field.token("write", "ada"), json=asked)
    if answer.status_code == 200:  # a search that finds what is ada's, if anything
        assert path.endswith("/search")
        assert MARK not in answer.text
    else:
        assert answer.status_code in (404, 422), answer.text
        assert "Hello from" not in answer.text
    assert len(field.scripted.requests) == heard


def test_a_token_of_one_agent_takes_no_name_that_leads_to_another(field: Field) -> None:
    """By names the owner's clients find agents: whose answers they read must not be for others to say."""
    service, bob = field.service, field.bob["agent_id"]
    renamed = service.agents.create("puffin")
    service.agents.update(renamed.id, name="razorbill")
    service.agents.create("tern", namesakes="keep")
    service.agents.update(service.agents.create("skua").id, set_aside=True)
    who, path = field.token("write", "bob"), f"/v1/agents/{bob}"
    service.agents.update(bob, set_aside=True)
    again = service.agents.create("bob")
    back = field.web.patch(path, headers=who, json={"hidden": False})
    assert (back.status_code, "another agent's" in back.text) == (422, True)
    service.agents.delete(again.id)
    assert field.web.patch(path, headers=who, json={"hidden": False}).status_code == 200
    for taken in ("ada", "puffin", "razorbill", "skua"):
        answer = field.web.patch(path, headers=who, json={"name": taken, "description": "x"})
        assert (answer.status_code, "another agent's" in answer.text) == (422, True), taken
        assert service.agents.retrieve(bob).description == MARK
    assert service.agents.retrieve("ada").id == field.ada["agent_id"]
    for free in ("fulmar", "bob", "bob"):
        assert field.web.patch(path, headers=who, json={"name": free}).json()["name"] == free
    by_owner = field.web.patch(path, headers=field.server.headers, json={"name": "tern"})
    assert by_owner.status_code == 200
    service.agents.update(bob, name="bob")


def test_of_a_shared_block_a_token_of_one_agent_changes_the_text_alone(field: Field) -> None:
    service, ada = field.service, field.ada["agent_id"]
    who = field.token("write", "ada")
    for label, read_only in (("open", False), ("shut", True)):
        shared = service.blocks.create(Block(label=label, value="1", read_only=read_only))
        for agent in (ada, field.bob["agent_id"]):
            service.blocks.attach(shared.id, agent=agent)
        before = service.blocks.retrieve(shared.id)
        for path in (f"/v1/blocks/{shared.id}", f"/v1/agents/{ada}/core-memory/blocks/{label}"):
            for change in (
                {"label": "mine"},
                {"read_only": not read_only},
                {"limit": 5},
                {"description": "mine"},
                {"tags": ["mine"]},
                {"metadata": {"mine": 1}},
                {"value": "2", "read_only": not read_only},
            ):
                answer = field.web.patch(path, headers=who, json=change)
                assert answer.status_code == 403, (label, change, answer.text)
                assert "Other agents have the block" in answer.text
            assert service.blocks.retrieve(shared.id) == before
            text = field.web.patch(path, headers=who, json={"value": path, "label": label})
            assert text.status_code == (403 if read_only else 200)
            before = service.blocks.retrieve(shared.id)
        by_owner = field.web.patch(path, headers=field.server.headers, json={"limit": 500})
        assert by_owner.status_code == 200
        service.blocks.delete(shared.id)
    own = f"/v1/blocks/{field.ada['block_id']}"
    for change in ({"read_only": True}, {"value": "3", "read_only": False}):
        assert field.web.patch(own, headers=who, json=change).status_code == 200


def test_where_memory_comes_from_tells_a_token_of_one_agent_nothing_of_others(field: Field) -> None:
    service, owner = field.service, field.server.headers
    shared = service.blocks.create(Block(label="ours", value="By hand."))
    service.blocks.attach(shared.id, agent=field.ada["agent_id"])
    service.blocks.attach(shared.id, agent=field.bob["agent_id"])
    given = {"label": "ours", "content": "By bob."}
    assert service.tools.run("core_memory_append", given, agent="bob").status == "ok"
    path = f"/v1/blocks/{shared.id}/origin"
    for headers, last in ((owner, "bob"), (field.token("read", "ada"), "another agent")):
        found = field.web.get(path, headers=headers).json()
        assert [one["who"] for one in found] == ["you", last]
        assert [one["text"] for one in found] == ["By hand.\n", "By bob."]
    service.blocks.delete(shared.id)
    own = field.ada
    path = f"/v1/agents/{own['agent_id']}/archival-memory/{own['passage_id']}/origin"
    told = field.web.get(path, headers=field.token("read", "ada")).json()
    assert (told["who"], told["step_id"]) == ("you", None)
    other = f"/v1/agents/{own['agent_id']}/archival-memory/{field.bob['passage_id']}/origin"
    assert field.web.get(other, headers=owner).status_code == 404


def test_a_rewind_by_a_token_of_one_agent_gives_nothing_back(field: Field) -> None:
    service, ada = field.service, field.ada["agent_id"]
    shared = service.blocks.create(Block(label="common", value="1"))
    for agent in (ada, field.bob["agent_id"]):
        service.blocks.attach(shared.id, agent=agent)
    field.scripted.say("Hello.")
    list(service.runs.send(ada, "Hello"))
    service.blocks.update(shared.id, value="2")
    service.tools.detach(field.ada["tool_id"], agent=ada)
    who, path = field.token("write", "ada"), f"/v1/agents/{ada}"
    done = field.web.post(f"{path}/undo", headers=who)
    assert done.status_code == 200, done.text
    assert "another agent has it too" in done.text
    assert "bob" not in done.text
    assert field.web.post(f"{path}/redo", headers=who, json={"shared": True}).status_code == 200
    assert field.ada["tool_id"] not in [tool.id for tool in service.tools.list(ada)]
    service.tools.attach(field.ada["tool_id"], agent=ada)
    service.blocks.delete(shared.id)


def test_to_talk_is_not_to_choose_the_model(field: Field) -> None:
    talks, writes, bob = field.token("talk", "bob"), field.token("write", "bob"), field.bob
    agent = bob["agent_id"]
    heard = len(field.scripted.requests)
    for path, asked in (
        (f"/v1/agents/{agent}/messages", {"input": "Hi", "override_model": "local//etc/passwd"}),
        (f"/v1/agents/{agent}/messages/stream", {"input": "Hi", "override_model": "demo"}),
        (f"/v1/agents/{agent}/messages/async", {"input": "Hi", "override_model": "openai/dear"}),
        (
            f"/v1/conversations/{bob['conversation_id']}/messages",
            {"input": "Hi", "override_model": "openai/dear"},
        ),
        (f"/v1/conversations?agent_id={agent}", {"model": "local//etc/passwd"}),
        (f"/v1/conversations?agent_id={agent}", {"context_window_limit": 1_000_000}),
    ):
        answer = field.web.post(path, headers=talks, json=asked)
        assert answer.status_code == 403, answer.text
        assert answer.json() == {
            "detail": "This token may talk, not write.",
            "page": "not-allowed",
        }
    with field.socket(talks, "bob") as socket:
        socket.recv(90)
        socket.send('{"type": "send", "id": "1", "text": "Hi", "model": "demo"}')
        assert json.loads(socket.recv(90))["message"] == "This token may talk, not write."
    assert len(field.scripted.requests) == heard
    field.scripted.say("Dear.")
    asked = {"input": "Hi", "override_model": "openai/dear"}
    answer = field.web.post(f"/v1/agents/{agent}/messages", headers=writes, json=asked)
    assert "Dear." in answer.text


@pytest.mark.duckdb
def test_a_restored_copy_brings_no_token_back(field: Field, tmp_path: Path) -> None:
    field.token("read")
    copy, _ = backup_restore.backup(field.service.home, tmp_path / "copy.duckdb")
    backup_restore.restore(tmp_path / "home", copy)
    with AgentService(tmp_path / "home") as service:
        assert {one.name for one in service.agents.list()} >= {"ada", "bob"}
        assert service.tokens.list() == []


def test_what_a_token_of_one_agent_is_for(field: Field) -> None:
    ada = field.ada["agent_id"]
    talks, writes = field.token("talk", "ada"), field.token("write", "ada")
    for path, asked in (
        (f"/v1/agents/{ada}/messages", {"input": "Hi"}),
        (
            "/v1/conversations/default/messages",
            {"agent_id": ada, "input": "Hi", "streaming": False},
        ),
        (
            "/openai/v1/chat/completions",
            {"model": "ada", "messages": [{"role": "user", "content": "Hi"}]},
        ),
    ):
        field.scripted.say("Good morning.")
        answer = field.web.post(path, headers=talks, json=asked)
        assert "Good morning." in answer.text, answer.text
    began = field.web.post(f"/v1/conversations?agent_id={ada}", headers=talks, json={})
    assert began.status_code == 200
    change = {"description": "a diver"}
    assert field.web.patch(f"/v1/agents/{ada}", headers=talks, json=change).status_code == 403
    assert field.web.patch(f"/v1/agents/{ada}", headers=writes, json=change).status_code == 200
    label = f"/v1/agents/{ada}/core-memory/blocks/auk_block"
    assert field.web.patch(label, headers=writes, json={"value": "seen"}).json()["value"] == "seen"
    kept = field.web.post(
        f"/v1/archives/{field.ada['archive_id']}/passages", headers=writes, json={"text": "one"}
    )
    assert kept.status_code == 200
    same = {"tool_ids": [tool.id for tool in field.service.tools.list(ada)]}
    assert field.web.patch(f"/v1/agents/{ada}", headers=writes, json=same).status_code == 200
