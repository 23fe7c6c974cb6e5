"""Letta's own tools for the world outside, as programs written for Letta ask for them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from letta_client import Letta, UnprocessableEntityError
from server_bench import Server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the sandbox needs fork")
OUTSIDE = ["web_search", "run_code", "fetch_webpage"]
MINE = '''
def web_search(query: str) -> str:
    """Search my own way.

    Args:
        query: What to look for.
    """
    return "mine"
'''


@pytest.fixture
def client(server: Server) -> Letta:
    return server.client()


@pytest.fixture
def agent(client: Letta) -> str:
    made = client.agents.create(model="openai/scripted", tools=OUTSIDE, include_base_tools=False)
    assert [(tool.name, tool.tool_type) for tool in made.tools] == [
        (name, "letta_builtin") for name in OUTSIDE
    ]
    return made.id


@contextmanager
def site(body: bytes, kind: str, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """Answer every request with *body*; yield the address and what was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.path, dict(self.headers), json.loads(sent) if sent else None))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def call(client: Letta, agent: str, name: str, **arguments: Any) -> tuple[str, str]:
    done = client.agents.tools.run(name, agent_id=agent, args=arguments)
    return done.status, str(done.func_return)


def test_the_first_program_of_lettas_readme(server: Server, client: Letta, agent: str) -> None:
    server.scripted.call("run_code", {"code": "print('adding')\n6 * 7", "language": "python"})
    server.scripted.say("42.")
    answer = client.agents.messages.create(agent, input="What is 6 times 7?")
    kinds = [message.message_type for message in answer.messages]
    assert kinds == ["tool_call_message", "tool_return_message", "assistant_message"]
    returned = json.loads(answer.messages[1].tool_return)  # type: ignore[union-attr, arg-type]
    assert returned == {"results": ["42"], "logs": {"stdout": ["adding"], "stderr": []}}


@pytest.mark.parametrize(
    ("code", "error"),
    [("1 / 0", "ZeroDivisionError"), ("def f(:", "SyntaxError"), ("exit(3)", "SystemExit")],
)
def test_code_that_fails_says_how(client: Letta, agent: str, code: str, error: str) -> None:
    status, told = call(client, agent, "run_code", code=f"print('begun')\n{code}")
    problem = json.loads(told)["error"]
    assert (status, problem["name"]) == ("error", error)
    assert json.loads(told)["logs"]["stdout"] == (["begun"] if error != "SyntaxError" else [])
    assert "letta_kernel" not in problem["traceback"]


def test_code_that_ends_itself_has_not_failed(client: Letta, agent: str) -> None:
    assert call(client, agent, "run_code", code="print(1)\nexit()")[0] == "success"


def test_a_page_is_read_as_text(client: Letta, agent: str) -> None:
    page = "<html><head><title>T</title></head><body><h1>Möwen</h1><script>no</script></body>"
    with site(page.encode("latin-1"), "text/html; charset=iso-8859-1") as (url, asked):
        assert call(client, agent, "fetch_webpage", url=f"{url}/gulls") == ("success", "Möwen")
    assert asked[0][0] == "/gulls"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gulls", "http://[x"])
def test_what_is_no_page(client: Letta, agent: str, url: str) -> None:
    status, told = call(client, agent, "fetch_webpage", url=url)
    assert status == "error"
    assert "no address of a web page" in told


def test_a_page_that_is_not_there(client: Letta, agent: str) -> None:
    with site(b"", "text/plain", 404) as (url, _):
        status, told = call(client, agent, "fetch_webpage", url=url)
    assert status == "error"
    assert "answered 404 Not Found" in told


def test_a_search_needs_a_key_and_says_so(
    client: Letta, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXA_API_KEY", raising=False)
    status, told = call(client, agent, "web_search", query="gulls")
    assert (status, "set EXA_API_KEY" in told) == ("error", True)


def test_a_search(client: Letta, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"results": [{"title": "Gulls", "url": "http://g", "highlights": ["white"], "id": "1"}]}
    monkeypatch.setenv("EXA_API_KEY", "of-the-process")
    with site(json.dumps(found).encode(), "application/json") as (url, asked):
        monkeypatch.setenv("EXA_BASE_URL", url)
        status, told = call(client, agent, "web_search", query="gulls", num_results=3)
        assert (status, json.loads(told)["results"]) == (
            "success",
            [{"title": "Gulls", "url": "http://g", "highlights": ["white"]}],
        )
        client.agents.update(agent, secrets={"EXA_API_KEY": "of-the-agent"})
        call(client, agent, "web_search", query="gulls")
    keys = [{k.lower(): v for k, v in headers.items()}["x-api-key"] for _, headers, _ in asked]
    assert keys == ["of-the-process", "of-the-agent"]
    path, _, body = asked[0]
    assert (path, body["query"], body["numResults"]) == ("/search", "gulls", 3)
    assert "category" not in body


def test_a_tool_of_ones_own_goes_before(client: Letta, agent: str) -> None:
    assert [tool.tool_type for tool in client.tools.list(name="web_search")] == ["letta_builtin"]
    mine = client.tools.upsert(source_code=MINE)
    assert mine.tool_type == "custom"
    other = client.agents.create(model="openai/scripted", tools=["web_search"])
    assert mine.id in [tool.id for tool in other.tools]
    client.agents.tools.attach(mine.id, agent_id=agent)
    assert call(client, agent, "web_search", query="gulls") == ("success", "mine")


def test_they_cannot_be_changed(client: Letta, agent: str) -> None:
    tool = client.tools.list(name="run_code").items[0]
    with pytest.raises(UnprocessableEntityError, match="cannot be changed"):
        client.tools.update(tool.id, source_code=MINE)
    with pytest.raises(UnprocessableEntityError, match="cannot be deleted"):
        client.tools.delete(tool.id)


def test_an_agent_file_names_them_and_an_import_attaches_ours(client: Letta, agent: str) -> None:
    file = json.loads(client.agents.export_file(agent))
    assert {(tool["name"], tool["tool_type"]) for tool in file["tools"]} == {
        (name, "letta_builtin") for name in OUTSIDE
    }
    for tool in file["tools"]:
        tool["source_code"] = "raise SystemExit"  # ours is taken, whatever the file says
    came = client.agents.import_file(file=("a.af", json.dumps(file).encode()))
    copy = came.agent_ids[0]
    assert {tool.name for tool in client.agents.tools.list(copy).items} == set(OUTSIDE)
    assert json.loads(call(client, copy, "run_code", code="1")[1])["results"] == ["1"]
