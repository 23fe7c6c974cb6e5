"""Tokens of the project: what each lets its holder do, to whom, how much at a time, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from letta_kernel.errors import ConflictError, InvalidInputError
from letta_kernel.records import Block, Rights, Tool
from letta_kernel.server import rights
from letta_kernel.server.access import Authenticator
from letta_kernel.server.bodies import RequestLimits, TokenLimits
from letta_kernel.service import AgentService
from letta_kernel.store import copies
from letta_kernel.store.lock import HomeLock

LIMITS = RequestLimits(token=TokenLimits(requests=4, streams=2, sockets=2, runs=3))
MARK = "kittiwake"  # in all that is the other agent's
OPEN = {"/v1/health"}


class Field:
    """A server with two agents, each with one of everything, and what a test asks of it."""

    def __init__(self, server: Server) -> None:
        self.server, self.service, self.scripted = server, server.service, server.scripted
        self.ada, self.bob = (
            self._agent(name, mark) for name, mark in (("ada", "auk"), ("bob", MARK))
        )
        self.document = httpx.get(
            f"{server.url}/openapi.json", headers=server.headers, timeout=60
        ).json()
        self._made = 0

    def _agent(self, name: str, mark: str) -> dict[str, str]:
        service = self.service
        agent = service.agents.create(
            name, model="openai/scripted", description=mark, tags=[f"{mark}-tag"]
        )
        block = service.blocks.upsert(f"{mark}_block", mark, agent=agent.id)
        archive = service.archives.create(f"{mark} archive")
        service.archives.attach(archive.id, agent=agent.id)
        passage = service.passages.create(
            f"a passage on the {mark}", [f"{mark}-t"], agent=agent.id
        )[0]
        folder = service.folders.create(f"{mark} folder")
        service.folders.attach(folder.id, agent=agent.id)
        file = service.files.create(f"{mark}.txt", mark.encode(), folder=folder.id)
        tool = service.tools.upsert(
            Tool(
                name=f"{mark}_tool",
                description=mark,
                source=f'def {mark}_tool() -> str:\n    """{mark}"""\n    return "{mark}"\n',
                kind="source",
                runs_in="sandbox",
            )
        )
        service.tools.attach(tool.id, agent=agent.id)
        identity = service.identities.create(f"{mark}-key", mark, agents=[agent.id])
        thread = service.conversations.create(agent.id, summary=f"about the {mark}")
        self.scripted.say(f"Hello from the {mark}.")
        for _ in service.runs.send(agent.id, f"Where is the {mark}?", conversation=thread.id):
            pass
        run = service.runs.list(agent_ids=[agent.id])[0]
        step = service.steps.of_run(run.id)[0]
        return {
            "agent_id": agent.id,
            "block_id": block.id,
            "block_label": f"{mark}_block",
            "archive_id": archive.id,
            "passage_id": passage.id,
            "memory_id": passage.id,
            "folder_id": folder.id,
            "file_id": file.id,
            "tool_id": tool.id,
            "tool_name": f"{mark}_tool",
            "identity_id": identity.id,
            "conversation_id": thread.id,
            "run_id": run.id,
            "step_id": step.id,
            "message_id": service.messages.list(agent.id, thread.id)[0].id,
            "model": name,
            "mcp_server_id": "nothing",
        }

    def token(self, rights: Rights, agent: str | None = None) -> dict[str, str]:
        """Make a token and return the header that carries it; its name is `last`."""
        self._made += 1
        self.last = f"token {self._made}"
        _, token = self.service.tokens.create(self.last, rights, agent=agent)
        return {"Authorization": f"Bearer {token}"}

    def operations(self) -> Iterator[tuple[str, str, str]]:
        """Yield id, method and path of all that the server does and does not leave out."""
        for path, methods in self.document["paths"].items():
            for method, one in methods.items():
                if "left out" not in one["tags"] and path not in OPEN:
                    yield one["operationId"], method, path

    def ask(
        self, method: str, path: str, who: dict[str, str], has: dict[str, str]
    ) -> httpx.Response:
        """Ask for a path filled from *has*, with an empty object where there is a body."""
        filled = re.sub(r"{(\w+)}", lambda found: has[found[1]], path)
        content = (
            None if method in ("get", "delete") or "upload" in path or "import" in path else b"{}"
        )
        headers = {**who, "Content-Type": "application/json"} if content else who
        params = {"query": "bird"} if path.endswith("-memory/search") else None
        return self.web.request(method, filled, headers=headers, content=content, params=params)

    def socket(self, who: dict[str, str], agent: str, query: str = "") -> ClientConnection:
        url = f"{self.server.url.replace('http', 'ws', 1)}/v1/agents/{agent}/ws{query}"
        return connect(url, additional_headers=who)


@pytest.fixture(scope="module")
def field(
    tmp_path_factory: pytest.TempPathFactory, fresh_project: Callable[[Path], Path]
) -> Iterator[Field]:
    home = fresh_project(tmp_path_factory.mktemp("tokens") / "home")
    with (
        ScriptedServer() as scripted,
        pytest.MonkeyPatch.context() as patch,
        AgentService(home) as service,
    ):
        patch.setenv("LETTA_MODEL", "openai/scripted")
        patch.setenv("OPENAI_BASE_URL", scripted.url)
        patch.setenv("OPENAI_API_KEY", "test")
        with serving(service, scripted, limits=LIMITS) as server:
            found = Field(server)
            with httpx.Client(base_url=server.url, timeout=90) as found.web:
                yield found


def until(done: Callable[[], bool]) -> None:
    """Wait for something that is going to be."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_route_needs_what_the_table_says_and_write_otherwise(field: Field) -> None:
    names = {name for name, _, _ in field.operations()}
    assert set(rights.NEEDS) - names == {"agent_socket", "health"}, (
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
        assert answer.json() == {"detail": "This token may talk, not write."}
    with field.socket(talks, "bob") as socket:
        socket.recv(90)
        socket.send('{"type": "send", "id": "1", "text": "Hi", "model": "demo"}')
        assert json.loads(socket.recv(90))["message"] == "This token may talk, not write."
    assert len(field.scripted.requests) == heard
    field.scripted.say("Dear.")
    asked = {"input": "Hi", "override_model": "openai/dear"}
    answer = field.web.post(f"/v1/agents/{agent}/messages", headers=writes, json=asked)
    assert "Dear." in answer.text


def test_a_restored_copy_brings_no_token_back(field: Field, tmp_path: Path) -> None:
    field.token("read")
    copy, _ = copies.backup(field.service.home, tmp_path / "copy.duckdb")
    copies.restore(tmp_path / "home", copy)
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


def test_sockets_need_what_is_said_on_them(field: Field) -> None:
    with field.socket(field.token("read", "ada"), "ada") as reader:
        assert json.loads(reader.recv(90))["agent_name"] == "ada"
        for said in ({"type": "send", "text": "x"}, {"type": "cancel"}):
            reader.send(json.dumps({"id": "1", **said}))
            told = json.loads(reader.recv(90))
            assert told["message"] == "This token may read, not talk."
        reader.send('{"type": "ping", "id": "2"}')
        assert json.loads(reader.recv(90))["type"] == "pong"
    with field.socket({}, "bob") as other:  # by the first message
        token = field.token("write", "ada")["Authorization"].removeprefix("Bearer ")
        other.send(json.dumps({"type": "auth", "token": token}))
        with pytest.raises(ConnectionClosed) as closed:
            other.recv(90)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "agent-" in closed.value.rcvd.reason) == (4404, False)
    with field.socket(field.token("talk"), "bob") as talker:
        talker.recv(90)
        field.scripted.say("Heard.")
        talker.send('{"type": "send", "id": "1", "text": "Hello"}')
        kinds: list[str] = []
        while "run_ended" not in kinds:
            message = json.loads(talker.recv(90))
            kinds.append(message.get("event", message)["type"])
        assert "ack" in kinds


