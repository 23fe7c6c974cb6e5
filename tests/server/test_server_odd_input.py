"""Input nobody sensible sends to memory and tools: refused with the field, never a defect."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from server_bench import Server

SOURCE = (
    'def f(a: int) -> int:\n    """Do it.\n\n    Args:\n        a: It.\n    """\n    return a\n'
)
FAR = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")

SPLIT = {"server_url": "http://h/", "custom_headers": {"X": "a\r\nb"}}


@pytest.fixture
def web(server: Server) -> httpx.Client:
    agent = server.service.agents.create("ada")
    server.service.passages.create("The key is behind the door.", agent=agent.id)
    return httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=60)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/agents/ada/archival-memory", {"text": "t", "created_at": FAR[0]}, "created_at"),
        ("/agents/ada/archival-memory", {"text": "t", "created_at": FAR[1]}, "created_at"),
        ("/passages/search", {"query": "t", "start_date": FAR[0]}, "start_date"),
        ("/messages/search", {"query": "t", "end_date": FAR[1]}, "end_date"),
        ("/tools", {"source_code": SOURCE, "json_schema": {"name": 3}}, "source_code"),
        ("/tools", {"source_code": SOURCE, "json_schema": {"description": []}}, "source_code"),
        ("/tools", {"source_code": SOURCE, "json_schema": {"name": "x y"}}, "source_code"),
        ("/tools", {"source_code": "x=" + "(" * 3000}, "source_code"),
        ("/tools", {"source_code": SOURCE, "return_char_limit": 10**12}, "return_char_limit"),
        ("/tools", {"source_code": SOURCE, "tags": [3]}, "tags"),
        ("/blocks", {"label": "a\u0007b", "value": ""}, "label"),
        ("/blocks", {"label": "x", "value": "", "tags": ["y" * 501]}, "tags"),
        ("/blocks", {"label": "x", "value": None}, "value"),
        ("/archives", {"name": "x" * 1000}, "name"),
        ("/identities", {"identifier_key": "k", "name": "n", "identity_type": "cat"}, "identity_type"),
        ("/mcp-servers", {"server_name": "x", "config": 3}, "config"),
        ("/mcp-servers", {"server_name": "x", "config": {"server_url": "http://[::1"}}, "MCP server"),
        ("/mcp-servers", {"server_name": "x", "config": SPLIT}, "config"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_is_refused(
    web: httpx.Client, path: str, body: Any, field: str
) -> None:
    found = web.post(path, json=body)
    assert found.status_code == 422
    assert field in found.text


@pytest.mark.parametrize(
    "path",
    [
        "/blocks?limit=99999999999999999999",
        "/blocks?limit=-1",
        "/blocks?before=%00",
        "/blocks?connected_to_agents_count_gt=99999999999999999999",
        "/tools?tool_types=%ff",
        "/tools?order=sideways",
        "/tags?after=no-such-tag",
        "/messages?before=%00",
        "/agents/ada/archival-memory?after=x",
        "/agents/ada/archival-memory/search",
        "/agents/ada/archival-memory/search?query=x&start_datetime=0001-01-01T00:00:00%2B14:00",
        "/agents/ada/archival-memory/search?query=x&top_k=99999999999",
    ],
)
def test_a_query_that_cannot_be_is_refused(web: httpx.Client, path: str) -> None:
    assert web.get(path).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/blocks/%00",
        "/tools/%2e%2e",
        f"/archives/{'x' * 5000}",
        "/identities/%ff",
        "/mcp-servers/'",
    ],
)
def test_what_is_not_there_is_not_found(web: httpx.Client, path: str) -> None:
    assert web.get(path).status_code == 404


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"type": ["integer", 7]}}},
        {"properties": {"a": {"enum": 3}}},
        {"properties": {"a": {"pattern": "(a+"}}},
        {"properties": {"a": {"anyOf": 7}}},
        {"properties": {"a": {"properties": [1]}}},
        {"properties": {}, "$defs": 3},
    ],
)
def test_a_broken_schema_is_refused_or_does_no_harm(
    server: Server, web: httpx.Client, parameters: Any
) -> None:
    asked = {"source_code": SOURCE, "json_schema": {"name": "f", "parameters": parameters}}
    made = web.put("/tools", json=asked)
    assert made.status_code in (200, 422)
    if made.status_code == 200:
        server.service.tools.attach(made.json()["id"], agent="ada")
        ran = web.post("/agents/ada/tools/f/run", json={"args": {"a": 1}})
        assert ran.status_code == 200
        assert web.get("/agents/ada/tools").status_code == 200
