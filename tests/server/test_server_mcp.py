"""MCP servers through the SDK, over a real one."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from server_bench import Server

PROGRAM = str(Path(__file__).parent.parent / "tools" / "mcp_server.py")
STDIO: Any = {"mcp_server_type": "stdio", "command": sys.executable, "args": [PROGRAM]}


@pytest.fixture
def client(server: Server) -> Letta:
    return server.client(timeout=120)


def test_a_server_is_connected_used_changed_and_forgotten(server: Server, client: Letta) -> None:
    made = client.mcp_servers.create(server_name="test", config=STDIO)
    assert (made.server_name, made.mcp_server_type) == ("test", "stdio")
    assert client.mcp_servers.retrieve(str(made.id)) == made
    assert client.mcp_servers.list() == [made]

    tools = client.mcp_servers.tools.list(str(made.id))
    add = next(tool for tool in tools if (tool.name or "").endswith("add"))
    assert add.tool_type == "external_mcp"
    assert client.mcp_servers.tools.retrieve(add.id, mcp_server_id=str(made.id)) == add
    ran = client.mcp_servers.tools.run(add.id, mcp_server_id=str(made.id), args={"a": 2, "b": 3})
    assert (ran.status, ran.func_return) == ("success", "5")
    ran = client.mcp_servers.tools.run(add.id, mcp_server_id=str(made.id), args={"a": "two"})
    assert ran.status == "error"

    with httpx.Client(base_url=f"{server.url}/v1/tools/mcp", headers=server.headers) as older:
        (known,) = older.get("/servers").json().values()
        assert (known["server_name"], known["type"], known["args"]) == ("test", "stdio", [PROGRAM])
        names = [tool["name"] for tool in older.get("/servers/test/tools").json()]
        (own,) = [name for name in names if name.endswith("add")]
        assert older.post(f"/servers/test/{own}").json()["id"] == add.id
        assert older.post("/servers/test/nothing").status_code == 404

    agent = server.service.agents.create("ada")
    client.agents.tools.attach(add.id, agent_id=agent.id)
    ran = client.agents.tools.run(str(add.name), agent_id=agent.id, args={"a": 2, "b": 5})
    assert (ran.status, ran.func_return) == ("success", "7")

    told: Any = client.mcp_servers.refresh(str(made.id), agent_id=agent.id)
    assert told["added"] == []
    assert add.name in told["updated"]
    changed = client.mcp_servers.update(
        str(made.id), server_name="sums", config={**STDIO, "env": {"A": "b"}}
    )
    assert (changed.id, changed.server_name) == (made.id, "sums")
    assert changed.env == {"A": "b"}  # type: ignore[union-attr]
    assert client.mcp_servers.tools.list(str(made.id))[0].id in {tool.id for tool in tools}

    client.mcp_servers.delete(str(made.id))
    assert client.mcp_servers.list() == []
    assert add.name not in [tool.name for tool in client.agents.tools.list(agent.id)]
    for missing in (
        lambda: client.mcp_servers.retrieve(str(made.id)),
        lambda: client.mcp_servers.refresh(str(made.id)),
        lambda: client.mcp_servers.delete(str(made.id)),
        lambda: client.mcp_servers.tools.list(str(made.id)),
        lambda: client.mcp_servers.tools.run("x", mcp_server_id=str(made.id)),
    ):
        with pytest.raises(NotFoundError):
            missing()


@pytest.mark.parametrize(
    ("name", "config", "told"),
    [
        ("bad name", STDIO, "name"),
        ("x", {"mcp_server_type": "stdio", "command": "", "args": []}, "command"),
        ("x", {"mcp_server_type": "streamable_http", "server_url": "ftp://x"}, "http"),
        (
            "x",
            {"mcp_server_type": "streamable_http", "server_url": "http://h/?token=s3cret"},
            "password in the URL",
        ),
    ],
)
def test_what_cannot_work_is_not_kept(client: Letta, name: str, config: Any, told: str) -> None:
    with pytest.raises(UnprocessableEntityError, match=told):
        client.mcp_servers.create(server_name=name, config=config)
    assert client.mcp_servers.list() == []


def test_a_server_behind_a_url_with_a_token(client: Letta, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, PROGRAM, "--http", str(port), "--token", "s3cr3t-value"]
    config: Any = {
        "mcp_server_type": "streamable_http",
        "server_url": f"http://127.0.0.1:{port}/mcp",
        "auth_token": "Bearer ${WEB_TOKEN}",
    }
    monkeypatch.setenv("WEB_TOKEN", "s3cr3t-value")
    early = client.mcp_servers.create(server_name="web", config=config)
    for ask in (client.mcp_servers.refresh, client.mcp_servers.tools.list):
        with pytest.raises(UnprocessableEntityError, match="cannot be reached"):
            ask(str(early.id))
    config["custom_headers"] = {"X-Team": "herons"}
    gone: Any = {"mcp_server_type": "stdio", "command": "no-such-program", "args": []}
    kept = client.mcp_servers.create(server_name="gone", config=gone)
    kept = client.mcp_servers.update(str(kept.id), config={**gone, "args": ["new"]})
    assert client.mcp_servers.retrieve(str(kept.id)) == kept
    with pytest.raises(UnprocessableEntityError, match="no-such-program"):
        client.mcp_servers.tools.list(str(kept.id))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            client.mcp_servers.refresh(str(early.id))
            made = client.mcp_servers.update(str(early.id), config=config)
            assert made.mcp_server_type == "streamable_http"
            assert made.auth_token == "Bearer ${WEB_TOKEN}"
            assert made.custom_headers == {"X-Team": "herons"}
            add = next(t for t in client.mcp_servers.tools.list(str(made.id)) if t.name == "add")
            ran = client.mcp_servers.tools.run(
                add.id, mcp_server_id=str(made.id), args={"a": 2, "b": 3}
            )
            assert ran.func_return == "5"
            monkeypatch.setenv("WEB_TOKEN", "wrong")
            with pytest.raises(UnprocessableEntityError, match="401"):
                client.mcp_servers.update(str(made.id), config={**config, "custom_headers": {}})
            assert client.mcp_servers.retrieve(str(made.id)) == made  # nothing was changed
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    """Wait until something listens on the port."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the MCP server did not come up")