def revoke(field: Field, name: str) -> None:
    field.service.tokens.revoke(name)


def expire(field: Field, name: str) -> None:
    field.service.database.run(
        lambda tx: tx.execute(
            "UPDATE access_tokens SET expires_at = TIMESTAMPTZ '2020-01-01 00:00:00Z' WHERE name = $1",
            (name,),
        )
    )


@pytest.mark.parametrize("end", [revoke, expire])
def test_a_token_that_ends_takes_what_is_open_with_it(
    field: Field, end: Callable[[Field, str], None]
) -> None:
    who, bob = field.token("talk", "bob"), field.bob["agent_id"]
    path, asked = f"/v1/agents/{bob}/messages", {"input": "Wait", "stream_tokens": True}
    field.scripted.hang_mid_stream(600)
    with ExitStack() as stack:
        socket = stack.enter_context(field.socket(who, "bob"))
        socket.recv(90)
        stream = stack.enter_context(
            field.web.stream("POST", f"{path}/stream", headers=who, json=asked)
        )
        lines = stream.iter_lines()
        assert "Half" in next(line for line in lines if "content" in line)
        end(field, field.last)
        assert "revoked, or has expired" in list(lines)[-2]
        with pytest.raises(ConnectionClosed):
            list(socket)  # what it heard of the run, until it is closed
        assert socket.close_code == 4401
    assert field.web.get("/v1/agents", headers=who).status_code == 401
    field.web.post(f"{path}/cancel", headers=field.server.headers)
    until(lambda: not field.service.runs.list(agent_ids=[bob], statuses=["running"]))
    # The next holder is let in at once, and it is noted, to the hour.
    next_one = field.token("read")
    assert field.web.get("/v1/agents", headers=next_one).status_code == 200
    until(lambda: field.service.tokens.list()[-1].used_at is not None)
    used = field.service.tokens.list()[-1].used_at
    assert used is not None
    assert (used.minute, used.second) == (0, 0)


