"""``letta-kernel mcp`` as its clients see it: the SDK's client over both transports, the real command."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from scripted_server import ScriptedServer

from letta_kernel.records import ToolRule
from letta_kernel.server.mcp import BODY
from letta_kernel.service import AgentService

PROGRAM = [sys.executable, "-m", "letta_kernel.cli", "mcp"]
TOKEN = "a-token-of-the-test"


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.startswith(("LETTA", "OPENAI", "PATH"))}


@asynccontextmanager
async def over_stdio() -> AsyncGenerator[Any, None]:
    how = StdioServerParameters(command=PROGRAM[0], args=PROGRAM[1:], env=environment())
    async with stdio_client(how) as streams:
        yield streams


@asynccontextmanager
async def served_over_http() -> AsyncGenerator[str, None]:
    process = subprocess.Popen(
        [*PROGRAM, "--http", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), "LETTA_SERVER_TOKEN": TOKEN},
    )
    try:
        assert process.stdout is not None
        url = json.loads(await asyncio.to_thread(process.stdout.readline))["url"]
        await asyncio.to_thread(guarded, url)
        yield url
    finally:
        process.terminate()
        _, said = await asyncio.to_thread(process.communicate)
        assert "Traceback" not in said


@asynccontextmanager
async def over_http(url: str, token: str) -> AsyncGenerator[Any, None]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


def guarded(url: str) -> None:
    """Nobody comes in without the token, from another page, or with too much."""
    assert url.startswith("http://127.0.0.1:")
    right = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    assert httpx.post(url, json={}, timeout=60).status_code == 401
    wrong = {"Authorization": "Bearer nothing-like-it"}
    assert httpx.post(url, json={}, headers=wrong, timeout=60).status_code == 401
    large = httpx.post(url, content=b" " * (BODY + 1), headers=right, timeout=60)
    assert large.status_code == 413
    page = {**right, "Origin": "https://example.org"}
    assert httpx.post(url, json={}, headers=page, timeout=60).status_code == 403


@asynccontextmanager
async def client(streams: Any) -> AsyncGenerator[ClientSession, None]:
    info = Implementation(name="An\neditor", version="1")
    read, write = streams
    async with ClientSession(read, write, read_timeout_seconds=60, client_info=info) as session:
        await session.initialize()
        yield session


def test_over_http_with_a_token(service: AgentService) -> None:
    ada = service.agents.create("ada", model="demo")
    bob = service.agents.create("bob", model="demo")
    _, token = service.tokens.create("talks with ada", "talk", agent="ada")
    arguments = {"agent": "ada", "label": "human", "value": "Kim"}

    async def owner(session: ClientSession) -> None:
        assert len((await session.list_tools()).tools) == 6
        assert not (await session.call_tool("write_memory", arguments)).is_error
        assert (await session.call_tool("write_memory", {"agent": "ada"})).is_error

    async def talker(session: ClientSession) -> None:
        listed = (await session.call_tool("list_agents", {})).structured_content
        assert [one["id"] for one in listed["agents"]] == [ada.id]
        told = await session.call_tool("send_message", {"agent": ada.id, "message": "Hello"})
        assert not told.is_error
        refused = await session.call_tool("write_memory", arguments)
        assert refused.content[0].text == "This token may talk, not write."
        for other in ("bob", bob.id):
            for name, more in (("read_memory", {}), ("send_message", {"message": "x"})):
                refused = await session.call_tool(name, {"agent": other, **more})
                assert refused.content[0].text == f"There is no agent {other!r}."
        service.tokens.revoke("talks with ada")

    async def story() -> None:
        async with served_over_http() as url:
            for secret, part in ((TOKEN, owner), (token, talker)):
                async with over_http(url, secret) as streams, client(streams) as session:
                    await part(session)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            gone = await asyncio.to_thread(httpx.post, url, json={}, headers=headers, timeout=60)
            assert gone.status_code == 401

    asyncio.run(story())
    assert service.messages.list(bob.id) == []
    newest = service.blocks.versions("human", agent=ada.id)[-1]
    assert (newest.value, newest.actor) == ("Kim", "mcp:An editor")


def test_a_guest_reaches_what_is_granted(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_USER", "ann")
    ada = service.agents.create("ada", model="openai/scripted")
    bob = service.agents.create("bob", model="demo")
    service.blocks.upsert("human", "a secret", agent=ada.id)
    crew = service.blocks.upsert("crew", "both", agent=ada.id)
    service.blocks.attach(crew.id, agent=bob.id)
    service.grants.grant("ada", "carl", "talk")
    service.grants.grant("ada", "eve", "write")
    tokens = {
        name: service.tokens.create(name, "write", user=name)[1] for name in ("carl", "eve", "fay")
    }
    secret = {"agent": "ann/ada", "label": "human", "value": "from eve"}

    async def carl(session: ClientSession) -> None:
        listed = (await session.call_tool("list_agents", {})).structured_content
        assert [one["name"] for one in listed["agents"]] == ["ann/ada"]
        scripted.say("Hello carl.")
        told = await session.call_tool("send_message", {"agent": "ann/ada", "message": "Hello"})
        assert told.content[0].text == "Hello carl."
        for name, more in (
            ("read_memory", {}),
            ("write_memory", {"label": "human", "value": "x"}),
            ("search_archive", {"query": "x"}),
            ("insert_archive", {"text": "x"}),
        ):
            refused = await session.call_tool(name, {"agent": "ann/ada", **more})
            assert refused.is_error, name
            assert "secret" not in refused.content[0].text
        for other in ("ada", "bob", bob.id, "ann/bob"):
            refused = await session.call_tool("send_message", {"agent": other, "message": "x"})
            assert refused.content[0].text == f"There is no agent {other!r}."

    async def eve(session: ClientSession) -> None:
        assert not (await session.call_tool("write_memory", secret)).is_error
        fresh = await session.call_tool("write_memory", {**secret, "label": "new"})
        assert fresh.is_error
        common = {**secret, "label": "crew"}
        assert (await session.call_tool("write_memory", common)).is_error

    async def fay(session: ClientSession) -> None:
        listed = (await session.call_tool("list_agents", {})).structured_content
        assert listed["agents"] == []
        for agent in ("ann/ada", ada.id, "ada"):
            for name in ("read_memory", "write_memory"):
                assert (await session.call_tool(name, {**secret, "agent": agent})).is_error

    async def story() -> None:
        async with served_over_http() as url:
            for name, part in (("carl", carl), ("eve", eve), ("fay", fay)):
                async with over_http(url, tokens[name]) as streams, client(streams) as session:
                    await part(session)

    asyncio.run(story())
    newest = service.blocks.versions("human", agent=ada.id)[-1]
    assert (newest.value, newest.actor) == ("from eve", "eve")
    assert service.messages.list(ada.id) == [], "carl has a thread of his own"


def test_what_a_client_does_with_agents(service: AgentService, scripted: ScriptedServer) -> None:
    rule = ToolRule(type="requires_approval", tool_name="core_memory_append")
    ada = service.agents.create("ada", model="openai/scripted", tool_rules=[rule])
    heard: list[str] = []

    async def story() -> None:
        async with over_stdio() as streams, client(streams) as session:
            await _story(session)

    async def _story(session: ClientSession) -> None:
        offered = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(offered) == {
            *("list_agents", "send_message", "read_memory"),
            *("write_memory", "search_archive", "insert_archive"),
        }
        assert offered["write_memory"].input_schema["required"] == ["agent", "label", "value"]
        assert offered["send_message"].description

        async def does(name: str, **arguments: Any) -> tuple[str, Any]:
            async def note(done: float, total: float | None, message: str | None) -> None:
                heard.append(message or "")

            result = await session.call_tool(name, arguments, progress_callback=note)
            assert not result.is_error, result
            return result.content[0].text, result.structured_content

        _, found = await does("list_agents")
        assert [(one["name"], one["state"]) for one in found["agents"]] == [("ada", "idle")]

        scripted.calls([("conversation_search", {"query": "tea"})])
        scripted.say("You like tea.")
        text, found = await does("send_message", agent="ada", message="What do I like?")
        assert text == "You like tea."
        assert (found["stop_reason"], found["tools_called"]) == (
            "end_turn",
            ["conversation_search"],
        )
        assert "calls conversation_search" in heard
        assert service.messages.history(ada.id)[-1].content == "You like tea."

        # Nobody can be asked: the policy decides, and the agent hears of it.
        scripted.calls([("core_memory_append", {"label": "human", "content": "x"})])
        scripted.say("It was refused.")
        text, found = await does("send_message", agent=ada.id, message="Remember x.")
        assert text == "It was refused."
        assert "x" not in service.blocks.retrieve("human", agent=ada.id).value

        _, found = await does("write_memory", agent="ada", label="human", value="Kim", reason="why")
        _, found = await does("read_memory", agent="ada", label="human")
        [block] = found["blocks"]
        assert block["value"] == "Kim"
        newest = service.blocks.versions("human", agent=ada.id)[-1]
        assert (newest.actor, newest.reason) == ("mcp:An editor", "why")
        _, found = await does("insert_archive", agent="ada", text="The boat is blue.", tags=["sea"])
        text, found = await does("search_archive", agent="ada", query="boat", limit=3)
        assert [one["content"] for one in found["passages"]] == ["The boat is blue."]
        assert json.loads(text) == found
        assert service.passages.list(ada.id)[0].metadata == {"by": "mcp:An editor"}

        service.blocks.update("persona", agent=ada.id, read_only=True)
        for name, arguments, line in (
            ("send_message", {"agent": "nobody", "message": "Hi"}, "There is no agent 'nobody'"),
            ("send_message", {"agent": "ada", "message": " "}, "the message is empty"),
            ("send_message", {"agent": "ada"}, "'message' is missing"),
            ("read_memory", {"agent": "ada", "label": "humna"}, "Did you mean 'human'"),
            ("write_memory", {"agent": "ada", "label": "human", "value": 3}, "'value'"),
            ("write_memory", {"agent": "ada", "label": "persona", "value": ""}, "only be read"),
            (
                "write_memory",
                {"agent": "ada", "label": "human", "value": "", "expected_version": 1},
                "",
            ),
            ("search_archive", {"agent": "ada", "query": "x", "limit": 10**6}, "'limit'"),
            ("insert_archive", {"agent": "ada", "text": "x" * 200_001}, "200,000"),
            ("drop_tables", {}, "There is no tool"),
        ):
            result = await session.call_tool(name, arguments)
            assert result.is_error, (name, arguments)
            said = result.content[0].text  # type: ignore[union-attr]
            assert line in said
            assert "\n" not in said
        scripted.fault(401)
        failed = await session.call_tool("send_message", {"agent": "ada", "message": "Hi"})
        assert failed.is_error
        assert "\n" not in failed.content[0].text  # type: ignore[union-attr]
        assert service.blocks.retrieve("human", agent=ada.id).value == "Kim"

    asyncio.run(story())