@contextmanager
def over_http(*more: str) -> Iterator[int]:
    """The server of the tests behind a port, which wants a token."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, PROGRAM, "--http", str(port), "--token", "s3cr3t-value", *more]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()


def test_a_token_given_as_it_is_is_encrypted_and_never_told(server: Server, client: Letta) -> None:
    with over_http() as port:
        config: Any = {
            "mcp_server_type": "streamable_http",
            "server_url": f"http://127.0.0.1:{port}/mcp",
            "auth_header": "Authorization",
            "auth_token": "Bearer s3cr3t-value",
            "custom_headers": {"X-Team": "herons", "X-Api-Key": "0ther-secret"},
        }
        made = client.mcp_servers.create(server_name="web", config=config)
        assert made.mcp_server_type == "streamable_http"
        assert made.auth_token == "${LETTA_MCP_AUTHORIZATION}"
        assert made.custom_headers == {"X-Team": "herons", "X-Api-Key": "${LETTA_MCP_X_API_KEY}"}
        assert client.mcp_servers.tools.list(str(made.id))
        # What is told is taken back, and means the secrets there are; the others go.
        again = {**config, "auth_token": made.auth_token, "custom_headers": {"X-Team": "gulls"}}
        changed = client.mcp_servers.update(str(made.id), config=again)
        assert changed.custom_headers == {"X-Team": "gulls"}
        record = server.service.mcp.retrieve("web")
        assert record.environment == {"LETTA_MCP_AUTHORIZATION": "Bearer s3cr3t-value"}
        with pytest.raises(UnprocessableEntityError, match="401") as refused:
            client.mcp_servers.update(str(made.id), config={**config, "auth_token": "wr0ng-one"})
        assert "wr0ng-one" not in str(refused.value)
    wrong: Any = {**config, "auth_token": "${LETTA_MCP_OTHER}"}
    none = client.mcp_servers.create(server_name="none", config=wrong)
    with pytest.raises(UnprocessableEntityError, match="LETTA_MCP_OTHER, which is not set"):
        client.mcp_servers.refresh(str(none.id))
    told = [client.mcp_servers.list(), made, changed, none]
    assert "s3cr3t-value" not in repr(told)
    assert "0ther-secret" not in repr(told)
    kept = b"".join(path.read_bytes() for path in server.service.home.iterdir() if path.is_file())
    assert b"s3cr3t-value" not in kept


def test_a_secret_of_a_programs_environment_reaches_it_and_is_never_told(client: Letta) -> None:
    config: Any = {
        "mcp_server_type": "stdio",
        "command": sys.executable,
        "args": [PROGRAM],
        "env": {"BIRD_TOKEN": "s3cr3t-value", "BIRD": "heron"},
    }
    made = client.mcp_servers.create(server_name="local", config=config)
    assert made.mcp_server_type == "stdio"
    assert made.env == {"BIRD_TOKEN": "${LETTA_MCP_BIRD_TOKEN}", "BIRD": "heron"}
    variable = next(
        tool for tool in client.mcp_servers.tools.list(str(made.id)) if tool.name == "variable"
    )
    for name, value in (("BIRD_TOKEN", "s3cr3t-value"), ("LETTA_MCP_BIRD_TOKEN", "(not set)")):
        ran = client.mcp_servers.tools.run(
            variable.id, mcp_server_id=str(made.id), args={"name": name}
        )
        assert ran.func_return == value


def test_a_server_that_speaks_sse(server: Server, client: Letta) -> None:
    with over_http("--sse") as port:
        url = f"http://127.0.0.1:{port}/sse"
        config: Any = {"mcp_server_type": "sse", "server_url": url, "auth_token": "nobody"}
        refused = client.mcp_servers.create(server_name="old", config=config)
        with pytest.raises(UnprocessableEntityError, match="401"):
            client.mcp_servers.refresh(str(refused.id))
        config["auth_token"] = "Bearer s3cr3t-value"
        made = client.mcp_servers.update(str(refused.id), config=config)
        assert (made.mcp_server_type, made.server_url) == ("sse", url)
        add = next(t for t in client.mcp_servers.tools.list(str(made.id)) if t.name == "add")
        ran = client.mcp_servers.tools.run(
            add.id, mcp_server_id=str(made.id), args={"a": 2, "b": 3}
        )
        assert ran.func_return == "5"
        agent = client.agents.create(name="ada", tool_ids=[add.id], include_base_tools=False)
        server.scripted.call(add.name, {"a": 20, "b": 3})
        server.scripted.say("23.")
        client.agents.messages.create(agent.id, input="Add them.")
        assert '"23"' in str(server.scripted.requests[-1]["messages"][-1]["content"])
        older = httpx.get(f"{server.url}/v1/tools/mcp/servers", headers=server.headers).json()
        assert older["old"]["type"] == "sse"
        client.mcp_servers.delete(str(made.id))
        asked = {"server_name": "old", "type": "sse", "server_url": url}
        asked |= {"auth_header": "Authorization", "auth_token": "Bearer s3cr3t-value"}
        (again,) = httpx.put(
            f"{server.url}/v1/tools/mcp/servers", headers=server.headers, json=asked, timeout=60
        ).json()
        assert (again["type"], again["auth_token"]) == ("sse", "${LETTA_MCP_AUTHORIZATION}")