def test_one_token_has_its_share_and_the_owner_the_rest(field: Field) -> None:
    who, ada = field.token("talk"), field.ada["agent_id"]
    threads = [field.service.conversations.create(ada).id for _ in range(5)]
    asked = {"input": "Wait", "stream_tokens": True, "streaming": True}
    heard = len(field.scripted.requests)
    with ExitStack() as stack:
        for thread in threads[:2]:
            field.scripted.hang_mid_stream(600)
            path = f"/v1/conversations/{thread}/messages"
            stream = stack.enter_context(field.web.stream("POST", path, headers=who, json=asked))
            assert stream.status_code == 200
        until(lambda: len(field.scripted.requests) == heard + 2)
        busy = field.web.post(f"/v1/conversations/{threads[2]}/messages", headers=who, json=asked)
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
        assert busy.json() == {"detail": "2 streams go on with this token, as many as may."}
        words = {"model": "bob", "messages": [{"role": "user", "content": "x"}]}
        busy = field.web.post("/v1/chat/completions", headers=who, json=words)
        assert busy.status_code == 429
        assert "2 streams" in busy.json()["error"]["message"]
        # Runs in the background count with those that are followed.
        field.scripted.hang_mid_stream(600)
        background = f"/v1/agents/{field.bob['agent_id']}/messages/async"
        assert field.web.post(background, headers=who, json={"input": "x"}).status_code == 200
        busy = field.web.post(background, headers=who, json={"input": "x"})
        assert (busy.status_code, "3 runs" in busy.text) == (429, True)
        for _ in range(2):
            stack.enter_context(field.socket(who, "ada"))
        with pytest.raises(InvalidStatus) as refused:
            stack.enter_context(field.socket(who, "ada"))
        assert refused.value.response.status_code == 429
        # A socket that shows its token late is closed; another token, and the owner, have their own.
        late = stack.enter_context(field.socket({}, "ada"))
        late.send(json.dumps({"type": "auth", "token": who["Authorization"].partition(" ")[2]}))
        with pytest.raises(ConnectionClosed) as closed:
            late.recv(90)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
        assert field.web.get("/v1/agents", headers=field.token("read")).status_code == 200
        stack.enter_context(field.socket(field.server.headers, "ada"))
        until(lambda: len(field.scripted.requests) == heard + 3)
        for path in (*(f"/v1/conversations/{one}" for one in threads[:2]), background[:-15]):
            cancelled = f"{path}/cancel" if "conv" in path else f"{path}/messages/cancel"
            field.web.post(cancelled, headers=field.server.headers)
    again = f"/v1/conversations/{threads[3]}/messages"

    def free() -> bool:
        field.scripted.say("Free.")
        answer = field.web.post(again, headers=who, json={**asked, "streaming": False})
        return "Free." in answer.text

    until(free)
    field.scripted.forget()


def test_wrong_tokens_of_the_right_form_are_not_looked_up_in_vain(field: Field) -> None:
    for wrong in ("lk-", "lk-" + "x" * 43, "lk-" + "y" * 5000, "lk-\u00e9"):
        answer = field.web.get("/v1/agents", headers={"Authorization": f"Bearer {wrong}".encode()})  # type: ignore[dict-item]
        assert answer.status_code == 401
    for change, error in (
        ({"name": " "}, InvalidInputError),
        ({"name": "a\nb"}, InvalidInputError),
        ({"name": "x", "rights": "all"}, InvalidInputError),
    ):
        with pytest.raises(error):
            field.service.tokens.create(**change)  # type: ignore[arg-type]
    field.service.tokens.create("once")
    with pytest.raises(ConflictError):
        field.service.tokens.create("once")
    gone = field.service.agents.create("eve")
    who = field.token("read", gone.id)
    assert field.web.get("/v1/agents", headers=who).json()[0]["name"] == "eve"
    field.service.agents.delete(gone.id)
    assert field.web.get("/v1/agents", headers=who).status_code == 401


@pytest.mark.parametrize("made", [False, True], ids=["none is", "one is right"])
def test_while_the_store_is_not_to_be_had_nobody_queues_and_strangers_learn_nothing(
    field: Field, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, made: bool
) -> None:
    right = field.token("read")["Authorization"].partition(" ")[2]
    lock = HomeLock(field.service.home)

    async def come() -> list[Any]:
        """Let many come, and the store be free again once the first of them is answered."""
        known = Authenticator("owner", field.service, TokenLimits())
        given = [f"lk-{number}" for number in range(8)] + ([right] if made else [])
        lock.acquire(60)
        try:
            tasks = [asyncio.ensure_future(known.who(one)) for one in given]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lock.release()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert await known.who("lk-none") is None  # what failed is not kept
        found = await known.who(right)
        assert found is not None
        assert found.name == field.last
        return answers

    monkeypatch.setenv("LETTA_STORE_WAIT", "0.5")
    for answer in asyncio.run(come()):
        assert str(answer) == "The tokens cannot be read now: try again later."
    assert f"the tokens cannot be read: {field.service.home}" in caplog.text
    if made:  # a wrong one and a right one, over HTTP
        lock.acquire(60)
        try:
            for token in ("lk-x", right):
                os.utime(field.service.home / "letta.duckdb")
                answer = field.web.get("/v1/agents", headers={"Authorization": f"Bearer {token}"})
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.json() == {
                    "detail": "The tokens cannot be read now: try again later."
                }
        finally:
            lock.release()
